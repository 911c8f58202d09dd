//! History: what is kept of values and of checkpoints.

use super::*;
use proptest::prelude::*;

fn epochs(history: &History) -> Vec<u64> {
    history.columns().iter().map(|c| c.epoch).collect()
}

/// The history of one sample over so many checkpoints, whose p-value says which one it is.
fn after(checkpoints: u64) -> History {
    let mut history = History::default();
    for epoch in 0..checkpoints {
        let p = 10f64.powi(-((epoch % 8) as i32));
        let margin = if epoch % 2 == 0 { 1.0 } else { -1.0 };
        history.add(epoch, 10 * epoch, &[p], &[epoch as f32], &[margin]);
    }
    history
}

#[test]
fn a_sample_is_read_back() {
    let mut history = History::default();
    history.add(3, 90, &[1.0, 0.01], &[0.5, 4.0], &[2.0, -1.0]);
    history.add(4, 120, &[1.0, 0.002], &[0.0, 1e-9], &[2.0, 0.1]);
    // By hand: log10 0.5e4 · 20 = 73.98, so 1e-4 · 10^(74/20) = 0.501; 4e4: 92.04, so 3.98. -log10 0.002 · 32 =
    // 86.4, so 10^(-86/32) = 0.00205.
    let point = |epoch, p_value, loss, fitted| Point {
        epoch,
        p_value,
        loss,
        fitted,
    };
    assert_eq!(
        history.of(0),
        [point(3, 1.0, 0.501, true), point(4, 1.0, 0.0, true)]
    );
    assert_eq!(
        history.of(1),
        [point(3, 0.01, 3.98, false), point(4, 0.00205, 0.0, true)]
    );
    assert!(history.of(2).is_empty());
}

#[test]
fn the_ends_saturate() {
    for (p, told) in [(0.0, 1.07e-8), (1e-300, 1.07e-8), (1.0, 1.0)] {
        assert_eq!(p_value(p_code(p)), told, "{p}");
    }
    for (loss, told) in [(-0.1, 0.0), (0.0, 0.0), (1e-4, 1e-4), (1e9, 200.0)] {
        assert_eq!(loss_value(loss_code(loss, false)), told, "{loss}");
    }
    assert_eq!(loss_value(loss_code(f32::INFINITY, false)), 200.0);
}

/// By hand: of 33 checkpoints every other one stays, and the newest; 15 more fill the places again.
#[test]
fn a_full_history_drops_every_other_checkpoint() {
    assert_eq!(epochs(&after(32)), (0..32).collect::<Vec<_>>());
    let every_other: Vec<u64> = (0..=32).step_by(2).collect();
    assert_eq!(epochs(&after(33)), every_other);
    let full: Vec<u64> = (0..=32).step_by(2).chain(33..=47).collect();
    assert_eq!((epochs(&after(48)), full.len()), (full, 32));
    let again: Vec<u64> = (0..=32).step_by(4).chain((34..=48).step_by(2)).collect();
    assert_eq!(epochs(&after(49)), again);
}

#[test]
fn more_checkpoints_than_any_history_has_are_refused() {
    let columns = |count: usize| (0..count as u64).map(|epoch| Column::new(epoch, 10, vec![0, 0]));
    assert!(History::restored(columns(32).collect()).is_some());
    assert_eq!(History::restored(columns(33).collect()), None);
}

/// A warning tells of the hole; the other checkpoints are there.
#[test]
fn a_checkpoint_that_cannot_be_read_is_left_out() {
    let place = tempfile::tempdir().unwrap();
    let history = after(3);
    history.save(place.path()).unwrap();
    let missing = place.path().join(history.columns()[1].name());
    std::fs::remove_file(missing).unwrap();
    let kept = |points: Vec<Point>| points.iter().map(|p| p.epoch).collect::<Vec<_>>();
    assert_eq!(kept(history.of(0)), [0, 2]);
    assert_eq!(kept(history.of_all(&[0]).of(0)), [0, 2]);
}

proptest! {
    #[test]
    fn p_values_are_kept_within_five_percent(exponent in -7.9f64..0.0) {
        let p = 10f64.powf(exponent);
        let told = p_value(p_code(p));
        prop_assert!((told / p - 1.0).abs() < 0.05 && told <= 1.0, "{p}: {told}");
        // Coding again changes nothing.
        prop_assert_eq!(p_code(told), p_code(p));
    }

    #[test]
    fn losses_are_kept_within_seven_percent(exponent in -3.99f64..2.3, fitted: bool) {
        let loss = 10f64.powf(exponent) as f32;
        let code = loss_code(loss, fitted);
        let told = loss_value(code & !FITTED);
        prop_assert!((told / f64::from(loss) - 1.0).abs() < 0.07, "{loss}: {told}");
        prop_assert_eq!(code & FITTED != 0, fitted);
        prop_assert_eq!(loss_code(told as f32, fitted), code);
    }

    /// However many checkpoints: bounded, in order, the first and the newest there, and each with its own values.
    #[test]
    fn decimation_keeps_the_ends_and_the_values(checkpoints in 1u64..400) {
        let history = after(checkpoints);
        let kept = epochs(&history);
        prop_assert!(kept.len() <= MOST && kept.len() >= (checkpoints as usize).min(MOST / 2));
        prop_assert_eq!((kept[0], kept[kept.len() - 1]), (0, checkpoints - 1));
        prop_assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        for (point, column) in history.of(0).iter().zip(history.columns()) {
            let epoch = column.epoch;
            prop_assert_eq!((point.epoch, column.step), (epoch, 10 * epoch));
            prop_assert_eq!(point.p_value, p_value(p_code(10f64.powi(-((epoch % 8) as i32)))));
            prop_assert_eq!(point.fitted, epoch % 2 == 0);
        }
    }

    /// From disk as from memory, for one sample and for many in any order, over blocks that end anywhere.
    #[test]
    fn what_was_saved_is_read_back(
        size in prop_oneof![1usize..50, 8190usize..8195, 20_000usize..20_100],
        checkpoints in 1u64..4,
        seed: u64,
    ) {
        let place = tempfile::tempdir().unwrap();
        let number = |epoch: u64, i: usize| (seed ^ (epoch << 40) ^ i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let mut history = History::default();
        for epoch in 0..checkpoints {
            let of = |unit: f64| (0..size).map(move |i| number(epoch, i) as f64 / unit);
            let p_values: Vec<f64> = of(16_777_216.0).collect();
            let losses: Vec<f32> = of(1e6).map(|loss| loss as f32).collect();
            let margins: Vec<f32> = losses.iter().map(|loss| 1.0 - loss).collect();
            history.add(epoch, epoch, &p_values, &losses, &margins);
        }
        let asked: Vec<usize> = (0..7).map(|i| number(99, i) as usize % size).collect();
        let in_memory: Vec<Vec<Point>> = asked.iter().map(|&sample| history.of(sample)).collect();
        let together = history.of_all(&asked);
        history.save(place.path()).unwrap();
        prop_assert!(history.columns().iter().all(|column| !column.is_in_memory()));
        let from_disk = history.of_all(&asked);
        for (nth, &sample) in asked.iter().enumerate() {
            prop_assert_eq!(&together.of(nth), &in_memory[nth]);
            prop_assert_eq!(&from_disk.of(nth), &in_memory[nth]);
            prop_assert_eq!(&history.of(sample), &in_memory[nth]);
        }
        prop_assert!(history.of(size).is_empty());
    }
}
