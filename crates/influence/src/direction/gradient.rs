//! `gradient`: one step down the probe's cross-entropy, as in Forward-INF.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use super::{Direction, Probe, Step, step};
use crate::error::InfluenceError;
use crate::layers::Layers;
use crate::score::{self, Score};
use crate::sweep::mean_loss;
use crate::task::Task;

/// One step against the gradient of the mean loss on the probe: cross-entropy, or the task's own.
///
/// Source: Ko et al., "The Mirrored Influence Hypothesis", CVPR 2024, with three differences: the
/// fork is in evaluation semantics, one step serves the whole fold instead of one sample, and the
/// score keeps its sign, which is what tells harmful from helpful.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, Gradient};
///
/// let step = Gradient.step(&probe)?;
/// // The wrong label is the least likely one at the fork.
/// let after = sweep(&task, step.forks.of(0), Set::Training, &[0, 1, 2, 3, 4], &labels.train, &options)?;
/// assert_eq!(arg_max(&after.losses), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct Gradient;

impl<T: Task> Direction<T> for Gradient {
    fn name(&self) -> &'static str {
        "gradient"
    }

    fn score(&self) -> &'static dyn Score {
        &score::Delta
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        let loss = |model: &T::Model, batch: &T::Batch, labels| {
            mean_loss(probe.task, model, batch, labels)
        };
        step::normalised(probe, Layers::All, loss, &score::Delta)
    }
}

/// Mean cross-entropy of a batch, in nats: logits of shape `[B, K]`, labels `[B]`.
pub(crate) fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let picked = log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1));
    picked.mean().neg()
}
