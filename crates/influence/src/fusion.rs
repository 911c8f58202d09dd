//! Fusion of two readings of one checkpoint: the loss after the step and the loss before it.
//!
//! Where few labels are wrong, the loss of a model that has not memorised yet ranks them as well as
//! anything, and its errors are not those of the fork: the mean of both is better than either. Where
//! many are wrong in one way, the model has learnt the wrong classes and its loss is worthless, while
//! the fork has been taught better. Which of the two it is shows on the probe.

use mirrorwatch_stats::moments::compressed;
use mirrorwatch_stats::shards::{Exchange, ShardError, location_scale};

use crate::error::InfluenceError;
use crate::scan::Estimate;
use crate::score::{self, Score};

/// What the model says before the step.
pub(crate) struct Before<'a> {
    /// Losses of the training samples.
    pub train: &'a [f32],
    /// Losses of the probe samples.
    pub probe: &'a [f32],
    /// Share of the probe that is classified right.
    pub accuracy: f64,
}

/// Whether the loss before the step may be fused in, where a trusted set calibrates the count: the score has to be a loss itself. Held-out samples lose more by memorising in the loss before the step than in
/// the one after, so that on their null fusing would cost more recall than it brings.
pub(crate) fn may_fuse(estimate: &Estimate) -> bool {
    estimate.estimator.score == score::After.name()
}

/// Fuses the loss before the step in where the probe shows that the model is as good as its forks.
pub(crate) fn fuse(
    estimate: &mut Estimate,
    base: &Before<'_>,
    exchange: &dyn Exchange,
) -> Result<(), InfluenceError> {
    let accuracy = base.accuracy;
    if !as_good(accuracy, estimate.probe_accuracy, base.probe.len()) {
        return Ok(());
    }
    let after = Reading {
        train: std::mem::take(&mut estimate.train),
        probe: [&estimate.probe[..], &estimate.probe_mean].concat(),
    };
    // The one model before the step says the same of a probe sample, however the forks are read.
    let before = Reading {
        train: base.train.to_vec(),
        probe: [base.probe, base.probe].concat(),
    };
    let mut fused = mean(&after, &before, exchange)?;
    estimate.probe_mean = fused.probe.split_off(base.probe.len());
    (estimate.train, estimate.probe) = (fused.train, fused.probe);
    estimate.choices.push(format!(
        "fused with the loss before the step, whose model is right on {:.1} % of the probe and the forks on {:.1} %",
        100.0 * accuracy,
        100.0 * estimate.probe_accuracy
    ));
    Ok(())
}

/// Scores of training and probe samples, in one unit.
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    train: Vec<f32>,
    probe: Vec<f32>,
}

/// Whether a model that is right on a share `before` of `samples` probe samples is as good as its
/// fork, which is right on `after` of them: within one standard error.
fn as_good(before: f64, after: f64, samples: usize) -> bool {
    let error = (after * (1.0 - after) / samples.max(1) as f64).sqrt();
    before >= after - error
}

/// The mean of two readings on a common scale.
///
/// Each is standardised by median and scaled MAD of its training scores and compressed by asinh, so that
/// neither drowns the other in its tail; the mean is expanded again.
///
/// # Errors
///
/// Scores that cannot be standardised.
fn mean(a: &Reading, b: &Reading, exchange: &dyn Exchange) -> Result<Reading, ShardError> {
    let (a, b) = (standardised(a, exchange)?, standardised(b, exchange)?);
    Ok(Reading {
        train: expanded_mean(&a.train, &b.train),
        probe: expanded_mean(&a.probe, &b.probe),
    })
}

fn standardised(reading: &Reading, exchange: &dyn Exchange) -> Result<Reading, ShardError> {
    let (location, scale) = location_scale(exchange, "scores to be fused", &reading.train)?;
    Ok(Reading {
        train: compressed(&reading.train, location, scale),
        probe: compressed(&reading.probe, location, scale),
    })
}

fn expanded_mean(a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut mean = Vec::with_capacity(a.len());
    for (&a, &b) in a.iter().zip(b) {
        mean.push((0.5 * (a + b)).sinh());
    }
    mean
}

#[cfg(test)]
mod tests {
    use mirrorwatch_stats::shards::Alone;

    use super::*;

    #[test]
    fn a_standard_error_decides_who_is_as_good() {
        // (0.8 · 0.2 / 100)^½ = 0.04.
        assert!(as_good(0.761, 0.8, 100));
        assert!(!as_good(0.759, 0.8, 100));
        assert!(as_good(0.9, 0.8, 100));
    }

    #[test]
    fn a_reading_fused_with_itself_is_itself_standardised() {
        // Median 2, MAD 1: scale 1.4826.
        let reading = Reading {
            train: vec![0.0, 1.0, 2.0, 3.0, 9.0],
            probe: vec![2.0, 4.9652],
        };
        let other = Reading {
            // Another unit of the same thing.
            train: reading.train.iter().map(|s| 10.0 * s + 7.0).collect(),
            probe: reading.probe.iter().map(|s| 10.0 * s + 7.0).collect(),
        };
        let fused = mean(&reading, &other, &Alone).unwrap();
        assert!(fused.train[2].abs() < 1e-5 && fused.probe[0].abs() < 1e-5);
        assert!((fused.probe[1] - 2.0).abs() < 1e-3, "{fused:?}");
        assert!((fused.train[4] - 7.0 / 1.4826).abs() < 1e-3, "{fused:?}");
    }

    #[test]
    fn a_sample_must_look_bad_in_both_to_stay_on_top() {
        let a = Reading {
            train: vec![0.0, 1.0, 2.0, 3.0, 50.0, 60.0],
            probe: vec![],
        };
        let b = Reading {
            train: vec![0.0, 1.0, 2.0, 3.0, 50.0, 1.5],
            probe: vec![],
        };
        let fused = mean(&a, &b, &Alone).unwrap();
        assert!(fused.train[4] > 2.0 * fused.train[5], "{fused:?}");
    }
}
