//! The training loss that goes into the manifest, computed on the writer thread.

use burn::data::dataloader::Progress;
use burn::train::metric::{LossInput, LossMetric, Metric, MetricMetadata, Numeric, NumericEntry};

/// A loss as the training thread hands it over.
pub(crate) enum Loss {
    /// A number the user's loop already had.
    Value(f64),
    /// A loss still on the device. Reading it waits for the device, so only the writer does that.
    Tensor(Box<LossInput>),
}

/// The loss of one step of training or validation.
pub(crate) struct LossSample {
    pub(crate) epoch: usize,
    /// Whether it is of the validation.
    pub(crate) valid: bool,
    pub(crate) loss: Loss,
}

#[derive(Default, Clone, Copy)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    fn get(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Means over the epoch and since the last checkpoint.
#[derive(Default)]
pub(crate) struct Losses {
    epoch: usize,
    of_epoch: Mean,
    since_checkpoint: Mean,
    /// Of the validation, which is after the training of the same epoch.
    valid: Mean,
}

impl Losses {
    /// Adds one step's loss. The first sample of another epoch starts both means afresh.
    pub(crate) fn add(&mut self, sample: &LossSample) {
        if sample.epoch != self.epoch {
            *self = Self {
                epoch: sample.epoch,
                ..Self::default()
            };
        }
        if let Some((value, weight)) = read(&sample.loss) {
            if sample.valid {
                self.valid.add(value, weight);
                return;
            }
            self.of_epoch.add(value, weight);
            self.since_checkpoint.add(value, weight);
        }
    }

    /// The mean over `epoch` so far.
    pub(crate) fn of_epoch(&self, epoch: usize) -> Option<f64> {
        self.of_epoch.get().filter(|_| epoch == self.epoch)
    }

    /// The mean since the last checkpoint, or since `epoch` began when that is later.
    pub(crate) fn since_checkpoint(&self, epoch: usize) -> Option<f64> {
        self.since_checkpoint.get().filter(|_| epoch == self.epoch)
    }

    /// The mean validation loss of `epoch` so far.
    pub(crate) fn of_validation(&self, epoch: usize) -> Option<f64> {
        self.valid.get().filter(|_| epoch == self.epoch)
    }

    /// A checkpoint was dealt with: the next mean starts here.
    pub(crate) fn checkpoint(&mut self) {
        self.since_checkpoint = Mean::default();
    }
}

/// The loss and its weight as Burn's own loss metric sees them, so that the manifest and the
/// training log agree. `None` when the device cannot be read.
fn read(loss: &Loss) -> Option<(f64, f64)> {
    let input = match loss {
        Loss::Value(value) => return Some((*value, 1.0)),
        Loss::Tensor(input) => input,
    };

    let metadata = MetricMetadata {
        progress: Progress {
            items_processed: 0,
            items_total: 0,
            unit: None,
        },
        iteration: None,
        lr: None,
    };
    // `LossInput` is opaque: the metric is the only way to the number inside.
    let mut metric = LossMetric::new();
    metric.update(input, &metadata).ok()?;
    match metric.value()? {
        NumericEntry::Aggregated {
            aggregated_value,
            count,
        } => Some((aggregated_value, count as f64)),
        NumericEntry::Value(value) | NumericEntry::Final(value) => Some((value, 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(epoch: usize, value: f64) -> LossSample {
        LossSample {
            epoch,
            valid: false,
            loss: Loss::Value(value),
        }
    }

    #[test]
    fn a_step_mean_restarts_at_each_checkpoint_and_an_epoch_mean_does_not() {
        let mut losses = Losses::default();
        losses.add(&sample(1, 4.0));
        losses.add(&sample(1, 2.0));
        assert_eq!(losses.since_checkpoint(1), Some(3.0));
        losses.checkpoint();
        assert_eq!(losses.since_checkpoint(1), None);
        losses.add(&sample(1, 0.0));
        assert_eq!(losses.since_checkpoint(1), Some(0.0));
        assert_eq!(losses.of_epoch(1), Some(2.0));
    }

    #[test]
    fn validation_has_a_mean_of_its_own() {
        let mut losses = Losses::default();
        losses.add(&sample(1, 4.0));
        for value in [1.0, 2.0] {
            losses.add(&LossSample {
                valid: true,
                ..sample(1, value)
            });
        }
        assert_eq!(
            (losses.of_epoch(1), losses.of_validation(1)),
            (Some(4.0), Some(1.5))
        );
        assert_eq!(losses.of_validation(2), None);
    }

    #[test]
    fn another_epoch_starts_both_means_afresh() {
        let mut losses = Losses::default();
        losses.add(&sample(1, 4.0));
        losses.add(&sample(2, 1.0));
        assert_eq!(losses.of_epoch(2), Some(1.0));
        assert_eq!(losses.since_checkpoint(2), Some(1.0));
        assert_eq!(losses.of_epoch(1), None);
        assert_eq!(losses.since_checkpoint(3), None);
    }

    #[test]
    fn a_tensor_is_read_as_burn_reads_it() {
        let device = burn::tensor::Device::flex();
        let tensor = burn::tensor::Tensor::<1>::from_floats([1.0, 3.0], &device);
        let mut losses = Losses::default();
        losses.add(&LossSample {
            epoch: 1,
            valid: false,
            loss: Loss::Tensor(Box::new(LossInput::new(tensor))),
        });
        losses.add(&sample(1, 5.0));
        // Two samples of mean 2 and one of 5.
        assert_eq!(losses.of_epoch(1), Some(3.0));
    }
}
