//! How sure a median or another quantile is: 95 % intervals that take no distribution for granted.

use super::ratio::{Spread, quantile};

/// Of a standard normal number, the value that one in forty exceeds.
const Z: f64 = 1.959_964;

/// A quantile of independent measurements, and the 95 % interval that lies between two of them (Conover, Practical
/// Nonparametric Statistics, 3.2). Where there are too few for the upper end, it is the largest one.
pub fn within(values: &[f64], share: f64) -> Spread {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let (middle, reach) = (count * share, Z * (count * share * (1.0 - share)).sqrt());
    let at = |rank: f64| {
        let place = rank.ceil().clamp(1.0, count.max(1.0)) as usize - 1;
        sorted.get(place).copied().unwrap_or_default()
    };
    Spread {
        median: quantile(values, share),
        low: at(middle - reach),
        high: at(middle + reach),
    }
}

/// By how much the quantile of the one lies above that of the other, with the 95 % interval that follows from theirs
/// (Zou and Donner, Statistics in Medicine 27, 2008).
pub fn above(of: &[f64], than: &[f64], share: f64) -> Spread {
    let (of, than) = (within(of, share), within(than, share));
    let apart = of.median - than.median;
    Spread {
        median: apart,
        low: apart - (of.median - of.low).hypot(than.high - than.median),
        high: apart + (of.high - of.median).hypot(than.median - than.low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_books_tables() {
        // The median of 25 lies between the 8th and the 18th (Conover, table A3: 95.7 %).
        let values: Vec<f64> = (1..=25).rev().map(f64::from).collect();
        let spread = within(&values, 0.5);
        assert_eq!((spread.low, spread.median, spread.high), (8.0, 13.0, 18.0));
        // By hand: 990 ± 1.96 √9.9 = 983.8 and 996.2.
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        let spread = within(&values, 0.99);
        assert_eq!((spread.low, spread.high), (984.0, 997.0));
        assert_eq!(within(&[], 0.5), Spread::single(0.0));
        assert_eq!(within(&[3.0], 0.99), Spread::single(3.0));
    }

    #[test]
    fn a_difference_is_as_unsure_as_both_of_its_parts() {
        let one: Vec<f64> = (1..=25).map(f64::from).collect();
        let other: Vec<f64> = (1..=25).map(|i| f64::from(i) / 5.0).collect();
        let spread = above(&one, &other, 0.5);
        // 13 − 2.6, each five places and one to either side: √(5² + 1²).
        assert!((spread.median - 10.4).abs() < 1e-9);
        assert!((spread.high - 10.4 - 26_f64.sqrt()).abs() < 1e-9);
        assert!((10.4 - spread.low - 26_f64.sqrt()).abs() < 1e-9);
    }
}
