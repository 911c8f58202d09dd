//! `shrink-finetune`: weights pulled towards zero, then fine-tuned on the probe.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use super::{Direction, Probe, Step, finetune};
use crate::error::InfluenceError;
use crate::model::fork;
use crate::score::{self, Score};
use crate::task::Task;

/// [`Finetune`](super::Finetune) from weights that were multiplied by 0.7.
///
/// Shrinking takes away the confidence with which wrong labels were memorised before the probe teaches
/// anew (shrink and perturb, Ash and Adams, "On Warm-Starting Neural Network Training", NeurIPS 2020).
/// It helps when the first checkpoint that is seen has memorised already.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, ShrinkFinetune};
///
/// let step = ShrinkFinetune.step(&probe)?;
/// // The wrong label is the least likely one at the fork.
/// let after = sweep(&task, step.forks.of(0), Set::Training, &[0, 1, 2, 3, 4], &labels.train, &options)?;
/// assert_eq!(arg_max(&after.losses), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct ShrinkFinetune;

const SHRINK: f64 = 0.7;

impl<T: Task> Direction<T> for ShrinkFinetune {
    fn name(&self) -> &'static str {
        "shrink-finetune"
    }

    fn score(&self) -> &'static dyn Score {
        &score::After
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        let mut step = finetune::descend(probe, &|| fork(probe.model).map(&mut Shrink))?;
        step.choice = format!("shrunk by {SHRINK}, {}", step.choice);
        Ok(step)
    }
}

/// Multiplies every weight. What needs no gradient, like the running statistics of BatchNorm, stays.
struct Shrink;

impl ModuleMapper for Shrink {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weights| {
            if !weights.is_require_grad() {
                return weights;
            }
            let shrunk = weights.without_autodiff().mul_scalar(SHRINK);
            Tensor::from_inner(shrunk).require_grad()
        })
    }
}
