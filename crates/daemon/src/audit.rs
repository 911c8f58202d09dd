//! The audit log of reviews: who said what of a sample's label, when, and on what evidence.
//!
//! It is `reviews.jsonl` beside a run's results, one review a line, and only ever grows: each line carries the SHA-256 of
//! the line before it, so that a line that was changed or taken out is found ([`log`]). Commands and a running sidecar
//! write it side by side.
//!
//! Reviews change what is exported, never what is counted: the null distribution is calibrated on samples that were
//! drawn at random, and samples that were looked at because they are suspicious are none.

pub(crate) mod desk;
pub mod log;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::results::Suspect;
use crate::store::RunState;
use crate::summary::Summary;

/// Version of [`Review`] as a line of the log.
pub const REVIEW_SCHEMA: u32 = 1;

/// Characters in a name at most.
pub const MOST_WHO: usize = 100;
/// Characters in a note at most.
pub const MOST_NOTE: usize = 2000;

/// What a reviewer says of a given label.
///
/// ```
/// use mirrorwatch_daemon::audit::Verdict;
///
/// assert_eq!(serde_json::to_string(&Verdict::Relabelled)?, r#""relabelled""#);
/// assert!(!Verdict::IN_FORCE.contains(&Verdict::Withdrawn));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is wrong.
    Confirmed,
    /// It is right.
    Cleared,
    /// It is wrong, and the review has the right one.
    Relabelled,
    /// What was said before no longer counts.
    Withdrawn,
}

impl Verdict {
    /// Those that say something of the label, in the order of tables.
    pub const IN_FORCE: [Self; 3] = [Self::Confirmed, Self::Cleared, Self::Relabelled];

    /// The name in the log, in labels and on the page.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_daemon::audit::Verdict::Confirmed.name(), "confirmed");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Cleared => "cleared",
            Self::Relabelled => "relabelled",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// One review: a line of the log.
///
/// ```
/// # use mirrorwatch_daemon::audit::{Review, Seen, Verdict, in_force, latest, log};
/// # let review = |index: usize, verdict: Verdict| Review {
/// #     schema: 0, sequence: 0, time: 0.0, run: "mnist".into(), index, id: index.to_string(), given: 3, verdict,
/// #     label: None, who: "ada".into(), by: "command".into(), note: None, evidence: Seen::default(),
/// #     previous: String::new(),
/// # };
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("reviews.jsonl");
/// let written = log::append(&path, vec![review(7, Verdict::Confirmed), review(9, Verdict::Cleared)])?;
/// // The log adds the number, the time and the link to the line before.
/// assert_eq!((written[1].sequence, written[0].previous.len(), written[1].previous.len()), (2, 0, 64));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// [`REVIEW_SCHEMA`] when it was written.
    pub schema: u32,
    /// Its number in the log, from 1.
    pub sequence: u64,
    /// When it was written, in Unix seconds.
    pub time: f64,
    /// The run.
    pub run: String,
    /// The sample's position in the training set, from 0.
    pub index: usize,
    /// The sample's name, from the task.
    pub id: String,
    /// The label it was given.
    pub given: usize,
    /// What was said of that label.
    pub verdict: Verdict,
    /// The right label, if `relabelled`.
    pub label: Option<usize>,
    /// Who said it.
    pub who: String,
    /// With what: `command`, `page`, or the name of another tool.
    pub by: String,
    /// Why, if that was said.
    pub note: Option<String>,
    /// What the evidence said at that time.
    pub evidence: Seen,
    /// SHA-256 of the bytes of the line before, in hexadecimal; empty in the first one.
    pub previous: String,
}

/// What the evidence said of a sample when it was reviewed.
///
/// ```
#[doc = include_str!("example_summary.txt")]
/// use mirrorwatch_daemon::{audit::Seen, results::Suspect};
///
/// let suspect = Suspect { index: 7, suggested: 5, p_value: 1e-3, ..Suspect::default() };
/// let seen = Seen::of_suspect(&suspect, &summary, "");
/// assert_eq!((seen.epoch, seen.step, seen.suggested, seen.p_value), (3, 471, 5, 1e-3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Epoch of the last scanned checkpoint.
    pub epoch: u64,
    /// Optimizer step of that.
    pub step: u64,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// Accumulated score; larger = more suspicious.
    pub score: f32,
    /// Conformal p-value; 1 for trusted samples and canaries.
    pub p_value: f64,
    /// Estimated chance that the label is wrong.
    pub wrong_probability: f32,
    /// The label that most of the evidence speaks for.
    pub suggested: usize,
    /// Whether it was a suspect.
    pub suspect: bool,
    /// Of labels, data and settings: what the evidence is kept under.
    pub fingerprint: String,
}

impl Seen {
    /// What the evidence in `state` says of the sample at `index`; none before the first scan.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// use mirrorwatch_daemon::{audit::Seen, store::RunState};
    ///
    /// let found = account(&evidence, &labels, levels)?;
    /// // Nothing is scanned yet.
    /// let state = RunState::new("", &[estimator], 200, 500);
    /// assert_eq!(Seen::new(&state, &found, 195), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(state: &RunState, account: &Account, index: usize) -> Option<Self> {
        let (summary, channel) = (state.last.as_ref()?, state.evidence.channels.first()?);
        Some(Self {
            epoch: summary.epoch,
            step: summary.step,
            weights_sha256: summary.weights_sha256.clone(),
            score: *channel.train.get(index)?,
            p_value: *account.p_values.get(index)?,
            wrong_probability: *account.wrong_probability.get(index)?,
            suggested: *channel.suggested.get(index)? as usize,
            suspect: *account.flags.get(index)?,
            fingerprint: state.fingerprint.clone(),
        })
    }

    /// The same of a suspect of the last scan.
    ///
    /// ```
    #[doc = include_str!("example_summary.txt")]
    /// use mirrorwatch_daemon::{audit::Seen, results::Suspect};
    ///
    /// assert!(Seen::of_suspect(&Suspect::default(), &summary, "").suspect);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_suspect(suspect: &Suspect, summary: &Summary, fingerprint: &str) -> Self {
        Self {
            epoch: summary.epoch,
            step: summary.step,
            weights_sha256: summary.weights_sha256.clone(),
            score: suspect.score,
            p_value: suspect.p_value,
            wrong_probability: suspect.wrong_probability,
            suggested: suspect.suggested as usize,
            suspect: true,
            fingerprint: fingerprint.to_string(),
        }
    }
}

/// The review of each sample that counts: its latest one, unless that withdrew what was said.
///
/// ```
/// # use mirrorwatch_daemon::audit::{Review, Seen, Verdict, in_force, latest, log};
/// # let review = |index: usize, verdict: Verdict| Review {
/// #     schema: 0, sequence: 0, time: 0.0, run: "mnist".into(), index, id: index.to_string(), given: 3, verdict,
/// #     label: None, who: "ada".into(), by: "command".into(), note: None, evidence: Seen::default(),
/// #     previous: String::new(),
/// # };
/// let said = [
///     review(7, Verdict::Confirmed),
///     review(7, Verdict::Cleared),
///     review(9, Verdict::Confirmed),
///     review(9, Verdict::Withdrawn),
/// ];
/// let counts = latest(&said);
/// assert_eq!((counts.len(), counts[&7].verdict), (1, Verdict::Cleared));
/// ```
pub fn latest(reviews: &[Review]) -> BTreeMap<usize, Review> {
    let mut latest = BTreeMap::new();
    for review in reviews {
        if review.verdict == Verdict::Withdrawn {
            latest.remove(&review.index);
        } else {
            latest.insert(review.index, review.clone());
        }
    }
    latest
}

/// The [`latest`] reviews, without those of samples that are another one by now or have another given label: what was
/// said of a label is not said of its successor.
///
/// ```
/// # use mirrorwatch_daemon::audit::{Review, Seen, Verdict, in_force, latest, log};
/// # let review = |index: usize, verdict: Verdict| Review {
/// #     schema: 0, sequence: 0, time: 0.0, run: "mnist".into(), index, id: index.to_string(), given: 3, verdict,
/// #     label: None, who: "ada".into(), by: "command".into(), note: None, evidence: Seen::default(),
/// #     previous: String::new(),
/// # };
/// let said = [review(7, Verdict::Confirmed), review(9, Verdict::Confirmed)];
/// // Sample 9 has another label by now.
/// let known = |index: usize| Some((if index == 9 { 4 } else { 3 }, index.to_string()));
/// let counts = in_force(&said, known);
/// assert!(counts.contains_key(&7) && !counts.contains_key(&9));
/// ```
pub fn in_force(
    reviews: &[Review],
    known: impl Fn(usize) -> Option<(usize, String)>,
) -> BTreeMap<usize, Review> {
    let mut latest = latest(reviews);
    latest.retain(|&index, review| {
        known(index).is_some_and(|(given, id)| given == review.given && id == review.id)
    });
    latest
}

/// The log of a run, by the directory of the run's results.
///
/// ```
/// use mirrorwatch_daemon::audit;
///
/// assert!(audit::path("state/runs/mnist".as_ref()).ends_with("mnist/reviews.jsonl"));
/// ```
pub fn path(directory: &Path) -> PathBuf {
    directory.join("reviews.jsonl")
}

/// Checks a name of a person or tool: text of one line, not too long.
///
/// # Errors
///
/// In words, what is wrong with it.
///
/// ```
/// use mirrorwatch_daemon::audit::check_name;
///
/// assert_eq!(check_name("who", "Ada Lovelace"), Ok(()));
/// assert!(check_name("who", "").is_err() && check_name("who", "two\nlines").is_err());
/// ```
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    check_text(what, name, MOST_WHO)?;
    match name.is_empty() || name.chars().any(char::is_control) {
        true => Err(format!(
            "`{what}` is empty or has control characters; give a name of one line"
        )),
        false => Ok(()),
    }
}

/// Checks a note.
///
/// # Errors
///
/// In words, what is wrong with it.
///
/// ```
/// use mirrorwatch_daemon::audit::{MOST_NOTE, check_note};
///
/// assert_eq!(check_note("a cat,\nnot a dog"), Ok(()));
/// assert!(check_note(&"x".repeat(MOST_NOTE + 1)).is_err());
/// ```
pub fn check_note(note: &str) -> Result<(), String> {
    check_text("note", note, MOST_NOTE)
}

fn check_text(what: &str, text: &str, most: usize) -> Result<(), String> {
    match text.chars().count() {
        count if count > most => Err(format!(
            "`{what}` has {count} characters; give at most {most}"
        )),
        _ => Ok(()),
    }
}

/// A review for tests.
#[cfg(test)]
pub(crate) fn example(index: usize, verdict: Verdict) -> Review {
    Review {
        schema: REVIEW_SCHEMA,
        sequence: 0,
        time: 0.0,
        run: "r".to_string(),
        index,
        id: format!("s{index}"),
        given: 1,
        verdict,
        label: (verdict == Verdict::Relabelled).then_some(2),
        who: "ada".to_string(),
        by: "command".to_string(),
        note: None,
        evidence: Seen::default(),
        previous: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_review_counts_unless_it_is_withdrawn() {
        let reviews = [
            example(1, Verdict::Confirmed),
            example(2, Verdict::Cleared),
            example(1, Verdict::Relabelled),
            example(2, Verdict::Withdrawn),
            example(3, Verdict::Withdrawn),
            example(4, Verdict::Confirmed),
        ];
        let latest = latest(&reviews);
        let verdicts: Vec<_> = latest.iter().map(|(i, r)| (*i, r.verdict)).collect();
        assert_eq!(
            verdicts,
            [(1, Verdict::Relabelled), (4, Verdict::Confirmed)]
        );
    }

    #[test]
    fn a_label_that_was_given_since_is_not_reviewed() {
        let reviews = [1, 2, 3, 4].map(|index| example(index, Verdict::Confirmed));
        let known = |index: usize| match index {
            1 => Some((1, "s1".to_string())),
            2 => Some((0, "s2".to_string())),
            3 => Some((1, "another".to_string())),
            _ => None,
        };
        let in_force = in_force(&reviews, known);
        assert_eq!(in_force.into_keys().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn names_are_one_line_and_not_endless() {
        assert_eq!(check_name("who", "Ada Lovelace, 3rd floor"), Ok(()));
        assert_eq!(check_name("who", &"é".repeat(MOST_WHO)), Ok(()));
        for bad in ["", "a\nb", "\u{1b}[2J", &"é".repeat(MOST_WHO + 1)] {
            assert!(check_name("who", bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_note("two\nlines"), Ok(()));
        assert!(check_note(&"x".repeat(MOST_NOTE + 1)).is_err());
    }
}
