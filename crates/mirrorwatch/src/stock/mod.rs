//! A ready-made task over IDX files: a sidecar with no Rust written at all.
//!
//! ```text
//! mirrorwatch watch --data DIR --model cnn --root runs
//! ```
//!
//! `DIR` holds `train-images-*` or `train-features-*`, `train-labels-*`, `t10k-images-*` or
//! `t10k-features-*`, and `t10k-labels-*`, gzipped or not, as MNIST and its family do.

mod lists;
mod model;
mod task;

use std::path::PathBuf;

use clap::Args;
use mirrorwatch_idx::IdxError;
use thiserror::Error;

pub use model::{Architecture, Cnn, Mlp, Net};
pub use task::{Batch, IdxTask, Sample, SampleBatcher, Samples};

/// Options of the stock task.
#[derive(Debug, Clone, Args)]
pub struct StockArgs {
    /// Directory with IDX files: train-images-* or train-features-*, train-labels-*, t10k-…
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,

    /// Training images or features, when not the ones in DIR
    #[arg(long, value_name = "FILE")]
    pub inputs: Option<PathBuf>,

    /// Given training labels, when not the ones in DIR
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,

    /// The model that is trained
    #[arg(long, value_name = "NAME", default_value = "mlp")]
    pub model: Architecture,

    /// Use the first N test samples as the probe
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub probe: usize,

    /// Use the first N training samples only
    #[arg(long, value_name = "N")]
    pub train_limit: Option<usize>,

    /// File with the indices of trusted training samples, one a line
    #[arg(long, value_name = "FILE")]
    pub trusted: Option<PathBuf>,

    /// File with the indices of training samples whose labels were made wrong on purpose, one a line
    #[arg(long, value_name = "FILE")]
    pub canaries: Option<PathBuf>,

    /// File with the source of each training sample (annotator, file, batch, vendor), one a line
    #[arg(long, value_name = "FILE")]
    pub sources: Option<PathBuf>,

    /// Number of classes [default: one more than the largest label]
    #[arg(long, value_name = "K")]
    pub classes: Option<usize>,

    /// Names of the classes, in order, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub class_names: Vec<String>,

    /// Pixels by which a leaked image may be shifted and still be found, for `leaks`
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(..=8))]
    pub leak_shift: u32,
}

/// Why the stock task cannot be opened.
///
/// ```
/// use mirrorwatch::stock::StockError;
///
/// let error = StockError::Overlap { trusted: 3, probe: 7 };
/// assert!(error.to_string().starts_with("trusted training sample 3 is the same as probe sample 7"));
/// ```
#[derive(Debug, Error)]
pub enum StockError {
    /// A file that cannot be used.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// Training and test samples do not look alike.
    #[error(
        "{train} holds samples of shape {train_shape:?} but {probe} of shape {probe_shape:?}; both must be of the same kind"
    )]
    Shapes {
        /// Training file.
        train: PathBuf,
        /// Its samples' shape.
        train_shape: Vec<usize>,
        /// Test file.
        probe: PathBuf,
        /// Its samples' shape.
        probe_shape: Vec<usize>,
    },
    /// No probe samples were asked for.
    #[error(
        "the probe is empty: --probe 0 takes none of the {available} samples of {path}; ask for at least 2 of each class"
    )]
    NoProbe {
        /// File with their labels.
        path: PathBuf,
        /// How many there are.
        available: usize,
    },
    /// The file of trusted samples or canaries is unusable.
    #[error("cannot use the {set} {path}: {problem}; it holds one training index a line")]
    Indices {
        /// `trusted set` or `canaries`.
        set: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file of sources is unusable.
    #[error(
        "cannot use the sources {path}: {problem}; it holds one tag a line, one line per training sample"
    )]
    Sources {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The same sample is trusted and in the probe.
    #[error(
        "trusted training sample {trusted} is the same as probe sample {probe}; the probe must be held out, remove one of them"
    )]
    Overlap {
        /// Training index.
        trusted: usize,
        /// Probe index.
        probe: usize,
    },
    /// The model does not take such samples.
    #[error("{0}")]
    Model(String),
}
