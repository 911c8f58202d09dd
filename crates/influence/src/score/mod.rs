//! Scores: one number per sample from its outputs before and after the step. Larger = more suspicious.
//!
//! Each score is one file here and one line in [`all`].

mod after;
mod counterfactual;
mod delta;

use crate::error::InfluenceError;
use crate::sweep::{Outputs, cross_entropy};

pub use after::After;
pub use counterfactual::{Counterfactual, CounterfactualRelative};
pub use delta::Delta;

/// Reads one number per sample off the outputs at θ and at θ + v.
pub trait Score: Send + Sync {
    /// The name used in options, logs and results.
    fn name(&self) -> &'static str;

    /// Whether held-out samples may serve as the null distribution.
    ///
    /// True only where memorising a clean sample makes it look *cleaner*, so that held-out
    /// samples err on the safe side.
    fn held_out_null(&self) -> bool;

    /// One score per sample of the view.
    fn score(&self, view: &View<'_>) -> Vec<f32>;

    /// Adds, for every sample and class, how much the outputs speak for that class as the label;
    /// `support` holds K values per sample. The best class other than the given one becomes the
    /// suggested label. Log-probabilities after the step unless the score has a better reading.
    fn support(&self, view: &View<'_>, support: &mut [f32]) {
        let classes = view.after.classes;
        for (sample, row) in support.chunks_mut(classes).enumerate() {
            let logits = view.after.row(sample);
            let loss_of_first = cross_entropy(logits, 0);
            for (sum, z) in row.iter_mut().zip(logits) {
                *sum += z - logits[0] - loss_of_first;
            }
        }
    }
}

/// All scores. A new one is a new file and a line here.
pub fn all() -> Vec<&'static dyn Score> {
    vec![&After, &Delta, &Counterfactual, &CounterfactualRelative]
}

/// Finds a score by name.
///
/// # Errors
///
/// Lists the known names when there is none of that name.
pub fn by_name(name: &str) -> Result<&'static dyn Score, InfluenceError> {
    let mut known = Vec::new();
    for score in all() {
        if score.name() == name {
            return Ok(score);
        }
        known.push(score.name());
    }
    Err(InfluenceError::Unknown {
        kind: "score",
        name: name.to_string(),
        known: known.join(", "),
    })
}

/// Outputs of the same samples at θ and at θ + v, with the labels to judge.
pub struct View<'a> {
    /// Outputs at θ.
    pub before: &'a Outputs,
    /// Outputs at θ + v.
    pub after: &'a Outputs,
    /// The label of each sample.
    pub labels: &'a [usize],
    /// Mean change of each class's logit, over the samples that set the centre.
    pub centre: Vec<f32>,
}

impl<'a> View<'a> {
    /// A view centred on its own samples.
    pub fn new(before: &'a Outputs, after: &'a Outputs, labels: &'a [usize]) -> Self {
        let centre = centre(before, after);
        Self {
            before,
            after,
            labels,
            centre,
        }
    }

    /// A view centred as another one: held-out samples are judged on the training set's scale.
    pub fn centred_as(
        other: &View<'_>,
        before: &'a Outputs,
        after: &'a Outputs,
        labels: &'a [usize],
    ) -> Self {
        Self {
            before,
            after,
            labels,
            centre: other.centre.clone(),
        }
    }

    /// Centred logit changes Δz̃ of a sample, written over `row` (length K).
    pub fn change(&self, sample: usize, row: &mut [f32]) {
        let (before, after) = (self.before.row(sample), self.after.row(sample));
        for (k, value) in row.iter_mut().enumerate() {
            *value = after[k] - before[k] - self.centre[k];
        }
    }
}

fn centre(before: &Outputs, after: &Outputs) -> Vec<f32> {
    let mut sums = vec![0.0f64; before.classes];
    for (b, a) in before
        .logits
        .chunks(before.classes)
        .zip(after.logits.chunks(after.classes))
    {
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum += f64::from(a[k] - b[k]);
        }
    }
    let count = before.len().max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}
