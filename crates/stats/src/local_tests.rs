use super::*;
use proptest::prelude::*;

/// Golden values: `sklearn.isotonic.IsotonicRegression` (scikit-learn 1.9.1) of clean counts over counts,
/// weighted by counts, on the distinct scores in decreasing order, at most 1.
#[test]
fn matches_scikit_learn() {
    let null = [0.5, 1.5, 1.0, 3.2, 0.2, 2.5, 0.9, 2.9, 0.1];
    let scores = [5.0, 4.0, 4.0, 3.0, 2.7, 2.0, 1.2, 0.8, 0.4, 0.3, 0.05];
    let rates = false_discovery_rates(&null, &scores, 0.6).unwrap();
    let expected = [
        0.22, 0.22, 0.22, 0.66, 0.66, 0.66, 0.66, 0.66, 0.66, 0.66, 1.0,
    ];
    for (rate, expected) in rates.iter().zip(expected) {
        assert!((rate - expected).abs() < 1e-9, "{rates:?}");
    }
}

/// 10,000 clean and 1,000 wrong, both normal, means 0 and 3: the rate is known exactly,
/// 10 φ(s) / (10 φ(s) + φ(s − 3)), and one in two is clean at s = 3/2 + ln(10)/3 = 2.27.
#[test]
fn finds_the_known_rate_of_a_mixture() {
    let normal = |n: usize, shift: f64| -> Vec<f32> {
        // Quantiles, so that nothing is left to chance; Acklam's would be a library for one test.
        (0..n)
            .map(|i| (quantile((i as f64 + 0.5) / n as f64) + shift) as f32)
            .collect()
    };
    let mut scores = normal(10_000, 0.0);
    scores.extend(normal(1000, 3.0));
    let rates = false_discovery_rates(&normal(4000, 0.0), &scores, 10.0 / 11.0).unwrap();
    let mut checked = 0;
    for (&score, &rate) in scores.iter().zip(&rates) {
        let s = f64::from(score);
        let (clean, wrong) = (
            10.0 * (-s * s / 2.0).exp(),
            (-(s - 3.0).powi(2) / 2.0).exp(),
        );
        if (1.0..3.0).contains(&s) {
            let exact = clean / (clean + wrong);
            assert!((rate - exact).abs() < 0.12, "{rate} is not {exact} at {s}");
            checked += 1;
        }
    }
    assert!(checked > 1000);
}

/// The standard normal quantile by bisection of its distribution function, itself by Simpson's rule.
fn quantile(p: f64) -> f64 {
    let below = |x: f64| {
        let step = x / 200.0;
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let mut sum = density(0.0) + density(x);
        for i in 1..200 {
            sum += density(step * f64::from(i)) * if i % 2 == 1 { 4.0 } else { 2.0 };
        }
        0.5 + sum * step / 3.0
    };
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if below(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[test]
fn says_what_is_wrong_with_its_input() {
    assert!(matches!(
        false_discovery_rates(&[], &[1.0], 1.0),
        Err(StatsError::Empty { .. })
    ));
    assert!(matches!(
        false_discovery_rates(&[1.0], &[f32::NAN], 1.0),
        Err(StatsError::NotANumber { .. })
    ));
    for share in [0.0, 1.5, f64::NAN] {
        assert!(matches!(
            false_discovery_rates(&[1.0], &[1.0], share),
            Err(StatsError::OutOfRange { .. })
        ));
    }
    assert!(false_discovery_rates(&[1.0], &[], 1.0).unwrap().is_empty());
}

proptest! {
    #[test]
    fn rates_are_chances_that_never_rise_with_the_score(
        null in proptest::collection::vec(-4i8..8, 1..60),
        scores in proptest::collection::vec(-4i8..8, 1..80),
        share in 0.05f64..1.0,
    ) {
        let float = |values: &[i8]| -> Vec<f32> { values.iter().map(|&v| f32::from(v)).collect() };
        let rates = false_discovery_rates(&float(&null), &float(&scores), share).unwrap();
        for (i, &rate) in rates.iter().enumerate() {
            prop_assert!((0.0..=1.0).contains(&rate) && rate > 0.0);
            for (j, &other) in rates.iter().enumerate() {
                if scores[i] > scores[j] {
                    prop_assert!(rate <= other);
                }
                if scores[i] == scores[j] {
                    prop_assert_eq!(rate, other);
                }
            }
        }
        // Only ranks count.
        let cubed = |values: &[i8]| -> Vec<f32> {
            values.iter().map(|&v| f32::from(v).powi(3)).collect()
        };
        prop_assert_eq!(
            &rates,
            &false_discovery_rates(&cubed(&null), &cubed(&scores), share).unwrap()
        );
    }

    /// The isotonic fit keeps totals: without the cap, all rates together are all clean samples above the
    /// lowest score.
    #[test]
    fn no_clean_sample_is_lost(
        null in proptest::collection::vec(0u16..1000, 1..60),
        scores in proptest::collection::vec(0u16..1000, 1..80),
    ) {
        let float = |values: &[u16]| -> Vec<f32> { values.iter().map(|&v| f32::from(v)).collect() };
        // So small a share that no rate reaches 1.
        let share = 1.0 / (null.len() + 1) as f64 / scores.len() as f64;
        let rates = false_discovery_rates(&float(&null), &float(&scores), share).unwrap();
        let lowest = scores.iter().min().unwrap();
        let above = 1 + null.iter().filter(|s| *s >= lowest).count();
        let expected = share * scores.len() as f64 * above as f64 / (null.len() + 1) as f64;
        prop_assert!((rates.iter().sum::<f64>() - expected).abs() < 1e-9);
    }
}
