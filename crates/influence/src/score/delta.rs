//! `delta`: the signed change of the loss.

use super::{Score, View};

/// Δℓ_i = ℓ_i(θ + v) − ℓ_i(θ), signed: positive means that learning clean data made this label
/// less likely.
///
/// ```
#[doc = include_str!("../example_view.txt")]
/// let scores = score::Delta.score(&view);
/// assert!(scores[0] < 0.0 && scores[1] > 1.4);
/// ```
pub struct Delta;

impl Score for Delta {
    fn name(&self) -> &'static str {
        "delta"
    }

    // A memorised clean sample forgets more than a held-out one: only the trusted null is valid.
    fn held_out_null(&self) -> bool {
        false
    }

    fn score(&self, view: &View<'_>) -> Vec<f32> {
        let mut scores = Vec::with_capacity(view.labels.len());
        for sample in 0..view.labels.len() {
            scores.push(view.loss(view.after, sample) - view.loss(view.before, sample));
        }
        scores
    }
}
