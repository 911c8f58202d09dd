//! Follows the sidecar's results while training runs and measures them against the truth.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mirrorwatch::daemon::onset::SourceOnset;
use mirrorwatch::daemon::results::SampleScore;
use mirrorwatch::daemon::summary::{SourceCount, Summary};
use serde::Serialize;

use quickstart::figures::Figures;

/// One scanned checkpoint in the demo's summary. Fields that need the truth are null without it.
#[derive(Debug, Clone, Serialize)]
pub struct Checkpoint {
    pub epoch: u64,
    pub step: u64,
    pub train_loss: Option<f64>,
    pub suspects: usize,
    pub false_discovery_proportion: f64,
    pub recall: Option<f64>,
    pub auroc: Option<f64>,
    pub average_precision: Option<f64>,
    pub noise_ratio_lower_bound: f64,
    pub noise_ratio_estimate: f64,
    pub scan_seconds: f64,
    pub base_sweep_seconds: f64,
    pub direction: String,
    pub null: String,
    pub loss_auroc: Option<f64>,
    pub mean_loss_auroc: Option<f64>,
    pub aum_auroc: Option<f64>,
}

/// Reads scans as they appear.
pub struct Follower<'a> {
    /// Where the sidecar writes its scans.
    pub scans: PathBuf,
    /// Which training samples are really wrong.
    pub wrong: &'a [bool],
    /// Trusted training samples and canaries, left out of every figure.
    pub known: &'a [usize],
    /// Summaries that were read already.
    pub seen: BTreeSet<PathBuf>,
    /// What was found so far, in order of appearance.
    pub checkpoints: Vec<Checkpoint>,
    /// Sources at the last scan, most conspicuous first.
    pub sources: Vec<SourceCount>,
    /// Sources that went bad at any time, oldest first.
    pub onsets: Vec<SourceOnset>,
}

impl Follower<'_> {
    /// Reads what is new and returns how many checkpoints that were.
    ///
    /// # Errors
    ///
    /// A result that cannot be read, in words.
    pub fn poll(&mut self) -> Result<usize, String> {
        let mut fresh = Vec::new();
        // No directory yet, no result yet.
        let Ok(entries) = std::fs::read_dir(&self.scans) else {
            return Ok(0);
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".json") && !name.starts_with('.') && !self.seen.contains(&path) {
                fresh.push(path);
            }
        }
        fresh.sort();
        for path in &fresh {
            let checkpoint = self.read(path)?;
            self.seen.insert(path.clone());
            self.checkpoints.push(checkpoint);
        }
        Ok(fresh.len())
    }

    fn read(&mut self, path: &Path) -> Result<Checkpoint, String> {
        let failed =
            |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
        let summary: Summary = serde_json::from_str(&text).map_err(|e| failed(&e))?;
        let scores = read_scores(&path.with_extension("scores.csv"))?;
        let flags: Vec<bool> = scores.iter().map(|s| s.flagged).collect();
        let figures = |values: Vec<f32>| {
            Figures::new(self.wrong, &flags, &values, self.known).map_err(|e| failed(&e))
        };
        let found = figures(scores.iter().map(|s| s.score).collect())?;
        let loss = figures(scores.iter().map(|s| s.loss).collect())?;
        let mean_loss = figures(scores.iter().map(|s| s.mean_loss).collect())?;
        let aum = figures(scores.iter().map(|s| -s.mean_margin).collect())?;
        self.sources = summary.sources;
        self.onsets = summary.onset.so_far;
        Ok(Checkpoint {
            epoch: summary.epoch,
            step: summary.step,
            train_loss: summary.train_loss,
            suspects: summary.suspects,
            false_discovery_proportion: found.false_discovery_proportion,
            recall: found.recall,
            auroc: found.auroc,
            average_precision: found.average_precision,
            noise_ratio_lower_bound: summary.noise_ratio_lower_bound,
            noise_ratio_estimate: summary.noise_ratio_estimate,
            scan_seconds: summary.scan_seconds,
            base_sweep_seconds: summary.base_sweep_seconds,
            direction: format!("{}:{}", summary.direction, summary.score),
            null: summary.null.name().to_string(),
            loss_auroc: loss.auroc,
            mean_loss_auroc: mean_loss.auroc,
            aum_auroc: aum.auroc,
        })
    }
}

/// The scores of all samples of one scan.
///
/// # Errors
///
/// The file cannot be read, in words.
pub fn read_scores(path: &Path) -> Result<Vec<SampleScore>, String> {
    let failed = |error: csv::Error| format!("cannot read {}: {error}", path.display());
    let mut reader = csv::Reader::from_path(path).map_err(failed)?;
    let mut scores = Vec::new();
    for row in reader.deserialize() {
        scores.push(row.map_err(failed)?);
    }
    Ok(scores)
}

/// The head of the table.
pub const HEAD: &str = "epoch  train loss  suspects  at least wrong  estimate  precision  recall  AUROC  loss AUROC  scan";

/// One row of the table.
pub fn row(checkpoint: &Checkpoint) -> String {
    let share = |value: Option<f64>| value.map_or_else(|| "–".to_string(), |v| format!("{v:.3}"));
    let precision =
        (checkpoint.suspects > 0).then_some(1.0 - checkpoint.false_discovery_proportion);
    format!(
        "{:>5}  {:>10}  {:>8}  {:>12.1} %  {:>6.1} %  {:>9}  {:>6}  {:>5}  {:>10}  {:.1} s",
        checkpoint.epoch,
        share(checkpoint.train_loss),
        checkpoint.suspects,
        100.0 * checkpoint.noise_ratio_lower_bound,
        100.0 * checkpoint.noise_ratio_estimate,
        share(precision),
        share(checkpoint.recall),
        share(checkpoint.auroc),
        share(checkpoint.loss_auroc),
        checkpoint.scan_seconds,
    )
}
