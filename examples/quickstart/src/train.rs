//! The training process: a plain Burn training with one added line.

use std::path::Path;

use burn::data::dataloader::DataLoaderBuilder;
use burn::optim::AdamConfig;
use burn::tensor::Device;
use burn::train::metric::LossMetric;
use burn::train::{Learner, SupervisedTraining};
use mirrorwatch::prelude::{Hook, MirrorwatchExt};
use mirrorwatch::stock::{Architecture, IdxTask, Net, SampleBatcher};

use crate::silent::Silent;

/// What to train.
pub struct Training<'a> {
    /// Data, as the sidecar sees it.
    pub task: &'a IdxTask,
    /// Model to train.
    pub model: Architecture,
    /// Shape of a sample.
    pub shape: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// Learning rate of Adam.
    pub lr: f64,
    /// Samples in a batch.
    pub batch_size: usize,
    /// Seed of weights and batches.
    pub seed: u64,
}

impl Training<'_> {
    /// Trains; `hook` publishes a checkpoint after every epoch.
    ///
    /// # Errors
    ///
    /// A model that cannot be built, or training that stopped on an error, in words.
    pub fn run(&self, artifacts: &Path, hook: &Hook) -> Result<(), String> {
        let device = Device::flex().autodiff();
        device.seed(self.seed);
        let model = Net::new(self.model, self.shape, self.classes, &device)?;
        let train = DataLoaderBuilder::new(SampleBatcher)
            .batch_size(self.batch_size)
            .shuffle(self.seed)
            .build(self.task.train_samples());
        let valid = DataLoaderBuilder::new(SampleBatcher)
            .batch_size(500)
            .build(self.task.probe_samples());
        let result = SupervisedTraining::new(artifacts, train, valid)
            .metric_valid_numeric(LossMetric::new())
            .num_epochs(self.epochs)
            .renderer(Box::new(Silent))
            .with_application_logger(None)
            .mirrorwatch(hook) // the one added line
            .launch(Learner::new(model, AdamConfig::new().init(), self.lr));
        match result.error {
            Some(error) => Err(error.to_string()),
            None => Ok(()),
        }
    }
}
