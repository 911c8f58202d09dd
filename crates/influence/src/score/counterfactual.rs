//! `counterfactual`: how much more the probe pushes the best other label than the given one.

use super::{Score, View, add_log_probabilities};

/// max_{c≠y} Δz̃_c − Δz̃_y, with the changes of each class's logit centred over the training set.
///
/// ```
#[doc = include_str!("../example_view.txt")]
/// assert_eq!(score::Counterfactual.score(&view), [-2.0, 2.0, -6.0, 6.0]);
/// ```
pub struct Counterfactual;

/// [`Counterfactual`] divided by the sample's mean |Δz̃|, so that samples the step moves a lot do
/// not drown the others.
///
/// ```
#[doc = include_str!("../example_view.txt")]
/// assert_eq!(score::CounterfactualRelative.score(&view), [-2.0, 2.0, -2.0, 2.0]);
/// ```
pub struct CounterfactualRelative;

impl Score for Counterfactual {
    fn name(&self) -> &'static str {
        "counterfactual"
    }

    fn held_out_null(&self) -> bool {
        false
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn needs_centre(&self) -> bool {
        true
    }

    fn score(&self, view: &View<'_>) -> Vec<f32> {
        score(view, false)
    }

    fn support(&self, view: &View<'_>, support: &mut [f32]) {
        add_changes(view, support);
    }
}

impl Score for CounterfactualRelative {
    fn name(&self) -> &'static str {
        "counterfactual-relative"
    }

    fn held_out_null(&self) -> bool {
        false
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn needs_centre(&self) -> bool {
        true
    }

    fn score(&self, view: &View<'_>) -> Vec<f32> {
        score(view, true)
    }

    fn support(&self, view: &View<'_>, support: &mut [f32]) {
        add_changes(view, support);
    }
}

fn score(view: &View<'_>, relative: bool) -> Vec<f32> {
    let mut row = vec![0.0f32; view.before.classes];
    let mut scores = Vec::with_capacity(view.labels.len());
    for (sample, &label) in view.labels.iter().enumerate() {
        view.change(sample, &mut row);
        let mut other = f32::NEG_INFINITY;
        let mut size = 0.0f32;
        for (k, &change) in row.iter().enumerate() {
            size += change.abs();
            if k != label {
                other = other.max(change);
            }
        }
        let margin = other - row[label];
        let scale = if relative && size > 0.0 {
            size / row.len() as f32
        } else {
            1.0
        };
        scores.push(margin / scale);
    }
    scores
}

/// The push itself says which label the probe would rather see. That of a class's own fork moves all
/// others nearly alike: there it is the outputs.
fn add_changes(view: &View<'_>, support: &mut [f32]) {
    if view.is_per_class() {
        add_log_probabilities(view, support);
        return;
    }
    let classes = view.before.classes;
    let mut row = vec![0.0f32; classes];
    for (sample, sums) in support.chunks_mut(classes).enumerate() {
        view.change(sample, &mut row);
        for (sum, change) in sums.iter_mut().zip(&row) {
            *sum += change;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Outputs;

    fn outputs(logits: &[f32]) -> Outputs {
        Outputs {
            classes: 3,
            logits: logits.to_vec(),
            losses: vec![0.0; logits.len() / 3],
        }
    }

    #[test]
    fn reads_the_push_away_from_the_given_label() {
        let before = outputs(&[0.0; 6]);
        let after = outputs(&[1.0, 0.0, -1.0, -1.0, 0.0, 1.0]);
        // The centre is zero, so the changes are the logits after.
        let view = View::new(&before, &after, &[0, 0]);
        assert_eq!(Counterfactual.score(&view), vec![-1.0, 2.0]);
        let relative = CounterfactualRelative.score(&view);
        assert!((relative[0] + 1.5).abs() < 1e-6 && (relative[1] - 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_shift_of_all_samples_does_not_count() {
        let before = outputs(&[0.0; 6]);
        let after = outputs(&[6.0, 0.0, -1.0, 4.0, 0.0, 1.0]);
        let view = View::new(&before, &after, &[0, 0]);
        assert_eq!(Counterfactual.score(&view), vec![-1.0, 2.0]);
    }
}
