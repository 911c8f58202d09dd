//! `finetune`: a few epochs of SGD on the probe.

use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Direction, Forks, HeldOutLoss, Probe, Step, settle};
use crate::error::InfluenceError;
use crate::model::fork;
use crate::score::{self, Score};
use crate::sweep::mean_loss;
use crate::task::Task;

/// SGD with momentum on minibatches of the probe; the depth is the deepest one that the held-out fold
/// cannot tell from the best.
///
/// Memorised wrong labels are forgotten fast under clean training (Maini et al., "Characterizing
/// Datapoints via Second-Split Forgetting", NeurIPS 2022), which is why the loss *after* the
/// steps still separates when the loss before no longer does.
///
/// Depth is for forgetting, which held-out samples cannot show; they do show when the fork begins to
/// memorise the probe in turn. So the one-standard-error rule (Breiman, Friedman, Olshen and Stone,
/// *Classification and Regression Trees*, 1984) is used the other way round: of the depths whose
/// held-out loss is within one standard error of the smallest, the deepest.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, Finetune};
///
/// let step = Finetune.step(&probe)?;
/// // The wrong label is the least likely one at the fork.
/// let after = sweep(&task, step.forks.of(0), Set::Training, &[0, 1, 2, 3, 4], &labels.train, &options)?;
/// assert_eq!(arg_max(&after.losses), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct Finetune;

/// Learning rates to try in turn, until one does not destroy the model.
const LEARNING_RATES: [f64; 5] = [0.02, 0.005, 0.00125, 3e-4, 8e-5];
/// A fork whose held-out loss is this many times that of the model is destroyed, not taught.
const DESTROYED: f64 = 1.5;
const MOMENTUM: f64 = 0.9;
const MINIBATCH: usize = 50;
/// Depths to choose from, in steps. None is tried beyond the first that is too deep.
const DEPTHS: [usize; 7] = [20, 40, 80, 120, 160, 240, 320];

/// A depth and what the held-out fold says of it.
struct Candidate<M> {
    rate: f64,
    depth: usize,
    loss: HeldOutLoss,
    model: M,
}

impl<T: Task> Direction<T> for Finetune {
    fn name(&self) -> &'static str {
        "finetune"
    }

    fn score(&self) -> &'static dyn Score {
        &score::After
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        descend(probe, &|| fork(probe.model))
    }
}

/// Fine-tunes what `start` makes, a fork of the model, on the learnt probe samples, as deep as the held-out
/// ones allow.
pub(super) fn descend<T: Task>(
    probe: &Probe<'_, T>,
    start: &dyn Fn() -> T::Model,
) -> Result<Step<T::Model>, InfluenceError> {
    let before = HeldOutLoss::of(&probe.held_out_before.losses);
    let limit = DESTROYED * before.mean + before.standard_error;
    let mut best: Option<Candidate<T::Model>> = None;
    for rate in LEARNING_RATES {
        let Some(candidate) = descend_at(probe, start(), rate)? else {
            continue;
        };
        let taught = candidate.loss.mean <= limit;
        if taught
            || best
                .as_ref()
                .is_none_or(|b| candidate.loss.mean < b.loss.mean)
        {
            best = Some(candidate);
        }
        if taught {
            break;
        }
    }
    let Some(Candidate {
        rate,
        depth,
        loss,
        model,
    }) = best
    else {
        return Err(InfluenceError::Outputs(
            "fine-tuning on the probe set gave outputs that are not finite; training has diverged"
                .to_string(),
        ));
    };
    Ok(Step {
        forks: Forks::One(model),
        choice: format!(
            "{depth} steps at {rate}, held-out loss {:.3} ± {:.3}",
            loss.mean, loss.standard_error
        ),
    })
}

/// Fine-tunes at one learning rate; none when not even the first depth gives finite outputs.
fn descend_at<T: Task>(
    probe: &Probe<'_, T>,
    start: T::Model,
    rate: f64,
) -> Result<Option<Candidate<T::Model>>, InfluenceError> {
    let mut model = start;
    let momentum = MomentumConfig::new().with_momentum(MOMENTUM);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let mut rng = StdRng::seed_from_u64(probe.seed);
    let mut order: Vec<usize> = Vec::new();
    let mut chosen: Option<Candidate<T::Model>> = None;
    let mut losses = Vec::new();
    for step in 1..=DEPTHS[DEPTHS.len() - 1] {
        if probe.cancel.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(InfluenceError::Cancelled);
        }
        if order.is_empty() {
            order = probe.learnt.to_vec();
            order.shuffle(&mut rng);
        }
        let rest = order.split_off(MINIBATCH.min(order.len()));
        let minibatch = std::mem::replace(&mut order, rest);
        let (batch, labels) = probe.batch(&minibatch)?;
        let gradients = mean_loss(probe.task, &model, &batch, labels).backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        // Burn's optimizers pass silently over a module that got no gradient.
        if gradients.is_empty() {
            return Err(InfluenceError::Outputs(
                "no parameter of the model received a gradient from the probe set; check that the task's logits or losses come from its model"
                    .to_string(),
            ));
        }
        model = optimizer.step(rate, model, gradients);
        // A sign of life: on a large model these steps take long.
        (probe.progress)(0);
        if DEPTHS.contains(&step) {
            let settled = settle(&model);
            let loss = match probe.held_out_loss(&settled) {
                Ok(loss) => loss,
                // Diverging steps give outputs that are not finite: keep what was good before.
                Err(InfluenceError::Outputs(_)) => break,
                Err(error) => return Err(error),
            };
            losses.push(loss);
            if deepest(&losses) < Some(losses.len() - 1) {
                break;
            }
            // Deeper than all before and as good as the best: the one to keep.
            chosen = Some(Candidate {
                rate,
                depth: step,
                loss,
                model: settled,
            });
        }
    }
    Ok(chosen)
}

/// Position of the last loss that is within one standard error of the smallest; none without losses.
fn deepest(losses: &[HeldOutLoss]) -> Option<usize> {
    let best = losses.iter().min_by(|a, b| a.mean.total_cmp(&b.mean))?;
    let limit = best.mean + best.standard_error;
    losses.iter().rposition(|loss| loss.mean <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(means: &[f64]) -> Vec<HeldOutLoss> {
        let loss = |&mean: &f64| HeldOutLoss {
            mean,
            standard_error: 0.05,
        };
        means.iter().map(loss).collect()
    }

    #[test]
    fn the_deepest_depth_as_good_as_the_best_is_chosen() {
        assert_eq!(deepest(&losses(&[])), None);
        assert_eq!(deepest(&losses(&[0.9])), Some(0));
        // Within 0.05 of 0.60 are the second to the fourth.
        assert_eq!(deepest(&losses(&[0.66, 0.60, 0.63, 0.64, 0.70])), Some(3));
        // Still falling: the last.
        assert_eq!(deepest(&losses(&[0.9, 0.8, 0.7])), Some(2));
    }

    #[test]
    fn a_mean_and_its_standard_error_by_hand() {
        // Mean 2, variance (1 + 0 + 1) / 2 = 1, standard error (1 / 3)^½.
        let loss = HeldOutLoss::of(&[1.0, 2.0, 3.0]);
        assert_eq!(loss.mean, 2.0);
        assert!((loss.standard_error - (1.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(HeldOutLoss::of(&[]).mean, 0.0);
    }
}
