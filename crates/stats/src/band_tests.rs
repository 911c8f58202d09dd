use super::*;

#[test]
fn one_sample_by_hand() {
    // P(U > 0.95) = 0.05.
    let band = UpperBand::berk_jones(1, 0.05, 1.0).unwrap();
    assert!((band.at(0) - 0.95).abs() < 1e-6);
    assert_eq!((band.at(1), band.at(2)), (1.0, 1.0));
}

#[test]
fn dkw_by_hand() {
    // (ln 20 / 200)^½ = 0.122_387_341_534_040_82.
    let band = UpperBand::dkw(100, 0.05).unwrap();
    assert!((band.at(0) - 0.122_387_341_534_040_82).abs() < 1e-15);
    assert!((band.at(50) - 0.622_387_341_534_040_8).abs() < 1e-15);
    assert_eq!((band.at(95), band.at(100)), (1.0, 1.0));
    assert_eq!(
        (band.n(), band.alpha(), band.local_level()),
        (100, 0.05, None)
    );
}

#[test]
fn berk_jones_is_narrow_in_the_tail() {
    let dkw = UpperBand::dkw(1_000, 0.05).unwrap();
    let new = UpperBand::new(1_000, 0.05).unwrap();
    assert!(new.at(0) < 0.2 * dkw.at(0));
    for count in 0..=500 {
        assert!(new.at(count) > count as f64 / 1_000.0);
        assert!(count == 0 || new.at(count) > new.at(count - 1));
    }
    assert_eq!(new.at(501), 1.0);
}

#[test]
fn a_long_band_steps() {
    let n = 6_000;
    let band = UpperBand::new(n, 0.05).unwrap();
    let counts = bounded_counts(n, n / 2 + 1);
    assert!(counts.len() < 1_000, "{}", counts.len());
    for pair in counts.windows(2) {
        assert_eq!(band.at(pair[0] + 1), band.at(pair[1]));
    }
    assert!(band.at(n / 2) < 0.53 && band.at(n / 2 + 1) == 1.0);
}

/// Exact probability that the band fails for a simple random sample without replacement: walk through the
/// population of `size` from the top; a state is how many of its members so far are in the sample.
fn exact_failure(band: &UpperBand, size: usize) -> f64 {
    let n = band.n();
    let mut alive = vec![0.0; n + 1];
    alive[0] = 1.0;
    for seen in 0..size {
        for sampled in (0..=n.min(seen)).rev() {
            let chance = (n - sampled) as f64 / (size - seen) as f64;
            let here = alive[sampled];
            if chance > 1.0 || here == 0.0 {
                continue;
            }
            if sampled < n {
                alive[sampled + 1] += here * chance;
            }
            alive[sampled] = here * (1.0 - chance);
        }
        for (sampled, mass) in alive.iter_mut().enumerate() {
            if (seen + 1) as f64 / size as f64 > band.at(sampled) {
                *mass = 0.0;
            }
        }
    }
    1.0 - alive.iter().sum::<f64>()
}

/// The claim in `noise_ratio`: calibrated with replacement, the band covers at least as well without.
#[test]
fn conservative_without_replacement() {
    for n in [1, 2, 5, 20, 100, 300] {
        for alpha in [0.5, 0.05, 0.001] {
            for range in [0.5, 1.0] {
                let band = UpperBand::berk_jones(n, alpha, range).unwrap();
                for size in [n, n + 1, n + 7, n * 3 / 2, 2 * n, 10 * n] {
                    let failure = exact_failure(&band, size);
                    assert!(
                        failure <= alpha + 1e-12,
                        "{n} of {size}, {alpha}: {failure}"
                    );
                }
            }
            // A population a hundred times the sample is nearly drawn from with replacement.
            if n == 100 && alpha == 0.05 {
                let band = UpperBand::berk_jones(n, alpha, 1.0).unwrap();
                assert!(exact_failure(&band, 100 * n) > 0.9 * alpha);
            }
        }
    }
}

#[test]
fn bad_input_is_refused() {
    assert_eq!(
        UpperBand::new(0, 0.05),
        Err(StatsError::Empty { what: "null" })
    );
    for alpha in [0.0, 0.6, -1.0, f64::NAN] {
        assert!(UpperBand::new(10, alpha).is_err());
        assert!(UpperBand::dkw(10, alpha).is_err());
    }
    for range in [0.0, 1.5, f64::NAN] {
        assert!(UpperBand::berk_jones(10, 0.05, range).is_err());
    }
}

/// Prints the timings quoted in the documentation:
/// `cargo test -p mirrorwatch-stats timing -- --ignored --nocapture`.
#[test]
#[ignore = "long: prints timings"]
fn timing() {
    for n in [500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000] {
        for range in [0.5, 1.0] {
            let start = std::time::Instant::now();
            let band = UpperBand::berk_jones(n, 0.05, range).unwrap();
            let elapsed = start.elapsed();
            println!(
                "n {n} range {range}: {elapsed:?}, level {:?}",
                band.local_level()
            );
        }
    }
}
