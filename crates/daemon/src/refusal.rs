//! When "no suspects" would not mean "no wrong labels": reasons not to count.
//!
//! A count of 0 from a model that knows nothing, or against a null that can show nothing, looks like
//! good news. It is exported as a refusal instead, with its reason.

use mirrorwatch_influence::Labels;
use mirrorwatch_stats::binomial;
use serde::{Deserialize, Serialize};

use crate::account::Account;

/// Why nobody is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A short label that never changes, one of [`REASONS`].
    pub reason: String,
    /// What is wrong and what to do, in words.
    pub message: String,
}

/// Every reason, for metrics.
pub const REASONS: [&str; 2] = ["model-at-chance", "null-too-small"];

/// Chance that a model that knows nothing passes as one that does.
const LEVEL: f64 = 0.01;

/// Looks for a reason not to count. `best_accuracy`: the best probe accuracy of the `checkpoints` scanned
/// so far.
pub fn refusal(
    account: &Account,
    labels: &Labels,
    best_accuracy: f64,
    checkpoints: u32,
) -> Option<Refusal> {
    at_chance(labels, best_accuracy, checkpoints).or_else(|| too_small(account))
}

/// A model that guesses the most frequent class is right as often as that class occurs.
fn at_chance(labels: &Labels, best_accuracy: f64, checkpoints: u32) -> Option<Refusal> {
    let mut counts = vec![0usize; labels.classes];
    for &label in &labels.probe {
        counts[label] += 1;
    }
    let trials = labels.probe.len();
    let chance = counts.iter().max().copied().unwrap_or(0) as f64 / trials.max(1) as f64;
    let right = (best_accuracy * trials as f64).round() as usize;
    let tail = binomial::upper_tail(trials, right, chance).unwrap_or(1.0);
    // Each checkpoint was a chance to be lucky.
    (tail * f64::from(checkpoints.max(1)) > LEVEL).then(|| Refusal {
        reason: REASONS[0].to_string(),
        message: format!(
            "the model is right on {:.1} % of the probe, which guessing explains ({:.1} %); wait for it to learn, or check that probe and training set have the same classes",
            100.0 * best_accuracy,
            100.0 * chance
        ),
    })
}

/// Where only more than half of all samples could be named, the count says nothing about noise.
fn too_small(account: &Account) -> Option<Refusal> {
    let scored = account.scored.len();
    (2 * account.min_detectable > scored).then(|| Refusal {
        reason: REASONS[1].to_string(),
        message: format!(
            "{} {} samples cannot show fewer than {} suspects among {scored}; add trusted or probe samples",
            account.null_samples,
            account.null.name(),
            account.min_detectable
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Null;

    fn labels(probe: Vec<usize>) -> Labels {
        Labels {
            classes: 2,
            train: vec![0; 100],
            probe,
            trusted: Vec::new(),
            canaries: Vec::new(),
        }
    }

    fn account(min_detectable: usize) -> Account {
        Account {
            null: Null::HeldOut,
            null_samples: 9,
            scored: (0..100).collect(),
            p_values: vec![1.0; 100],
            flags: vec![false; 100],
            suspects: 0,
            expected_false: 0.0,
            min_detectable,
            lower_bound: 0.0,
            estimate: 0.0,
            canaries_found: 0,
        }
    }

    fn reason(account: &Account, labels: &Labels, accuracy: f64) -> Option<String> {
        refusal(account, labels, accuracy, 1).map(|refusal| refusal.reason)
    }

    /// scipy 1.17.1: `binom.sf(61, 100, .5)` = .0105, `binom.sf(62, 100, .5)` = .0060.
    #[test]
    fn a_model_has_to_beat_guessing() {
        let even = labels((0..100).map(|i| i % 2).collect());
        let fine = account(10);
        assert_eq!(
            reason(&fine, &even, 0.62).as_deref(),
            Some("model-at-chance")
        );
        assert_eq!(reason(&fine, &even, 0.63), None);
        // Of twenty checkpoints, one is as lucky as that by guessing.
        assert!(refusal(&fine, &even, 0.63, 20).is_some());
        // Nine in ten are of one class: .9 is what guessing gives.
        let uneven = labels((0..100).map(|i| usize::from(i < 10)).collect());
        assert_eq!(
            reason(&fine, &uneven, 0.9).as_deref(),
            Some("model-at-chance")
        );
    }

    #[test]
    fn a_null_has_to_be_able_to_show_something() {
        let even = labels((0..100).map(|i| i % 2).collect());
        assert_eq!(reason(&account(50), &even, 0.9), None);
        let refused = refusal(&account(51), &even, 0.9, 1).unwrap();
        assert_eq!(refused.reason, "null-too-small");
        assert_eq!(
            refused.message,
            "9 held-out samples cannot show fewer than 51 suspects among 100; add trusted or probe samples"
        );
    }
}
