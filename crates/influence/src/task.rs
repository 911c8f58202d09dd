//! [`Task`]: what the sidecar must know about a training run to scan it.

use std::sync::Arc;

use burn::data::dataset::Dataset;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::preview::Preview;

mod labels;

pub use labels::Labels;

/// One of the two sets of samples that a scan sees.
///
/// ```
/// use mirrorwatch_influence::Set;
///
/// assert_eq!([Set::Training, Set::Probe].map(Set::name), ["training", "probe"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// The samples the model is trained on, whose labels are in question.
    Training,
    /// Clean, held-out, labelled samples; never trained on.
    Probe,
}

impl Set {
    /// The set's name in messages.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_influence::Set::Probe.name(), "probe");
    /// ```
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
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// // `Line` implements it as in the crate's documentation, which has the whole of it.
/// let labels = Labels::read(&task)?;
/// rehearse(&task, &labels, &device)?;
/// assert_eq!((task.classes(), labels.train.len(), labels.probe.len()), (2, 5, 41));
/// # Ok::<(), InfluenceError>(())
/// ```
pub trait Task: Send + Sync + 'static {
    /// The model that is being trained.
    type Model: Module;
    /// One sample, as the datasets hand it out.
    type Item: Send + 'static;
    /// A batch of samples on a device.
    type Batch;

    /// Builds the model on `device`; the weights are replaced by those of each checkpoint.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(task.model(&device).weight.dims(), [1, 2]);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn model(&self, device: &Device) -> Self::Model;

    /// The training samples in a fixed order, without augmentation. A sample's position is its index.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(task.train().get(2).ok(), Some((1.6, 0)));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn train(&self) -> Arc<dyn Dataset<Self::Item>>;

    /// The probe samples: clean, held out, with every class among them.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// // The first and the last of 41.
    /// assert_eq!((task.probe().get(0).ok(), task.probe().get(40).ok()), (Some((-2.0, 0)), Some((2.0, 1))));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn probe(&self) -> Arc<dyn Dataset<Self::Item>>;

    /// Puts samples into a batch on `device`, as the training's own batcher does.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(task.batch(vec![(0.5, 1), (-0.5, 0)], &device).dims(), [2, 1]);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn batch(&self, items: Vec<Self::Item>, device: &Device) -> Self::Batch;

    /// The number of classes K. 0, the default, for a task that is no classification: it has
    /// [`losses`](Task::losses).
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!((task.classes(), labels.has_classes()), (2, true));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn classes(&self) -> usize {
        0
    }

    /// The given label of a sample, below [`classes`](Task::classes), or [`UNLABELLED`] for a training sample that
    /// has none. Not asked for without classes, except for that: 0 by default.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!((task.label(&(1.6, 0)), task.label(&(-0.5, UNLABELLED))), (0, UNLABELLED));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn label(&self, item: &Self::Item) -> usize {
        let _ = item;
        0
    }

    /// Logits of shape `[B, K]`, before any softmax. For a task with [`classes`](Task::classes).
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// let batch = task.batch(vec![(0.5, 1), (-0.5, 0)], &device);
    /// assert_eq!(task.logits(&model, &batch).dims(), [2, 2]);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn logits(&self, model: &Self::Model, batch: &Self::Batch) -> Tensor<2> {
        let _ = (model, batch);
        panic!("the task has classes, so it must implement Task::logits")
    }

    /// The loss of each sample, of shape `[B]`, larger = worse. For a task without [`classes`](Task::classes).
    ///
    /// The same loss as in training, before any mean over the batch, differentiable, finite, and comparable between
    /// samples: where samples differ in size (words in a sentence, boxes in an image, labels at once) take the
    /// mean over the parts, not the sum.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use burn::data::dataset::{Dataset, InMemDataset};
    /// # use burn::module::Param;
    /// # use burn::nn::Linear;
    /// # use burn::tensor::{Device, Tensor, TensorData};
    /// # use mirrorwatch_influence::{Labels, Task, rehearse};
    /// # struct Slope;
    /// # impl Task for Slope {
    /// #     type Model = Linear;
    /// #     type Item = (f32, f32);
    /// type Batch = (Tensor<2>, Tensor<2>);
    /// #     fn model(&self, device: &Device) -> Linear {
    /// #         Linear { weight: Param::from_data([[1.5f32]], device), bias: None }
    /// #     }
    /// #     fn train(&self) -> Arc<dyn Dataset<(f32, f32)>> {
    /// #         Arc::new(InMemDataset::new(vec![(1.0, 2.0), (2.0, 4.0), (3.0, -6.0)]))
    /// #     }
    /// #     fn probe(&self) -> Arc<dyn Dataset<(f32, f32)>> {
    /// #         Arc::new(InMemDataset::new(vec![(0.5, 1.0), (1.5, 3.0)]))
    /// #     }
    /// #     fn batch(&self, items: Vec<(f32, f32)>, device: &Device) -> Self::Batch {
    /// #         let column = |values: Vec<f32>| {
    /// #             let count = values.len();
    /// #             Tensor::from_data(TensorData::new(values, [count, 1]), device)
    /// #         };
    /// #         let (x, y) = items.into_iter().unzip();
    /// #         (column(x), column(y))
    /// #     }
    ///
    /// // The squared error of a regression.
    /// fn losses(&self, model: &Linear, (x, y): &Self::Batch) -> Tensor<1> {
    ///     (model.forward(x.clone()) - y.clone()).square().squeeze_dim(1)
    /// }
    /// # }
    /// # let labels = Labels::read(&Slope)?;
    /// # assert!(!labels.has_classes());
    /// # rehearse(&Slope, &labels, &Device::flex())?;
    /// # let (model, train) = (Slope.model(&Device::flex()), Slope.train());
    /// # let items = train.iter().map(|item| item.map_err(|_| InfluenceError::Cancelled)).collect::<Result<_, _>>()?;
    ///
    /// let batch = Slope.batch(items, &Device::flex());
    /// let losses = Slope.losses(&model, &batch).into_data();
    /// assert_eq!(losses.to_vec::<f32>().ok(), Some(vec![0.25, 1.0, 110.25]));
    /// # use mirrorwatch_influence::InfluenceError;
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn losses(&self, model: &Self::Model, batch: &Self::Batch) -> Tensor<1> {
        let _ = (model, batch);
        panic!("the task has no classes, so it must implement Task::losses")
    }

    /// Indices of training samples whose labels were verified: the trusted set. Draw them at
    /// random from the training set and train on them like on any other. None by default.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    /// // Somebody has looked at these two.
    /// fn trusted(&self) -> Vec<usize> {
    ///     vec![3, 0]
    /// }
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(labels.trusted, [0, 3]);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn trusted(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Indices of training samples whose labels were made wrong on purpose: canaries. They measure, while
    /// training runs, what share of wrong labels is found. They are never counted as suspects and
    /// never part of the trusted set. None by default.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    /// fn canaries(&self) -> Vec<usize> {
    ///     vec![2]
    /// }
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(labels.canaries, [2]);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn canaries(&self) -> Vec<usize> {
        Vec::new()
    }

    /// A stable name for a training sample, used in every report. Its index by default.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    /// fn id(&self, index: usize) -> String {
    ///     format!("line-{index:04}.png")
    /// }
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(task.id(2), "line-0002.png");
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn id(&self, index: usize) -> String {
        index.to_string()
    }

    /// Where a training sample came from: annotator, file, batch, vendor. None by default.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    /// fn source(&self, index: usize) -> Option<String> {
    ///     let annotator = if index < 3 { "ann" } else { "bob" };
    ///     Some(annotator.to_string())
    /// }
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(task.source(2).as_deref(), Some("ann"));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn source(&self, index: usize) -> Option<String> {
        let _ = index;
        None
    }

    /// Other forms of a sample that would still be the same one, were it found in the training set: shifted,
    /// cropped, encoded again. Leaked samples are looked for in all of them. None by default: exact copies and
    /// those that differ by little.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    /// // Measured twice, a point is a little off.
    /// fn views(&self, item: &(f32, usize)) -> Vec<(f32, usize)> {
    ///     vec![(item.0 - 0.1, item.1), (item.0 + 0.1, item.1)]
    /// }
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(task.views(&(1.0, 1)), [(0.9, 1), (1.1, 1)]);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn views(&self, item: &Self::Item) -> Vec<Self::Item> {
        let _ = item;
        Vec::new()
    }

    /// What a person is shown of a sample in pages and reports: a picture, a text or a table row. None by default.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    /// fn preview(&self, item: &(f32, usize)) -> Option<Preview> {
    ///     Some(Preview::row([("x", item.0.to_string())]))
    /// }
    #[doc = include_str!("example_task.txt")]
    /// let shown = task.preview(&(1.6, 0)).and_then(|preview| preview.words());
    /// assert_eq!(shown.as_deref(), Some("x: 1.6"));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn preview(&self, item: &Self::Item) -> Option<Preview> {
        let _ = item;
        None
    }

    /// What turns names of weights in safetensors files into those of the model: regular expressions and what to put
    /// in their place (`$1` for a group), applied in turn. None by default: the names are the model's.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    /// // PyTorch's `nn.Sequential` counts its layers, activations among them.
    /// fn weight_names(&self) -> Vec<(String, String)> {
    ///     let names = [("^features\\.0\\.", "conv1."), ("^features\\.3\\.", "conv2."), ("^classifier\\.", "head.")];
    ///     names.map(|(theirs, ours)| (theirs.to_string(), ours.to_string())).to_vec()
    /// }
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(task.weight_names()[0], ("^features\\.0\\.".to_string(), "conv1.".to_string()));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn weight_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The name of a class in reports. Its number by default.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    /// fn class_name(&self, class: usize) -> String {
    ///     ["below", "above"][class].to_string()
    /// }
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(task.class_name(1), "above");
    /// # Ok::<(), InfluenceError>(())
    /// ```
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
