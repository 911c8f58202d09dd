//! Training by hand, so that it can be stopped after any epoch: Adam on shuffled minibatches.

use std::sync::Arc;

use burn::data::dataset::Dataset;
use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Device;
use burn::tensor::activation::log_softmax;
use mirrorwatch::stock::{IdxTask, Net, SampleBatcher, Samples};
use mirrorwatch_influence::Task;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use burn::data::dataloader::batcher::Batcher;

use crate::grid::Settings;

/// A training run of the stock task's model over some of its training samples.
pub struct Trainer {
    samples: Arc<Samples>,
    /// Training indices, in the order of the epoch before.
    order: Vec<usize>,
    batch_size: usize,
    learning_rate: f64,
    device: Device,
    optimizer: ModuleOptimizer,
    rng: StdRng,
    model: Net,
}

impl Trainer {
    /// A fresh model, and `indices` of the training set to train it on. The seed decides weights and
    /// batches.
    pub fn new(task: &IdxTask, indices: Vec<usize>, settings: &Settings, seed: u64) -> Self {
        let device = Device::flex().autodiff();
        device.seed(seed);
        Self {
            model: task.model(&device),
            samples: task.train_samples(),
            order: indices,
            batch_size: settings.batch_size.max(1),
            learning_rate: settings.learning_rate,
            device,
            optimizer: AdamConfig::new().init(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Trains for one epoch; returns the mean loss over its batches.
    ///
    /// # Errors
    ///
    /// A sample that cannot be read, or a loss that is not finite.
    pub fn epoch(&mut self) -> Result<f64, String> {
        self.order.shuffle(&mut self.rng);
        let mut sum = 0.0;
        for chunk in self.order.chunks(self.batch_size) {
            let mut items = Vec::with_capacity(chunk.len());
            for &index in chunk {
                items.push(self.samples.get(index).map_err(|error| error.to_string())?);
            }
            let batch = SampleBatcher.batch(items, &self.device);
            let logits = self.model.forward(batch.inputs);
            let picked = log_softmax(logits, 1).gather(1, batch.targets.unsqueeze_dim(1));
            let loss = picked.mean().neg();
            sum += loss.clone().into_scalar::<f64>() * chunk.len() as f64;
            let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
            self.model = self
                .optimizer
                .step(self.learning_rate, self.model.clone(), gradients);
        }
        let mean = sum / self.order.len().max(1) as f64;
        if mean.is_finite() {
            Ok(mean)
        } else {
            Err("training has diverged: the loss is not finite".to_string())
        }
    }

    /// The model as it is now, without autodiff.
    pub fn model(&self) -> Net {
        self.model.valid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{Overrides, cells};
    use crate::setup::Setup;

    #[test]
    fn training_learns_and_the_seed_decides() {
        let overrides = Overrides {
            train: Some(300),
            trusted: Some(0),
            ..Overrides::default()
        };
        let cell = cells(true, &[0], &["none".to_string()], &overrides).remove(0);
        let work = tempfile::tempdir().unwrap();
        let setup = Setup::new(&cell, None, &work.path().join("work")).unwrap();
        let mut losses = Vec::new();
        for seed in [1, 1, 2] {
            let mut trainer = Trainer::new(&setup.task, (0..300).collect(), &cell.settings, seed);
            let first = trainer.epoch().unwrap();
            assert!(trainer.epoch().unwrap() < first);
            losses.push(first);
        }
        assert_eq!(losses[0], losses[1]);
        assert_ne!(losses[0], losses[2]);
    }
}
