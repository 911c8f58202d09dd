//! Topics of definitions: a bag of word embeddings, and what training and sidecar both need of it.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::{Dataset, InMemDataset};
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use serde::Deserialize;

/// The topics, in the order of their numbers.
pub const TOPICS: [&str; 8] = [
    "animal",
    "artifact",
    "body",
    "food",
    "plant",
    "possession",
    "substance",
    "time",
];
/// Words of a definition that are looked at; shorter ones are filled up.
const WORDS: usize = 25;
/// The word that fills up, and the one that is in no dictionary.
const PADDING: i64 = 0;
const UNKNOWN: i64 = 1;
/// Training samples, of which the first [`TRUSTED`] are known to be right, and probe samples after them.
const TRAIN: usize = 6000;
pub const TRUSTED: usize = 500;
const PROBE: usize = 800;

/// A definition, as in the file.
#[derive(Debug, Clone, Deserialize)]
pub struct Row {
    /// Its number in WordNet.
    pub id: String,
    /// The defined word.
    pub word: String,
    /// The definition.
    pub text: String,
    /// Its topic.
    pub label: String,
}

/// A definition, as the model sees it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Where it comes from.
    pub row: Row,
    /// Numbers of its words.
    pub words: Vec<i64>,
    /// Number of the topic it is given.
    pub label: usize,
}

/// All data.
pub struct Data {
    /// To train on. Some of the labels are wrong.
    pub train: Vec<Sample>,
    /// Clean and held out: the sidecar's probe.
    pub probe: Vec<Sample>,
    /// For the training's own validation.
    pub valid: Vec<Sample>,
    /// Words that the model knows.
    pub vocabulary: usize,
    /// Which training labels are wrong: so that the example can say how good the suspects are.
    pub wrong: Vec<bool>,
}

impl Data {
    /// Reads the definitions and gives every seventh training sample, but for the trusted ones, another topic.
    pub fn load() -> Self {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&include_bytes!("../data/definitions.csv.gz")[..])
            .read_to_string(&mut text)
            .expect("the data are part of the program");
        let rows: Vec<Row> = csv::Reader::from_reader(text.as_bytes())
            .deserialize()
            .collect::<Result<_, _>>()
            .expect("the data are part of the program");
        // Known are words that occur twice in what is trained on.
        let mut counts: HashMap<String, usize> = HashMap::new();
        for word in rows[..TRAIN].iter().flat_map(|row| words(&row.text)) {
            *counts.entry(word).or_default() += 1;
        }
        let mut known: Vec<String> = counts
            .into_iter()
            .filter(|(_, n)| *n > 1)
            .map(|(word, _)| word)
            .collect();
        known.sort_unstable();
        let numbers: HashMap<&str, i64> = known.iter().map(String::as_str).zip(2..).collect();
        let mut samples: Vec<Sample> = rows
            .into_iter()
            .map(|row| {
                let number = |word: String| numbers.get(word.as_str()).copied().unwrap_or(UNKNOWN);
                let mut words: Vec<i64> = words(&row.text).map(number).take(WORDS).collect();
                words.resize(WORDS, PADDING);
                let label = TOPICS.iter().position(|topic| *topic == row.label);
                Sample {
                    words,
                    label: label.expect("a known topic"),
                    row,
                }
            })
            .collect();
        let valid = samples.split_off(TRAIN + PROBE);
        let probe = samples.split_off(TRAIN);
        let mut wrong = vec![false; TRAIN];
        for (index, sample) in samples.iter_mut().enumerate() {
            if index >= TRUSTED && index % 7 == 0 {
                wrong[index] = true;
                sample.label = (sample.label + 1 + index / 7 % (TOPICS.len() - 1)) % TOPICS.len();
            }
        }
        Self {
            train: samples,
            probe,
            valid,
            vocabulary: known.len() + 2,
            wrong,
        }
    }

    /// As a data set of Burn's.
    pub fn dataset(samples: &[Sample]) -> Arc<dyn Dataset<Sample>> {
        Arc::new(InMemDataset::new(samples.to_vec()))
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// The mean of the words' embeddings, and a linear layer.
#[derive(Module, Debug)]
pub struct Bag {
    embedding: Embedding,
    head: Linear,
}

impl Bag {
    /// A fresh model for so many words.
    pub fn new(vocabulary: usize, device: &Device) -> Self {
        Self {
            embedding: EmbeddingConfig::new(vocabulary, 32)
                .with_initializer(Initializer::Normal {
                    mean: 0.0,
                    std: 0.1,
                })
                .init(device),
            head: LinearConfig::new(32, TOPICS.len()).init(device),
        }
    }

    /// Logits `[B, 8]` of words `[B, 25]`.
    pub fn forward(&self, words: Tensor<2, Int>) -> Tensor<2> {
        let there = words
            .clone()
            .not_equal_elem(PADDING)
            .float()
            .unsqueeze_dim::<3>(2);
        let sum = (self.embedding.forward(words) * there.clone()).sum_dim(1);
        let mean = sum / there.sum_dim(1).clamp_min(1.0);
        self.head.forward(mean.squeeze_dim::<2>(1))
    }

    fn classify(&self, batch: Batch) -> ClassificationOutput {
        let logits = self.forward(batch.words);
        let loss = CrossEntropyLossConfig::new()
            .init(&logits.device())
            .forward(logits.clone(), batch.labels.clone());
        ClassificationOutput::new(loss, logits, batch.labels)
    }
}

impl TrainStep for Bag {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = self.classify(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Bag {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.classify(batch)
    }
}

/// Definitions on a device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[B, 25]`.
    pub words: Tensor<2, Int>,
    /// `[B]`.
    pub labels: Tensor<1, Int>,
}

/// Puts definitions into a batch.
#[derive(Debug, Clone, Copy)]
pub struct Stack;

impl Batcher<Sample, Batch> for Stack {
    fn batch(&self, items: Vec<Sample>, device: &Device) -> Batch {
        let count = items.len();
        let labels: Vec<i64> = items.iter().map(|item| item.label as i64).collect();
        let words: Vec<i64> = items.into_iter().flat_map(|item| item.words).collect();
        Batch {
            words: Tensor::from_data(TensorData::new(words, [count, WORDS]), device),
            labels: Tensor::from_data(TensorData::new(labels, [count]), device),
        }
    }
}
