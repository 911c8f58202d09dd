//! Data of any size, made up: classes around means, and some wrong labels.

use std::sync::Arc;

use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{Device, Tensor, TensorData};
use mirrorwatch_idx::Features;
use mirrorwatch_influence::{Labels, Task};
use quickstart::data::Source;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::nets::{Kind, Net};

/// Classes of the made-up data.
pub const CLASSES: usize = 10;
/// How far the means of classes are from the origin, in standard deviations of the noise along any direction.
const APART: f32 = 4.0;

/// One sample.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its values.
    pub values: Vec<f32>,
    /// Its given label.
    pub label: usize,
}

/// Samples in one block of memory.
pub struct Rows {
    /// All values, sample by sample.
    pub values: Vec<f32>,
    /// Given labels.
    pub labels: Vec<usize>,
    width: usize,
}

impl Dataset<Sample> for Rows {
    fn get(&self, index: usize) -> Result<Sample, DatasetError> {
        Ok(Sample {
            values: self.values[index * self.width..(index + 1) * self.width].to_vec(),
            label: self.labels[index],
        })
    }

    fn len(&self) -> usize {
        self.labels.len()
    }
}

/// A task over made-up data.
pub struct Planted {
    kind: Kind,
    /// Training samples.
    pub training: Arc<Rows>,
    /// Probe samples.
    pub probing: Arc<Rows>,
    /// Which training labels are wrong.
    pub wrong: Vec<bool>,
    trusted: Vec<usize>,
}

/// How much data, and how bad.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Training samples.
    pub train: usize,
    /// Probe samples.
    pub probe: usize,
    /// Trusted ones among the training samples: the first ones.
    pub trusted: usize,
    /// Share of wrong labels among the others.
    pub noise: f64,
}

impl Planted {
    /// Draws samples of the shape that `kind` takes.
    pub fn new(kind: Kind, amount: Amount, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let width = kind.width();
        let means: Vec<Vec<f32>> = (0..CLASSES)
            .map(|_| {
                let mean: Vec<f32> = (0..width).map(|_| normal(&mut rng)).collect();
                let length = mean.iter().map(|m| m * m).sum::<f32>().sqrt();
                mean.iter().map(|m| APART * m / length).collect()
            })
            .collect();
        let mut draw = |count: usize| {
            let mut values = Vec::with_capacity(count * width);
            let mut labels = Vec::with_capacity(count);
            for i in 0..count {
                let label = i % CLASSES;
                values.extend(means[label].iter().map(|m| m + normal(&mut rng)));
                labels.push(label);
            }
            Rows {
                values,
                labels,
                width,
            }
        };
        let (training, probing) = (draw(amount.train), draw(amount.probe));
        Self::spoilt(kind, training, probing, amount, &mut rng)
    }

    /// Samples of a real data set with ten classes, for the kind that takes its shape; labels are made wrong as in
    /// made-up data.
    ///
    /// # Errors
    ///
    /// Another number of classes, or another shape.
    pub fn real(kind: Kind, source: &Source, amount: Amount, seed: u64) -> Result<Self, String> {
        if source.classes != CLASSES || source.train.sample_len() != kind.width() {
            return Err(format!(
                "{} classes of {} values do not fit the {}, which has {CLASSES} of {}",
                source.classes,
                source.train.sample_len(),
                kind.name(),
                kind.width()
            ));
        }
        let rows = |features: &Features, labels: &[u32], count: usize| {
            let mut values = Vec::new();
            let count = count.min(labels.len());
            for index in 0..count {
                features.append_sample(index, &mut values);
            }
            Rows {
                values,
                labels: labels[..count]
                    .iter()
                    .map(|label| *label as usize)
                    .collect(),
                width: kind.width(),
            }
        };
        let training = rows(&source.train, &source.train_labels, amount.train);
        let probing = rows(&source.test, &source.test_labels, amount.probe);
        let mut rng = StdRng::seed_from_u64(seed);
        Ok(Self::spoilt(kind, training, probing, amount, &mut rng))
    }

    /// With some training labels made wrong.
    fn spoilt(
        kind: Kind,
        mut training: Rows,
        probing: Rows,
        amount: Amount,
        rng: &mut StdRng,
    ) -> Self {
        let mut wrong = vec![false; training.len()];
        let labels = training.labels.iter_mut().zip(&mut wrong);
        for (label, wrong) in labels.skip(amount.trusted) {
            if rng.random_bool(amount.noise) {
                *wrong = true;
                *label = (*label + rng.random_range(1..CLASSES)) % CLASSES;
            }
        }
        Self {
            kind,
            training: Arc::new(training),
            probing: Arc::new(probing),
            wrong,
            trusted: (0..amount.trusted).collect(),
        }
    }

    /// Its labels.
    ///
    /// # Errors
    ///
    /// Too little data to scan.
    pub fn labels(&self) -> Result<Labels, String> {
        Labels::read(self).map_err(|error| error.to_string())
    }
}

impl Task for Planted {
    type Model = Net;
    type Item = Sample;
    type Batch = Tensor<2>;

    fn model(&self, device: &Device) -> Net {
        Net::new(self.kind, CLASSES, device).expect("the shape is the kind's own")
    }

    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        self.training.clone()
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        self.probing.clone()
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Tensor<2> {
        let count = items.len();
        let mut values = Vec::with_capacity(count * self.kind.width());
        for item in items {
            values.extend_from_slice(&item.values);
        }
        Tensor::from_data(TensorData::new(values, [count, self.kind.width()]), device)
    }

    fn label(&self, item: &Sample) -> usize {
        item.label
    }

    fn classes(&self) -> usize {
        CLASSES
    }

    fn logits(&self, model: &Net, batch: &Tensor<2>) -> Tensor<2> {
        model.forward(batch.clone())
    }

    fn trusted(&self) -> Vec<usize> {
        self.trusted.clone()
    }
}

/// A standard normal number, near enough: the sum of twelve uniform ones, less six.
fn normal(rng: &mut StdRng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}
