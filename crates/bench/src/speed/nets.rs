//! The models of the suite: an MLP and a CNN as the stock ones are, and a small ResNet.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use clap::ValueEnum;
use mirrorwatch::stock::{Architecture, Net as Stock};

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// D → 512 → 512 → K, the stock MLP.
    Mlp,
    /// The stock CNN.
    Cnn,
    /// [`ResNet`].
    #[value(name = "resnet")]
    ResNet,
}

impl Kind {
    /// The name in tables and for other programs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mlp => "mlp",
            Kind::Cnn => "cnn",
            Kind::ResNet => "resnet",
        }
    }

    /// The shape of a sample: features, or an image.
    pub fn shape(self) -> &'static [usize] {
        match self {
            Kind::Mlp => &[256],
            Kind::Cnn => &[1, 28, 28],
            Kind::ResNet => &[3, 32, 32],
        }
    }

    /// Values of a sample.
    pub fn width(self) -> usize {
        self.shape().iter().product()
    }
}

/// A model of the suite.
// A process holds a handful of models: their size on the stack does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Net {
    /// A stock model.
    Stock(Stock),
    /// A residual one.
    ResNet(ResNet),
}

impl Net {
    /// A fresh model for `classes`.
    ///
    /// # Errors
    ///
    /// A shape that a stock model cannot take.
    pub fn new(kind: Kind, classes: usize, device: &Device) -> Result<Self, String> {
        let stock = |architecture| Stock::new(architecture, kind.shape(), classes, device);
        Ok(match kind {
            Kind::Mlp => Net::Stock(stock(Architecture::Mlp)?),
            Kind::Cnn => Net::Stock(stock(Architecture::Cnn)?),
            Kind::ResNet => Net::ResNet(ResNet::new(classes, device)),
        })
    }

    /// Logits `[B, K]` of flat inputs `[B, D]`.
    pub fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        match self {
            Net::Stock(stock) => stock.forward(inputs),
            Net::ResNet(resnet) => resnet.forward(inputs),
        }
    }
}

/// Channels of the three stages.
const WIDTHS: [usize; 3] = [16, 32, 64];

/// A convolution to 16 channels, three residual blocks of 16, 32 and 64 channels at full, half and quarter size, the
/// mean over the picture, and a linear layer (He, Zhang, Ren and Sun, CVPR 2016, at its smallest).
#[derive(Module, Debug)]
pub struct ResNet {
    conv: Conv2d,
    norm: BatchNorm,
    first: Block,
    second: Block,
    third: Block,
    head: Linear,
}

/// Two convolutions beside a shortcut.
#[derive(Module, Debug)]
pub struct Block {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
    short_conv: Option<Conv2d>,
    short_norm: Option<BatchNorm>,
}

fn conv(from: usize, to: usize, size: usize, stride: usize, device: &Device) -> Conv2d {
    let around = size / 2;
    Conv2dConfig::new([from, to], [size, size])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(around, around, around, around))
        .with_bias(false)
        .init(device)
}

impl ResNet {
    fn new(classes: usize, device: &Device) -> Self {
        let [one, two, three] = WIDTHS;
        Self {
            conv: conv(3, one, 3, 1, device),
            norm: BatchNormConfig::new(one).init(device),
            first: Block::new(one, one, 1, device),
            second: Block::new(one, two, 2, device),
            third: Block::new(two, three, 2, device),
            head: LinearConfig::new(three, classes).init(device),
        }
    }

    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        let [count, _] = inputs.dims();
        let mut seen = inputs.reshape([count, 3, 32, 32]);
        seen = relu(self.norm.forward(self.conv.forward(seen)));
        for block in [&self.first, &self.second, &self.third] {
            seen = block.forward(seen);
        }
        let mean = seen.mean_dim(3).mean_dim(2).reshape([count, WIDTHS[2]]);
        self.head.forward(mean)
    }
}

impl Block {
    fn new(from: usize, to: usize, stride: usize, device: &Device) -> Self {
        let other_shape = from != to;
        Self {
            conv1: conv(from, to, 3, stride, device),
            norm1: BatchNormConfig::new(to).init(device),
            conv2: conv(to, to, 3, 1, device),
            norm2: BatchNormConfig::new(to).init(device),
            short_conv: other_shape.then(|| conv(from, to, 1, stride, device)),
            short_norm: other_shape.then(|| BatchNormConfig::new(to).init(device)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let seen = relu(self.norm1.forward(self.conv1.forward(x.clone())));
        let seen = self.norm2.forward(self.conv2.forward(seen));
        let straight = match (&self.short_conv, &self.short_norm) {
            (Some(conv), Some(norm)) => norm.forward(conv.forward(x)),
            _ => x,
        };
        relu(seen + straight)
    }
}
