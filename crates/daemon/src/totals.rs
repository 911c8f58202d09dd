//! What is counted of a scan beside its suspects, by all shards together.

use std::collections::BTreeMap;

use mirrorwatch_influence::{Labels, Task};
use mirrorwatch_stats::shards::{Exchange, ShardError};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::evidence::Channel;
use crate::summary::ClassPair;
use crate::together::added;

/// Counts that add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Training samples.
    pub samples: usize,
    /// Those that were read at this checkpoint.
    pub read: usize,
    /// Canaries.
    pub canaries: usize,
    /// Suspects that the model by now predicts as given.
    pub memorised: usize,
    /// Suspects that are more likely right and hard than wrong.
    pub hard: usize,
    /// Suspects by given and suggested label.
    pairs: Vec<(usize, usize, usize)>,
}

impl Totals {
    /// Those of this process's samples. `margins` are those at this checkpoint, `read` how many samples it has read.
    pub fn of(
        labels: &Labels,
        account: &Account,
        channels: &[Channel],
        margins: &[f32],
        read: usize,
    ) -> Self {
        let mut totals = Self {
            samples: labels.train.len(),
            read,
            canaries: labels.canaries.len(),
            hard: account.hard_suspects(),
            ..Self::default()
        };
        let mut pairs = BTreeMap::new();
        for (sample, _) in account.flags.iter().enumerate().filter(|(_, f)| **f) {
            totals.memorised += usize::from(margins[sample] > 0.0);
            if let (Some(channel), true) = (channels.first(), labels.has_classes()) {
                let pair = (labels.train[sample], channel.suggested[sample] as usize);
                *pairs.entry(pair).or_insert(0usize) += 1;
            }
        }
        for ((given, suggested), suspects) in pairs {
            totals.pairs.push((given, suggested, suspects));
        }
        totals
    }

    /// Those of all shards.
    ///
    /// # Errors
    ///
    /// Parts that cannot be exchanged.
    pub fn of_all(self, exchange: &dyn Exchange) -> Result<Self, ShardError> {
        added(exchange, "totals", self, &|all| Ok(Self::sum(all)))
    }

    fn sum(all: Vec<Self>) -> Self {
        let mut sums = Self::default();
        let mut pairs = BTreeMap::new();
        for part in all {
            sums.samples += part.samples;
            sums.read += part.read;
            sums.canaries += part.canaries;
            sums.memorised += part.memorised;
            sums.hard += part.hard;
            for (given, suggested, suspects) in part.pairs {
                *pairs.entry((given, suggested)).or_insert(0) += suspects;
            }
        }
        for ((given, suggested), suspects) in pairs {
            sums.pairs.push((given, suggested, suspects));
        }
        sums
    }

    /// Suspects by given and suggested label, most first.
    pub fn class_pairs<T: Task>(&self, task: &T) -> Vec<ClassPair> {
        let mut pairs = Vec::with_capacity(self.pairs.len());
        for &(given, suggested, suspects) in &self.pairs {
            pairs.push(ClassPair {
                given,
                given_name: task.class_name(given),
                suggested,
                suggested_name: task.class_name(suggested),
                suspects,
            });
        }
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.suspects));
        pairs
    }
}
