//! `update`: takes one scan in, as the sidecar does after a scan, and tells what it took.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use mirrorwatch_daemon::account::account_of;
use mirrorwatch_daemon::pending::Pending;
use mirrorwatch_daemon::results::{self, Paths};
use mirrorwatch_daemon::store::RunState;
use mirrorwatch_daemon::summary::Summary;
use serde::{Deserialize, Serialize};

use super::super::data::{Amount, Planted};
use super::super::nets::Kind;
use super::{made_up, peak};
use crate::product;

/// How large the update is.
#[derive(Args)]
pub struct Update {
    /// Training samples
    #[arg(long, value_name = "N")]
    samples: usize,

    /// Which checkpoint of its run this is, counted from 1
    #[arg(long, value_name = "N", default_value_t = 1)]
    checkpoints: usize,

    /// Where results and state are written
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,

    /// Read the state back that an update has left there, and nothing else
    #[arg(long)]
    read_back: bool,
}

/// What it took; peaks in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Taken {
    pub update_seconds: f64,
    pub results_seconds: f64,
    pub state_seconds: f64,
    pub peak_empty: u64,
    pub peak_before: u64,
    pub peak_update: u64,
    pub peak_end: u64,
    pub state_bytes: u64,
    pub history_bytes: u64,
    pub suspects: usize,
}

/// What reading the state back took; the peak in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct TakenToRead {
    pub seconds: f64,
    pub one_seconds: f64,
    pub peak: u64,
    pub points: usize,
}

/// Takes a scan in and prints a [`Taken`], or reads it back and prints a [`TakenToRead`].
///
/// # Errors
///
/// Statistics that refuse, or files that cannot be written or read.
pub fn run(update: &Update) -> Result<(), String> {
    let json = match update.read_back {
        true => serde_json::to_string(&read_back(update)?),
        false => serde_json::to_string(&taken(update)?),
    };
    println!("{}", json.map_err(|error| error.to_string())?);
    Ok(())
}

fn state_path(update: &Update) -> PathBuf {
    update.directory.join("state.bin")
}

fn read_back(update: &Update) -> Result<TakenToRead, String> {
    let path = state_path(update);
    let start = Instant::now();
    let state = RunState::load(&path).map_err(|error| error.to_string())?;
    let state = state.ok_or_else(|| format!("no update has left {}", path.display()))?;
    let seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let points = state.evidence.history.of(update.samples / 2).len();
    Ok(TakenToRead {
        seconds,
        one_seconds: start.elapsed().as_secs_f64(),
        peak: peak::bytes()?,
        points,
    })
}

/// The sizes of what is in a directory.
fn size(directory: &Path) -> std::io::Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(directory)? {
        size += entry?.metadata()?.len();
    }
    Ok(size)
}

fn taken(update: &Update) -> Result<Taken, String> {
    let levels = product::levels();
    // The task is only asked for ids and sources.
    let none = Amount {
        train: 0,
        probe: 0,
        trusted: 0,
        noise: 0.0,
    };
    let task = Planted::new(Kind::Mlp, none, 0);
    let peak_empty = peak::bytes()?;

    let words = |error: std::io::Error| error.to_string();
    let history = state_path(update).with_extension("history");
    let labels = made_up::labels(update.samples);
    let estimators = [made_up::estimator()];
    let mut state = RunState::new("", &estimators, labels.train.len(), labels.probe.len());
    if update.checkpoints > 1 {
        // Memory that was never written to is not there yet.
        let scan = made_up::scan(&labels, 0);
        let pending = Pending::new(&state.evidence, &scan, &labels);
        let pending = pending.map_err(|error| error.to_string())?;
        let (losses, margins) = (scan.train_losses, scan.train_margins);
        state.evidence.take(pending, losses, margins, 1);
        state.evidence.note_flags(&vec![true; update.samples], 1);
    }
    for epoch in 1..update.checkpoints as u64 {
        let p_values: Vec<f64> = (0..update.samples)
            .map(|i| (i % 1000 + 1) as f64 / 1000.0)
            .collect();
        state.evidence.note_history(&p_values, epoch, epoch);
        // As it is after the scan of that checkpoint: on disk.
        let saved = state.evidence.history.save(&history);
        saved.map_err(|error| error.to_string())?;
    }
    let mut scan = made_up::scan(&labels, update.checkpoints as u64);
    let epoch = update.checkpoints as u64;
    let peak_before = peak::bytes()?;

    // Everything below as the sidecar's worker does it.
    let start = Instant::now();
    let evidence = &mut state.evidence;
    let pending = Pending::new(evidence, &scan, &labels).map_err(|error| error.to_string())?;
    scan.estimates.clear();
    let account = account_of(&pending.channels, &labels, levels)?;
    evidence.take(pending, scan.train_losses, scan.train_margins, epoch);
    evidence.note_flags(&account.flags, epoch);
    evidence.note_history(&account.p_values, epoch, epoch);
    let update_seconds = start.elapsed().as_secs_f64();
    let peak_update = peak::bytes()?;

    let start = Instant::now();
    let suspects = results::suspects(&task, &labels, evidence, &account);
    let paths = Paths::new(&update.directory, epoch, epoch);
    let summary = summary(account.suspects)?;
    results::write(&paths, &summary, &suspects, &evidence.history, None)
        .map_err(|error| error.to_string())?;
    let results_seconds = start.elapsed().as_secs_f64();

    let start = Instant::now();
    state
        .save(&state_path(update))
        .map_err(|error| error.to_string())?;
    Ok(Taken {
        update_seconds,
        results_seconds,
        state_seconds: start.elapsed().as_secs_f64(),
        peak_empty,
        peak_before,
        peak_update,
        peak_end: peak::bytes()?,
        state_bytes: std::fs::metadata(state_path(update)).map_err(words)?.len(),
        history_bytes: size(&history).map_err(words)?,
        suspects: account.suspects,
    })
}

/// A summary of the size that any has.
fn summary(suspects: usize) -> Result<Summary, String> {
    serde_json::from_value(serde_json::json!({
        "schema": 1, "run": "made-up", "epoch": 1, "step": 1, "weights_sha256": "", "checkpoint_time": 0.0,
        "scanned_time": 0.0, "samples": 0, "scored_samples": 0, "probe": 0, "classes": 0, "direction": "",
        "score": "", "choices": [], "checkpoints": 1, "null": "trusted", "null_samples": 0, "fdr": 0.1,
        "alpha": 0.05, "suspects": suspects, "canaries": 0, "canaries_found": 0, "expected_false_suspects": 0.0, "min_detectable_suspects": 1,
        "memorised_suspects": 0, "noise_ratio_lower_bound": 0.0, "noise_ratio_estimate": 0.0, "probe_loss": 0.0,
        "probe_accuracy": 0.0, "class_pairs": [], "sources": [], "scan_seconds": 0.0, "base_sweep_seconds": 0.0
    }))
    .map_err(|error| format!("a summary has other fields by now: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_finds_what_was_made_wrong_and_tells_what_it_took() {
        let directory = tempfile::tempdir().unwrap();
        let update = |read_back| Update {
            samples: 20_000,
            checkpoints: 3,
            directory: directory.path().to_path_buf(),
            read_back,
        };
        let taken = taken(&update(false)).unwrap();
        // 1,900 are wrong, and score higher than nearly all others.
        assert!((1000..2500).contains(&taken.suspects), "{taken:?}");
        assert!(taken.peak_before <= taken.peak_update && taken.peak_update <= taken.peak_end);
        assert!(taken.update_seconds > 0.0 && taken.state_seconds > 0.0);
        // 30 bytes each and a header; three checkpoints of two bytes each and checksums.
        assert!(
            (30 * 20_000..33 * 20_000).contains(&taken.state_bytes),
            "{taken:?}"
        );
        assert!(
            (120_000..121_000).contains(&taken.history_bytes),
            "{taken:?}"
        );
        let read = read_back(&update(true)).unwrap();
        assert_eq!(read.points, 3);
        assert!(read.seconds > 0.0 && read.peak > 0, "{read:?}");
    }
}
