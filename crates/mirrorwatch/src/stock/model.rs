//! Two small models, ready to train: an MLP for features and a CNN for images.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Tensor};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use clap::ValueEnum;

use super::task::Batch;

/// Which model.
///
/// ```
/// use mirrorwatch::stock::Architecture;
///
/// // Anything but images is for the MLP.
/// assert!(Architecture::Mlp.check(&[17]).is_ok() && Architecture::Cnn.check(&[17]).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// Three linear layers, 512 units each; takes anything.
    Mlp,
    /// Two strided convolutions and two linear layers; takes images.
    Cnn,
}

/// A stock model.
///
/// ```
/// use burn::tensor::Tensor;
/// use mirrorwatch::stock::{Architecture, Net};
///
/// let device = mirrorwatch::daemon::backend::device("flex")?;
/// let mlp = Net::new(Architecture::Mlp, &[17], 3, &device)?;
/// assert!(matches!(mlp, Net::Mlp(_)));
/// assert_eq!(mlp.forward(Tensor::zeros([5, 17], &device)).dims(), [5, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// A process holds a handful of models: their size on the stack does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Net {
    /// [`Mlp`].
    Mlp(Mlp),
    /// [`Cnn`].
    Cnn(Cnn),
}

/// D → 512 → 512 → K with ReLU.
///
/// ```
/// use burn::module::Module;
/// use mirrorwatch::stock::{Architecture, Net};
///
/// let device = mirrorwatch::daemon::backend::device("flex")?;
/// let Net::Mlp(mlp) = Net::new(Architecture::Mlp, &[17], 3, &device)? else {
///     return Err("another one".into());
/// };
/// assert_eq!(mlp.num_params(), (17 + 1) * 512 + (512 + 1) * 512 + (512 + 1) * 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct Mlp {
    first: Linear,
    second: Linear,
    head: Linear,
}

/// C × H × W → 16 → 32 channels at half the size each → 64 → K with ReLU.
///
/// ```
/// use burn::tensor::Tensor;
/// use mirrorwatch::stock::{Architecture, Net};
///
/// let device = mirrorwatch::daemon::backend::device("flex")?;
/// let cnn = Net::new(Architecture::Cnn, &[3, 32, 32], 10, &device)?;
/// assert!(matches!(cnn, Net::Cnn(_)));
/// assert_eq!(cnn.forward(Tensor::zeros([2, 3 * 32 * 32], &device)).dims(), [2, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct Cnn {
    first: Conv2d,
    second: Conv2d,
    hidden: Linear,
    head: Linear,
    #[module(skip)]
    shape: [usize; 3],
}

impl Architecture {
    /// Checks that the architecture takes samples of `shape`.
    ///
    /// # Errors
    ///
    /// Says why not, in words.
    ///
    /// ```
    /// use mirrorwatch::stock::Architecture;
    ///
    /// assert_eq!(Architecture::Cnn.check(&[28, 28]), Ok(()));
    /// assert!(Architecture::Cnn.check(&[256]).is_err_and(|why| why.ends_with("use the mlp")));
    /// ```
    pub fn check(self, shape: &[usize]) -> Result<(), String> {
        match self {
            Architecture::Mlp => Ok(()),
            Architecture::Cnn => image_shape(shape).map(|_| ()),
        }
    }
}

const MLP_UNITS: usize = 512;
const CHANNELS: [usize; 2] = [16, 32];
const CNN_UNITS: usize = 64;

impl Net {
    /// Builds a model for samples of `shape` (`[D]`, `[H, W]` or `[C, H, W]`) and K classes.
    ///
    /// # Errors
    ///
    /// A shape that the architecture cannot take, in words.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use mirrorwatch::stock::{Architecture, Net};
    ///
    /// let device = mirrorwatch::daemon::backend::device("flex")?;
    /// let images = Net::new(Architecture::Cnn, &[28, 28], 10, &device)?;
    /// assert_eq!(images.forward(Tensor::zeros([1, 784], &device)).dims(), [1, 10]);
    /// assert!(Net::new(Architecture::Cnn, &[784], 10, &device).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        architecture: Architecture,
        shape: &[usize],
        classes: usize,
        device: &Device,
    ) -> Result<Self, String> {
        match architecture {
            Architecture::Mlp => Ok(Net::Mlp(Mlp::new(shape.iter().product(), classes, device))),
            Architecture::Cnn => Ok(Net::Cnn(Cnn::new(image_shape(shape)?, classes, device))),
        }
    }

    /// Logits `[B, K]` of flat inputs `[B, D]`.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use mirrorwatch::stock::{Architecture, Net};
    ///
    /// let device = mirrorwatch::daemon::backend::device("flex")?;
    /// let net = Net::new(Architecture::Mlp, &[4, 4], 2, &device)?;
    /// assert_eq!(net.forward(Tensor::zeros([8, 16], &device)).dims(), [8, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        match self {
            Net::Mlp(mlp) => mlp.forward(inputs),
            Net::Cnn(cnn) => cnn.forward(inputs),
        }
    }
}

fn image_shape(shape: &[usize]) -> Result<[usize; 3], String> {
    match *shape {
        [height, width] => Ok([1, height, width]),
        [channels, height, width] => Ok([channels, height, width]),
        _ => Err(format!(
            "the cnn takes images of shape [H, W] or [C, H, W], but the samples have shape {shape:?}; use the mlp"
        )),
    }
}

impl Mlp {
    fn new(inputs: usize, classes: usize, device: &Device) -> Self {
        Self {
            first: LinearConfig::new(inputs, MLP_UNITS).init(device),
            second: LinearConfig::new(MLP_UNITS, MLP_UNITS).init(device),
            head: LinearConfig::new(MLP_UNITS, classes).init(device),
        }
    }

    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.first.forward(inputs));
        self.head.forward(relu(self.second.forward(hidden)))
    }
}

impl Cnn {
    fn new(shape: [usize; 3], classes: usize, device: &Device) -> Self {
        let [channels, height, width] = shape;
        let quarter = |side: usize| side.div_ceil(2).div_ceil(2);
        let flat = CHANNELS[1] * quarter(height) * quarter(width);
        let padding = |n| PaddingConfig2d::Explicit(n, n, n, n);
        Self {
            first: Conv2dConfig::new([channels, CHANNELS[0]], [5, 5])
                .with_stride([2, 2])
                .with_padding(padding(2))
                .init(device),
            second: Conv2dConfig::new(CHANNELS, [3, 3])
                .with_stride([2, 2])
                .with_padding(padding(1))
                .init(device),
            hidden: LinearConfig::new(flat, CNN_UNITS).init(device),
            head: LinearConfig::new(CNN_UNITS, classes).init(device),
            shape,
        }
    }

    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        let [batch, _] = inputs.dims();
        let [channels, height, width] = self.shape;
        let images = inputs.reshape([batch, channels, height, width]);
        let hidden = relu(self.first.forward(images));
        let hidden = relu(self.second.forward(hidden));
        let flat = hidden.flatten::<2>(1, 3);
        self.head.forward(relu(self.hidden.forward(flat)))
    }
}

impl TrainStep for Net {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = self.classify(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Net {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.classify(batch)
    }
}

impl Net {
    fn classify(&self, batch: Batch) -> ClassificationOutput {
        let logits = self.forward(batch.inputs);
        let targets = batch.targets;
        let picked = log_softmax(logits.clone(), 1).gather(1, targets.clone().unsqueeze_dim(1));
        ClassificationOutput::new(picked.mean().neg(), logits, targets)
    }
}
