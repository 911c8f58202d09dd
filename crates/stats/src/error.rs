//! What can be wrong with the numbers handed in.

use thiserror::Error;

/// Why a statistic cannot be computed from what was given.
///
/// ```
/// use mirrorwatch_stats::{StatsError, band::UpperBand, conformal, moments, noise_ratio, onset};
///
/// let no_rank = StatsError::NotANumber { what: "null", index: 1 };
/// assert_eq!(conformal::p_values(&[0.1, f32::NAN], &[0.2]), Err(no_rank));
/// assert_eq!(moments::quantile(&[], 0.5), Err(StatsError::Empty { what: "values" }));
///
/// let outside = moments::quantile(&[1.0], 1.5).map_err(|error| error.to_string());
/// assert_eq!(outside, Err("q is 1.5: it must be from 0 to 1".to_string()));
/// let differs = onset::changes(&[0, 1], &[0], &[true], &[true], 0.05);
/// assert!(matches!(differs, Err(StatsError::LengthMismatch { left_len: 2, right_len: 1, .. })));
///
/// let band = UpperBand::new(100, 0.05)?;
/// let other = noise_ratio::lower_bound_with(&band, &[0.1], &[0.2]);
/// assert_eq!(other, Err(StatsError::BandSize { band: 100, null: 1 }));
/// # Ok::<(), StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum StatsError {
    /// A value is NaN, which has no rank.
    #[error(
        "{what} has NaN at index {index}: leave the sample out or find out why it has no score"
    )]
    NotANumber {
        /// The slice.
        what: &'static str,
        /// Position of the first NaN.
        index: usize,
    },
    /// A slice has no elements.
    #[error("{what} is empty: give at least one value")]
    Empty {
        /// The slice.
        what: &'static str,
    },
    /// Two slices that belong together differ in length.
    #[error(
        "{left} has {left_len} values but {right} has {right_len}: give one of each per sample"
    )]
    LengthMismatch {
        /// The first slice.
        left: &'static str,
        /// Its length.
        left_len: usize,
        /// The second slice.
        right: &'static str,
        /// Its length.
        right_len: usize,
    },
    /// A number lies outside the range in which the method is defined.
    #[error("{what} is {value}: it must be {range}")]
    OutOfRange {
        /// The parameter or slice.
        what: &'static str,
        /// The number.
        value: f64,
        /// The permitted range, in words.
        range: &'static str,
    },
    /// A confidence band was built for another number of null samples.
    #[error("the band is for {band} null samples but {null} were given: build it for {null}")]
    BandSize {
        /// Samples the band was built for.
        band: usize,
        /// Samples given.
        null: usize,
    },
}
