//! Playwright-core, which drives Chromium, and axe-core, which looks for what shuts people out, from npm. Neither
//! brings a browser of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Program, Store, Tool, npm_install};

/// The packages: each one archive without dependencies.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];
/// Its program within the store, relative to `usr/bin`.
const PROGRAM: &str = "../lib/playwright/node_modules/playwright-core/cli.js";

/// Drives the page in Chromium.
pub const TOOL: Tool = Tool {
    name: "playwright",
    about: "drives the live page in Chromium",
    by_default: true,
    pins: || PACKAGES.map(String::from).to_vec(),
    programs: &[Program {
        name: "playwright-core",
        variable: "MIRRORWATCH_PLAYWRIGHT",
    }],
    fetch,
};

fn fetch(store: &Store) -> Result<String, String> {
    // Without them it would be of no use.
    for (program, package) in [("node", "nodejs"), ("npm", "npm"), ("chromium", "chromium")] {
        let found = Command::new(program).arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            return Err(format!(
                "it needs {program}, which only the machine's package manager can install; run apt-get install {package}"
            ));
        }
    }
    let root = store.root();
    let (bin, library) = (root.join("usr/bin"), root.join("usr/lib/playwright"));
    let told = |error: std::io::Error| format!("cannot write below {}: {error}", root.display());
    fs::create_dir_all(&bin).map_err(told)?;
    fs::create_dir_all(&library).map_err(told)?;
    npm_install(&library, &PACKAGES)?;
    super::link(Path::new(PROGRAM), &bin.join("playwright-core")).map_err(told)?;
    Ok(PACKAGES.join(", "))
}
