//! The real components that end-to-end tests talk to: where they are, and fetching them.
//!
//! A new tool is one small file with a [`Tool`] in it and its line in [`TOOLS`]. Tests that need
//! tool `x` have names that start with `x_`, and find its programs through the environment
//! variables it names; when the tool is missing they are skipped by name.

mod alertmanager;
mod apt;
pub mod checkers;
mod chromium;
pub mod cyclonedx;
mod dashboards;
pub mod libtorch;
mod locate;
mod moto;
mod playwright;
mod prometheus;
mod schemathesis;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use locate::{Store, locate};

/// Every tool there is.
pub const TOOLS: &[Tool] = &[
    prometheus::TOOL,
    alertmanager::TOOL,
    chromium::TOOL,
    playwright::TOOL,
    schemathesis::TOOL,
    moto::TOOL,
    dashboards::TOOL,
    checkers::TOOL,
    cyclonedx::TOOL,
];

/// A component of the tests.
pub struct Tool {
    /// Its name, and the start of the names of the tests that need it.
    pub name: &'static str,
    /// What the tests use it for.
    pub about: &'static str,
    /// Whether a plain run fetches it.
    pub by_default: bool,
    /// Versions that it must have been fetched in; of Debian's packages, none.
    pub pins: fn() -> Vec<String>,
    /// What it consists of.
    pub programs: &'static [Program],
    /// Unpacks it below [`Store::root`] and tells its version, or why it cannot.
    pub fetch: fn(&Store) -> Result<String, String>,
}

/// One executable of a tool.
pub struct Program {
    /// Its file name.
    pub name: &'static str,
    /// The environment variable that tells its path, to the tests and to us.
    pub variable: &'static str,
}

/// Puts a symbolic link to `original` at `link`, in place of what an interrupted run may have left there.
#[cfg(unix)]
fn link(original: &Path, link: &Path) -> std::io::Result<()> {
    let _ = std::fs::remove_file(link);
    std::os::unix::fs::symlink(original, link)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other(
        "only done where there are symbolic links",
    ))
}

/// Lets everybody run a file.
#[cfg(unix)]
fn executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Runs a command; of one that fails, the last line it said.
fn run(what: &str, command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("cannot start {what}: {error}; is it installed?"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    // npm ends with where its log is, which says nothing.
    let telling = |line: &&str| !line.contains("complete log of this run");
    let line = text.lines().rfind(telling).unwrap_or_default();
    Err(format!("{what} fails: {line}"))
}

/// Installs packages from npm below `directory`, running none of their scripts.
fn npm_install(directory: &Path, packages: &[impl AsRef<str>]) -> Result<(), String> {
    run(
        "npm install",
        Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
            .args(["--no-save", "--prefix"])
            .arg(directory)
            .args(packages.iter().map(AsRef::as_ref)),
    )
}

/// Makes a Python environment of its own at `directory`, and gives its interpreter.
fn python(directory: &Path) -> Result<PathBuf, String> {
    run(
        "python3 -m venv",
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(directory),
    )?;
    Ok(directory.join("bin/python"))
}

/// A command of pip.
fn pip(python: &Path, what: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", what, "--quiet", "--disable-pip-version-check"]);
    command
}

/// Makes a Python environment of its own at `directory`, with packages from PyPI in it.
fn pip_install(directory: &Path, packages: &[&str]) -> Result<(), String> {
    let python = python(directory)?;
    run("pip install", pip(&python, "install").args(packages))
}

/// A tool that is there.
pub struct Installed {
    /// Its version, and where it came from.
    pub version: String,
    /// Its programs' paths, in the order of [`Tool::programs`].
    pub paths: Vec<PathBuf>,
}

/// A tool, and whether it is there.
pub struct Located {
    /// Which.
    pub tool: &'static Tool,
    /// Where it is, or why it is not there and what to do.
    pub state: Result<Installed, String>,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tool {
            name,
            about,
            programs,
            ..
        } = self.tool;
        match &self.state {
            Ok(installed) => {
                write!(f, "{name} ({about}): {}", installed.version)?;
                for (program, path) in programs.iter().zip(&installed.paths) {
                    write!(f, "\n  {}={}", program.variable, path.display())?;
                }
                Ok(())
            }
            Err(why) => write!(f, "{name} ({about}): missing: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_variables_are_unique() {
        let mut names: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        names.extend(
            TOOLS
                .iter()
                .flat_map(|tool| tool.programs)
                .map(|program| program.variable),
        );
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_missing_tool_says_why() {
        let located = Located {
            tool: &TOOLS[0],
            state: Err("no network".into()),
        };
        let text = located.to_string();
        assert!(text.starts_with("prometheus ("), "{text}");
        assert!(text.ends_with("missing: no network"), "{text}");
    }
}
