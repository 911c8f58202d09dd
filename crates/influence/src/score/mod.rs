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
///
/// ```
#[doc = include_str!("../example_view.txt")]
/// /// By how much the given label's logit falls.
/// struct Fall;
///
/// impl Score for Fall {
///     fn name(&self) -> &'static str {
///         "fall"
///     }
///
///     fn held_out_null(&self) -> bool {
///         false
///     }
///
///     fn score(&self, view: &View<'_>) -> Vec<f32> {
///         let mut change = [0.0; 2];
///         let mut of = |sample: usize| {
///             view.change(sample, &mut change);
///             -change[view.labels[sample]]
///         };
///         (0..view.labels.len()).map(&mut of).collect()
///     }
/// }
/// assert_eq!(Fall.score(&view), [-1.0, 1.0, -3.0, 3.0]);
/// ```
pub trait Score: Send + Sync {
    /// The name used in options, logs and results.
    ///
    /// ```
    /// # use mirrorwatch_influence::score::{self, Score};
    /// assert_eq!(score::After.name(), "after");
    /// ```
    fn name(&self) -> &'static str;

    /// Whether held-out samples may serve as the null distribution.
    ///
    /// True only where memorising a clean sample makes it look *cleaner*, so that held-out
    /// samples err on the safe side.
    ///
    /// ```
    /// # use mirrorwatch_influence::score::{self, Score};
    /// assert!(score::After.held_out_null() && !score::Delta.held_out_null());
    /// ```
    fn held_out_null(&self) -> bool;

    /// Whether it reads logits, and so only serves tasks with classes.
    ///
    /// ```
    /// # use mirrorwatch_influence::score::{self, Score};
    /// assert!(score::Counterfactual.needs_classes() && !score::After.needs_classes());
    /// ```
    fn needs_classes(&self) -> bool {
        false
    }

    /// Whether it reads [`View::change`], which is centred over all samples of a set: then what models say of all of
    /// them has to be kept, K logits a sample, until the last one is read.
    ///
    /// ```
    /// # use mirrorwatch_influence::score::{self, Score};
    /// assert!(score::Counterfactual.needs_centre() && !score::After.needs_centre());
    /// ```
    fn needs_centre(&self) -> bool {
        false
    }

    /// One score per sample of the view.
    ///
    /// ```
    #[doc = include_str!("../example_view.txt")]
    /// for score in score::all() {
    ///     let scores = score.score(&view);
    ///     assert!(scores[1] > scores[0], "{}", score.name());
    /// }
    /// ```
    fn score(&self, view: &View<'_>) -> Vec<f32>;

    /// Adds, for every sample and class, how much the outputs speak for that class as the label;
    /// `support` holds K values per sample. The best class other than the given one becomes the
    /// suggested label. Log-probabilities after the step unless the score has a better reading.
    ///
    /// ```
    #[doc = include_str!("../example_view.txt")]
    /// let mut support = vec![0.0; 8];
    /// score::After.support(&view, &mut support);
    /// // The second sample should rather be labelled 1.
    /// assert!(support[3] > support[2]);
    /// ```
    fn support(&self, view: &View<'_>, support: &mut [f32]) {
        add_log_probabilities(view, support);
    }
}

fn add_log_probabilities(view: &View<'_>, support: &mut [f32]) {
    let classes = view.after.classes;
    if classes == 0 {
        return;
    }
    for (sample, row) in support.chunks_mut(classes).enumerate() {
        let logits = view.after.row(sample);
        // That of the label itself is minus its loss.
        let normaliser = logits[view.labels[sample]] + view.loss(view.after, sample);
        for (sum, z) in row.iter_mut().zip(logits) {
            *sum += z - normaliser;
        }
    }
}

/// All scores. A new one is a new file and a line here.
///
/// ```
/// # use mirrorwatch_influence::score::{self, Score};
/// let names: Vec<_> = score::all().iter().map(|score| score.name()).collect();
/// assert_eq!(names[..2], ["after", "delta"]);
/// ```
pub fn all() -> Vec<&'static dyn Score> {
    vec![&After, &Delta, &Counterfactual, &CounterfactualRelative]
}

/// Finds a score by name.
///
/// # Errors
///
/// Lists the known names when there is none of that name.
///
/// ```
/// use mirrorwatch_influence::score::{self, Score};
///
/// assert_eq!(score::by_name("after")?.name(), "after");
/// let unknown = score::by_name("before").map(|_| ()).map_err(|error| error.to_string());
/// assert!(unknown.is_err_and(|text| text.starts_with("unknown score \"before\": choose one of after, ")));
/// # Ok::<(), mirrorwatch_influence::InfluenceError>(())
/// ```
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
///
/// ```
#[doc = include_str!("../example_view.txt")]
/// assert_eq!(view.labels.len(), view.before.len());
/// assert!(view.loss(view.after, 1) > view.loss(view.before, 1));
/// ```
pub struct View<'a> {
    /// Outputs at θ.
    pub before: &'a Outputs,
    /// Outputs at θ + v.
    pub after: &'a Outputs,
    /// The label of each sample.
    pub labels: &'a [usize],
    /// Mean change of each class's logit, over the samples that set the centre; where each label has a
    /// fork of its own, K such means in turn, over those of one label each.
    centres: Centres,
    /// Whether `labels` are those of the outputs' own losses, which then need not be taken again.
    own_losses: bool,
}

/// Of each class's logit the mean change that [`View::change`] takes off: one row of K, or K of them.
pub(crate) type Centres = Vec<Vec<f32>>;

impl<'a> View<'a> {
    /// A view centred on its own samples.
    ///
    /// ```
    /// # use mirrorwatch_influence::{Outputs, score::View};
    /// # let outputs = |logits: &[f32]| Outputs { classes: 2, logits: logits.to_vec(), losses: vec![0.0; 2] };
    /// // The step raises the first logit of both samples by 5: that tells nothing of either.
    /// let (before, after) = (outputs(&[0.0; 4]), outputs(&[5.0, 1.0, 5.0, -1.0]));
    /// let view = View::new(&before, &after, &[0, 0]);
    /// let mut change = [0.0; 2];
    /// view.change(0, &mut change);
    /// assert_eq!(change, [0.0, 1.0]);
    /// ```
    pub fn new(before: &'a Outputs, after: &'a Outputs, labels: &'a [usize]) -> Self {
        let centres = vec![centre(before, after, |_| true)];
        Self {
            before,
            after,
            labels,
            centres,
            own_losses: false,
        }
    }

    /// A view without a centre, for scores that need none: what it says of a sample does not depend on the others.
    /// `labels` are those under which the losses of both outputs were taken.
    ///
    /// ```
    #[doc = include_str!("../example_view.txt")]
    /// let after = Outputs { losses: vec![0.1, 2.1, 0.0, 6.0], ..after };
    /// let uncentred = View::uncentred(&before, &after, &[0; 4]);
    /// assert_eq!(score::After.score(&uncentred), after.losses);
    /// ```
    pub fn uncentred(before: &'a Outputs, after: &'a Outputs, labels: &'a [usize]) -> Self {
        let centres = vec![vec![0.0; before.classes]];
        Self {
            before,
            after,
            labels,
            centres,
            own_losses: true,
        }
    }

    /// A view of samples that were read at the fork of their own label each. Centred by label: what a
    /// fork does to all of its samples says nothing of one.
    ///
    /// ```
    /// # use mirrorwatch_influence::{Outputs, score::View};
    /// # let outputs = |logits: &[f32]| Outputs { classes: 2, logits: logits.to_vec(), losses: vec![0.0; 3] };
    /// // Samples 0 and 1 are read at the fork of class 0, which moves them by 5 on average, sample 2 at that of class 1.
    /// let (before, after) = (outputs(&[0.0; 6]), outputs(&[4.0, 0.0, 6.0, 0.0, 0.0, 9.0]));
    /// let view = View::per_class(&before, &after, &[0, 0, 1]);
    /// let mut changes = [[0.0; 2]; 3];
    /// for (sample, change) in changes.iter_mut().enumerate() {
    ///     view.change(sample, change);
    /// }
    /// assert_eq!(changes, [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]);
    /// ```
    pub fn per_class(before: &'a Outputs, after: &'a Outputs, labels: &'a [usize]) -> Self {
        let mut centres = Vec::with_capacity(before.classes);
        for class in 0..before.classes {
            centres.push(centre(before, after, |sample| labels[sample] == class));
        }
        Self {
            before,
            after,
            labels,
            centres,
            own_losses: false,
        }
    }

    /// A view centred as another one: held-out samples are judged on the training set's scale.
    ///
    /// ```
    #[doc = include_str!("../example_view.txt")]
    /// let (held_out, moved) = (outputs(&[0.0, 0.0]), outputs(&[5.0, 1.0]));
    /// let mut change = [0.0; 2];
    /// View::centred_as(&view, &held_out, &moved, &[0]).change(0, &mut change);
    /// // On its own it would be its own centre, and have no change.
    /// assert_eq!(change, [5.0, 1.0]);
    /// ```
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
            centres: other.centres.clone(),
            own_losses: false,
        }
    }

    /// The same with the centres of another view, if there are any.
    pub(crate) fn with_centres(mut self, centres: Option<&Centres>) -> Self {
        if let Some(centres) = centres {
            self.centres.clone_from(centres);
        }
        self
    }

    /// Its centres.
    pub(crate) fn into_centres(self) -> Centres {
        self.centres
    }

    /// Whether samples were read at the fork of their own label.
    ///
    /// ```
    #[doc = include_str!("../example_view.txt")]
    /// assert!(!view.is_per_class());
    /// assert!(View::per_class(&before, &after, &[0; 4]).is_per_class());
    /// ```
    pub fn is_per_class(&self) -> bool {
        self.centres.len() > 1
    }

    /// What the model says that was told no sample's label: the outputs after the step, or before it where each
    /// sample was read at the fork of its own label.
    ///
    /// ```
    #[doc = include_str!("../example_view.txt")]
    /// assert_eq!(view.told_nothing().logits, after.logits);
    /// let per_class = View::per_class(&before, &after, &[0; 4]);
    /// assert_eq!(per_class.told_nothing().logits, before.logits);
    /// ```
    pub fn told_nothing(&self) -> &'a Outputs {
        if self.is_per_class() {
            self.before
        } else {
            self.after
        }
    }

    /// The loss of a sample: cross-entropy (nats) under the label that is judged, which need not be the given one;
    /// without classes, the task's own.
    ///
    /// ```
    #[doc = include_str!("../example_view.txt")]
    /// // Were sample 1 labelled 1, the step would have lowered its loss.
    /// let judged = View::new(&before, &after, &[1; 4]);
    /// assert!(judged.loss(&after, 1) < judged.loss(&before, 1));
    /// assert!(view.loss(&after, 1) > view.loss(&before, 1));
    /// ```
    pub fn loss(&self, outputs: &Outputs, sample: usize) -> f32 {
        if self.own_losses || outputs.classes == 0 {
            return outputs.losses[sample];
        }
        cross_entropy(outputs.row(sample), self.labels[sample])
    }

    /// Centred logit changes Δz̃ of a sample, written over `row` (length K).
    ///
    /// ```
    #[doc = include_str!("../example_view.txt")]
    /// let mut change = [0.0; 2];
    /// view.change(3, &mut change);
    /// assert_eq!(change, [-3.0, 3.0]);
    /// ```
    pub fn change(&self, sample: usize, row: &mut [f32]) {
        let (before, after) = (self.before.row(sample), self.after.row(sample));
        let centre = if self.is_per_class() {
            &self.centres[self.labels[sample]]
        } else {
            &self.centres[0]
        };
        for (k, value) in row.iter_mut().enumerate() {
            *value = after[k] - before[k] - centre[k];
        }
    }
}

/// Mean change of each class's logit over the samples that `counts` names; zeros without any.
fn centre(before: &Outputs, after: &Outputs, counts: impl Fn(usize) -> bool) -> Vec<f32> {
    let mut sums = vec![0.0f64; before.classes];
    let mut count = 0usize;
    for sample in (0..before.len()).filter(|&sample| counts(sample)) {
        let (b, a) = (before.row(sample), after.row(sample));
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum += f64::from(a[k] - b[k]);
        }
        count += 1;
    }
    let count = count.max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(logits: &[f32]) -> Outputs {
        Outputs {
            classes: 2,
            logits: logits.to_vec(),
            losses: vec![0.0; logits.len() / 2],
        }
    }

    #[test]
    fn forks_of_their_own_label_are_centred_by_label() {
        let before = outputs(&[0.0; 8]);
        // Labels 0, 0, 1, 1: the first fork adds 10 to the first logit, the second 100 to the second.
        let after = outputs(&[11.0, 0.0, 9.0, 0.0, 0.0, 103.0, 0.0, 97.0]);
        let view = View::per_class(&before, &after, &[0, 0, 1, 1]);
        assert_eq!(
            Counterfactual.score(&view),
            [-1.0, 1.0, -3.0, 3.0],
            "what a fork does to all of its samples is taken off"
        );
        // A held-out sample of label 1, on that scale.
        let (before, after) = (outputs(&[0.0, 0.0]), outputs(&[0.0, 95.0]));
        let held_out = View::centred_as(&view, &before, &after, &[1]);
        assert_eq!(Counterfactual.score(&held_out), [5.0]);
        // Nor does it count that a fork told its own label is right.
        assert_eq!(held_out.told_nothing().accuracy(&[1]), 0.0);
        assert_eq!(
            View::new(&before, &after, &[1])
                .told_nothing()
                .accuracy(&[1]),
            1.0
        );
    }

    #[test]
    fn a_class_whose_fork_did_not_move_scores_nothing() {
        let before = outputs(&[1.0, 2.0, 3.0, 5.0, 0.0, 1.0]);
        let after = outputs(&[1.0, 2.0, 3.0, 5.0, 0.5, 2.5]);
        let view = View::per_class(&before, &after, &[0, 0, 1]);
        assert_eq!(Counterfactual.score(&view)[..2], [0.0, 0.0]);
        assert_eq!(CounterfactualRelative.score(&view)[..2], [0.0, 0.0]);
        assert_eq!(Delta.score(&view)[..2], [0.0, 0.0]);
    }

    #[test]
    fn the_suggestion_of_a_fork_of_its_own_label_follows_the_outputs() {
        let before = outputs(&[0.0, 0.0]);
        let after = outputs(&[0.0, 3.0]);
        let view = View::per_class(&before, &after, &[0]);
        // Centred on itself, the change is nothing; the outputs prefer the other label.
        let mut support = [0.0; 2];
        Counterfactual.support(&view, &mut support);
        assert!((support[1] - support[0] - 3.0).abs() < 1e-6, "{support:?}");
    }
}
