//! The probability that an empirical distribution leaves a one-sided band somewhere, and the band's
//! local level that makes it what was asked for.
//!
//! For n uniform order statistics U_(1) ≤ … ≤ U_(n) and bounds b_m, this is P(U_(m+1) > b_m for
//! some m). A uniform sample of n is a Poisson process of rate n given that it ends at n, and a
//! Poisson process has independent increments: carry the law of its count from bound to bound and
//! take out what has crossed (Moscovich and Nadler, *Fast calculation of boundary crossing
//! probabilities for Poisson processes*, Statistics & Probability Letters 123, 2017, here with
//! short direct convolutions in place of the FFT). Every term is positive, so nothing cancels,
//! unlike in the recursions of Noé, Bolshev and Steck.

use statrs::function::gamma::ln_gamma;

use crate::beta::upper_quantile;

/// Poisson weights and states below this are dropped. What is lost is at most n² √(2πn) times as much,
/// 1e-9 of a probability for n = 100,000, and in practice far less: few states are near the limit.
const NEGLIGIBLE: f64 = 1e-22;

/// P(U_(m+1) > bound for some (m, bound)) for n uniform order statistics: the chance that at some
/// bound, m or fewer lie below it. `counts`: the m, strictly increasing, below n. `bounds`: one
/// each, increasing, in [0, 1]; the gaps are at most 700 / n, beyond which the Poisson weights
/// underflow.
pub(crate) fn crossing_probability(n: usize, counts: &[usize], bounds: &[f64]) -> f64 {
    let rate = n as f64;
    // mass[j] = P(no bound crossed so far, and the count is low + j), low the least that this allows.
    let mut mass = vec![1.0];
    let mut low = 0;
    let mut time = 0.0;
    let mut next = Vec::new();
    let mut weights = Vec::new();
    let mut crossed = 0.0;
    for (&count, &bound) in counts.iter().zip(bounds) {
        poisson_weights(rate * (bound - time), n, &mut weights);
        time = bound;
        let len = (mass.len() + weights.len() - 1).min(n - low + 1);
        next.clear();
        next.resize(len, 0.0);
        for (shift, &weight) in weights.iter().enumerate().take(len) {
            for (out, &m) in next[shift..].iter_mut().zip(&mass) {
                *out += weight * m;
            }
        }
        // Counts up to `count` have just crossed. The rest of their path, to n at time 1, is free.
        let allowed = (count + 1 - low).min(len);
        for (above_low, here) in next.drain(..allowed).enumerate() {
            crossed += here * ln_bridge_weight(n, n - low - above_low, bound).exp();
        }
        low = count + 1;
        while next.last().is_some_and(|&m| m < NEGLIGIBLE) {
            next.pop();
        }
        std::mem::swap(&mut mass, &mut next);
        if mass.is_empty() {
            break;
        }
    }
    crossed
}

/// Poisson(mean) probabilities of 0, 1, 2, … up to `most` or until they are negligible.
fn poisson_weights(mean: f64, most: usize, weights: &mut Vec<f64>) {
    weights.clear();
    let mut weight = (-mean).exp();
    for count in 0..=most {
        weights.push(weight);
        let following = (count + 1) as f64;
        weight *= mean / following;
        if following > mean && weight < NEGLIGIBLE {
            break;
        }
    }
}

/// ln of P(`left` more events between `time` and 1) / P(n events in all), both Poisson of rate n.
fn ln_bridge_weight(n: usize, left: usize, time: f64) -> f64 {
    let (rate, left) = (n as f64, left as f64);
    let mean = rate * (1.0 - time);
    let ends = left * mean.ln() - mean - ln_gamma(left + 1.0);
    let all = rate * rate.ln() - rate - ln_gamma(rate + 1.0);
    ends - all
}

/// For each count m the upper bound at local level `level`: a Beta(m + 1, n − m) quantile.
fn equal_level_bounds(n: usize, counts: &[usize], level: f64) -> Vec<f64> {
    let mut bounds = Vec::with_capacity(counts.len());
    let mut guess = 0.5;
    let mut previous = 0;
    for &m in counts {
        let ahead = guess + (m - previous) as f64 / n as f64;
        let x = upper_quantile(n, m, level, ahead.min(0.5 * (guess + 1.0)));
        bounds.push(x);
        guess = x;
        previous = m;
    }
    bounds
}

/// The bounds whose simultaneous crossing probability is `alpha` (never above, and less than a
/// millionth of itself below), with their local level.
///
/// Secant steps on the logarithms, where the curve is nearly straight, inside a bracket: by the union bound
/// the level lies between alpha / k and alpha, k being the number of bounds.
pub(crate) fn calibrated_bounds(n: usize, counts: &[usize], alpha: f64) -> (f64, Vec<f64>) {
    let k = counts.len();
    const TOLERANCE: f64 = 1e-6;
    let target = (alpha * (1.0 - 0.5 * TOLERANCE)).ln();
    // A shade below the union bound, so that rounding cannot make the bracket empty.
    let least = alpha * (1.0 - TOLERANCE) / k as f64;
    let mut low = least.ln();
    let mut high = alpha.ln();
    let mut best = None;
    // Between the two bounds, about where it lies for n of a few thousand.
    let mut level = (alpha / (1.0 + 2.0 * (k as f64).ln())).ln();
    let mut last: Option<(f64, f64)> = None;
    for _ in 0..40 {
        let bounds = equal_level_bounds(n, counts, level.exp());
        let crossing = crossing_probability(n, counts, &bounds);
        let reached = crossing.ln();
        if crossing <= alpha {
            best = Some((level.exp(), bounds));
            if crossing >= alpha * (1.0 - TOLERANCE) {
                break;
            }
            low = level;
        } else {
            high = level;
        }
        let slope = match last {
            Some((at, value)) if at != level && value != reached => {
                (reached - value) / (level - at)
            }
            _ => 1.0,
        };
        last = Some((level, reached));
        let step = level + (target - reached) / slope;
        level = if step > low && step < high {
            step
        } else {
            0.5 * (low + high)
        };
    }
    match best {
        Some(found) => found,
        // Only rounding could lead here; the union bound holds whatever happens above.
        None => (least, equal_level_bounds(n, counts, least)),
    }
}

#[cfg(test)]
#[path = "crossing_tests.rs"]
mod tests;
