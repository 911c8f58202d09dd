//! The parts of all shards, put together.

use super::error::ShardError;
use super::part::Statistic;

/// The parts of a run as they come in, until all are there.
///
/// ```
/// use mirrorwatch_stats::shards::{Cells, Parts, Shard, Statistic};
///
/// let null = [0.1, 0.2, 0.3];
/// let scores = [[0.5, 0.15], [0.25, 0.05]];
/// // It begins with the statistic of no sample: that says which question parts have to answer.
/// let mut parts = Parts::new(2, 7, Cells::count(&null, &[])?);
/// for index in [1, 0] {
///     let cells = Cells::count(&null, &scores[index as usize])?;
///     parts.add(&format!("{index}.part"), &cells.encode(&Shard::new(index, 2, 7)?))?;
/// }
/// assert!(parts.missing().is_empty());
/// assert_eq!(parts.merged()?, Cells::count(&null, &scores.concat())?);
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Parts<T> {
    run: u64,
    none: T,
    /// Name and statistic of each shard.
    found: Vec<Option<(String, T)>>,
}

impl<T: Statistic> Parts<T> {
    /// No part yet of `count` shards of `run`. `none`: the statistic of no sample.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::{Parts, Tally};
    ///
    /// assert_eq!(Parts::new(3, 7, Tally::default()).missing(), [0, 1, 2]);
    /// ```
    #[must_use]
    pub fn new(count: u32, run: u64, none: T) -> Self {
        Self {
            run,
            none,
            found: vec![None; count as usize],
        }
    }

    /// Takes in the bytes of a part, under the name that errors are to call it by.
    ///
    /// # Errors
    ///
    /// Any of [`ShardError`] but `Missing`; what was there before stays.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::{Cells, Parts, Shard, Statistic};
    ///
    /// let mut parts = Parts::new(2, 7, Cells::count(&[0.1, 0.2], &[])?);
    /// let other = Cells::count(&[0.1, 0.3], &[0.5])?.encode(&Shard::new(0, 2, 7)?);
    /// let error = parts.add("0.part", &other).map_err(|error| error.to_string());
    /// assert_eq!(
    ///     error,
    ///     Err("0.part has been counted against another null: count again by what all shards share".to_string())
    /// );
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    pub fn add(&mut self, part: &str, bytes: &[u8]) -> Result<(), ShardError> {
        let (shard, statistic) = T::decode(part, bytes)?;
        let wanted = self.found.len() as u32;
        if shard.run != self.run {
            return Err(ShardError::Run {
                part: part.to_string(),
                found: shard.run,
                wanted: self.run,
            });
        }
        if shard.count != wanted {
            return Err(ShardError::Count {
                part: part.to_string(),
                index: shard.index,
                found: shard.count,
                wanted,
            });
        }
        let place = &mut self.found[shard.index as usize];
        if let Some((first, _)) = place {
            return Err(ShardError::Duplicate {
                part: part.to_string(),
                first: first.clone(),
                index: shard.index,
            });
        }
        if let Some(what) = self.none.differs(&statistic) {
            return Err(ShardError::Differs {
                part: part.to_string(),
                what,
            });
        }
        *place = Some((part.to_string(), statistic));
        Ok(())
    }

    /// The shards of which no part is there.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::{Parts, Shard, Statistic, Tally};
    ///
    /// let mut parts = Parts::new(3, 7, Tally::default());
    /// parts.add("1.part", &Tally::of([5]).encode(&Shard::new(1, 3, 7)?))?;
    /// assert_eq!(parts.missing(), [0, 2]);
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    #[must_use]
    pub fn missing(&self) -> Vec<u32> {
        let mut missing = Vec::new();
        for (index, found) in (0..).zip(&self.found) {
            if found.is_none() {
                missing.push(index);
            }
        }
        missing
    }

    /// The statistic of all samples.
    ///
    /// # Errors
    ///
    /// [`ShardError::Missing`].
    ///
    /// ```
    /// use mirrorwatch_stats::shards::{Parts, Shard, Statistic, Tally};
    ///
    /// let mut parts = Parts::new(1, 7, Tally::default());
    /// assert!(parts.clone().merged().is_err());
    /// parts.add("0.part", &Tally::of([5, 5]).encode(&Shard::new(0, 1, 7)?))?;
    /// assert_eq!(parts.merged()?, Tally::of([5, 5]));
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    pub fn merged(self) -> Result<T, ShardError> {
        let missing = self.missing();
        if !missing.is_empty() {
            return Err(ShardError::Missing {
                shards: listed(&missing),
                count: self.found.len() as u32,
            });
        }
        let mut left = vec![self.none];
        left.extend(self.found.into_iter().flatten().map(|(_, part)| part));
        // Pairwise, so that each entry is moved as often as there are rounds, not as there are shards.
        while left.len() > 1 {
            let mut joined = Vec::with_capacity(left.len().div_ceil(2));
            let mut pairs = left.into_iter();
            while let Some(mut one) = pairs.next() {
                if let Some(other) = pairs.next() {
                    one.join(&other);
                }
                joined.push(one);
            }
            left = joined;
        }
        Ok(left.remove(0))
    }
}

/// The first ten, and how many more.
fn listed(shards: &[u32]) -> String {
    let names: Vec<String> = shards.iter().take(10).map(u32::to_string).collect();
    let mut text = names.join(", ");
    if shards.len() > 10 {
        text.push_str(&format!(" and {} more", shards.len() - 10));
    }
    text
}
