//! Which epochs are scanned, and which of them stand for the phases of training.

use serde::{Deserialize, Serialize};

/// A phase of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The second scanned checkpoint.
    Early,
    /// The scanned checkpoint with the highest probe accuracy.
    Best,
    /// The last one, when the labels are memorised.
    Memorised,
}

impl Phase {
    /// All phases, as training goes through them.
    pub const ALL: [Phase; 3] = [Phase::Early, Phase::Best, Phase::Memorised];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Early => "early",
            Phase::Best => "best",
            Phase::Memorised => "memorised",
        }
    }

    /// The position of the phase's checkpoint among scanned ones with these probe accuracies.
    pub fn checkpoint(self, accuracies: &[f64]) -> usize {
        let last = accuracies.len().saturating_sub(1);
        match self {
            Phase::Early => last.min(1),
            Phase::Best => first_highest(accuracies),
            Phase::Memorised => last,
        }
    }
}

/// The first of the highest: the earlier checkpoint of a plateau has memorised less.
fn first_highest(values: &[f64]) -> usize {
    let mut best = 0;
    for (position, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = position;
        }
    }
    best
}

/// Dense at first, where most happens, and every ten epochs after these.
const EPOCHS: [usize; 13] = [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30];

/// Whether the checkpoint after `epoch` of `epochs`, both from one, is scanned; the last always is.
pub fn is_scanned(epoch: usize, epochs: usize) -> bool {
    let last = EPOCHS[EPOCHS.len() - 1];
    epoch == epochs || EPOCHS.contains(&epoch) || (epoch > last && epoch.is_multiple_of(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(epochs: usize) -> Vec<usize> {
        (1..=epochs).filter(|e| is_scanned(*e, epochs)).collect()
    }

    #[test]
    fn the_last_epoch_is_always_scanned() {
        assert_eq!(scanned(1), [1]);
        assert_eq!(scanned(7), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(scanned(30), EPOCHS);
        assert_eq!(scanned(45)[12..], [30, 40, 45]);
    }

    #[test]
    fn phases_of_a_training_that_overfits() {
        let accuracies = [0.5, 0.7, 0.8, 0.8, 0.6];
        let found = Phase::ALL.map(|phase| phase.checkpoint(&accuracies));
        assert_eq!(found, [1, 2, 4]);
    }

    #[test]
    fn a_single_checkpoint_is_all_phases() {
        assert!(Phase::ALL.iter().all(|p| p.checkpoint(&[0.3]) == 0));
    }
}
