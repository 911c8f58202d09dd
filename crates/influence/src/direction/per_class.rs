//! `per-class`: one step per class, each sample read along that of its own label.

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::{Direction, Forks, Probe, Step, settle, step};
use crate::error::InfluenceError;
use crate::model::fork;
use crate::score::{self, Score};
use crate::task::Task;

/// For each class c a step of its own: up the margin z_c − mean_k z_k on the learnt probe samples of
/// class c, down on those of the other classes, both means weighing the same.
///
/// A sample that is labelled c is read at θ + v_c: does learning what tells class c from the others
/// make this label more likely? To first order, by how much is the inner product of the sample's own
/// margin gradient with the mean one of its class, less that of the others: class attribution, as
/// TracIn does it sample by sample (Pruthi et al., "Estimating Training Data Influence by Tracing
/// Gradient Descent", NeurIPS 2020). The others are taken off because most of what raises z_c raises
/// it for every sample.
///
/// Read it by changes of logits. Those of the loss (`delta`) are small exactly where a label is likely
/// already, whatever the step teaches.
///
/// All steps have the same length ρ ‖θ‖, so that scores of different classes share a scale; ρ is
/// chosen for all of them together, on held-out samples read as training samples are. A class
/// without a learnt probe sample stays at θ: no logit of its samples changes, so that their score is 0.
///
/// v_c moves all logits but z_c nearly alike, and so cannot say which of the others is the right one: the
/// suggested label is the likeliest other one at θ + v_c.
///
/// Costs of a fork, for N training, n held-out and m learnt probe samples, K classes and P weights: K m
/// forward and backward passes, 5 K n forward passes to choose ρ, and N for the sweep (a sample is read
/// at one of the models, so not K N); memory for 3 K sets of weights, 12 K P bytes. Meant for some
/// tens of classes.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, PerClass};
///
/// // Sample 2, labelled 0, is read at the fork that learns what tells 0 from 1: it looks less like a 0 than before.
/// let fork = PerClass.step(&probe)?.forks;
/// let before = sweep(&task, &model, Set::Training, &[2], &labels.train, &options)?;
/// let after = sweep(&task, fork.of(0), Set::Training, &[2], &labels.train, &options)?;
/// assert!(after.losses[0] > before.losses[0]);
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct PerClass;

impl<T: Task> Direction<T> for PerClass {
    fn name(&self) -> &'static str {
        "per-class"
    }

    fn score(&self) -> &'static dyn Score {
        &score::Counterfactual
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        let theta = fork(probe.model);
        let mut gradients = Vec::with_capacity(probe.labels.classes);
        let mut missing = Vec::new();
        for class in 0..probe.labels.classes {
            if probe.cancel.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(InfluenceError::Cancelled);
            }
            let Some(gradient) = contrast(probe, &theta, class)? else {
                missing.push(class.to_string());
                gradients.push(None);
                continue;
            };
            let unit = step::unit(&theta, &gradient)?;
            gradients.push(Some((gradient, unit)));
        }
        let mut step = step::search(probe, &score::Counterfactual, &|rho| {
            let mut models = Vec::with_capacity(gradients.len());
            for gradient in &gradients {
                models.push(match gradient {
                    Some((gradient, unit)) => step::moved(&theta, gradient, -rho * unit),
                    None => settle(&theta),
                });
            }
            Forks::PerClass(models)
        })?;
        if !missing.is_empty() {
            step.choice = format!(
                "{}, no step for classes without a learnt probe sample: {}",
                step.choice,
                missing.join(", ")
            );
        }
        Ok(step)
    }
}

/// The gradient of mean_{y=c}(mean_k z_k − z_c) − mean_{y≠c}(mean_k z_k − z_c) over the learnt probe
/// samples; none when none is of class c.
fn contrast<T: Task>(
    probe: &Probe<'_, T>,
    theta: &T::Model,
    class: usize,
) -> Result<Option<GradientsParams>, InfluenceError> {
    let all = probe.learnt.len();
    let labels = &probe.labels.probe;
    let own = probe.learnt.iter().filter(|&&i| labels[i] == class).count();
    if own == 0 {
        return Ok(None);
    }
    // `gradient` takes the mean over all learnt samples; these make it one over each side.
    let toward = all as f64 / own as f64;
    let away = all as f64 / (all - own).max(1) as f64;
    let gradient = step::gradient(probe, theta, probe.learnt, |model, batch, labels| {
        let logits = probe.task.logits(model, batch);
        let picked = logits.clone().narrow(1, class, 1).squeeze_dim::<1>(1);
        let below = logits.mean_dim(1).squeeze_dim::<1>(1) - picked;
        let own = labels.equal_elem(class as i64).float().without_autodiff();
        let weight = own.mul_scalar(toward + away).sub_scalar(away);
        (below * Tensor::from_inner(weight)).mean()
    })?;
    Ok(Some(gradient))
}
