use mirrorwatch_influence::Estimator;
use proptest::prelude::*;

use super::*;

/// Evidence of one checkpoint, the larger a sample's number the larger, and labels for it.
fn known(samples: usize, probe: usize) -> (Evidence, Labels) {
    let estimator = Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    };
    let mut evidence = Evidence::new(&[estimator], samples, probe);
    evidence.checkpoints = 1;
    for (sample, score) in evidence.channels[0].train.iter_mut().enumerate() {
        *score = sample as f32;
    }
    for (sample, score) in evidence.channels[0].probe.iter_mut().enumerate() {
        *score = (sample * samples) as f32 / probe as f32;
    }
    let labels = Labels {
        classes: 2,
        train: vec![0; samples],
        probe: vec![0; probe],
        trusted: vec![],
        canaries: vec![],
        unlabelled: vec![],
    };
    (evidence, labels)
}

#[test]
fn half_is_read_in_turn_and_half_where_it_is_undecided() {
    let (evidence, labels) = known(10_000, 1000);
    let part = choose(&evidence, &labels, 1000, 2000, 0).unwrap();
    assert!(part.train.len().abs_diff(1000) < 60, "{}", part.train.len());
    assert!(part.typical.len().abs_diff(500) < 60);
    // The line is below the 2,000 largest; whoever is read away from it has a turn.
    for sample in &part.train {
        let near = sample.abs_diff(8000) <= 265;
        assert!(near || part.typical.contains(sample), "{sample}");
    }
    let near = part.train.iter().filter(|s| s.abs_diff(8000) <= 250);
    assert!(near.count() >= 500);
    // Probe samples by the same rule.
    assert!(part.probe.len().abs_diff(100) < 25, "{}", part.probe.len());
}

#[test]
fn what_a_budget_asks_for_is_never_too_few() {
    // The fewest that a budget has read, of few and of many samples, with whatever seed.
    for samples in [200, 2000, 20_000] {
        let (evidence, labels) = known(samples, 50);
        for seed in 0..50 {
            assert!(
                choose(&evidence, &labels, 50, 10, seed).is_some(),
                "{samples} {seed}"
            );
        }
    }
}

#[test]
fn everyone_has_a_turn_again_and_again() {
    let (mut evidence, labels) = known(5000, 500);
    let mut read = vec![0; 5000];
    let mut turned = 0.0;
    for _ in 0..50 {
        evidence.turned = turned;
        let part = choose(&evidence, &labels, 400, 100, 7).unwrap();
        for &sample in &part.typical {
            read[sample] += 1;
        }
        turned = part.turned;
    }
    // 50 turns of a twenty-fifth each.
    assert!(read.iter().all(|times| (1..=3).contains(times)), "{read:?}");
    assert_eq!(read.iter().filter(|times| **times == 2).count(), 5000);
}

#[test]
fn without_a_choice_everything_is_read() {
    let (mut evidence, labels) = known(1000, 100);
    assert!(choose(&evidence, &labels, 1000, 10, 0).is_none());
    // Too few to stand for all.
    assert!(choose(&evidence, &labels, 2, 10, 0).is_none());
    evidence.checkpoints = 0;
    assert!(choose(&evidence, &labels, 100, 10, 0).is_none());
}

proptest! {
    /// What exchangeability rests on: neither labels nor trust decide who is read.
    #[test]
    fn labels_and_trust_make_no_difference(
        classes in prop::collection::vec(0usize..5, 500),
        trusted in prop::collection::btree_set(0usize..500, 0..50),
        wrong in 0usize..600,
    ) {
        let (evidence, labels) = known(500, 50);
        let other = Labels {
            train: classes,
            trusted: trusted.into_iter().collect(),
            ..labels.clone()
        };
        prop_assert_eq!(
            choose(&evidence, &labels, 100, wrong, 3),
            choose(&evidence, &other, 100, wrong, 3)
        );
    }

    #[test]
    fn the_line_never_leaves_the_samples(wrong in 0usize..2000, samples in 20usize..499) {
        let (evidence, labels) = known(500, 50);
        let part = choose(&evidence, &labels, samples, wrong, 3);
        if let Some(part) = part {
            prop_assert!(part.train.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(part.typical.iter().all(|sample| part.train.contains(sample)));
            prop_assert!(part.train.len() <= 2 * samples);
        }
    }
}
