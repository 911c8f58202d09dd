//! The official schema of CycloneDX and what validates against it, from PyPI.

use std::fs;

use super::{Program, Store, Tool, pip_install};

/// The packages: what holds the schemas, and what reads them.
const PACKAGES: [&str; 2] = [
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "jsonschema==4.26.0",
];

/// Reads a bill from standard input and says what is wrong with it.
const PROGRAM: &str = r#"#!/bin/sh
exec "$(dirname "$0")/../lib/cyclonedx/bin/python" -c '
import sys
from importlib.metadata import version
if sys.argv[1:] == ["--version"]:
    print("cyclonedx-python-lib", version("cyclonedx-python-lib"))
    sys.exit()
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
if problem:
    sys.exit(str(problem))
' "$@"
"#;

/// Validates a bill of materials.
pub const TOOL: Tool = Tool {
    name: "cyclonedx",
    about: "validates the bill of materials",
    by_default: true,
    pins: || PACKAGES.map(str::to_owned).to_vec(),
    programs: &[Program {
        name: "cyclonedx-validate",
        variable: "MIRRORWATCH_CYCLONEDX",
    }],
    fetch,
};

fn fetch(store: &Store) -> Result<String, String> {
    let root = store.root();
    let (bin, library) = (root.join("usr/bin"), root.join("usr/lib/cyclonedx"));
    let told = |error: std::io::Error| format!("cannot write below {}: {error}", root.display());
    fs::create_dir_all(&bin).map_err(told)?;
    pip_install(&library, &PACKAGES)?;
    let program = bin.join("cyclonedx-validate");
    fs::write(&program, PROGRAM).map_err(told)?;
    super::executable(&program).map_err(told)?;
    Ok(PACKAGES.join(", "))
}
