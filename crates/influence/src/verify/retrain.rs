//! Short trainings that leave a group of samples out.

use std::sync::atomic::Ordering;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Int, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::error::InfluenceError;
use crate::model::fork;
use crate::sweep::{SweepOptions, mean_loss, read_items};
use crate::task::{Labels, Set, Task, dataset};

/// How a short training runs.
///
/// ```
/// use mirrorwatch_influence::verify::RetrainOptions;
///
/// let longer = RetrainOptions { epochs: 5, ..RetrainOptions::default() };
/// assert_eq!((longer.epochs, longer.batch, longer.rate), (5, 32, 3e-4));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetrainOptions {
    /// Passes over the samples.
    pub epochs: usize,
    /// Samples in a batch.
    pub batch: usize,
    /// Learning rate of Adam.
    pub rate: f64,
    /// Seed of the order.
    pub seed: u64,
}

impl Default for RetrainOptions {
    /// 2 passes in batches of 32, rate 3e-4, seed 0.
    fn default() -> Self {
        Self {
            epochs: 2,
            batch: 32,
            rate: 3e-4,
            seed: 0,
        }
    }
}

/// Trains a copy of `start` on training `samples` but those in `left_out`, a mask over them.
///
/// The order is that of the seed whether anything is left out or not, and a sample that is left out leaves its
/// place in the batch empty: two trainings differ by the group alone, not by what batch the others came in.
/// Dropout is off and running statistics stay, as in a [`fork`], for the same reason.
pub(super) fn retrain<T: Task>(
    task: &T,
    start: &T::Model,
    labels: &Labels,
    (samples, left_out): (&[usize], &[bool]),
    options: RetrainOptions,
    forward: &SweepOptions<'_>,
) -> Result<T::Model, InfluenceError> {
    let device = forward.device.clone().autodiff();
    let data = dataset(task, Set::Training);
    let mut model = fork(start);
    let mut optimizer = AdamConfig::new().init();
    let mut order: Vec<usize> = (0..samples.len()).collect();
    let mut rng = StdRng::seed_from_u64(options.seed);
    for _ in 0..options.epochs {
        order.shuffle(&mut rng);
        for places in order.chunks(options.batch.max(1)) {
            if forward.cancel.load(Ordering::Relaxed) {
                return Err(InfluenceError::Cancelled);
            }
            let kept = places.iter().filter(|&&place| !left_out[place]);
            let kept: Vec<usize> = kept.map(|&place| samples[place]).collect();
            (forward.progress)(places.len());
            if kept.is_empty() {
                continue;
            }
            let items = read_items(data.as_ref(), Set::Training, &kept)?;
            let given: Vec<i64> = kept.iter().map(|&i| labels.train[i] as i64).collect();
            let given: Tensor<1, Int> =
                Tensor::from_data(TensorData::new(given, [kept.len()]), &device);
            let batch = task.batch(items, &device);
            // Each sample weighs the same whether others of its batch are there or not.
            let share = kept.len() as f64 / places.len() as f64;
            let loss = mean_loss(task, &model, &batch, given).mul_scalar(share);
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(options.rate, model, gradients);
        }
    }
    Ok(model.valid())
}
