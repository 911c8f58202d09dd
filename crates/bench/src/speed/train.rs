//! Training of the suite's models: plain minibatches, Adam.

use burn::data::dataset::Dataset;
use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch_influence::Task;

use super::data::{Planted, Sample};
use super::nets::Net;

/// Samples in a minibatch.
pub const BATCH: usize = 64;
/// Learning rate of Adam.
pub const RATE: f64 = 1e-3;

/// A training that goes on step by step over the samples in their order, again and again.
pub struct Training<'a> {
    task: &'a Planted,
    /// The model, with autodiff.
    pub model: Net,
    optimizer: ModuleOptimizer,
    device: Device,
    next: usize,
}

impl<'a> Training<'a> {
    /// A fresh model on `device`, seeded.
    pub fn new(task: &'a Planted, device: &Device, seed: u64) -> Self {
        device.seed(seed);
        let device = device.clone().autodiff();
        Self {
            model: task.model(&device),
            optimizer: AdamConfig::new().init(),
            task,
            device,
            next: 0,
        }
    }

    /// One step; the loss stays where it is.
    ///
    /// # Errors
    ///
    /// A sample that cannot be read.
    pub fn step(&mut self) -> Result<Tensor<1>, String> {
        let data = &self.task.training;
        let mut items = Vec::with_capacity(BATCH);
        for _ in 0..BATCH {
            items.push(data.get(self.next).map_err(|error| error.to_string())?);
            self.next = (self.next + 1) % data.len();
        }
        let labels = labels(&items, &self.device);
        let logits = self.model.forward(self.task.batch(items, &self.device));
        let loss = log_softmax(logits, 1)
            .gather(1, labels.unsqueeze_dim(1))
            .mean()
            .neg();
        let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
        self.model = self.optimizer.step(RATE, self.model.clone(), gradients);
        Ok(loss)
    }

    /// So many more steps, and the model as it is then, without autodiff.
    ///
    /// # Errors
    ///
    /// A sample that cannot be read.
    pub fn after(&mut self, steps: usize) -> Result<Net, String> {
        for _ in 0..steps {
            self.step()?;
        }
        Ok(self.model.valid())
    }
}

fn labels(items: &[Sample], device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i64> = items.iter().map(|item| item.label as i64).collect();
    let count = labels.len();
    Tensor::from_data(TensorData::new(labels, [count]), device)
}
