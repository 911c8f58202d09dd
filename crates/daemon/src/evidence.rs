//! Evidence: what the checkpoints of a run have said of every sample so far.

use mirrorwatch_influence::{Estimator, Labels, Scan};
use mirrorwatch_stats::shards::{Alone, ShardError};

use crate::history::History;
use crate::narrow::{Epochs, Halves};
use crate::part::Part;
use crate::pending::Pending;
pub use crate::pending::weight;

/// Evidence of one estimator: the weighted running mean of its standardised scores.
///
/// Scores of one checkpoint are standardised by median and scaled MAD of the training set, so
/// that checkpoints of different phases of training weigh alike, and then compressed by asinh:
/// linear around the bulk, logarithmic in the tail. No single checkpoint decides for good, and no
/// two samples become equal.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// let channel = &evidence.channels[0];
/// assert_eq!((&channel.estimator, channel.held_out_null), (&estimator, true));
/// assert!(channel.train[195] > channel.train[0]);
/// assert_eq!((channel.suggested[195], channel.lead[195]), (0, 1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Which estimator.
    pub estimator: Estimator,
    /// Whether the probe may serve as its null distribution.
    pub held_out_null: bool,
    /// Running mean of each training sample.
    pub train: Vec<f32>,
    /// Running mean of each probe sample, as the one fork that did not learn from it reads it.
    pub probe: Vec<f32>,
    /// Running mean of each probe sample, as all forks would read it.
    pub probe_mean: Vec<f32>,
    /// Suggested label of each training sample: the one that most of the weight of all checkpoints
    /// speaks for.
    pub suggested: Vec<u32>,
    /// By what share of all weight each suggested label leads.
    pub lead: Vec<f32>,
}

/// Per-sample statistics accumulated over the checkpoints of a run.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// assert_eq!((evidence.checkpoints, evidence.channels.len()), (1, 1));
/// // The first samples were fitted at epoch 3, the last are not yet.
/// assert_eq!((evidence.fitted_epoch.get(0), evidence.fitted_epoch.get(199)), (Some(3), None));
/// assert_eq!((evidence.last_loss.get(199), evidence.mean_loss[199]), (Some(9.0), 9.0));
/// assert_eq!((evidence.last_margin.get(199), evidence.mean_margin[199]), (Some(-1.0), -1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Checkpoints taken in.
    pub checkpoints: u32,
    /// Sum of their weights, see [`weight`].
    pub weight: f64,
    /// Sum of the weights of their votes for suggested labels.
    pub vote_weight: f64,
    /// One channel per estimator; the first one counts.
    pub channels: Vec<Channel>,
    /// Running mean of each training sample's loss (the "cumulative loss" baseline).
    pub mean_loss: Vec<f32>,
    /// Running mean of each training sample's margin (AUM, Pleiss et al., NeurIPS 2020).
    pub mean_margin: Vec<f32>,
    /// Margin of each training sample at the last checkpoint; positive = fitted.
    pub last_margin: Halves,
    /// Loss of each training sample at the last checkpoint.
    pub last_loss: Halves,
    /// First epoch at which each training sample's label was fitted, if it was.
    pub fitted_epoch: Epochs,
    /// First epoch at which each training sample was a suspect, if it was.
    pub flagged_epoch: Epochs,
    /// At how many checkpoints each training sample was a suspect; 65,535 for more.
    pub flagged_count: Vec<u16>,
    /// How each training sample fared at checkpoints so far, coarsely.
    pub history: History,
    /// Where the next turn of scans that do not read all samples begins, between 0 and 1; see [`crate::part`].
    pub turned: f64,
}

impl Evidence {
    /// No evidence yet, for `train` training and `probe` probe samples.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// let none = Evidence::new(&[estimator], 200, 500);
    /// assert_eq!((none.checkpoints, none.mean_loss.len(), none.channels[0].probe.len()), (0, 200, 500));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(estimators: &[Estimator], train: usize, probe: usize) -> Self {
        let mut channels = Vec::new();
        for estimator in estimators {
            channels.push(Channel {
                estimator: estimator.clone(),
                held_out_null: false,
                train: vec![0.0; train],
                probe: vec![0.0; probe],
                probe_mean: vec![0.0; probe],
                suggested: vec![0; train],
                lead: vec![0.0; train],
            });
        }
        Self {
            checkpoints: 0,
            weight: 0.0,
            vote_weight: 0.0,
            channels,
            mean_loss: vec![0.0; train],
            mean_margin: vec![0.0; train],
            last_margin: Halves::of(&vec![0.0; train]),
            last_loss: Halves::of(&vec![0.0; train]),
            fitted_epoch: Epochs::new(train),
            flagged_epoch: Epochs::new(train),
            flagged_count: vec![0; train],
            history: History::default(),
            turned: 0.0,
        }
    }

    /// Takes in the scan of a checkpoint at `epoch`.
    ///
    /// # Errors
    ///
    /// Scores that cannot be standardised; the evidence stays as it was.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// let before = evidence.weight;
    /// evidence.add(&scan, 4, &labels)?;
    /// assert_eq!((evidence.checkpoints, evidence.weight), (2, 2.0 * before));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, scan: &Scan, epoch: u64, labels: &Labels) -> Result<(), ShardError> {
        self.add_part(scan, epoch, labels, None)
    }

    /// As [`Evidence::add`], of a scan that read a part of the samples; none where it read all.
    ///
    /// The others are taken to have gone the way of those that are typical and had the same evidence. Without that,
    /// samples that were read by different checkpoints could not be compared: no two checkpoints use one scale. Their
    /// losses and margins are those of the last time they were read.
    ///
    /// # Errors
    ///
    /// Scores that cannot be standardised.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// use mirrorwatch_daemon::part::choose;
    ///
    /// let part = choose(&evidence, &labels, 40, 10, 0).ok_or("all are read")?;
    /// evidence.add_part(&scan, 4, &labels, Some(&part))?;
    /// assert_eq!((evidence.checkpoints, evidence.turned), (2, part.turned));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_part(
        &mut self,
        scan: &Scan,
        epoch: u64,
        labels: &Labels,
        part: Option<&Part>,
    ) -> Result<(), ShardError> {
        let pending = Pending::of_part(self, scan, labels, part, &Alone)?;
        let (mut losses, mut margins) = (scan.train_losses.clone(), scan.train_margins.clone());
        if let Some(part) = part {
            part.carry_over(&mut losses, &self.last_loss);
            part.carry_over(&mut margins, &self.last_margin);
        }
        self.take(pending, losses, margins, epoch);
        Ok(())
    }

    /// Takes in a scan of a checkpoint at `epoch` of which `pending` was made, with the losses and margins that it found.
    ///
    /// Nothing can fail any more: whatever is to be known of the new scores before they replace the old ones is asked of
    /// `pending`. So a run's evidence, which is large, never has to be copied.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// use mirrorwatch_daemon::pending::Pending;
    ///
    /// let mut added = evidence.clone();
    /// added.add(&scan, 4, &labels)?;
    /// let pending = Pending::new(&evidence, &scan, &labels)?;
    /// evidence.take(pending, scan.train_losses, scan.train_margins, 4);
    /// assert_eq!(evidence, added);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take(&mut self, pending: Pending, losses: Vec<f32>, margins: Vec<f32>, epoch: u64) {
        self.checkpoints = pending.checkpoints;
        self.weight = pending.weight;
        self.vote_weight = pending.vote_weight;
        self.turned = pending.turned;
        self.channels = pending.channels;
        let weight = 1.0 / self.checkpoints as f32;
        blend(&mut self.mean_loss, &losses, weight);
        blend(&mut self.mean_margin, &margins, weight);
        let fitted = margins.iter().enumerate();
        let fitted = fitted.filter(|(_, margin)| **margin > 0.0);
        self.fitted_epoch
            .note(fitted.map(|(sample, _)| sample), epoch);
        self.last_loss.set(&losses);
        self.last_margin.set(&margins);
    }

    /// Notes the p-values at the checkpoint of `epoch` and `step` that was just added.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// evidence.note_history(&[0.5; 200], 3, 471);
    /// let points = evidence.history.of(199);
    /// assert_eq!((points.len(), points[0].epoch, points[0].fitted), (1, 3, false));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn note_history(&mut self, p_values: &[f64], epoch: u64, step: u64) {
        let fitted = self.last_margin.iter().map(|margin| margin > 0.0);
        let losses = self.last_loss.iter().zip(fitted);
        self.history
            .take(epoch, step, p_values.iter().copied().zip(losses));
    }

    /// Notes which samples are suspects at the checkpoint of `epoch` that was just added.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// let mut flags = vec![false; 200];
    /// flags[195] = true;
    /// evidence.note_flags(&flags, 3);
    /// assert_eq!((evidence.flagged_count[195], evidence.flagged_epoch.get(195)), (1, Some(3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn note_flags(&mut self, flags: &[bool], epoch: u64) {
        let flagged = || flags.iter().enumerate().filter(|(_, flagged)| **flagged);
        for (sample, _) in flagged() {
            let count = &mut self.flagged_count[sample];
            *count = count.saturating_add(1);
        }
        self.flagged_epoch
            .note(flagged().map(|(sample, _)| sample), epoch);
    }
}

fn blend(mean: &mut [f32], values: &[f32], weight: f32) {
    for (mean, value) in mean.iter_mut().zip(values) {
        *mean += weight * (value - *mean);
    }
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
