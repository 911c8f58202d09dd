//! `after`: the loss at θ + v.

use super::{Score, View};

/// ℓ_i(θ + v): the loss of the given label after the step.
///
/// ```
#[doc = include_str!("../example_view.txt")]
/// let scores = score::After.score(&view);
/// assert!(scores[1] > 2.0 && scores[3] > 6.0 && scores[0] < 0.2);
/// ```
pub struct After;

impl Score for After {
    fn name(&self) -> &'static str {
        "after"
    }

    // Memorising lowers the loss of a clean training sample, so held-out ones look worse: safe.
    fn held_out_null(&self) -> bool {
        true
    }

    fn score(&self, view: &View<'_>) -> Vec<f32> {
        let samples = 0..view.labels.len();
        samples
            .map(|sample| view.loss(view.after, sample))
            .collect()
    }
}
