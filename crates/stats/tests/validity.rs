//! The guarantees, by simulation: over many repetitions each may fail as often as it says, and no more.

#![allow(clippy::unwrap_used)]

mod common;

use common::Random;
use mirrorwatch_stats::band::UpperBand;
use mirrorwatch_stats::{conformal, fdr, noise_ratio};

/// Three standard errors above a failure rate.
fn limit(rate: f64, repetitions: usize) -> f64 {
    rate + 3.0 * (rate * (1.0 - rate) / repetitions as f64).sqrt()
}

/// Small training sets and ties are the hard cases: the chance in training itself is not negligible.
#[test]
fn the_lower_bound_exceeds_the_truth_rarely_enough() {
    let repetitions = 1_000;
    let mut random = Random::seeded(1);
    for alpha in [0.05, 0.5] {
        for (null_n, train_n, wrong) in [(200, 200, 20), (200, 2_000, 0), (200, 2_000, 200)] {
            let bj = UpperBand::new(null_n, alpha).unwrap();
            let whole = UpperBand::berk_jones(null_n, alpha, 1.0).unwrap();
            let dkw = UpperBand::dkw(null_n, alpha).unwrap();
            for (shift, rounded) in [(4.0, false), (1.0, true)] {
                let mut failures = [0; 3];
                for _ in 0..repetitions {
                    let mut null = random.normals(null_n, 0.0);
                    let mut train = random.mixture(train_n - wrong, wrong, shift);
                    if rounded {
                        null.iter_mut()
                            .chain(&mut train)
                            .for_each(|s| *s = (*s * 2.0).round());
                    }
                    for (band, failed) in [&bj, &whole, &dkw].into_iter().zip(&mut failures) {
                        let bound = noise_ratio::lower_bound_with(band, &null, &train).unwrap();
                        assert!(bound.estimate >= bound.ratio && bound.ratio >= bound.unclipped);
                        *failed += usize::from(bound.wrong > wrong);
                    }
                }
                for failed in failures {
                    let rate = failed as f64 / repetitions as f64;
                    assert!(
                        rate <= limit(alpha, repetitions),
                        "{null_n} {train_n} {wrong} {shift} {alpha}: {failures:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_bound_over_checkpoints_holds_for_all_of_them() {
    let (null_n, train_n, wrong, repetitions) = (100, 1_000, 50, 600);
    let bands: Vec<UpperBand> = (0..10)
        .map(|k| UpperBand::new(null_n, noise_ratio::alpha_at(k, 0.05)).unwrap())
        .collect();
    let mut random = Random::seeded(2);
    let mut failed = 0;
    for _ in 0..repetitions {
        let mut largest = 0;
        for band in &bands {
            let null = random.normals(null_n, 0.0);
            let train = random.mixture(train_n - wrong, wrong, 4.0);
            let bound = noise_ratio::lower_bound_with(band, &null, &train).unwrap();
            largest = largest.max(bound.wrong);
        }
        failed += usize::from(largest > wrong);
    }
    assert!(
        failed as f64 <= limit(0.05, repetitions) * repetitions as f64,
        "{failed}"
    );
}

/// Fresh null samples each time: the guarantee is on average over them too.
#[test]
fn the_false_discovery_proportion_averages_to_at_most_q() {
    let (q, repetitions) = (0.1, 400);
    let mut random = Random::seeded(3);
    for (null_n, clean, wrong, shift) in [
        (1_000, 1_800, 200, 4.0),
        (300, 900, 100, 3.0),
        (300, 500, 500, 2.0),
        (50, 1_000, 0, 0.0),
    ] {
        let mut proportions = [Vec::new(), Vec::new()];
        let mut found = [0, 0];
        for _ in 0..repetitions {
            let null = random.normals(null_n, 0.0);
            let train = random.mixture(clean, wrong, shift);
            let p = conformal::p_values(&null, &train).unwrap();
            let plain = fdr::benjamini_hochberg(&p, q).unwrap();
            let adaptive = fdr::adaptive_benjamini_hochberg(&p, null_n, q).unwrap();
            for (index, s) in [plain, adaptive].into_iter().enumerate() {
                let falsely = s.selected[..clean].iter().filter(|&&s| s).count();
                proportions[index].push(falsely as f64 / s.count.max(1) as f64);
                found[index] += s.count - falsely;
            }
        }
        for proportions in &proportions {
            let count = repetitions as f64;
            let mean = proportions.iter().sum::<f64>() / count;
            let square: f64 = proportions.iter().map(|p| (p - mean).powi(2)).sum();
            let error = (square / (count - 1.0) / count).sqrt();
            assert!(
                mean <= q + 3.0 * error,
                "{null_n} {clean} {wrong}: {mean} ± {error}"
            );
        }
        assert!(found[1] >= found[0]);
        assert!(
            wrong == 0 || found[0] > repetitions * wrong / 10,
            "{null_n}: {found:?}"
        );
    }
}

fn bias_and_error(
    null_n: usize,
    train_n: usize,
    rate: f64,
    shift: f64,
    repetitions: usize,
) -> (f64, f64) {
    let band = UpperBand::new(null_n, 0.05).unwrap();
    let mut random = Random::seeded(4);
    let wrong = (rate * train_n as f64).round() as usize;
    let (mut sum, mut square) = (0.0, 0.0);
    for _ in 0..repetitions {
        let null = random.normals(null_n, 0.0);
        let train = random.mixture(train_n - wrong, wrong, shift);
        let estimate = noise_ratio::lower_bound_with(&band, &null, &train)
            .unwrap()
            .estimate;
        sum += estimate - rate;
        square += (estimate - rate).powi(2);
    }
    let count = repetitions as f64;
    (sum / count, (square / count).sqrt())
}

#[test]
fn estimate_has_little_bias() {
    for (shift, rate, worst_bias) in [
        (4.0, 0.0, 0.01),
        (4.0, 0.1, 0.01),
        (4.0, 0.4, 0.01),
        (2.0, 0.1, 0.015),
        (2.0, 0.4, 0.03),
    ] {
        let (bias, error) = bias_and_error(1_000, 5_000, rate, shift, 100);
        assert!(bias.abs() < worst_bias, "{shift} {rate}: {bias}");
        assert!(error < 0.04, "{shift} {rate}: {error}");
    }
}

/// Prints the table in the documentation of `noise_ratio::estimate`:
/// `cargo test -p mirrorwatch-stats --test validity bias_table -- --ignored --nocapture`.
#[test]
#[ignore = "long: prints the table in the documentation"]
fn bias_table() {
    let rates = [0.0, 0.01, 0.05, 0.1, 0.2, 0.4];
    for null_n in [300, 1_000] {
        for shift in [4.0, 2.0, 1.0] {
            print!("/// | {null_n} | {shift} |");
            for rate in rates {
                let (bias, error) = bias_and_error(null_n, 20_000, rate, shift, 400);
                print!(" {bias:+.3} ({error:.3}) |");
            }
            println!();
        }
    }
}
