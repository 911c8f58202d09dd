//! Counts by key: the simplest statistic that merges, and what most others are made of.

use super::bytes::{Flaw, Reader, put_number};
use super::part::{Body, MOST_SAMPLES};

/// How many samples have which key; keys without samples are not kept.
///
/// For whatever is a sum of counts: how many samples are fitted, how many of a source are suspects.
///
/// ```
/// use mirrorwatch_stats::shards::Tally;
///
/// let mut fitted = Tally::of([1, 0, 1]);
/// fitted.merge(&Tally::of([1, 7]));
/// assert_eq!((fitted.count(1), fitted.count(0), fitted.count(2), fitted.total()), (3, 1, 0, 5));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Keys in increasing order, each with a count of one at least.
    pub(crate) counts: Vec<(u64, u64)>,
}

impl Tally {
    /// Counts the samples' keys.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Tally;
    ///
    /// assert_eq!(Tally::of([4, 2, 4]).iter().collect::<Vec<_>>(), [(2, 1), (4, 2)]);
    /// ```
    #[must_use]
    pub fn of(keys: impl IntoIterator<Item = u64>) -> Self {
        let mut keys: Vec<u64> = keys.into_iter().collect();
        keys.sort_unstable();
        let mut counts = Vec::new();
        for equal in keys.chunk_by(|a, b| a == b) {
            counts.push((equal[0], equal.len() as u64));
        }
        Self { counts }
    }

    /// Takes counts as they are; of the same key they add up.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Tally;
    ///
    /// assert_eq!(Tally::of_counts([(4, 1), (2, 1), (3, 0), (4, 1)]), Tally::of([4, 2, 4]));
    /// ```
    #[must_use]
    pub fn of_counts(counts: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut counts: Vec<(u64, u64)> = counts.into_iter().filter(|&(_, n)| n > 0).collect();
        counts.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(counts.len());
        for (key, count) in counts {
            match merged.last_mut() {
                Some(last) if last.0 == key => last.1 += count,
                _ => merged.push((key, count)),
            }
        }
        Self { counts: merged }
    }

    /// How many samples have this key.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Tally::of([4, 2, 4]).count(4), 2);
    /// ```
    #[must_use]
    pub fn count(&self, key: u64) -> u64 {
        match self.counts.binary_search_by_key(&key, |&(key, _)| key) {
            Ok(index) => self.counts[index].1,
            Err(_) => 0,
        }
    }

    /// How many samples there are.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Tally::of([4, 2, 4]).total(), 3);
    /// ```
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|&(_, count)| count).sum()
    }

    /// Keys in increasing order and their counts.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Tally::of([4, 4]).iter().next(), Some((4, 2)));
    /// ```
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.counts.iter().copied()
    }

    /// Adds the counts of other samples.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Tally;
    ///
    /// let mut tally = Tally::of([4, 2]);
    /// tally.merge(&Tally::of([3, 4]));
    /// assert_eq!(tally, Tally::of([2, 3, 4, 4]));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.join(other);
    }

    /// The key at `rank`, counted from 0 in increasing order, with the samples that have smaller keys and those that have
    /// it; none where there are no more than `rank` samples.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<(u64, u64, u64)> {
        let mut before = 0;
        for &(key, count) in &self.counts {
            if rank < before + count {
                return Some((key, before, count));
            }
            before += count;
        }
        None
    }
}

impl Body for Tally {
    const KIND: u16 = 1;

    fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.counts.len() as u64);
        let mut next = 0;
        for &(key, count) in &self.counts {
            put_number(out, key - next);
            put_number(out, count);
            // After the largest key there is nothing that could be written.
            next = key.saturating_add(1);
        }
    }

    fn read(from: &mut Reader) -> Result<Self, Flaw> {
        let length = from.length()?;
        let mut counts: Vec<(u64, u64)> = Vec::with_capacity(length);
        let mut total = 0_u64;
        for _ in 0..length {
            let start = from.at;
            let gap = from.number()?;
            let key = match counts.last() {
                None => Some(gap),
                Some(&(last, _)) => last.checked_add(1).and_then(|next| next.checked_add(gap)),
            };
            let key = key.ok_or(Flaw::Bad(start, "a key is too large"))?;
            let start = from.at;
            let count = from.number()?;
            total = total.saturating_add(count);
            if count == 0 || total > MOST_SAMPLES {
                return Err(Flaw::Bad(start, "no shard has so many samples"));
            }
            counts.push((key, count));
        }
        Ok(Self { counts })
    }

    fn differs(&self, _: &Self) -> Option<&'static str> {
        None
    }

    fn join(&mut self, other: &Self) {
        let mut joined = Vec::with_capacity(self.counts.len() + other.counts.len());
        let mut theirs = other.counts.iter().copied().peekable();
        for &(key, count) in &self.counts {
            while let Some(smaller) = theirs.next_if(|&(other, _)| other < key) {
                joined.push(smaller);
            }
            let same = theirs.next_if(|&(other, _)| other == key);
            joined.push((key, count + same.map_or(0, |(_, count)| count)));
        }
        joined.extend(theirs);
        self.counts = joined;
    }
}
