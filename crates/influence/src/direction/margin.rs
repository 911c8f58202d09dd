//! `margin`: one step that widens the probe's margins.

use burn::tensor::{Int, Tensor};

use super::{Direction, Probe, Step, step};
use crate::error::InfluenceError;
use crate::layers::Layers;
use crate::score::{self, Score};
use crate::task::Task;

/// One step against the gradient of mean_P(mean_k z_k − z_y).
///
/// Backpropagates (1/K − onehot(y)) at the logits, so that confident probe samples keep pulling
/// and the direction does not vanish when the cross-entropy does.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, Margin};
///
/// let step = Margin.step(&probe)?;
/// // The wrong label is the least likely one at the fork.
/// let after = sweep(&task, step.forks.of(0), Set::Training, &[0, 1, 2, 3, 4], &labels.train, &options)?;
/// assert_eq!(arg_max(&after.losses), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct Margin;

impl<T: Task> Direction<T> for Margin {
    fn name(&self) -> &'static str {
        "margin"
    }

    fn score(&self) -> &'static dyn Score {
        &score::Counterfactual
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        let objective = |model: &T::Model, batch: &T::Batch, labels| {
            objective(probe.task.logits(model, batch), labels)
        };
        step::normalised(probe, Layers::All, objective, &score::Counterfactual)
    }
}

/// [`Margin`] in the last layer alone: the module that holds the last weight matrix with a row or column per
/// class, or without one the last weights that got a gradient.
///
/// A step of all layers can destroy a deep convolutional model before it says anything; one of the
/// last layer cannot.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, MarginLastLayer};
///
/// let step = MarginLastLayer.step(&probe)?;
/// // The wrong label is the least likely one at the fork.
/// let after = sweep(&task, step.forks.of(0), Set::Training, &[0, 1, 2, 3, 4], &labels.train, &options)?;
/// assert_eq!(arg_max(&after.losses), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct MarginLastLayer;

impl<T: Task> Direction<T> for MarginLastLayer {
    fn name(&self) -> &'static str {
        "margin-last-layer"
    }

    fn score(&self) -> &'static dyn Score {
        &score::Counterfactual
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        let objective = |model: &T::Model, batch: &T::Batch, labels| {
            objective(probe.task.logits(model, batch), labels)
        };
        step::normalised(probe, Layers::Last, objective, &score::Counterfactual)
    }
}

/// mean_k z_k − z_y, averaged over the batch.
pub(crate) fn objective(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let picked = logits.clone().gather(1, labels.unsqueeze_dim(1));
    logits.mean() - picked.mean()
}
