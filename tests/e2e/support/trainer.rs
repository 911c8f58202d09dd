//! A training loop written by hand, in the test's own process: it publishes when the test says so.

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::Dataset;
use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use burn::train::TrainStep;
use mirrorwatch::hook::Hook;
use mirrorwatch::stock::{Architecture, Batch, Net, SampleBatcher};

use super::data::Data;
use super::wait::eventually;

const BATCH: usize = 100;
const RATE: f64 = 1e-3;

/// A model in training.
pub struct Trainer {
    net: Net,
    optimizer: ModuleOptimizer,
    hook: Hook,
    batches: Vec<Batch>,
    epoch: usize,
    step: usize,
}

impl Trainer {
    /// A new model, nothing published yet.
    pub fn new(data: &Data, hook: Hook) -> Self {
        let device = device();
        let task = data.task();
        let samples = task.train_samples();
        let mut batches = Vec::new();
        let all: Vec<usize> = (0..samples.len()).collect();
        for chunk in all.chunks(BATCH) {
            let items = chunk.iter().map(|&i| samples.get(i).unwrap()).collect();
            batches.push(SampleBatcher.batch(items, &device));
        }
        Self {
            net: net(data, super::data::CLASSES as usize),
            optimizer: AdamConfig::new().init(),
            hook,
            batches,
            epoch: 0,
            step: 0,
        }
    }

    /// Counts epochs and steps from here, as a training does that goes on with an older one's run.
    pub fn resume_after(&mut self, epoch: usize) {
        self.epoch = epoch;
        self.step = epoch * self.batches.len();
    }

    /// Trains one epoch; returns when what it published is on the disk.
    #[track_caller]
    pub fn epoch(&mut self) {
        self.epoch += 1;
        self.hook.learning_rate(RATE);
        for (number, batch) in self.batches.iter().enumerate() {
            self.hook.consumed(number * BATCH..(number + 1) * BATCH);
            let output = TrainStep::step(&self.net, batch.clone());
            self.net = self.optimizer.step(RATE, self.net.clone(), output.grads);
            self.step += 1;
            let loss = f64::from(output.item.loss.into_scalar::<f32>());
            self.hook
                .on_step(self.epoch, self.step, Some(loss), &self.net);
            // Steps are short here: a checkpoint of every fourth would give way to the next one.
            self.settle();
        }
        // Nothing is held out here but the sidecar's probe.
        self.hook.valid_loss(self.epoch, 1.0 / self.epoch as f64);
        self.hook
            .on_epoch_end(self.epoch, self.step, None, &self.net);
        self.settle();
    }

    #[track_caller]
    pub fn epochs(&mut self, count: usize) {
        for _ in 0..count {
            self.epoch();
        }
    }

    /// Publishes another model as if it were the next epoch's.
    #[track_caller]
    pub fn publish(&mut self, net: &Net) {
        self.epoch += 1;
        self.step += 1;
        self.hook.on_epoch_end(self.epoch, self.step, None, net);
        self.settle();
    }

    /// Publishes the last checkpoint once more.
    #[track_caller]
    pub fn publish_again(&self) {
        self.hook
            .on_epoch_end(self.epoch, self.step, None, &self.net);
        self.settle();
    }

    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Checkpoints published so far.
    pub fn published(&self) -> u64 {
        self.hook.stats().published
    }

    /// Ends the training.
    #[track_caller]
    pub fn finish(self) {
        assert!(self.hook.finish(), "{:?}", self.hook.stats());
    }

    /// Waits until the hook's writer has nothing left to do.
    #[track_caller]
    fn settle(&self) {
        let stats = eventually("the hook to have written its checkpoints", || {
            let stats = self.hook.stats();
            match stats.published + stats.dropped + stats.failed >= stats.snapshots {
                true => Ok(stats),
                false => Err(format!("{stats:?}")),
            }
        });
        assert_eq!(stats.failed, 0, "{stats:?}");
    }
}

fn device() -> Device {
    Device::flex().autodiff()
}

/// An untrained model for such data, with any number of classes.
pub fn net(data: &Data, classes: usize) -> Net {
    let features = mirrorwatch::idx::read_features(data.file("train-features")).unwrap();
    let net = Net::new(Architecture::Mlp, features.shape(), classes, &device()).unwrap();
    // Burn makes parameters when they are first used, and the hook publishes no others.
    net.forward(Tensor::zeros([1, features.sample_len()], &device()));
    net
}

/// The model with nothing but NaN in its weights, as after a training that diverged.
pub fn diverged(net: &Net) -> Net {
    scaled(net, f32::NAN)
}

/// The model with nothing but zeros in its weights: it knows nothing, and no gradient reaches most of it.
pub fn ignorant(net: &Net) -> Net {
    scaled(net, 0.0)
}

fn scaled(net: &Net, factor: f32) -> Net {
    struct Scale(f32);
    impl ModuleMapper for Scale {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| tensor * self.0)
        }
    }
    net.clone().map(&mut Scale(factor))
}
