//! The laboratory part of the quickstart: data whose wrong labels are known.
//!
//! A user's program needs none of this. The demo and the benchmarks do, to say how good findings are:
//! [`data`] opens an embedded or a given data set, [`noise`] puts wrong labels in, [`broken`] does so in the
//! middle of a training, and [`figures`] compares what was found with the truth.
//!
//! ```
//! use quickstart::{data::Source, figures::Figures, noise::Noise};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = Source::embedded()?;
//! let given = Noise::Symmetric(0.2).apply(&source.train_labels, &source.class_names, 0);
//! let wrong: Vec<bool> = given.iter().zip(&source.train_labels).map(|(g, t)| g != t).collect();
//!
//! // Whoever flags everything finds everything, and is mostly wrong.
//! let all = Figures::new(&wrong, &vec![true; wrong.len()], &vec![0.0; wrong.len()], &[])?;
//! assert_eq!(all.recall, Some(1.0));
//! assert!((all.false_discovery_proportion - 0.8).abs() < 1e-9);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod broken;
pub mod data;
pub mod figures;
pub mod noise;
