//! Means and variances without rounding on the way.

use super::bytes::{Flaw, Reader, put_number};
use super::error::ShardError;
use super::part::{Body, MOST_SAMPLES, merge};
use crate::StatsError;
use crate::check::no_nan;
use crate::exact::{ExactSums, Natural};

/// Sums of f32 and of their squares, for several columns at once, kept as integers: whatever the order and the
/// division, mean and variance come out the same to the last bit. ([`Running`](crate::moments::Running) rounds at every step.)
///
/// A part has about 80 bytes a column, 400 at most. Infinities are left out.
///
/// ```
/// use mirrorwatch_stats::shards::Sums;
///
/// // Two columns; one large number would swallow the rest of its column.
/// let mut sums = Sums::of(&[1e30, 1.0, 3.0, 2.0], 2)?;
/// sums.merge(&Sums::of(&[-1e30, 6.0], 2)?)?;
/// assert_eq!((sums.mean(0), sums.mean(1)), (Some(1.0), Some(3.0)));
/// assert_eq!(sums.variance(1), Some(7.0));
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    columns: Vec<ExactSums>,
}

impl Sums {
    /// The sums of `rows` of `columns` values each.
    ///
    /// # Errors
    ///
    /// [`StatsError::NotANumber`], and [`StatsError::OutOfRange`] where the last row is not whole.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Sums;
    ///
    /// assert_eq!(Sums::of(&[2.0, 4.0], 1)?.mean(0), Some(3.0));
    /// assert!(Sums::of(&[2.0, 4.0, 6.0], 2).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn of(rows: &[f32], columns: usize) -> Result<Self, StatsError> {
        no_nan("rows", rows)?;
        crate::check::within(
            rows.len().is_multiple_of(columns),
            "the number of values",
            rows.len() as f64,
            "a multiple of that of columns",
        )?;
        let mut sums = vec![ExactSums::default(); columns];
        for row in rows.chunks(columns.max(1)) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                sum.push(value, 1);
            }
        }
        Ok(Self { columns: sums })
    }

    /// How many finite values a column has.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Sums::of(&[2.0, f32::INFINITY], 1)?.count(0), 1);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn count(&self, column: usize) -> u64 {
        self.columns.get(column).map_or(0, |sums| sums.count)
    }

    /// The mean of a column; none without values.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Sums::of(&[], 1)?.mean(0), None);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn mean(&self, column: usize) -> Option<f64> {
        self.columns.get(column)?.mean()
    }

    /// The unbiased sample variance of a column; none with fewer than two values.
    ///
    /// ```
    /// let sums = mirrorwatch_stats::shards::Sums::of(&[4.0, 7.0, 13.0, 16.0], 1)?;
    /// assert_eq!(sums.variance(0), Some(30.0));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn variance(&self, column: usize) -> Option<f64> {
        self.columns.get(column)?.variance()
    }

    /// Adds the sums of other rows.
    ///
    /// # Errors
    ///
    /// [`ShardError::Differs`] for another number of columns.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Sums;
    ///
    /// let mut sums = Sums::of(&[1.0], 1)?;
    /// sums.merge(&Sums::of(&[3.0], 1)?)?;
    /// assert_eq!(sums.mean(0), Some(2.0));
    /// assert!(sums.merge(&Sums::of(&[3.0, 4.0], 2)?).is_err());
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<(), ShardError> {
        merge(self, other)
    }
}

impl Body for Sums {
    const KIND: u16 = 7;

    fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.columns.len() as u64);
        for sums in &self.columns {
            write_sums(sums, out);
        }
    }

    fn read(from: &mut Reader) -> Result<Self, Flaw> {
        let length = from.length()?;
        let mut columns = Vec::new();
        for _ in 0..length {
            columns.push(read_sums(from, MOST_SAMPLES)?);
        }
        Ok(Self { columns })
    }

    fn differs(&self, other: &Self) -> Option<&'static str> {
        let same = self.columns.len() == other.columns.len();
        (!same).then_some("another number of columns")
    }

    fn join(&mut self, other: &Self) {
        for (ours, theirs) in self.columns.iter_mut().zip(&other.columns) {
            ours.merge(theirs);
        }
    }
}

pub(super) fn write_sums(sums: &ExactSums, out: &mut Vec<u8>) {
    put_number(out, sums.count);
    for natural in [&sums.above, &sums.below, &sums.squares] {
        for limb in natural.0 {
            put_number(out, limb);
        }
    }
}

/// Sums of `most` values at most.
pub(super) fn read_sums(from: &mut Reader, most: u64) -> Result<ExactSums, Flaw> {
    let start = from.at;
    let count = from.number()?;
    let mut naturals = [Natural::default(); 3];
    for natural in &mut naturals {
        for limb in &mut natural.0 {
            *limb = from.number()?;
        }
    }
    let [above, below, squares] = naturals;
    let sums = ExactSums {
        count,
        above,
        below,
        squares,
    };
    if count > most || !sums.is_possible() {
        return Err(Flaw::Bad(start, "no scores have such sums"));
    }
    Ok(sums)
}
