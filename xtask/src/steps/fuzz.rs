//! Fuzzing of what parses bytes of others, guided by coverage.
//!
//! `cargo fuzz` needs a nightly compiler for its sanitizers, which find faults of unsafe code. There is none here, and what
//! guides the fuzzer is a pass of LLVM's that every compiler has: the targets in `fuzz` are built with it and linked with
//! libFuzzer by the compiler that builds all else. Their dependencies do not include Burn: what needs it is tested with
//! properties, in its own crate.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use super::Step;
use crate::context::{Context, shown};
use crate::report::Outcome;

/// Builds the targets, sees that the inputs to start from are those that are made, and lets each target run for a while.
pub const STEP: Step = Step {
    name: "fuzz",
    about: "parsers of foreign bytes under a fuzzer, a minute each (two with --long)",
    run,
};

/// Seconds that a target runs, and with `--long`.
const SECONDS: [u32; 2] = [60, 120];
/// What an input may take: memory in MiB, and seconds.
const LIMITS: [&str; 2] = ["-rss_limit_mb=1024", "-timeout=10"];
/// The target that writes the inputs to start from.
const SEEDS: &str = "seeds";

/// What `cargo fuzz` gives the compiler, but for the sanitizer.
const FLAGS: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Dwarnings",
    "--cfg",
    "fuzzing",
];

fn run(context: &Context) -> Outcome {
    if !cfg!(unix) {
        return Outcome::Skipped("libFuzzer is built for Unix only here".to_owned());
    }
    if let Err(why) = compiler() {
        return Outcome::Skipped(why);
    }
    let formatted = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    let all = || match fuzz(context) {
        Ok(note) => Outcome::Passed(note),
        Err(why) => Outcome::Failed(why),
    };
    context.run(&mut context.cargo(formatted)).then(all)
}

fn fuzz(context: &Context) -> Result<String, String> {
    let programs = build(context)?;
    let seconds = SECONDS[usize::from(context.long)];
    let place = context.target.join("fuzz");
    check_seeds(&programs.join(SEEDS))?;
    let root = &context.root;
    let targets = targets(root)?;
    let executions = at_once(&targets, |target| {
        fuzz_one(root, &programs, &place, target, seconds)
    })?;
    let (count, millions) = (targets.len(), executions as f64 / 1e6);
    Ok(format!(
        "{count} targets, {seconds} s each, {millions:.1} million inputs"
    ))
}

/// Runs as many targets at a time as there are processors, for each keeps but one busy, and adds up what they come to.
fn at_once(
    targets: &[String],
    run: impl Fn(&str) -> Result<u64, String> + Sync,
) -> Result<u64, String> {
    let next = AtomicUsize::new(0);
    let some = || {
        let mut executions = 0;
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            executions += run(target)?;
        }
        Ok(executions)
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        let join = |thread: ScopedJoinHandle<'_, Result<u64, String>>| {
            let panicked = |_| Err("a thread that runs a target panicked".to_owned());
            thread.join().unwrap_or_else(panicked)
        };
        all.into_iter().map(join).sum()
    })
}

/// Sees that the inputs to start from are those that are made.
fn check_seeds(program: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command
        .env("MIRRORWATCH_SEEDS", "check")
        .stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| format!("cannot start {}: {error}", shown(&command)))?;
    if output.status.success() {
        return Ok(());
    }
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    Err("the inputs in fuzz/corpus are not those that are made, see above".to_owned())
}

/// Runs a target from its inputs and from what earlier runs have found, and returns how many it has tried.
fn fuzz_one(
    root: &Path,
    programs: &Path,
    place: &Path,
    target: &str,
    seconds: u32,
) -> Result<u64, String> {
    let found = place.join("corpus").join(target);
    let failures = place.join("failures");
    for directory in [&found, &failures] {
        fs::create_dir_all(directory)
            .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    }
    let mut command = Command::new(programs.join(target));
    command
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{target}-", failures.display()))
        .arg(found)
        .arg(root.join("fuzz/corpus").join(target))
        .stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| format!("cannot start {}: {error}", shown(&command)))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprintln!("{text}");
        return Err(format!(
            "{target} found an input that breaks it ({}), in {}; its story is above",
            output.status,
            failures.display()
        ));
    }
    let (executions, line) = done(&text).ok_or_else(|| {
        eprintln!("{text}");
        format!("{target} does not say how it ended, see above")
    })?;
    println!("{target:<13} {line}");
    Ok(executions)
}

/// The line that libFuzzer ends with: `#1234 DONE cov: 56 ft: 78 corp: 9/1000b …`.
fn done(text: &str) -> Option<(u64, String)> {
    let line = text.lines().rfind(|line| line.contains("DONE"))?;
    let (number, rest) = line.strip_prefix('#')?.split_once("DONE")?;
    let executions = number.trim().parse().ok()?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    Some((
        executions,
        format!("{executions} inputs, {}", words.join(" ")),
    ))
}

/// The names of the targets.
fn targets(root: &Path) -> Result<Vec<String>, String> {
    let directory = root.join("fuzz/fuzz_targets");
    let failed = |error: std::io::Error| format!("cannot list {}: {error}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".rs"))
            && name != SEEDS
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Builds the targets and returns the directory that they are in.
fn build(context: &Context) -> Result<PathBuf, String> {
    let host = host()?;
    let directory = context.target.join("fuzz");
    // With the target named, what runs while building is not instrumented.
    let mut command = context.cargo(["build", "--manifest-path", "fuzz/Cargo.toml", "--locked"]);
    command
        .args(["--release", "--bins", "--target", &host])
        .arg("--target-dir")
        .arg(&directory)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    match context.run(&mut command) {
        Outcome::Failed(why) => Err(why),
        _ => Ok(directory.join(host).join("release")),
    }
}

fn host() -> Result<String, String> {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("-vV")
        .output()
        .map_err(|error| format!("cannot start rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned)
        .ok_or_else(|| format!("rustc does not tell its host: {text}"))
}

/// What libFuzzer is built with.
fn compiler() -> Result<(), String> {
    let name = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let status = Command::new(&name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "there is no C++ compiler to build libFuzzer with: {} does not start; install one, or name it in CXX",
            name.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_run_once_and_a_failure_is_told() {
        let targets: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        let number = |target: &str| target.parse::<u64>().map_err(|error| error.to_string());
        assert_eq!(at_once(&targets, number), Ok(36));
        let fails = |target: &str| match target {
            "5" => Err("broken".to_owned()),
            _ => Ok(1),
        };
        assert_eq!(at_once(&targets, fails), Err("broken".to_owned()));
    }

    /// As libFuzzer of LLVM 20 prints it.
    #[test]
    fn the_last_line_says_how_many_there_were() {
        let text = "#2\tINITED cov: 5 ft: 6\n#1048576\tDONE   cov: 152 ft: 400 corp: 61/1220b lim: 4096 exec/s: 349525 rss: 41Mb\nDone 1048576 runs in 3 second(s)\n";
        let (executions, line) = done(text).expect("a line");
        assert_eq!(executions, 1_048_576);
        assert!(line.starts_with("1048576 inputs, cov: 152 ft: 400 corp: 61/1220b"));
        assert!(done("==1== ERROR: libFuzzer: deadly signal").is_none());
    }
}
