//! What shards count in a round of [`ScaleSearch`](super::ScaleSearch).

use super::bytes::{Flaw, Reader};
use super::error::ShardError;
use super::part::{Body, merge};
use super::sums::{read_sums, write_sums};
use super::survival::ordered;
use super::tally::Tally;
use crate::exact::ExactSums;

pub(crate) const OTHER_ROUND: &str = "answered another round's question";

/// Which bits of which numbers are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    /// None: the scores; else: their distances from this median.
    pub(crate) median: Option<f64>,
    /// Only numbers that begin with one of the prefixes, which have so many bits, are counted …
    pub(crate) known: u32,
    /// … by their next so many bits.
    pub(crate) next: u32,
    pub(crate) prefixes: [u64; 2],
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        let bits = |question: &Self| question.median.map(f64::to_bits);
        bits(self) == bits(other)
            && (self.known, self.next, self.prefixes) == (other.known, other.next, other.prefixes)
    }
}

impl Question {
    pub(crate) fn is_first(&self) -> bool {
        self.median.is_none() && self.known == 0
    }

    /// The number of bits of what is counted.
    pub(crate) fn width(&self) -> u32 {
        if self.median.is_some() { 64 } else { 32 }
    }

    /// The samples of the first prefix by their next bits, then those of the second, if it is another one.
    pub(crate) fn count(&self, scores: &[f32]) -> [Tally; 2] {
        let mut keys = [Vec::new(), Vec::new()];
        for &score in scores {
            let key = match self.median {
                None => u64::from(ordered(score)),
                // Not negative, and so in the order of its bits.
                Some(median) => (f64::from(score) - median).abs().to_bits(),
            };
            let after = key >> (self.width() - self.known - self.next);
            let prefix = after >> self.next;
            let bits = after & ((1 << self.next) - 1);
            if prefix == self.prefixes[0] {
                keys[0].push(bits);
            } else if prefix == self.prefixes[1] {
                keys[1].push(bits);
            }
        }
        keys.map(Tally::of)
    }
}

/// How many of a shard's scores fall into which bucket of a round.
///
/// ```
/// use mirrorwatch_stats::shards::ScaleSearch;
///
/// let search = ScaleSearch::new();
/// let mut histogram = search.count(&[0.5, 0.25])?;
/// histogram.merge(&search.count(&[0.75])?)?;
/// assert_eq!(histogram, search.count(&[0.25, 0.5, 0.75])?);
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    pub(crate) question: Question,
    pub(crate) tallies: [Tally; 2],
    /// Of the first round only: sums from which the standard deviation follows.
    pub(crate) sums: Option<ExactSums>,
}

impl Histogram {
    /// How many samples were counted: all in the first round, those still in question later.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::ScaleSearch::new().count(&[0.5, 0.25])?.samples(), 2);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.tallies[0].total() + self.tallies[1].total()
    }

    /// Adds what another shard has counted in the same round.
    ///
    /// # Errors
    ///
    /// [`ShardError::Differs`] for another round.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ScaleSearch;
    ///
    /// let mut search = ScaleSearch::new();
    /// let mut first = search.count(&[0.5])?;
    /// search.advance(&first)?;
    /// assert!(first.merge(&search.count(&[0.75])?).is_err());
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<(), ShardError> {
        merge(self, other)
    }
}

impl Body for Histogram {
    const KIND: u16 = 3;

    fn write(&self, out: &mut Vec<u8>) {
        let question = &self.question;
        out.push(u8::from(question.median.is_some()));
        out.extend(question.median.unwrap_or(0.0).to_bits().to_le_bytes());
        out.extend([question.known as u8, question.next as u8]);
        for prefix in question.prefixes {
            out.extend(prefix.to_le_bytes());
        }
        for tally in &self.tallies {
            tally.write(out);
        }
        if let Some(sums) = &self.sums {
            write_sums(sums, out);
        }
    }

    fn read(from: &mut Reader) -> Result<Self, Flaw> {
        let start = from.at;
        let [deviations] = from.array()?;
        let median = f64::from_bits(from.u64()?);
        let [known, next] = from.array()?.map(u32::from);
        let mut question = Question {
            median: (deviations == 1).then_some(median),
            known,
            next,
            prefixes: [0; 2],
        };
        let is_question = match deviations {
            0 => median.to_bits() == 0,
            1 => median.is_finite(),
            _ => false,
        };
        // All 64 bits at once are never asked for.
        if !is_question || !(1..64).contains(&next) || known + next > question.width() {
            return Err(Flaw::Bad(start, "no round asks this"));
        }
        for prefix in &mut question.prefixes {
            *prefix = from.u64()?;
        }
        let start = from.at;
        let tallies = [Tally::read(from)?, Tally::read(from)?];
        for tally in &tallies {
            let largest = tally.counts.last().map_or(0, |&(key, _)| key);
            if largest >> next != 0 {
                return Err(Flaw::Bad(start, "there is no such bucket"));
            }
        }
        let sums = if question.is_first() {
            Some(read_sums(from, tallies[0].total())?)
        } else {
            None
        };
        Ok(Self {
            question,
            tallies,
            sums,
        })
    }

    fn differs(&self, other: &Self) -> Option<&'static str> {
        (self.question != other.question).then_some(OTHER_ROUND)
    }

    fn join(&mut self, other: &Self) {
        for (ours, theirs) in self.tallies.iter_mut().zip(&other.tallies) {
            ours.join(theirs);
        }
        if let (Some(ours), Some(theirs)) = (&mut self.sums, &other.sums) {
            ours.merge(theirs);
        }
    }
}
