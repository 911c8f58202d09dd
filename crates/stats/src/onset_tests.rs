//! Onset against scipy, arithmetic by hand, and both null models.

use super::*;
use proptest::prelude::*;

/// Groups of which so many samples stay fitted, are lost, are gained and stay unfitted, in one stratum.
fn laid_out(groups: &[[usize; 4]]) -> (Vec<usize>, Vec<bool>, Vec<bool>) {
    let (mut of, mut before, mut now) = (Vec::new(), Vec::new(), Vec::new());
    let kinds = [(true, true), (true, false), (false, true), (false, false)];
    for (group, counts) in groups.iter().enumerate() {
        for (&count, &(was, is)) in counts.iter().zip(&kinds) {
            for _ in 0..count {
                of.push(group);
                before.push(was);
                now.push(is);
            }
        }
    }
    (of, before, now)
}

fn changed(groups: &[[usize; 4]], alpha: f64) -> Vec<Change> {
    let (of, before, now) = laid_out(groups);
    changes(&of, &vec![0; of.len()], &before, &now, alpha).unwrap()
}

/// Of 100 fitted samples 20 are lost, 15 of them among the 30 of one group: scipy 1.17.1,
/// `binom.sf(14, 30, 0.2)` = 2.312e-4. Its sign test with 2 gained, by hand: (C(17,15) + 17 + 1) / 2^17
/// = 154 / 131072.
#[test]
fn the_larger_p_value_counts() {
    let found = changed(&[[15, 15, 2, 9], [36, 4, 3, 0], [29, 1, 0, 5]], 0.05);
    assert_eq!((found[0].lost, found[0].gained), (15, 2));
    assert!((found[0].expected_lost - 6.0).abs() < 1e-12);
    assert!((found[0].p_value - 154.0 / 131_072.0).abs() < 1e-12);
    let bad: Vec<bool> = found.iter().map(|c| c.went_bad).collect();
    assert_eq!(bad, [true, false, false]);
    // Without gained ones, 2^-15, the excess is the larger.
    let found = changed(&[[15, 15, 0, 9], [36, 4, 3, 0], [29, 1, 0, 5]], 0.05);
    assert!((found[0].p_value / 2.312_256_116_677_225_4e-4 - 1.0).abs() < 1e-9);
}

/// The figures of a source of which 60 % went bad, as measured: lost 133, gained 55 where 50 were expected.
/// Its sign test in exact arithmetic: sum of C(188, k) for k from 133, over 2^188, is 6.10162e-9.
#[test]
fn a_measured_onset_is_found_at_a_late_comparison() {
    let calm = [400, 40, 60, 100];
    let mut groups = vec![calm; 9];
    groups.push([267, 133, 55, 145]);
    let found = changed(&groups, level(0.05, 12));
    assert!(found[9].went_bad && found[..9].iter().all(|c| !c.went_bad));
    assert!(
        (found[9].p_value / 6.101_620_639e-9 - 1.0).abs() < 1e-9,
        "{}",
        found[9].p_value
    );
}

#[test]
fn neither_null_model_alone_is_enough() {
    // The whole model forgets: every group loses far more than it gains.
    let found = changed(&[[60, 40, 2, 50]; 5], 0.05);
    assert!(found.iter().all(|c| c.p_value == 1.0 && !c.went_bad));
    // One group wobbles: as many gained as lost, far more than elsewhere.
    let found = changed(&[[60, 40, 40, 60], [99, 1, 1, 99], [99, 1, 1, 99]], 0.05);
    assert!(found.iter().all(|c| !c.went_bad), "{found:?}");
}

/// A class is forgotten, and one group has more of it than the others.
#[test]
fn a_forgotten_class_is_no_bad_source() {
    let (mut of, mut strata, mut now) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..400 {
        let forgotten = sample < 200;
        of.push(usize::from(!forgotten || sample % 2 == 0));
        strata.push(usize::from(forgotten));
        now.push(!(forgotten && sample % 5 < 2));
    }
    let before = [true; 400];
    let found = changes(&of, &strata, &before, &now, 0.05).unwrap();
    assert!(found.iter().all(|c| !c.went_bad), "{found:?}");
    let found = changes(&of, &[0; 400], &before, &now, 0.05).unwrap();
    assert!(found[0].went_bad, "{found:?}");
}

#[test]
fn levels_add_up_to_alpha() {
    assert_eq!(level(0.05, 1), 0.025);
    let sum: f64 = (1..=1000).map(|t| level(0.05, t)).sum();
    // By hand: 1 − 1/1001 of it.
    assert!((sum - 0.05 * 1000.0 / 1001.0).abs() < 1e-12, "{sum}");
}

#[test]
fn nothing_fitted_is_nothing_lost_and_wrong_input_is_refused() {
    let found = changed(&[[0, 0, 5, 5], [10, 0, 0, 0]], 0.05);
    assert_eq!(found.len(), 2);
    for change in found {
        assert_eq!(
            (change.lost, change.p_value, change.went_bad),
            (0, 1.0, false)
        );
    }
    assert!(changes(&[], &[], &[], &[], 0.05).unwrap().is_empty());
    assert!(changes(&[0], &[0], &[true], &[], 0.05).is_err());
    assert!(changes(&[0], &[0], &[], &[true], 0.05).is_err());
    assert!(changes(&[0], &[0], &[true], &[true], 0.0).is_err());
}

/// A small generator: numbers below `below`.
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Under each null model alone, somebody is accused in at most about `alpha` of 40 cases, whatever
    /// the other one says.
    #[test]
    fn either_null_model_seldom_accuses(seed in 0u64..10_000) {
        let mut next = random(seed);
        let of: Vec<usize> = (0..400).map(|i| (i * i) % 5).collect();
        let strata: Vec<usize> = (0..400).map(|i| i % 3).collect();
        let (mut forgetting, mut wobbling) = (0, 0);
        for _ in 0..40 {
            // Everybody forgets, class 0 most; nothing is gained.
            let before = [true; 400];
            let now: Vec<bool> = strata.iter().map(|&s| next(100) >= [40, 10, 5][s]).collect();
            let found = changes(&of, &strata, &before, &now, 0.05).unwrap();
            forgetting += usize::from(found.iter().any(|c| c.went_bad));
            // Group 4 alone wobbles, and everything else stays.
            let before: Vec<bool> = of.iter().map(|&g| g != 4 || next(2) == 0).collect();
            let now: Vec<bool> = of.iter().map(|&g| g != 4 || next(2) == 0).collect();
            let found = changes(&of, &strata, &before, &now, 0.05).unwrap();
            wobbling += usize::from(found.iter().any(|c| c.went_bad));
        }
        // Binomial(40, 0.05): more than 9 has probability 2e-5 (scipy 1.17.1, binom.sf(9, 40, .05)).
        prop_assert!(forgetting <= 9 && wobbling <= 9, "{forgetting}, {wobbling} of 40");
    }
}
