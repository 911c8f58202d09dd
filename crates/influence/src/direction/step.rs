//! One step along a gradient whose length is a share ρ of the weights' own length.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Int, Tensor};

use super::{Forks, Probe, Step, settle};
use crate::error::InfluenceError;
use crate::layers::{Layers, keep_last_layer};
use crate::model::fork;
use crate::score::Score;
use crate::task::Task;

/// Step lengths ‖v‖ / ‖θ‖ to choose from. Flat over this range on small models, but the longest
/// destroys a convolutional model, so the choice is made anew for every checkpoint.
const RHOS: [f64; 5] = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2];

/// Differentiates `objective`, of a model, a batch and its labels, over the learnt probe samples and steps *against* the gradient by
/// the length that lets `score` tell right from wrong labels best on the held-out ones.
pub(super) fn normalised<T: Task>(
    probe: &Probe<'_, T>,
    layers: Layers,
    objective: impl Fn(&T::Model, &T::Batch, Tensor<1, Int>) -> Tensor<1>,
    score: &dyn Score,
) -> Result<Step<T::Model>, InfluenceError> {
    let theta = fork(probe.model);
    let mut gradients = gradient(probe, &theta, probe.learnt, objective)?;
    if layers == Layers::Last {
        keep_last_layer(&theta, &mut gradients, probe.labels.classes);
    }
    against(probe, &theta, &gradients, score)
}

/// Steps from `theta`, a fork, *against* `gradients`, whatever their length, by the length that lets
/// `score` tell right from wrong labels best.
pub(super) fn against<T: Task>(
    probe: &Probe<'_, T>,
    theta: &T::Model,
    gradients: &GradientsParams,
    score: &dyn Score,
) -> Result<Step<T::Model>, InfluenceError> {
    let unit = unit(theta, gradients)?;
    search(probe, score, &|rho| {
        Forks::One(moved(theta, gradients, -rho * unit))
    })
}

/// Tries every step length ρ and keeps the forks whose `score` tells right from wrong labels best on
/// the held-out samples; without classes, those whose held-out loss is the smallest. `take` makes the forks at a given ρ.
pub(super) fn search<T: Task>(
    probe: &Probe<'_, T>,
    score: &dyn Score,
    take: &dyn Fn(f64) -> Forks<T::Model>,
) -> Result<Step<T::Model>, InfluenceError> {
    let mut best: Option<(f64, f64, Forks<T::Model>)> = None;
    for rho in RHOS {
        let forks = take(rho);
        // A step too long may overflow; that only means it is not chosen.
        let quality = match quality(probe, &forks, score) {
            Ok(quality) => quality,
            Err(InfluenceError::Outputs(_)) => continue,
            Err(error) => return Err(error),
        };
        if best.as_ref().is_none_or(|(q, _, _)| quality > *q) {
            best = Some((quality, rho, forks));
        }
    }
    let Some((quality, rho, forks)) = best else {
        return Err(InfluenceError::Outputs(
            "no step length gave finite outputs on the probe set; training has diverged"
                .to_string(),
        ));
    };
    let choice = match probe.labels.has_classes() {
        true => format!("rho {rho:e}, probe auroc {quality:.3}"),
        false => format!("rho {rho:e}, held-out loss {:.4}", -quality),
    };
    Ok(Step::new(forks, choice))
}

/// How good forks are, by the held-out samples; larger = better.
fn quality<T: Task>(
    probe: &Probe<'_, T>,
    forks: &Forks<T::Model>,
    score: &dyn Score,
) -> Result<f64, InfluenceError> {
    match forks {
        // No wrong target to tell from the right one can be made up.
        Forks::One(model) if !probe.labels.has_classes() => {
            probe.held_out_loss(model).map(|loss| -loss.mean)
        }
        forks => probe.judge(forks, score),
    }
}

/// What a gradient must be multiplied by to be as long as the weights that have one.
///
/// A vanished gradient gives 0 and so a null step: its scores say nothing, which is the truth.
pub(super) fn unit<M: Module>(
    theta: &M,
    gradients: &GradientsParams,
) -> Result<f64, InfluenceError> {
    let (weights, gradient) = lengths(theta, gradients);
    if !gradient.is_finite() {
        return Err(InfluenceError::Outputs(
            "the gradient on the probe set is not finite; training has diverged".to_string(),
        ));
    }
    Ok(if gradient > 0.0 {
        weights / gradient
    } else {
        0.0
    })
}

/// A plain model at θ + scale · gradient.
pub(crate) fn moved<M: Module>(theta: &M, gradients: &GradientsParams, scale: f64) -> M {
    settle(&theta.clone().map(&mut Move { gradients, scale }))
}

/// Mean gradient of `objective` over probe samples, in batches.
pub(super) fn gradient<T: Task>(
    probe: &Probe<'_, T>,
    theta: &T::Model,
    samples: &[usize],
    objective: impl Fn(&T::Model, &T::Batch, Tensor<1, Int>) -> Tensor<1>,
) -> Result<GradientsParams, InfluenceError> {
    let total = samples.len() as f64;
    let mut accumulator = GradientsAccumulator::new();
    for chunk in samples.chunks(probe.batch_size.max(1)) {
        let (batch, labels) = probe.batch(chunk)?;
        let share = chunk.len() as f64 / total;
        let loss = objective(theta, &batch, labels).mul_scalar(share);
        let gradients = loss.backward();
        (probe.progress)(0);
        accumulator.accumulate(theta, GradientsParams::from_grads(gradients, theta));
    }
    let gradients = accumulator.grads();
    if gradients.is_empty() {
        return Err(InfluenceError::Outputs(
            "no parameter of the model received a gradient from the probe set; check that the task's logits or losses come from its model"
                .to_string(),
        ));
    }
    Ok(gradients)
}

/// Lengths of the weights that have a gradient, and of the gradient.
pub(crate) fn lengths<M: Module>(theta: &M, gradients: &GradientsParams) -> (f64, f64) {
    let mut lengths = Lengths {
        gradients,
        weights: 0.0,
        gradient: 0.0,
    };
    theta.visit(&mut lengths);
    (lengths.weights.sqrt(), lengths.gradient.sqrt())
}

/// Squared lengths of the gradient and of the weights that have one.
struct Lengths<'a> {
    gradients: &'a GradientsParams,
    weights: f64,
    gradient: f64,
}

impl ModuleVisitor for Lengths<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.gradient += squared_length(gradient);
            self.weights += squared_length(param.val().without_autodiff());
        }
    }
}

fn squared_length<const D: usize>(tensor: Tensor<D>) -> f64 {
    tensor.powf_scalar(2.0).sum().into_scalar::<f64>()
}

/// Adds `scale` times the gradient to every weight that has one. Buffers stay.
struct Move<'a> {
    gradients: &'a GradientsParams,
    scale: f64,
}

impl ModuleMapper for Move<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.gradients.get::<D>(param.id) {
            None => param,
            Some(gradient) => {
                let change = gradient.mul_scalar(self.scale);
                param.map(|weights| {
                    Tensor::from_inner(weights.without_autodiff() + change).require_grad()
                })
            }
        }
    }
}
