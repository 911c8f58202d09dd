//! The models of these tests.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::activation::{relu, tanh};
use burn::tensor::{Device, Tensor};

use crate::common::WIDTH;

/// A model over flat features.
pub trait Net: Module {
    fn build(device: &Device, classes: usize) -> Self;
    fn logits(&self, x: Tensor<2>) -> Tensor<2>;
}

/// Softmax regression on two features.
#[derive(Module, Debug)]
pub struct Flat {
    pub head: Linear,
}

impl Net for Flat {
    fn build(device: &Device, classes: usize) -> Self {
        Self {
            head: LinearConfig::new(2, classes).init(device),
        }
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        self.head.forward(x)
    }
}

/// Two features, three hidden units, smooth: small enough to write its gradients down.
#[derive(Module, Debug)]
pub struct Tiny {
    pub hidden: Linear,
    pub head: Linear,
}

impl Net for Tiny {
    fn build(device: &Device, classes: usize) -> Self {
        Self {
            hidden: LinearConfig::new(2, 3).init(device),
            head: LinearConfig::new(3, classes).init(device),
        }
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        self.head.forward(tanh(self.hidden.forward(x)))
    }
}

/// One hidden layer, smooth, so that first-order statements hold.
#[derive(Module, Debug)]
pub struct Smooth {
    hidden: Linear,
    head: Linear,
}

impl Net for Smooth {
    fn build(device: &Device, classes: usize) -> Self {
        Self {
            hidden: LinearConfig::new(WIDTH, 32).init(device),
            head: LinearConfig::new(32, classes).init(device),
        }
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        self.head.forward(tanh(self.hidden.forward(x)))
    }
}

/// Everything that behaves differently while training.
#[derive(Module, Debug)]
pub struct Normed {
    hidden: Linear,
    norm: BatchNorm,
    dropout: Dropout,
    head: Linear,
}

impl Net for Normed {
    fn build(device: &Device, classes: usize) -> Self {
        Self {
            hidden: LinearConfig::new(WIDTH, 32).init(device),
            norm: BatchNormConfig::new(32).init(device),
            dropout: DropoutConfig::new(0.3).init(),
            head: LinearConfig::new(32, classes).init(device),
        }
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = tanh(self.norm.forward(self.hidden.forward(x)));
        self.head.forward(self.dropout.forward(hidden))
    }
}

/// A convolution over 4 × 4 pixels.
#[derive(Module, Debug)]
pub struct Conv {
    conv: Conv2d,
    head: Linear,
}

impl Net for Conv {
    fn build(device: &Device, classes: usize) -> Self {
        Self {
            conv: Conv2dConfig::new([1, 16], [3, 3]).init(device),
            head: LinearConfig::new(16 * 4, classes).init(device),
        }
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        let batch = x.dims()[0];
        let features = relu(self.conv.forward(x.reshape([batch, 1, 4, 4])));
        self.head.forward(features.flatten::<2>(1, 3))
    }
}

/// Answers with one class too many.
#[derive(Module, Debug)]
pub struct TooWide {
    head: Linear,
}

impl Net for TooWide {
    fn build(device: &Device, classes: usize) -> Self {
        Self {
            head: LinearConfig::new(WIDTH, classes + 1).init(device),
        }
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        self.head.forward(x)
    }
}
