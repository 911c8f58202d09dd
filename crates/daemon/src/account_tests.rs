//! Counting: which null, who is judged, and whether the promised rates are kept.

use mirrorwatch_influence::{Estimator, Labels};

use super::*;
use crate::evidence::Channel;

const LEVELS: Levels = Levels {
    fdr: 0.1,
    alpha: 0.05,
    per_class: None,
};
/// Repetitions of the rate tests, each with its own seed.
const REPETITIONS: u64 = 200;

/// Numbers that look random: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Box and Muller, Annals of Mathematical Statistics 29, 1958.
    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.unit()).cos()) as f32
    }
}

/// `wrong` of `samples` scores are shifted by three standard deviations; `trusted` clean ones are
/// spread over the training set; `probe` more clean ones are held out.
fn synthetic(
    seed: u64,
    samples: usize,
    wrong: usize,
    trusted: usize,
    probe: usize,
) -> (Evidence, Labels) {
    let mut random = Random(seed);
    let estimator = Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    };
    let mut evidence = Evidence::new(&[estimator], samples, probe);
    let channel = &mut evidence.channels[0];
    channel.held_out_null = true;
    for score in &mut channel.probe {
        *score = random.normal();
    }
    channel.probe_mean.clone_from(&channel.probe);
    for (sample, score) in channel.train.iter_mut().enumerate() {
        *score = random.normal() + if sample < wrong { 3.0 } else { 0.0 };
    }
    let labels = Labels {
        classes: 2,
        train: vec![0; samples],
        probe: vec![0; probe],
        trusted: (samples - trusted..samples).collect(),
        canaries: Vec::new(),
        unlabelled: Vec::new(),
    };
    (evidence, labels)
}

#[test]
fn a_score_without_a_valid_null_is_refused_by_name() {
    let (mut evidence, labels) = synthetic(1, 60, 5, 0, 20);
    evidence.channels[0].estimator.score = "delta".to_string();
    evidence.channels[0].held_out_null = false;
    let message = account(&evidence, &labels, LEVELS).unwrap_err();
    assert!(message.contains("finetune:delta"), "{message}");
    assert!(message.contains("trusted"), "{message}");
    // With trusted samples any score will do.
    let trusted = Labels {
        trusted: (40..60).collect(),
        ..labels
    };
    assert_eq!(
        account(&evidence, &trusted, LEVELS).unwrap().null,
        Null::Trusted
    );
    evidence.channels.clear();
    let message = account(&evidence, &trusted, LEVELS).unwrap_err();
    assert!(message.contains("estimator"), "{message}");
}

#[test]
fn the_trusted_null_goes_before_the_held_out_one() {
    let (evidence, labels) = synthetic(2, 200, 100, 50, 80);
    let judged = account(&evidence, &labels, LEVELS).unwrap();
    assert_eq!((judged.null, judged.null_samples), (Null::Trusted, 50));
    let untrusted = Labels {
        trusted: Vec::new(),
        ..labels
    };
    let judged = account(&evidence, &untrusted, LEVELS).unwrap();
    assert_eq!((judged.null, judged.null_samples), (Null::HeldOut, 80));
    assert_eq!(judged.scored.len(), 200);
}

#[test]
fn trusted_samples_are_not_judged() {
    let (mut evidence, labels) = synthetic(3, 300, 40, 100, 10);
    let judged = account(&evidence, &labels, LEVELS).unwrap();
    assert!(judged.suspects >= judged.min_detectable && judged.suspects > 0);
    // Even one that looks terrible: its label was verified.
    evidence.channels[0].train[299] = 50.0;
    let judged = account(&evidence, &labels, LEVELS).unwrap();
    assert_eq!(judged.scored, (0..200).collect::<Vec<_>>());
    for &sample in &labels.trusted {
        assert_eq!(judged.p_values[sample], 1.0);
        assert!(!judged.flags[sample]);
    }
    let flagged = judged.flags.iter().filter(|f| **f).count();
    assert_eq!(flagged, judged.suspects);
    assert!(judged.lower_bound <= judged.estimate);
}

/// By hand: null 1 2 3 4; p(4.5) = 1/5, p(3) = (1 + 2)/5, p(0) = 5/5.
#[test]
fn p_values_count_the_null_samples_that_look_as_bad() {
    let (mut evidence, mut labels) = synthetic(4, 7, 0, 4, 1);
    // Only the trusted null is valid, and it is not pooled.
    evidence.channels[0].held_out_null = false;
    evidence.channels[0].train = vec![4.5, 1.0, 3.0, 2.0, 4.0, 3.0, 0.0];
    labels.trusted = vec![1, 3, 4, 5];
    let judged = account(&evidence, &labels, LEVELS).unwrap();
    assert_eq!(judged.scored, [0, 2, 6]);
    assert_eq!(judged.p_values, [0.2, 1.0, 0.6, 1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn another_order_of_the_samples_only_reorders_the_flags() {
    let (evidence, labels) = synthetic(5, 300, 40, 100, 10);
    let judged = account(&evidence, &labels, LEVELS).unwrap();
    // 7 and 300 have no common divisor, so this visits every position once.
    let place: Vec<usize> = (0..300).map(|i| (7 * i + 3) % 300).collect();
    let mut turned = evidence.clone();
    for (from, &to) in place.iter().enumerate() {
        turned.channels[0].train[to] = evidence.channels[0].train[from];
    }
    let mut trusted: Vec<usize> = labels.trusted.iter().map(|&i| place[i]).collect();
    trusted.sort_unstable();
    let again = account(&turned, &Labels { trusted, ..labels }, LEVELS).unwrap();
    for (from, &to) in place.iter().enumerate() {
        assert_eq!(judged.flags[from], again.flags[to]);
        assert_eq!(judged.p_values[from], again.p_values[to]);
    }
    assert_eq!(judged.suspects, again.suspects);
    assert_eq!(judged.lower_bound, again.lower_bound);
    assert_eq!(judged.estimate, again.estimate);
}

/// Three standard errors above `rate` over all repetitions.
fn at_most(rate: f64) -> f64 {
    rate + 3.0 * (rate * (1.0 - rate) / REPETITIONS as f64).sqrt()
}

/// Without a wrong label every suspect is false, so the false-discovery rate is the chance of any.
#[test]
fn clean_labels_are_rarely_suspected() {
    for trusted in [0, 200] {
        let (mut any, mut above, mut suspects) = (0, 0, 0);
        for seed in 0..REPETITIONS {
            let (evidence, labels) = synthetic(1000 + seed, 600 + trusted, 0, trusted, 200);
            let judged = account(&evidence, &labels, LEVELS).unwrap();
            any += u32::from(judged.suspects > 0);
            suspects += judged.suspects;
            above += u32::from(judged.lower_bound > 0.0);
        }
        let share = |count: u32| f64::from(count) / REPETITIONS as f64;
        assert!(
            share(any) <= at_most(LEVELS.fdr),
            "{trusted} {any} {suspects}"
        );
        assert!(share(above) <= at_most(LEVELS.alpha), "{trusted} {above}");
        // Half a percent of the samples, on average.
        assert!(
            suspects as f64 / REPETITIONS as f64 <= 3.0,
            "{trusted} {suspects}"
        );
    }
}

#[test]
fn the_promised_rates_hold_with_wrong_labels() {
    let (samples, wrong) = (600, 120);
    for trusted in [0, 200] {
        let (mut over, mut bound, mut false_share, mut recall) = (0, 0.0, 0.0, 0.0);
        for seed in 0..REPETITIONS {
            let (evidence, labels) = synthetic(5000 + seed, samples + trusted, wrong, trusted, 200);
            let judged = account(&evidence, &labels, LEVELS).unwrap();
            let found = judged.flags[..wrong].iter().filter(|f| **f).count();
            over += u32::from(judged.lower_bound > wrong as f64 / samples as f64);
            bound += judged.lower_bound;
            false_share += (judged.suspects - found) as f64 / judged.suspects.max(1) as f64;
            recall += found as f64 / wrong as f64;
        }
        let mean = |sum: f64| sum / REPETITIONS as f64;
        let over = f64::from(over) / REPETITIONS as f64;
        assert!(over <= at_most(LEVELS.alpha), "{trusted} {over}");
        assert!(
            mean(false_share) <= LEVELS.fdr + 0.02,
            "{trusted} {false_share}"
        );
        // The rates above are easy to keep by saying nothing.
        assert!(mean(bound) > 0.12, "{trusted} {bound}");
        assert!(mean(recall) > 0.8, "{trusted} {recall}");
    }
}

#[test]
fn chances_of_being_wrong_tell_suspects_apart() {
    let (samples, wrong, trusted) = (1200, 240, 300);
    let (mut sure, mut sure_wrong, mut hard, mut hard_wrong) = (0, 0, 0, 0);
    let (mut expected, mut suspects_wrong) = (0.0, 0);
    for seed in 0..REPETITIONS {
        let (evidence, labels) = synthetic(9000 + seed, samples + trusted, wrong, trusted, 200);
        let judged = account(&evidence, &labels, LEVELS).unwrap();
        assert!(
            labels
                .trusted
                .iter()
                .all(|&i| judged.wrong_probability[i] == 0.0)
        );
        let mut among = 0;
        for i in (0..samples).filter(|&i| judged.flags[i]) {
            let chance = judged.wrong_probability[i];
            expected += f64::from(chance);
            suspects_wrong += usize::from(i < wrong);
            if chance >= 0.9 {
                sure += 1;
                sure_wrong += usize::from(i < wrong);
            }
            if chance < 0.5 {
                among += 1;
                hard_wrong += usize::from(i < wrong);
            }
        }
        hard += among;
        assert_eq!(judged.hard_suspects(), among);
    }
    let share = |a: usize, b: usize| a as f64 / b as f64;
    // Chances add up to what they are chances of.
    assert!((expected / suspects_wrong as f64 - 1.0).abs() < 0.05);
    assert!(sure > 20_000 && share(sure_wrong, sure) > 0.95);
    assert!(
        hard > 100 && share(hard_wrong, hard) < 0.6,
        "{hard_wrong} of {hard}"
    );
}

#[test]
fn canaries_are_found_but_never_counted() {
    let (mut evidence, labels) = synthetic(2, 2000, 400, 300, 80);
    // Two canaries: one looks like a wrong label, the other like a right one.
    let (loud, quiet) = (1998, 1999);
    evidence.channels[0].train[loud] = 1e3;
    evidence.channels[0].train[quiet] = -1e3;
    let with = Labels {
        canaries: vec![loud, quiet],
        trusted: labels
            .trusted
            .iter()
            .copied()
            .filter(|&i| i < loud)
            .collect(),
        ..labels
    };
    let judged = account(&evidence, &with, LEVELS).unwrap();
    assert!(judged.suspects > 0);
    assert_eq!(judged.canaries_found, 1);
    assert!(!judged.flags[loud] && judged.p_values[loud] == 1.0);
    assert!(!judged.scored.contains(&loud) && !judged.scored.contains(&quiet));

    // Whatever they score, every other figure stays.
    evidence.channels[0].train[quiet] = 1e3;
    let other = account(&evidence, &with, LEVELS).unwrap();
    assert_eq!(other.canaries_found, 2);
    assert_eq!(
        (other.flags, other.suspects),
        (judged.flags, judged.suspects)
    );
    assert_eq!(other.lower_bound, judged.lower_bound);
}

/// A held-out sample is read twice: as its own fork reads it, which names suspects, and as all forks would, which bounds.
#[test]
fn held_out_samples_name_by_one_reading_and_bound_by_the_other() {
    let (evidence, labels) = synthetic(9, 2000, 400, 0, 1500);
    let before = account(&evidence, &labels, LEVELS).unwrap();
    assert!(before.suspects > 100 && before.lower_bound > 0.1);
    let shifted = |by: fn(&mut Channel) -> &mut Vec<f32>| {
        let mut evidence = evidence.clone();
        for score in by(&mut evidence.channels[0]) {
            *score += 5.0;
        }
        account(&evidence, &labels, LEVELS).unwrap()
    };
    let named = shifted(|channel| &mut channel.probe);
    assert_eq!((named.suspects, named.lower_bound), (0, before.lower_bound));
    let bounded = shifted(|channel| &mut channel.probe_mean);
    assert_eq!(
        (bounded.suspects, bounded.lower_bound),
        (before.suspects, 0.0)
    );
}

#[test]
fn few_wrong_labels_are_judged_on_both_nulls_together() {
    // Of 1,900 judged samples, 100 are wrong; 100 trusted ones can show no fewer than about 180 suspects.
    let (mut evidence, labels) = synthetic(4, 2000, 100, 100, 1500);
    for score in &mut evidence.channels[0].probe {
        // Held-out samples look a little worse than those that training has seen.
        *score += 0.2;
    }
    let judged = account(&evidence, &labels, LEVELS).unwrap();
    assert_eq!((judged.null, judged.null_samples), (Null::Pooled, 1600));
    assert!(judged.min_detectable < 20, "{}", judged.min_detectable);
    assert!(judged.suspects > 20, "{}", judged.suspects);

    // A score that no held-out null is valid for stays with the trusted one, and names nobody.
    evidence.channels[0].held_out_null = false;
    let alone = account(&evidence, &labels, LEVELS).unwrap();
    assert_eq!((alone.null, alone.suspects), (Null::Trusted, 0));
    // The bound does not depend on who names suspects.
    assert_eq!(alone.lower_bound, judged.lower_bound);

    // With many wrong labels the trusted null is fine enough.
    let (evidence, labels) = synthetic(4, 2000, 600, 300, 1500);
    let judged = account(&evidence, &labels, LEVELS).unwrap();
    assert_eq!(judged.null, Null::Trusted);
}

/// Class 1 is hard: its clean samples score 2 higher. With one null for all, it alone is suspected; judged
/// by its own kind, nobody is.
#[test]
fn a_hard_class_is_judged_by_its_own_kind() {
    let (mut evidence, mut labels) = synthetic(6, 3000, 0, 1000, 10);
    evidence.channels[0].held_out_null = false;
    for (sample, label) in labels.train.iter_mut().enumerate() {
        // One in twenty: rare among the null samples, too.
        *label = usize::from(sample % 20 == 0);
        if *label == 1 {
            evidence.channels[0].train[sample] += 2.0;
        }
    }
    let one = account(&evidence, &labels, LEVELS).unwrap();
    let share = |judged: &Account| {
        let hard = (0..2000).filter(|&i| judged.p_values[i] <= 0.05 && labels.train[i] == 1);
        hard.count() as f64 / 100.0
    };
    assert!(share(&one) > 0.3, "{}", share(&one));
    let levels = Levels {
        per_class: Some(30),
        ..LEVELS
    };
    let own = account(&evidence, &labels, levels).unwrap();
    // Valid within the class now: about 5 % (of 100: more than 15 has probability 4e-5, scipy 1.17.1
    // binom.sf(15, 100, .05), and the null's own error of 50 samples doubles the spread).
    assert!(share(&own) < 0.16, "{}", share(&own));
}

/// A probe without hard samples would let every hard training sample look wrong: it is not pooled.
#[test]
fn an_easy_probe_is_not_pooled() {
    let (mut evidence, labels) = synthetic(4, 2000, 100, 100, 1500);
    for score in &mut evidence.channels[0].probe {
        *score -= 0.6;
    }
    let judged = account(&evidence, &labels, LEVELS).unwrap();
    assert_eq!((judged.null, judged.suspects), (Null::Trusted, 0));
}

/// 20 classes, 1,000 trusted samples, 50 of each class: the smallest p-value of a sample is 1/51, so that fewer than
/// 1,000 / (0.1 · 51) = 196.1 of the 1,000 judged ones are never named, if all are clean.
#[test]
fn a_null_per_class_says_how_little_it_resolves() {
    let (mut evidence, mut labels) = synthetic(8, 2000, 0, 1000, 10);
    evidence.channels[0].held_out_null = false;
    labels.classes = 20;
    for (sample, label) in labels.train.iter_mut().enumerate() {
        *label = sample % 20;
    }
    labels.probe = vec![0; 10];
    let per_class = |minimum| Levels {
        per_class: minimum,
        ..LEVELS
    };
    let own = account(&evidence, &labels, per_class(Some(50))).unwrap();
    assert!(
        (180..=197).contains(&own.min_detectable),
        "{}",
        own.min_detectable
    );
    // Classes with fewer than the minimum fall back on all 1,000.
    let all = account(&evidence, &labels, per_class(Some(51))).unwrap();
    assert!(all.min_detectable <= 10, "{}", all.min_detectable);
}
