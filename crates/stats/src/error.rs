//! What can be wrong with the numbers handed in.

use thiserror::Error;

/// Why a statistic cannot be computed from what was given.
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
