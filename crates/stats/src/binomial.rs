//! Tails of the binomial distribution.

use crate::StatsError;
use crate::beta::lower_tail;
use crate::check::within;

/// P(X ≥ `successes`) for X ~ Bin(`trials`, `p`), with full relative accuracy when it is small.
///
/// # Errors
///
/// [`StatsError::OutOfRange`] unless `p` is from 0 to 1.
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

#[cfg(test)]
mod tests {
    use super::*;

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
