//! Survival functions that merge: all scores of a shard, each once, with how often it is there.

use super::bytes::{Flaw, Reader};
use super::part::Body;
use super::tally::Tally;
use crate::StatsError;
use crate::check::no_nan;
use crate::exact::ExactSums;
use crate::moments::{fallback_scale, median_of, scaled_mad};

/// How many samples score at or above any t: a step function.
///
/// It holds every distinct score, so whatever depends on scores but not on who has them follows from it:
/// location and scale in a single round, for example. Its size grows with the samples: a part has two to four bytes a
/// score, six at most where scores are few. Where that is too much, [`ScaleSearch`](super::ScaleSearch) needs more rounds
/// and less room.
///
/// ```
/// use mirrorwatch_stats::shards::Survival;
///
/// let mut survival = Survival::of(&[0.5, 0.1, 0.5])?;
/// survival.merge(&Survival::of(&[0.3])?);
/// assert_eq!([0.1, 0.3, 0.4, 0.5, 0.6].map(|t| survival.at(t)), [4, 3, 2, 2, 0]);
/// assert_eq!(survival.samples(), 4);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survival {
    /// Scores in increasing order, with how many samples are at or above each.
    steps: Vec<(f32, u64)>,
}

/// An integer for each score, in the order of scores: that of `f32::total_cmp`.
pub(crate) fn ordered(score: f32) -> u32 {
    let bits = score.to_bits();
    // Negative numbers run the other way.
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

/// The score of an integer of [`ordered`].
pub(crate) fn score_of(ordered: u32) -> f32 {
    let bits = if ordered >> 31 == 1 {
        ordered & !(1 << 31)
    } else {
        !ordered
    };
    f32::from_bits(bits)
}

impl Survival {
    /// The survival function of `scores`, perhaps none.
    ///
    /// # Errors
    ///
    /// [`StatsError::NotANumber`].
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Survival;
    ///
    /// assert_eq!(Survival::of(&[0.5, 0.1])?.at(0.2), 1);
    /// assert!(Survival::of(&[f32::NAN]).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn of(scores: &[f32]) -> Result<Self, StatsError> {
        no_nan("scores", scores)?;
        let keys = scores.iter().map(|&score| u64::from(ordered(score)));
        Ok(Self::from_tally(&Tally::of(keys)))
    }

    fn from_tally(tally: &Tally) -> Self {
        let mut steps = Vec::with_capacity(tally.counts.len());
        let mut at_or_above = tally.total();
        for (key, count) in tally.iter() {
            steps.push((score_of(key as u32), at_or_above));
            at_or_above -= count;
        }
        Self { steps }
    }

    fn to_tally(&self) -> Tally {
        let mut counts = Vec::with_capacity(self.steps.len());
        for (score, count) in self.counted() {
            counts.push((u64::from(ordered(score)), count));
        }
        Tally { counts }
    }

    /// How many samples score `t` or more; none where `t` is NaN.
    ///
    /// ```
    /// let survival = mirrorwatch_stats::shards::Survival::of(&[0.5, 0.1, 0.5])?;
    /// assert_eq!((survival.at(0.5), survival.at(f32::NEG_INFINITY)), (2, 3));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn at(&self, t: f32) -> u64 {
        if t.is_nan() {
            return 0;
        }
        let next = self.steps.partition_point(|&(score, _)| score < t);
        self.steps.get(next).map_or(0, |&(_, count)| count)
    }

    /// How many samples there are.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Survival::of(&[0.5, 0.1, 0.5])?.samples(), 3);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.steps.first().map_or(0, |&(_, count)| count)
    }

    /// The steps: scores in increasing order, each with how many samples score that or more.
    ///
    /// ```
    /// let survival = mirrorwatch_stats::shards::Survival::of(&[0.5, 0.1, 0.5])?;
    /// assert_eq!(survival.steps(), [(0.1, 3), (0.5, 2)]);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn steps(&self) -> &[(f32, u64)] {
        &self.steps
    }

    /// Adds the survival function of other samples.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Survival;
    ///
    /// let mut survival = Survival::of(&[0.5])?;
    /// survival.merge(&Survival::of(&[0.1, 0.5])?);
    /// assert_eq!(survival, Survival::of(&[0.5, 0.5, 0.1])?);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.join(other);
    }

    /// [`robust_location_scale`](crate::moments::robust_location_scale) of all scores, to the last bit.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use mirrorwatch_stats::{moments::robust_location_scale, shards::Survival};
    ///
    /// let mut survival = Survival::of(&[1.0, 1e6, 3.0])?;
    /// survival.merge(&Survival::of(&[4.0, 2.0])?);
    /// assert_eq!(survival.location_scale()?, robust_location_scale(&[1.0, 2.0, 3.0, 4.0, 1e6])?);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn location_scale(&self) -> Result<(f64, f64), StatsError> {
        let what = "values";
        let samples = self.samples();
        if samples == 0 {
            return Err(StatsError::Empty { what });
        }
        let (lower, upper) = ((samples - 1) / 2, samples / 2);
        // The score of rank k, counted from 0, is the highest one that all but k samples reach.
        let at_rank = |rank: u64| {
            let next = self.steps.partition_point(|step| step.1 >= samples - rank);
            self.steps[next - 1].0
        };
        let median = median_of(at_rank(lower), at_rank(upper))?;

        let mut deviations = Vec::with_capacity(self.steps.len());
        let mut sums = ExactSums::default();
        for (score, count) in self.counted() {
            deviations.push(((f64::from(score) - median).abs(), count));
            sums.push(score, count);
        }
        deviations.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut middle = [0.0; 2];
        let mut before = 0;
        for (deviation, count) in deviations {
            for (found, rank) in middle.iter_mut().zip([lower, upper]) {
                if (before..before + count).contains(&rank) {
                    *found = deviation;
                }
            }
            before += count;
        }
        let mad = scaled_mad(middle[0], middle[1]);
        Ok((median, mad.unwrap_or_else(|| fallback_scale(&sums))))
    }

    /// Scores in increasing order, with how many samples have each.
    fn counted(&self) -> impl Iterator<Item = (f32, u64)> {
        let above = self.steps.iter().skip(1).map(|&(_, count)| count);
        let steps = self.steps.iter().zip(above.chain([0]));
        steps.map(|(&(score, count), above)| (score, count - above))
    }
}

impl Body for Survival {
    const KIND: u16 = 2;

    fn write(&self, out: &mut Vec<u8>) {
        self.to_tally().write(out);
    }

    fn read(from: &mut Reader) -> Result<Self, Flaw> {
        let start = from.at;
        let tally = Tally::read(from)?;
        let (lowest, highest) = (ordered(f32::NEG_INFINITY), ordered(f32::INFINITY));
        for (key, _) in tally.iter() {
            if !(u64::from(lowest)..=u64::from(highest)).contains(&key) {
                return Err(Flaw::Bad(start, "a score is NaN"));
            }
        }
        Ok(Self::from_tally(&tally))
    }

    fn differs(&self, _: &Self) -> Option<&'static str> {
        None
    }

    fn join(&mut self, other: &Self) {
        let mut tally = self.to_tally();
        tally.join(&other.to_tally());
        *self = Self::from_tally(&tally);
    }
}
