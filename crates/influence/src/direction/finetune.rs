//! `finetune`: a few epochs of SGD on the probe.

use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Direction, Forks, HeldOutLoss, Probe, Step, settle};
use crate::error::InfluenceError;
use crate::memory::Change;
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
        let theta = fork(probe.model);
        let start = probe
            .last
            .and_then(|last| Some((last, last.applied(theta.clone(), KEPT)?)));
        let (mut step, steps, after) = match start {
            None => taught(probe, &theta)?,
            Some((last, start)) => match follow(probe, &theta, start, last.steps())? {
                Some(followed) => followed,
                None => taught(probe, &theta)?,
            },
        };
        step.change = Some(Change::between(&theta, &after, steps)?);
        Ok(step)
    }
}

/// What a checkpoint's fork keeps of the change that the one before was given, before it learns on: what older
/// checkpoints were taught is forgotten, and in time no fork is deeper than `CONTINUED / (1 - KEPT)` steps.
///
/// Where the model has moved so far since that the change does it no good any more, as in the first epochs of a
/// convolutional model, a fork starts from the model itself. Chosen with the next two on BANKING77, frozen CIFAR-10
/// features and a Fashion-MNIST CNN, 5 to 40 % noise, ten and thirty epochs: among shares of .8, .9 and .95, 5 to 30
/// steps and rates that stay or fall. See ARCHITECTURE.md for what it costs and gains against full depth at every
/// checkpoint.
const KEPT: f32 = 0.95;
/// Steps of a fork that starts from the last checkpoint's. Their rate falls to nothing, so that the last minibatches do
/// not say more than the others.
const CONTINUED: usize = 10;
/// Steps of one that starts from the model again, likewise: it has nothing to build on.
const ANEW: usize = 20;

/// A step, the optimizer steps that went into its change, and the fork as it can be compared with θ.
type Followed<M> = (Step<M>, u64, M);

/// Taught from the beginning.
fn taught<T: Task>(
    probe: &Probe<'_, T>,
    theta: &T::Model,
) -> Result<Followed<T::Model>, InfluenceError> {
    let step = descend(probe, &|| theta.clone())?;
    let after = fork(step.forks.of(0));
    Ok((step, 0, after))
}

/// A few steps from `start`, where the change of the last checkpoint leads to, or from θ, whichever does better on the
/// held-out samples; none where the fork is destroyed.
fn follow<T: Task>(
    probe: &Probe<'_, T>,
    theta: &T::Model,
    start: T::Model,
    before: u64,
) -> Result<Option<Followed<T::Model>>, InfluenceError> {
    let rate = LEARNING_RATES[0];
    let (start, from, steps) = match probe.held_out_loss(&settle(&start)) {
        Ok(loss) if loss.mean < HeldOutLoss::of(&probe.held_out_before.losses).mean => {
            (start, "from the last checkpoint's fork", CONTINUED)
        }
        Ok(_) | Err(InfluenceError::Outputs(_)) => (theta.clone(), "from the model", ANEW),
        Err(error) => return Err(error),
    };
    // Other minibatches than at the last checkpoint.
    let mut teacher = Teacher::new(probe, start, probe.seed.wrapping_add((before + 1) << 32));
    for step in 0..steps {
        let left = 1.0 - step as f64 / steps as f64;
        teacher = teacher.step(rate * left)?;
    }
    let after = settle(&teacher.model);
    let held_out = match probe.held_out_after(&after) {
        Ok(held_out) => held_out,
        Err(InfluenceError::Outputs(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let loss = HeldOutLoss::of(&held_out.losses);
    if loss.mean > destroyed(probe) {
        return Ok(None);
    }
    let choice = format!("{steps} steps {from} at {rate}, falling, {loss}");
    let step = Step {
        held_out: Some(held_out),
        ..Step::new(Forks::One(after), choice)
    };
    Ok(Some((step, before + steps as u64, teacher.model)))
}

/// The held-out loss above which a fork is destroyed, not taught.
fn destroyed<T: Task>(probe: &Probe<'_, T>) -> f64 {
    let before = HeldOutLoss::of(&probe.held_out_before.losses);
    DESTROYED * before.mean + before.standard_error
}

/// Fine-tunes what `start` makes, a fork of the model, on the learnt probe samples, as deep as the held-out
/// ones allow.
pub(super) fn descend<T: Task>(
    probe: &Probe<'_, T>,
    start: &dyn Fn() -> T::Model,
) -> Result<Step<T::Model>, InfluenceError> {
    let limit = destroyed(probe);
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
    let choice = format!("{depth} steps at {rate}, {loss}");
    Ok(Step::new(Forks::One(model), choice))
}

/// Fine-tunes at one learning rate; none when not even the first depth gives finite outputs.
fn descend_at<T: Task>(
    probe: &Probe<'_, T>,
    start: T::Model,
    rate: f64,
) -> Result<Option<Candidate<T::Model>>, InfluenceError> {
    let mut teacher = Teacher::new(probe, start, probe.seed);
    let mut chosen: Option<Candidate<T::Model>> = None;
    let mut losses = Vec::new();
    for step in 1..=DEPTHS[DEPTHS.len() - 1] {
        teacher = teacher.step(rate)?;
        if DEPTHS.contains(&step) {
            let settled = settle(&teacher.model);
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

/// SGD with momentum over minibatches of the learnt probe samples.
struct Teacher<'a, T: Task> {
    probe: &'a Probe<'a, T>,
    model: T::Model,
    optimizer: ModuleOptimizer,
    rng: StdRng,
    /// Samples that are left of this epoch.
    order: Vec<usize>,
}

impl<'a, T: Task> Teacher<'a, T> {
    fn new(probe: &'a Probe<'a, T>, start: T::Model, seed: u64) -> Self {
        let momentum = MomentumConfig::new().with_momentum(MOMENTUM);
        Self {
            probe,
            model: start,
            optimizer: SgdConfig::new().with_momentum(Some(momentum)).init(),
            rng: StdRng::seed_from_u64(seed),
            order: Vec::new(),
        }
    }

    /// One step. The weights are handed through: a second owner would have every step copy them.
    fn step(mut self, rate: f64) -> Result<Self, InfluenceError> {
        let probe = self.probe;
        if probe.cancel.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(InfluenceError::Cancelled);
        }
        if self.order.is_empty() {
            self.order = probe.learnt.to_vec();
            self.order.shuffle(&mut self.rng);
        }
        let rest = self.order.split_off(MINIBATCH.min(self.order.len()));
        let minibatch = std::mem::replace(&mut self.order, rest);
        let (batch, labels) = probe.batch(&minibatch)?;
        let gradients = mean_loss(probe.task, &self.model, &batch, labels).backward();
        let gradients = GradientsParams::from_grads(gradients, &self.model);
        // Burn's optimizers pass silently over a module that got no gradient.
        if gradients.is_empty() {
            return Err(InfluenceError::Outputs(
                "no parameter of the model received a gradient from the probe set; check that the task's logits or losses come from its model"
                    .to_string(),
            ));
        }
        self.model = self.optimizer.step(rate, self.model, gradients);
        // A sign of life: on a large model these steps take long.
        (probe.progress)(0);
        Ok(self)
    }
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
