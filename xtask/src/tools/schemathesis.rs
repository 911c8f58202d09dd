//! Schemathesis, which asks an API everything its description allows, from PyPI.

use std::fs;
use std::path::Path;

use super::{Program, Store, Tool, pip_install};

/// The package.
const PACKAGE: &str = "schemathesis==4.32.5";

/// Holds the JSON API against its description.
pub const TOOL: Tool = Tool {
    name: "schemathesis",
    about: "holds the JSON API against its description",
    by_default: true,
    pins: || vec![PACKAGE.to_owned()],
    programs: &[Program {
        name: "schemathesis",
        variable: "MIRRORWATCH_SCHEMATHESIS",
    }],
    fetch,
};

fn fetch(store: &Store) -> Result<String, String> {
    let root = store.root();
    let (bin, library) = (root.join("usr/bin"), root.join("usr/lib/schemathesis"));
    let told = |error: std::io::Error| format!("cannot write below {}: {error}", root.display());
    fs::create_dir_all(&bin).map_err(told)?;
    pip_install(&library, &[PACKAGE])?;
    let program = Path::new("../lib/schemathesis/bin/schemathesis");
    super::link(program, &bin.join("schemathesis")).map_err(told)?;
    Ok(PACKAGE.to_owned())
}
