//! Does mirrored influence hold for this task, at this checkpoint?
//!
//! Three questions, each with its own figures:
//!
//! 1. [`first_order`]: is the change of a sample's loss along a step what the gradients say it is?
//! 2. [`mirror`]: do groups of training samples matter to the probe as the probe matters to them? That is the
//!    hypothesis itself (Ko et al., "The Mirrored Influence Hypothesis", CVPR 2024).
//! 3. [`planted`]: are labels that were made wrong on purpose told from right ones?
//!
//! Each is a part of the way from the probe to a suspect: 1 is calculus and fails when steps are too long or the
//! model is not differentiable where it stands; 2 is a correlation and may fail; 3 fails when the probe's own labels
//! teach nothing.

mod first_order;
mod mirror;
mod planted;
mod retrain;

pub use first_order::{AtLength, FirstOrder, LENGTHS, first_order};
pub use mirror::{Influence, Mirror, MirrorOptions, mirror, mirror_work};
pub use planted::{Planted, planted};
pub use retrain::RetrainOptions;
