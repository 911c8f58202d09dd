//! A simultaneous upper confidence band on a survival function: how many clean samples may score at
//! least t, for all t at once.
//!
//! Two bands. The default is the **equal-local-level** or Berk–Jones band (Berk and Jones, Z.
//! Wahrscheinlichkeitstheorie verw. Gebiete 47, 1979; Owen, *Nonparametric likelihood confidence
//! bands for a distribution function*, JASA 90, 1995; Moscovich, Nadler and Spiegelman, Electronic
//! Journal of Statistics 10, 2016): each bound is an exact binomial one at the same level η, with η
//! such that all hold together with probability 1 − α. It is narrow in the tail, which is where few
//! wrong labels are seen. The other is **Dvoretzky–Kiefer–Wolfowitz** with Massart's constant
//! (Annals of Probability 18, 1990), of one width everywhere.

use crate::StatsError;
use crate::check::within;
use crate::crossing::calibrated_bounds;

/// The part of the survival function that [`UpperBand::new`] bounds: from 0 to this.
///
/// A band over everything spends confidence on thresholds below most clean samples, and when it does
/// fail, mostly fails there, by much. Half is also the customary range of higher criticism
/// (Donoho and Jin, Annals of Statistics 32, 2004).
pub const DEFAULT_RANGE: f64 = 0.5;

/// Up to this many samples every count has a bound of its own; beyond, a few thousand counts do, and
/// those between take the next higher one's, which is valid because a survival function is monotone.
const EVERY_COUNT_UP_TO: usize = 5_000;

/// For n samples from any distribution, P(S(t) ≤ `at`(#{sample ≥ t}) for every t) ≥ 1 − α, where S is
/// the true survival function.
///
/// For samples from a continuous distribution the Berk–Jones probability is 1 − α, to a millionth of α. With ties it
/// can only be higher: breaking them at random gives a continuous case with more thresholds to fail at.
///
/// ```
/// use mirrorwatch_stats::band::UpperBand;
///
/// let band = UpperBand::new(100, 0.05)?;
/// assert_eq!((band.n(), band.alpha()), (100, 0.05));
/// // No clean sample of 100 scored above t; of all clean ones, a few per cent may.
/// assert!(band.at(0) > 0.03 && band.at(0) < 0.1);
/// // Each bound alone holds with more confidence than all of them together.
/// assert!(band.local_level().is_some_and(|level| level < 0.05));
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct UpperBand {
    /// Bounds for counts 0, 1, …; for counts beyond the end the bound is 1.
    bounds: Vec<f64>,
    n: usize,
    alpha: f64,
    local_level: Option<f64>,
}

impl UpperBand {
    /// The default band: [`berk_jones`](Self::berk_jones) with [`DEFAULT_RANGE`].
    ///
    /// # Errors
    ///
    /// As [`berk_jones`](Self::berk_jones).
    ///
    /// ```
    /// use mirrorwatch_stats::band::{DEFAULT_RANGE, UpperBand};
    ///
    /// let band = UpperBand::new(50, 0.1)?;
    /// assert_eq!(band, UpperBand::berk_jones(50, 0.1, DEFAULT_RANGE)?);
    /// assert!(UpperBand::new(0, 0.1).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn new(n: usize, alpha: f64) -> Result<Self, StatsError> {
        Self::berk_jones(n, alpha, DEFAULT_RANGE)
    }

    /// The equal-local-level band. `n` ≥ 1 samples, confidence 1 − `alpha` with `alpha` in (0, 0.5].
    ///
    /// Counts above `range` · n get the trivial bound 1; `range` is in (0, 1], and 1 bounds
    /// everything. About 0.015 s for n = 1,000, 0.1 s for 10,000, 1 s for 100,000 and 19 s for a million, twice that
    /// with a `range` of 1: keep the band if the null's size does not change.
    ///
    /// # Errors
    ///
    /// [`StatsError::Empty`] for n = 0, [`StatsError::OutOfRange`] for `alpha` or `range`.
    ///
    /// ```
    /// use mirrorwatch_stats::band::UpperBand;
    ///
    /// let band = UpperBand::berk_jones(100, 0.05, 0.5)?;
    /// // In the tail, where few wrong labels are seen, it is narrower than the other one.
    /// assert!(band.at(0) < UpperBand::dkw(100, 0.05)?.at(0));
    /// // Beyond half of the samples it says nothing.
    /// assert!(band.at(50) < 1.0 && band.at(51) == 1.0);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn berk_jones(n: usize, alpha: f64, range: f64) -> Result<Self, StatsError> {
        check(n, alpha)?;
        within(
            range > 0.0 && range <= 1.0,
            "range",
            range,
            "above 0 and at most 1",
        )?;
        let k = ((range * n as f64).floor() as usize + 1).min(n);
        let counts = bounded_counts(n, k);
        let (level, at_counts) = calibrated_bounds(n, &counts, alpha);
        let mut bounds = Vec::with_capacity(k);
        for (count, bound) in counts.iter().zip(at_counts) {
            bounds.resize(count + 1, bound);
        }
        Ok(Self {
            bounds,
            n,
            alpha,
            local_level: Some(level),
        })
    }

    /// The Dvoretzky–Kiefer–Wolfowitz–Massart band: the empirical survival function plus
    /// (ln(1/α) / (2n))^½, for all counts. `alpha` in (0, 0.5], where the one-sided inequality holds.
    ///
    /// # Errors
    ///
    /// [`StatsError::Empty`] for n = 0, [`StatsError::OutOfRange`] for `alpha`.
    ///
    /// ```
    /// use mirrorwatch_stats::band::UpperBand;
    ///
    /// let band = UpperBand::dkw(200, 0.05)?;
    /// let width = band.at(0);
    /// assert!((width - (20.0_f64.ln() / 400.0).sqrt()).abs() < 1e-12);
    /// assert!((band.at(40) - 0.2 - width).abs() < 1e-12);
    /// assert_eq!(band.local_level(), None);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn dkw(n: usize, alpha: f64) -> Result<Self, StatsError> {
        check(n, alpha)?;
        let width = ((1.0 / alpha).ln() / (2.0 * n as f64)).sqrt();
        let mut bounds = Vec::with_capacity(n);
        for count in 0..n {
            bounds.push((count as f64 / n as f64 + width).min(1.0));
        }
        Ok(Self {
            bounds,
            n,
            alpha,
            local_level: None,
        })
    }

    /// The upper bound on S(t) for a t which `exceed_count` of the n samples reach or exceed; in (0, 1],
    /// never below `exceed_count` / n.
    ///
    /// ```
    /// let band = mirrorwatch_stats::band::UpperBand::new(200, 0.05)?;
    /// // 10 of 200 clean samples score at least t: of all, 5 % or somewhat more.
    /// assert!(band.at(10) > 0.05 && band.at(10) < 0.15);
    /// assert!(band.at(11) > band.at(10));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn at(&self, exceed_count: usize) -> f64 {
        self.bounds.get(exceed_count).copied().unwrap_or(1.0)
    }

    /// The number of samples the band is for.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::band::UpperBand::dkw(200, 0.05)?.n(), 200);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// One minus the confidence.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::band::UpperBand::dkw(200, 0.05)?.alpha(), 0.05);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// η, the level of each bound alone; none for the DKW band.
    ///
    /// ```
    /// let band = mirrorwatch_stats::band::UpperBand::berk_jones(200, 0.05, 1.0)?;
    /// // By the union bound it is no less than the 200th part of alpha.
    /// assert!(band.local_level().is_some_and(|level| level > 0.05 / 200.0 && level < 0.05));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn local_level(&self) -> Option<f64> {
        self.local_level
    }
}

fn check(n: usize, alpha: f64) -> Result<(), StatsError> {
    if n == 0 {
        return Err(StatsError::Empty { what: "null" });
    }
    within(
        (f64::MIN_POSITIVE..=0.5).contains(&alpha),
        "alpha",
        alpha,
        "above 0 and at most 0.5",
    )
}

/// The counts below k that get a bound of their own; one in between takes that of the next higher.
///
/// Beyond [`EVERY_COUNT_UP_TO`] the steps are an eighth of the count's standard deviation, so that the band
/// is at most a twentieth wider than it could be, and the time to calibrate it grows little faster than n.
fn bounded_counts(n: usize, k: usize) -> Vec<usize> {
    if n <= EVERY_COUNT_UP_TO {
        return (0..k).collect();
    }
    let mut counts = Vec::new();
    let mut count = 0;
    while count < k - 1 {
        counts.push(count);
        count += ((count as f64).sqrt() / 8.0).floor().max(1.0) as usize;
    }
    counts.push(k - 1);
    counts
}

#[cfg(test)]
#[path = "band_tests.rs"]
mod tests;
