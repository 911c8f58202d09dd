//! The grid: which cells there are, and what each is made of.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::datasets::{DATASETS, Dataset, NOISES, QUICK_NOISES, QUICK_SEEDS};

/// What all cells have in common when it is not what their data set says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Training samples.
    pub train: Option<usize>,
    /// Probe samples.
    pub probe: Option<usize>,
    /// Trusted training samples.
    pub trusted: Option<usize>,
    /// Epochs.
    pub epochs: Option<usize>,
    /// Wrong labels in the probe.
    pub probe_noise: Option<String>,
    /// Estimators that are measured beside the others.
    pub also: Vec<String>,
    /// What a scan may cost.
    pub budget: Option<String>,
}

impl Overrides {
    /// The part of a cell's name that tells them; empty without any.
    fn suffix(&self) -> String {
        let mut suffix = String::new();
        for (name, value) in [
            ("train", self.train),
            ("probe", self.probe),
            ("trusted", self.trusted),
            ("epochs", self.epochs),
        ] {
            if let Some(value) = value {
                suffix.push_str(&format!("_{name}-{value}"));
            }
        }
        if let Some(noise) = &self.probe_noise {
            suffix.push_str(&format!("_probe-noise-{}", noise.replace(':', "-")));
        }
        if let Some(budget) = &self.budget {
            suffix.push_str(&format!("_budget-{budget}"));
        }
        for estimator in &self.also {
            suffix.push_str(&format!("_also-{}", estimator.replace(':', "-")));
        }
        suffix
    }
}

/// All that decides a cell's result, beside the code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Name of the data set.
    pub dataset: String,
    /// The label noise, as it is written on the command line.
    pub noise: String,
    /// What differs from the data set's own numbers, as in the cell's name.
    pub variant: String,
    /// Seed of what is drawn for training and probe, noise, trusted samples, weights and batches.
    pub seed: u64,
    /// The model.
    pub model: String,
    /// Training samples at most.
    pub train: Option<usize>,
    /// Probe samples at most.
    pub probe: Option<usize>,
    /// Trusted training samples.
    pub trusted: usize,
    /// Epochs.
    pub epochs: usize,
    /// Samples in a training batch.
    pub batch_size: usize,
    /// Learning rate of Adam.
    pub learning_rate: f64,
    /// Wrong labels in the probe, written like `noise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_noise: Option<String>,
    /// Estimators that are measured beside the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// What a scan may cost, as `watch --budget` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
}

/// One training run and all that is measured on it.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Its data set.
    pub dataset: &'static Dataset,
    /// Its settings.
    pub settings: Settings,
}

impl Cell {
    /// The name of its files.
    pub fn name(&self) -> String {
        format!("{}_s{}", self.group(), self.settings.seed)
    }

    /// The name that the cells of all seeds share.
    pub fn group(&self) -> String {
        let Settings {
            dataset,
            noise,
            variant,
            ..
        } = &self.settings;
        format!("{dataset}_{}{variant}", noise.replace(':', "-"))
    }
}

/// The cells of the full grid or of the quick one whose names contain one of `only`, all if it is
/// empty; in the order in which they are run.
pub fn cells(quick: bool, seeds: &[u64], only: &[String], overrides: &Overrides) -> Vec<Cell> {
    let (noises, seeds) = if quick {
        (QUICK_NOISES, QUICK_SEEDS)
    } else {
        (NOISES, seeds)
    };
    let mut cells = Vec::new();
    // Seeds outermost: an interrupted run has every data set and noise before it has any twice.
    for &seed in seeds {
        for dataset in DATASETS.iter().filter(|dataset| dataset.quick == quick) {
            for noise in noises {
                let cell = cell(dataset, noise, seed, overrides);
                if only.is_empty() || only.iter().any(|part| cell.name().contains(part)) {
                    cells.push(cell);
                }
            }
        }
    }
    cells
}

fn cell(dataset: &'static Dataset, noise: &str, seed: u64, overrides: &Overrides) -> Cell {
    Cell {
        dataset,
        settings: Settings {
            dataset: dataset.name.to_string(),
            noise: noise.to_string(),
            variant: overrides.suffix(),
            seed,
            model: dataset
                .architecture
                .to_possible_value()
                .map_or_else(String::new, |value| value.get_name().to_string()),
            train: overrides.train.or(dataset.train),
            probe: overrides.probe.or(dataset.probe),
            trusted: overrides.trusted.unwrap_or(dataset.trusted),
            epochs: overrides.epochs.unwrap_or(dataset.epochs),
            batch_size: 64,
            learning_rate: 1e-3,
            probe_noise: overrides.probe_noise.clone(),
            also: overrides.also.clone(),
            budget: overrides.budget.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::labels::LabelNoise;

    #[test]
    fn every_cell_has_its_own_name_and_a_noise_that_exists() {
        let all = cells(false, &[0, 1, 2], &[], &Overrides::default());
        assert_eq!(all.len(), 4 * 9 * 3);
        let names: BTreeSet<String> = all.iter().map(Cell::name).collect();
        assert_eq!(names.len(), all.len());
        assert!(names.contains("cifar10_asym-0.4_s2"));
        for cell in all {
            LabelNoise::parse(&cell.settings.noise).unwrap();
        }
    }

    #[test]
    fn overrides_change_settings_and_name() {
        let overrides = Overrides {
            probe: Some(2000),
            trusted: Some(0),
            ..Overrides::default()
        };
        let only = [String::from("cifar10_asym-0.4")];
        let found = cells(false, &[7], &only, &overrides);
        assert_eq!(found.len(), 1);
        let further = Overrides {
            probe_noise: Some("sym:0.1".to_string()),
            also: vec!["per-class".to_string()],
            ..Overrides::default()
        };
        let further = cells(false, &[7], &only, &further).remove(0);
        assert_eq!(
            further.name(),
            "cifar10_asym-0.4_probe-noise-sym-0.1_also-per-class_s7"
        );
        assert_eq!(found[0].name(), "cifar10_asym-0.4_probe-2000_trusted-0_s7");
        assert_eq!(found[0].settings.probe, Some(2000));
        assert_eq!(found[0].settings.trusted, 0);
        assert_eq!(found[0].settings.train, Some(20_000));
    }

    #[test]
    fn the_quick_grid_is_embedded_and_shares_no_cell_with_the_full_one() {
        let quick = cells(true, &[5], &[], &Overrides::default());
        assert_eq!(quick.len(), 3);
        assert!(quick.iter().all(|cell| cell.dataset.embedded));
        let full = cells(false, &[0], &[], &Overrides::default());
        for cell in quick {
            assert!(full.iter().all(|other| other.name() != cell.name()));
        }
    }
}
