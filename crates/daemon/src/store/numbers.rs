//! A scan in numbers: what stays of its summary when the next one comes.

use serde::{Deserialize, Serialize};

use crate::summary::Summary;

/// One scan in numbers, named as in the [`Summary`].
///
/// ```
#[doc = include_str!("../example_summary.txt")]
/// use mirrorwatch_daemon::store::ScanNumbers;
///
/// let numbers = ScanNumbers::of(&summary);
/// assert_eq!((numbers.epoch, numbers.suspects, numbers.refused), (summary.epoch, 50, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanNumbers {
    /// Epoch of the checkpoint.
    pub epoch: u64,
    /// Optimizer step of the checkpoint.
    pub step: u64,
    /// When the scan was finished, in Unix seconds.
    pub scanned_time: f64,
    /// Training loss as the hook reported it.
    pub train_loss: Option<f64>,
    /// Validation loss as the hook reported it.
    pub valid_loss: Option<f64>,
    /// Learning rate as the hook reported it.
    pub learning_rate: Option<f64>,
    /// Mean probe loss: nats, or the task's own.
    pub probe_loss: f64,
    /// Share of the probe classified right.
    pub probe_accuracy: f64,
    /// Lower bound on the share of wrong labels in the probe itself.
    pub probe_noise_lower_bound: f64,
    /// Samples selected as suspicious.
    pub suspects: usize,
    /// Suspects whose given label the model predicts.
    pub memorised_suspects: usize,
    /// Suspects whose label is more likely right, on a hard sample, than wrong.
    pub hard_suspects: usize,
    /// Lower confidence bound on the share of wrong labels.
    pub noise_ratio_lower_bound: f64,
    /// Point estimate of that share.
    pub noise_ratio_estimate: f64,
    /// Labels that were made wrong on purpose.
    pub canaries: usize,
    /// Canaries that were found.
    pub canaries_found: usize,
    /// Wall time of the scan in seconds.
    pub scan_seconds: f64,
    /// Wall time of the bare forward sweep in it.
    pub base_sweep_seconds: f64,
    /// Wall time of what the probe costs in it.
    pub probe_seconds: f64,
    /// Training samples that it read.
    pub read_samples: usize,
    /// Whether nobody was named, for a reason that the summary gives.
    pub refused: bool,
}

impl ScanNumbers {
    /// The numbers of a summary.
    ///
    /// ```
    #[doc = include_str!("../example_summary.txt")]
    /// # use mirrorwatch_daemon::store::ScanNumbers;
    /// assert_eq!(ScanNumbers::of(&summary).canaries_found, summary.canaries_found);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(summary: &Summary) -> Self {
        Self {
            epoch: summary.epoch,
            step: summary.step,
            scanned_time: summary.scanned_time,
            train_loss: summary.train_loss,
            valid_loss: summary.valid_loss,
            learning_rate: summary.learning_rate,
            probe_loss: summary.probe_loss,
            probe_accuracy: summary.probe_accuracy,
            probe_noise_lower_bound: summary.probe_noise_lower_bound,
            suspects: summary.suspects,
            memorised_suspects: summary.memorised_suspects,
            hard_suspects: summary.hard_suspects,
            noise_ratio_lower_bound: summary.noise_ratio_lower_bound,
            noise_ratio_estimate: summary.noise_ratio_estimate,
            canaries: summary.canaries,
            canaries_found: summary.canaries_found,
            scan_seconds: summary.scan_seconds,
            base_sweep_seconds: summary.base_sweep_seconds,
            probe_seconds: summary.probe_seconds,
            read_samples: summary.read_samples,
            refused: summary.refusal.is_some(),
        }
    }
}
