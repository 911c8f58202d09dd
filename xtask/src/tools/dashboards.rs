//! What Grafana publishes to check dashboards with: the types of its schema, from npm, and its foundation SDK, from
//! PyPI. The versions are those that `grafana/check` names.

use std::fs;
use std::io;
use std::path::Path;

use super::{Program, Store, Tool, executable, npm_install, pip_install};

/// What `check.mjs` needs; `render.mjs` needs more, which is for people.
const PACKAGES: [&str; 2] = ["@grafana/schema", "typescript"];
const PACKAGE_JSON: &str = include_str!("../../../grafana/check/package.json");
const REQUIREMENTS: &str = include_str!("../../../grafana/check/requirements.txt");

/// Checks the dashboards.
pub const TOOL: Tool = Tool {
    name: "dashboards",
    about: "checks the dashboards with Grafana's own types and SDK",
    by_default: true,
    pins,
    programs: &[
        Program {
            name: "dashboards-node",
            variable: "MIRRORWATCH_DASHBOARDS_NODE",
        },
        Program {
            name: "dashboards-python",
            variable: "MIRRORWATCH_DASHBOARDS_PYTHON",
        },
    ],
    fetch,
};

/// Node and Python, each with what was installed for it.
const WRAPPERS: [(&str, &str); 2] = [
    (
        "dashboards-node",
        "#!/bin/sh\nNODE_PATH=$(dirname \"$0\")/../lib/dashboards/node_modules exec node \"$@\"\n",
    ),
    (
        "dashboards-python",
        "#!/bin/sh\nexec \"$(dirname \"$0\")/../lib/dashboards/venv/bin/python\" \"$@\"\n",
    ),
];

/// What `package.json` and `requirements.txt` name.
fn pins() -> Vec<String> {
    let mut pins = packages().unwrap_or_default();
    pins.push(REQUIREMENTS.trim().to_owned());
    pins
}

fn fetch(store: &Store) -> Result<String, String> {
    let root = store.root();
    let (bin, library) = (root.join("usr/bin"), root.join("usr/lib/dashboards"));
    let told = |error: io::Error| format!("cannot write below {}: {error}", root.display());
    fs::create_dir_all(&bin).map_err(told)?;
    fs::create_dir_all(&library).map_err(told)?;
    let packages = packages()?;
    npm_install(&library, &packages)?;
    pip_install(&library.join("venv"), &[REQUIREMENTS.trim()])?;
    for (name, text) in WRAPPERS {
        wrap(&bin.join(name), text).map_err(told)?;
    }
    Ok(pins().join(", "))
}

/// The packages with the versions that `package.json` names.
fn packages() -> Result<Vec<String>, String> {
    let mut pinned = Vec::new();
    for package in PACKAGES {
        let entry = format!("\"{package}\": \"");
        let version = PACKAGE_JSON
            .split_once(&entry)
            .and_then(|(_, rest)| rest.split_once('"'))
            .ok_or_else(|| format!("grafana/check/package.json names no version of {package}"))?;
        pinned.push(format!("{package}@{}", version.0));
    }
    Ok(pinned)
}

fn wrap(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    executable(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_has_a_version() {
        for package in packages().expect("both have a version") {
            let (_, version) = package.rsplit_once('@').expect("has a version");
            assert!(
                version.starts_with(|c: char| c.is_ascii_digit()),
                "{package}"
            );
        }
    }
}
