//! Median and scale of all shards' scores in few rounds of small messages.
//!
//! A median is the score of a rank, and the score of a rank is found digit by digit: count how many scores begin with
//! which 16 bits, see in which of these buckets the rank falls, count the next bits within it. Scores have 32 bits;
//! their distances from the median, which the scale is the median of, are f64 and have 64. Once the buckets hold
//! few enough samples, all bits that are left are counted at once.

use super::error::ShardError;
use super::histogram::{Histogram, OTHER_ROUND, Question};
use super::survival::score_of;
use super::tally::Tally;
use crate::StatsError;
use crate::check::no_nan;
use crate::exact::ExactSums;
use crate::moments::{fallback_scale, median_of, scaled_mad};

/// How many bits a round counts.
const BITS: u32 = 16;

/// Up to so many samples in the buckets in question, the next round is the last one: their bits take no more room than
/// buckets do.
const FEW: u64 = 1 << BITS;

/// [`robust_location_scale`](crate::moments::robust_location_scale) of the scores of all shards, to the last bit, in four
/// rounds up to about a million samples and at most six.
///
/// In each round every shard counts its own scores as the search asks and publishes the [`Histogram`]; all can go on by
/// themselves from the merged one, and all go the same way. A histogram takes less than 0.7 MB however many samples there
/// are, and some kilobytes where they are few or spread as scores are. [`Survival`](super::Survival) does it in one round,
/// with all scores in it.
///
/// ```
/// use mirrorwatch_stats::{moments::robust_location_scale, shards::ScaleSearch};
///
/// let shards = [vec![1.0, 1e6, 3.0], vec![], vec![4.0, 2.0]];
/// let mut search = ScaleSearch::new();
/// let found = loop {
///     let mut merged = search.count(&[])?;
///     for scores in &shards {
///         merged.merge(&search.count(scores)?)?;
///     }
///     if let Some(found) = search.advance(&merged)? {
///         break found;
///     }
/// };
/// assert_eq!(found, robust_location_scale(&shards.concat())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleSearch {
    question: Question,
    /// The ranks that are looked for, each within the samples of its bucket.
    ranks: [u64; 2],
    samples: u64,
    /// What the scale is taken from where more than half of the scores are equal.
    sums: ExactSums,
}

impl Default for ScaleSearch {
    fn default() -> Self {
        Self::new()
    }
}

impl ScaleSearch {
    /// The first round, which is the same for all.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ScaleSearch;
    ///
    /// assert_eq!(ScaleSearch::new(), ScaleSearch::default());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            question: Question {
                median: None,
                known: 0,
                next: BITS,
                prefixes: [0; 2],
            },
            ranks: [0; 2],
            samples: 0,
            sums: ExactSums::default(),
        }
    }

    /// Counts a shard's scores, perhaps none, as this round asks.
    ///
    /// # Errors
    ///
    /// [`StatsError::NotANumber`].
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ScaleSearch;
    ///
    /// assert_eq!(ScaleSearch::new().count(&[0.5, 0.25])?.samples(), 2);
    /// assert!(ScaleSearch::new().count(&[f32::NAN]).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn count(&self, scores: &[f32]) -> Result<Histogram, StatsError> {
        no_nan("values", scores)?;
        let first = self.question.is_first();
        Ok(Histogram {
            question: self.question,
            tallies: self.question.count(scores),
            sums: first.then(|| ExactSums::of(scores)),
        })
    }

    /// Goes on from what all shards together have counted: to location and scale, or none and the next round.
    ///
    /// # Errors
    ///
    /// [`ShardError::Differs`] if they were asked something else, [`StatsError::Empty`] without samples, and
    /// [`StatsError::OutOfRange`] if the median is infinite. The search stays where it was.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ScaleSearch;
    ///
    /// let mut search = ScaleSearch::new();
    /// assert_eq!(search.advance(&search.count(&[5.0; 8])?)?, None);
    /// assert!(search.advance(&ScaleSearch::new().count(&[5.0; 8])?).is_err());
    /// for _ in 2..4 {
    ///     assert_eq!(search.advance(&search.count(&[5.0; 8])?)?, None);
    /// }
    /// assert_eq!(search.advance(&search.count(&[5.0; 8])?)?, Some((5.0, 1.0)));
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    pub fn advance(&mut self, merged: &Histogram) -> Result<Option<(f64, f64)>, ShardError> {
        if merged.question != self.question {
            return Err(ShardError::Differs {
                part: "the histogram".to_string(),
                what: OTHER_ROUND,
            });
        }
        let mut next = self.clone();
        if self.question.is_first() {
            next.sums = merged.sums.unwrap_or_default();
            next.samples = merged.samples();
            if next.samples == 0 {
                let what = "values";
                return Err(StatsError::Empty { what }.into());
            }
            next.ranks = next.middle();
        }
        let few = next.narrow(&merged.tallies)?;
        let left = next.question.width() - next.question.known;
        if left > 0 {
            next.question.next = if few { left } else { BITS };
        } else if let Some(median) = next.question.median {
            return Ok(Some(next.found(median)));
        } else {
            next.ask_deviations()?;
        }
        *self = next;
        Ok(None)
    }

    /// The ranks of the two in the middle, counted from 0; one and the same where the number is odd.
    fn middle(&self) -> [u64; 2] {
        [(self.samples - 1) / 2, self.samples / 2]
    }

    /// Makes each prefix longer by what was counted; says whether few samples are left.
    fn narrow(&mut self, tallies: &[Tally; 2]) -> Result<bool, ShardError> {
        let question = &mut self.question;
        let mut left = [0; 2];
        let one = question.prefixes[0] == question.prefixes[1];
        for place in 0..2 {
            let tally = if one { &tallies[0] } else { &tallies[place] };
            let Some((key, before, count)) = tally.at_rank(self.ranks[place]) else {
                return Err(ShardError::Differs {
                    part: "the histogram".to_string(),
                    what: "fewer samples than in the round before",
                });
            };
            question.prefixes[place] = question.prefixes[place] << question.next | key;
            self.ranks[place] -= before;
            left[place] = count;
        }
        question.known += question.next;
        let samples = if question.prefixes[0] == question.prefixes[1] {
            left[0]
        } else {
            left[0] + left[1]
        };
        Ok(samples <= FEW)
    }

    /// The median is known: on to the distances from it.
    fn ask_deviations(&mut self) -> Result<(), StatsError> {
        let [low, high] = self.question.prefixes.map(|key| score_of(key as u32));
        self.question = Question {
            median: Some(median_of(low, high)?),
            known: 0,
            next: BITS,
            prefixes: [0; 2],
        };
        self.ranks = self.middle();
        Ok(())
    }

    fn found(&self, median: f64) -> (f64, f64) {
        let [lower, upper] = self.question.prefixes.map(f64::from_bits);
        let mad = scaled_mad(lower, upper);
        (median, mad.unwrap_or_else(|| fallback_scale(&self.sums)))
    }
}

#[cfg(test)]
#[path = "scale_tests.rs"]
mod tests;
