//! What the grid is made of: data sets and noises.

use mirrorwatch::stock::Architecture;

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
    /// Whether its training and test samples were published apart; else every seed splits them anew.
    pub published_split: bool,
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
        published_split: true,
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
        published_split: true,
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
        published_split: true,
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
        published_split: false,
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
        published_split: true,
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
/// Those of the quick grid.
pub const QUICK_NOISES: &[&str] = &["none", "sym:0.2", "annotator:0.6"];
/// The seeds of the quick grid.
pub const QUICK_SEEDS: &[u64] = &[0];
