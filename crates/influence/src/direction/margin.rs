//! `margin`: one step that widens the probe's margins.

use super::{Direction, Probe, Step, step};
use crate::error::InfluenceError;
use crate::score::{self, Score};
use crate::task::Task;

/// One step against the gradient of mean_P(mean_k z_k − z_y).
///
/// Backpropagates (1/K − onehot(y)) at the logits, so that confident probe samples keep pulling
/// and the direction does not vanish when the cross-entropy does.
pub struct Margin;

impl<T: Task> Direction<T> for Margin {
    fn name(&self) -> &'static str {
        "margin"
    }

    fn score(&self) -> &'static dyn Score {
        &score::Counterfactual
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        step::normalised(
            probe,
            |logits, labels| {
                let picked = logits.clone().gather(1, labels.unsqueeze_dim(1));
                logits.mean() - picked.mean()
            },
            &score::Counterfactual,
        )
    }
}
