//! A training as it was before anybody thought of label noise: Burn's learner, which keeps its checkpoints.

use burn::data::dataloader::DataLoaderBuilder;
use burn::optim::AdamConfig;
use burn::tensor::Device;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::{Learner, SupervisedTraining};
use no_hook::{Data, Net, Stack};

fn main() {
    let artifacts = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "artifacts".to_string());
    let data = Data::load(None);
    let device = Device::flex().autodiff();
    device.seed(1);
    let train = DataLoaderBuilder::new(Stack)
        .batch_size(64)
        .shuffle(1)
        .build(Data::dataset(&data.train));
    let valid = DataLoaderBuilder::new(Stack)
        .batch_size(500)
        .build(Data::dataset(&data.valid));

    let learner = Learner::new(Net::new(&device), AdamConfig::new().init(), 1e-3);
    let result = SupervisedTraining::new(artifacts, train, valid)
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .with_default_checkpointers() // what the sidecar takes
        .num_epochs(5)
        .launch(learner);
    if let Some(error) = result.error {
        panic!("the training failed: {error}");
    }
}
