//! Where a score falls between null scores.

use crate::StatsError;
use crate::cells::Cells;
use crate::check::{ascending, count_at_least, no_nan, some_scores};

/// Null scores in order, to see between which of them a score falls.
///
/// What is decided of a cell is decided of all samples in it, so that neither their p-values nor anything else has to be
/// kept for each sample: look the cell up when it is asked for.
///
/// ```
/// use mirrorwatch_stats::conformal;
/// use mirrorwatch_stats::shards::Ruler;
///
/// let null = [0.1, 0.2, 0.2, 0.3];
/// let ruler = Ruler::new(&null)?;
/// assert_eq!([0.9, 0.2, 0.25, 0.0].map(|score| ruler.cell(score)), [0, 3, 1, 4]);
/// let cells = ruler.count(&[0.25])?;
/// assert_eq!(cells.p_value(ruler.cell(0.25)), conformal::p_values(&null, &[0.25])?[0]);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ruler {
    sorted: Vec<f32>,
}

impl Ruler {
    /// A ruler of `null`: m ≥ 1 scores in any order.
    ///
    /// # Errors
    ///
    /// As [`p_values`](crate::conformal::p_values).
    ///
    /// ```
    /// assert!(mirrorwatch_stats::shards::Ruler::new(&[]).is_err());
    /// ```
    pub fn new(null: &[f32]) -> Result<Self, StatsError> {
        some_scores("null", null)?;
        Ok(Self {
            sorted: ascending(null),
        })
    }

    /// The cell of a score: how many null scores are at or above it. O(log m).
    ///
    /// ```
    /// let ruler = mirrorwatch_stats::shards::Ruler::new(&[0.1, 0.2])?;
    /// assert_eq!((ruler.cell(0.2), ruler.cell(0.3)), (1, 0));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn cell(&self, score: f32) -> usize {
        count_at_least(&self.sorted, score)
    }

    /// Counts `scores` between the null scores, as [`Cells::count`] does.
    ///
    /// # Errors
    ///
    /// [`StatsError::NotANumber`].
    ///
    /// ```
    /// let ruler = mirrorwatch_stats::shards::Ruler::new(&[0.1, 0.2])?;
    /// assert_eq!(ruler.count(&[0.3, 0.15, 0.3])?.occupied().collect::<Vec<_>>(), [(0, 2), (1, 1)]);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn count(&self, scores: &[f32]) -> Result<Cells, StatsError> {
        no_nan("scores", scores)?;
        let placed = scores.iter().map(|&score| (score, self.cell(score)));
        Ok(Cells::of(&self.sorted, placed))
    }
}
