//! [`Task`]: what the sidecar must know about a training run to scan it.

use std::sync::Arc;

use burn::data::dataset::Dataset;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::error::InfluenceError;
use crate::preview::Preview;
use crate::rehearse::contained;

/// One of the two sets of samples that a scan sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// The samples the model is trained on, whose labels are in question.
    Training,
    /// Clean, held-out, labelled samples; never trained on.
    Probe,
}

impl Set {
    /// The set's name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Set::Training => "training",
            Set::Probe => "probe",
        }
    }
}

/// The label of a sample that has none: it is not judged, counted or named, and keeps its position.
pub const UNLABELLED: usize = usize::MAX;

/// A training run as the sidecar sees it: how to build the model, the data, and how to get what it says of a batch.
///
/// A Burn model is a Rust type, so the sidecar is compiled with it: implement this trait for a
/// small struct that opens your data, and hand it to `mirrorwatch::sidecar`.
///
/// `K` is the number of classes and `B` the number of samples in a batch. There are two kinds of tasks:
///
/// - **Classification** implements [`classes`](Task::classes), [`label`](Task::label) and
///   [`logits`](Task::logits). Suspects come with the label that each should probably carry.
/// - **Everything else that has a loss per sample** (regression, language modelling, detection, several labels at
///   once) implements [`losses`](Task::losses) instead and leaves those three alone. Suspects are samples whose
///   target does not fit what the probe teaches; nothing is suggested in its place.
///
/// Either is tried on two probe samples before anything is watched ([`rehearse`](crate::rehearse)), so that a
/// method that is missing or returns the wrong shape is told at once.
pub trait Task: Send + Sync + 'static {
    /// The model that is being trained.
    type Model: Module;
    /// One sample, as the datasets hand it out.
    type Item: Send + 'static;
    /// A batch of samples on a device.
    type Batch;

    /// Builds the model on `device`; the weights are replaced by those of each checkpoint.
    fn model(&self, device: &Device) -> Self::Model;

    /// The training samples in a fixed order, without augmentation. A sample's position is its index.
    fn train(&self) -> Arc<dyn Dataset<Self::Item>>;

    /// The probe samples: clean, held out, with every class among them.
    fn probe(&self) -> Arc<dyn Dataset<Self::Item>>;

    /// Puts samples into a batch on `device`, as the training's own batcher does.
    fn batch(&self, items: Vec<Self::Item>, device: &Device) -> Self::Batch;

    /// The number of classes K. 0, the default, for a task that is no classification: it has
    /// [`losses`](Task::losses).
    fn classes(&self) -> usize {
        0
    }

    /// The given label of a sample, below [`classes`](Task::classes), or [`UNLABELLED`] for a training sample that
    /// has none. Not asked for without classes, except for that: 0 by default.
    fn label(&self, item: &Self::Item) -> usize {
        let _ = item;
        0
    }

    /// Logits of shape `[B, K]`, before any softmax. For a task with [`classes`](Task::classes).
    fn logits(&self, model: &Self::Model, batch: &Self::Batch) -> Tensor<2> {
        let _ = (model, batch);
        panic!("the task has classes, so it must implement Task::logits")
    }

    /// The loss of each sample, of shape `[B]`, larger = worse. For a task without [`classes`](Task::classes).
    ///
    /// The same loss as in training, before any mean over the batch, differentiable, finite, and comparable between
    /// samples: where samples differ in size (words in a sentence, boxes in an image, labels at once) take the
    /// mean over the parts, not the sum.
    fn losses(&self, model: &Self::Model, batch: &Self::Batch) -> Tensor<1> {
        let _ = (model, batch);
        panic!("the task has no classes, so it must implement Task::losses")
    }

    /// Indices of training samples whose labels were verified: the trusted set. Draw them at
    /// random from the training set and train on them like on any other. None by default.
    fn trusted(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Indices of training samples whose labels were made wrong on purpose: canaries. They measure, while
    /// training runs, what share of wrong labels is found. They are never counted as suspects and
    /// never part of the trusted set. None by default.
    fn canaries(&self) -> Vec<usize> {
        Vec::new()
    }

    /// A stable name for a training sample, used in every report. Its index by default.
    fn id(&self, index: usize) -> String {
        index.to_string()
    }

    /// Where a training sample came from: annotator, file, batch, vendor. None by default.
    fn source(&self, index: usize) -> Option<String> {
        let _ = index;
        None
    }

    /// Other forms of a sample that would still be the same one, were it found in the training set: shifted,
    /// cropped, encoded again. Leaked samples are looked for in all of them. None by default: exact copies and
    /// those that differ by little.
    fn views(&self, item: &Self::Item) -> Vec<Self::Item> {
        let _ = item;
        Vec::new()
    }

    /// What a person is shown of a sample in pages and reports: a picture, a text or a table row. None by default.
    fn preview(&self, item: &Self::Item) -> Option<Preview> {
        let _ = item;
        None
    }

    /// What turns names of weights in safetensors files into those of the model: regular expressions and what to put
    /// in their place (`$1` for a group), applied in turn. None by default: the names are the model's.
    ///
    /// ```
    /// // PyTorch's `nn.Sequential` counts its layers, activations among them.
    /// let names = [("^features\\.0\\.", "conv1."), ("^features\\.3\\.", "conv2."), ("^classifier\\.", "head.")];
    /// ```
    fn weight_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The name of a class in reports. Its number by default.
    fn class_name(&self, class: usize) -> String {
        class.to_string()
    }
}

/// The labels of a task, read once and checked.
#[derive(Debug, Clone)]
pub struct Labels {
    /// Number of classes K; 0 for a task that has losses instead.
    pub classes: usize,
    /// Given label of each training sample; 0 for all without classes, and for those without a label.
    pub train: Vec<usize>,
    /// Label of each probe sample.
    pub probe: Vec<usize>,
    /// Sorted indices of trusted training samples, without repetition.
    pub trusted: Vec<usize>,
    /// Sorted indices of canaries among the training samples, without repetition; none is trusted.
    pub canaries: Vec<usize>,
    /// Sorted indices of training samples without a label: they are not judged.
    pub unlabelled: Vec<usize>,
}

impl Labels {
    /// Reads all labels of `task` and checks that a scan can work with them.
    ///
    /// # Errors
    ///
    /// An empty set, a label out of range, a class without a probe sample, a trusted index or a
    /// canary out of range, named twice or both at once, or a dataset that cannot be read.
    pub fn read<T: Task>(task: &T) -> Result<Self, InfluenceError> {
        contained("its labels were read", || Self::of(task))
    }

    fn of<T: Task>(task: &T) -> Result<Self, InfluenceError> {
        let classes = task.classes();
        if classes == 1 {
            return Err(InfluenceError::Data(
                "the task has 1 class; a wrong label needs at least 2, and a task that is no classification has 0"
                    .to_string(),
            ));
        }
        let (train, unlabelled) = read_labels(task, Set::Training, classes)?;
        let (probe, _) = read_labels(task, Set::Probe, classes)?;
        check_probe_classes(task, &train, &unlabelled, &probe)?;
        let trusted = check_indices("trusted set", task.trusted(), train.len())?;
        let canaries = check_indices("canaries", task.canaries(), train.len())?;
        if let Some(both) = canaries.iter().find(|i| trusted.binary_search(i).is_ok()) {
            return Err(InfluenceError::Data(format!(
                "training sample {both} is trusted and a canary; a label cannot be verified and wrong on purpose, remove it from one of the two"
            )));
        }
        for (set, indices) in [("trusted set", &trusted), ("canaries", &canaries)] {
            if let Some(both) = indices.iter().find(|i| unlabelled.binary_search(i).is_ok()) {
                return Err(InfluenceError::Data(format!(
                    "training sample {both} of the {set} has no label; remove it there, or give it one"
                )));
            }
        }
        if trusted.len() + canaries.len() + unlabelled.len() >= train.len() {
            return Err(InfluenceError::Data(format!(
                "all {} training samples are trusted, canaries or without a label; nothing is left to judge, name fewer",
                train.len()
            )));
        }
        Ok(Self {
            classes,
            train,
            probe,
            trusted,
            canaries,
            unlabelled,
        })
    }

    /// Whether the task is a classification.
    pub fn has_classes(&self) -> bool {
        self.classes > 0
    }

    /// Positions of the training samples that have a label, ascending.
    pub fn labelled(&self) -> Vec<usize> {
        let mut unlabelled = self.unlabelled.iter().peekable();
        let mut labelled = Vec::with_capacity(self.train.len() - self.unlabelled.len());
        for sample in 0..self.train.len() {
            if unlabelled.next_if(|&&next| next == sample).is_none() {
                labelled.push(sample);
            }
        }
        labelled
    }
}

/// Hands out the dataset of `set`.
pub(crate) fn dataset<T: Task>(task: &T, set: Set) -> Arc<dyn Dataset<T::Item>> {
    match set {
        Set::Training => task.train(),
        Set::Probe => task.probe(),
    }
}

/// The labels of a set, 0 where there is none, and the positions of those.
fn read_labels<T: Task>(
    task: &T,
    set: Set,
    classes: usize,
) -> Result<(Vec<usize>, Vec<usize>), InfluenceError> {
    let data = dataset(task, set);
    if data.is_empty() {
        return Err(InfluenceError::Data(format!(
            "the {} set is empty; nothing can be scanned without it",
            set.name()
        )));
    }
    let mut labels = Vec::with_capacity(data.len());
    let mut unlabelled = Vec::new();
    for index in 0..data.len() {
        let item = data.get(index).map_err(|error| InfluenceError::Read {
            set: set.name(),
            index,
            message: error.to_string(),
        })?;
        let label = task.label(&item);
        if label == UNLABELLED {
            if set == Set::Probe {
                return Err(InfluenceError::Data(format!(
                    "probe sample {index} has no label; the probe teaches what is right, remove it there"
                )));
            }
            unlabelled.push(index);
            labels.push(0);
            continue;
        }
        if classes == 0 {
            labels.push(0);
            continue;
        }
        if label >= classes {
            return Err(InfluenceError::Data(format!(
                "label {label} of {} sample {index} is out of range; the task has {classes} classes, 0 to {}",
                set.name(),
                classes - 1
            )));
        }
        labels.push(label);
    }
    Ok((labels, unlabelled))
}

fn check_probe_classes<T: Task>(
    task: &T,
    train: &[usize],
    unlabelled: &[usize],
    probe: &[usize],
) -> Result<(), InfluenceError> {
    if task.classes() == 0 {
        // Two, so that each of two folds holds one.
        return match probe.len() {
            0 | 1 => Err(InfluenceError::Data(
                "the probe set has 1 sample; add clean ones, a few hundred do".to_string(),
            )),
            _ => Ok(()),
        };
    }
    let mut in_probe = vec![0usize; task.classes()];
    for &label in probe {
        in_probe[label] += 1;
    }
    let mut in_train = vec![0usize; task.classes()];
    for &label in train {
        in_train[label] += 1;
    }
    // They stand as class 0.
    in_train[0] -= unlabelled.len();
    for class in 0..task.classes() {
        // Two, so that each of two folds holds one.
        if in_train[class] > 0 && in_probe[class] < 2 {
            return Err(InfluenceError::Data(format!(
                "class {class} ({}) has {} training samples but {} in the probe set; add clean samples of it to the probe, at least 2",
                task.class_name(class),
                in_train[class],
                in_probe[class]
            )));
        }
    }
    Ok(())
}

/// Sorts indices of training samples and checks that they exist and are named once.
fn check_indices(
    set: &str,
    mut indices: Vec<usize>,
    samples: usize,
) -> Result<Vec<usize>, InfluenceError> {
    indices.sort_unstable();
    for pair in indices.windows(2) {
        if pair[0] == pair[1] {
            return Err(InfluenceError::Data(format!(
                "training sample {} is named twice in the {set}; name each once",
                pair[0]
            )));
        }
    }
    match indices.last() {
        Some(&last) if last >= samples => Err(InfluenceError::Data(format!(
            "sample {last} of the {set} does not exist; there are {samples} training samples, 0 to {}",
            samples - 1
        ))),
        _ => Ok(indices),
    }
}
