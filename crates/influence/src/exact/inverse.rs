//! Influence functions: the probe's gradient, preconditioned by the curvature of training.

use super::Exact;
use crate::conjugate::{self, Limits, Stopped};
use crate::curvature::GaussNewton;
use crate::error::InfluenceError;
use crate::task::Task;

/// How (G + λI) v = ∇L_P is solved.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// use mirrorwatch_influence::exact::InverseOptions;
///
/// let options = InverseOptions { iterations: 1, residual: 0.0, ..InverseOptions::default() };
/// let solved = exact.inverse_curvature(&[0, 1, 2, 3, 4], options)?;
/// assert_eq!((solved.iterations, solved.stopped), (1, "limit"));
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InverseOptions {
    /// λ as a share of the curvature that the probe's gradient g sees, gᵀGg / gᵀg: a measured scale, because
    /// the curvature of a model that has memorised is smaller by orders of magnitude.
    pub damping: f64,
    /// Most conjugate-gradient iterations; each is three passes over the samples.
    pub iterations: usize,
    /// Residual ‖∇L_P − (G + λI) v‖ / ‖∇L_P‖ that is small enough.
    pub residual: f64,
}

impl Default for InverseOptions {
    /// 0.1, 50 iterations, residual 1e-3.
    fn default() -> Self {
        Self {
            damping: 0.1,
            iterations: 50,
            residual: 1e-3,
        }
    }
}

/// The solution and what is known of it.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// use mirrorwatch_influence::exact::InverseOptions;
///
/// let solved = exact.inverse_curvature(&[0, 1, 2, 3, 4], InverseOptions::default())?;
/// assert_eq!((solved.v.len(), solved.stopped), (4, "converged"));
/// assert!(solved.residual <= 1e-3 && solved.iterations <= 4 && solved.damping > 0.0);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// v, in the layout of the gradients.
    pub v: Vec<f32>,
    /// λ itself.
    pub damping: f64,
    /// Iterations that went into v.
    pub iterations: usize,
    /// The residual it ended with.
    pub residual: f64,
    /// Why it stopped: `converged`, `limit` (all iterations used) or `curvature` (there was none along the next
    /// direction).
    pub stopped: &'static str,
}

impl<T: Task> Exact<'_, T> {
    /// Solves (G + λI) v = ∇L_P by conjugate gradients, G being the Gauss-Newton matrix over training `samples`.
    ///
    /// With v, the influence of any training sample on the probe is ⟨∇ℓ_i, v⟩: by how much, to first
    /// order, upweighting it lowers the probe's loss once training has answered. Why Gauss-Newton and
    /// not the Hessian: see [`crate::direction::InverseHessian`]. Where the logits are linear in the
    /// weights the two are the same.
    ///
    /// # Errors
    ///
    /// A training sample that cannot be read, or cancellation.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// use mirrorwatch_influence::exact::{InverseOptions, inner};
    ///
    /// let solved = exact.inverse_curvature(&[0, 1, 2, 3, 4], InverseOptions::default())?;
    /// let influence = |index| -> Result<f64, InfluenceError> {
    ///     Ok(inner(&exact.sample(Set::Training, index, labels.train[index])?, &solved.v))
    /// };
    /// assert!(influence(2)? < 0.0 && influence(3)? > 0.0);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn inverse_curvature(
        &self,
        samples: &[usize],
        options: InverseOptions,
    ) -> Result<Solved, InfluenceError> {
        let curvature = self.curvature(samples);
        let g = self.probe();
        let (damping, image) = self.damping(&curvature, options.damping)?;
        let limits = Limits {
            iterations: options.iterations,
            residual: options.residual,
        };
        // The first product that is asked for is the one that is there.
        let mut first = Some(image);
        let solution = conjugate::solve(g, limits, |u| {
            let mut image = match first.take() {
                Some(image) => image,
                None => curvature.product(u)?,
            };
            conjugate::add(&mut image, damping, u);
            Ok::<_, InfluenceError>(image)
        })?;
        Ok(Solved {
            v: solution.x,
            damping,
            iterations: solution.iterations,
            residual: solution.residual,
            stopped: match solution.stopped {
                Stopped::Converged => "converged",
                Stopped::Limit => "limit",
                Stopped::Curvature => "curvature",
            },
        })
    }
    /// The curvature over these training samples.
    pub(super) fn curvature<'a>(&'a self, samples: &'a [usize]) -> GaussNewton<'a, T> {
        GaussNewton {
            task: self.task,
            theta: &self.theta,
            like: &self.like,
            weights: self.weights,
            samples,
            forward: self.forward,
        }
    }

    /// λ, which is `share` of the curvature that the probe's gradient g sees, and G g, by which it is known.
    pub(super) fn damping(
        &self,
        curvature: &GaussNewton<'_, T>,
        share: f64,
    ) -> Result<(f64, Vec<f32>), InfluenceError> {
        let g = self.probe();
        let image = curvature.product(g)?;
        let squared = conjugate::dot(g, g);
        let damping = if squared > 0.0 {
            share * (conjugate::dot(g, &image) / squared).max(0.0)
        } else {
            0.0
        };
        Ok((damping, image))
    }
}
