//! Counts of samples between consecutive null scores: all that the count of a run depends on.

use crate::band::UpperBand;
use crate::check::no_nan;
use crate::fdr::{self, Threshold};
use crate::noise_ratio::{self, NoiseBound};
use crate::ruler::Ruler;
use crate::{StatsError, local};

/// The samples of one cell; cells without any are not kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Occupied {
    /// How many null scores are at or above these samples' scores.
    pub(crate) cell: usize,
    pub(crate) samples: usize,
    /// The lowest of these samples' scores.
    pub(crate) lowest: f32,
}

/// How many samples fall between which null scores.
///
/// A sample is in cell a, 0 ≤ a ≤ m, if a of the m null scores are at or above its score. Its p-value is
/// (1 + a) / (1 + m), so that every sample of a cell shares one fate: whether it is a suspect and how likely its
/// label is wrong depend on the counts of cells alone, and so does the bound on the noise ratio. Of each cell
/// the lowest score is kept, too, to say at which score the bound is reached.
///
/// ```
/// use mirrorwatch_stats::shards::Cells;
/// use mirrorwatch_stats::{conformal, fdr};
///
/// let null = [0.1, 0.2, 0.3];
/// let (here, there) = ([0.15, 0.9], [0.05, 0.2, 0.95]);
/// let mut cells = Cells::count(&null, &here)?;
/// cells.merge(&Cells::count(&null, &there)?)?;
/// assert_eq!(cells, Cells::count(&null, &[0.15, 0.9, 0.05, 0.2, 0.95])?);
/// assert_eq!((cells.samples(), cells.null_samples()), (5, 3));
/// // Two above all null scores, two in (0.1, 0.2], one below all.
/// assert_eq!(cells.occupied().collect::<Vec<_>>(), [(0, 2), (2, 2), (3, 1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// Tells nulls apart.
    pub(crate) digest: u64,
    pub(crate) null_samples: usize,
    /// In increasing order of cells, so in decreasing order of scores.
    pub(crate) occupied: Vec<Occupied>,
}

/// The cell of each score: how many scores of `null` are at or above it.
///
/// # Errors
///
/// As [`p_values`](crate::conformal::p_values).
///
/// ```
/// use mirrorwatch_stats::shards::cells_of;
///
/// assert_eq!(cells_of(&[0.1, 0.2, 0.2, 0.3], &[0.9, 0.2, 0.25, 0.0])?, [0, 3, 1, 4]);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn cells_of(null: &[f32], scores: &[f32]) -> Result<Vec<usize>, StatsError> {
    let ruler = Ruler::new(null)?;
    no_nan("scores", scores)?;
    Ok(scores.iter().map(|&score| ruler.cell(score)).collect())
}

impl Cells {
    /// Counts `scores` between those of `null`.
    ///
    /// `null`: m ≥ 1 scores of samples whose labels are known to be right, in any order: the same ones in every
    /// shard. `scores`: those of the samples that this shard judges, perhaps none. O((m + N) log m).
    ///
    /// # Errors
    ///
    /// As [`p_values`](crate::conformal::p_values).
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Cells;
    ///
    /// assert_eq!(Cells::count(&[0.1, 0.2], &[0.15, 0.3])?.samples(), 2);
    /// assert_eq!(Cells::count(&[0.1, 0.2], &[])?.samples(), 0);
    /// assert!(Cells::count(&[], &[0.3]).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn count(null: &[f32], scores: &[f32]) -> Result<Self, StatsError> {
        Ruler::new(null)?.count(scores)
    }

    /// The table of scores and the cells that they are in.
    pub(crate) fn of(sorted_null: &[f32], scores: impl Iterator<Item = (f32, usize)>) -> Self {
        let mut table = vec![(0, f32::INFINITY); sorted_null.len() + 1];
        for (score, cell) in scores {
            let (samples, lowest) = &mut table[cell];
            *samples += 1;
            *lowest = lower(*lowest, score);
        }
        let mut occupied = Vec::new();
        for (cell, (samples, lowest)) in table.into_iter().enumerate() {
            if samples > 0 {
                occupied.push(Occupied {
                    cell,
                    samples,
                    lowest,
                });
            }
        }
        Self {
            digest: digest(sorted_null),
            null_samples: sorted_null.len(),
            occupied,
        }
    }

    /// How many samples were counted.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Cells::count(&[0.1], &[0.3, 0.3])?.samples(), 2);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn samples(&self) -> usize {
        self.occupied.iter().map(|cell| cell.samples).sum()
    }

    /// m, the size of the null.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Cells::count(&[0.1], &[0.3, 0.3])?.null_samples(), 1);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn null_samples(&self) -> usize {
        self.null_samples
    }

    /// The cells that hold samples and how many, from the most suspicious one down.
    ///
    /// ```
    /// let cells = mirrorwatch_stats::shards::Cells::count(&[0.1, 0.2], &[0.3, 0.0, 0.0])?;
    /// assert_eq!(cells.occupied().collect::<Vec<_>>(), [(0, 1), (2, 2)]);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn occupied(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        self.occupied.iter().map(|cell| (cell.cell, cell.samples))
    }

    /// The p-value of the samples of a cell, (1 + `cell`) / (1 + m).
    ///
    /// ```
    /// let cells = mirrorwatch_stats::shards::Cells::count(&[0.1, 0.2, 0.3], &[])?;
    /// assert_eq!((cells.p_value(0), cells.p_value(3)), (0.25, 1.0));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn p_value(&self, cell: usize) -> f64 {
        (1 + cell) as f64 / (1 + self.null_samples) as f64
    }

    /// p-values in increasing order, each with the number of samples that have it.
    pub(crate) fn p_values(&self) -> Vec<(f64, usize)> {
        let mut counted = Vec::with_capacity(self.occupied.len());
        for cell in &self.occupied {
            counted.push((self.p_value(cell.cell), cell.samples));
        }
        counted
    }

    /// How many samples have a p-value of at most `p`: with the threshold of other samples, how many of these
    /// (canaries, say) would be suspects.
    ///
    /// ```
    /// let cells = mirrorwatch_stats::shards::Cells::count(&[0.1, 0.2, 0.3], &[0.9, 0.25, 0.25])?;
    /// assert_eq!((cells.at_most(0.25), cells.at_most(0.5), cells.at_most(0.1)), (1, 3, 0));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn at_most(&self, p: f64) -> usize {
        let mut samples = 0;
        for (value, count) in self.p_values() {
            if value <= p {
                samples += count;
            }
        }
        samples
    }

    /// From which p-value down samples are suspects, as
    /// [`adaptive_benjamini_hochberg`](fdr::adaptive_benjamini_hochberg) decides on the p-values of all samples.
    ///
    /// # Errors
    ///
    /// [`StatsError::OutOfRange`] for `q`.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Cells;
    /// use mirrorwatch_stats::{conformal, fdr};
    ///
    /// let null: Vec<f32> = (0..99).map(|i| i as f32 / 99.0).collect();
    /// let scores = [2.0, 0.5, 3.0, 0.1, 2.5, 0.7];
    /// let threshold = Cells::count(&null, &scores)?.threshold(0.1)?;
    /// let whole = fdr::adaptive_benjamini_hochberg(&conformal::p_values(&null, &scores)?, 99, 0.1)?;
    /// assert_eq!((threshold.count, threshold.p_value), (whole.count, whole.threshold));
    /// // A shard flags its own.
    /// let own = conformal::p_values(&null, &scores[..2])?;
    /// assert_eq!([threshold.selects(own[0]), threshold.selects(own[1])], whole.selected[..2]);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn threshold(&self, q: f64) -> Result<Threshold, StatsError> {
        fdr::adaptive_threshold(&self.p_values(), self.null_samples, q)
    }

    /// [`noise_ratio::lower_bound`] of all samples: bound and point estimate.
    ///
    /// # Errors
    ///
    /// [`StatsError::Empty`] without samples, [`StatsError::OutOfRange`] for `alpha`.
    ///
    /// ```
    /// use mirrorwatch_stats::{noise_ratio, shards::Cells};
    ///
    /// let null: Vec<f32> = (0..200).map(|i| i as f32 / 200.0).collect();
    /// let mut train: Vec<f32> = (0..900).map(|i| i as f32 / 900.0).collect();
    /// train.extend([3.0; 100]);
    /// let mut cells = Cells::count(&null, &train[..950])?;
    /// cells.merge(&Cells::count(&null, &train[950..])?)?;
    /// assert_eq!(cells.lower_bound(0.05)?, noise_ratio::lower_bound(&null, &train, 0.05)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lower_bound(&self, alpha: f64) -> Result<NoiseBound, StatsError> {
        self.lower_bound_with(&UpperBand::new(self.null_samples, alpha)?)
    }

    /// [`lower_bound`](Self::lower_bound) with a band built before.
    ///
    /// # Errors
    ///
    /// As [`noise_ratio::lower_bound_with`].
    ///
    /// ```
    /// use mirrorwatch_stats::{band::UpperBand, shards::Cells};
    ///
    /// let null: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
    /// let cells = Cells::count(&null, &[2.0; 50])?;
    /// assert_eq!(cells.lower_bound_with(&UpperBand::new(100, 0.05)?)?, cells.lower_bound(0.05)?);
    /// assert!(cells.lower_bound_with(&UpperBand::new(99, 0.05)?).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn lower_bound_with(&self, band: &UpperBand) -> Result<NoiseBound, StatsError> {
        noise_ratio::bound_of(band, self)
    }

    /// [`local::false_discovery_rates`] of all samples, one rate for each cell from 0 to m. An empty cell has the
    /// rate of the next lower scores; 1 below all.
    ///
    /// # Errors
    ///
    /// [`StatsError::OutOfRange`] for a share that is not above 0 and at most 1.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::{Cells, cells_of};
    /// use mirrorwatch_stats::local;
    ///
    /// let null = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 2.0];
    /// let scores = [0.1, 0.3, 0.5, 2.5, 3.0, 3.5, 4.0];
    /// let rates = Cells::count(&null, &scores)?.false_discovery_rates(0.5)?;
    /// let whole = local::false_discovery_rates(&null, &scores, 0.5)?;
    /// for (cell, rate) in cells_of(&null, &scores)?.into_iter().zip(whole) {
    ///     assert_eq!(rates[cell], rate);
    /// }
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn false_discovery_rates(&self, clean_share: f64) -> Result<Vec<f64>, StatsError> {
        local::rates_of(self, clean_share)
    }
}

/// The lower of two scores; −0 is lower than 0, as in a sorted list.
pub(crate) fn lower(a: f32, b: f32) -> f32 {
    if b.total_cmp(&a).is_lt() { b } else { a }
}

/// Tells nulls apart by their sorted scores.
fn digest(sorted_null: &[f32]) -> u64 {
    let mut digest = crate::shards::Digest::default();
    for score in sorted_null {
        digest.take(&score.to_bits().to_le_bytes());
    }
    digest.value()
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;
