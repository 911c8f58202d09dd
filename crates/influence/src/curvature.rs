//! The curvature of the training loss, by its products with vectors.

use std::sync::atomic::Ordering;

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use crate::conjugate;
use crate::direction::moved;
use crate::error::InfluenceError;
use crate::flat::{flatten, unflatten};
use crate::sweep::{SweepOptions, read_items};
use crate::task::{Set, Task, dataset};

/// Length of the finite differences, as a share of the weights' length.
///
/// A central difference errs by about δ² from bending and ε / δ from rounding (ε = 6e-8 in single
/// precision), so the cube root of ε, 4e-3, would be best if logits bent on the scale of the weights
/// (Nocedal and Wright, *Numerical Optimization*, 8.1). A network bends on a shorter one: a step of
/// 3e-2 destroys a convolutional model. Relative to the weights, because only then does it mean the
/// same for every model, and to u, because a product must not depend on the length of what it is taken with.
const DIFFERENCE: f64 = 1e-3;

/// The Gauss-Newton matrix mean_i Jᵢᵀ (diag pᵢ − pᵢ pᵢᵀ) Jᵢ at θ, with Jᵢ of shape K × P the Jacobian of the logits
/// of a training sample and pᵢ its softmax. Where logits are linear in the weights it is the Hessian itself.
pub(crate) struct GaussNewton<'a, T: Task> {
    pub task: &'a T,
    /// A fork, on the autodiff device.
    pub theta: &'a T::Model,
    /// Say what parameters take part: those that have one.
    pub like: &'a GradientsParams,
    /// Length of the weights that take part.
    pub weights: f64,
    /// Training samples that it is the mean over.
    pub samples: &'a [usize],
    /// Where and in what batches; told 0 after each.
    pub forward: &'a SweepOptions<'a>,
}

impl<T: Task> GaussNewton<'_, T> {
    /// G u, in the layout of [`flatten`].
    pub fn product(&self, u: &[f32]) -> Result<Vec<f32>, InfluenceError> {
        let length = conjugate::dot(u, u).sqrt();
        if length == 0.0 {
            return Ok(vec![0.0; u.len()]);
        }
        let scale = DIFFERENCE * self.weights / length;
        let change = unflatten(self.theta, self.like, u);
        let plus = moved(self.theta, &change, scale);
        let minus = moved(self.theta, &change, -scale);
        let data = dataset(self.task, Set::Training);
        let device = self.forward.device;
        let total = self.samples.len() as f64;
        let mut accumulator = GradientsAccumulator::new();
        for chunk in self.samples.chunks(self.forward.batch_size.max(1)) {
            if self.forward.cancel.load(Ordering::Relaxed) {
                return Err(InfluenceError::Cancelled);
            }
            let outputs = |model: &T::Model| -> Result<Tensor<2>, InfluenceError> {
                let items = read_items(data.as_ref(), Set::Training, chunk)?;
                let batch = self.task.batch(items, device);
                Ok(self.task.logits(model, &batch))
            };
            // J u, of shape [B, K].
            let forward = (outputs(&plus)? - outputs(&minus)?).div_scalar(2.0 * scale);
            let items = read_items(data.as_ref(), Set::Training, chunk)?;
            let batch = self.task.batch(items, &device.clone().autodiff());
            let logits = self.task.logits(self.theta, &batch);
            let p = softmax(logits.clone().without_autodiff(), 1);
            let weighted = p.clone() * forward;
            let mean = weighted.clone().sum_dim(1);
            let pull = Tensor::from_inner(weighted - p * mean);
            let gradients = (logits * pull).sum().div_scalar(total).backward();
            let gradients = GradientsParams::from_grads(gradients, self.theta);
            accumulator.accumulate(self.theta, gradients);
            (self.forward.progress)(0);
        }
        flatten(self.theta, &accumulator.grads(), self.like)
    }
}
