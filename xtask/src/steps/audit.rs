//! Known vulnerabilities of the dependencies, and versions that were withdrawn.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Step;
use crate::context::{Context, shown};
use crate::report::Outcome;
use crate::tools::{self, checkers};

/// Asks RustSec's database, where it can be reached, and the registry's index, which tells what was withdrawn.
pub const STEP: Step = Step {
    name: "audit",
    about: "no known vulnerability and no withdrawn version among the dependencies",
    run,
};

/// Everything that is locked.
const LOCKS: [&str; 2] = ["Cargo.lock", "fuzz/Cargo.lock"];
/// What fetching the database may take where a network swallows what is sent.
const PATIENCE: Duration = Duration::from_secs(60);
/// The files that its output and its errors are in.
const SAID: &str = "report.json";
const COMPLAINED: &str = "errors.txt";

fn run(context: &Context) -> Outcome {
    let located = tools::locate(context, &checkers::TOOL, context.fetch);
    let program = match located.state {
        Ok(installed) => installed.paths[checkers::AUDIT].clone(),
        Err(why) => return Outcome::Skipped(why),
    };
    let place = context.target.join("audit");
    let database = place.join("advisory-db");
    let mut fetched = Vec::new();
    for lock in LOCKS {
        let mut ask = audit(&program, &database, &context.root.join(lock));
        match answer(&mut ask, &place) {
            Ok(report) => fetched.push(report),
            Err(why) => return only_withdrawn(context, &program, &place, &why),
        }
    }
    judge(&fetched).map_or_else(Outcome::Failed, Outcome::Passed)
}

/// Without the database: cargo-audit over an empty one still asks the index. The step counts as skipped.
fn only_withdrawn(context: &Context, program: &Path, place: &Path, why: &str) -> Outcome {
    let empty = place.join("empty");
    if let Err(error) = fs::create_dir_all(empty.join("crates")) {
        return Outcome::Failed(format!("cannot make {}: {error}", empty.display()));
    }
    let mut reports = Vec::new();
    for lock in LOCKS {
        let mut ask = audit(program, &empty, &context.root.join(lock));
        match answer(ask.args(["--no-fetch", "--stale"]), place) {
            Ok(report) => reports.push(report),
            Err(index) => {
                return Outcome::Skipped(format!("no advisories: {why}; no index: {index}"));
            }
        }
    }
    match judge(&reports) {
        Ok(note) => Outcome::Skipped(format!("no advisories: {why}; of the rest, {note}")),
        Err(found) => Outcome::Failed(found),
    }
}

fn audit(program: &Path, database: &Path, lock: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["audit", "--json", "--db"])
        .arg(database)
        .arg("--file")
        .arg(lock)
        .stdin(Stdio::null());
    command
}

/// What it reports; that it found something is no error here.
fn answer(command: &mut Command, place: &Path) -> Result<Value, String> {
    let status = within(command, place, PATIENCE)?;
    let read = |name: &str| fs::read(place.join(name)).unwrap_or_default();
    serde_json::from_slice(&read(SAID)).map_err(|_| {
        let text = String::from_utf8_lossy(&read(COMPLAINED)).into_owned();
        let line = text.lines().find(|line| line.starts_with("error"));
        let said = line.unwrap_or("nothing").trim_start_matches("error: ");
        format!("cargo-audit ended with {status} and says: {said}")
    })
}

/// Runs a command that may wait for the network without end. Its output goes into files: a pipe that nobody empties would
/// keep it waiting, too.
fn within(command: &mut Command, place: &Path, patience: Duration) -> Result<ExitStatus, String> {
    let failed = |error: std::io::Error| format!("cannot run {}: {error}", shown(command));
    fs::create_dir_all(place).map_err(failed)?;
    let file = |name: &str| File::create(place.join(name));
    let (said, complained) = (
        file(SAID).map_err(failed)?,
        file(COMPLAINED).map_err(failed)?,
    );
    let child = command.stdout(said).stderr(complained).spawn();
    let failed = |error: std::io::Error| format!("cannot run {}: {error}", shown(command));
    let mut child = child.map_err(failed)?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        if started.elapsed() > patience {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            return Err(format!("no answer within {} s", patience.as_secs()));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// What the reports add up to: a note, or what is wrong. Of crates that are merely abandoned it is told, and no more.
fn judge(reports: &[Value]) -> Result<String, String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (mut crates, mut advisories) = (0, 0);
    let (mut wrong, mut told) = (Vec::new(), Vec::new());
    for report in reports {
        let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64);
        let counts = (
            number("/lockfile/dependency-count"),
            number("/database/advisory-count"),
        );
        let (Some(locked), Some(known)) = counts else {
            return Err("cargo-audit's report has another form than expected".to_owned());
        };
        crates += locked;
        advisories = advisories.max(known);
        wrong.extend(list(&report["vulnerabilities"]["list"]));
        for (kind, entries) in report["warnings"].as_object().into_iter().flatten() {
            let place = if kind == "unmaintained" {
                &mut told
            } else {
                &mut wrong
            };
            place.extend(list(entries));
        }
    }
    let names = |entries: &[Value]| entries.iter().map(name).collect::<Vec<_>>().join(", ");
    if !wrong.is_empty() {
        return Err(format!("replace or update {}", names(&wrong)));
    }
    let mut note = format!("{crates} locked crates, none withdrawn");
    if advisories > 0 {
        note += &format!(", none of {advisories} advisories");
    }
    if !told.is_empty() {
        note += &format!("; abandoned: {}", names(&told));
    }
    Ok(note)
}

/// `crate 1.2.3 (RUSTSEC-…)`, or what kind of warning it is.
fn name(entry: &Value) -> String {
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
    let reason = text("/advisory/id").or(text("/kind")).unwrap_or("?");
    let of = |what: &str| text(&format!("/package/{what}")).unwrap_or("?").to_owned();
    format!("{} {} ({reason})", of("name"), of("version"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// In the words of cargo-audit 0.22.2.
    fn report(advisories: u64, vulnerable: Value, warnings: Value) -> Value {
        json!({
            "database": {"advisory-count": advisories, "last-commit": null, "last-updated": null},
            "lockfile": {"dependency-count": 820},
            "vulnerabilities": {"found": false, "count": 0, "list": vulnerable},
            "warnings": warnings,
        })
    }

    #[test]
    fn vulnerable_unsound_and_withdrawn_crates_fail_and_abandoned_ones_are_told() {
        let package = json!({"name": "bumpalo", "version": "3.12.1"});
        let yanked = json!([{"kind": "yanked", "package": package, "advisory": null}]);
        let known = json!([{"package": package, "advisory": {"id": "RUSTSEC-2022-0078"}}]);
        let wrong = |report| judge(&[report]).expect_err("something is wrong");
        let found = wrong(report(0, json!([]), json!({"yanked": yanked})));
        assert_eq!(found, "replace or update bumpalo 3.12.1 (yanked)");
        let found = wrong(report(9, known.clone(), json!({})));
        assert_eq!(
            found,
            "replace or update bumpalo 3.12.1 (RUSTSEC-2022-0078)"
        );
        wrong(report(9, json!([]), json!({"unsound": known})));

        let abandoned = report(9, json!([]), json!({"unmaintained": known}));
        let note = judge(&[abandoned, report(9, json!([]), json!({}))]).expect("nothing is wrong");
        assert_eq!(
            note,
            "1640 locked crates, none withdrawn, none of 9 advisories; abandoned: bumpalo 3.12.1 (RUSTSEC-2022-0078)"
        );
        assert!(judge(&[json!({})]).is_err(), "a report of another form");
    }

    #[cfg(unix)]
    #[test]
    fn a_network_that_swallows_everything_is_not_waited_for() {
        let place = std::env::temp_dir().join(format!("xtask-audit-{}", std::process::id()));
        let started = Instant::now();
        let mut sleep = Command::new("sleep");
        let ended = within(sleep.arg("600"), &place, Duration::from_millis(200));
        assert_eq!(ended, Err("no answer within 0 s".to_owned()));
        assert!(started.elapsed() < Duration::from_secs(60));

        let mut fails = Command::new("sh");
        fails.args(["-c", "echo 'error: no network' >&2; exit 3"]);
        let why = answer(&mut fails, &place).expect_err("there is no report");
        assert!(why.contains("exit status: 3 and says: no network"), "{why}");
        fs::remove_dir_all(place).expect("can remove");
    }
}
