//! The null scores of a run: each shard knows those of its own trusted samples.

use super::bytes::{Flaw, Reader, put_number};
use super::part::Body;
use super::survival::{ordered, score_of};
use crate::StatsError;
use crate::check::{no_nan, same_length};

/// Scores of samples whose labels are known to be right, with their given labels.
///
/// Each shard publishes those of the trusted samples it owns; merged, they are the null that all shards count against.
/// Held-out samples are known to every shard: merge them in once, after the parts.
///
/// ```
/// use mirrorwatch_stats::shards::Null;
///
/// let mut null = Null::of(&[0.3, 0.1], &[0, 1])?;
/// null.merge(&Null::of(&[0.2], &[1])?);
/// assert_eq!((null.scores(), null.classes()), (&[0.1, 0.2, 0.3][..], &[1, 1, 0][..]));
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Null {
    scores: Vec<f32>,
    classes: Vec<usize>,
}

impl Null {
    /// The null of these scores and given labels, perhaps none; where there are no classes give 0 to each.
    ///
    /// # Errors
    ///
    /// [`StatsError::NotANumber`], [`StatsError::LengthMismatch`].
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Null;
    ///
    /// assert!(Null::of(&[], &[])?.scores().is_empty());
    /// assert!(Null::of(&[0.1], &[]).is_err() && Null::of(&[f32::NAN], &[0]).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn of(scores: &[f32], classes: &[usize]) -> Result<Self, StatsError> {
        no_nan("null", scores)?;
        same_length(("null", scores.len()), ("null classes", classes.len()))?;
        let pairs = scores.iter().copied().zip(classes.iter().copied());
        Ok(Self::sorted(pairs.collect()))
    }

    fn sorted(mut pairs: Vec<(f32, usize)>) -> Self {
        pairs.sort_unstable_by_key(|&(score, class)| (ordered(score), class));
        let (scores, classes) = pairs.into_iter().unzip();
        Self { scores, classes }
    }

    /// The scores, in increasing order.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Null::of(&[0.3, 0.1], &[0, 1])?.scores(), [0.1, 0.3]);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The given label of each.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Null::of(&[0.3, 0.1], &[0, 1])?.classes(), [1, 0]);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn classes(&self) -> &[usize] {
        &self.classes
    }

    /// Adds the null scores of others.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Null;
    ///
    /// let mut null = Null::of(&[0.3], &[0])?;
    /// null.merge(&Null::of(&[0.1, 0.3], &[2, 1])?);
    /// assert_eq!(null, Null::of(&[0.1, 0.3, 0.3], &[2, 0, 1])?);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.join(other);
    }

    fn pairs(&self) -> impl Iterator<Item = (f32, usize)> {
        self.scores
            .iter()
            .copied()
            .zip(self.classes.iter().copied())
    }
}

impl Body for Null {
    const KIND: u16 = 4;

    fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.scores.len() as u64);
        let mut last = 0;
        for (score, class) in self.pairs() {
            put_number(out, u64::from(ordered(score) - last));
            put_number(out, class as u64);
            last = ordered(score);
        }
    }

    fn read(from: &mut Reader) -> Result<Self, Flaw> {
        let length = from.length()?;
        let mut pairs: Vec<(f32, usize)> = Vec::with_capacity(length);
        let mut last = 0_u32;
        for _ in 0..length {
            let start = from.at;
            let key = u32::try_from(from.number()?).ok();
            let Some(key) = key.and_then(|gap| last.checked_add(gap)) else {
                return Err(Flaw::Bad(start, "a score is too large"));
            };
            let score = score_of(key);
            if score.is_nan() {
                return Err(Flaw::Bad(start, "a score is NaN"));
            }
            let class = from.size()?;
            if let Some(&(before, last_class)) = pairs.last()
                && ordered(before) == key
                && last_class > class
            {
                return Err(Flaw::Bad(start, "null scores are out of order"));
            }
            pairs.push((score, class));
            last = key;
        }
        Ok(Self::sorted(pairs))
    }

    fn differs(&self, _: &Self) -> Option<&'static str> {
        None
    }

    fn join(&mut self, other: &Self) {
        let mut pairs: Vec<(f32, usize)> = self.pairs().collect();
        pairs.extend(other.pairs());
        *self = Self::sorted(pairs);
    }
}
