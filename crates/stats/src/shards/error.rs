//! What can be wrong with parts.

use thiserror::Error;

use crate::StatsError;

/// Why parts of several shards do not make a whole. Each message names the part, what is wrong with it and what to do.
///
/// ```
/// use mirrorwatch_stats::shards::{Parts, Shard, ShardError, Statistic, Tally};
///
/// let shard = Shard::new(1, 3, 42)?;
/// let part = Tally::of([7, 7]).encode(&shard);
/// let mut parts = Parts::new(3, 42, Tally::default());
/// parts.add("run/1.part", &part)?;
///
/// let twice = parts.add("run/copy.part", &part).map_err(|error| error.to_string());
/// assert_eq!(
///     twice,
///     Err("run/copy.part is of shard 1, which run/1.part has given already: leave one of the two out".to_string())
/// );
/// let cut = parts.add("run/2.part", &part[..20]).map_err(|error| error.to_string());
/// assert_eq!(
///     cut,
///     Err("run/2.part ends after 20 bytes where 32 are needed: fetch it again".to_string())
/// );
/// let missing = ShardError::Missing { shards: "0, 2".to_string(), count: 3 };
/// assert_eq!(parts.merged(), Err(missing));
/// # Ok::<(), ShardError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ShardError {
    /// A shard's number does not fit their count.
    #[error(
        "there is no shard {index} of {count}: count 1 to {most} shards and number them from 0",
        most = super::MOST_SHARDS
    )]
    NoSuchShard {
        /// The number.
        index: u32,
        /// How many shards there are said to be.
        count: u32,
    },
    /// A part ends too early.
    #[error("{part} ends after {bytes} bytes where {needed} are needed: fetch it again")]
    Truncated {
        /// The part's name.
        part: String,
        /// How long it is.
        bytes: u64,
        /// How long it would have to be, at least.
        needed: u64,
    },
    /// A part's bytes are not what a shard has written.
    #[error(
        "{part} is damaged, {what} at byte {at}: fetch it again, or let its shard publish it again"
    )]
    Damaged {
        /// The part's name.
        part: String,
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A part was written by a build that lays parts out differently.
    #[error(
        "{part} has layout {layout}, and this build knows {known}: run all shards by the same build"
    )]
    Layout {
        /// The part's name.
        part: String,
        /// Its layout.
        layout: u16,
        /// The layout of this build.
        known: u16,
    },
    /// A part holds another statistic.
    #[error("{part} holds {found}, not {wanted}: look which part belongs where")]
    Kind {
        /// The part's name.
        part: String,
        /// What it holds.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A part is of a run, a checkpoint or a setting of its own.
    #[error(
        "{part} is of run {found:#x}, not {wanted:#x}: give all shards the same checkpoint, seed and options"
    )]
    Run {
        /// The part's name.
        part: String,
        /// Its run.
        found: u64,
        /// The run that is put together.
        wanted: u64,
    },
    /// A part belongs to a division into another number of shards.
    #[error(
        "{part} is shard {index} of {found}, not of {wanted}: divide the samples alike everywhere"
    )]
    Count {
        /// The part's name.
        part: String,
        /// Its shard.
        index: u32,
        /// Its number of shards.
        found: u32,
        /// The number of shards that are put together.
        wanted: u32,
    },
    /// Two parts are of the same shard.
    #[error(
        "{part} is of shard {index}, which {first} has given already: leave one of the two out"
    )]
    Duplicate {
        /// The part's name.
        part: String,
        /// The part that was there before.
        first: String,
        /// The shard of both.
        index: u32,
    },
    /// Some shards have not given their part.
    #[error("of {count} shards these are missing: {shards}; wait for them or start them again")]
    Missing {
        /// Their numbers, from 0.
        shards: String,
        /// How many shards there are.
        count: u32,
    },
    /// A part does not answer the same question as the others.
    #[error("{part} has {what}: count again by what all shards share")]
    Differs {
        /// The part's name.
        part: String,
        /// What is not the same.
        what: &'static str,
    },
    /// A round did not come about.
    #[error("cannot exchange the {what} with the other shards: {message}")]
    Exchange {
        /// What the round is about.
        what: String,
        /// What went wrong.
        message: String,
    },
    /// The merged numbers do not allow the statistic.
    #[error(transparent)]
    Statistics(#[from] StatsError),
}
