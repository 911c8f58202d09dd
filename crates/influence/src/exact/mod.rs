//! Exact gradients of single samples: a backward pass each.
//!
//! The slow second look that stage two takes at suspects, and the reference that the forward estimates
//! are held against. What sweeps read for every sample at once is here ⟨∇ℓ_i, v⟩, sample by sample:
//!
//! - TracIn, ⟨∇ℓ_i, ∇L_P⟩ (Pruthi et al., "Estimating Training Data Influence by Tracing Gradient Descent",
//!   NeurIPS 2020), of the last layer or of all; summed over checkpoints it is TracInCP;
//! - influence functions, ⟨∇ℓ_i, (G + λI)⁻¹ ∇L_P⟩ (Koh and Liang, "Understanding Black-box Predictions via
//!   Influence Functions", ICML 2017), by conjugate gradients: [`Exact::inverse_curvature`], or by stochastic
//!   recursion: [`Exact::lissa`];
//! - self-influence, ‖∇ℓ_i‖²;
//! - inner products of pairs of samples: [`Exact::pairs`].

mod confirm;
mod inverse;
mod lissa;
mod pairs;

use std::sync::atomic::Ordering;

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Int, Tensor, TensorData};

use crate::conjugate::dot;
use crate::direction::{lengths, margin, moved};
use crate::error::InfluenceError;
use crate::flat::{flatten, unflatten, values};
use crate::layers::{Layers, keep_last_layer};
use crate::model::fork;
use crate::sweep::{SweepOptions, mean_loss, read_items};
use crate::task::{Labels, Set, Task, dataset};

pub use confirm::{Confirm, ConfirmOptions, Confirmation, Neighbour, StageTwo};
pub use inverse::{InverseOptions, Solved};
pub use lissa::{LissaOptions, Recursed};
pub use pairs::Products;

/// Gradients of the loss of single samples (cross-entropy in nats, or the task's own) with respect to the weights of one checkpoint.
///
/// A gradient is a vector of [`parameters`](Exact::parameters) numbers, in the order of the model.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// use mirrorwatch_influence::exact::{Exact, inner};
///
/// let exact = Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// // To learn the wrong label of sample 2 is to unlearn the probe; sample 3 helps.
/// let wrong = exact.sample(Set::Training, 2, labels.train[2])?;
/// let right = exact.sample(Set::Training, 3, labels.train[3])?;
/// assert!(inner(&wrong, exact.probe()) < 0.0 && inner(&right, exact.probe()) > 0.0);
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct Exact<'a, T: Task> {
    task: &'a T,
    forward: &'a SweepOptions<'a>,
    /// A fork on the autodiff device, in evaluation semantics.
    theta: T::Model,
    /// The probe's gradient, which says what parameters take part.
    like: GradientsParams,
    /// That gradient as a vector.
    probe: Vec<f32>,
    /// Length of the weights that take part.
    weights: f64,
}

impl<'a, T: Task> Exact<'a, T> {
    /// Prepares for gradients of `layers` of `model`, which is never changed, and computes that of the probe.
    ///
    /// # Errors
    ///
    /// A probe sample that cannot be read, no gradient at all, or one that is not finite.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// use mirrorwatch_influence::exact::Exact;
    ///
    /// let exact = Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// assert_eq!(exact.probe().len(), exact.parameters());
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn new(
        task: &'a T,
        model: &T::Model,
        labels: &Labels,
        layers: Layers,
        forward: &'a SweepOptions<'a>,
    ) -> Result<Self, InfluenceError> {
        let mut exact = Self {
            task,
            forward,
            theta: fork(model),
            like: GradientsParams::new(),
            probe: Vec::new(),
            weights: 0.0,
        };
        let probe: Vec<usize> = (0..labels.probe.len()).collect();
        exact.like = exact.mean_of(Set::Probe, &probe, &labels.probe)?;
        if layers == Layers::Last {
            keep_last_layer(&exact.theta, &mut exact.like, labels.classes);
        }
        let (weights, length) = lengths(&exact.theta, &exact.like);
        if !length.is_finite() {
            return Err(InfluenceError::Outputs(
                "the gradient on the probe set is not finite; training has diverged".to_string(),
            ));
        }
        exact.weights = weights;
        exact.probe = flatten(&exact.theta, &exact.like, &exact.like)?;
        Ok(exact)
    }

    /// Numbers in a gradient.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// // Two weights and two biases.
    /// assert_eq!(exact.parameters(), 4);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn parameters(&self) -> usize {
        self.probe.len()
    }

    /// ‖θ‖ over the parameters that take part.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// assert!((exact.weights_length() - 2.0_f64.sqrt()).abs() < 1e-6);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn weights_length(&self) -> f64 {
        self.weights
    }

    /// ∇L_P: the mean gradient of all probe samples.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// // Down the gradient, what points above zero looks more like class 1.
    /// assert!(exact.probe()[1] < 0.0);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn probe(&self) -> &[f32] {
        &self.probe
    }

    /// The mean gradient of samples of a set under `labels`, those of the whole set.
    ///
    /// # Errors
    ///
    /// A sample that cannot be read, or cancellation.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// let all: Vec<usize> = (0..labels.probe.len()).collect();
    /// assert_eq!(exact.mean(Set::Probe, &all, &labels.probe)?, exact.probe());
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn mean(
        &self,
        set: Set,
        samples: &[usize],
        labels: &[usize],
    ) -> Result<Vec<f32>, InfluenceError> {
        let gradients = self.mean_of(set, samples, labels)?;
        flatten(&self.theta, &gradients, &self.like)
    }

    /// ∇ℓ of one sample, were it labelled `label`.
    ///
    /// # Errors
    ///
    /// A sample that cannot be read, or cancellation.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// // The two labels pull in opposite directions.
    /// let [given, other] = [0, 1].map(|label| exact.sample(Set::Training, 2, label));
    /// assert!(exact::inner(&given?, &other?) < 0.0);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn sample(&self, set: Set, index: usize, label: usize) -> Result<Vec<f32>, InfluenceError> {
        let gradients = self.gradients(set, &[index], &[label], 1.0)?;
        flatten(&self.theta, &gradients, &self.like)
    }

    /// The gradient of mean_k z_k − z_label of a sample: down it the margin grows, and it does not vanish where the
    /// loss does.
    ///
    /// # Errors
    ///
    /// Cancellation, or a gradient that cannot be read.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// // (z_0 + z_1) / 2 − z_0 at x = 1.6, by the weights and the biases.
    /// let gradient = exact.margin((1.6, 0), 0)?;
    /// for (found, expected) in gradient.iter().zip([-0.8, 0.8, -0.5, 0.5]) {
    ///     assert!((found - expected).abs() < 1e-6);
    /// }
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn margin(&self, item: T::Item, label: usize) -> Result<Vec<f32>, InfluenceError> {
        let gradients = self.differentiate(vec![item], &[label], 1.0, margin_of)?;
        flatten(&self.theta, &gradients, &self.like)
    }

    /// The weights themselves, in the layout of the gradients.
    ///
    /// # Errors
    ///
    /// Weights that cannot be read.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// assert_eq!(exact.weights()?, [-1.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn weights(&self) -> Result<Vec<f32>, InfluenceError> {
        flatten(&self.theta, &values(&self.theta), &self.like)
    }

    /// The model at θ + scale · `change`, without autodiff.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// let doubled = exact.moved(&exact.weights()?, 1.0);
    /// let outputs = sweep(&task, &doubled, Set::Training, &[0], &labels.train, &options)?;
    /// assert_eq!(outputs.row(0), [3.0, -3.0]);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn moved(&self, change: &[f32], scale: f64) -> T::Model {
        let change = unflatten(&self.theta, &self.like, change);
        moved(&self.theta, &change, scale)
    }

    fn mean_of(
        &self,
        set: Set,
        samples: &[usize],
        labels: &[usize],
    ) -> Result<GradientsParams, InfluenceError> {
        let mut accumulator = GradientsAccumulator::new();
        for chunk in samples.chunks(self.forward.batch_size.max(1)) {
            let given: Vec<usize> = chunk.iter().map(|&i| labels[i]).collect();
            let share = chunk.len() as f64 / samples.len() as f64;
            let gradients = self.gradients(set, chunk, &given, share)?;
            accumulator.accumulate(&self.theta, gradients);
        }
        let gradients = accumulator.grads();
        if gradients.is_empty() {
            return Err(InfluenceError::Outputs(format!(
                "no parameter of the model received a gradient from the {} set; check that the task's logits or losses come from its model",
                set.name()
            )));
        }
        Ok(gradients)
    }

    /// The gradient of `share` times the mean loss of samples under the labels beside them.
    fn gradients(
        &self,
        set: Set,
        samples: &[usize],
        given: &[usize],
        share: f64,
    ) -> Result<GradientsParams, InfluenceError> {
        let items = read_items(dataset(self.task, set).as_ref(), set, samples)?;
        self.differentiate(items, given, share, mean_loss)
    }

    /// The gradient of `share` times the objective of a batch.
    fn differentiate(
        &self,
        items: Vec<T::Item>,
        given: &[usize],
        share: f64,
        objective: Objective<T>,
    ) -> Result<GradientsParams, InfluenceError> {
        if self.forward.cancel.load(Ordering::Relaxed) {
            return Err(InfluenceError::Cancelled);
        }
        let device = self.forward.device.clone().autodiff();
        let count = items.len();
        let labels: Vec<i64> = given.iter().map(|&label| label as i64).collect();
        let labels: Tensor<1, Int> = Tensor::from_data(TensorData::new(labels, [count]), &device);
        let batch = self.task.batch(items, &device);
        let loss = objective(self.task, &self.theta, &batch, labels).mul_scalar(share);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.theta);
        (self.forward.progress)(count);
        Ok(gradients)
    }
}

/// What is differentiated, given a batch and its labels.
type Objective<T> = fn(&T, &<T as Task>::Model, &<T as Task>::Batch, Tensor<1, Int>) -> Tensor<1>;

fn margin_of<T: Task>(
    task: &T,
    model: &T::Model,
    batch: &T::Batch,
    labels: Tensor<1, Int>,
) -> Tensor<1> {
    margin(task.logits(model, batch), labels)
}

/// ⟨a, b⟩ of two gradients, summed in double precision.
///
/// ```
/// assert_eq!(mirrorwatch_influence::exact::inner(&[1.0, 2.0], &[3.0, -1.0]), 1.0);
/// ```
pub fn inner(a: &[f32], b: &[f32]) -> f64 {
    dot(a, b)
}
