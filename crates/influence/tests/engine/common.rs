//! A synthetic task with planted wrong labels.

use std::marker::PhantomData;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::data::dataset::{Dataset, DatasetError};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch_influence::{Labels, Set, SweepOptions, Task, sweep};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::nets::Net;
use crate::weights::values;

/// Features of a sample; also the pixels of a 4 × 4 image.
pub const WIDTH: usize = 16;
pub const CLASSES: usize = 4;
/// Share of training labels that are made wrong.
const FLIPPED: f64 = 0.15;
/// Distance of class means from the origin, in standard deviations of a feature.
const SPREAD: f32 = 3.0;

/// Burn's seeds are global to a kind of device: tests that draw random numbers take turns.
pub fn turn() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Clone)]
pub struct Sample {
    pub x: Vec<f32>,
    pub label: usize,
}

/// Samples in memory; reading `broken` fails.
#[derive(Default)]
pub struct Rows {
    pub samples: Vec<Sample>,
    pub broken: Option<usize>,
}

impl Dataset<Sample> for Rows {
    fn get(&self, index: usize) -> Result<Sample, DatasetError> {
        if self.broken == Some(index) {
            return Err(DatasetError::new(std::io::Error::other("the disk is gone")));
        }
        Ok(self.samples[index].clone())
    }

    fn len(&self) -> usize {
        self.samples.len()
    }
}

/// A task over vectors for the model `M`.
pub struct Toy<M> {
    pub train: Arc<Rows>,
    pub probe: Arc<Rows>,
    /// True label of each training sample.
    pub truth: Vec<usize>,
    pub classes: usize,
    pub trusted: Vec<usize>,
    pub canaries: Vec<usize>,
    model: PhantomData<fn() -> M>,
}

impl<M: Net> Toy<M> {
    pub fn of(train: Vec<Sample>, probe: Vec<Sample>, classes: usize) -> Self {
        let truth = train.iter().map(|s| s.label).collect();
        let rows = |samples| {
            Arc::new(Rows {
                samples,
                broken: None,
            })
        };
        Self {
            train: rows(train),
            probe: rows(probe),
            truth,
            classes,
            trusted: Vec::new(),
            canaries: Vec::new(),
            model: PhantomData,
        }
    }

    /// Gaussian classes around random means, some training labels flipped to another class.
    pub fn gaussian(train: usize, probe: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut means = Vec::new();
        for _ in 0..CLASSES {
            let mean: Vec<f32> = (0..WIDTH).map(|_| normal(&mut rng)).collect();
            let length = mean.iter().map(|m| m * m).sum::<f32>().sqrt();
            means.push(mean.iter().map(|m| SPREAD * m / length).collect::<Vec<_>>());
        }
        let mut draw = |count: usize| {
            let mut samples = Vec::new();
            for i in 0..count {
                let label = i % CLASSES;
                let x = means[label].iter().map(|m| m + normal(&mut rng)).collect();
                samples.push(Sample { x, label });
            }
            samples
        };
        let (clean, probe) = (draw(train), draw(probe));
        let truth = clean.iter().map(|s| s.label).collect();
        let mut noisy = clean;
        for sample in &mut noisy {
            if rng.random_bool(FLIPPED) {
                sample.label = (sample.label + rng.random_range(1..CLASSES)) % CLASSES;
            }
        }
        Self {
            truth,
            ..Self::of(noisy, probe, CLASSES)
        }
    }

    /// Which training labels are wrong.
    pub fn flipped(&self) -> Vec<bool> {
        let given = self.train.samples.iter().map(|s| s.label);
        given.zip(&self.truth).map(|(g, t)| g != *t).collect()
    }

    /// A fresh model with seeded weights; call it on your [`turn`].
    pub fn fresh(&self, seed: u64) -> M {
        let device = Device::flex();
        device.seed(seed);
        let model = M::build(&device, self.classes);
        // Burn draws weights at first use.
        values(&model);
        model
    }

    /// A model trained for `epochs`; call it on your [`turn`].
    pub fn trained(&self, epochs: usize, rate: f64, seed: u64) -> M {
        let mut model = self.fresh(seed).train();
        let momentum = MomentumConfig::new().with_momentum(0.9);
        let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
        let mut order: Vec<usize> = (0..self.train.samples.len()).collect();
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..epochs {
            order.shuffle(&mut rng);
            for chunk in order.chunks(32) {
                let loss = loss(&model, &self.train.samples, chunk);
                let gradients = GradientsParams::from_grads(loss.backward(), &model);
                model = optimizer.step(rate, model, gradients);
            }
        }
        model.valid()
    }
}

impl<M: Net + 'static> Task for Toy<M> {
    type Model = M;
    type Item = Sample;
    type Batch = Tensor<2>;

    fn model(&self, device: &Device) -> M {
        M::build(device, self.classes)
    }

    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        self.train.clone()
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        self.probe.clone()
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Tensor<2> {
        stack(&items, device)
    }

    fn label(&self, item: &Sample) -> usize {
        item.label
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn logits(&self, model: &M, batch: &Tensor<2>) -> Tensor<2> {
        model.logits(batch.clone())
    }

    fn canaries(&self) -> Vec<usize> {
        self.canaries.clone()
    }

    fn trusted(&self) -> Vec<usize> {
        self.trusted.clone()
    }
}

pub fn stack(samples: &[Sample], device: &Device) -> Tensor<2> {
    let width = samples[0].x.len();
    let x: Vec<f32> = samples.iter().flat_map(|s| s.x.clone()).collect();
    Tensor::from_data(TensorData::new(x, [samples.len(), width]), device)
}

/// Mean cross-entropy of some samples on the autodiff device.
pub fn loss<M: Net>(model: &M, samples: &[Sample], indices: &[usize]) -> Tensor<1> {
    let device = Device::flex().autodiff();
    let picked: Vec<Sample> = indices.iter().map(|&i| samples[i].clone()).collect();
    let labels: Vec<i64> = picked.iter().map(|s| s.label as i64).collect();
    let labels: Tensor<1, Int> =
        Tensor::from_data(TensorData::new(labels, [picked.len()]), &device);
    let logits = model.logits(stack(&picked, &device));
    let chosen = log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1));
    chosen.mean().neg()
}

/// Losses of the whole training set at plain weights.
pub fn losses<M: Net + 'static>(task: &Toy<M>, model: &M) -> Vec<f32> {
    let labels = Labels::read(task).unwrap();
    let all: Vec<usize> = (0..labels.train.len()).collect();
    let swept = sweep(task, model, Set::Training, &all, &labels.train, &quiet());
    swept.unwrap().losses
}

/// Sweep options that tell nobody.
pub fn quiet() -> SweepOptions<'static> {
    static NEVER: AtomicBool = AtomicBool::new(false);
    let device: &'static Device = Box::leak(Box::new(Device::flex()));
    SweepOptions {
        device,
        batch_size: 64,
        progress: &|_| (),
        cancel: &NEVER,
    }
}

/// A standard normal number, near enough: the sum of twelve uniform ones, less six.
fn normal(rng: &mut StdRng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}
