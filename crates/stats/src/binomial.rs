//! Tails of the binomial distribution.

use crate::StatsError;
use crate::beta::lower_tail;
use crate::check::within;

/// P(X ≥ `successes`) for X ~ Bin(`trials`, `p`), with full relative accuracy when it is small.
///
/// # Errors
///
/// [`StatsError::OutOfRange`] unless `p` is from 0 to 1.
///
/// ```
/// // Eight or more heads in ten tosses: (45 + 10 + 1) / 1024.
/// let p = mirrorwatch_stats::binomial::upper_tail(10, 8, 0.5)?;
/// assert!((p - 56.0 / 1024.0).abs() < 1e-12);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn upper_tail(trials: usize, successes: usize, p: f64) -> Result<f64, StatsError> {
    within((0.0..=1.0).contains(&p), "p", p, "from 0 to 1")?;
    if successes == 0 {
        return Ok(1.0);
    }
    if successes > trials {
        return Ok(0.0);
    }
    // P(Bin(n, p) ≥ k) = P(Beta(k, n − k + 1) ≤ p)
    let (a, b) = (successes as f64, (trials - successes + 1) as f64);
    Ok(lower_tail(a, b, p))
}

/// The lower bound of Clopper and Pearson (Biometrika 26, 1934) on p after `successes` of `trials`: the p at
/// which so many or more have a chance of `level`. 0 without successes.
///
/// # Errors
///
/// [`StatsError::OutOfRange`] unless `level` is between 0 and 1 and there are no more successes than trials.
///
/// ```
/// use mirrorwatch_stats::binomial::{lower_bound, upper_tail};
///
/// // 40 of 100 reviewed labels were wrong: of all, at least 31 % are, with 95 % confidence.
/// let p = lower_bound(100, 40, 0.05)?;
/// assert!(p > 0.31 && p < 0.4);
/// assert!((upper_tail(100, 40, p)? - 0.05).abs() < 1e-9);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn lower_bound(trials: usize, successes: usize, level: f64) -> Result<f64, StatsError> {
    within(
        level > 0.0 && level < 1.0,
        "the level",
        level,
        "above 0 and below 1",
    )?;
    within(
        successes <= trials,
        "the number of successes",
        successes as f64,
        "at most that of trials",
    )?;
    if successes == 0 {
        return Ok(0.0);
    }
    // The tail grows with p. Sixty halvings leave nothing of a double.
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if upper_tail(trials, successes, middle)? < level {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.17.1: `beta.ppf(level, k, n - k + 1)`.
    #[test]
    fn lower_bounds_match_scipy() {
        for (n, k, level, expected) in [
            (250, 16, 0.05, 0.04055212176427509),
            (40, 40, 0.05, 0.9278424754944854),
            (1000, 1, 0.01, 1.0050285349045254e-05),
            (62, 6, 0.05, 0.042989661674345515),
        ] {
            let bound = lower_bound(n, k, level).unwrap();
            assert!((bound / expected - 1.0).abs() < 1e-9, "{n} {k}: {bound}");
        }
        assert_eq!(lower_bound(30, 0, 0.05).unwrap(), 0.0);
        assert!(lower_bound(3, 4, 0.05).is_err() && lower_bound(3, 1, 1.0).is_err());
    }

    /// scipy 1.17.1: `binom.sf(k - 1, n, p)`.
    #[test]
    fn matches_scipy() {
        for (n, k, p, expected) in [
            (30, 15, 0.2, 0.00023122561166772254),
            (1000, 130, 0.1, 0.0013413983708734428),
            (1000, 80, 0.1, 0.9867347702682329),
            (200, 199, 0.5, 1.2508260708500895e-58),
            (10, 3, 0.9, 0.9999996264),
        ] {
            let tail = upper_tail(n, k, p).unwrap();
            assert!((tail / expected - 1.0).abs() < 1e-9, "{n} {k} {p}: {tail}");
        }
    }

    #[test]
    fn the_ends() {
        assert_eq!(upper_tail(5, 0, 0.3).unwrap(), 1.0);
        assert_eq!(upper_tail(5, 6, 0.3).unwrap(), 0.0);
        assert_eq!(upper_tail(5, 2, 0.0).unwrap(), 0.0);
        assert_eq!(upper_tail(5, 5, 1.0).unwrap(), 1.0);
        assert!(upper_tail(5, 2, f64::NAN).is_err());
    }
}
