//! Evidence against values computed by hand.

use mirrorwatch_influence::{Estimate, Estimator, Labels, Scan};

use super::*;
use crate::store::RunState;

fn estimator() -> Estimator {
    Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    }
}

/// A scan of five training and two probe samples in two classes.
fn scan(train: [f32; 5], probe: [f32; 2], margins: [f32; 5], probe_accuracy: f64) -> Scan {
    Scan {
        train_losses: margins.iter().map(|m| 1.0 - m).collect(),
        train_margins: margins.to_vec(),
        probe_loss: 0.7,
        probe_accuracy,
        chance: 0.5,
        probe_fitted: probe_accuracy,
        probe_losses: Vec::new(),
        estimates: vec![Estimate {
            estimator: estimator(),
            held_out_null: true,
            train: train.to_vec(),
            probe: probe.to_vec(),
            probe_mean: probe.iter().map(|s| s - 1.0).collect(),
            suggested: vec![1, 0, 1, 0, 1],
            probe_accuracy: 0.5,
            probe_noise: 0.0,
            choices: Vec::new(),
        }],
        base_sweep_seconds: 0.0,
        probe_seconds: 0.0,
        seconds: 0.0,
    }
}

/// Those of the scans here.
fn labels() -> Labels {
    Labels {
        classes: 2,
        train: vec![0, 1, 0, 1, 0],
        probe: vec![0, 1],
        trusted: Vec::new(),
        canaries: Vec::new(),
        unlabelled: Vec::new(),
    }
}

fn first() -> Scan {
    let margins = [0.5, -0.5, 0.2, 0.1, -1.0];
    scan([0.0, 1.0, 2.0, 3.0, 10.0], [2.0, 5.0], margins, 0.7)
}

fn second() -> Scan {
    let margins = [0.5, 0.5, -0.2, 0.1, -1.0];
    scan([-4.0, 0.0, 4.0, 8.0, 0.0], [0.0, 4.0], margins, 0.9)
}

fn evidence(scans: &[Scan]) -> Evidence {
    let mut evidence = Evidence::new(&[estimator()], 5, 2);
    for (epoch, scan) in scans.iter().enumerate() {
        evidence.add(scan, epoch as u64, &labels()).unwrap();
    }
    evidence
}

fn epochs(of: &Epochs) -> [Option<u32>; 5] {
    [0, 1, 2, 3, 4].map(|sample| of.get(sample))
}

fn close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f64::from(*f) - e).abs() < 1e-6, "{found:?} {expected:?}");
    }
}

/// By hand: the median of the first scan is 2, the deviations are 2 1 0 1 8 and their median 1, so
/// z = (s − 2) / 1.4826. Of the second: median 0, deviations 4 0 4 8 0, so z = s / (1.4826 · 4).
fn standardised() -> ([f64; 5], [f64; 5], [f64; 2], [f64; 2]) {
    let one = |s: f64| ((s - 2.0) / 1.4826).asinh();
    let two = |s: f64| (s / 5.9304).asinh();
    (
        [0.0, 1.0, 2.0, 3.0, 10.0].map(one),
        [-4.0, 0.0, 4.0, 8.0, 0.0].map(two),
        [2.0, 5.0].map(one),
        [0.0, 4.0].map(two),
    )
}

#[test]
fn one_scan_is_standardised_on_the_training_set() {
    let (train, _, probe, _) = standardised();
    let evidence = evidence(&[first()]);
    close(&evidence.channels[0].train, &train);
    close(&evidence.channels[0].probe, &probe);
    let one = |s: f64| ((s - 2.0) / 1.4826).asinh();
    close(&evidence.channels[0].probe_mean, &[one(1.0), one(4.0)]);
    assert_eq!(evidence.channels[0].suggested, [1, 0, 1, 0, 1]);
    assert!(evidence.channels[0].held_out_null);
}

#[test]
fn two_scans_are_averaged_by_weight() {
    let (train_1, train_2, probe_1, probe_2) = standardised();
    let (w1, w2) = (weight(&first(), 5), weight(&second(), 5));
    let mean = |(a, b): (&f64, &f64)| (w1 * a + w2 * b) / (w1 + w2);
    let train: Vec<f64> = train_1.iter().zip(&train_2).map(mean).collect();
    let probe: Vec<f64> = probe_1.iter().zip(&probe_2).map(mean).collect();
    let evidence = evidence(&[first(), second()]);
    close(&evidence.channels[0].train, &train);
    close(&evidence.channels[0].probe, &probe);
    assert_eq!(evidence.checkpoints, 2);
    assert!((evidence.weight - w1 - w2).abs() < 1e-12);
    // Plain means, as their definitions ask for.
    close(&evidence.mean_margin, &[0.5, 0.0, 0.0, 0.1, -1.0]);
    close(&evidence.mean_loss, &[0.5, 1.0, 1.0, 0.9, 2.0]);
    assert_eq!(evidence.last_margin, Halves::of(&second().train_margins));
    assert_eq!(evidence.last_loss, Halves::of(&second().train_losses));
}

#[test]
fn a_checkpoint_weighs_what_it_knows_and_has_not_memorised() {
    let knows_nothing = Scan {
        probe_accuracy: 0.5,
        probe_fitted: 0.5,
        ..first()
    };
    let memorised = scan([0.0; 5], [0.0; 2], [1.0; 5], 0.9);
    let useful = weight(&first(), 5);
    assert!(useful <= 1.0);
    for scan in [knows_nothing, memorised] {
        let weight = weight(&scan, 5);
        assert!(weight > 0.0 && weight < 1e-3 * useful, "{weight}");
    }
    assert!(
        weight(&second(), 5) > useful,
        "it knows more, and memorised as many"
    );
}

#[test]
fn learning_is_not_taken_for_memorising() {
    let with = |unfitted: usize, probe_accuracy: f64| {
        let mut scan = scan([0.0; 5], [0.0; 2], [1.0; 5], probe_accuracy);
        scan.probe_losses = vec![0.0; 1000];
        scan.train_margins = (0..100)
            .map(|i| if i < unfitted { -1.0 } else { 1.0 })
            .collect();
        weight(&scan, 100)
    };
    // Both sets are learnt alike, and nothing by heart.
    assert!(with(10, 0.9) > with(30, 0.7));
    // Of the training labels, three quarters of what the probe says is not known are known by heart.
    assert!(with(5, 0.8) < 0.01 * with(20, 0.8));
    // By hand: (0.6² · 0.2 / (0.2 + 0.001))⁸.
    assert!((with(20, 0.8) / (0.36f64 * 0.2 / 0.201).powi(8) - 1.0).abs() < 1e-9);
}

/// Trusted samples stay exchangeable with the others only if no sample has a say of its own.
#[test]
fn a_weight_depends_on_no_single_sample() {
    let base = weight(&first(), 5);
    let mut other = first();
    other.estimates[0].train[4] = 1e6;
    other.train_losses[0] = 9.0;
    other.train_margins[0] = 77.0;
    assert_eq!(weight(&other, 5), base);
    // Another order of the samples is the same training set.
    let mut turned = first();
    turned.train_margins.reverse();
    turned.train_losses.rotate_left(2);
    turned.estimates[0].train.rotate_left(1);
    assert_eq!(weight(&turned, 5), base);
}

#[test]
fn another_order_of_the_samples_only_reorders_the_evidence() {
    let turned = |mut scan: Scan| {
        scan.train_losses.rotate_left(2);
        scan.train_margins.rotate_left(2);
        scan.estimates[0].train.rotate_left(2);
        scan.estimates[0].suggested.rotate_left(2);
        scan
    };
    let mut expected = evidence(&[first(), second()]);
    expected.channels[0].train.rotate_left(2);
    expected.channels[0].suggested.rotate_left(2);
    expected.channels[0].lead.rotate_left(2);
    expected.mean_loss.rotate_left(2);
    expected.mean_margin.rotate_left(2);
    let turn = |values: Halves| {
        let mut values: Vec<f32> = values.iter().collect();
        values.rotate_left(2);
        Halves::of(&values)
    };
    expected.last_margin = turn(expected.last_margin);
    expected.last_loss = turn(expected.last_loss);
    let found = evidence(&[turned(first()), turned(second())]);
    let fitted = |sample: usize| expected.fitted_epoch.get((sample + 2) % 5);
    assert_eq!(epochs(&found.fitted_epoch), [0, 1, 2, 3, 4].map(fitted));
    expected.fitted_epoch = found.fitted_epoch.clone();
    assert_eq!(found, expected);
}

#[test]
fn epochs_of_first_fit_and_first_flag_are_kept() {
    let mut evidence = Evidence::new(&[estimator()], 5, 2);
    evidence.add(&first(), 3, &labels()).unwrap();
    evidence.note_flags(&[false, false, false, true, true], 3);
    evidence.add(&second(), 8, &labels()).unwrap();
    evidence.note_flags(&[true, false, false, false, true], 8);
    // Sample 2 was fitted at epoch 3 and forgotten at 8; sample 4 never fitted.
    assert_eq!(
        epochs(&evidence.fitted_epoch),
        [Some(3), Some(8), Some(3), Some(3), None]
    );
    assert_eq!(
        epochs(&evidence.flagged_epoch),
        [Some(8), None, None, Some(3), Some(3)]
    );
    assert_eq!(evidence.flagged_count, [1, 0, 0, 1, 2]);
    // An epoch that does not fit is not "never".
    evidence.note_flags(&[false, true, false, false, false], u64::MAX);
    assert_eq!(evidence.flagged_epoch.get(1), Some(u32::MAX));
    // A checkpoint of an earlier epoch that is scanned later moves the first epoch back.
    evidence.note_flags(&[true, false, false, false, false], 2);
    assert_eq!(evidence.flagged_epoch.get(0), Some(2));
}

#[test]
fn scores_that_are_not_numbers_are_refused() {
    let mut broken = first();
    broken.estimates[0].train[2] = f32::NAN;
    let mut evidence = Evidence::new(&[estimator()], 5, 2);
    assert!(evidence.add(&broken, 0, &labels()).is_err());
}

#[test]
fn a_restart_in_the_middle_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run").join("state.bin");
    std::fs::create_dir(dir.path().join("run")).unwrap();
    let third = || Scan {
        probe_accuracy: 0.6,
        ..first()
    };
    let flags = [false, true, false, false, true];

    let mut through = RunState::new("f", &[estimator()], 5, 2);
    // More often than a history has places, so that it is thinned out on the way.
    let scans = || [first(), second(), third()].into_iter().cycle().take(50);
    let p_values = |epoch: usize| [0.9, 0.01, 1.0 / (1.0 + epoch as f64), 1.0, 0.002];
    for (epoch, scan) in scans().enumerate() {
        through
            .evidence
            .add(&scan, epoch as u64, &labels())
            .unwrap();
        through.evidence.note_flags(&flags, epoch as u64);
        through
            .evidence
            .note_history(&p_values(epoch), epoch as u64, 7);
    }

    let mut state = RunState::new("f", &[estimator()], 5, 2);
    for (epoch, scan) in scans().enumerate() {
        state.evidence.add(&scan, epoch as u64, &labels()).unwrap();
        state.evidence.note_flags(&flags, epoch as u64);
        state
            .evidence
            .note_history(&p_values(epoch), epoch as u64, 7);
        state.save(&path).unwrap();
        drop(state);
        state = RunState::load(&path).unwrap().unwrap();
    }
    assert_eq!(state, through);
    // By hand: the last one is the 50th, of `second`, in which only sample 2 is not fitted besides sample 4.
    let last = |sample| *state.evidence.history.of(sample).last().unwrap();
    assert_eq!((last(2).epoch, last(2).p_value), (49, 0.0205));
    assert_eq!((last(0).fitted, last(2).fitted), (true, false));
    assert_eq!(state.evidence.history.of(0)[0].epoch, 0);
}

/// By hand: weights 1 and 1 for class 2, then 3 for class 0 and 4 for class 2 make shares 1, 1/2, 3/5, 4/9; the
/// leads of class 2 are 1, 1, then 2/5 against 3/5 loses to class 0 with 1/5, then 1/5·5/9 = 1/9 against
/// 4/9 loses to class 2 with 3/9, which is what 6 − 3 of 9 is.
#[test]
fn the_label_that_most_weight_speaks_for_is_suggested() {
    let mut channel = evidence(&[]).channels.remove(0);
    channel.suggested = vec![1];
    channel.lead = vec![0.0];
    let mut led = Vec::new();
    for (vote, weight) in [(2, 1.0), (2, 0.5), (0, 0.6), (2, 4.0 / 9.0)] {
        channel.vote(&[vote], None, weight);
        led.push((channel.suggested[0], channel.lead[0]));
    }
    for ((label, lead), (expected, by)) in
        led.into_iter()
            .zip([(2, 1.0), (2, 1.0), (0, 0.2), (2, 3.0 / 9.0)])
    {
        assert_eq!(label, expected);
        assert!((lead - by).abs() < 1e-6, "{lead} is not {by}");
    }
}
