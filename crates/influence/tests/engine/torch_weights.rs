//! Weights that PyTorch itself has written: `tests/data/torch_weights.py` made the files, with PyTorch 2.9.0.

use std::sync::Arc;

use burn::data::dataset::{Dataset, InMemDataset};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{relu, tanh};
use burn::tensor::{Device, Tensor};
use mirrorwatch_influence::{Labels, Set, Task, model, sweep};

use crate::common::{Sample, quiet, stack};

const WEIGHTS: &[u8] = include_bytes!("../data/torch_weights.safetensors");
const SAYS: &str = include_str!("../data/torch_weights.json");

#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    hidden: Linear,
    head: Linear,
}

struct FromTorch {
    samples: Vec<Sample>,
    names: &'static [(&'static str, &'static str)],
}

/// The layers of `nn.Sequential` by their numbers.
const NAMES: [(&str, &str); 4] = [
    ("^0\\.", "conv."),
    ("^1\\.", "norm."),
    ("^4\\.", "hidden."),
    ("^6\\.", "head."),
];

impl Task for FromTorch {
    type Model = Net;
    type Item = Sample;
    type Batch = Tensor<2>;

    fn model(&self, device: &Device) -> Net {
        Net {
            conv: Conv2dConfig::new([1, 6], [3, 3]).init(device),
            norm: BatchNormConfig::new(6).init(device),
            hidden: LinearConfig::new(24, 8).init(device),
            head: LinearConfig::new(8, 3).init(device),
        }
    }

    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        Arc::new(InMemDataset::new(self.samples.clone()))
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        self.train()
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Tensor<2> {
        stack(&items, device)
    }

    fn label(&self, item: &Sample) -> usize {
        item.label
    }

    fn classes(&self) -> usize {
        3
    }

    fn logits(&self, model: &Net, batch: &Tensor<2>) -> Tensor<2> {
        let count = batch.dims()[0];
        let seen = model.conv.forward(batch.clone().reshape([count, 1, 4, 4]));
        let seen = relu(model.norm.forward(seen)).flatten::<2>(1, 3);
        model.head.forward(tanh(model.hidden.forward(seen)))
    }

    fn weight_names(&self) -> Vec<(String, String)> {
        let own = |(from, to): &(&str, &str)| (from.to_string(), to.to_string());
        self.names.iter().map(own).collect()
    }
}

fn says(what: &str) -> Vec<Vec<f32>> {
    let says: serde_json::Value = serde_json::from_str(SAYS).unwrap();
    serde_json::from_value(says[what].clone()).unwrap()
}

fn task(names: &'static [(&'static str, &'static str)]) -> FromTorch {
    let samples = says("inputs").into_iter().enumerate();
    let sample = |(i, x)| Sample { x, label: i % 3 };
    FromTorch {
        samples: samples.map(sample).collect(),
        names,
    }
}

#[test]
fn a_model_of_pytorch_says_here_what_it_says_there() {
    let task = task(&NAMES);
    let device = Device::flex();
    let loaded = model::load_as(&task, "safetensors", &[], WEIGHTS.to_vec(), &device).unwrap();
    let labels = Labels::read(&task).unwrap();
    let all: Vec<usize> = (0..8).collect();
    let here = sweep(&task, &loaded, Set::Training, &all, &labels.train, &quiet()).unwrap();
    let there = says("logits").concat();
    assert_eq!(here.logits.len(), there.len());
    for (a, b) in here.logits.iter().zip(&there) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    // Not by chance: the net before its training says something else.
    let fresh = task.logits(&task.model(&device), &stack(&task.samples, &device));
    let fresh = fresh.into_data().try_to_vec::<f32>().unwrap();
    assert!(fresh.iter().zip(&there).any(|(a, b)| (a - b).abs() > 1e-2));
}

#[test]
fn without_its_names_it_is_refused_with_what_is_missing() {
    let task = task(&NAMES[..2]);
    let device = Device::flex();
    let error = model::load_as(&task, "safetensors", &[], WEIGHTS.to_vec(), &device).unwrap_err();
    let error = error.to_string();
    for part in [
        "hidden.weight",
        "head.bias",
        "the model has no 4.",
        "Task::weight_names",
    ] {
        assert!(error.contains(part), "{error}");
    }
    // What only PyTorch counts with is no weight that is left over.
    assert!(!error.contains("num_batches_tracked"), "{error}");
}
