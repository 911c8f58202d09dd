//! Prices of diamonds: a regression, and what training and sidecar both need of it. There are no classes; what
//! mirrorwatch gets is the loss of each sample.

use std::io::Read;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::{Dataset, InMemDataset};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use burn::train::{InferenceStep, RegressionOutput, TrainOutput, TrainStep};
use serde::Deserialize;

const CUTS: [&str; 5] = ["Fair", "Good", "Very Good", "Premium", "Ideal"];
const COLORS: [&str; 7] = ["J", "I", "H", "G", "F", "E", "D"];
const CLARITIES: [&str; 8] = ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"];
/// Columns of a row as the model sees them.
const WIDTH: usize = 6;
const TRAIN: usize = 4500;
const PROBE: usize = 750;

/// A diamond, as in the file.
#[derive(Debug, Clone, Deserialize)]
pub struct Row {
    /// Its number.
    pub id: u32,
    carat: f32,
    cut: String,
    color: String,
    clarity: String,
    depth: f32,
    table: f32,
    /// In dollars.
    pub price: f32,
}

/// A diamond, as the model sees it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Where it comes from.
    pub row: Row,
    /// The columns as numbers around zero.
    pub values: [f32; WIDTH],
    /// Logarithm of the price, around zero: errors are shares then, for cheap ones and for dear ones.
    pub target: f32,
}

impl Sample {
    fn new(row: Row) -> Self {
        let place = |all: &[&str], one: &str| {
            let at = all
                .iter()
                .position(|name| *name == one)
                .expect("a known grade");
            at as f32 / (all.len() - 1) as f32 - 0.5
        };
        Self {
            values: [
                row.carat.ln() * 1.5,
                place(&CUTS, &row.cut) * 2.0,
                place(&COLORS, &row.color) * 2.0,
                place(&CLARITIES, &row.clarity) * 2.0,
                (row.depth - 61.7) / 1.4,
                (row.table - 57.5) / 2.2,
            ],
            target: row.price.ln() - 7.8,
            row,
        }
    }

    /// The columns as a person reads them.
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        let row = &self.row;
        vec![
            ("price", format!("{:.0} $", (self.target + 7.8).exp())),
            ("carat", row.carat.to_string()),
            ("cut", row.cut.clone()),
            ("colour", row.color.clone()),
            ("clarity", row.clarity.clone()),
        ]
    }
}

/// All data.
pub struct Data {
    /// To train on. Some of the prices are wrong.
    pub train: Vec<Sample>,
    /// Clean and held out: the sidecar's probe.
    pub probe: Vec<Sample>,
    /// For the training's own validation.
    pub valid: Vec<Sample>,
    /// Which training prices are wrong: so that the example can say how good the suspects are.
    pub wrong: Vec<bool>,
}

impl Data {
    /// Reads the diamonds and gives every tenth training sample the price of another one.
    pub fn load() -> Self {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&include_bytes!("../data/diamonds.csv.gz")[..])
            .read_to_string(&mut text)
            .expect("the data are part of the program");
        let rows: Vec<Row> = csv::Reader::from_reader(text.as_bytes())
            .deserialize()
            .collect::<Result<_, _>>()
            .expect("the data are part of the program");
        let mut samples: Vec<Sample> = rows.into_iter().map(Sample::new).collect();
        let valid = samples.split_off(TRAIN + PROBE);
        let probe = samples.split_off(TRAIN);
        let mut wrong = vec![false; TRAIN];
        for index in (0..TRAIN).step_by(10) {
            wrong[index] = true;
            samples[index].target = samples[(index + 1237) % TRAIN].target;
        }
        Self {
            train: samples,
            probe,
            valid,
            wrong,
        }
    }

    /// As a data set of Burn's.
    pub fn dataset(samples: &[Sample]) -> Arc<dyn Dataset<Sample>> {
        Arc::new(InMemDataset::new(samples.to_vec()))
    }
}

/// Two hidden layers.
#[derive(Module, Debug)]
pub struct Net {
    first: Linear,
    second: Linear,
    out: Linear,
}

impl Net {
    /// A fresh model.
    pub fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(WIDTH, 64).init(device),
            second: LinearConfig::new(64, 32).init(device),
            out: LinearConfig::new(32, 1).init(device),
        }
    }

    /// Targets `[B, 1]` of rows `[B, 6]`.
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.first.forward(rows));
        self.out.forward(relu(self.second.forward(hidden)))
    }

    /// The squared error of each sample, `[B]`.
    pub fn losses(&self, batch: &Batch) -> Tensor<1> {
        let error = self.forward(batch.rows.clone()) - batch.targets.clone();
        error.powf_scalar(2.0).squeeze_dim::<1>(1)
    }

    fn regress(&self, batch: Batch) -> RegressionOutput {
        let loss = self.losses(&batch).mean();
        RegressionOutput::new(loss, self.forward(batch.rows), batch.targets)
    }
}

impl TrainStep for Net {
    type Input = Batch;
    type Output = RegressionOutput;

    fn step(&self, batch: Batch) -> TrainOutput<RegressionOutput> {
        let output = self.regress(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Net {
    type Input = Batch;
    type Output = RegressionOutput;

    fn step(&self, batch: Batch) -> RegressionOutput {
        self.regress(batch)
    }
}

/// Diamonds on a device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[B, 6]`.
    pub rows: Tensor<2>,
    /// `[B, 1]`.
    pub targets: Tensor<2>,
}

/// Puts diamonds into a batch.
#[derive(Debug, Clone, Copy)]
pub struct Stack;

impl Batcher<Sample, Batch> for Stack {
    fn batch(&self, items: Vec<Sample>, device: &Device) -> Batch {
        let count = items.len();
        let targets: Vec<f32> = items.iter().map(|item| item.target).collect();
        let rows: Vec<f32> = items.iter().flat_map(|item| item.values).collect();
        Batch {
            rows: Tensor::from_data(TensorData::new(rows, [count, WIDTH]), device),
            targets: Tensor::from_data(TensorData::new(targets, [count, 1]), device),
        }
    }
}
