//! The training process: a plain Burn training with one added line.

use std::path::Path;
use std::sync::Arc;

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataset::Dataset;
use burn::optim::AdamConfig;
use burn::tensor::Device;
use burn::train::metric::LossMetric;
use burn::train::{Learner, SupervisedTraining};
use mirrorwatch::prelude::{Hook, MirrorwatchExt, Task};
use mirrorwatch::stock::{Architecture, IdxTask, Net, Sample, SampleBatcher};

use crate::silent::Silent;
use quickstart::broken::{Break, Broken};

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
    /// What is trained on instead of the task's own samples, where labels go wrong on the way.
    pub broken: Option<Arc<Broken>>,
}

impl Training<'_> {
    /// Trains; `hook` publishes a checkpoint after every epoch.
    ///
    /// # Errors
    ///
    /// A model that cannot be built, or training that stopped on an error, in words.
    pub fn run(&self, artifacts: &Path, hook: &Hook) -> Result<Net, String> {
        match &self.broken {
            Some(broken) => self.on(broken.clone(), self.epochs, artifacts, Some(hook)),
            None => self.on(
                self.task.train_samples(),
                self.epochs,
                artifacts,
                Some(hook),
            ),
        }
    }

    /// Trains the same way on `samples`, for so many epochs.
    ///
    /// # Errors
    ///
    /// As [`Training::run`].
    pub fn on(
        &self,
        samples: Arc<dyn Dataset<Sample>>,
        epochs: usize,
        artifacts: &Path,
        hook: Option<&Hook>,
    ) -> Result<Net, String> {
        let device = Device::flex().autodiff();
        device.seed(self.seed);
        let model = Net::new(self.model, self.shape, self.classes, &device)?;
        let train = DataLoaderBuilder::new(SampleBatcher)
            .batch_size(self.batch_size)
            .shuffle(self.seed)
            .build(samples);
        let valid = DataLoaderBuilder::new(SampleBatcher)
            .batch_size(500)
            .build(self.task.probe_samples());
        let mut training = SupervisedTraining::new(artifacts, train, valid)
            .metric_valid_numeric(LossMetric::new())
            .num_epochs(epochs)
            .renderer(Box::new(Silent))
            .with_application_logger(None);
        if let Some(hook) = hook {
            training = training.mirrorwatch(hook); // the one added line
        }
        let result = training.launch(Learner::new(model, AdamConfig::new().init(), self.lr));
        match result.error {
            Some(error) => Err(error.to_string()),
            None => Ok(result.model),
        }
    }
}

/// The training samples of `task` for a training of so many epochs on which a source breaks.
///
/// # Errors
///
/// A source that there is not, or an epoch that does not come, in words.
pub fn broken(
    task: &IdxTask,
    how: &Break,
    classes: usize,
    epochs: usize,
    seed: u64,
) -> Result<Arc<Broken>, String> {
    if how.epoch > epochs {
        return Err(format!(
            "cannot break the source {:?} at epoch {} of {epochs}; name an earlier one with --break-source, or give --epochs more",
            how.source, how.epoch
        ));
    }
    let samples = task.train_samples();
    let mut sources = Vec::new();
    for sample in 0..samples.len() {
        sources.push(task.source(sample));
    }
    let broken = Broken::new(samples, &sources, classes, how, seed)?;
    Ok(Arc::new(broken))
}
