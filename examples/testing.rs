//! Runs the two programs of an example as a user would: the sidecar first, and a training that it watches.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// What the sidecar found.
pub struct Found {
    /// The last scan's summary.
    pub summary: Value,
    /// Positions of the suspects, most suspicious first.
    pub suspects: Vec<usize>,
}

/// A process that does not outlive its test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `sidecar` on `root`, runs `train`, and waits until all checkpoints of `run` are scanned.
pub fn watched(
    mut train: Command,
    sidecar: &str,
    arguments: &[&str],
    root: &Path,
    run: &str,
) -> Found {
    let mut watching = Guard(
        Command::new(sidecar)
            .args(["watch", "--until-finished", "--listen", "127.0.0.1:0"])
            // A busy machine must not make it leave checkpoints out.
            .args(["--queue", "50", "--root"])
            .arg(root)
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("the sidecar starts"),
    );
    let trained = train
        .stdout(Stdio::null())
        .status()
        .expect("the training starts");
    assert!(trained.success(), "the training fails");
    let watched = watching.0.wait().expect("the sidecar ends");
    assert!(watched.success(), "a checkpoint could not be scanned");

    let scans = root.join(".mirrorwatch/runs").join(run).join("scans");
    let mut summaries: Vec<_> = std::fs::read_dir(&scans)
        .expect("there are scans")
        .map(|entry| entry.expect("they can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    summaries.sort();
    let last = summaries.last().expect("there is a scan");
    let summary = serde_json::from_slice(&std::fs::read(last).expect("readable")).expect("JSON");
    let lines = std::fs::read_to_string(last.with_extension("suspects.jsonl")).expect("readable");
    let suspects = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["index"].as_u64())
        .map(|index| index.expect("a position") as usize)
        .collect();
    Found { summary, suspects }
}

/// Precision and recall of the suspects, printed.
pub fn judge(found: &Found, wrong: &[bool]) -> (f64, f64) {
    let right = found.suspects.iter().filter(|&&i| wrong[i]).count() as f64;
    let all = wrong.iter().filter(|w| **w).count() as f64;
    let (precision, recall) = (right / found.suspects.len().max(1) as f64, right / all);
    println!(
        "epoch {}: {} suspects, precision {precision:.3}, recall {recall:.3}; at least {:.3} wrong, truth {:.3}",
        found.summary["epoch"],
        found.suspects.len(),
        found.summary["noise_ratio_lower_bound"]
            .as_f64()
            .unwrap_or_default(),
        all / wrong.len() as f64,
    );
    (precision, recall)
}
