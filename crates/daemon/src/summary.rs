//! The summary of one scan, as it is written to disk, served and exported.

use serde::{Deserialize, Serialize};

use crate::account::Null;

/// How many samples with one given label look like another class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassPair {
    /// Given label.
    pub given: usize,
    /// Suggested label.
    pub suggested: usize,
    /// Suspects of this pair.
    pub suspects: usize,
}

/// What one scan found. Ratios are shares of `scored_samples`; times are Unix seconds.
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
    /// Training samples.
    pub samples: usize,
    /// Training samples that were judged: all but the trusted ones.
    pub scored_samples: usize,
    /// Probe samples.
    pub probe: usize,
    /// Classes.
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
    /// Suspects whose given label the model predicts at this checkpoint.
    pub memorised_suspects: usize,
    /// Lower confidence bound on the share of wrong labels.
    pub noise_ratio_lower_bound: f64,
    /// Point estimate of that share.
    pub noise_ratio_estimate: f64,
    /// Mean probe loss in nats at the checkpoint.
    pub probe_loss: f64,
    /// Share of the probe classified right at the checkpoint.
    pub probe_accuracy: f64,
    /// Suspects by given and suggested label, most first.
    pub class_pairs: Vec<ClassPair>,
    /// Wall time of the scan in seconds.
    pub scan_seconds: f64,
    /// Wall time of the bare forward sweep in it.
    pub base_sweep_seconds: f64,
}

/// The version of [`Summary`] this build writes.
pub const SUMMARY_SCHEMA: u32 = 1;

impl Summary {
    /// The count with its guarantee, in one sentence a person can act on.
    pub fn sentence(&self) -> String {
        let percent = 100.0 * self.noise_ratio_lower_bound;
        let confidence = 100.0 * (1.0 - self.alpha);
        format!(
            "{} of {} labels are suspicious (at most {:.0} of them expected to be right); with {confidence:.0} % confidence at least {percent:.1} % are wrong, best estimate {:.1} %; {} null of {}",
            self.suspects,
            self.scored_samples,
            self.expected_false_suspects,
            100.0 * self.noise_ratio_estimate,
            self.null.name(),
            self.null_samples,
        )
    }
}
