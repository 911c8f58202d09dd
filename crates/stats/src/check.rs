//! Validation and ordering shared by the modules.

use crate::StatsError;

/// Refuses NaN, naming the first one. Infinities pass: they have a rank.
pub(crate) fn no_nan(what: &'static str, values: &[f32]) -> Result<(), StatsError> {
    match values.iter().position(|v| v.is_nan()) {
        Some(index) => Err(StatsError::NotANumber { what, index }),
        None => Ok(()),
    }
}

/// Like [`no_nan`], and refuses an empty slice.
pub(crate) fn some_scores(what: &'static str, values: &[f32]) -> Result<(), StatsError> {
    if values.is_empty() {
        return Err(StatsError::Empty { what });
    }
    no_nan(what, values)
}

/// Refuses slices of different lengths.
pub(crate) fn same_length(
    (left, left_len): (&'static str, usize),
    (right, right_len): (&'static str, usize),
) -> Result<(), StatsError> {
    if left_len == right_len {
        return Ok(());
    }
    Err(StatsError::LengthMismatch {
        left,
        left_len,
        right,
        right_len,
    })
}

/// Refuses a value unless `ok`; NaN compares false with everything and so is refused too.
pub(crate) fn within(
    ok: bool,
    what: &'static str,
    value: f64,
    range: &'static str,
) -> Result<(), StatsError> {
    if ok {
        return Ok(());
    }
    Err(StatsError::OutOfRange { what, value, range })
}

/// A copy in increasing order.
pub(crate) fn ascending(values: &[f32]) -> Vec<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted
}

/// How many of the increasing `sorted` are at least `value`.
pub(crate) fn count_at_least(sorted: &[f32], value: f32) -> usize {
    sorted.len() - sorted.partition_point(|&s| s < value)
}
