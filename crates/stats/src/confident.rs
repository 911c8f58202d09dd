//! How many labels of a set are wrong, as far as a model that has not seen them can tell without being
//! told: the probe's own label noise.
//!
//! Where a model is surest of itself it is hardly ever wrong about what it sees, so that the labels that
//! contradict it there are wrong themselves (the idea of confident learning: Northcutt, Jiang and Chuang,
//! JAIR 70, 2021). A wrong label does not care how sure the model is, a mistake of the model does: label
//! noise is the share of contradictions that is left however sure the model has to be.
//!
//! What the model itself expects to get wrong is no label's fault: a model that knows little contradicts many
//! labels, and says so in its probabilities. A model that thinks too much of itself says it too softly, and is
//! corrected first, by a temperature (Guo, Pleiss, Sun and Weinberger, ICML 2017) that makes it as sure of the
//! half that it is least sure of as it is right there. Wrong labels in that half make it doubt itself more than
//! it should: on the safe side.

use crate::StatsError;
use crate::check::{no_nan, same_length};

/// The shares of the samples, surest first, in which contradictions are counted.
const SURE: [usize; 3] = [2, 4, 8];
/// Fewer samples than this say too little.
const LEAST: usize = 40;
/// 1 − confidence of each share's bound.
const LEVEL: f64 = 0.05;
/// The highest temperature: logits divided by it are as good as equal.
const HOTTEST: f64 = 1e3;

/// A lower bound on the share of wrong `labels` among samples, of which a model that has not learnt from them
/// has `logits`, `classes` per sample.
///
/// Of the surest half, quarter and eighth (where these have at least 40 samples) the smallest lower bound
/// (Clopper and Pearson, 95 % each) on the share of contradictions, less those that the model expects itself;
/// 0 with fewer samples than that, or without classes.
///
/// # Errors
///
/// [`StatsError::LengthMismatch`], or [`StatsError::NotANumber`] for a logit.
///
/// ```
/// let (mut logits, mut labels) = (Vec::new(), Vec::new());
/// for i in 0..400 {
///     // Of the first half the model is sure, and one label in ten is not what it says; of the second it is not.
///     let sure = i < 200;
///     logits.extend([if sure { 6.0_f32 } else { 0.7 }, 0.0, 0.0]);
///     labels.push(usize::from(i % if sure { 10 } else { 2 } == 0));
/// }
/// let bound = mirrorwatch_stats::confident::wrong_labels(&logits, &labels, 3)?;
/// assert!(bound > 0.03 && bound < 0.1);
/// // A model that is no surer than it is right blames no label.
/// let unsure: Vec<f32> = logits.iter().map(|z| z * 0.3).collect();
/// assert_eq!(mirrorwatch_stats::confident::wrong_labels(&unsure, &labels, 3)?, 0.0);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn wrong_labels(logits: &[f32], labels: &[usize], classes: usize) -> Result<f64, StatsError> {
    same_length(
        ("logits", logits.len()),
        ("classes of all labels", labels.len() * classes),
    )?;
    no_nan("logits", logits)?;
    if classes == 0 {
        return Ok(0.0);
    }
    let mut samples: Vec<Sample<'_>> = logits
        .chunks(classes)
        .zip(labels)
        .map(|(row, &label)| Sample {
            row,
            right: arg_max(row) == label,
            doubt: doubt(row, 1.0),
        })
        .collect();
    samples.sort_by(|a, b| a.doubt.total_cmp(&b.doubt));
    let temperature = temperature(&samples[samples.len() / 2..]);
    let mut smallest: Option<f64> = None;
    for part in SURE {
        let surest = &samples[..samples.len() / part];
        if surest.len() < LEAST {
            break;
        }
        let contradicted = surest.iter().filter(|s| !s.right).count();
        let bound = crate::binomial::lower_bound(surest.len(), contradicted, LEVEL)?;
        let expected = mean_doubt(surest, temperature);
        // A right label is contradicted as often as expected, a wrong one always, or nearly.
        let wrong = ((bound - expected) / (1.0 - expected)).max(0.0);
        smallest = Some(smallest.map_or(wrong, |s| s.min(wrong)));
    }
    Ok(smallest.unwrap_or(0.0))
}

/// What the model says of a sample.
struct Sample<'a> {
    row: &'a [f32],
    /// Whether that is its label.
    right: bool,
    /// The chance of being wrong that the model gives itself.
    doubt: f64,
}

/// The temperature, 1 at least, at which a model is as sure of these samples as it is right.
fn temperature(samples: &[Sample<'_>]) -> f64 {
    let wrong = samples.iter().filter(|s| !s.right).count() as f64;
    let share = wrong / samples.len().max(1) as f64;
    let (mut low, mut high) = (1.0, HOTTEST);
    if mean_doubt(samples, low) >= share {
        return low;
    }
    // Doubt grows with the temperature.
    for _ in 0..60 {
        let middle = f64::sqrt(low * high);
        if mean_doubt(samples, middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

fn mean_doubt(samples: &[Sample<'_>], temperature: f64) -> f64 {
    let sum: f64 = samples.iter().map(|s| doubt(s.row, temperature)).sum();
    sum / samples.len().max(1) as f64
}

/// 1 − the largest probability, exact where it is tiny.
fn doubt(row: &[f32], temperature: f64) -> f64 {
    let best = arg_max(row);
    let mut others = 0.0;
    for (class, &z) in row.iter().enumerate() {
        if class != best {
            others += (f64::from(z - row[best]) / temperature).exp();
        }
    }
    others / (1.0 + others)
}

fn arg_max(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, &z) in row.iter().enumerate() {
        if z > row[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `sure` samples with such a logit for class 0, then `unsure` ones that are told at `3 / 4`; every
    /// `wrong`th label is turned over.
    fn set(sure: usize, unsure: usize, logit: f32, wrong: usize) -> (Vec<f32>, Vec<usize>) {
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for i in 0..sure + unsure {
            let (height, right) = if i < sure {
                (logit, true)
            } else {
                // ln 3: a chance of 3 / 4.
                (1.0986, i % 4 != 0)
            };
            logits.extend([height, 0.0]);
            let flipped = wrong > 0 && (i / 4) % wrong == 0;
            labels.push(usize::from(right == flipped));
        }
        (logits, labels)
    }

    fn bound((logits, labels): (Vec<f32>, Vec<usize>)) -> f64 {
        wrong_labels(&logits, &labels, 2).unwrap()
    }

    #[test]
    fn doubt_and_temperature_by_hand() {
        assert!((doubt(&[1.0986, 0.0], 1.0) - 0.25).abs() < 1e-5);
        assert!((doubt(&[0.0, 2.1972, 0.0], 2.0) - 0.4).abs() < 1e-4);
        assert!(doubt(&[40.0, 0.0], 1.0) > 0.0);
        // Told at 9 / 10 and right at 3 / 4: ln 9 / ln 3 = 2.
        let rows = [2.1972_f32, 0.0];
        let samples: Vec<_> = (0..8)
            .map(|i| Sample {
                row: &rows,
                right: i % 4 != 0,
                doubt: 0.1,
            })
            .collect();
        assert!((temperature(&samples) - 2.0).abs() < 1e-3);
        // Right more often than it thinks: left as it is.
        assert_eq!(temperature(&samples[1..4]), 1.0);
    }

    #[test]
    fn wrong_labels_are_seen_where_the_model_is_sure() {
        assert_eq!(bound(set(300, 300, 8.0, 0)), 0.0);
        let noisy = bound(set(300, 300, 8.0, 10));
        assert!(noisy > 0.04 && noisy < 0.1, "{noisy}");
    }

    #[test]
    fn a_model_that_knows_little_and_says_so_blames_nobody() {
        // Right on three of four, everywhere alike.
        assert_eq!(bound(set(0, 600, 0.0, 0)), 0.0);
    }

    #[test]
    fn a_model_that_thinks_too_much_of_itself_is_not_believed() {
        let (logits, labels) = set(0, 600, 0.0, 0);
        let proud: Vec<f32> = logits.iter().map(|z| 5.0 * z).collect();
        // It gives itself 1 in 244, and is wrong on 1 in 4.
        assert_eq!(wrong_labels(&proud, &labels, 2).unwrap(), 0.0);
    }

    #[test]
    fn too_few_samples_and_no_classes_say_nothing() {
        assert_eq!(bound(set(40, 39, 8.0, 2)), 0.0);
        assert_eq!(wrong_labels(&[], &[1, 2, 3], 0).unwrap(), 0.0);
        assert!(wrong_labels(&[1.0], &[0], 2).is_err());
        assert!(wrong_labels(&[1.0, f32::NAN], &[0], 2).is_err());
    }

    proptest! {
        /// A model whose probabilities are true, whatever they are, blames clean labels with the chance it
        /// may: in this many draws, never by much.
        #[test]
        fn calibrated_models_blame_nobody(
            heights in prop::collection::vec(0.0_f32..6.0, 400),
            draws in prop::collection::vec(0.0_f64..1.0, 400),
        ) {
            let (mut logits, mut labels) = (Vec::new(), Vec::new());
            for (height, draw) in heights.iter().zip(&draws) {
                logits.extend([*height, 0.0]);
                labels.push(usize::from(*draw < doubt(&[*height, 0.0], 1.0)));
            }
            prop_assert!(wrong_labels(&logits, &labels, 2).unwrap() < 0.02);
        }
    }
}
