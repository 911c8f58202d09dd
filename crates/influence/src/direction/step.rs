//! One step along a gradient whose length is a share ρ of the weights' own length.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::{Probe, Step, settle};
use crate::error::InfluenceError;
use crate::model::fork;
use crate::score::Score;
use crate::task::Task;

/// Step lengths ‖v‖ / ‖θ‖ to choose from. Flat over this range on small models, but the longest
/// destroys a convolutional model, so the choice is made anew for every checkpoint.
const RHOS: [f64; 5] = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2];

/// Which layers take part in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layers {
    /// All that got a gradient.
    All,
    /// The module that holds the last weight matrix with a row or column per class; without one, the last
    /// weights that got a gradient, in the order of the model.
    Last,
}

/// Differentiates `objective` over the learnt probe samples and steps *against* the gradient by
/// the length that lets `score` tell right from wrong labels best on the held-out ones.
pub(super) fn normalised<T: Task>(
    probe: &Probe<'_, T>,
    layers: Layers,
    objective: impl Fn(Tensor<2>, Tensor<1, burn::tensor::Int>) -> Tensor<1>,
    score: &dyn Score,
) -> Result<Step<T::Model>, InfluenceError> {
    let theta = fork(probe.model);
    let mut gradients = gradient(probe, &theta, objective)?;
    if layers == Layers::Last {
        keep_last_layer(&theta, &mut gradients, probe.labels.classes);
    }
    let mut lengths = Lengths {
        gradients: &gradients,
        weights: 0.0,
        gradient: 0.0,
    };
    theta.visit(&mut lengths);
    let (weights, gradient) = (lengths.weights.sqrt(), lengths.gradient.sqrt());
    if !gradient.is_finite() {
        return Err(InfluenceError::Outputs(
            "the gradient on the probe set is not finite; training has diverged".to_string(),
        ));
    }
    // A vanished gradient gives a null step: its scores say nothing, which is the truth.
    let unit = if gradient > 0.0 {
        weights / gradient
    } else {
        0.0
    };
    let mut best: Option<(f64, f64, T::Model)> = None;
    for rho in RHOS {
        let moved = settle(&theta.clone().map(&mut Move {
            gradients: &gradients,
            scale: -rho * unit,
        }));
        // A step too long may overflow; that only means it is not chosen.
        let quality = match probe.judge(&moved, score) {
            Ok(quality) => quality,
            Err(InfluenceError::Outputs(_)) => continue,
            Err(error) => return Err(error),
        };
        if best.as_ref().is_none_or(|(q, _, _)| quality > *q) {
            best = Some((quality, rho, moved));
        }
    }
    let Some((quality, rho, model)) = best else {
        return Err(InfluenceError::Outputs(
            "no step length gave finite outputs on the probe set; training has diverged"
                .to_string(),
        ));
    };
    Ok(Step {
        model,
        choice: format!("rho {rho:e}, probe auroc {quality:.3}"),
    })
}

/// Mean gradient of `objective` over all learnt samples, in batches.
fn gradient<T: Task>(
    probe: &Probe<'_, T>,
    theta: &T::Model,
    objective: impl Fn(Tensor<2>, Tensor<1, burn::tensor::Int>) -> Tensor<1>,
) -> Result<GradientsParams, InfluenceError> {
    let total = probe.learnt.len() as f64;
    let mut accumulator = burn::optim::GradientsAccumulator::new();
    for chunk in probe.learnt.chunks(probe.batch_size.max(1)) {
        let (batch, labels) = probe.batch(chunk)?;
        let logits = probe.task.logits(theta, &batch);
        let share = chunk.len() as f64 / total;
        let gradients = objective(logits, labels).mul_scalar(share).backward();
        (probe.progress)(0);
        accumulator.accumulate(theta, GradientsParams::from_grads(gradients, theta));
    }
    let gradients = accumulator.grads();
    if gradients.is_empty() {
        return Err(InfluenceError::Outputs(
            "no parameter of the model received a gradient from the probe set; check that the task's logits come from its model"
                .to_string(),
        ));
    }
    Ok(gradients)
}

/// Drops the gradients of all but the last layer.
fn keep_last_layer<M: Module>(model: &M, gradients: &mut GradientsParams, classes: usize) {
    let mut owners = Owners {
        gradients,
        classes,
        path: Vec::new(),
        found: Vec::new(),
    };
    model.visit(&mut owners);
    let found = owners.found;
    // A head is known by its classes; a normalisation declared after it is not taken for one.
    let head = found.iter().rfind(|weight| weight.per_class);
    let Some(last) = head.or(found.last()).map(|weight| weight.owner.clone()) else {
        return;
    };
    // By identity, not by place: weights that the last layer shares with another one are its own.
    let kept: Vec<ParamId> = found
        .iter()
        .filter(|weight| weight.owner == last)
        .map(|weight| weight.id)
        .collect();
    let mut dropper = Dropper { gradients, kept };
    model.visit(&mut dropper);
}

/// A weight that got a gradient.
struct Weight {
    id: ParamId,
    /// Path of the module that holds it.
    owner: Vec<String>,
    /// Whether it is a matrix with a row or column per class.
    per_class: bool,
}

/// The weights that got a gradient, in the order of the model.
struct Owners<'a> {
    gradients: &'a GradientsParams,
    classes: usize,
    path: Vec<String>,
    found: Vec<Weight>,
}

impl ModuleVisitor for Owners<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            // The last part of the path is the parameter's own name.
            let owner = self.path[..self.path.len().saturating_sub(1)].to_vec();
            self.found.push(Weight {
                id: param.id,
                owner,
                per_class: D == 2 && gradient.dims().contains(&self.classes),
            });
        }
    }
}

/// Takes gradients out.
struct Dropper<'a> {
    gradients: &'a mut GradientsParams,
    kept: Vec<ParamId>,
}

impl ModuleVisitor for Dropper<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.kept.contains(&param.id) {
            self.gradients.remove::<D>(param.id);
        }
    }
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
