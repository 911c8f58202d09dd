//! How much a model knows, by the probe.

use crate::sweep::Outputs;
use crate::task::Labels;

/// What a model shows on the probe at θ.
///
/// With classes it knows what it classifies right. Without, losses have no natural zero: they may be squared
/// dollars or negative log-densities. Two comparisons need none: with a model of the same kind that was taught nothing,
/// sample by sample (a sign test, of which chance is one half), and of training samples with held-out ones.
pub(crate) struct Knowledge {
    /// Share of probe samples that are right, or whose loss is below that of the untaught model.
    pub accuracy: f64,
    /// That share by chance.
    pub chance: f64,
    /// Share of probe samples that count as fitted.
    pub fitted: f64,
    /// The probe's median loss.
    median: f32,
}

impl Knowledge {
    /// `untaught` has the losses of a fresh model, where there are no classes.
    pub fn of(probe: &Outputs, labels: &Labels, untaught: &[f32]) -> Self {
        if labels.has_classes() {
            let accuracy = probe.accuracy(&labels.probe);
            return Self {
                accuracy,
                chance: largest_share(labels),
                fitted: accuracy,
                median: 0.0,
            };
        }
        let better = probe.losses.iter().zip(untaught).filter(|(l, u)| l < u);
        let mut sorted = probe.losses.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        Self {
            accuracy: better.count() as f64 / probe.len().max(1) as f64,
            chance: 0.5,
            fitted: 0.5,
            median: sorted.get(sorted.len() / 2).copied().unwrap_or(0.0),
        }
    }

    /// By how much each sample is fitted: z_y − max_{c≠y} z_c, or how far its loss is below the probe's median.
    pub fn margins(&self, outputs: &Outputs, labels: &[usize]) -> Vec<f32> {
        let mut margins = Vec::with_capacity(labels.len());
        for (sample, &label) in labels.iter().enumerate() {
            let row = outputs.row(sample);
            if row.is_empty() {
                margins.push(self.median - outputs.losses[sample]);
                continue;
            }
            let mut other = f32::NEG_INFINITY;
            for (k, &z) in row.iter().enumerate() {
                if k != label {
                    other = other.max(z);
                }
            }
            margins.push(row[label] - other);
        }
        margins
    }
}

/// The share of the probe's most frequent class: where classes are uneven, guessing it is what chance gives.
fn largest_share(labels: &Labels) -> f64 {
    let mut counts = vec![0usize; labels.classes];
    for &label in &labels.probe {
        counts[label] += 1;
    }
    let most = counts.into_iter().max().unwrap_or(0);
    most as f64 / labels.probe.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(classes: usize, probe: Vec<usize>) -> Labels {
        Labels {
            classes,
            train: Vec::new(),
            probe,
            trusted: Vec::new(),
            canaries: Vec::new(),
            unlabelled: Vec::new(),
        }
    }

    #[test]
    fn with_classes_it_is_what_is_right_above_the_most_frequent_class() {
        let probe = Outputs {
            classes: 2,
            logits: vec![2.0, 0.0, 0.0, 1.0, 3.0, 0.0, 1.0, 0.0],
            losses: vec![0.0; 4],
        };
        let known = Knowledge::of(&probe, &labels(2, vec![0, 1, 0, 1]), &[]);
        assert_eq!(
            (known.accuracy, known.chance, known.fitted),
            (0.75, 0.5, 0.75)
        );
        let uneven = Knowledge::of(&probe, &labels(2, vec![0, 0, 0, 1]), &[]);
        assert_eq!(uneven.chance, 0.75);
        assert_eq!(
            known.margins(&probe, &[0, 0, 1, 1]),
            [2.0, -1.0, -3.0, -1.0]
        );
    }

    #[test]
    fn without_classes_it_is_what_an_untaught_model_does_worse() {
        let probe = Outputs {
            classes: 0,
            logits: Vec::new(),
            losses: vec![-3.0, 1.0, 0.5],
        };
        let known = Knowledge::of(&probe, &labels(0, vec![0; 3]), &[1.0, 0.75, 2.0]);
        assert!((known.accuracy - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((known.chance, known.fitted), (0.5, 0.5));
        // Below the probe's median of .5 is fitted.
        assert_eq!(known.margins(&probe, &[0; 3]), [3.5, -0.5, 0.0]);
    }
}
