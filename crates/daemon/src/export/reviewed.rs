//! What reviews change in an export.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Export, Relabel};
use crate::audit::{Review, Verdict};

/// A review that the export follows.
///
/// ```
/// use mirrorwatch_daemon::audit::Verdict;
/// use mirrorwatch_daemon::export::Reviewed;
///
/// let line = r#"{"index": 7, "id": "7", "verdict": "relabelled", "label": 5, "who": "ada", "time": 0.0, "sequence": 1}"#;
/// let review: Reviewed = serde_json::from_str(line)?;
/// assert_eq!((review.verdict, review.label), (Verdict::Relabelled, Some(5)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reviewed {
    /// The sample's position in the training set, from 0.
    pub index: usize,
    /// Its name, from the task.
    pub id: String,
    /// What was said of its given label.
    pub verdict: Verdict,
    /// The right label, if `relabelled`.
    pub label: Option<usize>,
    /// Who said it.
    pub who: String,
    /// When, in Unix seconds.
    pub time: f64,
    /// The number of the review in the log.
    pub sequence: u64,
}

/// Lets `reviews` overrule the evidence, in the export and in the chance that each label is wrong.
///
/// # Arguments
///
/// * `suggested` - the label of a sample that most of the evidence speaks for.
pub(super) fn apply(
    export: &mut Export,
    wrong_probability: &mut [f32],
    reviews: BTreeMap<usize, Review>,
    suggested: impl Fn(usize) -> usize,
) {
    for (index, review) in reviews {
        let is_canary = export.canaries.iter().any(|canary| canary.index == index);
        // What was made wrong on purpose is wrong, whoever is taken in by it.
        let wrong = review.verdict != Verdict::Cleared || is_canary;
        wrong_probability[index] = f32::from(u8::from(wrong));
        match review.verdict {
            Verdict::Withdrawn => continue,
            Verdict::Cleared => export.suspects.retain(|suspect| suspect.index != index),
            // As a canary it is left out and has its label already.
            Verdict::Confirmed if is_canary => {}
            Verdict::Confirmed | Verdict::Relabelled => {
                export.canaries.retain(|canary| canary.index != index);
                let known = export.suspects.iter_mut().find(|s| s.index == index);
                match known {
                    Some(suspect) => {
                        suspect.wrong_probability = 1.0;
                        suspect.suggested = review.label.unwrap_or(suspect.suggested);
                    }
                    None => export.suspects.push(Relabel {
                        index,
                        id: review.id.clone(),
                        given: review.given,
                        suggested: review.label.unwrap_or_else(|| suggested(index)),
                        wrong_probability: 1.0,
                    }),
                }
            }
        }
        export.reviews.push(Reviewed {
            index,
            id: review.id,
            verdict: review.verdict,
            label: review.label,
            who: review.who,
            time: review.time,
            sequence: review.sequence,
        });
    }
}

impl Export {
    /// How many of its reviews say so.
    ///
    /// ```
    /// # use mirrorwatch_daemon::{audit::Verdict, export::Export};
    /// let export: Export = serde_json::from_str(r#"{"schema": 1, "run": "mnist", "epoch": 3, "step": 471,
    ///     "fingerprint": "", "samples": 9, "fdr": 0.1, "suspects": [], "reviews": [{"index": 7, "id": "7",
    ///     "verdict": "cleared", "label": null, "who": "ada", "time": 0.0, "sequence": 1}]}"#)?;
    /// assert_eq!((export.reviewed(Verdict::Cleared), export.reviewed(Verdict::Confirmed)), (1, 0));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn reviewed(&self, verdict: Verdict) -> usize {
        let reviews = self.reviews.iter();
        reviews.filter(|review| review.verdict == verdict).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::EXPORT_SCHEMA;
    use super::*;
    use crate::audit::example;

    fn relabel(index: usize, suggested: usize, wrong_probability: f32) -> Relabel {
        Relabel {
            index,
            id: format!("s{index}"),
            given: 1,
            suggested,
            wrong_probability,
        }
    }

    #[test]
    fn what_people_say_overrules_the_evidence() {
        let mut export = Export {
            schema: EXPORT_SCHEMA,
            run: "r".to_string(),
            epoch: 3,
            step: 30,
            fingerprint: String::new(),
            samples: 9,
            fdr: 0.1,
            refusal: None,
            suspects: [3, 0, 1, 2].map(|index| relabel(index, 0, 0.75)).to_vec(),
            canaries: vec![relabel(7, 0, 1.0), relabel(8, 0, 1.0)],
            reviews: vec![],
        };
        let mut wrong = [0.75, 0.75, 0.75, 0.75, 0.25, 0.25, 0.25, 1.0, 1.0];
        let reviews = [
            example(0, Verdict::Confirmed),
            example(1, Verdict::Cleared),
            example(3, Verdict::Relabelled),
            example(4, Verdict::Confirmed),
            example(5, Verdict::Relabelled),
            example(6, Verdict::Cleared),
            example(7, Verdict::Cleared),
            example(8, Verdict::Relabelled),
        ];
        let reviews = reviews.into_iter().map(|review| (review.index, review));
        apply(&mut export, &mut wrong, reviews.collect(), |_| 5);
        assert_eq!(
            export.suspects,
            [
                relabel(3, 2, 1.0),
                relabel(0, 0, 1.0),
                relabel(2, 0, 0.75),
                relabel(4, 5, 1.0),
                relabel(5, 2, 1.0),
                relabel(8, 2, 1.0),
            ]
        );
        assert_eq!(export.canaries, [relabel(7, 0, 1.0)]);
        assert_eq!(export.kept(), [1, 6]);
        assert_eq!(wrong, [1.0, 0.0, 0.75, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        assert_eq!(
            Verdict::IN_FORCE.map(|verdict| export.reviewed(verdict)),
            [2, 3, 3]
        );
    }
}
