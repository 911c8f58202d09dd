//! `inverse-hessian`: the probe's gradient, preconditioned by the curvature of training: influence functions.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::gradient::cross_entropy;
use super::{Direction, Probe, Step, step};
use crate::conjugate::{self, Limits, Stopped};
use crate::curvature::GaussNewton;
use crate::error::InfluenceError;
use crate::flat::{flatten, unflatten};
use crate::model::fork;
use crate::score::{self, Score};
use crate::sweep::SweepOptions;
use crate::task::Task;

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
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, InverseHessian};
///
/// let step = InverseHessian.step(&probe)?;
/// // The wrong label is the least likely one at the fork.
/// let after = sweep(&task, step.forks.of(0), Set::Training, &[0, 1, 2, 3, 4], &labels.train, &options)?;
/// assert_eq!(arg_max(&after.losses), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
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

impl<T: Task> Direction<T> for InverseHessian {
    fn name(&self) -> &'static str {
        "inverse-hessian"
    }

    fn score(&self) -> &'static dyn Score {
        &score::Delta
    }

    /// Its curvature is that of the softmax.
    fn needs_classes(&self) -> bool {
        true
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        let theta = fork(probe.model);
        let gradients = step::gradient(probe, &theta, probe.learnt, |model, batch, labels| {
            cross_entropy(probe.task.logits(model, batch), labels)
        })?;
        let (weights, length) = step::lengths(&theta, &gradients);
        let curvature = GaussNewton {
            task: probe.task,
            theta: &theta,
            like: &gradients,
            weights,
            samples: &drawn(probe),
            forward: &SweepOptions {
                progress: probe.progress,
                ..probe.quiet()
            },
        };
        let g = flatten(&theta, &gradients, &gradients)?;
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
            Ok::<_, InfluenceError>(image)
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
