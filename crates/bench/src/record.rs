//! What is written down of a cell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::grid::Settings;
use crate::phases::Phase;

/// Changes whenever cells of before can no longer be read or compared.
pub const FORMAT: u32 = 8;

/// How well a score ranks wrong labels above right ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    /// Chance that a wrong label scores above a right one; none where all are right or all wrong.
    pub auroc: Option<f64>,
    /// Precision averaged over the ranking; none where nothing is wrong.
    pub average_precision: Option<f64>,
    /// Samples it is measured on, where these are not all but the trusted ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<usize>,
}

/// Figures of every method, by its name.
pub type Ranks = BTreeMap<String, Rank>;

/// Whether a count was given the trusted set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// It was.
    WithTrusted,
    /// Nobody has verified anything, there is only the probe.
    WithoutTrusted,
}

impl Setting {
    /// Both.
    pub const ALL: [Setting; 2] = [Setting::WithTrusted, Setting::WithoutTrusted];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Setting::WithTrusted => "with trusted set",
            Setting::WithoutTrusted => "without trusted set",
        }
    }
}

/// One count of the product, compared with the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// What it was given.
    pub setting: Setting,
    /// The null distribution that the product chose; `none` where there is no valid one.
    pub null: String,
    /// Why nobody was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Samples of the null distribution.
    pub null_samples: usize,
    /// Samples that were judged.
    pub scored: usize,
    /// Of these, the ones with a wrong label.
    pub wrong: usize,
    /// Their share: what bound and estimate are about.
    pub noise_ratio: f64,
    /// Suspects.
    pub suspects: usize,
    /// Suspects with a wrong label.
    pub found: usize,
    /// Share of the suspects with a wrong label; none without suspects.
    pub precision: Option<f64>,
    /// Share of the wrong labels that are suspects; none where nothing is wrong.
    pub recall: Option<f64>,
    /// Share of the suspects with a right label; 0 without suspects.
    pub false_discovery_proportion: f64,
    /// False suspects that the product expects at most.
    pub expected_false: f64,
    /// Lower bound on the noise ratio.
    pub lower_bound: f64,
    /// Whether it is one.
    pub bound_holds: bool,
    /// Point estimate of the noise ratio.
    pub estimate: f64,
    /// The smallest number of suspects that could be shown.
    pub min_detectable: usize,
    /// Share of the found wrong labels whose suggested label is the right one.
    pub suggested_accuracy: Option<f64>,
    /// Suspects whose label is wrong with a chance of .9 or more, as the product says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sure: Option<Told>,
    /// Suspects whose sample it says is more likely hard than wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard: Option<Told>,
    /// Counts of each annotator, where there is one to blame or nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceCount>,
    /// The annotator with the largest share of suspects; none without suspects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_source: Option<usize>,
}

/// Suspects of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How many they are.
    pub suspects: usize,
    /// Those of them whose label is wrong.
    pub wrong: usize,
}

impl Told {
    /// Adds a suspect.
    pub fn add(&mut self, wrong: bool) {
        self.suspects += 1;
        self.wrong += usize::from(wrong);
    }

    /// Both together.
    pub fn merge(&mut self, other: Self) {
        self.suspects += other.suspects;
        self.wrong += other.wrong;
    }
}

/// The product's count of one annotator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceCount {
    /// Number of the annotator.
    pub source: usize,
    /// Samples that were judged.
    pub samples: usize,
    /// Of these, the suspects.
    pub suspects: usize,
    /// Whether the product says that the annotator stands out.
    pub flagged: bool,
    /// Of the judged samples, the wrong ones, suspect or not.
    pub wrong: usize,
}

/// One scanned checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its epoch, from one.
    pub epoch: usize,
    /// Mean loss over the epoch.
    pub train_loss: f64,
    /// Mean loss of the probe.
    pub probe_loss: f64,
    /// Share of the probe that is classified right.
    pub probe_accuracy: f64,
    /// Share of training labels, wrong ones included, that the model predicts.
    pub fitted: f64,
    /// Lower bound on the share of wrong labels in the probe; 0 in results from before it was kept.
    #[serde(default)]
    pub probe_noise: f64,
    /// Wall time of the scan, with all estimators.
    pub scan_seconds: f64,
    /// Wall time of its bare forward sweep over what it read.
    pub base_sweep_seconds: f64,
    /// Share of the training samples that it read.
    #[serde(default = "all")]
    pub read: f64,
    /// What each estimator chose for each fork.
    pub choices: BTreeMap<String, Vec<String>>,
    /// Every method that has a score at each checkpoint.
    pub ranks: Ranks,
    /// The product's counts, one per setting.
    pub counts: Vec<Count>,
}

/// What scans read before they had a budget.
fn all() -> f64 {
    1.0
}

/// Where the time went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Training.
    pub training: f64,
    /// All scans.
    pub scans: f64,
    /// Cross-validation for the out-of-sample method.
    pub out_of_sample: f64,
    /// All that is done once after training.
    pub after: f64,
    /// The whole cell.
    pub total: f64,
}

/// The result of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`] when it was written.
    pub format: u32,
    /// What the cell was made of.
    pub settings: Settings,
    /// Name of the cell.
    pub name: String,
    /// The name that the cells of all seeds share.
    pub group: String,
    /// The project's revision, where it is known.
    pub revision: String,
    /// The product's estimators and levels.
    pub product: String,
    /// Threads it ran on.
    pub threads: usize,
    /// Training samples.
    pub samples: usize,
    /// Wrong labels among them.
    pub wrong: usize,
    /// Probe samples.
    pub probe: usize,
    /// Trusted samples.
    pub trusted: usize,
    /// Classes.
    pub classes: usize,
    /// All scanned checkpoints.
    pub checkpoints: Vec<Checkpoint>,
    /// The position of each phase's checkpoint.
    pub phases: BTreeMap<Phase, usize>,
    /// Methods with one score for the whole training.
    pub once: Ranks,
    /// Methods that are too slow for every checkpoint.
    pub slow: BTreeMap<Phase, Ranks>,
    /// Checkpoints that were left out to keep to the budget.
    #[serde(default)]
    pub waited: usize,
    /// Where the time went.
    pub seconds: Seconds,
}

impl Record {
    /// The checkpoint of a phase; none in a damaged record.
    pub fn at(&self, phase: Phase) -> Option<&Checkpoint> {
        self.checkpoints.get(*self.phases.get(&phase)?)
    }

    /// Every method's figures at a phase: those of its checkpoint, of slow methods, and of the ones
    /// with one score for the whole training.
    pub fn ranks(&self, phase: Phase) -> Ranks {
        let mut ranks = self.once.clone();
        if let Some(checkpoint) = self.at(phase) {
            ranks.extend(checkpoint.ranks.clone());
        }
        if let Some(slow) = self.slow.get(&phase) {
            ranks.extend(slow.clone());
        }
        ranks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_beside_reads_this_format() {
        let script = include_str!("../python/side_by_side.py");
        assert!(script.contains(&format!("\nFORMAT = {FORMAT}\n")));
    }
}
