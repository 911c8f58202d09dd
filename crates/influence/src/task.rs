//! [`Task`]: what the sidecar must know about a training run to scan it.

use std::sync::Arc;

use burn::data::dataset::Dataset;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::preview::Preview;

mod labels;

pub use labels::Labels;

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

/// Hands out the dataset of `set`.
pub(crate) fn dataset<T: Task>(task: &T, set: Set) -> Arc<dyn Dataset<T::Item>> {
    match set {
        Set::Training => task.train(),
        Set::Probe => task.probe(),
    }
}
