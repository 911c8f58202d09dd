//! Moto, whose server speaks the protocol of S3, from PyPI.

use std::fs;

use super::{Program, Store, Tool, pip_install};

/// The package, and what its server needs. (Its own extra for that brings along all services that Amazon has.)
const PACKAGES: [&str; 3] = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];

/// Its own program, which does not tell its version.
const PROGRAM: &str = r#"#!/bin/sh
bin=$(dirname "$0")/../lib/moto/bin
if [ "$1" = --version ]; then
  exec "$bin/python" -c 'import moto; print("moto", moto.__version__)'
fi
exec "$bin/moto_server" "$@"
"#;

/// A store that shards meet in.
pub const TOOL: Tool = Tool {
    name: "moto",
    about: "stands in for an S3-compatible store",
    by_default: true,
    pins: || PACKAGES.map(str::to_owned).to_vec(),
    programs: &[Program {
        name: "moto_server",
        variable: "MIRRORWATCH_MOTO",
    }],
    fetch,
};

fn fetch(store: &Store) -> Result<String, String> {
    let root = store.root();
    let (bin, library) = (root.join("usr/bin"), root.join("usr/lib/moto"));
    let told = |error: std::io::Error| format!("cannot write below {}: {error}", root.display());
    fs::create_dir_all(&bin).map_err(told)?;
    pip_install(&library, &PACKAGES)?;
    let program = bin.join("moto_server");
    // An earlier one may be a link, which would be written through.
    let _ = fs::remove_file(&program);
    fs::write(&program, PROGRAM).map_err(told)?;
    super::executable(&program).map_err(told)?;
    Ok(PACKAGES.join(", "))
}
