//! Statistics of parts of the training samples, from which those of all follow exactly.
//!
//! A run whose samples are divided among n processes ("shards") comes to the same result as a single process, to the last
//! suspect and the last bit: what a shard publishes are integer counts and the lowest or all of its scores, which merge by
//! adding, in any order and grouping, and every function of this crate that decides on a whole run decides on such
//! counts. `docs/sharding.md` has the proofs and the sizes.
//!
//! | what | from |
//! | --- | --- |
//! | median and scale | [`Survival`] in one round, or [`ScaleSearch`] in a few small ones |
//! | the null | [`Null`] |
//! | suspects, clean share, noise ratio, chance of each label to be wrong | [`Cells`] |
//! | the same with a null per class | [`ClassCells`] for the suspects, [`Cells`] for the rest |
//! | anything that is a sum of counts | [`Tally`] |
//! | means, as scores are centred by | [`Sums`] |
//! | the training sample most like a held-out one | [`Neighbours`] |
//!
//! Each is a [`Statistic`]: [`encode`](Statistic::encode) makes bytes of it, and [`Parts`] puts those of all shards
//! together, naming a part that is damaged, missing, given twice, or of something else.
//!
//! ```
//! use mirrorwatch_stats::shards::{Cells, Null, Parts, Shard, Statistic};
//! use mirrorwatch_stats::{conformal, fdr};
//!
//! const RUN: u64 = 0xfeed; // a hash of weights, seed, options, build
//! let trusted: [Vec<f32>; 2] = [0, 1].map(|s| (0..50).map(|i| (2 * i + s) as f32 / 100.0).collect());
//! let judged: [Vec<f32>; 2] = [vec![0.5, 3.0, 0.2, 2.5], vec![0.1, 2.0, 0.9]];
//!
//! // Round 1: the null scores. Held-out ones, which every shard knows, would be merged in afterwards.
//! let mut nulls = Parts::new(2, RUN, Null::default());
//! for (index, scores) in (0..).zip(&trusted) {
//!     let part = Null::of(scores, &[0; 50])?.encode(&Shard::new(index, 2, RUN)?);
//!     nulls.add(&format!("null.{index}"), &part)?;
//! }
//! let null = nulls.merged()?;
//!
//! // Round 2: the cells.
//! let mut parts = Parts::new(2, RUN, Cells::count(null.scores(), &[])?);
//! for (index, scores) in (0..).zip(&judged) {
//!     let part = Cells::count(null.scores(), scores)?.encode(&Shard::new(index, 2, RUN)?);
//!     parts.add(&format!("cells.{index}"), &part)?;
//! }
//! let threshold = parts.merged()?.threshold(0.1)?;
//!
//! // Each shard flags its own samples: the same ones as a single process would.
//! let mut flags = Vec::new();
//! for scores in &judged {
//!     let p = conformal::p_values(null.scores(), scores)?;
//!     flags.extend(p.into_iter().map(|p| threshold.selects(p)));
//! }
//! let p = conformal::p_values(&trusted.concat(), &judged.concat())?;
//! assert_eq!(flags, fdr::adaptive_benjamini_hochberg(&p, 100, 0.1)?.selected);
//! assert_eq!(threshold.count, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bytes;
mod cells;
mod class_cells;
mod error;
mod exchange;
mod histogram;
mod neighbours;
mod null;
mod part;
mod parts;
mod scale;
mod sums;
mod survival;
mod tally;

pub use crate::cells::{Cells, cells_of};
pub use crate::ruler::Ruler;
pub(crate) use bytes::Digest;
pub use class_cells::ClassCells;
pub use error::ShardError;
pub use exchange::{Alone, Exchange, Merge, location_scale, merged};
pub use histogram::Histogram;
pub use neighbours::Neighbours;
pub use null::Null;
pub use part::{MOST_SHARDS, Shard, Statistic};
pub use parts::Parts;
pub use scale::ScaleSearch;
pub use sums::Sums;
pub use survival::Survival;
pub use tally::Tally;
