//! Evidence: what the checkpoints of a run have said of every sample so far.

use mirrorwatch_influence::{Estimate, Estimator, Scan};
use mirrorwatch_stats::StatsError;
use mirrorwatch_stats::moments::robust_location_scale;

/// Evidence of one estimator: the running mean of its standardised scores.
///
/// Scores of one checkpoint are standardised by median and scaled MAD of the training set, so
/// that checkpoints of different phases of training weigh alike, and clamped, so that no single
/// checkpoint decides for good.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Which estimator.
    pub estimator: Estimator,
    /// Whether the probe may serve as its null distribution.
    pub held_out_null: bool,
    /// Running mean of each training sample.
    pub train: Vec<f32>,
    /// Running mean of each probe sample.
    pub probe: Vec<f32>,
    /// Suggested label of each training sample at the last checkpoint.
    pub suggested: Vec<u32>,
}

/// Per-sample statistics accumulated over the checkpoints of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Checkpoints taken in.
    pub checkpoints: u32,
    /// One channel per estimator; the first one counts.
    pub channels: Vec<Channel>,
    /// Running mean of each training sample's loss (the "cumulative loss" baseline).
    pub mean_loss: Vec<f32>,
    /// Running mean of each training sample's margin (AUM, Pleiss et al., NeurIPS 2020).
    pub mean_margin: Vec<f32>,
    /// Margin of each training sample at the last checkpoint; positive = fitted.
    pub last_margin: Vec<f32>,
    /// Loss of each training sample at the last checkpoint.
    pub last_loss: Vec<f32>,
    /// First epoch at which each training sample's label was fitted; [`NEVER`] if not yet.
    pub fitted_epoch: Vec<u32>,
    /// First epoch at which each training sample was a suspect; [`NEVER`] if it was not.
    pub flagged_epoch: Vec<u32>,
    /// At how many checkpoints each training sample was a suspect.
    pub flagged_count: Vec<u32>,
}

/// "Not yet" in epoch fields.
pub const NEVER: u32 = u32::MAX;

/// Standardised scores beyond this say no more than "very".
const CLAMP: f32 = 20.0;

impl Evidence {
    /// No evidence yet, for `train` training and `probe` probe samples.
    pub fn new(estimators: &[Estimator], train: usize, probe: usize) -> Self {
        let mut channels = Vec::new();
        for estimator in estimators {
            channels.push(Channel {
                estimator: estimator.clone(),
                held_out_null: false,
                train: vec![0.0; train],
                probe: vec![0.0; probe],
                suggested: vec![0; train],
            });
        }
        Self {
            checkpoints: 0,
            channels,
            mean_loss: vec![0.0; train],
            mean_margin: vec![0.0; train],
            last_margin: vec![0.0; train],
            last_loss: vec![0.0; train],
            fitted_epoch: vec![NEVER; train],
            flagged_epoch: vec![NEVER; train],
            flagged_count: vec![0; train],
        }
    }

    /// Takes in the scan of a checkpoint at `epoch`.
    ///
    /// # Errors
    ///
    /// Scores that cannot be standardised.
    pub fn add(&mut self, scan: &Scan, epoch: u64) -> Result<(), StatsError> {
        self.checkpoints += 1;
        let weight = 1.0 / self.checkpoints as f32;
        for (channel, estimate) in self.channels.iter_mut().zip(&scan.estimates) {
            channel.add(estimate, weight)?;
        }
        blend(&mut self.mean_loss, &scan.train_losses, weight);
        blend(&mut self.mean_margin, &scan.train_margins, weight);
        self.last_loss.clone_from(&scan.train_losses);
        self.last_margin.clone_from(&scan.train_margins);
        for (first, margin) in self.fitted_epoch.iter_mut().zip(&scan.train_margins) {
            if *margin > 0.0 {
                *first = (*first).min(epoch_u32(epoch));
            }
        }
        Ok(())
    }

    /// Notes which samples are suspects at the checkpoint of `epoch` that was just added.
    pub fn note_flags(&mut self, flags: &[bool], epoch: u64) {
        for (sample, _) in flags.iter().enumerate().filter(|(_, flagged)| **flagged) {
            self.flagged_count[sample] += 1;
            self.flagged_epoch[sample] = self.flagged_epoch[sample].min(epoch_u32(epoch));
        }
    }
}

impl Channel {
    fn add(&mut self, estimate: &Estimate, weight: f32) -> Result<(), StatsError> {
        self.held_out_null = estimate.held_out_null;
        self.suggested.clone_from(&estimate.suggested);
        let (location, scale) = robust_location_scale(&estimate.train)?;
        let standardise = |scores: &[f32]| -> Vec<f32> {
            let mut standardised = Vec::with_capacity(scores.len());
            for score in scores {
                let z = ((f64::from(*score) - location) / scale) as f32;
                standardised.push(z.clamp(-CLAMP, CLAMP));
            }
            standardised
        };
        blend(&mut self.train, &standardise(&estimate.train), weight);
        blend(&mut self.probe, &standardise(&estimate.probe), weight);
        Ok(())
    }
}

fn blend(mean: &mut [f32], values: &[f32], weight: f32) {
    for (mean, value) in mean.iter_mut().zip(values) {
        *mean += weight * (value - *mean);
    }
}

fn epoch_u32(epoch: u64) -> u32 {
    // One below NEVER, so that an absurd epoch still counts as "was".
    u32::try_from(epoch).unwrap_or(NEVER - 1).min(NEVER - 1)
}
