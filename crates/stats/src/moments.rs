//! Means, variances, medians and quantiles.

use crate::StatsError;
use crate::check::{ascending, some_scores, within};
use crate::exact::ExactSums;

/// Makes the median absolute deviation of a normal sample estimate its standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;

/// Mean and variance of numbers seen one at a time, without keeping them.
///
/// Welford, Technometrics 4, 1962; merging as in Chan, Golub and LeVeque, *Updating formulae and a
/// pairwise algorithm for computing sample variances*, 1979. A NaN or an infinity that is pushed
/// makes the mean NaN or infinite.
///
/// ```
/// use mirrorwatch_stats::moments::Running;
///
/// let mut losses = Running::default();
/// for loss in [4.0, 7.0, 13.0, 16.0] {
///     losses.push(loss);
/// }
/// assert_eq!((losses.count, losses.mean, losses.m2), (4, 10.0, 90.0));
/// assert_eq!(losses.variance(), Some(30.0));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Running {
    /// How many numbers.
    pub count: u64,
    /// Their mean; 0 if there are none.
    pub mean: f64,
    /// The sum of their squared deviations from the mean.
    pub m2: f64,
}

impl Running {
    /// Takes in one number.
    ///
    /// ```
    /// let mut seen = mirrorwatch_stats::moments::Running::default();
    /// seen.push(2.0);
    /// seen.push(4.0);
    /// assert_eq!((seen.count, seen.mean), (2, 3.0));
    /// ```
    pub fn push(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (value - self.mean);
    }

    /// Takes in all that `other` has seen.
    ///
    /// ```
    /// use mirrorwatch_stats::moments::Running;
    ///
    /// let mut first = Running { count: 2, mean: 1.0, m2: 2.0 }; // 0 and 2
    /// let second = Running { count: 2, mean: 5.0, m2: 2.0 }; // 4 and 6
    /// first.merge(&second);
    /// assert_eq!(first, Running { count: 4, mean: 3.0, m2: 20.0 });
    /// ```
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        self.mean += delta * share;
        self.m2 += other.m2 + delta * delta * self.count as f64 * share;
        self.count = count;
    }

    /// The unbiased sample variance (divisor `count` − 1), or none with fewer than two numbers.
    ///
    /// ```
    /// let mut seen = mirrorwatch_stats::moments::Running::default();
    /// seen.push(1.0);
    /// assert_eq!(seen.variance(), None);
    /// seen.push(3.0);
    /// assert_eq!(seen.variance(), Some(2.0));
    /// ```
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        Some(self.m2 / (self.count - 1) as f64)
    }
}

/// Median, and a scale that stray values hardly move: 1.4826 times the median absolute deviation.
///
/// Where more than half of the values are equal that is 0, and the sample standard deviation of the
/// finite values takes its place; where that is 0 too, 1. So dividing by the scale is always safe. The order of the
/// values makes no difference to a single bit.
///
/// # Errors
///
/// [`StatsError::Empty`], [`StatsError::NotANumber`], or [`StatsError::OutOfRange`] if the median
/// is infinite.
///
/// ```
/// use mirrorwatch_stats::moments::robust_location_scale;
///
/// // The last value moves neither.
/// assert_eq!(robust_location_scale(&[1.0, 2.0, 3.0, 4.0, 1e6])?, (3.0, 1.4826));
/// assert_eq!(robust_location_scale(&[5.0; 8])?, (5.0, 1.0));
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn robust_location_scale(values: &[f32]) -> Result<(f64, f64), StatsError> {
    some_scores("values", values)?;
    let (low, high) = middle(values.to_vec(), f32::total_cmp);
    let median = median_of(low, high)?;

    let mut deviations = Vec::with_capacity(values.len());
    for &value in values {
        deviations.push((f64::from(value) - median).abs());
    }
    let (low, high) = middle(deviations, f64::total_cmp);
    let mad = scaled_mad(low, high);
    Ok((
        median,
        mad.unwrap_or_else(|| fallback_scale(&ExactSums::of(values))),
    ))
}

/// The two values in the middle by `order`, the same one twice where their number is odd. In O(N), as only those two are
/// ever put in their places. There must be one at least.
fn middle<T: Copy>(mut values: Vec<T>, order: impl Fn(&T, &T) -> std::cmp::Ordering) -> (T, T) {
    let upper = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, &mut high, _) = values.select_nth_unstable_by(upper, &order);
    let low = below.iter().copied().max_by(&order).filter(|_| even);
    (low.unwrap_or(high), high)
}

/// The median between the two values in the middle, which are the same one where their number is odd.
pub(crate) fn median_of(low: f32, high: f32) -> Result<f64, StatsError> {
    let median = between(low, high, 0.5);
    within(median.is_finite(), "the median", median, "finite")?;
    Ok(median)
}

/// The scale by the two deviations in the middle; none where it cannot be divided by.
pub(crate) fn scaled_mad(lower: f64, upper: f64) -> Option<f64> {
    let mad = MAD_TO_SIGMA * 0.5 * (lower + upper);
    (mad > 0.0 && mad.is_finite()).then_some(mad)
}

/// The scale where there is none by deviations.
pub(crate) fn fallback_scale(finite: &ExactSums) -> f64 {
    match finite.variance() {
        Some(variance) if variance > 0.0 => variance.sqrt(),
        _ => 1.0,
    }
}

/// asinh((v − `location`) / `scale`) of every value: linear around the location, logarithmic far from it, so that
/// values of any unit can be averaged without the longest tail deciding. Keeps the order of values.
///
/// ```
/// let scores = mirrorwatch_stats::moments::compressed(&[2.0, 2.1, 2002.0], 2.0, 1.0);
/// assert_eq!(scores[0], 0.0);
/// assert!((scores[1] - 0.1).abs() < 1e-3);
/// assert!(scores[2] < 10.0);
/// ```
#[must_use]
pub fn compressed(values: &[f32], location: f64, scale: f64) -> Vec<f32> {
    let compressed = values.iter().map(|&v| compress(v, location, scale));
    compressed.collect()
}

/// [`compressed`] for one value.
///
/// ```
/// assert_eq!(mirrorwatch_stats::moments::compress(2.0, 2.0, 1.0), 0.0);
/// ```
#[must_use]
pub fn compress(value: f32, location: f64, scale: f64) -> f32 {
    ((f64::from(value) - location) / scale).asinh() as f32
}

/// The `q`-quantile, 0 ≤ q ≤ 1, by linear interpolation between order statistics: type 7 of Hyndman
/// and Fan (The American Statistician 50, 1996), the default of R and numpy.
///
/// # Errors
///
/// [`StatsError::Empty`], [`StatsError::NotANumber`], or [`StatsError::OutOfRange`] for `q`.
///
/// ```
/// use mirrorwatch_stats::moments::quantile;
///
/// let scores = [4.0, 1.0, 3.0, 2.0];
/// assert_eq!(quantile(&scores, 0.5)?, 2.5);
/// assert_eq!(quantile(&scores, 0.25)?, 1.75);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn quantile(values: &[f32], q: f64) -> Result<f64, StatsError> {
    some_scores("values", values)?;
    within((0.0..=1.0).contains(&q), "q", q, "from 0 to 1")?;
    Ok(quantile_of_sorted(&ascending(values), q))
}

fn quantile_of_sorted(sorted: &[f32], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let below = position.floor();
    let (low, high) = (sorted[below as usize], sorted[position.ceil() as usize]);
    between(low, high, position - below)
}

/// `low` and the given share of the way to `high`.
fn between(low: f32, high: f32, share: f64) -> f64 {
    let (low, high) = (f64::from(low), f64::from(high));
    // Not only a shortcut: with infinities the line below would give NaN.
    if low == high || share == 0.0 || !low.is_finite() {
        return low;
    }
    low + share * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: [f32; 10] = [0.5, 2.0, -1.0, 2.0, 3.5, 0.5, 0.5, -4.0, 7.0, 2.0];

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }

    /// numpy 2.4.6: `S.mean()`, `S.var(ddof=1)`.
    #[test]
    fn running_matches_numpy() {
        let mut all = Running::default();
        assert_eq!(all.variance(), None);
        for &s in &S {
            all.push(f64::from(s));
        }
        close(all.mean, 1.3);
        close(all.variance().unwrap(), 8.233333333333333);
    }

    /// numpy 2.4.6 `np.arcsinh((np.array([-1., 3., 7.]) - 3.) / 2.)`.
    #[test]
    fn compressing_matches_numpy() {
        let compressed = compressed(&[-1.0, 3.0, 7.0], 3.0, 2.0);
        for (c, expected) in compressed.iter().zip([-1.443_635_5_f32, 0.0, 1.443_635_5]) {
            assert!((c - expected).abs() < 1e-6, "{c}");
        }
    }

    /// A large offset: the naive sum of squares would lose all digits.
    #[test]
    fn running_keeps_its_digits() {
        let (mut left, mut right) = (Running::default(), Running::default());
        for value in [4.0, 7.0] {
            left.push(1e9 + value);
        }
        for value in [13.0, 16.0] {
            right.push(1e9 + value);
        }
        left.merge(&right);
        left.merge(&Running::default());
        assert_eq!(
            left,
            Running {
                count: 4,
                mean: 1e9 + 10.0,
                m2: 90.0
            }
        );
        let mut empty = Running::default();
        empty.merge(&left);
        assert_eq!(empty, left);
    }

    /// numpy 2.4.6 `np.quantile(S, q)`, scipy 1.17.1 `1.4826 * median_abs_deviation(S)`.
    #[test]
    fn quantiles_match_numpy() {
        for (q, expected) in [
            (0.0, -4.0),
            (0.1, -1.3),
            (0.33, 0.5),
            (0.5, 1.25),
            (0.9, 3.85),
            (1.0, 7.0),
        ] {
            close(quantile(&S, q).unwrap(), expected);
        }
        let (location, scale) = robust_location_scale(&S).unwrap();
        close(location, 1.25);
        close(scale, 1.11195);
    }

    #[test]
    fn the_scale_is_never_zero() {
        // numpy 2.4.6: np.std([0, 0, 0, 0, 0, 1], ddof=1).
        let (_, scale) = robust_location_scale(&[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]).unwrap();
        close(scale, 0.408248290463863);
        assert_eq!(robust_location_scale(&[3.0; 4]).unwrap(), (3.0, 1.0));
        assert_eq!(robust_location_scale(&[3.0]).unwrap(), (3.0, 1.0));
        let mixed = [f32::NEG_INFINITY, 1.0, 1.0, 1.0, f32::INFINITY];
        assert_eq!(robust_location_scale(&mixed).unwrap(), (1.0, 1.0));
    }

    /// Against all of them in order.
    #[test]
    fn the_middle_is_that_of_the_sorted_values() {
        let mut all = Vec::new();
        for number in 1..60u32 {
            // Some are equal, some zeros are negative.
            let value = (f64::from(number * 37 % 23) - 11.0) as f32;
            all.push(if number % 5 == 0 { -0.0 } else { value });
            let sorted = ascending(&all);
            let expected = (sorted[(all.len() - 1) / 2], sorted[all.len() / 2]);
            let (low, high) = middle(all.clone(), f32::total_cmp);
            assert_eq!(
                (low.to_bits(), high.to_bits()),
                (expected.0.to_bits(), expected.1.to_bits())
            );
        }
    }

    #[test]
    fn infinities_and_bad_input() {
        let values = [f32::NEG_INFINITY, 1.0, f32::INFINITY];
        assert_eq!(quantile(&values, 0.0).unwrap(), f64::NEG_INFINITY);
        assert_eq!(quantile(&values, 0.5).unwrap(), 1.0);
        assert!(robust_location_scale(&[f32::INFINITY; 3]).is_err());
        assert!(robust_location_scale(&[]).is_err());
        assert!(quantile(&[f32::NAN], 0.5).is_err());
        assert!(quantile(&[1.0], 1.5).is_err());
        // Between the two infinities lies nothing that could be interpolated.
        assert!(robust_location_scale(&[f32::NEG_INFINITY, f32::INFINITY]).is_err());
    }
}
