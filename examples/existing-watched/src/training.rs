//! The training.

use burn::data::dataloader::DataLoaderBuilder;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::AdamConfig;
use burn::prelude::*;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::{
    ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep,
};
use mirrorwatch::prelude::*;

use crate::data::{ClothesBatch, ClothesBatcher, dataset};
use crate::model::{Model, ModelConfig};

impl Model {
    pub fn forward_classification(
        &self,
        images: Tensor<3>,
        targets: Tensor<1, Int>,
    ) -> ClassificationOutput {
        let output = self.forward(images);
        let loss = CrossEntropyLossConfig::new()
            .init(&output.device())
            .forward(output.clone(), targets.clone());
        ClassificationOutput::new(loss, output, targets)
    }
}

impl TrainStep for Model {
    type Input = ClothesBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: ClothesBatch) -> TrainOutput<ClassificationOutput> {
        let item = self.forward_classification(batch.images, batch.targets);
        TrainOutput::new(self, item.loss.backward(), item)
    }
}

impl InferenceStep for Model {
    type Input = ClothesBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: ClothesBatch) -> ClassificationOutput {
        self.forward_classification(batch.images, batch.targets)
    }
}

#[derive(Config, Debug)]
pub struct TrainingConfig {
    pub model: ModelConfig,
    pub optimizer: AdamConfig,
    #[config(default = 3)]
    pub num_epochs: usize,
    #[config(default = 64)]
    pub batch_size: usize,
    #[config(default = 42)]
    pub seed: u64,
    #[config(default = 1.0e-3)]
    pub learning_rate: f64,
}

pub fn train(artifact_dir: &str, config: TrainingConfig, device: Device) {
    let device = device.autodiff();
    device.seed(config.seed);

    let dataloader_train = DataLoaderBuilder::new(ClothesBatcher::default())
        .batch_size(config.batch_size)
        .shuffle(config.seed)
        .build(dataset("train", 3000));
    let dataloader_test = DataLoaderBuilder::new(ClothesBatcher::default())
        .batch_size(config.batch_size)
        .build(dataset("t10k", 200));

    let hook = Hook::new("runs", "clothes");
    let training = SupervisedTraining::new(artifact_dir, dataloader_train, dataloader_test)
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .with_default_checkpointers()
        .num_epochs(config.num_epochs)
        .mirrorwatch(&hook)
        .summary();

    let model = config.model.init(&device);
    let result = training.launch(Learner::new(
        model,
        config.optimizer.init(),
        config.learning_rate,
    ));

    result
        .model
        .into_record()
        .save(format!("{artifact_dir}/model"))
        .expect("the trained model can be saved");
}
