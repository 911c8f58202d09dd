//! Conformal p-values: how unusual a score is among scores of clean samples.
//!
//! With n null scores exchangeable with the score of a clean training sample, the rank of the latter
//! among all n + 1 is uniform, whatever the distribution, so that P(p ≤ u) ≤ u for every u
//! (Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005; as outlier tests:
//! Bates, Candès, Lei, Romano and Sesia, *Testing for outliers with conformal p-values*, Annals of
//! Statistics 51, 2023). The smallest possible p-value is 1 / (n + 1), which is why a small null cannot
//! name few suspects: see [`min_detectable`](crate::fdr::min_detectable).

use std::collections::BTreeMap;

use crate::StatsError;
use crate::check::{ascending, count_at_least, no_nan, same_length, some_scores};

/// One p-value per score: p_i = (1 + #{j : null_j ≥ score_i}) / (n + 1), in [1/(n+1), 1].
///
/// `null`: n ≥ 1 scores of clean samples, in any order. `scores`: N scores in the same unit, larger is
/// more suspicious. Ties count against the sample, which keeps the p-values valid. O((n + N) log n).
///
/// # Errors
///
/// [`StatsError::Empty`] if `null` is empty, [`StatsError::NotANumber`] for a NaN in either slice.
///
/// ```
/// let null = [0.1, 0.2, 0.3, 0.4];
/// let p = mirrorwatch_stats::conformal::p_values(&null, &[0.9, 0.35, 0.05])?;
/// assert_eq!(p, [0.2, 0.4, 1.0]);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn p_values(null: &[f32], scores: &[f32]) -> Result<Vec<f64>, StatsError> {
    some_scores("null", null)?;
    no_nan("scores", scores)?;
    let sorted = ascending(null);
    let mut p = Vec::with_capacity(scores.len());
    for &score in scores {
        p.push(p_value(&sorted, score));
    }
    Ok(p)
}

/// [`p_values`] with a null per class: a score is compared only with null samples of its given label.
///
/// `null_classes` and `classes` hold the given label of each null sample and of each score. This keeps
/// hard classes from being over-reported and easy ones from being overlooked ("Mondrian" conformal
/// prediction, Vovk et al. 2005, section 4.5).
///
/// A class with fewer than `minimum` null samples falls back to the **pooled** null of all classes, as
/// does one with none whatever the `minimum`. For such a class the guarantee holds on average over
/// classes only: if the class is harder than average, its clean samples get p-values that are too small.
///
/// # Errors
///
/// As [`p_values`], and [`StatsError::LengthMismatch`] if classes and scores differ in number.
///
/// ```
/// use mirrorwatch_stats::conformal::class_conditional_p_values;
///
/// // Class 1 is hard: all of its clean samples score high.
/// let (null, null_classes) = ([0.1, 0.2, 0.3, 5.0, 6.0, 7.0], [0, 0, 0, 1, 1, 1]);
/// let p = class_conditional_p_values(&null, &null_classes, &[4.0, 4.0], &[0, 1], 3)?;
/// assert_eq!(p, [0.25, 1.0]);
/// // Asked for four of its own, each class is compared with all six.
/// let pooled = class_conditional_p_values(&null, &null_classes, &[4.0, 4.0], &[0, 1], 4)?;
/// assert_eq!(pooled, [4.0 / 7.0, 4.0 / 7.0]);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn class_conditional_p_values(
    null: &[f32],
    null_classes: &[usize],
    scores: &[f32],
    classes: &[usize],
    minimum: usize,
) -> Result<Vec<f64>, StatsError> {
    some_scores("null", null)?;
    no_nan("scores", scores)?;
    same_length(("null", null.len()), ("null classes", null_classes.len()))?;
    same_length(("scores", scores.len()), ("classes", classes.len()))?;

    let pooled = ascending(null);
    let by_class = nulls_by_class(null, null_classes, minimum);
    let mut p = Vec::with_capacity(scores.len());
    for (&class, &score) in classes.iter().zip(scores) {
        p.push(p_value(by_class.get(&class).unwrap_or(&pooled), score));
    }
    Ok(p)
}

/// The null scores of each class that has at least `minimum`, and one, in increasing order.
pub(crate) fn nulls_by_class(
    null: &[f32],
    null_classes: &[usize],
    minimum: usize,
) -> BTreeMap<usize, Vec<f32>> {
    let mut by_class: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    for (&class, &score) in null_classes.iter().zip(null) {
        by_class.entry(class).or_default().push(score);
    }
    by_class.retain(|_, own| own.len() >= minimum);
    for own in by_class.values_mut() {
        own.sort_unstable_by(f32::total_cmp);
    }
    by_class
}

fn p_value(sorted_null: &[f32], score: f32) -> f64 {
    (1 + count_at_least(sorted_null, score)) as f64 / (1 + sorted_null.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ties_against_the_sample() {
        // By hand: (1 + #{null >= s}) / 5.
        let p = p_values(&[1.0, 2.0, 2.0, 4.0], &[5.0, 4.0, 2.0, 1.5, 0.0]).unwrap();
        assert_eq!(p, [0.2, 0.4, 0.8, 0.8, 1.0]);
    }

    #[test]
    fn infinities_have_a_rank() {
        let null = [f32::NEG_INFINITY, 0.0, f32::INFINITY];
        let p = p_values(&null, &[f32::INFINITY, f32::NEG_INFINITY]).unwrap();
        assert_eq!(p, [0.5, 1.0]);
        // Both zeros are one value.
        assert_eq!(p_values(&[0.0], &[-0.0]).unwrap(), [1.0]);
    }

    #[test]
    fn nan_and_an_empty_null_are_refused() {
        let nan = p_values(&[1.0, f32::NAN], &[1.0]).unwrap_err();
        assert_eq!(
            nan,
            StatsError::NotANumber {
                what: "null",
                index: 1
            }
        );
        let nan = p_values(&[1.0], &[0.0, 1.0, f32::NAN]).unwrap_err();
        assert_eq!(
            nan,
            StatsError::NotANumber {
                what: "scores",
                index: 2
            }
        );
        assert_eq!(
            p_values(&[], &[1.0]).unwrap_err(),
            StatsError::Empty { what: "null" }
        );
    }

    #[test]
    fn a_small_class_uses_the_pooled_null() {
        let null = [1.0, 2.0, 3.0, 10.0];
        let null_classes = [0, 0, 0, 1];
        // Class 0 alone: nobody above 5, p = 1/4. Class 1 (one null) and class 2 (none) are pooled:
        // one of four is at least 5, p = 2/5.
        let classes = [0, 1, 2];
        let scores = [5.0; 3];
        let p = class_conditional_p_values(&null, &null_classes, &scores, &classes, 2).unwrap();
        assert_eq!(p, [0.25, 0.4, 0.4]);
        // With a minimum of 0, class 1 has its own null; class 2 still has none.
        let p = class_conditional_p_values(&null, &null_classes, &scores, &classes, 0).unwrap();
        assert_eq!(p, [0.25, 1.0, 0.4]);
        let short = class_conditional_p_values(&null, &[0], &scores, &classes, 2);
        assert!(matches!(
            short,
            Err(StatsError::LengthMismatch { left: "null", .. })
        ));
    }

    /// Every way in which one of n + 1 exchangeable values can be the test sample, ties included:
    /// P(p <= k/(n+1)) <= k/(n+1), with equality where there are no ties.
    #[test]
    fn super_uniform_by_exact_enumeration() {
        for values in [
            vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            vec![1.0, 1.0, 2.0, 2.0, 2.0, 3.0],
            vec![0.0; 6],
        ] {
            let total = values.len();
            let mut p = Vec::new();
            for held_out in 0..total {
                let mut null: Vec<f32> = values.clone();
                let score = null.remove(held_out);
                p.push(p_values(&null, &[score]).unwrap()[0]);
            }
            for k in 1..=total {
                let bar = k as f64 / total as f64;
                let below = p.iter().filter(|&&p| p <= bar).count();
                assert!(below <= k, "{values:?}: {below} of {total} at most {bar}");
                if values[0] == 1.0 && values[1] == 2.0 {
                    assert_eq!(below, k);
                }
            }
        }
    }
}
