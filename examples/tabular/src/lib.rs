//! Species of rodents by what was measured of them: a small network over a table's columns, and what training and
//! sidecar both need of it. The classes are uneven, some rows have no label, and one year's labels are bad.

use std::io::Read;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::{Dataset, InMemDataset};
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use mirrorwatch::influence::UNLABELLED;
use serde::Deserialize;

/// The species, in the order of their numbers.
pub const SPECIES: [&str; 8] = [
    "Chaetodipus baileyi",
    "Chaetodipus penicillatus",
    "Dipodomys merriami",
    "Dipodomys ordii",
    "Dipodomys spectabilis",
    "Onychomys torridus",
    "Perognathus flavus",
    "Reithrodontomys megalotis",
];
const PLOTS: [&str; 5] = [
    "Control",
    "Long-term Krat Exclosure",
    "Rodent Exclosure",
    "Short-term Krat Exclosure",
    "Spectab exclosure",
];
/// Columns of a row as the model sees them: two measurements, the month as an angle, sex, and kind of plot.
const WIDTH: usize = 5 + PLOTS.len();
/// The year whose labels are bad.
pub const BAD_YEAR: u16 = 1990;
/// Rows that are kept apart: the probe, and the training's own validation.
const PROBE: usize = 800;
const VALID: usize = 800;

/// A capture, as in the file.
#[derive(Debug, Clone, Deserialize)]
pub struct Row {
    /// Its number.
    pub record_id: u32,
    /// When it was.
    pub year: u16,
    month: u8,
    plot_type: String,
    sex: String,
    hindfoot_length: f32,
    weight: f32,
    label: String,
}

/// A capture, as the model sees it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Where it comes from.
    pub row: Row,
    /// The columns as numbers around zero.
    pub values: [f32; WIDTH],
    /// The species it is given, or [`UNLABELLED`].
    pub label: usize,
}

impl Sample {
    fn new(row: Row) -> Self {
        let mut values = [0.0; WIDTH];
        let angle = f32::from(row.month) * std::f32::consts::TAU / 12.0;
        // Lengths are 6 to 60 mm, weights 4 to 250 g.
        values[..5].copy_from_slice(&[
            (row.hindfoot_length - 28.0) / 10.0,
            (row.weight.ln() - 3.4) / 0.8,
            angle.sin(),
            angle.cos(),
            if row.sex == "F" { 0.5 } else { -0.5 },
        ]);
        let plot = PLOTS.iter().position(|plot| *plot == row.plot_type);
        values[5 + plot.expect("a known plot")] = 1.0;
        let label = SPECIES.iter().position(|species| *species == row.label);
        Self {
            values,
            label: label.expect("a known species"),
            row,
        }
    }

    /// The columns as a person reads them.
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        let row = &self.row;
        vec![
            ("hindfoot", format!("{} mm", row.hindfoot_length)),
            ("weight", format!("{} g", row.weight)),
            ("sex", row.sex.clone()),
            ("month", row.month.to_string()),
            ("plot", row.plot_type.clone()),
        ]
    }
}

/// All data.
pub struct Data {
    /// As the archive has it: some labels wrong, some missing.
    pub train: Vec<Sample>,
    /// Clean and held out: the sidecar's probe.
    pub probe: Vec<Sample>,
    /// For the training's own validation.
    pub valid: Vec<Sample>,
    /// Which training labels are wrong: so that the example can say how good the suspects are.
    pub wrong: Vec<bool>,
}

impl Data {
    /// Reads the captures. Of the last three species only a fifth is kept, half of the labels of one year and one in
    /// thirty of the others are made wrong, and one in twenty is taken away.
    pub fn load() -> Self {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&include_bytes!("../data/rodents.csv.gz")[..])
            .read_to_string(&mut text)
            .expect("the data are part of the program");
        let rows: Vec<Row> = csv::Reader::from_reader(text.as_bytes())
            .deserialize()
            .collect::<Result<_, _>>()
            .expect("the data are part of the program");
        let samples = rows.into_iter().map(Sample::new).enumerate();
        let uneven = samples.filter(|(i, sample)| sample.label < 5 || i % 5 == 0);
        let mut samples: Vec<Sample> = uneven.map(|(_, sample)| sample).collect();
        let valid = samples.split_off(samples.len() - VALID);
        let probe = samples.split_off(samples.len() - PROBE);
        let mut wrong = vec![false; samples.len()];
        for (index, sample) in samples.iter_mut().enumerate() {
            let every = if sample.row.year == BAD_YEAR { 2 } else { 30 };
            if index % every == 0 {
                wrong[index] = true;
                sample.label =
                    (sample.label + 1 + index / every % (SPECIES.len() - 1)) % SPECIES.len();
            } else if index % 20 == 7 {
                sample.label = UNLABELLED;
            }
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

    /// What can be trained on.
    pub fn labelled(&self) -> Arc<dyn Dataset<Sample>> {
        let labelled = self
            .train
            .iter()
            .filter(|sample| sample.label != UNLABELLED);
        Arc::new(InMemDataset::new(labelled.cloned().collect()))
    }
}

/// Two hidden layers.
#[derive(Module, Debug)]
pub struct Net {
    first: Linear,
    second: Linear,
    head: Linear,
}

impl Net {
    /// A fresh model.
    pub fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(WIDTH, 64).init(device),
            second: LinearConfig::new(64, 32).init(device),
            head: LinearConfig::new(32, SPECIES.len()).init(device),
        }
    }

    /// Logits `[B, 8]` of rows `[B, 10]`.
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.first.forward(rows));
        self.head.forward(relu(self.second.forward(hidden)))
    }

    fn classify(&self, batch: Batch) -> ClassificationOutput {
        let logits = self.forward(batch.rows);
        let loss = CrossEntropyLossConfig::new()
            .init(&logits.device())
            .forward(logits.clone(), batch.labels.clone());
        ClassificationOutput::new(loss, logits, batch.labels)
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

/// Captures on a device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[B, 10]`.
    pub rows: Tensor<2>,
    /// `[B]`; 0 where there is none.
    pub labels: Tensor<1, Int>,
}

/// Puts captures into a batch.
#[derive(Debug, Clone, Copy)]
pub struct Stack;

impl Batcher<Sample, Batch> for Stack {
    fn batch(&self, items: Vec<Sample>, device: &Device) -> Batch {
        let count = items.len();
        let label = |item: &Sample| {
            if item.label == UNLABELLED {
                0
            } else {
                item.label as i64
            }
        };
        let labels: Vec<i64> = items.iter().map(label).collect();
        let rows: Vec<f32> = items.iter().flat_map(|item| item.values).collect();
        Batch {
            rows: Tensor::from_data(TensorData::new(rows, [count, WIDTH]), device),
            labels: Tensor::from_data(TensorData::new(labels, [count]), device),
        }
    }
}
