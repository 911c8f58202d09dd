//! The summary of one scan, as it is written to disk, served and exported.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::Null;
use crate::onset::Onset;
use crate::refusal::Refusal;

/// How many samples with one given label look like another class.
///
/// ```
#[doc = include_str!("example_summary.txt")]
/// let pair = &summary.class_pairs[0];
/// assert_eq!((pair.given_name.as_str(), pair.suggested_name.as_str(), pair.suspects), ("cat", "dog", 9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassPair {
    /// Given label.
    pub given: usize,
    /// Its name.
    pub given_name: String,
    /// Suggested label.
    pub suggested: usize,
    /// Its name.
    pub suggested_name: String,
    /// Suspects of this pair.
    pub suspects: usize,
}

/// How many samples from one source are suspicious.
///
/// ```
#[doc = include_str!("example_summary.txt")]
/// let source = &summary.sources[0];
/// assert!(source.flagged && source.suspects as f64 > source.expected_suspects);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceCount {
    /// The source, as the task names it.
    pub source: String,
    /// Scored samples from it.
    pub samples: usize,
    /// Suspects among them.
    pub suspects: usize,
    /// Suspects to expect among them from their mix of given labels.
    pub expected_suspects: f64,
    /// Bound on the chance of so many suspects or more.
    pub p_value: f64,
    /// Whether the source stands out at this scan, after allowing for the number of sources.
    pub flagged: bool,
}

/// What one scan found. Ratios are shares of `scored_samples`; times are Unix seconds.
///
/// ```
#[doc = include_str!("example_summary.txt")]
/// // As it lies in `scans/epoch-000003-step-0000000471.json`.
/// let json = serde_json::to_string(&summary)?;
/// assert_eq!(serde_json::from_str::<Summary>(&json)?, summary);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this layout.
    pub schema: u32,
    /// The run.
    pub run: String,
    /// Epoch of the checkpoint.
    pub epoch: u64,
    /// Optimizer step of the checkpoint.
    pub step: u64,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// When the checkpoint was written.
    pub checkpoint_time: f64,
    /// When the scan was finished.
    pub scanned_time: f64,
    /// Training loss as the hook reported it.
    pub train_loss: Option<f64>,
    /// Validation loss as the hook reported it.
    #[serde(default)]
    pub valid_loss: Option<f64>,
    /// Learning rate as the hook reported it.
    #[serde(default)]
    pub learning_rate: Option<f64>,
    /// Training samples consumed since the checkpoint before, as the hook reported it.
    #[serde(default)]
    pub consumed_samples: Option<u64>,
    /// What else the training said with the checkpoint.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Training samples.
    pub samples: usize,
    /// Training samples that were judged: all but trusted ones, canaries and those without a label.
    pub scored_samples: usize,
    /// Probe samples.
    pub probe: usize,
    /// Classes; 0 for a task that has losses instead.
    pub classes: usize,
    /// Direction of the estimator that counts.
    pub direction: String,
    /// Score of the estimator that counts.
    pub score: String,
    /// What was chosen for each fork (step length, depth).
    pub choices: Vec<String>,
    /// Checkpoints in the evidence.
    pub checkpoints: u32,
    /// The null distribution that was used.
    pub null: Null,
    /// Its size.
    pub null_samples: usize,
    /// False-discovery rate the suspects were selected at.
    pub fdr: f64,
    /// 1 − confidence of the lower bound.
    pub alpha: f64,
    /// Samples selected as suspicious.
    pub suspects: usize,
    /// Expected false ones among them, at most.
    pub expected_false_suspects: f64,
    /// The smallest count that this null can show.
    pub min_detectable_suspects: usize,
    /// Labels that were made wrong on purpose, to measure what is found.
    pub canaries: usize,
    /// Canaries that were found.
    pub canaries_found: usize,
    /// Suspects whose given label the model predicts at this checkpoint.
    pub memorised_suspects: usize,
    /// Suspects whose label is more likely right, on a hard sample, than wrong.
    #[serde(default)]
    pub hard_suspects: usize,
    /// Lower confidence bound on the share of wrong labels.
    pub noise_ratio_lower_bound: f64,
    /// Point estimate of that share.
    pub noise_ratio_estimate: f64,
    /// Mean probe loss at the checkpoint: nats, or the task's own.
    pub probe_loss: f64,
    /// Share of the probe classified right at the checkpoint; without classes, told better than by an untaught model.
    pub probe_accuracy: f64,
    /// Lower bound on the share of wrong labels in the probe itself.
    #[serde(default)]
    pub probe_noise_lower_bound: f64,
    /// Suspects by given and suggested label, most first.
    pub class_pairs: Vec<ClassPair>,
    /// Why nobody is named; then there are no suspects, whatever the labels are like.
    pub refusal: Option<Refusal>,
    /// Scored samples and suspects by source, most conspicuous first; empty when the task names none.
    pub sources: Vec<SourceCount>,
    /// Sources that went bad suddenly, and what was forgotten since the scan before.
    #[serde(default)]
    pub onset: Onset,
    /// Wall time of the scan in seconds.
    pub scan_seconds: f64,
    /// Wall time of the bare forward sweep in it.
    pub base_sweep_seconds: f64,
    /// Wall time of what the probe costs in it, however many training samples are read.
    #[serde(default)]
    pub probe_seconds: f64,
    /// Training samples that it read: all that have a label, or as many as the budget allowed.
    #[serde(default)]
    pub read_samples: usize,
    /// This shard's part of it, where the samples are divided among several sidecars: all counts here are those of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<OwnShare>,
}

/// What one shard has of a run's samples.
///
/// ```
#[doc = include_str!("example_summary.txt")]
/// use mirrorwatch_daemon::summary::OwnShare;
///
/// assert_eq!(summary.shard, None);
/// summary.shard = Some(OwnShare { index: 0, count: 4, samples: 275, suspects: 11 });
/// assert!(summary.sentence().ends_with("; 11 of these suspects are among the 275 samples of shard 0 of 4"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnShare {
    /// Which shard, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// Its training samples.
    pub samples: usize,
    /// Suspects among them.
    pub suspects: usize,
}

/// The version of [`Summary`] this build writes.
pub const SUMMARY_SCHEMA: u32 = 1;

impl Summary {
    /// The share of canaries that was found: recall, measured. None without canaries or when nobody is
    /// named for another reason.
    ///
    /// ```
    #[doc = include_str!("example_summary.txt")]
    /// assert_eq!(summary.canary_recall(), Some(0.75));
    /// summary.canaries = 0;
    /// assert_eq!(summary.canary_recall(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn canary_recall(&self) -> Option<f64> {
        (self.canaries > 0 && self.refusal.is_none())
            .then(|| self.canaries_found as f64 / self.canaries as f64)
    }

    /// The share of suspects that is wrong, as far as canaries tell: recall times the estimated number
    /// of wrong labels, over the suspects. None without canaries or suspects.
    ///
    /// ```
    #[doc = include_str!("example_summary.txt")]
    /// // Three quarters of about 60 wrong labels are found, among 50 suspects.
    /// assert!(summary.canary_precision().is_some_and(|share| (share - 0.9).abs() < 1e-9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn canary_precision(&self) -> Option<f64> {
        let recall = self.canary_recall()?;
        let wrong = self.noise_ratio_estimate * self.scored_samples as f64;
        (self.suspects > 0).then(|| (recall * wrong / self.suspects as f64).min(1.0))
    }

    /// The count with its guarantee, in one sentence a person can act on.
    ///
    /// ```
    #[doc = include_str!("example_summary.txt")]
    /// assert!(summary.sentence().starts_with("50 of 1000 labels are suspicious"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sentence(&self) -> String {
        if let Some(refusal) = &self.refusal {
            return format!("no count: {}", refusal.message);
        }
        let percent = 100.0 * self.noise_ratio_lower_bound;
        let confidence = 100.0 * (1.0 - self.alpha);
        let own = self.shard.map_or_else(String::new, |own| {
            format!(
                "; {} of these suspects are among the {} samples of shard {} of {}",
                own.suspects, own.samples, own.index, own.count
            )
        });
        format!(
            "{} of {} labels are suspicious (at most {:.0} of them expected to be right); with {confidence:.0} % confidence at least {percent:.1} % are wrong, best estimate {:.1} %; {} null of {}{own}",
            self.suspects,
            self.scored_samples,
            self.expected_false_suspects,
            100.0 * self.noise_ratio_estimate,
            self.null.name(),
            self.null_samples,
        )
    }
}

/// A summary for tests, with a value of its own in every field that is exported.
#[cfg(test)]
pub(crate) fn example(run: &str) -> Summary {
    Summary {
        schema: SUMMARY_SCHEMA,
        run: run.to_string(),
        epoch: 7,
        step: 3290,
        weights_sha256: "0123456789abcdef".repeat(4),
        checkpoint_time: 990.0,
        scanned_time: 1000.0,
        train_loss: Some(0.5),
        valid_loss: Some(0.625),
        learning_rate: Some(0.001),
        consumed_samples: Some(640),
        tags: BTreeMap::from([("host".to_string(), "gpu-1".to_string())]),
        samples: 1000,
        scored_samples: 900,
        probe: 200,
        classes: 10,
        direction: "finetune".to_string(),
        score: "after".to_string(),
        choices: vec!["40 steps".to_string()],
        checkpoints: 8,
        null: Null::Trusted,
        null_samples: 100,
        fdr: 0.1,
        alpha: 0.05,
        suspects: 12,
        expected_false_suspects: 1.5,
        min_detectable_suspects: 4,
        canaries: 20,
        canaries_found: 15,
        memorised_suspects: 3,
        hard_suspects: 2,
        noise_ratio_lower_bound: 0.0625,
        noise_ratio_estimate: 0.125,
        probe_loss: 0.75,
        probe_accuracy: 0.8125,
        probe_noise_lower_bound: 0.03125,
        class_pairs: vec![ClassPair {
            given: 3,
            given_name: "cat".to_string(),
            suggested: 5,
            suggested_name: "dog".to_string(),
            suspects: 12,
        }],
        refusal: None,
        sources: vec![SourceCount {
            source: "vendor-a".to_string(),
            samples: 400,
            suspects: 9,
            expected_suspects: 5.5,
            p_value: 0.125,
            flagged: true,
        }],
        onset: Onset {
            comparisons: 7,
            since_epoch: Some(6),
            since_step: Some(2820),
            forgotten: Some(31),
            learnt: Some(28),
            flagged: Vec::new(),
            so_far: vec![crate::onset::SourceOnset {
                source: "vendor-b".to_string(),
                epoch: 5,
                step: 2350,
                since_epoch: 4,
                since_step: 1880,
                lost: 40,
                gained: 6,
                expected_lost: 7.5,
                p_value: 1e-7,
            }],
        },
        scan_seconds: 2.5,
        base_sweep_seconds: 0.5,
        probe_seconds: 1.0,
        read_samples: 200,
        shard: None,
    }
}
