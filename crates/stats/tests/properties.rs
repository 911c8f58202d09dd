//! What must hold for all inputs.

#![allow(clippy::unwrap_used)]

use mirrorwatch_stats::band::UpperBand;
use mirrorwatch_stats::moments::{Running, quantile, robust_location_scale};
use mirrorwatch_stats::{conformal, fdr, noise_ratio, ranking};
use proptest::collection::vec;
use proptest::prelude::*;

/// Few distinct values, so that ties are common, and the infinities.
fn score() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => (-6_i8..=6).prop_map(|v| f32::from(v) / 2.0),
        4 => -5.0_f32..5.0,
        1 => Just(f32::INFINITY),
        1 => Just(f32::NEG_INFINITY),
    ]
}

fn scores(most: usize) -> impl Strategy<Value = Vec<f32>> {
    vec(score(), 1..most)
}

fn p_value() -> impl Strategy<Value = f64> {
    prop_oneof![(1_u8..=20).prop_map(|v| f64::from(v) / 20.0), 0.0..0.1_f64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p_values_fall_with_the_score(null in scores(40), scores in scores(40)) {
        let p = conformal::p_values(&null, &scores).unwrap();
        for (i, &a) in scores.iter().enumerate() {
            prop_assert!(p[i] > 0.0 && p[i] <= 1.0);
            for (j, &b) in scores.iter().enumerate() {
                prop_assert!(a > b || p[i] >= p[j]);
            }
        }
        let mut reversed = null.clone();
        reversed.reverse();
        prop_assert_eq!(&p, &conformal::p_values(&reversed, &scores).unwrap());
        // One class is no class.
        let zeros = (vec![0; null.len()], vec![0; scores.len()]);
        let same = conformal::class_conditional_p_values(&null, &zeros.0, &scores, &zeros.1, 5);
        prop_assert_eq!(&p, &same.unwrap());
    }

    #[test]
    fn selections_are_nested(p in vec(p_value(), 0..60), q in 0.01..0.9_f64, more in 0.0..0.1_f64) {
        let plain = fdr::benjamini_hochberg(&p, q).unwrap();
        let looser = fdr::benjamini_hochberg(&p, q + more).unwrap();
        let adaptive = fdr::adaptive_benjamini_hochberg(&p, 19, q).unwrap();
        prop_assert!(adaptive.clean_share > 0.0 && adaptive.clean_share <= 1.0);
        prop_assert_eq!(plain.count, plain.selected.iter().filter(|&&s| s).count());
        for i in 0..p.len() {
            prop_assert!(!plain.selected[i] || (looser.selected[i] && adaptive.selected[i]));
            for j in 0..p.len() {
                prop_assert!(!plain.selected[i] || p[j] > p[i] || plain.selected[j]);
            }
        }
    }

    #[test]
    fn bounds_are_ordered(null in scores(40), train in scores(80)) {
        let strict = noise_ratio::lower_bound(&null, &train, 0.01).unwrap();
        let loose = noise_ratio::lower_bound(&null, &train, 0.1).unwrap();
        prop_assert!(strict.ratio <= loose.ratio && strict.unclipped <= loose.unclipped);
        for bound in [&strict, &loose] {
            prop_assert!((0.0..=1.0).contains(&bound.ratio));
            let share = |count, of| count as f64 / of as f64;
            // What the bound would be if the null's shares were exact.
            let clean = share(bound.null_exceeding, bound.null);
            let empirical = (share(bound.train_exceeding, bound.train) - clean) / (1.0 - clean);
            prop_assert!(bound.unclipped <= empirical + 1e-12);
            prop_assert!(bound.wrong <= bound.train_exceeding);
            prop_assert!(bound.estimate >= bound.ratio && bound.estimate <= 1.0);
            let exceeding = train.iter().filter(|&&s| s >= bound.threshold).count();
            // Above every score the threshold is +∞, which an infinite score reaches.
            prop_assert!(exceeding == bound.train_exceeding || bound.train_exceeding == 0);
        }
        let (mut n, mut t) = (null.clone(), train.clone());
        n.reverse();
        t.reverse();
        prop_assert_eq!(&noise_ratio::lower_bound(&n, &t, 0.1).unwrap(), &loose);
        // Only the order counts.
        let shifted = |v: &[f32]| v.iter().map(|s| s * 4.0).collect::<Vec<_>>();
        let scaled = noise_ratio::lower_bound(&shifted(&null), &shifted(&train), 0.1).unwrap();
        prop_assert_eq!(scaled.unclipped, loose.unclipped);
        // Null samples left among the training samples lower the bound.
        let mut with_null = train.clone();
        with_null.extend(&null);
        let lower = noise_ratio::lower_bound(&null, &with_null, 0.1).unwrap();
        prop_assert!(lower.unclipped <= 0.0 || lower.wrong <= loose.wrong);
    }

    #[test]
    fn bands_rise_with_count_and_confidence(n in 1_usize..60, alpha in 0.001..0.25_f64) {
        for (strict, loose) in [
            (UpperBand::berk_jones(n, alpha, 1.0), UpperBand::berk_jones(n, 2.0 * alpha, 1.0)),
            (UpperBand::dkw(n, alpha), UpperBand::dkw(n, 2.0 * alpha)),
        ] {
            let (strict, loose) = (strict.unwrap(), loose.unwrap());
            for count in 0..=n {
                prop_assert!(strict.at(count) >= loose.at(count));
                prop_assert!(loose.at(count) >= count as f64 / n as f64);
                prop_assert!(count == 0 || loose.at(count) >= loose.at(count - 1));
            }
        }
    }

    #[test]
    fn ranking_mirrors(pairs in vec((score(), any::<bool>()), 2..60)) {
        let (scores, positive): (Vec<f32>, Vec<bool>) = pairs.iter().copied().unzip();
        let opposite: Vec<f32> = scores.iter().map(|s| -s).collect();
        let area = ranking::auroc(&scores, &positive);
        if let Some(area) = area {
            let mirrored = ranking::auroc(&opposite, &positive).unwrap();
            prop_assert!((area + mirrored - 1.0).abs() < 1e-12);
            let mut wins = 0.0;
            let mut total = 0.0;
            for &(high, _) in pairs.iter().filter(|p| p.1) {
                for &(low, _) in pairs.iter().filter(|p| !p.1) {
                    total += 1.0;
                    wins += if high > low { 1.0 } else if high == low { 0.5 } else { 0.0 };
                }
            }
            prop_assert!((area - wins / total).abs() < 1e-12);
        }
        let sum: f64 = ranking::ranks(&scores).unwrap().iter().sum();
        let n = scores.len() as f64;
        prop_assert!((sum - n * (n + 1.0) / 2.0).abs() < 1e-9);

        let mut turned = pairs.clone();
        turned.rotate_left(1);
        let (scores, positive): (Vec<f32>, Vec<bool>) = turned.into_iter().unzip();
        prop_assert_eq!(area, ranking::auroc(&scores, &positive));
    }

    #[test]
    fn merging_is_pushing(values in vec(-1e3..1e3_f64, 0..60), cut in 0.0..1.0_f64) {
        let middle = (cut * values.len() as f64) as usize;
        let (mut all, mut left, mut right) = (Running::default(), Running::default(), Running::default());
        values.iter().for_each(|&v| all.push(v));
        values[..middle].iter().for_each(|&v| left.push(v));
        values[middle..].iter().for_each(|&v| right.push(v));
        left.merge(&right);
        prop_assert_eq!(left.count, all.count);
        prop_assert!((left.mean - all.mean).abs() < 1e-9);
        prop_assert!((left.m2 - all.m2).abs() < 1e-6 * (1.0 + all.m2));
    }

    #[test]
    fn nothing_panics_and_scales_are_positive(values in scores(30), q in 0.0..=1.0_f64) {
        prop_assert!(!quantile(&values, q).unwrap().is_nan());
        if let Ok((location, scale)) = robust_location_scale(&values) {
            prop_assert!(location.is_finite() && scale > 0.0 && scale.is_finite());
        }
        prop_assert!(ranking::fuse(&[&values, &values]).is_ok());
    }
}
