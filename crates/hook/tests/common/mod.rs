//! A small training with everything that could betray a disturbance: BatchNorm statistics, Dropout's
//! random numbers, Adam's moments.
#![allow(dead_code)] // each test binary uses its own part

pub mod log;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::data::dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher};
use burn::data::dataset::InMemDataset;
use burn::lr_scheduler::exponential::ExponentialLrSchedulerConfig;
use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
use burn::optim::AdamConfig;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData, activation::relu};
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use burn::train::{
    ClassificationOutput, InferenceStep, Learner, LearningResult, SupervisedTraining, TrainOutput,
    TrainStep,
};

pub const EPOCHS: usize = 3;
pub const BATCH: usize = 8;
pub const TRAIN_ITEMS: usize = 44;
/// Batches, and optimizer steps without accumulation, per epoch.
pub const STEPS: usize = 6;
const SIDE: usize = 6;
const CLASSES: usize = 3;

/// Parameters by path.
pub type Weights = BTreeMap<String, TensorData>;

/// Seeds are global to a kind of device: tests that depend on one run one after the other.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Module, Debug)]
pub struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    dropout: Dropout,
    head: Linear,
}

impl Net {
    pub fn new(device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([1, 4], [3, 3]).init(device),
            norm: BatchNormConfig::new(4).init(device),
            dropout: DropoutConfig::new(0.3).init(),
            head: LinearConfig::new(4 * (SIDE - 2) * (SIDE - 2), CLASSES).init(device),
        }
    }

    pub fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.norm.forward(self.conv.forward(images)));
        self.head
            .forward(self.dropout.forward(x.flatten::<2>(1, 3)))
    }

    pub fn classify(&self, batch: Batch) -> ClassificationOutput {
        let logits = self.logits(batch.images);
        let loss = CrossEntropyLossConfig::new()
            .init(&logits.device())
            .forward(logits.clone(), batch.labels.clone());
        ClassificationOutput::new(loss, logits, batch.labels)
    }

    /// A copy that shares nothing, with the same parameter ids.
    pub fn deep_copy(&self) -> Self {
        self.valid().train()
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

#[derive(Clone, Debug)]
pub struct Batch {
    pub images: Tensor<4>,
    pub labels: Tensor<1, Int>,
}

#[derive(Clone, Debug)]
pub struct Item {
    pixels: Vec<f32>,
    label: i32,
}

struct Stack;

impl Batcher<Item, Batch> for Stack {
    fn batch(&self, items: Vec<Item>, device: &Device) -> Batch {
        let pixels: Vec<f32> = items.iter().flat_map(|item| item.pixels.clone()).collect();
        let labels: Vec<i32> = items.iter().map(|item| item.label).collect();
        Batch {
            images: Tensor::from_data(
                TensorData::new(pixels, [items.len(), 1, SIDE, SIDE]),
                device,
            ),
            labels: Tensor::from_data(TensorData::new(labels, [items.len()]), device),
        }
    }
}

pub fn items(count: usize) -> Vec<Item> {
    let item = |i: usize| Item {
        pixels: (0..SIDE * SIDE)
            .map(|p| (((i * 31 + p * 17) % 23) as f32) / 23.0)
            .collect(),
        label: (i * 7 % CLASSES) as i32,
    };
    (0..count).map(item).collect()
}

pub fn loader(count: usize) -> Arc<dyn DataLoader<Batch>> {
    DataLoaderBuilder::new(Stack)
        .batch_size(BATCH)
        .shuffle(11)
        .set_device(Device::flex())
        .build(InMemDataset::new(items(count)))
}

pub fn batches(device: &Device) -> Vec<Batch> {
    items(TRAIN_ITEMS)
        .chunks(BATCH)
        .map(|chunk| Stack.batch(chunk.to_vec(), device))
        .collect()
}

/// A model with fixed weights and ids, to start several trainings from.
pub fn template() -> Net {
    let device = Device::flex().autodiff();
    device.seed(3);
    let net = Net::new(&device);
    // Every parameter gets its value now, in a fixed order.
    let _ = weights(&net);
    net
}

/// What a training leaves behind.
pub struct Outcome {
    pub result: LearningResult<Net>,
    pub weights: Weights,
    /// The next random numbers of the device.
    pub next: TensorData,
}

/// Trains `template` for a few epochs in `directory`. `line` is where a user would add one.
pub fn train(
    template: &Net,
    directory: &Path,
    line: impl FnOnce(SupervisedTraining<Net>) -> SupervisedTraining<Net>,
) -> Outcome {
    let device = Device::flex();
    let learner = Learner::new(
        template.deep_copy(),
        AdamConfig::new().init(),
        ExponentialLrSchedulerConfig::new(0.05, 0.98)
            .init()
            .unwrap(),
    );
    device.seed(42);
    let training = SupervisedTraining::new(directory, loader(TRAIN_ITEMS), loader(16))
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .with_default_checkpointers()
        .with_application_logger(None)
        .renderer(Box::new(Silent))
        .num_epochs(EPOCHS);
    let result = line(training).launch(learner);
    Outcome {
        weights: weights(&result.model),
        next: next_random(&device),
        result,
    }
}

pub fn next_random(device: &Device) -> TensorData {
    Tensor::<1>::random([16], Distribution::Default, device).into_data()
}

/// All parameters by path.
pub fn weights<M: Module>(model: &M) -> Weights {
    #[derive(Default)]
    struct Collect(Vec<String>, Weights);
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_string());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().without_autodiff().into_data();
            self.1.insert(self.0.join("."), data);
        }
    }
    let mut collect = Collect::default();
    model.visit(&mut collect);
    collect.1
}

/// The bytes a model's record has at this moment.
pub fn record_bytes<M: Module>(model: &M) -> Vec<u8> {
    model.clone().into_record().into_bytes().unwrap().to_vec()
}

/// Every file below `directory` with one of the extensions, by relative path.
pub fn files(directory: &Path, extensions: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path
                .extension()
                .is_some_and(|e| extensions.contains(&&*e.to_string_lossy()))
            {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A renderer that draws nothing.
pub struct Silent;

impl MetricsRendererTraining for Silent {
    fn update_train(&mut self, _state: MetricState) {}
    fn update_valid(&mut self, _state: MetricState) {}
}

impl MetricsRendererEvaluation for Silent {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl burn::train::logger::TrainingProgressLogger for Silent {
    fn start(&mut self, _: usize, _: usize, _: Option<usize>, _: Option<&str>) {}
    fn update_epoch(&mut self, _: usize) {}
    fn start_split(&mut self, _: &str, _: usize) {}
    fn update_split(&mut self, _: usize) {}
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _: String) {}
}

impl burn::train::logger::EvaluationProgressLogger for Silent {
    fn start_global_progress(&mut self, _: usize) {}
    fn start_test(&mut self, _: &str, _: usize) {}
    fn update_test_progress(&mut self, _: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _: String) {}
}

impl MetricsRenderer for Silent {
    fn manual_close(&mut self) {}
    fn register_metric(&mut self, _: burn::train::metric::MetricDefinition) {}
}
