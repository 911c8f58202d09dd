//! The grid: which cells there are, and what each is made of.

use clap::ValueEnum;
use mirrorwatch::stock::Architecture;
use serde::{Deserialize, Serialize};

/// A data set as it enters the grid. The numbers are what the issue of the benchmark asked for; none is
/// tuned.
#[derive(Debug, Clone, Copy)]
pub struct Dataset {
    /// Name on the command line and in results.
    pub name: &'static str,
    /// Whether it is built in; the others need a directory.
    pub embedded: bool,
    /// The model that is trained on it.
    pub architecture: Architecture,
    /// Training samples; all of them where none is given.
    pub train: Option<usize>,
    /// Probe samples; all test samples where none is given.
    pub probe: Option<usize>,
    /// Trusted training samples.
    pub trusted: usize,
    /// Epochs.
    pub epochs: usize,
    /// Part of the small grid that CI can run, and of no other.
    pub quick: bool,
}

/// The data sets. A new one is a line here.
pub const DATASETS: &[Dataset] = &[
    Dataset {
        name: "fashion-mnist",
        embedded: true,
        architecture: Architecture::Cnn,
        train: Some(10_000),
        probe: Some(1000),
        trusted: 500,
        epochs: 30,
        quick: false,
    },
    Dataset {
        name: "cifar10",
        embedded: false,
        architecture: Architecture::Mlp,
        train: Some(20_000),
        probe: Some(1000),
        trusted: 1000,
        epochs: 30,
        quick: false,
    },
    Dataset {
        name: "banking77",
        embedded: false,
        architecture: Architecture::Mlp,
        train: None,
        probe: None,
        trusted: 1000,
        epochs: 30,
        quick: false,
    },
    Dataset {
        name: "tabular",
        embedded: false,
        architecture: Architecture::Mlp,
        train: None,
        probe: None,
        trusted: 200,
        epochs: 30,
        quick: false,
    },
    Dataset {
        name: "fashion-mnist-small",
        embedded: true,
        architecture: Architecture::Mlp,
        train: Some(2000),
        probe: Some(500),
        trusted: 200,
        epochs: 8,
        quick: true,
    },
];

/// The noises of the full grid, in the order of its tables.
pub const NOISES: &[&str] = &[
    "none",
    "sym:0.01",
    "sym:0.05",
    "sym:0.1",
    "sym:0.2",
    "sym:0.4",
    "asym:0.2",
    "asym:0.4",
    "annotator:0.6",
];
const QUICK_NOISES: &[&str] = &["none", "sym:0.2", "annotator:0.6"];
const QUICK_SEEDS: &[u64] = &[0];

/// What all cells have in common when it is not what their data set says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Training samples.
    pub train: Option<usize>,
    /// Probe samples.
    pub probe: Option<usize>,
    /// Trusted training samples.
    pub trusted: Option<usize>,
    /// Epochs.
    pub epochs: Option<usize>,
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
    /// Seed of noise, trusted samples, weights and batches.
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
pub fn cells(quick: bool, seeds: &[u64], only: &[String], overrides: Overrides) -> Vec<Cell> {
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

fn cell(dataset: &'static Dataset, noise: &str, seed: u64, overrides: Overrides) -> Cell {
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
        let all = cells(false, &[0, 1, 2], &[], Overrides::default());
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
        let found = cells(false, &[7], &only, overrides);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name(), "cifar10_asym-0.4_probe-2000_trusted-0_s7");
        assert_eq!(found[0].settings.probe, Some(2000));
        assert_eq!(found[0].settings.trusted, 0);
        assert_eq!(found[0].settings.train, Some(20_000));
    }

    #[test]
    fn the_quick_grid_is_embedded_and_shares_no_cell_with_the_full_one() {
        let quick = cells(true, &[5], &[], Overrides::default());
        assert_eq!(quick.len(), 3);
        assert!(quick.iter().all(|cell| cell.dataset.embedded));
        let full = cells(false, &[0], &[], Overrides::default());
        for cell in quick {
            assert!(full.iter().all(|other| other.name() != cell.name()));
        }
    }
}
