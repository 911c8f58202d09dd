//! What values of options may be.

use mirrorwatch_influence::Division;
use mirrorwatch_stats::shards::MOST_SHARDS;

/// One share of so many.
pub(super) fn division(text: &str) -> Result<Division, String> {
    let parsed = text.split_once('/').and_then(|(index, count)| {
        let (index, count) = (index.parse().ok()?, count.parse().ok()?);
        Some(Division { index, count })
    });
    match parsed {
        Some(division) if division.index < division.count && division.count <= MOST_SHARDS => {
            Ok(division)
        }
        _ => Err(format!(
            "must be I/N, with I from 0 to N - 1 and N at most {MOST_SHARDS}"
        )),
    }
}

/// A finite number above 0.
pub(super) fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("must be a number above 0".to_string()),
    }
}

/// A number strictly between 0 and 1.
pub(super) fn open_unit(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("must be a number between 0 and 1".to_string()),
    }
}

/// A number above 0 and at most one half: beyond that the bound is not one.
pub(super) fn up_to_half(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 0.5 => Ok(value),
        _ => Err("must be a number above 0 and at most 0.5".to_string()),
    }
}
