//! The training, on libtorch.

use std::error::Error;
use std::path::PathBuf;

use burn::data::dataloader::DataLoaderBuilder;
use burn::optim::AdamConfig;
use burn::tensor::Device;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::{Learner, SupervisedTraining};
use clap::Parser;
use example_burn_tch::{Cnn, Fashion, ImageBatcher, Options};
use mirrorwatch::prelude::{Hook, MirrorwatchExt};

/// Trains a small CNN on libtorch, watched by mirrorwatch.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    data: Options,

    /// Directory that the sidecar watches
    #[arg(long, value_name = "DIR", default_value = "runs")]
    root: PathBuf,

    /// Directory for Burn's own files
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,

    /// Epochs to train
    #[arg(long, value_name = "N", default_value_t = 5)]
    epochs: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let task = Fashion::open(&arguments.data)?;
    // Always by name: Burn's default device is another one as soon as the feature `tch` is turned on.
    #[allow(deprecated)] // burn-tch ends with Burn 0.22
    let device = Device::libtorch().autodiff();
    device.seed(0);
    let model = Cnn::new(&device);
    let train = DataLoaderBuilder::new(ImageBatcher)
        .batch_size(64)
        .shuffle(0)
        .build(task.train.clone());
    let valid = DataLoaderBuilder::new(ImageBatcher)
        .batch_size(500)
        .build(task.probe.clone());
    let hook = Hook::new(&arguments.root, "burn-tch");
    let result = SupervisedTraining::new(&arguments.artifacts, train, valid)
        .metric_train_numeric(LossMetric::new())
        .metric_valid_numeric(AccuracyMetric::new())
        .num_epochs(arguments.epochs)
        .mirrorwatch(&hook) // the one added line
        .launch(Learner::new(model, AdamConfig::new().init(), 1e-3));
    result
        .error
        .map_or(Ok(()), |error| Err(error.to_string().into()))
}
