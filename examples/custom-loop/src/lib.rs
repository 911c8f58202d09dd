//! Clothes: a small network over Fashion-MNIST, and what training and sidecar both need of it.

use std::path::Path;
use std::sync::Arc;

use burn::data::dataset::{Dataset, InMemDataset};
use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch::idx::{find, read_features, read_labels};

const PIXELS: usize = 28 * 28;
const TRAIN: usize = 5000;
const VALID: usize = 500;

/// A picture and the label it is given.
#[derive(Debug, Clone)]
pub struct Sample {
    /// 784 values around zero.
    pub pixels: Vec<f32>,
    /// Given label.
    pub label: usize,
}

/// All data.
pub struct Data {
    /// To train on. Every fifth label is wrong.
    pub train: Vec<Sample>,
    /// Clean and held out: the sidecar's probe.
    pub probe: Vec<Sample>,
    /// For the loop's own validation.
    pub valid: Vec<Sample>,
    /// Which training labels are wrong: so that the example can say how good the suspects are.
    pub wrong: Vec<bool>,
}

impl Data {
    /// Reads IDX files from `directory`, that of the quickstart if there is none, and makes every fifth training label
    /// wrong.
    pub fn load(directory: Option<&str>) -> Self {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../quickstart/data");
        let directory = Path::new(directory.unwrap_or(here));
        let mut train = read(directory, "train", TRAIN);
        let mut probe = read(directory, "t10k", usize::MAX);
        let valid = probe.split_off(probe.len() - VALID);
        let wrong: Vec<bool> = (0..train.len()).map(|i| i % 5 == 0).collect();
        for (index, sample) in train.iter_mut().enumerate().step_by(5) {
            sample.label = (sample.label + 1 + index / 5 % 9) % 10;
        }
        Self {
            train,
            probe,
            valid,
            wrong,
        }
    }

    /// As a data set of Burn's.
    pub fn dataset(samples: &[Sample]) -> Arc<dyn Dataset<Sample>> {
        Arc::new(InMemDataset::new(samples.to_vec()))
    }
}

fn read(directory: &Path, set: &str, most: usize) -> Vec<Sample> {
    let path =
        |kind: &str| find(directory, &[&format!("{set}-{kind}")]).expect("the files are there");
    let images = read_features(path("images-idx3-ubyte")).expect("readable");
    let labels = read_labels(path("labels-idx1-ubyte")).expect("readable");
    let mut samples = Vec::new();
    for (index, &label) in labels.iter().enumerate().take(most) {
        let mut pixels = Vec::with_capacity(PIXELS);
        images.append_sample(index, &mut pixels);
        pixels
            .iter_mut()
            .for_each(|pixel| *pixel = *pixel * 2.0 - 1.0);
        samples.push(Sample {
            pixels,
            label: label as usize,
        });
    }
    samples
}

/// One hidden layer, normalised.
#[derive(Module, Debug)]
pub struct Net {
    hidden: Linear,
    norm: BatchNorm,
    head: Linear,
}

impl Net {
    /// A fresh model.
    pub fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(PIXELS, 128).init(device),
            norm: BatchNormConfig::new(128).init(device),
            head: LinearConfig::new(128, 10).init(device),
        }
    }

    /// Logits `[B, 10]` of pictures `[B, 784]`.
    pub fn forward(&self, pictures: Tensor<2>) -> Tensor<2> {
        let hidden = self.norm.forward(self.hidden.forward(pictures));
        self.head.forward(relu(hidden))
    }

    /// Mean cross-entropy of a batch.
    pub fn loss(&self, batch: &Batch) -> Tensor<1> {
        let logits = self.forward(batch.pictures.clone());
        let chosen = log_softmax(logits, 1).gather(1, batch.labels.clone().unsqueeze_dim(1));
        chosen.mean().neg()
    }
}

/// Pictures on a device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[B, 784]`.
    pub pictures: Tensor<2>,
    /// `[B]`.
    pub labels: Tensor<1, Int>,
}

impl Batch {
    /// Puts pictures into a batch.
    pub fn new(items: &[Sample], device: &Device) -> Self {
        let count = items.len();
        let labels: Vec<i64> = items.iter().map(|item| item.label as i64).collect();
        let pictures: Vec<f32> = items.iter().flat_map(|item| item.pixels.clone()).collect();
        Self {
            pictures: Tensor::from_data(TensorData::new(pictures, [count, PIXELS]), device),
            labels: Tensor::from_data(TensorData::new(labels, [count]), device),
        }
    }
}
