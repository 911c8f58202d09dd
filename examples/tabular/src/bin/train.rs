//! The training: Burn's learner with a learning-rate schedule, and mirrorwatch's line.

use burn::data::dataloader::DataLoaderBuilder;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::optim::AdamConfig;
use burn::tensor::Device;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::{Learner, SupervisedTraining};
use mirrorwatch::prelude::*;
use tabular::{Data, Net, Stack};

const EPOCHS: usize = 10;
const BATCH: usize = 64;

fn main() {
    let root = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "runs".to_string());
    let data = Data::load();
    let device = Device::flex().autodiff();
    device.seed(1);
    let labelled = data.labelled();
    let steps = EPOCHS * labelled.len().div_ceil(BATCH);
    let train = DataLoaderBuilder::new(Stack)
        .batch_size(BATCH)
        .shuffle(1)
        .build(labelled);
    let valid = DataLoaderBuilder::new(Stack)
        .batch_size(500)
        .build(Data::dataset(&data.valid));

    // Epochs that validate no better than the best before say little that is new.
    let hook = Hook::new(&root, "rodents")
        .on_improvement()
        .tag("model", "64-32");
    let schedule = CosineAnnealingLrSchedulerConfig::new(3e-3, steps)
        .init()
        .expect("a schedule of at least one step");
    let learner = Learner::new(Net::new(&device), AdamConfig::new().init(), schedule);
    let result = SupervisedTraining::new(format!("{root}/.artifacts"), train, valid)
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .num_epochs(EPOCHS)
        .mirrorwatch(&hook) // this one
        .launch(learner);
    if let Some(error) = result.error {
        panic!("the training failed: {error}");
    }
}
