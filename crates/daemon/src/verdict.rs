//! Verdicts of stage two: confirmed, cleared or undecided.

use mirrorwatch_influence::exact::{Confirmation, StageTwo};
use mirrorwatch_stats::conformal::p_values;
use mirrorwatch_stats::ranking::fuse;
use serde::{Deserialize, Serialize};

/// What comes of the second look at a suspect.
///
/// ```
/// use mirrorwatch_daemon::verdict::Verdict;
///
/// assert_eq!(serde_json::to_string(&Verdict::Undecided)?, r#""undecided""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Exact gradients speak against the label, too.
    Confirmed,
    /// To exact gradients it looks like a clean sample, and to the first stage like a hard one.
    Cleared,
    /// Neither, or the stages disagree.
    Undecided,
}

impl Verdict {
    /// Its name in files and on pages.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_daemon::verdict::Verdict::Cleared.name(), "cleared");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Confirmed => "confirmed",
            Verdict::Cleared => "cleared",
            Verdict::Undecided => "undecided",
        }
    }
}

/// p-value up to which a suspect is confirmed.
const CONFIRMED: f64 = 0.05;
/// p-value from which it is cleared, if the first stage has its doubts, too.
const CLEARED: f64 = 0.5;
/// Chance of being wrong below which the first stage has its doubts: more likely hard than wrong.
///
/// Support alone clears the wrong ones: of 432 suspects on CIFAR-10 features with 5 % noise, 428 of them wrong, 11 were
/// as well supported as the better half of clean samples, and all of them were wrong.
const DOUBTFUL: f32 = 0.5;

/// The verdict on a suspect, and the figure behind it.
///
/// ```
/// # use mirrorwatch_daemon::verdict::{Verdict, score, verdicts};
/// # use mirrorwatch_influence::exact::{Confirmation, StageTwo};
/// let of = |support: f64| StageTwo { support, ..StageTwo::default() };
/// let null = (0..99).map(|i| of(0.5 + f64::from(i) / 200.0)).collect();
/// let confirmation = Confirmation { suspects: vec![of(-0.9), of(0.99)], null, checkpoints: 1 };
/// let found = verdicts(&confirmation, (&[3.0, 2.0], &[0.9, 0.2]));
/// assert_eq!(found.suspects[0].verdict, Verdict::Confirmed);
/// assert_eq!(found.suspects[0].p_value, Some(0.01));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The verdict.
    pub verdict: Verdict,
    /// Chance that a clean sample would look at least as bad; none without null samples.
    pub p_value: Option<f64>,
}

/// The verdicts on all suspects.
///
/// ```
/// # use mirrorwatch_daemon::verdict::{Verdict, score, verdicts};
/// # use mirrorwatch_influence::exact::{Confirmation, StageTwo};
/// let of = |support: f64| StageTwo { support, ..StageTwo::default() };
/// let null = (0..99).map(|i| of(0.5 + f64::from(i) / 200.0)).collect();
/// let confirmation = Confirmation { suspects: vec![of(-0.9), of(0.99)], null, checkpoints: 1 };
/// let found = verdicts(&confirmation, (&[3.0, 2.0], &[0.9, 0.2]));
/// assert_eq!(found.scores, [0.9, -0.99]);
/// assert!(found.fused[0] > found.fused[1] && found.suspects.len() == 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Verdicts {
    /// In the order of the suspects.
    pub suspects: Vec<Found>,
    /// Their scores by stage two; larger = worse.
    pub scores: Vec<f32>,
    /// Both stages fused: the mean of their normal scores; larger = worse.
    pub fused: Vec<f32>,
}

/// What stage two judges by, larger = worse: how little clean samples support the label.
///
/// Within suspects, where stage one has used up what the mean of the probe says (TracIn, influence functions:
/// AUROC .6 to .8 between right and wrong ones), the nearest few probe samples still say something new (.85).
///
/// ```
/// use mirrorwatch_influence::exact::StageTwo;
///
/// let supported = StageTwo { support: 0.75, ..StageTwo::default() };
/// assert_eq!(mirrorwatch_daemon::verdict::score(&supported), -0.75);
/// ```
pub fn score(found: &StageTwo) -> f32 {
    -found.support as f32
}

/// Verdicts by where a suspect's score lies among those of null samples. Of the first stage it takes the suspects' scores
/// and their chances of being wrong.
///
/// ```
/// # use mirrorwatch_daemon::verdict::{Verdict, score, verdicts};
/// # use mirrorwatch_influence::exact::{Confirmation, StageTwo};
/// let of = |support: f64| StageTwo { support, ..StageTwo::default() };
/// let null = (0..99).map(|i| of(0.5 + f64::from(i) / 200.0)).collect();
/// let confirmation = Confirmation { suspects: vec![of(-0.9), of(0.99)], null, checkpoints: 1 };
/// let found = verdicts(&confirmation, (&[3.0, 2.0], &[0.9, 0.2]));
/// // No clean sample has as little support as the first; the second has as much as the best.
/// let [first, second] = [0, 1].map(|place: usize| found.suspects[place].verdict);
/// assert_eq!((first, second), (Verdict::Confirmed, Verdict::Cleared));
/// ```
pub fn verdicts(confirmation: &Confirmation, (stage_one, chances): (&[f32], &[f32])) -> Verdicts {
    let scores: Vec<f32> = confirmation.suspects.iter().map(score).collect();
    let null: Vec<f32> = confirmation.null.iter().map(score).collect();
    let p_values = if null.is_empty() {
        None
    } else {
        p_values(&null, &scores).ok()
    };
    let mut suspects = Vec::with_capacity(scores.len());
    for place in 0..scores.len() {
        let p_value = p_values.as_ref().map(|p| p[place]);
        let verdict = match p_value {
            Some(p) if p <= CONFIRMED => Verdict::Confirmed,
            Some(p) if p >= CLEARED && chances[place] < DOUBTFUL => Verdict::Cleared,
            _ => Verdict::Undecided,
        };
        suspects.push(Found { verdict, p_value });
    }
    // Scores that are not numbers cannot be ranked; the order of stage one stays.
    let fused = fuse(&[stage_one, &scores]).unwrap_or_else(|_| stage_one.to_vec());
    Verdicts {
        suspects,
        scores,
        fused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(support: f64) -> StageTwo {
        StageTwo {
            support,
            ..StageTwo::default()
        }
    }

    #[test]
    fn little_support_confirms_and_much_clears_only_who_is_doubtful() {
        let confirmation = Confirmation {
            suspects: [0.1, 0.3, 0.9, 0.9].map(with).to_vec(),
            // 0.2, 0.21, … 0.59: of 40, the least is above the first suspect.
            null: (0..40).map(|i| with(0.2 + 0.01 * f64::from(i))).collect(),
            checkpoints: 1,
        };
        let stage_one = [4.0, 3.0, 2.0, 1.0];
        let found = verdicts(&confirmation, (&stage_one, &[0.9, 0.9, 0.9, 0.4]));
        let verdicts_of = |found: &Verdicts| -> Vec<Verdict> {
            found.suspects.iter().map(|f| f.verdict).collect()
        };
        use Verdict::{Cleared, Confirmed, Undecided};
        assert_eq!(
            verdicts_of(&found),
            [Confirmed, Undecided, Undecided, Cleared]
        );
        // (1 + 0) / 41 and (1 + 11) / 41.
        let p = |place: usize| found.suspects[place].p_value.unwrap();
        assert!((p(0) - 1.0 / 41.0).abs() < 1e-9 && (p(1) - 12.0 / 41.0).abs() < 0.026);
        assert!(found.fused.is_sorted_by(|a, b| a >= b), "{:?}", found.fused);
        // Without anything to compare with, nothing is said.
        let alone = Confirmation {
            null: Vec::new(),
            ..confirmation
        };
        let alone = verdicts(&alone, (&stage_one, &[0.4; 4]));
        assert_eq!(verdicts_of(&alone), [Undecided; 4]);
        assert!(alone.suspects.iter().all(|f| f.p_value.is_none()));
    }
}
