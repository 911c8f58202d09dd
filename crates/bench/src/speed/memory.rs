//! (g) Memory and time of everything that follows a scan, against the number of training samples.

mod made_up;
mod on_disk;
mod peak;
mod update;

use std::path::Path;
use std::process::Command;

use mirrorwatch_daemon::history::MOST;
use serde::de::DeserializeOwned;

use super::ratio::Spread;
use super::report::Row;
use super::{Found, Part, Suite};
use on_disk::Scanned;
pub use on_disk::{Read, run as read};
use update::{Taken, TakenToRead};
pub use update::{Update, run as update};

/// Takes scans of made-up scores in, each in a process of its own.
pub const PART: Part = Part {
    name: "memory",
    about: "what follows a scan (evidence, statistics, results, state on disk), made-up scores and no model; \
        the peak is that of a whole process, in which are its program, the labels, the scan, the evidence so far, \
        and whatever is needed for a while; its history is on disk; and scans of samples that are on disk",
    run,
};

/// Rounds at most: the largest size takes most of a minute.
const ROUNDS: usize = 3;

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let sizes: &[usize] = match suite.quick {
        true => &[10_000, 100_000],
        false => &[10_000, 100_000, 1_000_000, 10_000_000],
    };
    let mut found = Found::default();
    for &samples in sizes {
        for (run, checkpoints) in [("young", 2), ("with history", MOST)] {
            let setting = format!("N = {samples}, {run}");
            measure(suite, samples, checkpoints, &setting, &mut found)?;
        }
    }
    let larger: &[Larger] = match suite.quick {
        true => &[Larger {
            samples: 10_000,
            width: 1024,
            classes: 10,
        }],
        false => &[
            Larger {
                samples: 500_000,
                width: 8190,
                classes: 10,
            },
            Larger {
                samples: 1_000_000,
                width: 254,
                classes: 1000,
            },
        ],
    };
    for larger in larger {
        scan_from_disk(suite, larger, &mut found)?;
    }
    Ok(found)
}

/// Samples that may be more than memory holds, or have more classes than can be kept of each.
struct Larger {
    samples: usize,
    width: usize,
    classes: usize,
}

fn scan_from_disk(suite: &Suite<'_>, larger: &Larger, found: &mut Found) -> Result<(), String> {
    let Larger {
        samples,
        width,
        classes,
    } = larger;
    let setting = format!("N = {samples}, {classes} classes");
    suite.tell(&format!("memory: a scan from disk, {setting}"));
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let arguments = [
        ("--samples", samples),
        ("--width", width),
        ("--classes", classes),
    ];
    let arguments: Vec<String> = arguments
        .into_iter()
        .flat_map(|(name, value)| [name.to_string(), value.to_string()])
        .collect();
    let scanned: Scanned = in_a_process("read", &arguments, directory.path())?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut add = |what, figure, unit, note| {
        found.add(Row::figure(
            what,
            &setting,
            Spread::of(&[figure]),
            unit,
            note,
        ));
    };
    add(
        "samples on disk",
        mib(scanned.on_disk),
        "MiB",
        "read one by one, in batches",
    );
    add(
        "peak of a scan of them",
        mib(scanned.peak),
        "MiB",
        "VmHWM of a process that does nothing else",
    );
    add(
        "of it, before the scan",
        mib(scanned.peak_before),
        "MiB",
        "labels and a program",
    );
    let a_sample = (scanned.peak - scanned.peak_before) as f64 / *samples as f64;
    add(
        "for the scan, a sample",
        a_sample,
        "bytes",
        "what is kept of each, and batches",
    );
    add(
        "a scan of them",
        scanned.seconds,
        "s",
        "the first of a run, a model of one layer",
    );
    add(
        "AUROC",
        scanned.auroc,
        "",
        "of the wrong labels, one in ten",
    );
    Ok(())
}

fn measure(
    suite: &Suite<'_>,
    samples: usize,
    checkpoints: usize,
    setting: &str,
    found: &mut Found,
) -> Result<(), String> {
    suite.tell(&format!("memory: {setting}"));
    let mut taken = Vec::new();
    for _ in 0..suite.rounds.min(ROUNDS) {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let update: Taken = update_in_a_process(samples, checkpoints, directory.path(), &[])?;
        let read: TakenToRead =
            update_in_a_process(samples, checkpoints, directory.path(), &["--read-back"])?;
        taken.push((update, read));
    }
    let mut add = |what, unit, note: &str, of: &dyn Fn(&(Taken, TakenToRead)) -> f64| {
        let figures: Vec<f64> = taken.iter().map(of).collect();
        let figure = Spread::of(&figures);
        found.add(Row::figure(what, setting, figure, unit, note));
    };
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    add(
        "evidence and statistics",
        "s",
        "a scan taken in, everything counted",
        &|(t, _)| t.update_seconds,
    );
    add(
        "results written",
        "s",
        "suspects as CSV and JSON lines, summary",
        &|(t, _)| t.results_seconds,
    );
    add(
        "state written",
        "s",
        "evidence and the newest of its history, to be continued after a restart",
        &|(t, _)| t.state_seconds,
    );
    add(
        "peak before",
        "MiB",
        "labels, a scan, the evidence so far",
        &|(t, _)| mib(t.peak_before),
    );
    add("peak after the update", "MiB", "VmHWM", &|(t, _)| {
        mib(t.peak_update)
    });
    add(
        "peak at the end",
        "MiB",
        "VmHWM, results and state written, too",
        &|(t, _)| mib(t.peak_end),
    );
    add(
        "peak at the end, a sample",
        "bytes",
        "over that of no samples at all",
        &|(t, _)| (t.peak_end.saturating_sub(t.peak_empty)) as f64 / samples as f64,
    );
    add(
        "state on disk, a sample",
        "bytes",
        "the file that is written anew after each scan; its history is beside it",
        &|(t, _)| t.state_bytes as f64 / samples as f64,
    );
    add(
        "history on disk, a sample",
        "bytes",
        "written once a checkpoint",
        &|(t, _)| t.history_bytes as f64 / samples as f64,
    );
    add(
        "state read back",
        "s",
        "verified, after a restart",
        &|(_, r)| r.seconds,
    );
    add(
        "peak of reading back",
        "MiB",
        "VmHWM of a process that does nothing else",
        &|(_, r)| mib(r.peak),
    );
    add(
        "one sample's history",
        "ms",
        "read from disk, as the page asks for it",
        &|(_, r)| 1e3 * r.one_seconds,
    );
    Ok(())
}

/// One update, or what it has written read back.
fn update_in_a_process<T: DeserializeOwned>(
    samples: usize,
    checkpoints: usize,
    directory: &Path,
    further: &[&str],
) -> Result<T, String> {
    let (samples, checkpoints) = (samples.to_string(), checkpoints.to_string());
    let mut arguments = vec!["--samples", &samples, "--checkpoints", &checkpoints];
    arguments.extend(further);
    let arguments: Vec<String> = arguments.into_iter().map(String::from).collect();
    in_a_process("update", &arguments, directory)
}

/// A command of this program in a process that does nothing else: a peak is never taken back.
fn in_a_process<T: DeserializeOwned>(
    command: &str,
    arguments: &[String],
    directory: &Path,
) -> Result<T, String> {
    let program = std::env::current_exe().map_err(|error| {
        format!("cannot tell which program this is, to start it again: {error}")
    })?;
    let output = Command::new(&program)
        .arg(command)
        .args(arguments)
        .arg("--directory")
        .arg(directory)
        .output()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let doing = format!("`{command} {}`", arguments.join(" "));
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "{doing} ended with {}: {}",
            output.status,
            said.trim()
        ));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{doing} printed no figures: {error}"))
}
