//! Where shards meet: each gives a part and receives what those of all come to.

use super::error::ShardError;
use super::part::{Shard, Statistic};
use super::parts::Parts;
use super::scale::ScaleSearch;
use super::survival::Survival;
use crate::moments::robust_location_scale;

/// Up to so many samples of all shards together, one round with every distinct score is cheaper than several of counts.
const ONE_ROUND: u64 = 2_000_000;

/// What makes one part of those of all shards, in their order.
pub type Merge<'a> = &'a dyn Fn(&[Vec<u8>]) -> Result<Vec<u8>, ShardError>;

/// What connects the shards of a run.
///
/// All shards go through the same rounds in the same order: what a shard does next depends only on what all of them have
/// received. So a shard that was stopped can begin a checkpoint anew, and finds what was given.
///
/// ```
/// use mirrorwatch_stats::shards::{Alone, Exchange};
///
/// let doubled = Alone.reduce("bytes", vec![1, 2], &|parts| Ok(parts.concat().repeat(2)))?;
/// assert_eq!(doubled, [1, 2, 1, 2]);
/// assert_eq!(Alone.shard().count(), 1);
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
pub trait Exchange: Send + Sync {
    /// Which shard this is, of how many, and of what: parts of something else are refused.
    fn shard(&self) -> Shard;

    /// Training samples of all shards together.
    fn samples(&self) -> u64;

    /// One round: gives this shard's part of `what`, and returns what the parts of all come to by `merge`, which one of them
    /// is enough to compute. It waits for the others.
    ///
    /// # Errors
    ///
    /// [`ShardError::Exchange`]: a part cannot be given or received, or a shard has given this checkpoint up; and whatever
    /// `merge` refuses.
    fn reduce(
        &self,
        what: &'static str,
        part: Vec<u8>,
        merge: Merge<'_>,
    ) -> Result<Vec<u8>, ShardError>;
}

/// A run that is not divided: all samples are in one place.
///
/// ```
/// use mirrorwatch_stats::shards::{Alone, Tally, merged};
///
/// let tally = Tally::of([3, 3, 5]);
/// assert_eq!(merged(&Alone, "fitted", Tally::default(), tally.clone())?, tally);
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Alone;

impl Exchange for Alone {
    fn shard(&self) -> Shard {
        Shard {
            index: 0,
            count: 1,
            run: 0,
        }
    }

    fn samples(&self) -> u64 {
        u64::MAX
    }

    fn reduce(
        &self,
        _what: &'static str,
        part: Vec<u8>,
        merge: Merge<'_>,
    ) -> Result<Vec<u8>, ShardError> {
        merge(&[part])
    }
}

/// One round: the statistic of all shards, from this one's `own`. `none` is that of no samples.
///
/// # Errors
///
/// Parts that cannot be exchanged, or do not belong together.
///
/// ```
/// use mirrorwatch_stats::shards::{Alone, Cells, merged};
///
/// let null = [0.1, 0.2, 0.3];
/// let own = Cells::count(&null, &[0.9, 0.15])?;
/// let cells = merged(&Alone, "cells", Cells::count(&null, &[])?, own)?;
/// assert_eq!(cells.samples(), 2);
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
pub fn merged<T: Statistic>(
    exchange: &dyn Exchange,
    what: &'static str,
    none: T,
    own: T,
) -> Result<T, ShardError> {
    let shard = exchange.shard();
    if shard.count() == 1 {
        return Ok(own);
    }
    let merge = |parts: &[Vec<u8>]| {
        let mut all = Parts::new(shard.count(), shard.run(), none.clone());
        for (index, bytes) in parts.iter().enumerate() {
            all.add(&format!("the {what} of shard {index}"), bytes)?;
        }
        Ok(all.merged()?.encode(&shard))
    };
    let bytes = exchange.reduce(what, own.encode(&shard), &merge)?;
    let part = format!("the {what} of all shards");
    let (by, all) = T::decode(&part, &bytes)?;
    if by.run() != shard.run() {
        return Err(ShardError::Run {
            part,
            found: by.run(),
            wanted: shard.run(),
        });
    }
    match none.differs(&all) {
        Some(what) => Err(ShardError::Differs { part, what }),
        None => Ok(all),
    }
}

/// [`robust_location_scale`] of the scores of all shards, of which these are this one's, to the last bit.
///
/// # Errors
///
/// As there, and parts that cannot be exchanged or do not belong together.
///
/// ```
/// use mirrorwatch_stats::{moments::robust_location_scale, shards::{Alone, location_scale}};
///
/// let scores = [1.0, 1e6, 3.0, 4.0, 2.0];
/// assert_eq!(location_scale(&Alone, "scores", &scores)?, robust_location_scale(&scores)?);
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
pub fn location_scale(
    exchange: &dyn Exchange,
    what: &'static str,
    scores: &[f32],
) -> Result<(f64, f64), ShardError> {
    if exchange.shard().count() == 1 {
        return Ok(robust_location_scale(scores)?);
    }
    if exchange.samples() <= ONE_ROUND {
        let all = merged(exchange, what, Survival::of(&[])?, Survival::of(scores)?)?;
        return Ok(all.location_scale()?);
    }
    let mut search = ScaleSearch::new();
    loop {
        let all = merged(exchange, what, search.count(&[])?, search.count(scores)?)?;
        if let Some(found) = search.advance(&all)? {
            return Ok(found);
        }
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
