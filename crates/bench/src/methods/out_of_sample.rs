//! Cross-validation on the noisy training set: what models that have not seen a sample say of its label.
//!
//! This is what confident learning works from, and its best case; it costs several further trainings.

use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use mirrorwatch_influence::{Folds, Set, SweepOptions, sweep};

use super::{Scored, Trained};
use crate::grid::Settings;
use crate::setup::Setup;
use crate::train::Trainer;

/// Parts of the training set; as many further trainings.
pub const FOLDS: usize = 4;
const FORWARD_BATCH: usize = 500;

/// Out-of-sample class probabilities of the training set.
pub struct OutOfSample {
    /// K probabilities per sample.
    pub probabilities: Vec<f32>,
    /// Number of classes K.
    pub classes: usize,
}

impl OutOfSample {
    /// Trains the cell's model on all folds but one for `epochs`, for each fold.
    ///
    /// # Errors
    ///
    /// Training that diverged, or outputs that are not finite.
    pub fn new(setup: &Setup, settings: &Settings, epochs: usize) -> Result<Self, String> {
        let classes = setup.labels.classes;
        let device = Device::flex();
        let cancel = AtomicBool::new(false);
        let rows = cross_fit(
            &setup.labels.train,
            settings.seed,
            |fold, learnt, held_out| {
                let seed = settings.seed.wrapping_add(1000 + fold as u64);
                let mut trainer = Trainer::new(&setup.task, learnt, settings, seed);
                for _ in 0..epochs {
                    trainer.epoch()?;
                }
                let options = SweepOptions {
                    device: &device,
                    batch_size: FORWARD_BATCH,
                    progress: &|_| (),
                    cancel: &cancel,
                };
                let outputs = sweep(
                    &setup.task,
                    &trainer.model(),
                    Set::Training,
                    held_out,
                    &setup.labels.train,
                    &options,
                )
                .map_err(|error| error.to_string())?;
                Ok(outputs.logits.chunks(classes).map(softmax).collect())
            },
        )?;
        Ok(Self {
            probabilities: rows.into_iter().flatten().collect(),
            classes,
        })
    }

    fn row(&self, sample: usize) -> &[f32] {
        &self.probabilities[sample * self.classes..(sample + 1) * self.classes]
    }
}

/// One row per sample, from `fit(fold, learnt, held_out)`, which gives the rows of `held_out` from what
/// is `learnt`: all samples of other folds, which are stratified by the labels.
fn cross_fit(
    labels: &[usize],
    seed: u64,
    mut fit: impl FnMut(usize, Vec<usize>, &[usize]) -> Result<Vec<Vec<f32>>, String>,
) -> Result<Vec<Vec<f32>>, String> {
    let folds = Folds::stratified(labels, FOLDS, seed);
    let mut rows = vec![Vec::new(); labels.len()];
    for fold in 0..folds.count() {
        let held_out = folds.held_out(fold);
        for (&sample, row) in held_out
            .iter()
            .zip(fit(fold, folds.learnt(fold), held_out)?)
        {
            rows[sample] = row;
        }
    }
    Ok(rows)
}

/// One minus the probability of the given label ("self-confidence").
pub fn self_confidence(trained: &Trained<'_>) -> Result<Vec<Scored>, String> {
    let labels = &trained.setup.labels.train;
    let mut scores = Vec::with_capacity(labels.len());
    for (sample, &label) in labels.iter().enumerate() {
        scores.push(1.0 - trained.out_of_sample.row(sample)[label]);
    }
    Ok(vec![Scored::new("out-of-sample", scores)])
}

/// The probability of the likeliest other label minus that of the given one ("normalised margin").
pub fn normalised_margin(trained: &Trained<'_>) -> Result<Vec<Scored>, String> {
    let labels = &trained.setup.labels.train;
    let mut scores = Vec::with_capacity(labels.len());
    for (sample, &label) in labels.iter().enumerate() {
        let row = trained.out_of_sample.row(sample);
        let mut other = 0.0f32;
        for (class, probability) in row.iter().enumerate() {
            if class != label {
                other = other.max(*probability);
            }
        }
        scores.push(other - row[label]);
    }
    Ok(vec![Scored::new("out-of-sample-margin", scores)])
}

fn softmax(row: &[f32]) -> Vec<f32> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|z| f64::from(z - max).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| (p / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_leaks_and_every_sample_gets_its_own_row() {
        let labels: Vec<usize> = (0..103).map(|i| i % 5).collect();
        let mut calls = 0;
        let rows = cross_fit(&labels, 9, |_, learnt, held_out| {
            calls += 1;
            let seen: BTreeSet<usize> = learnt.iter().copied().collect();
            assert_eq!(seen.len() + held_out.len(), labels.len());
            assert!(held_out.iter().all(|sample| !seen.contains(sample)));
            Ok(held_out.iter().map(|sample| vec![*sample as f32]).collect())
        })
        .unwrap();
        assert_eq!(calls, FOLDS);
        let expected: Vec<Vec<f32>> = (0..103).map(|i| vec![i as f32]).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn softmax_matches_scipy() {
        // scipy 1.17: scipy.special.softmax([2.0, -1.0, 0.5])
        let expected = [0.785_597_f32, 0.039_113, 0.175_290];
        for (ours, theirs) in softmax(&[2.0, -1.0, 0.5]).iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-5, "{ours}");
        }
    }
}
