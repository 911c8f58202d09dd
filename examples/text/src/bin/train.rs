//! The training: Burn's learner, and mirrorwatch's line.

use burn::data::dataloader::DataLoaderBuilder;
use burn::optim::AdamConfig;
use burn::tensor::Device;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::{Learner, SupervisedTraining};
use mirrorwatch::prelude::*;
use text::{Bag, Data, Stack};

fn main() {
    let root = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "runs".to_string());
    let data = Data::load();
    let device = Device::flex().autodiff();
    device.seed(1);
    let train = DataLoaderBuilder::new(Stack)
        .batch_size(64)
        .shuffle(1)
        .build(Data::dataset(&data.train));
    let valid = DataLoaderBuilder::new(Stack)
        .batch_size(500)
        .build(Data::dataset(&data.valid));

    let hook = Hook::new(&root, "definitions");
    let learner = Learner::new(
        Bag::new(data.vocabulary, &device),
        AdamConfig::new().init(),
        3e-3,
    );
    let result = SupervisedTraining::new(format!("{root}/.artifacts"), train, valid)
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .num_epochs(8)
        .mirrorwatch(&hook) // this one
        .launch(learner);
    if let Some(error) = result.error {
        panic!("the training failed: {error}");
    }
}
