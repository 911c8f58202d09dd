//! Forward-pass mirrored influence over Burn models: directions, sweeps and scores.
//!
//! Every estimator of the family is *direction × sweep × score*: get a weight change v from a
//! clean probe set, run the training set forward at θ and at θ + v, and read one number per
//! training sample off the two sets of outputs. The larger the number, the more the sample's
//! given label is at odds with what the probe teaches.
//!
//! This crate knows models and tensors. It knows no files, no HTTP and no Prometheus.

#![doc = include_str!("example.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod conjugate;
mod crew;
mod curvature;
pub mod direction;
mod divided;
mod error;
mod estimator;
pub mod exact;
mod flat;
mod folds;
mod fork_mean;
mod fusion;
mod kept;
mod knowledge;
mod layers;
pub mod leaks;
mod memory;
pub mod model;
mod preview;
mod readings;
mod rehearse;
mod safetensors;
mod scan;
pub mod score;
mod sums;
mod sweep;
mod task;
mod teach;
pub mod verify;

pub use divided::{Divided, Division};
pub use error::InfluenceError;
pub use estimator::Estimator;
pub use folds::Folds;
pub use layers::Layers;
pub use memory::{Change, Memory};
pub use preview::{Image, Preview};
pub use readings::Readings;
pub use rehearse::{panic_text, rehearse};
pub use scan::{Estimate, Scan, ScanConfig, read_next, scan, scan_next, work};
pub use sweep::{Outputs, SweepOptions, arg_max, cross_entropy, sweep};
pub use task::{Labels, Set, Task, UNLABELLED};
