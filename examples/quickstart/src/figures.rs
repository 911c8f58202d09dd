//! How good the findings are, where it is known what is wrong.

use mirrorwatch_stats::ranking::{auroc, average_precision};
use serde::Serialize;
use thiserror::Error;

/// The lists do not speak of the same samples.
#[derive(Debug, Error)]
#[error(
    "the truth covers {wrong} samples, the flags {flags} and the scores {scores}: compare lists of the same training set"
)]
pub struct LengthsDiffer {
    /// Length of the truth.
    pub wrong: usize,
    /// Length of the flags.
    pub flags: usize,
    /// Length of the scores.
    pub scores: usize,
}

/// Counts and rates over all samples but the trusted ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Samples that count here.
    pub samples: usize,
    /// Of them, those with a wrong label.
    pub wrong: usize,
    /// Suspects, right or not.
    pub suspects: usize,
    /// Suspects whose label really is wrong.
    pub found: usize,
    /// Share of suspects whose label is right after all; 0 without suspects.
    pub false_discovery_proportion: f64,
    /// Share of wrong labels that are among the suspects; none where nothing is wrong.
    pub recall: Option<f64>,
    /// Chance that a wrong label scores above a right one; none where all are right or all wrong.
    pub auroc: Option<f64>,
    /// Precision averaged over the ranking by score; none where nothing is wrong.
    pub average_precision: Option<f64>,
}

impl Figures {
    /// Compares what was flagged, and how everything was scored, with what is wrong.
    ///
    /// `trusted` names the samples to leave out: their labels were known to be right beforehand, and
    /// finding nothing wrong with them is no merit.
    pub fn new(
        wrong: &[bool],
        flags: &[bool],
        scores: &[f32],
        trusted: &[usize],
    ) -> Result<Figures, LengthsDiffer> {
        if wrong.len() != flags.len() || wrong.len() != scores.len() {
            return Err(LengthsDiffer {
                wrong: wrong.len(),
                flags: flags.len(),
                scores: scores.len(),
            });
        }
        let mut counts = vec![true; wrong.len()];
        for sample in trusted {
            if let Some(counted) = counts.get_mut(*sample) {
                *counted = false;
            }
        }
        let (mut kept_wrong, mut kept_scores) = (Vec::new(), Vec::new());
        let (mut suspects, mut found) = (0, 0);
        for sample in (0..wrong.len()).filter(|sample| counts[*sample]) {
            kept_wrong.push(wrong[sample]);
            kept_scores.push(scores[sample]);
            suspects += usize::from(flags[sample]);
            found += usize::from(flags[sample] && wrong[sample]);
        }
        let all_wrong = kept_wrong.iter().filter(|wrong| **wrong).count();
        Ok(Figures {
            samples: kept_wrong.len(),
            wrong: all_wrong,
            suspects,
            found,
            false_discovery_proportion: share(suspects - found, suspects).unwrap_or(0.0),
            recall: share(found, all_wrong),
            auroc: auroc(&kept_scores, &kept_wrong),
            average_precision: average_precision(&kept_scores, &kept_wrong),
        })
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_case_by_hand() {
        let wrong = [true, false, true, false, true];
        let flags = [true, true, false, false, true];
        let scores = [4.0, 3.0, 2.0, 1.0, 9.0];
        let figures = Figures::new(&wrong, &flags, &scores, &[4]).unwrap();
        assert_eq!(figures.samples, 4);
        assert_eq!(figures.wrong, 2);
        assert_eq!((figures.suspects, figures.found), (2, 1));
        assert_eq!(figures.false_discovery_proportion, 0.5);
        assert_eq!(figures.recall, Some(0.5));
        assert_eq!(figures.auroc, Some(0.75));
        assert_eq!(figures.average_precision, Some((1.0 + 2.0 / 3.0) / 2.0));
    }

    #[test]
    fn nothing_wrong_and_nothing_found() {
        let figures = Figures::new(&[false; 3], &[false; 3], &[0.0; 3], &[]).unwrap();
        assert_eq!(figures.false_discovery_proportion, 0.0);
        assert_eq!(figures.recall, None);
        assert_eq!(figures.auroc, None);
        let text = serde_json::to_string(&figures).unwrap();
        assert!(text.contains(r#""recall":null"#), "{text}");
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        let error = Figures::new(&[true; 3], &[true; 2], &[0.0; 3], &[]).unwrap_err();
        let start = "the truth covers 3 samples, the flags 2 and the scores 3:";
        assert!(error.to_string().starts_with(start));
    }

    proptest! {
        #[test]
        fn trusted_samples_change_nothing(
            rows in prop::collection::vec((any::<bool>(), any::<bool>(), 0.0..1.0_f32, any::<bool>()), 0..40),
        ) {
            let column = |keep: &dyn Fn(bool) -> bool| {
                let rows = rows.iter().filter(|row| keep(row.3));
                let (mut wrong, mut flags, mut scores) = (vec![], vec![], vec![]);
                for row in rows {
                    wrong.push(row.0);
                    flags.push(row.1);
                    scores.push(row.2);
                }
                (wrong, flags, scores)
            };
            let trusted: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].3).collect();
            let (wrong, flags, scores) = column(&|_| true);
            let whole = Figures::new(&wrong, &flags, &scores, &trusted).unwrap();
            let (wrong, flags, scores) = column(&|trusted| !trusted);
            let without = Figures::new(&wrong, &flags, &scores, &[]).unwrap();
            prop_assert_eq!(&whole, &without);
            prop_assert!(whole.found <= whole.wrong.min(whole.suspects));
        }
    }
}
