//! Benchmarks: builds and starts them, and fetches what they need.

mod digits;
mod python;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::build;
use crate::context::{Context, shown};
use crate::tools::libtorch;

/// The package of the benchmarks, and its program.
const PACKAGE: &str = "mirrorwatch-bench";
/// The data set that is fetched for it.
const FETCHED: &str = "tabular";
/// Tells the program at which revision it was built.
const REVISION: &str = "MIRRORWATCH_BENCH_REVISION";

/// Runs the small grid afresh, apart from the results of others, and holds it against its promises; true
/// when it passed.
pub fn quick(context: &Context) -> Result<bool, String> {
    // With `--workspace --tests` rather than `--package`: this way it is linked from what the unit tests
    // have built.
    let mut build = context.cargo(["build", "--workspace", "--tests", "--bin", PACKAGE]);
    let program = build::executable(&mut build, PACKAGE)?;
    let mut command = Command::new(&program);
    command.args(["detection", "--quick", "--force", "--check", "--out"]);
    command.arg(context.target.join("bench-quick"));
    start(&mut command)
}

/// Runs the benchmark of leaked samples; true when it passed.
pub fn leaks(context: &Context, arguments: &[String]) -> Result<bool, String> {
    let program = build::executable(&mut context.cargo(["build", "--package", PACKAGE]), PACKAGE)?;
    start(Command::new(&program).arg("leaks").args(arguments))
}

/// Runs the detection benchmark, or another one over its cells; true when it passed.
pub fn detection(context: &Context, what: &str, arguments: &[String]) -> Result<bool, String> {
    let program = build::executable(&mut context.cargo(["build", "--package", PACKAGE]), PACKAGE)?;
    let out = directory(context);
    let mut command = Command::new(&program);
    command.arg(what);
    if !given(arguments, "--out") {
        command.arg("--out").arg(&out);
    }
    if wants_data(arguments) {
        match digits::fetch(&out.join("data"), &program) {
            Ok(directory) => command
                .arg("--data")
                .arg(format!("{FETCHED}={}", directory.display())),
            Err(why) => command.arg("--unavailable").arg(format!("{FETCHED}={why}")),
        };
    }
    command.args(arguments).env(REVISION, revision(context));
    start(&mut command)
}

/// Runs cleanlab and AUM on what the detection benchmark exported; true when it passed.
pub fn cleanlab(context: &Context, arguments: &[String]) -> Result<bool, String> {
    let out = directory(context);
    let sources = context.root.join("crates/bench/python");
    let python = python::environment(&out.join("venv"), &sources.join("requirements.txt"))?;
    let mut command = Command::new(python);
    command.arg(sources.join("side_by_side.py"));
    if !given(arguments, "--out") {
        command.arg("--out").arg(&out);
    }
    start(command.args(arguments))
}

/// The parts of `speed` that PyTorch takes part in.
const BESIDE_PYTORCH: [&str; 2] = ["forward", "methods"];

/// Runs the benchmark of how long everything takes, with every backend there is a library for, and beside PyTorch
/// where a part wants it; true when it passed.
pub fn speed(context: &Context, arguments: &[String]) -> Result<bool, String> {
    let libtorch = libtorch::locate(context, context.fetch);
    let mut build = context.cargo(["build", "--workspace", "--bin", PACKAGE]);
    if let Ok(libtorch) = &libtorch {
        build.args(["--features", &format!("{PACKAGE}/tch")]);
        libtorch.tell(&mut build);
    }
    let program = build::executable(&mut build, PACKAGE)?;
    let out = directory(context);
    let mut command = Command::new(&program);
    command.arg("speed").env(REVISION, revision(context));
    if let Ok(libtorch) = &libtorch {
        libtorch.tell(&mut command);
    }
    if !given(arguments, "--out") {
        command.arg("--out").arg(&out);
    }
    if wants_pytorch(arguments) {
        let requirements = context
            .root
            .join("crates/bench/python/requirements-speed.txt");
        match python::environment(&out.join("venv-speed"), &requirements) {
            Ok(python) => command.arg("--python").arg(python),
            Err(why) => command.arg("--no-python").arg(why),
        };
    }
    start(command.args(arguments))
}

/// Whether a part that runs is measured beside PyTorch, whose environment takes gigabytes.
fn wants_pytorch(arguments: &[String]) -> bool {
    let idle = arguments.iter().any(|a| a == "--help" || a == "-h");
    let own = given(arguments, "--python") || given(arguments, "--no-python");
    let named = !given(arguments, "--part")
        || arguments
            .iter()
            .any(|a| BESIDE_PYTORCH.contains(&a.trim_start_matches("--part=")));
    !idle && !own && named
}

/// Where all benchmarks put their results.
fn directory(context: &Context) -> PathBuf {
    context.target.join("bench")
}

fn given(arguments: &[String], name: &str) -> bool {
    let with_value = format!("{name}=");
    arguments
        .iter()
        .any(|argument| argument == name || argument.starts_with(&with_value))
}

/// Whether these arguments can lead to a cell of the data set that is fetched.
fn wants_data(arguments: &[String]) -> bool {
    let elsewhere = format!("{FETCHED}=");
    let idle = ["--quick", "--help", "-h"];
    !arguments
        .iter()
        .any(|argument| idle.contains(&argument.as_str()) || argument.contains(&elsewhere))
}

/// The revision of the work tree, marked when it has been changed since.
fn revision(context: &Context) -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .current_dir(&context.root)
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => String::new(),
    }
}

/// Starts a command with its output visible; true when it succeeded.
fn start(command: &mut Command) -> Result<bool, String> {
    println!("$ {}", shown(command));
    let status = command
        .status()
        .map_err(|error| format!("cannot start {}: {error}", shown(command)))?;
    Ok(status.success())
}

/// Runs a command without showing its output; when it fails, what it was for and what it said.
fn quietly(what: &str, command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot {what}: {}: {error}", shown(command)))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    let said = last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned());
    Err(format!("cannot {what}: {said}"))
}

/// The Python that is on this machine.
fn python() -> &'static Path {
    Path::new("python3")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn data_is_fetched_only_for_those_who_can_use_it() {
        assert!(wants_data(&arguments(&["--seeds", "0"])));
        assert!(!wants_data(&arguments(&["--quick"])));
        assert!(!wants_data(&arguments(&["--data", "tabular=mine"])));
        assert!(!wants_data(&arguments(&["--data=tabular=mine"])));
    }

    #[test]
    fn arguments_are_found_in_both_forms() {
        assert!(given(&arguments(&["--out", "x"]), "--out"));
        assert!(given(&arguments(&["--out=x"]), "--out"));
        assert!(!given(&arguments(&["--output"]), "--out"));
    }

    #[test]
    fn pytorch_is_fetched_only_for_those_who_compare_with_it() {
        let wants = |texts: &[&str]| wants_pytorch(&arguments(texts));
        assert!(wants(&[]) && wants(&["--rounds", "3"]));
        assert!(wants(&["--part", "scan", "--part=forward"]));
        assert!(!wants(&["--part", "scan"]) && !wants(&["--help"]));
        assert!(!wants(&["--no-python", "no network"]) && !wants(&["--python=x"]));
    }

    #[test]
    fn a_failure_says_why() {
        let failure = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            quietly("do it", &mut command)
        };
        let said = failure("echo one >&2; echo two >&2; exit 3");
        assert_eq!(said, Err("cannot do it: two".to_owned()));
        let silent = failure("exit 3");
        assert!(silent.is_err_and(|why| why.contains('3')));
        assert_eq!(failure("echo one >&2"), Ok(()));
    }
}
