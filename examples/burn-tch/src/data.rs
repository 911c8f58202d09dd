//! Fashion-MNIST from IDX files, a fifth of its training labels made wrong.

use std::path::PathBuf;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch::idx::{self, Features, IdxError};
use mirrorwatch::prelude::Task;

use crate::model::Cnn;

/// Where the data is, and how much of it is used: the same for both programs.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Directory with the four IDX files, gzipped or not
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../quickstart/data"))]
    pub data: PathBuf,

    /// Use the first N training samples only
    #[arg(long, value_name = "N")]
    pub train_limit: Option<usize>,

    /// Clean test samples that the sidecar learns from
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub probe: usize,
}

/// A picture of 28 × 28 pixels, and its label.
#[derive(Debug, Clone)]
pub struct Image {
    pixels: Vec<f32>,
    label: usize,
}

/// Pictures on a device, `[B, 1, 28, 28]`, and their labels.
#[derive(Debug, Clone)]
pub struct Batch {
    pub images: Tensor<4>,
    pub labels: Tensor<1, Int>,
}

pub struct Images {
    pixels: Features,
    labels: Vec<usize>,
}

impl Images {
    fn open(options: &Options, names: [&[&str]; 2], limit: usize) -> Result<Self, IdxError> {
        let paths = [
            idx::find(&options.data, names[0])?,
            idx::find(&options.data, names[1])?,
        ];
        let pixels = idx::read_features(&paths[0])?;
        let labels = idx::read_labels(&paths[1])?;
        idx::check_counts(&pixels, &paths[0], &labels, &paths[1])?;
        idx::check_labels(&labels, CLASSES as u32, &paths[1])?;
        let labels = labels.into_iter().take(limit).map(|label| label as usize);
        Ok(Self {
            pixels,
            labels: labels.collect(),
        })
    }
}

impl Dataset<Image> for Images {
    fn get(&self, index: usize) -> Result<Image, DatasetError> {
        let mut pixels = Vec::new();
        self.pixels.append_sample(index, &mut pixels);
        // Mean and standard deviation of the training set's pixels.
        pixels
            .iter_mut()
            .for_each(|pixel| *pixel = (*pixel - 0.286) / 0.353);
        Ok(Image {
            pixels,
            label: self.labels[index],
        })
    }

    fn len(&self) -> usize {
        self.labels.len()
    }
}

const CLASSES: usize = 10;

/// Another label for every fifth sample or so; yours are wrong without this.
fn spoilt(index: usize, label: usize) -> usize {
    let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    match mixed % 5 {
        0 => (label + 1 + (mixed / 5 % 9) as usize) % CLASSES,
        _ => label,
    }
}

/// The task: what is trained on, and what is known to be right.
pub struct Fashion {
    pub train: Arc<Images>,
    pub probe: Arc<Images>,
}

impl Fashion {
    /// Opens the files.
    pub fn open(options: &Options) -> Result<Self, IdxError> {
        let limit = options.train_limit.unwrap_or(usize::MAX);
        let mut train = Images::open(options, [idx::TRAIN_FEATURES, idx::TRAIN_LABELS], limit)?;
        for (index, label) in train.labels.iter_mut().enumerate() {
            *label = spoilt(index, *label);
        }
        let probe = Images::open(
            options,
            [idx::TEST_FEATURES, idx::TEST_LABELS],
            options.probe,
        )?;
        Ok(Self {
            train: Arc::new(train),
            probe: Arc::new(probe),
        })
    }
}

/// Puts pictures into a batch.
#[derive(Clone)]
pub struct ImageBatcher;

impl Batcher<Image, Batch> for ImageBatcher {
    fn batch(&self, images: Vec<Image>, device: &Device) -> Batch {
        let count = images.len();
        let labels: Vec<i64> = images.iter().map(|image| image.label as i64).collect();
        let pixels: Vec<f32> = images.into_iter().flat_map(|image| image.pixels).collect();
        Batch {
            images: Tensor::from_data(TensorData::new(pixels, [count, 1, 28, 28]), device),
            labels: Tensor::from_data(TensorData::new(labels, [count]), device),
        }
    }
}

impl Task for Fashion {
    type Model = Cnn;
    type Item = Image;
    type Batch = Batch;

    fn model(&self, device: &Device) -> Cnn {
        Cnn::new(device)
    }

    fn train(&self) -> Arc<dyn Dataset<Image>> {
        self.train.clone()
    }

    fn probe(&self) -> Arc<dyn Dataset<Image>> {
        self.probe.clone()
    }

    fn batch(&self, items: Vec<Image>, device: &Device) -> Batch {
        ImageBatcher.batch(items, device)
    }

    fn label(&self, item: &Image) -> usize {
        item.label
    }

    fn classes(&self) -> usize {
        CLASSES
    }

    fn logits(&self, model: &Cnn, batch: &Batch) -> Tensor<2> {
        model.forward(batch.images.clone())
    }
}
