//! A small convolutional net with batch normalisation, and how Burn trains it.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};

use crate::data::Batch;

/// 1 × 28 × 28 → 16 × 13 × 13 → 32 × 6 × 6 → 10.
#[derive(Module, Debug)]
pub struct Cnn {
    first: Conv2d,
    first_norm: BatchNorm,
    second: Conv2d,
    second_norm: BatchNorm,
    head: Linear,
}

impl Cnn {
    pub fn new(device: &Device) -> Self {
        let convolution = |channels| Conv2dConfig::new(channels, [3, 3]).with_stride([2, 2]);
        Self {
            first: convolution([1, 16]).init(device),
            first_norm: BatchNormConfig::new(16).init(device),
            second: convolution([16, 32]).init(device),
            second_norm: BatchNormConfig::new(32).init(device),
            head: LinearConfig::new(32 * 6 * 6, 10).init(device),
        }
    }

    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let hidden = relu(self.first_norm.forward(self.first.forward(images)));
        let hidden = relu(self.second_norm.forward(self.second.forward(hidden)));
        self.head.forward(hidden.flatten::<2>(1, 3))
    }

    fn classify(&self, batch: Batch) -> ClassificationOutput {
        let logits = self.forward(batch.images);
        let loss = CrossEntropyLossConfig::new()
            .init(&logits.device())
            .forward(logits.clone(), batch.labels.clone());
        ClassificationOutput::new(loss, logits, batch.labels)
    }
}

impl TrainStep for Cnn {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = self.classify(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Cnn {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.classify(batch)
    }
}
