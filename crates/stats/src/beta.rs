//! Upper quantiles of Beta(m + 1, n − m), the law of a uniform order statistic.
//!
//! Not `statrs`' own: its incomplete beta stops after 140 terms of the continued fraction and returns what
//! it has, and its inverse takes only the lower tail, where a level near 1 has lost its digits.

use statrs::function::gamma::ln_gamma;

/// Far above the few √n terms that the fraction needs in the tail.
const MAX_TERMS: usize = 100_000;

/// P(X > x) for X ~ Beta(a, b), with full relative accuracy when it is small.
fn upper_tail(a: f64, b: f64, x: f64) -> f64 {
    if x > (a + 1.0) / (a + b + 2.0) {
        tail_fraction(b, a, 1.0 - x)
    } else {
        1.0 - tail_fraction(a, b, x)
    }
}

/// P(X ≤ x) for X ~ Beta(a, b), with full relative accuracy when it is small.
pub(crate) fn lower_tail(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        1.0 - tail_fraction(b, a, 1.0 - x)
    } else {
        tail_fraction(a, b, x)
    }
}

/// The regularised incomplete beta I_x(a, b) by Lentz' method (DLMF 8.17.22), for x below the mean.
fn tail_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let keep = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / keep(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for term in 1..MAX_TERMS {
        let m = term as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / keep(1.0 + even * d);
        c = keep(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / keep(1.0 + odd * d);
        c = keep(1.0 + odd / c);
        let step = d * c;
        fraction *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (ln_density(a, b, x) + x.ln() + (-x).ln_1p()).exp() * fraction / a
}

fn ln_density(a: f64, b: f64, x: f64) -> f64 {
    ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + (a - 1.0) * x.ln() + (b - 1.0) * (-x).ln_1p()
}

/// The x with P(X > x) = `level` for X ~ Beta(m + 1, n − m), 0 ≤ m < n; `start` is a guess in (0, 1).
///
/// Newton on ln P(X > x). That function is concave and decreasing, so that every iterate after the
/// first lies above the root, and stopping early errs on the wide side.
pub(crate) fn upper_quantile(n: usize, m: usize, level: f64, start: f64) -> f64 {
    if m == 0 {
        // 1 − level^(1/n)
        return -(level.ln() / n as f64).exp_m1();
    }
    let (a, b) = ((m + 1) as f64, (n - m) as f64);
    let mut x = start;
    for _ in 0..60 {
        let tail = upper_tail(a, b, x);
        let slope = ln_density(a, b, x).exp() / tail;
        let next = x + (tail.ln() - level.ln()) / slope;
        // Also catches the NaN of a guess so far out that the tail underflows.
        let next = if next < 1.0 && next > 0.0 {
            next
        } else if tail > level {
            0.5 * (x + 1.0)
        } else {
            0.5 * x
        };
        let moved = (next - x).abs();
        x = next;
        if moved <= 1e-13 * x {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.17.1: `scipy.stats.beta.isf(level, m + 1, n - m)`.
    #[test]
    fn quantiles_match_scipy() {
        for (level, n, m, expected) in [
            (0.05, 1, 0, 0.95),
            (0.001, 100, 0, 0.06674569920300895),
            (0.001, 100, 49, 0.645849801342196),
            (0.0005, 1_000, 999, 0.9999994998750834),
            (0.0005, 10_000, 4_999, 0.5163978077606382),
            (1e-6, 10_000, 2, 0.001911279341558776),
            (1e-8, 10_000, 9_989, 0.9999000022107366),
        ] {
            for start in [0.5, 0.01, 0.99, (m as f64 + 1.0) / (n as f64 + 1.0)] {
                let x = upper_quantile(n, m, level, start);
                assert!(
                    (x / expected - 1.0).abs() < 1e-10,
                    "{n} {m} {start}: {x} {expected}"
                );
            }
        }
    }
}
