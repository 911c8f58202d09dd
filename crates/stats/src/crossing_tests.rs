use super::*;

fn all(k: usize) -> Vec<usize> {
    (0..k).collect()
}

/// The event that the one-sided Kolmogorov–Smirnov statistic exceeds d is a crossing of the bounds
/// (i − 1)/n + d. scipy 1.17.1: `scipy.stats.ksone.sf(d, n)`.
#[test]
fn kolmogorov_smirnov_matches_scipy() {
    for (n, d, expected) in [
        (5, 0.3, 0.34282),
        (20, 0.25, 0.06882678136460359),
        (100, 0.12, 0.05165826915719442),
        (1_000, 0.04, 0.03967222345491756),
        (1_000, 0.09, 8.455887992217394e-8),
        (2_000, 0.0273, 0.049810684864663946),
    ] {
        let mut bounds = Vec::new();
        for i in 0..n {
            bounds.push((i as f64 / n as f64 + d).min(1.0));
        }
        let p = crossing_probability(n, &all(bounds.len()), &bounds);
        assert!((p / expected - 1.0).abs() < 1e-8, "{n} {d}: {p} {expected}");
    }
}

/// By hand: one bound is crossed when nobody is below it; with two, P(no crossing) = b₂² − (b₂ − b₁)².
#[test]
fn one_and_two_samples_by_hand() {
    assert!((crossing_probability(1, &all(1), &[0.95]) - 0.05).abs() < 1e-15);
    let p = crossing_probability(2, &all(2), &[0.7, 0.9]);
    assert!((p - (1.0 - 0.81 + 0.04)).abs() < 1e-14, "{p}");
    let p = crossing_probability(2, &all(1), &[0.7]);
    assert!((p - 0.09).abs() < 1e-14, "{p}");
    // Only the second is watched: fewer than two below 0.9.
    let p = crossing_probability(2, &[1], &[0.9]);
    assert!((p - 0.19).abs() < 1e-14, "{p}");
}

#[test]
fn calibration_reaches_alpha_from_below() {
    for n in [1_usize, 2, 3, 10, 57, 400] {
        for alpha in [0.5, 0.1, 0.05, 1e-3, 1e-6] {
            for k in [1, n.div_ceil(2), n] {
                let (level, bounds) = calibrated_bounds(n, &all(k), alpha);
                let p = crossing_probability(n, &all(bounds.len()), &bounds);
                assert!(
                    p <= alpha && p >= alpha * (1.0 - 2e-6),
                    "{n} {k} {alpha}: {p}"
                );
                // The union bound from either side.
                let (least, most) = (alpha / k as f64 * (1.0 - 2e-6), alpha * (1.0 + 1e-12));
                assert!((least..=most).contains(&level), "{n} {k} {alpha}: {level}");
            }
        }
    }
}

/// Relative frequencies of a crossing and their standard errors: numpy 2.4.6, `default_rng(2024)`,
/// scipy 1.17.1, 200,000 samples `u = np.sort(rng.random(n))`, `(u[:k] > beta.isf(level, m + 1, n -
/// m)[:k]).any()`.
#[test]
fn crossings_match_a_simulation() {
    for (n, k, level, simulated, error) in [
        (10, 6, 0.0146, 0.051285, 4.9e-4),
        (10, 10, 0.0085, 0.05303, 5.0e-4),
        (10, 10, 0.145, 0.50053, 1.1e-3),
        (100, 51, 0.0055, 0.048945, 4.8e-4),
        (100, 100, 0.0024, 0.04944, 4.8e-4),
        (100, 51, 0.119, 0.50057, 1.1e-3),
        (1_000, 501, 0.0029, 0.049895, 4.9e-4),
        (1_000, 1_000, 0.0012, 0.049495, 4.9e-4),
        (1_000, 501, 0.07, 0.495285, 1.1e-3),
        (1_000, 1_000, 0.03, 0.49391, 1.1e-3),
    ] {
        let bounds = equal_level_bounds(n, &all(k), level);
        let p: f64 = crossing_probability(n, &all(k), &bounds);
        assert!((p - simulated).abs() < 3.5 * error, "{n} {k} {level}: {p}");
    }
}

/// Watching fewer counts can only make a crossing rarer, so that leaving some out of a long band is safe.
#[test]
fn sparse_counts_cross_less() {
    let n = 300;
    let (_, bounds) = calibrated_bounds(n, &all(n), 0.1);
    let sparse: Vec<usize> = (0..n).step_by(7).collect();
    let kept: Vec<f64> = sparse.iter().map(|&m| bounds[m]).collect();
    let p = crossing_probability(n, &sparse, &kept);
    assert!(p < 0.1 && p > 0.05, "{p}");
}
