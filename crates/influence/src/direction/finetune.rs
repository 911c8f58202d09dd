//! `finetune`: a few epochs of SGD on the probe.

use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::log_softmax;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Direction, Probe, Step, settle};
use crate::error::InfluenceError;
use crate::model::fork;
use crate::score::{self, Score};
use crate::task::Task;

/// SGD with momentum on minibatches of the probe; the depth is the deepest one at which the score
/// tells right from wrong labels on the held-out fold as well as at any other.
///
/// Memorised wrong labels are forgotten fast under clean training (Maini et al., "Characterizing
/// Datapoints via Second-Split Forgetting", NeurIPS 2022), which is why the loss *after* the
/// steps still separates when the loss before no longer does.
pub struct Finetune;

const LEARNING_RATE: f64 = 0.02;
const MOMENTUM: f64 = 0.9;
const MINIBATCH: usize = 50;
/// Depths to choose from, in steps.
const DEPTHS: [usize; 4] = [10, 20, 40, 80];

impl<T: Task> Direction<T> for Finetune {
    fn name(&self) -> &'static str {
        "finetune"
    }

    fn score(&self) -> &'static dyn Score {
        &score::After
    }

    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
        let mut model = fork(probe.model);
        let momentum = MomentumConfig::new().with_momentum(MOMENTUM);
        let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
        let mut rng = StdRng::seed_from_u64(probe.seed);
        let mut order: Vec<usize> = Vec::new();
        let mut candidates: Vec<(f64, usize, T::Model)> = Vec::new();
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
            let logits = probe.task.logits(&model, &batch);
            let picked = log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1));
            let gradients = picked.mean().neg().backward();
            let gradients = GradientsParams::from_grads(gradients, &model);
            // Burn's optimizers pass silently over a module that got no gradient.
            if gradients.is_empty() {
                return Err(InfluenceError::Outputs(
                    "no parameter of the model received a gradient from the probe set; check that the task's logits come from its model"
                        .to_string(),
                ));
            }
            model = optimizer.step(LEARNING_RATE, model, gradients);
            if DEPTHS.contains(&step) {
                let settled = settle(&model);
                // Diverging steps give outputs that are not finite: keep what was good before.
                let Ok(quality) = probe.judge(&settled, &score::After) else {
                    break;
                };
                candidates.push((quality, step, settled));
            }
        }
        let best = candidates.iter().map(|c| c.0).fold(0.0, f64::max);
        // One standard error of an AUROC over this many held-out samples (Hanley and McNeil 1982,
        // leading term). The deepest step that is no worse than that is taken: held-out samples
        // cannot show what depth is for, which is to forget labels that training has memorised.
        let tolerance = (best * (1.0 - best) / probe.held_out.len().max(1) as f64).sqrt();
        let chosen = candidates
            .into_iter()
            .rev()
            .find(|(quality, _, _)| *quality >= best - tolerance);
        let Some((quality, depth, model)) = chosen else {
            return Err(InfluenceError::Outputs(
                "fine-tuning on the probe set gave outputs that are not finite; training has diverged"
                    .to_string(),
            ));
        };
        Ok(Step {
            model,
            choice: format!("{depth} steps, probe auroc {quality:.3}"),
        })
    }
}
