//! [`IdxTask`]: image or feature classification over IDX files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch_idx::{
    Data, Features, TEST_FEATURES, TEST_LABELS, TRAIN_FEATURES, TRAIN_LABELS, check_counts,
    check_labels, find, read_features, read_labels,
};
use mirrorwatch_influence::{Preview, Task};

use super::model::{Architecture, Net};
use super::{StockArgs, StockError, lists};

/// One sample: its values, scaled as the model sees them, and its label.
///
/// ```
#[doc = include_str!("example_data.txt")]
/// let sample = IdxTask::open(&args)?.train_samples().get(0)?;
/// assert_eq!((sample.values.len(), sample.label), (4, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sample {
    /// D values.
    pub values: Vec<f32>,
    /// Given label.
    pub label: usize,
}

/// Samples on a device.
///
/// ```
#[doc = include_str!("example_data.txt")]
/// # use burn::data::dataloader::batcher::Batcher;
/// # use mirrorwatch::stock::SampleBatcher;
/// let train = IdxTask::open(&args)?.train_samples();
/// let device = mirrorwatch::daemon::backend::device("flex")?;
/// let batch = SampleBatcher.batch(vec![train.get(0)?, train.get(3)?], &device);
/// assert_eq!((batch.inputs.dims(), batch.targets.dims()), ([2, 4], [2]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batch {
    /// Values, `[B, D]`.
    pub inputs: Tensor<2>,
    /// Labels, `[B]`.
    pub targets: Tensor<1, Int>,
}

/// Features and labels of one set.
///
/// ```
#[doc = include_str!("example_data.txt")]
/// let train = IdxTask::open(&args)?.train_samples();
/// // Scaled to mean 0 and variance 1 over all pixels.
/// let mut sum = 0.0;
/// for sample in 0..train.len() {
///     sum += train.get(sample)?.values.iter().sum::<f32>();
/// }
/// assert!(sum.abs() < 1e-3 && train.get(0)?.values[0] < -0.9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Samples {
    features: Arc<Features>,
    labels: Vec<u32>,
    mean: f32,
    scale: f32,
}

impl Dataset<Sample> for Samples {
    fn get(&self, index: usize) -> Result<Sample, DatasetError> {
        let mut values = Vec::with_capacity(self.features.sample_len());
        self.features.append_sample(index, &mut values);
        for value in &mut values {
            *value = (*value - self.mean) * self.scale;
        }
        Ok(Sample {
            values,
            label: self.labels[index] as usize,
        })
    }

    fn len(&self) -> usize {
        self.labels.len()
    }
}

/// Puts samples into a [`Batch`].
///
/// ```
#[doc = include_str!("example_data.txt")]
/// use burn::data::dataloader::batcher::Batcher;
/// use mirrorwatch::stock::{Sample, SampleBatcher};
///
/// let device = mirrorwatch::daemon::backend::device("flex")?;
/// let sample = Sample { values: vec![0.5, -0.5], label: 7 };
/// let batch = SampleBatcher.batch(vec![sample], &device);
/// assert_eq!(batch.targets.into_data().iter::<i64>().next(), Some(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SampleBatcher;

impl Batcher<Sample, Batch> for SampleBatcher {
    fn batch(&self, items: Vec<Sample>, device: &Device) -> Batch {
        let count = items.len();
        let width = items.first().map_or(0, |item| item.values.len());
        let mut values = Vec::with_capacity(count * width);
        let mut labels = Vec::with_capacity(count);
        for item in items {
            values.extend_from_slice(&item.values);
            labels.push(item.label as i64);
        }
        Batch {
            inputs: Tensor::from_data(TensorData::new(values, [count, width]), device),
            targets: Tensor::from_data(TensorData::new(labels, [count]), device),
        }
    }
}

/// Classification of images or feature vectors that lie in IDX files, with a stock model.
///
/// ```
#[doc = include_str!("example_data.txt")]
/// let task = IdxTask::open(&args)?;
/// assert_eq!((task.classes(), task.class_name(1)), (2, "bright".to_string()));
/// assert_eq!((task.train_samples().len(), task.probe_samples().len()), (4, 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct IdxTask {
    train: Arc<Samples>,
    probe: Arc<Samples>,
    shape: Vec<usize>,
    classes: usize,
    class_names: Vec<String>,
    trusted: Vec<usize>,
    canaries: Vec<usize>,
    /// One per training sample, or none at all.
    sources: Vec<String>,
    architecture: Architecture,
    /// Pixels that a leaked image may be shifted by.
    leak_shift: usize,
}

impl IdxTask {
    /// Opens the files that `args` names and checks that they fit together.
    ///
    /// # Errors
    ///
    /// A file that is missing, damaged or does not fit the others; a trusted sample that does not
    /// exist or is also in the probe.
    ///
    /// ```
    #[doc = include_str!("example_data.txt")]
    /// let first = IdxTask::open(&StockArgs { train_limit: Some(3), ..args.clone() })?;
    /// assert_eq!(first.train_samples().len(), 3);
    /// // The largest label is 1: with a single class it would be out of range.
    /// let refused = IdxTask::open(&StockArgs { classes: Some(1), ..args });
    /// assert!(matches!(refused, Err(StockError::Idx(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(args: &StockArgs) -> Result<Self, StockError> {
        let train_path = match &args.inputs {
            Some(path) => path.clone(),
            None => find(&args.data, TRAIN_FEATURES)?,
        };
        let labels_path = match &args.labels {
            Some(path) => path.clone(),
            None => find(&args.data, TRAIN_LABELS)?,
        };
        let (train, train_labels) = read_set(&train_path, &labels_path)?;
        let probe_path = find(&args.data, TEST_FEATURES)?;
        let probe_labels_path = find(&args.data, TEST_LABELS)?;
        let (probe, probe_labels) = read_set(&probe_path, &probe_labels_path)?;
        if train.shape() != probe.shape() {
            return Err(StockError::Shapes {
                train: train_path,
                train_shape: train.shape().to_vec(),
                probe: probe_path,
                probe_shape: probe.shape().to_vec(),
            });
        }
        let train_count = args
            .train_limit
            .unwrap_or(usize::MAX)
            .min(train_labels.len());
        let probe_count = args.probe.min(probe_labels.len());
        if probe_count == 0 {
            return Err(StockError::NoProbe {
                path: probe_labels_path,
                available: probe_labels.len(),
            });
        }
        let available = train_labels.len();
        let train_labels = train_labels[..train_count].to_vec();
        let probe_labels = probe_labels[..probe_count].to_vec();
        let classes = match args.classes {
            Some(classes) => classes,
            // The largest label says how many there are; both sets must agree on the names.
            None => train_labels
                .iter()
                .chain(&probe_labels)
                .max()
                .map_or(0, |m| *m as usize + 1),
        };
        check_labels(&train_labels, classes as u32, &labels_path)?;
        check_labels(&probe_labels, classes as u32, &probe_labels_path)?;
        let trusted = match &args.trusted {
            Some(path) => lists::indices("trusted set", path, train_count)?,
            None => Vec::new(),
        };
        let canaries = match &args.canaries {
            Some(path) => lists::indices("canaries", path, train_count)?,
            None => Vec::new(),
        };
        let sources = match &args.sources {
            Some(path) => lists::sources(path, train_count, available)?,
            None => Vec::new(),
        };
        let (mean, scale) = standardisation(&train, train_count);
        let task = Self {
            shape: train.shape().to_vec(),
            classes,
            class_names: args.class_names.clone(),
            trusted,
            canaries,
            sources,
            architecture: args.model,
            leak_shift: args.leak_shift as usize,
            train: Arc::new(Samples {
                features: Arc::new(train),
                labels: train_labels,
                mean,
                scale,
            }),
            probe: Arc::new(Samples {
                features: Arc::new(probe),
                labels: probe_labels,
                mean,
                scale,
            }),
        };
        task.check_overlap()?;
        // Reports an impossible model now, not at the first checkpoint.
        task.architecture
            .check(&task.shape)
            .map_err(StockError::Model)?;
        Ok(task)
    }

    /// The training set, for training.
    ///
    /// ```
    #[doc = include_str!("example_data.txt")]
    /// let train = IdxTask::open(&args)?.train_samples();
    /// assert_eq!((train.len(), train.get(3)?.label), (4, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn train_samples(&self) -> Arc<Samples> {
        self.train.clone()
    }

    /// The probe set, for validation while training.
    ///
    /// ```
    #[doc = include_str!("example_data.txt")]
    /// let probe = IdxTask::open(&StockArgs { probe: 3, ..args })?.probe_samples();
    /// assert_eq!(probe.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn probe_samples(&self) -> Arc<Samples> {
        self.probe.clone()
    }

    /// A probe sample that is trusted, too, would be its own witness.
    fn check_overlap(&self) -> Result<(), StockError> {
        let mut seen = BTreeMap::new();
        for &index in &self.trusted {
            seen.insert(key(&self.train.features, index), index);
        }
        for probe in 0..self.probe.len() {
            if let Some(&trusted) = seen.get(&key(&self.probe.features, probe)) {
                return Err(StockError::Overlap { trusted, probe });
            }
        }
        Ok(())
    }
}

/// The exact content of a sample.
fn key(features: &Features, index: usize) -> Vec<u32> {
    let mut values = Vec::new();
    features.append_sample(index, &mut values);
    values.into_iter().map(f32::to_bits).collect()
}

/// An image moved down and right by so many pixels.
fn shifted(
    values: &[f32],
    (height, width): (usize, usize),
    (down, right): (isize, isize),
    black: f32,
) -> Vec<f32> {
    let mut moved = vec![black; values.len()];
    for y in 0..height {
        for x in 0..width {
            let from = (y.checked_add_signed(-down), x.checked_add_signed(-right));
            if let (Some(from_y), Some(from_x)) = from
                && from_y < height
                && from_x < width
            {
                moved[y * width + x] = values[from_y * width + from_x];
            }
        }
    }
    moved
}

fn read_set(features: &Path, labels: &Path) -> Result<(Features, Vec<u32>), StockError> {
    let read = read_features(features)?;
    let given = read_labels(labels)?;
    check_counts(&read, features, &given, labels)?;
    Ok((read, given))
}

/// Mean and inverse standard deviation over all values of the training set.
///
/// Trainer and sidecar compute it from the same samples and so see the same inputs.
fn standardisation(features: &Features, count: usize) -> (f32, f32) {
    let mut values = Vec::new();
    let (mut sum, mut squares) = (0.0f64, 0.0f64);
    for index in 0..count {
        values.clear();
        features.append_sample(index, &mut values);
        for &value in &values {
            sum += f64::from(value);
            squares += f64::from(value) * f64::from(value);
        }
    }
    let total = (count * features.sample_len()).max(1) as f64;
    let mean = sum / total;
    let deviation = (squares / total - mean * mean).max(0.0).sqrt();
    let scale = if deviation > 0.0 {
        1.0 / deviation
    } else {
        1.0
    };
    (mean as f32, scale as f32)
}

impl Task for IdxTask {
    type Model = Net;
    type Item = Sample;
    type Batch = Batch;

    fn model(&self, device: &Device) -> Net {
        match Net::new(self.architecture, &self.shape, self.classes, device) {
            Ok(net) => net,
            // `open` has checked that the architecture takes this shape.
            Err(problem) => unreachable!("{problem}"),
        }
    }

    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        self.train.clone()
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        self.probe.clone()
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Batch {
        SampleBatcher.batch(items, device)
    }

    fn label(&self, item: &Sample) -> usize {
        item.label
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn logits(&self, model: &Net, batch: &Batch) -> Tensor<2> {
        model.forward(batch.inputs.clone())
    }

    fn trusted(&self) -> Vec<usize> {
        self.trusted.clone()
    }

    fn canaries(&self) -> Vec<usize> {
        self.canaries.clone()
    }

    fn source(&self, index: usize) -> Option<String> {
        let source = self.sources.get(index)?;
        (!source.is_empty()).then(|| source.clone())
    }

    /// An image shifted by up to [`StockArgs::leak_shift`] pixels, black coming in at the edges.
    fn views(&self, item: &Sample) -> Vec<Sample> {
        let ([height, width], Data::U8(_)) = (self.shape.as_slice(), self.train.features.data())
        else {
            return Vec::new();
        };
        let reach = self.leak_shift as isize;
        let black = -self.train.mean * self.train.scale;
        let mut views = Vec::new();
        for down in -reach..=reach {
            for right in -reach..=reach {
                if (down, right) != (0, 0) {
                    let values = shifted(&item.values, (*height, *width), (down, right), black);
                    views.push(Sample {
                        values,
                        label: item.label,
                    });
                }
            }
        }
        views
    }

    fn preview(&self, item: &Sample) -> Option<Preview> {
        let ([height, width], Data::U8(_)) = (self.shape.get(..2)?, self.train.features.data())
        else {
            return None;
        };
        let mut grey = Vec::with_capacity(item.values.len());
        for value in &item.values {
            let raw = value / self.train.scale + self.train.mean;
            grey.push((raw * 255.0).round().clamp(0.0, 255.0) as u8);
        }
        (grey.len() == height * width).then(|| Preview::grey(*width, *height, grey))
    }

    fn class_name(&self, class: usize) -> String {
        self.class_names
            .get(class)
            .cloned()
            .unwrap_or_else(|| class.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::shifted;

    #[test]
    fn an_image_moves_and_black_comes_in() {
        // Two rows of three pixels.
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let moved = |by| shifted(&image, (2, 3), by, -9.0);
        assert_eq!(moved((0, 0)), image);
        assert_eq!(moved((0, 1)), [-9.0, 1.0, 2.0, -9.0, 4.0, 5.0]);
        assert_eq!(moved((-1, -2)), [6.0, -9.0, -9.0, -9.0, -9.0, -9.0]);
        assert_eq!(moved((2, 0)), [-9.0; 6]);
    }
}
