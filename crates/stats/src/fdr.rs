//! From p-values to a list of suspects with a bound on the share of false alarms.
//!
//! Benjamini and Hochberg, *Controlling the false discovery rate*, JRSS B 57, 1995. Conformal
//! p-values that share one null sample are positively dependent (PRDS), under which the procedure
//! stays valid, also with Storey's estimate of the clean share (Bates et al., Annals of Statistics
//! 51, 2023; Marandon, Lei, Mary and Roquain, *Adaptive novelty detection with false discovery rate
//! guarantee*, Annals of Statistics 52, 2024).

use crate::StatsError;
use crate::check::within;

/// Rounding must not turn `p = q·k/N`, which p-values on a grid do meet, into a miss.
const SLACK: f64 = 1.0 + 1e-12;

/// Which samples were selected, and what that promises.
///
/// ```
/// use mirrorwatch_stats::fdr::benjamini_hochberg;
///
/// let found = benjamini_hochberg(&[0.5, 0.01, 0.9, 0.02], 0.2)?;
/// let named: Vec<usize> = (0..4).filter(|&i| found.selected[i]).collect();
/// assert_eq!((named, found.count), (vec![1, 3], 2));
/// assert_eq!((found.threshold, found.q, found.clean_share), (0.02, 0.2, 1.0));
/// assert_eq!(found.expected_false, 0.4);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// One flag per p-value, in the order given.
    pub selected: Vec<bool>,
    /// How many are selected.
    pub count: usize,
    /// The largest selected p-value, 0 if nothing is selected. Selected are exactly those at most this.
    pub threshold: f64,
    /// The false-discovery rate asked for: on average over repetitions, at most this share of the
    /// selected is clean.
    pub q: f64,
    /// The share of clean samples that the threshold assumes, in (0, 1]; 1 for the plain procedure.
    pub clean_share: f64,
    /// `q * count`: how many of the selected to expect to be clean. The guarantee is about the mean of
    /// the *proportion*; this figure restates it for the count at hand and is not a bound with
    /// confidence on the number in this very selection.
    pub expected_false: f64,
}

/// From which p-value down samples are selected: a [`Selection`] without the samples.
///
/// ```
/// use mirrorwatch_stats::shards::Cells;
///
/// let null: Vec<f32> = (0..99).map(|i| i as f32 / 99.0).collect();
/// let threshold = Cells::count(&null, &[2.0, 0.5, 3.0, 0.1, 2.5, 0.7])?.threshold(0.1)?;
/// assert_eq!((threshold.count, threshold.p_value, threshold.q), (3, 0.01, 0.1));
/// assert!((threshold.expected_false - 0.3).abs() < 1e-12 && threshold.clean_share < 1.0);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// How many are selected.
    pub count: usize,
    /// The largest selected p-value, 0 if nothing is selected.
    pub p_value: f64,
    /// The false-discovery rate asked for.
    pub q: f64,
    /// The share of clean samples that the threshold assumes.
    pub clean_share: f64,
    /// `q * count`: how many of the selected to expect to be clean.
    pub expected_false: f64,
}

impl Threshold {
    /// Whether a sample with the p-value `p` is selected.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Cells;
    ///
    /// let null: Vec<f32> = (0..99).map(|i| i as f32 / 99.0).collect();
    /// let threshold = Cells::count(&null, &[2.0, 0.5, 3.0])?.threshold(0.1)?;
    /// assert!(threshold.selects(0.01) && !threshold.selects(0.5));
    /// // Where nothing is selected, a p-value of 0 is not, either.
    /// assert!(!Cells::count(&null, &[0.5])?.threshold(0.1)?.selects(0.0));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn selects(&self, p: f64) -> bool {
        self.count > 0 && p <= self.p_value
    }
}

/// Benjamini–Hochberg: select the k smallest p-values for the largest k with p_(k) ≤ q k / N.
///
/// `p`: N p-values in [0, 1]. `q`: the false-discovery rate in (0, 1], 0.1 is usual. Equal p-values are
/// selected together.
///
/// # Errors
///
/// [`StatsError::OutOfRange`] if `q` or a p-value is outside its range.
///
/// ```
/// use mirrorwatch_stats::fdr::benjamini_hochberg;
///
/// // Each is held against 0.02 times its rank.
/// let found = benjamini_hochberg(&[0.01, 0.02, 0.03, 0.09, 0.9], 0.1)?;
/// assert_eq!(found.selected, [true, true, true, false, false]);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn benjamini_hochberg(p: &[f64], q: f64) -> Result<Selection, StatsError> {
    select(p, q, 1.0)
}

/// [`benjamini_hochberg`] at level q / π̂₀, with π̂₀ the [`clean_share`]: selects at least as many.
///
/// Storey, *A direct approach to false discovery rates*, JRSS B 64, 2002; Benjamini, Krieger and
/// Yekutieli, Biometrika 93, 2006. `null_n`: the number of null samples behind the p-values.
///
/// # Errors
///
/// As [`benjamini_hochberg`], and [`StatsError::Empty`] if `null_n` is 0.
///
/// ```
/// use mirrorwatch_stats::fdr::{adaptive_benjamini_hochberg, benjamini_hochberg};
///
/// let p = [0.01, 0.02, 0.03, 0.09, 0.9];
/// let found = adaptive_benjamini_hochberg(&p, 99, 0.1)?;
/// // Four fifths seem to be clean, which makes room for one more.
/// assert_eq!((found.clean_share, found.count), (0.8, 4));
/// assert_eq!(benjamini_hochberg(&p, 0.1)?.count, 3);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn adaptive_benjamini_hochberg(
    p: &[f64],
    null_n: usize,
    q: f64,
) -> Result<Selection, StatsError> {
    let share = clean_share(p, null_n)?;
    select(p, q, share)
}

/// From which p-value down [`adaptive_benjamini_hochberg`] selects, without a flag for each sample.
///
/// # Errors
///
/// As there.
///
/// ```
/// use mirrorwatch_stats::fdr::{adaptive_benjamini_hochberg, adaptive_threshold_of};
///
/// let p = [0.01, 0.02, 0.03, 0.09, 0.9];
/// let threshold = adaptive_threshold_of(&p, 99, 0.1)?;
/// let whole = adaptive_benjamini_hochberg(&p, 99, 0.1)?;
/// assert_eq!(p.map(|p| threshold.selects(p)), whole.selected[..]);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn adaptive_threshold_of(p: &[f64], null_n: usize, q: f64) -> Result<Threshold, StatsError> {
    check_p_values(p)?;
    adaptive_threshold(&counted(p), null_n, q)
}

/// Storey's estimate of the share of clean samples, in (0, 1]:
/// min(1, (1 + #{p > λ}) / (N (1 − λ))). Never too low on average.
///
/// λ is the grid point k / (n + 1) at or below 1/2. On the grid, P(p > λ) = 1 − λ exactly for a
/// clean sample; off it the estimate would carry a needless bias. One half is the value of Storey,
/// Taylor and Siegmund (JRSS B 66, 2004): wrong labels whose score is below the clean median are
/// rare for any score worth using, and the null's sampling error, (λ / (1 − λ) / n)^½ of the
/// result, is still only 1/√n there; it doubles by λ = 0.8. With p-values from nulls of several
/// sizes (class-conditional), any of the sizes may be given: off its grid the estimate only rises.
///
/// `p`: N p-values in [0, 1]; with N = 0 the result is 1. `null_n`: the number of null samples.
///
/// # Errors
///
/// [`StatsError::OutOfRange`] for a p-value outside [0, 1], [`StatsError::Empty`] if `null_n` is 0.
///
/// ```
/// // Half of 100 samples is clean: their p-values are spread evenly.
/// let mut p = vec![0.01; 50];
/// p.extend((0..50).map(|i| (f64::from(i) + 0.5) / 50.0));
/// assert_eq!(mirrorwatch_stats::fdr::clean_share(&p, 99)?, 0.52);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn clean_share(p: &[f64], null_n: usize) -> Result<f64, StatsError> {
    check_p_values(p)?;
    counted_share(&counted(p), null_n)
}

/// The smallest number of suspects that the procedure can report: ⌈N π₀ / (q (n + 1))⌉, at least 1.
///
/// The smallest conformal p-value is 1 / (n + 1), so fewer suspects than this never pass, however wrong
/// their labels. `samples`: N; `null_n`: n; `clean_share`: π₀, 1 for the plain procedure. A result above
/// N means that nothing can ever be reported; `usize::MAX` if `q` is not positive.
///
/// ```
/// use mirrorwatch_stats::fdr::min_detectable;
///
/// // With 1,000 null samples fewer than 500 of 50,000 wrong labels cannot be named, with 10,000 fewer than 50.
/// assert_eq!(min_detectable(50_000, 1_000, 0.1, 1.0), 500);
/// assert_eq!(min_detectable(50_000, 10_000, 0.1, 1.0), 50);
/// ```
#[must_use]
pub fn min_detectable(samples: usize, null_n: usize, q: f64, clean_share: f64) -> usize {
    if q.is_nan() || q <= 0.0 {
        return usize::MAX;
    }
    let smallest_p = 1.0 / (null_n as f64 + 1.0);
    let exact = samples as f64 * clean_share * smallest_p / q;
    let mut k = exact.ceil().max(1.0) as usize;
    // The same comparison as the procedure's own, so that the two agree to the last bit.
    if k > 1 && passes(smallest_p, k - 1, samples, q, clean_share) {
        k -= 1;
    }
    k
}

fn select(p: &[f64], q: f64, clean_share: f64) -> Result<Selection, StatsError> {
    within_range(q)?;
    check_p_values(p)?;
    let threshold = step_up(&counted(p), q, clean_share);
    Ok(Selection {
        selected: p.iter().map(|&p| threshold.selects(p)).collect(),
        count: threshold.count,
        threshold: threshold.p_value,
        q,
        clean_share,
        expected_false: threshold.expected_false,
    })
}

/// [`adaptive_benjamini_hochberg`] on p-values that were counted, see [`counted`].
pub(crate) fn adaptive_threshold(
    counted: &[(f64, usize)],
    null_n: usize,
    q: f64,
) -> Result<Threshold, StatsError> {
    let share = counted_share(counted, null_n)?;
    within_range(q)?;
    Ok(step_up(counted, q, share))
}

/// Each p-value in increasing order, with the number of samples that have it. Nothing else is ever decided on.
fn counted(p: &[f64]) -> Vec<(f64, usize)> {
    let mut sorted = p.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut counted = Vec::new();
    for equal in sorted.chunk_by(|a, b| a == b) {
        counted.push((equal[equal.len() - 1], equal.len()));
    }
    counted
}

/// Storey's estimate, see [`clean_share`].
fn counted_share(counted: &[(f64, usize)], null_n: usize) -> Result<f64, StatsError> {
    if null_n == 0 {
        return Err(StatsError::Empty { what: "null" });
    }
    let lambda = null_n.div_ceil(2) as f64 / (null_n + 1) as f64;
    let (mut samples, mut above) = (0, 0);
    for &(p, count) in counted {
        samples += count;
        if p > lambda {
            above += count;
        }
    }
    let share = (1 + above) as f64 / (samples as f64 * (1.0 - lambda));
    Ok(share.min(1.0))
}

/// The largest p-value that passes with all that are no larger. Equal ones may come in several entries: the last has the highest
/// rank, and passes if any does.
fn step_up(counted: &[(f64, usize)], q: f64, clean_share: f64) -> Threshold {
    let samples = counted.iter().map(|&(_, count)| count).sum();
    let mut threshold = Threshold {
        count: 0,
        p_value: 0.0,
        q,
        clean_share,
        expected_false: 0.0,
    };
    let mut rank = 0;
    for &(p, count) in counted {
        rank += count;
        if passes(p, rank, samples, q, clean_share) {
            threshold.count = rank;
            threshold.p_value = p;
        }
    }
    threshold.expected_false = q * threshold.count as f64;
    threshold
}

fn within_range(q: f64) -> Result<(), StatsError> {
    within(q > 0.0 && q <= 1.0, "q", q, "above 0 and at most 1")
}

fn passes(p: f64, k: usize, samples: usize, q: f64, clean_share: f64) -> bool {
    p * samples as f64 * clean_share <= q * k as f64 * SLACK
}

fn check_p_values(p: &[f64]) -> Result<(), StatsError> {
    for (index, &value) in p.iter().enumerate() {
        if value.is_nan() {
            let what = "p-values";
            return Err(StatsError::NotANumber { what, index });
        }
        within(
            (0.0..=1.0).contains(&value),
            "a p-value",
            value,
            "from 0 to 1",
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: [f64; 15] = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
        0.5719, 0.6528, 0.7590, 1.0,
    ];

    /// The worked example of Benjamini and Hochberg (1995), section 3.2: four at q = 0.05, and
    /// statsmodels 0.15.0: `multipletests(P, q, "fdr_bh")[0].sum()` is 4, 9, 3 at the three levels.
    #[test]
    fn the_example_of_the_paper() {
        for (q, expected) in [(0.05, 4), (0.1, 9), (0.01, 3)] {
            let s = benjamini_hochberg(&P, q).unwrap();
            assert_eq!(s.count, expected, "q {q}");
            assert_eq!(s.threshold, P[expected - 1]);
            assert_eq!(s.selected.iter().filter(|&&s| s).count(), expected);
            assert!((s.expected_false - q * expected as f64).abs() < 1e-15);
        }
    }

    #[test]
    fn nothing_selected() {
        let s = benjamini_hochberg(&[0.5, 0.9], 0.1).unwrap();
        assert_eq!((s.count, s.threshold, s.expected_false), (0, 0.0, 0.0));
        assert_eq!(s.selected, [false, false]);
        assert_eq!(benjamini_hochberg(&[], 0.1).unwrap().count, 0);
        // A p-value of 0 is selected, and told apart from "nothing selected" by the count.
        assert_eq!(
            benjamini_hochberg(&[0.0, 0.9], 0.1).unwrap().selected,
            [true, false]
        );
    }

    #[test]
    fn clean_share_by_hand() {
        // n = 9: the grid is tenths and λ = 0.5. Three of five are above: (1 + 3) / (5 · 0.5) > 1.
        assert_eq!(clean_share(&[0.1, 0.5, 0.6, 0.7, 1.0], 9).unwrap(), 1.0);
        // One of eight above: 2 / (8 · 0.5).
        let p = [0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.5, 0.6];
        assert_eq!(clean_share(&p, 9).unwrap(), 0.5);
        // n = 10: the grid is elevenths and λ = 5/11; 0.5 is now above: 3 / (8 · 6/11).
        assert!((clean_share(&p, 10).unwrap() - 3.0 * 11.0 / 48.0).abs() < 1e-15);
        assert_eq!(clean_share(&[], 10).unwrap(), 1.0);
    }

    #[test]
    fn min_detectable_is_what_the_procedure_needs() {
        // 20000 / (0.1 · 1001) = 199.8.
        assert_eq!(min_detectable(20_000, 1_000, 0.1, 1.0), 200);
        // 1001 / (0.1 · 1001) is exactly 10, and must not become 11 by rounding.
        assert_eq!(min_detectable(1_001, 1_000, 0.1, 1.0), 10);
        assert_eq!(min_detectable(10, 1_000, 0.1, 1.0), 1);
        assert_eq!(min_detectable(10, 1_000, 0.0, 1.0), usize::MAX);
        for (samples, null_n, q) in [(1_001, 1_000, 0.1), (300, 49, 0.05), (77, 10, 0.3)] {
            let k = min_detectable(samples, null_n, q, 1.0);
            for (planted, expected) in [(k - 1, 0), (k, k)] {
                let mut p = vec![1.0; samples];
                p[..planted].fill(1.0 / (null_n + 1) as f64);
                assert_eq!(benjamini_hochberg(&p, q).unwrap().count, expected);
            }
        }
    }

    #[test]
    fn bad_input_is_refused() {
        assert!(matches!(
            benjamini_hochberg(&[0.1], 0.0),
            Err(StatsError::OutOfRange { what: "q", .. })
        ));
        assert!(benjamini_hochberg(&[0.1], f64::NAN).is_err());
        assert!(benjamini_hochberg(&[0.1, 1.1], 0.1).is_err());
        let nan = benjamini_hochberg(&[0.1, f64::NAN], 0.1).unwrap_err();
        assert_eq!(
            nan,
            StatsError::NotANumber {
                what: "p-values",
                index: 1
            }
        );
        assert!(clean_share(&[0.1], 0).is_err());
    }
}
