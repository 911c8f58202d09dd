//! What every step and tool is given: where things are, and how to start a command.

use std::cell::OnceCell;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::report::Outcome;
use crate::runner::Runner;
use crate::tools::{self, Located, Tool};

/// The package whose integration tests are the end-to-end suite.
pub const E2E_PACKAGE: &str = "mirrorwatch-tests";

/// Facts about the workspace and the choices made on the command line.
pub struct Context {
    /// The workspace's directory.
    pub root: PathBuf,
    /// Cargo's target directory, wherever the environment or a configuration file put it.
    pub target: PathBuf,
    /// Also run the long tests.
    pub long: bool,
    /// Whether the steps may fetch missing tools.
    pub fetch: bool,
    /// What runs the tests.
    pub runner: Runner,
    /// Integration tests by package: (package, name of the test target).
    pub test_targets: Vec<(String, String)>,
    tools: OnceCell<Vec<Located>>,
}

impl Context {
    /// Asks cargo where things are.
    pub fn new(long: bool, fetch: bool) -> Result<Self, String> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot start cargo: {error}; is it on PATH?"))?;
        if !output.status.success() {
            return Err(format!(
                "cargo metadata failed ({}); see its message above",
                output.status
            ));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("cannot read the output of cargo metadata: {error}"))?;
        let path = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).ok_or_else(|| {
                format!("cargo metadata does not tell {key}; is this cargo older than 1.95?")
            })
        };
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            long,
            fetch,
            runner: Runner::detect(),
            test_targets: test_targets(&metadata),
            tools: OnceCell::new(),
        })
    }

    /// Every tool, looked for once per run; the ones most tests need are fetched.
    pub fn tools(&self) -> &[Located] {
        self.tools.get_or_init(|| {
            let fetch = |tool: &Tool| self.fetch && tool.by_default;
            tools::TOOLS
                .iter()
                .map(|tool| tools::locate(self, tool, fetch(tool)))
                .collect()
        })
    }

    /// A cargo command in the workspace.
    pub fn cargo<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let mut command = cargo();
        command
            .current_dir(&self.root)
            .args(args.into_iter().map(Into::into));
        command
    }

    /// Runs a command with its output visible.
    pub fn run(&self, command: &mut Command) -> Outcome {
        println!("$ {}", shown(command));
        match command.status() {
            Ok(status) if status.success() => Outcome::passed(),
            Ok(status) => Outcome::Failed(format!("{status}; its output is above")),
            Err(error) => Outcome::Failed(format!("cannot start {}: {error}", shown(command))),
        }
    }
}

/// Cargo itself: the one that started us, so that the toolchain is the same.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.stdin(Stdio::null());
    forget_us(&mut command);
    command
}

/// `cargo run` describes *this* package to us in variables that another cargo would take for its own.
pub fn forget_us(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// The integration tests of every package, in `cargo metadata`'s words, but for those that a feature must be turned on
/// for.
fn test_targets(metadata: &Value) -> Vec<(String, String)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for package in list(&metadata["packages"]) {
        for target in list(&package["targets"]) {
            let plain = list(&target["required-features"]).is_empty();
            if plain && list(&target["kind"]).iter().any(|kind| kind == "test") {
                found.push((text(&package["name"]), text(&target["name"])));
            }
        }
    }
    found
}

/// A command as a person would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_stem()
        .unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        let plain = argument
            .chars()
            .all(|c| c.is_alphanumeric() || "-_=/.,:+".contains(c));
        words.push(if plain {
            argument.into_owned()
        } else {
            format!("'{argument}'")
        });
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/opt/bin/cargo");
        command.args(["test", "-E", "not package(=a)"]);
        assert_eq!(shown(&command), "cargo test -E 'not package(=a)'");
    }

    #[test]
    fn only_integration_tests_are_listed() {
        let metadata = serde_json::json!({"packages": [{"name": "a", "targets": [
            {"name": "a", "kind": ["lib"]},
            {"name": "protocol", "kind": ["test"]},
            {"name": "backends", "kind": ["test"], "required-features": ["tch"]},
        ]}]});
        assert_eq!(
            test_targets(&metadata),
            [("a".to_owned(), "protocol".to_owned())]
        );
    }
}
