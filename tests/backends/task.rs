//! Two models over a synthetic task with planted wrong labels, and their training on any device.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::data::dataset::{Dataset, DatasetError};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch::Task;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// Pixels of a side, and features of a sample.
const SIDE: usize = 4;
const WIDTH: usize = SIDE * SIDE;
const CLASSES: usize = 4;
const TRAIN: usize = 600;
const PROBE: usize = 200;
/// Share of training labels that are made wrong.
const FLIPPED: f64 = 0.15;
/// Epochs of training: enough to fit, not to memorise.
const EPOCHS: usize = 8;

/// A model over flat features.
pub trait Net: Module + 'static {
    fn build(device: &Device) -> Self;
    fn logits(&self, x: Tensor<2>) -> Tensor<2>;
}

/// Two hidden layers.
#[derive(Module, Debug)]
pub struct Mlp {
    first: Linear,
    second: Linear,
    head: Linear,
}

impl Net for Mlp {
    fn build(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(WIDTH, 32).init(device),
            second: LinearConfig::new(32, 32).init(device),
            head: LinearConfig::new(32, CLASSES).init(device),
        }
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.second.forward(relu(self.first.forward(x))));
        self.head.forward(hidden)
    }
}

/// A convolution and batch normalisation; tiny, because ndarray goes backwards through it very slowly.
#[derive(Module, Debug)]
pub struct Cnn {
    conv: Conv2d,
    norm: BatchNorm,
    head: Linear,
}

impl Net for Cnn {
    fn build(device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([1, 8], [3, 3]).init(device),
            norm: BatchNormConfig::new(8).init(device),
            head: LinearConfig::new(8 * (SIDE - 2) * (SIDE - 2), CLASSES).init(device),
        }
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        let batch = x.dims()[0];
        let features = self.conv.forward(x.reshape([batch, 1, SIDE, SIDE]));
        let features = relu(self.norm.forward(features));
        self.head.forward(features.flatten::<2>(1, 3))
    }
}

#[derive(Debug, Clone)]
pub struct Sample {
    x: Vec<f32>,
    label: usize,
}

pub struct Rows(Vec<Sample>);

impl Dataset<Sample> for Rows {
    fn get(&self, index: usize) -> Result<Sample, DatasetError> {
        Ok(self.0[index].clone())
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Gaussian classes around random means, some training labels flipped to another class.
pub struct Toy<M> {
    train: Arc<Rows>,
    probe: Arc<Rows>,
    model: PhantomData<fn() -> M>,
}

/// A standard normal number, near enough: the sum of twelve uniform ones, less six.
fn normal(rng: &mut StdRng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

impl<M: Net> Toy<M> {
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut means = [[0.0f32; WIDTH]; CLASSES];
        // About 1.5 from another in each direction that tells them apart: hard samples, and easy ones.
        means
            .as_flattened_mut()
            .iter_mut()
            .for_each(|m| *m = 0.6 * normal(&mut rng));
        let mut draw = |count: usize, flipped: f64| {
            let mut samples = Vec::new();
            for index in 0..count {
                let truth = index % CLASSES;
                let x = means[truth].iter().map(|m| m + normal(&mut rng)).collect();
                let label = match rng.random_bool(flipped) {
                    true => (truth + rng.random_range(1..CLASSES)) % CLASSES,
                    false => truth,
                };
                samples.push(Sample { x, label });
            }
            Arc::new(Rows(samples))
        };
        Self {
            train: draw(TRAIN, FLIPPED),
            probe: draw(PROBE, 0.0),
            model: PhantomData,
        }
    }

    /// The record of a model that was trained on `device`, as a checkpoint has it.
    pub fn trained(&self, device: &Device, seed: u64) -> Vec<u8> {
        let _turn = turn();
        let device = device.clone().autodiff();
        device.seed(seed);
        let mut model = M::build(&device);
        let momentum = MomentumConfig::new().with_momentum(0.9);
        let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
        let mut order: Vec<Sample> = self.train.0.clone();
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..EPOCHS {
            order.shuffle(&mut rng);
            for chunk in order.chunks(32) {
                let labels: Vec<i64> = chunk.iter().map(|s| s.label as i64).collect();
                let labels: Tensor<1, Int> =
                    Tensor::from_data(TensorData::new(labels, [chunk.len()]), &device);
                let logits = model.logits(self.batch(chunk.to_vec(), &device));
                let loss = CrossEntropyLossConfig::new()
                    .init(&device)
                    .forward(logits, labels);
                let gradients = GradientsParams::from_grads(loss.backward(), &model);
                model = optimizer.step(0.02, model, gradients);
            }
        }
        model.valid().into_record().into_bytes().unwrap().to_vec()
    }
}

/// Burn's seeds are global to a kind of device: trainings take turns.
fn turn() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M: Net> Task for Toy<M> {
    type Model = M;
    type Item = Sample;
    type Batch = Tensor<2>;

    fn model(&self, device: &Device) -> M {
        M::build(device)
    }

    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        self.train.clone()
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        self.probe.clone()
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Tensor<2> {
        let shape = [items.len(), WIDTH];
        let x: Vec<f32> = items.into_iter().flat_map(|s| s.x).collect();
        Tensor::from_data(TensorData::new(x, shape), device)
    }

    fn label(&self, item: &Sample) -> usize {
        item.label
    }

    fn classes(&self) -> usize {
        CLASSES
    }

    fn logits(&self, model: &M, batch: &Tensor<2>) -> Tensor<2> {
        model.logits(batch.clone())
    }
}
