//! The statistics of mirrorwatch: from suspicion scores to a list and a count with a guarantee.
//!
//! Plain slices in and out; nothing here knows tensors, files or HTTP. A score is larger where a label is
//! more suspicious, and *null* scores come from samples whose labels are known to be right. NaN is
//! refused, infinities are ranked.
//!
//! ```
//! use mirrorwatch_stats::{conformal, fdr, noise_ratio};
//!
//! // 200 verified samples score 0 to 1; of 1,000 training samples 100 stand out.
//! let null: Vec<f32> = (0..200).map(|i| i as f32 / 200.0).collect();
//! let mut train: Vec<f32> = (0..900).map(|i| i as f32 / 900.0).collect();
//! train.extend([3.0; 100]);
//!
//! // Which ones? At most a tenth of those selected is clean, on average.
//! let p = conformal::p_values(&null, &train)?;
//! let suspects = fdr::adaptive_benjamini_hochberg(&p, null.len(), 0.1)?;
//! assert!(suspects.count >= 100 && suspects.selected[950]);
//!
//! // How many? At least 5 % of the labels are wrong, with 95 % confidence.
//! let noise = noise_ratio::lower_bound(&null, &train, 0.05)?;
//! assert!(noise.ratio > 0.05 && noise.ratio <= 0.1);
//! # Ok::<(), mirrorwatch_stats::StatsError>(())
//! ```
//!
//! | module | answers |
//! | --- | --- |
//! | [`conformal`] | how unusual is this score among clean ones? |
//! | [`fdr`] | which samples may be named, and how many false alarms are among them? |
//! | [`local`] | how likely is it that this one label is right? |
//! | [`noise_ratio`] | what share of the labels is wrong at least, and about? |
//! | [`groups`] | which sources hold more suspects than chance? |
//! | [`onset`] | which sources went bad between two checkpoints? |
//! | [`confident`] | how many labels of the probe itself are wrong? |
//! | [`binomial`] | how likely are so many successes? |
//! | [`band`] | how far may the null's survival function be off, everywhere at once? |
//! | [`ranking`] | how are scores fused, compared and judged? |
//! | [`moments`] | means, variances and medians |
//! | [`shards`] | the same for samples that several processes share out |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod band;
mod beta;
pub mod binomial;
pub mod bootstrap;
mod cells;
mod check;
pub mod confident;
pub mod conformal;
mod crossing;
mod error;
mod exact;
pub mod fdr;
pub mod groups;
pub mod local;
pub mod moments;
pub mod noise_ratio;
pub mod onset;
pub mod ranking;
mod ruler;
pub mod shards;

pub use error::StatsError;
