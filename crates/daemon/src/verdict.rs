//! Verdicts of stage two: confirmed, cleared or undecided.

use mirrorwatch_influence::exact::{Confirmation, StageTwo};
use mirrorwatch_stats::conformal::p_values;
use mirrorwatch_stats::ranking::fuse;
use serde::{Deserialize, Serialize};

/// What comes of the second look at a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Exact gradients speak against the label, too.
    Confirmed,
    /// To exact gradients it looks like a clean sample.
    Cleared,
    /// Neither.
    Undecided,
}

impl Verdict {
    /// Its name in files and on pages.
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
/// p-value from which it is cleared.
const CLEARED: f64 = 0.5;

/// The verdict on a suspect, and the figure behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The verdict.
    pub verdict: Verdict,
    /// Chance that a clean sample would look at least as bad; none without null samples.
    pub p_value: Option<f64>,
}

/// The verdicts on all suspects.
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
pub fn score(found: &StageTwo) -> f32 {
    -found.support as f32
}

/// Verdicts by where a suspect's score lies among those of null samples. `stage_one` are the suspects' scores there.
pub fn verdicts(confirmation: &Confirmation, stage_one: &[f32]) -> Verdicts {
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
            Some(p) if p >= CLEARED => Verdict::Cleared,
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
