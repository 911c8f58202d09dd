//! The training samples most like each of some known scores.

use super::bytes::{Flaw, Reader, put_number};
use super::error::ShardError;
use super::part::{Body, merge};
use crate::StatsError;
use crate::check::{no_nan, same_length};

/// A sample's score, and what is wanted of it.
type Pair = (f32, f32);

/// For each of some scores that all shards know, the sample with the nearest score, and a value that belongs to it.
///
/// What a mean over forks would say of a held-out sample, which only one fork may read, is taken from the training sample that
/// this fork finds most like it; that may be any shard's. A part has at most 21 bytes for each known score.
///
/// Of samples with equal scores the one with the lowest value counts, so that the result depends on nothing but scores and
/// values.
///
/// ```
/// use mirrorwatch_stats::shards::Neighbours;
///
/// let held_out = [0.5, 2.0];
/// let mut nearest = Neighbours::of(&held_out, &[0.0, 1.5], &[10.0, 20.0])?;
/// nearest.merge(&Neighbours::of(&held_out, &[0.6], &[30.0])?)?;
/// assert_eq!(nearest.nearest(0), Some((0.6, 30.0)));
/// assert_eq!(nearest.nearest(1), Some((1.5, 20.0)));
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    known: Vec<f32>,
    /// For each known score the highest below it, and the lowest at or above it.
    found: Vec<[Option<Pair>; 2]>,
}

impl Neighbours {
    /// Looks for the neighbours of the `known` scores among the `scores` of a shard's samples, of which each has a value.
    ///
    /// # Errors
    ///
    /// [`StatsError::NotANumber`], [`StatsError::LengthMismatch`].
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Neighbours;
    ///
    /// assert_eq!(Neighbours::of(&[0.5], &[], &[])?.nearest(0), None);
    /// assert!(Neighbours::of(&[0.5], &[1.0], &[]).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn of(known: &[f32], scores: &[f32], values: &[f32]) -> Result<Self, StatsError> {
        no_nan("known", known)?;
        no_nan("scores", scores)?;
        no_nan("values", values)?;
        same_length(("scores", scores.len()), ("values", values.len()))?;
        let mut pairs: Vec<Pair> = scores.iter().copied().zip(values.iter().copied()).collect();
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut found = Vec::with_capacity(known.len());
        for &score in known {
            let next = pairs.partition_point(|pair| pair.0 < score);
            let below = pairs[..next].last().map(|last| {
                // The first, with the lowest value, of those that score as the last does.
                pairs[pairs.partition_point(|pair| pair.0.total_cmp(&last.0).is_lt())]
            });
            found.push([below, pairs.get(next).copied()]);
        }
        Ok(Self {
            known: known.to_vec(),
            found,
        })
    }

    /// Score and value of the sample that is nearest to a known score, given by its position; of two as near the lower one.
    /// None without samples.
    ///
    /// ```
    /// let nearest = mirrorwatch_stats::shards::Neighbours::of(&[2.0], &[1.0, 3.0, 1.0], &[8.0, 6.0, 7.0])?;
    /// assert_eq!(nearest.nearest(0), Some((1.0, 7.0)));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn nearest(&self, position: usize) -> Option<(f32, f32)> {
        let known = *self.known.get(position)?;
        let distance = |pair: &Pair| (pair.0 - known).abs();
        let candidates = self.found[position].into_iter().flatten();
        candidates.min_by(|a, b| distance(a).total_cmp(&distance(b)))
    }

    /// Adds another shard's samples.
    ///
    /// # Errors
    ///
    /// [`ShardError::Differs`] where other scores are known.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Neighbours;
    ///
    /// let mut nearest = Neighbours::of(&[0.5], &[0.0], &[10.0])?;
    /// nearest.merge(&Neighbours::of(&[0.5], &[0.4], &[20.0])?)?;
    /// assert_eq!(nearest.nearest(0), Some((0.4, 20.0)));
    /// assert!(nearest.merge(&Neighbours::of(&[0.6], &[], &[])?).is_err());
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<(), ShardError> {
        merge(self, other)
    }
}

impl Body for Neighbours {
    const KIND: u16 = 8;

    fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.known.len() as u64);
        for (known, found) in self.known.iter().zip(&self.found) {
            out.extend(known.to_bits().to_le_bytes());
            out.push(u8::from(found[0].is_some()) + 2 * u8::from(found[1].is_some()));
            for (score, value) in found.iter().flatten() {
                out.extend(score.to_bits().to_le_bytes());
                out.extend(value.to_bits().to_le_bytes());
            }
        }
    }

    fn read(from: &mut Reader) -> Result<Self, Flaw> {
        let length = from.length()?;
        let (mut known, mut found) = (Vec::new(), Vec::new());
        for _ in 0..length {
            let score = from.score()?;
            let start = from.at;
            let [which] = from.array()?;
            let mut pairs = [None; 2];
            for (side, pair) in pairs.iter_mut().enumerate() {
                if which >> side & 1 == 1 {
                    *pair = Some((from.score()?, from.score()?));
                }
            }
            let sides = pairs[0].is_none_or(|below| below.0 < score)
                && pairs[1].is_none_or(|above| above.0 >= score);
            if which > 3 || !sides {
                return Err(Flaw::Bad(start, "a neighbour is on the wrong side"));
            }
            known.push(score);
            found.push(pairs);
        }
        Ok(Self { known, found })
    }

    fn differs(&self, other: &Self) -> Option<&'static str> {
        let bits =
            |known: &[f32]| -> Vec<u32> { known.iter().map(|score| score.to_bits()).collect() };
        let same = bits(&self.known) == bits(&other.known);
        (!same).then_some("been compared with other known scores")
    }

    fn join(&mut self, other: &Self) {
        for (ours, theirs) in self.found.iter_mut().zip(&other.found) {
            ours[0] = nearer(ours[0], theirs[0], |a, b| b.total_cmp(&a));
            ours[1] = nearer(ours[1], theirs[1], |a, b| a.total_cmp(&b));
        }
    }
}

/// The one whose score comes first, and of equal ones the one with the lowest value.
fn nearer(
    a: Option<Pair>,
    b: Option<Pair>,
    order: impl Fn(f32, f32) -> std::cmp::Ordering,
) -> Option<Pair> {
    let both = [a, b].into_iter().flatten();
    both.min_by(|a, b| order(a.0, b.0).then(a.1.total_cmp(&b.1)))
}
