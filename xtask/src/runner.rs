//! The two ways to run tests, cargo-nextest and plain `cargo test`, over the same sets.
//!
//! Both always select the whole workspace and narrow the set afterwards. `-p` would narrow what
//! cargo *resolves* as well: the features of shared crates (regex-syntax, flate2) then differ, and
//! Burn and all that stands on it is built a second time.

use std::fmt;
use std::process::Command;

use crate::context::{Context, E2E_PACKAGE};

/// What runs the tests.
#[derive(Debug)]
pub enum Runner {
    /// cargo-nextest, with its version.
    Nextest(String),
    /// `cargo test`.
    CargoTest,
}

/// Which tests to run.
#[derive(Debug, Clone, Copy)]
pub enum Set<'a> {
    /// Everything but the end-to-end suite and doctests.
    Unit,
    /// The end-to-end suite, without the tests of these exact names.
    EndToEnd {
        /// Tests whose tools are missing.
        without: &'a [String],
    },
    /// The integration tests of these names, which need these features.
    With {
        /// As cargo takes them: `PACKAGE/FEATURE`.
        features: &'a [&'a str],
        /// Names of test targets.
        targets: &'a [&'a str],
    },
}

impl Runner {
    /// cargo-nextest when it is installed.
    pub fn detect() -> Self {
        let output = Command::new("cargo-nextest")
            .args(["nextest", "--version"])
            .output();
        match output {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                Self::Nextest(
                    text.split_whitespace()
                        .nth(1)
                        .unwrap_or("of unknown version")
                        .to_owned(),
                )
            }
            _ => Self::CargoTest,
        }
    }

    /// The command that runs a set.
    pub fn command(&self, context: &Context, set: Set<'_>) -> Command {
        match self {
            Self::Nextest(_) => nextest(context, set),
            Self::CargoTest => cargo_test(context, set),
        }
    }
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nextest(version) => write!(f, "cargo-nextest {version}"),
            Self::CargoTest => write!(f, "cargo test (cargo-nextest is not installed)"),
        }
    }
}

fn nextest(context: &Context, set: Set<'_>) -> Command {
    let mut command = context.cargo(["nextest", "run", "--workspace", "--tool-config-file"]);
    command.arg(format!(
        "xtask:{}",
        context.root.join("xtask/nextest.toml").display()
    ));
    command.args(["-E", &expression(set)]);
    command.args(chosen(set));
    if context.long {
        command.args(["--run-ignored", "all"]);
    }
    if matches!(set, Set::EndToEnd { without: [_, ..] }) {
        // Nothing left to run is then no fault of the suite.
        command.args(["--no-tests", "pass"]);
    }
    command
}

/// A set in nextest's filter language. (Its `--skip` and `--exact` do not go together as libtest's do.)
fn expression(set: Set<'_>) -> String {
    let end_to_end = format!("package(={E2E_PACKAGE}) & kind(test)");
    match set {
        // Chosen by what is built.
        Set::With { .. } => "all()".to_owned(),
        Set::Unit => format!("not ({end_to_end})"),
        Set::EndToEnd { without } => without
            .iter()
            .fold(end_to_end, |all, name| format!("{all} & not test(={name})")),
    }
}

/// The arguments that choose features and test targets; the same for both runners.
fn chosen(set: Set<'_>) -> Vec<String> {
    let Set::With { features, targets } = set else {
        return Vec::new();
    };
    let mut arguments = vec!["--features".to_owned(), features.join(",")];
    for target in targets {
        arguments.extend(["--test".to_owned(), (*target).to_owned()]);
    }
    arguments
}

fn cargo_test(context: &Context, set: Set<'_>) -> Command {
    let mut command = context.cargo(["test", "--workspace", "--no-fail-fast"]);
    if matches!(set, Set::Unit) {
        command.args(["--lib", "--bins"]);
    }
    command.args(chosen(set));
    for (package, target) in &context.test_targets {
        let wanted = match set {
            Set::Unit => package != E2E_PACKAGE,
            Set::EndToEnd { .. } => package == E2E_PACKAGE,
            Set::With { .. } => false,
        };
        if wanted {
            command.args(["--test", target]);
        }
    }
    command.arg("--");
    if context.long {
        command.arg("--include-ignored");
    }
    if let Set::EndToEnd { without } = set
        && !without.is_empty()
    {
        command.arg("--exact").args(skips(without));
    }
    command
}

fn skips(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().flat_map(|name| ["--skip", name.as_str()])
}

/// The names of the end-to-end tests. The answer is the same for both runners.
pub fn end_to_end_tests(context: &Context) -> Result<Vec<String>, String> {
    let mut command = cargo_test(context, Set::EndToEnd { without: &[] });
    command.arg("--list").stderr(std::process::Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| format!("cannot start cargo test: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cannot list the end-to-end tests ({}); see above",
            output.status
        ));
    }
    Ok(listed(&String::from_utf8_lossy(&output.stdout)))
}

/// The tests named in libtest's `--list`.
fn listed(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_read_from_libtests_list() {
        let text =
            "a::prometheus_scrapes: test\nb: test\nspeed: benchmark\n\n2 tests, 1 benchmark\n";
        assert_eq!(listed(text), ["a::prometheus_scrapes", "b"]);
    }

    #[test]
    fn sets_are_written_in_nextests_language() {
        let suite = "package(=mirrorwatch-tests) & kind(test)";
        assert_eq!(expression(Set::Unit), format!("not ({suite})"));
        let without = ["a::b".to_owned(), "c".to_owned()];
        let expected = format!("{suite} & not test(=a::b) & not test(=c)");
        assert_eq!(expression(Set::EndToEnd { without: &without }), expected);
    }

    #[test]
    fn features_and_targets_are_chosen_by_name() {
        let set = Set::With {
            features: &["a/x", "b/y"],
            targets: &["t"],
        };
        assert_eq!(chosen(set), ["--features", "a/x,b/y", "--test", "t"]);
        assert!(chosen(Set::Unit).is_empty());
    }

    #[test]
    fn names_become_skip_arguments() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            skips(&names).collect::<Vec<_>>(),
            ["--skip", "a", "--skip", "b"]
        );
    }
}
