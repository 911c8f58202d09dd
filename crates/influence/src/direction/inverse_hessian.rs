//! `inverse-hessian`: the probe's gradient, preconditioned by the curvature of training: influence functions.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::conjugate::{self, Limits, Stopped};
use super::flat::{flatten, unflatten};
use super::gradient::cross_entropy;
use super::{Direction, Probe, Step, step};
use crate::error::InfluenceError;
use crate::model::fork;
use crate::score::{self, Score};
use crate::sweep::read_items;
use crate::task::{Set, Task, dataset};

/// One step along −(G + λI)⁻¹ ∇L_P: the change of the weights by which, to second order, training would
/// answer to the probe being upweighted (Koh and Liang, "Understanding Black-box Predictions via
/// Influence Functions", ICML 2017). L_P is the mean cross-entropy (nats) of the learnt probe samples.
///
/// **G** is the Gauss-Newton matrix mean_i Jᵢᵀ (diag pᵢ − pᵢ pᵢᵀ) Jᵢ, with Jᵢ of shape K × P the Jacobian of
/// the logits of a *training* sample and pᵢ its softmax: influence functions ask how training
/// answers, so the curvature is that of the training loss, over at most 512 samples drawn by the
/// seed. It stands for the Hessian because
/// - it is positive semi-definite, where that of a network is not and conjugate gradients would have to stop
///   (Martens, "Deep learning via Hessian-free optimization", ICML 2010; Schraudolph, 2002);
/// - away from an optimum the Hessian answers the wrong question (Bae et al., "If Influence Functions
///   are the Answer, Then What is the Question?", NeurIPS 2022), and a checkpoint is away from it;
/// - no label is in it, so that no wrong label bends the direction;
/// - its products need only differences of logits. Those of gradients jump at every kink of a ReLU.
///
/// **λ** is 0.1 times the Rayleigh quotient gᵀGg / gᵀg of the probe's gradient, a measured scale: the
/// curvature of a model that has memorised is smaller by orders of magnitude. Without any curvature
/// the direction is the gradient.
///
/// Costs of a fork beside the sweep: up to 10 products, each 2 forward passes and one forward and
/// backward pass over the drawn samples, and a few vectors of P numbers in host memory.
pub struct InverseHessian;

/// Training samples that G is measured on.
const SAMPLES: usize = 512;
/// Share of the gradient's own curvature that is added to all directions.
const DAMPING: f64 = 0.1;
/// When conjugate gradients stop.
const LIMITS: Limits = Limits {
    iterations: 10,
    residual: 1e-3,
};
/// Length of the finite differences, as a share of the weights' length.
///
/// A central difference errs by about δ² from bending and ε / δ from rounding (ε = 6e-8 in single
/// precision), so the cube root of ε, 4e-3, would be best if logits bent on the scale of the weights
/// (Nocedal and Wright, *Numerical Optimization*, 8.1). A network bends on a shorter one: a step of
/// 3e-2 destroys a convolutional model. Relative to the weights, because only then does it mean the
/// same for every model, and to u, because a product must not depend on the length of what it is taken with.
const DIFFERENCE: f64 = 1e-3;

impl<T: Task> Direction<T> for InverseHessian {
    fn name(&self) -> &'static str {
        "inverse-hessian"
    }

    fn score(&self) -> &'static dyn Score {
        &score::Delta
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        let theta = fork(probe.model);
        let gradients = step::gradient(probe, &theta, probe.learnt, cross_entropy)?;
        let (weights, length) = step::lengths(&theta, &gradients);
        let curvature = Curvature {
            probe,
            theta: &theta,
            gradients: &gradients,
            weights,
            samples: drawn(probe),
        };
        let g = flatten(&theta, &gradients)?;
        let image = curvature.product(&g)?;
        let damping = if length > 0.0 {
            DAMPING * (conjugate::dot(&g, &image) / (length * length)).max(0.0)
        } else {
            0.0
        };
        // The first product that is asked for is the one that is there.
        let mut first = Some(image);
        let solution = conjugate::solve(&g, LIMITS, |u| {
            let mut image = match first.take() {
                Some(image) => image,
                None => curvature.product(u)?,
            };
            conjugate::add(&mut image, damping, u);
            Ok(image)
        })?;
        let natural = unflatten(&theta, &gradients, &solution.x);
        let mut step = step::against(probe, &theta, &natural, &score::Delta)?;
        step.choice = format!(
            "{} iterations{}, damping {damping:.1e}, {}",
            solution.iterations,
            match solution.stopped {
                Stopped::Curvature => " to where curvature ends",
                Stopped::Converged | Stopped::Limit => "",
            },
            step.choice
        );
        Ok(step)
    }
}

/// Training samples to measure curvature on, drawn without replacement.
fn drawn<T: Task>(probe: &Probe<'_, T>) -> Vec<usize> {
    let mut samples: Vec<usize> = (0..probe.labels.train.len()).collect();
    let count = SAMPLES.min(samples.len());
    let (drawn, _) = samples.partial_shuffle(&mut StdRng::seed_from_u64(probe.seed), count);
    drawn.to_vec()
}

/// The Gauss-Newton matrix at θ.
struct Curvature<'a, 'p, T: Task> {
    probe: &'a Probe<'p, T>,
    /// A fork, on the autodiff device.
    theta: &'a T::Model,
    /// The probe's, which say what parameters have one.
    gradients: &'a GradientsParams,
    /// Length of the weights.
    weights: f64,
    samples: Vec<usize>,
}

impl<T: Task> Curvature<'_, '_, T> {
    /// G u, in the layout of [`flatten`].
    fn product(&self, u: &[f32]) -> Result<Vec<f32>, InfluenceError> {
        let length = conjugate::dot(u, u).sqrt();
        if length == 0.0 {
            return Ok(vec![0.0; u.len()]);
        }
        let scale = DIFFERENCE * self.weights / length;
        let change = unflatten(self.theta, self.gradients, u);
        let plus = step::moved(self.theta, &change, scale);
        let minus = step::moved(self.theta, &change, -scale);
        let data = dataset(self.probe.task, Set::Training);
        let total = self.samples.len() as f64;
        let mut accumulator = GradientsAccumulator::new();
        for chunk in self.samples.chunks(self.probe.batch_size.max(1)) {
            if self.probe.cancel.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(InfluenceError::Cancelled);
            }
            let moved = |model: &T::Model| -> Result<Tensor<2>, InfluenceError> {
                let items = read_items(data.as_ref(), Set::Training, chunk)?;
                let batch = self.probe.task.batch(items, self.probe.device);
                Ok(self.probe.task.logits(model, &batch))
            };
            // J u, of shape [B, K].
            let forward = (moved(&plus)? - moved(&minus)?).div_scalar(2.0 * scale);
            let items = read_items(data.as_ref(), Set::Training, chunk)?;
            let device = self.probe.device.clone().autodiff();
            let batch = self.probe.task.batch(items, &device);
            let logits = self.probe.task.logits(self.theta, &batch);
            let p = softmax(logits.clone().without_autodiff(), 1);
            let weighted = p.clone() * forward;
            let mean = weighted.clone().sum_dim(1);
            let pull = Tensor::from_inner(weighted - p * mean);
            let gradients = (logits * pull).sum().div_scalar(total).backward();
            let gradients = GradientsParams::from_grads(gradients, self.theta);
            accumulator.accumulate(self.theta, gradients);
            (self.probe.progress)(0);
        }
        flatten(self.theta, &accumulator.grads())
    }
}
