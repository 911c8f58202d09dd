//! A Python environment of our own, below the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{python, quietly};

/// The Python of an environment in `directory` that holds exactly `requirements`; made anew when these
/// have changed.
///
/// # Errors
///
/// Why it cannot be made, in words.
pub fn environment(directory: &Path, requirements: &Path) -> Result<PathBuf, String> {
    let wanted = fs::read_to_string(requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    let program = directory.join("bin/python");
    // Written last, so that half an environment is not taken for one.
    let installed = directory.join("requirements.txt");
    if program.is_file() && fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(program);
    }
    println!(
        "making a Python environment in {}, with {} packages",
        directory.display(),
        wanted.lines().filter(|line| line.contains("==")).count()
    );
    quietly(
        "make a Python environment",
        Command::new(python())
            .args(["-m", "venv", "--clear"])
            .arg(directory),
    )?;
    quietly(
        "install the packages of a benchmark with pip",
        Command::new(&program)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--no-cache-dir",
            ])
            .args([
                "--only-binary=:all:",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(requirements),
    )?;
    fs::write(&installed, wanted)
        .map_err(|error| format!("cannot write {}: {error}", installed.display()))?;
    Ok(program)
}
