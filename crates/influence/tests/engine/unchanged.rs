//! A scan changes nothing: not the model, not the random numbers of the process, and not itself
//! when it is run again.

use std::cell::Cell;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Distribution, Tensor};
use mirrorwatch_influence::{
    Estimator, InfluenceError, Labels, Scan, ScanConfig, direction, scan, score, work,
};

use crate::common::{Toy, turn};
use crate::nets::{Conv, Net, Normed, Smooth};
use crate::weights::bits;

/// Every direction with every score.
pub fn everything<M: Net + 'static>(seed: u64) -> ScanConfig {
    let mut estimators = Vec::new();
    for direction in direction::all::<Toy<M>>() {
        for score in score::all() {
            estimators.push(Estimator {
                direction: direction.name().to_string(),
                score: score.name().to_string(),
            });
        }
    }
    ScanConfig {
        estimators,
        folds: 2,
        batch_size: 50,
        seed,
        device: Device::flex(),
    }
}

pub fn run<M: Net + 'static>(task: &Toy<M>, model: &M, config: &ScanConfig) -> Scan {
    let labels = Labels::read(task).unwrap();
    let go = AtomicBool::new(false);
    scan(task, model, &labels, config, &|_| (), &go).unwrap()
}

/// All that a scan says, without wall times, as text that keeps every bit.
fn transcript(scan: &Scan) -> Vec<String> {
    let bits = |values: &[f32]| {
        format!(
            "{:?}",
            values.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        )
    };
    let mut lines = vec![
        bits(&scan.train_losses),
        bits(&scan.train_margins),
        format!("{:x}", scan.probe_loss.to_bits()),
        format!("{:x}", scan.probe_accuracy.to_bits()),
    ];
    for estimate in &scan.estimates {
        lines.push(estimate.estimator.to_string());
        lines.push(bits(&estimate.train));
        lines.push(bits(&estimate.probe));
        lines.push(bits(&estimate.probe_mean));
        lines.push(format!("{:?} {:?}", estimate.suggested, estimate.choices));
    }
    lines
}

fn changes_nothing_and_repeats_itself<M: Net + 'static>() {
    let _turn = turn();
    let task = Toy::<M>::gaussian(120, 48, 6);
    let model = task.trained(1, 0.02, 6);
    let before = bits(&model);
    let first = run(&task, &model, &everything::<M>(3));
    assert_eq!(bits(&model), before);
    let second = run(&task, &model, &everything::<M>(3));
    assert_eq!(transcript(&first), transcript(&second));
    // Other folds, so other forks: the comparison would notice.
    let other = run(&task, &model, &everything::<M>(4));
    assert_ne!(transcript(&first), transcript(&other));
    for estimate in &first.estimates {
        let probe = estimate.probe.iter().chain(&estimate.probe_mean);
        let scores = estimate.train.iter().chain(probe);
        assert!(
            scores.clone().all(|s| s.is_finite()),
            "{}",
            estimate.estimator
        );
        for (given, &suggested) in task.train.samples.iter().zip(&estimate.suggested) {
            assert_ne!(given.label, suggested as usize, "{}", estimate.estimator);
        }
    }
}

#[test]
fn a_scan_changes_nothing_and_repeats_itself() {
    changes_nothing_and_repeats_itself::<Smooth>();
}

#[test]
fn a_scan_with_batchnorm_and_dropout_changes_nothing_and_repeats_itself() {
    changes_nothing_and_repeats_itself::<Normed>();
}

#[test]
fn a_scan_of_a_convolution_changes_nothing_and_repeats_itself() {
    changes_nothing_and_repeats_itself::<Conv>();
}

#[test]
fn a_scan_draws_no_random_number() {
    let _turn = turn();
    let task = Toy::<Normed>::gaussian(60, 24, 7);
    let model = task.trained(1, 0.02, 7);
    for device in [Device::flex(), Device::flex().autodiff()] {
        let draw = || {
            let drawn = Tensor::<1>::random([16], Distribution::Default, &device);
            drawn.into_data().try_to_vec::<f32>().unwrap()
        };
        device.seed(99);
        let expected = (draw(), draw());
        device.seed(99);
        let first = draw();
        run(&task, &model, &everything::<Normed>(1));
        assert_eq!((first, draw()), expected);
    }
}

#[test]
fn progress_adds_up_to_the_work_that_was_announced() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(70, 24, 8);
    let model = task.fresh(8);
    let labels = Labels::read(&task).unwrap();
    let config = everything::<Smooth>(0);
    let done = Cell::new(0);
    let progress = |samples: usize| done.set(done.get() + samples);
    let go = AtomicBool::new(false);
    scan(&task, &model, &labels, &config, &progress, &go).unwrap();
    assert_eq!(done.get(), work(&config, &labels));
}

#[test]
fn a_cancelled_scan_says_so() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(70, 24, 8);
    let model = task.fresh(8);
    let labels = Labels::read(&task).unwrap();
    // At once, and after the first sweep, that is while a direction is at work.
    for batches in [0, 2] {
        let cancel = AtomicBool::new(batches == 0);
        let seen = Cell::new(0);
        let progress = |_: usize| {
            seen.set(seen.get() + 1);
            cancel.store(seen.get() >= batches, std::sync::atomic::Ordering::Relaxed);
        };
        let config = everything::<Smooth>(0);
        let result = scan(&task, &model, &labels, &config, &progress, &cancel);
        assert!(
            matches!(result, Err(InfluenceError::Cancelled)),
            "{result:?}"
        );
        // Each worker may have told of one more, and have had one more to tell.
        let workers = rayon::current_num_threads();
        assert!(seen.get() <= batches + 2 * workers, "{}", seen.get());
    }
}

#[test]
fn an_unknown_estimator_lists_the_known_ones() {
    let error = Estimator::parse::<Toy<Smooth>>("finetun").unwrap_err();
    for direction in direction::all::<Toy<Smooth>>() {
        assert!(error.to_string().contains(direction.name()), "{error}");
    }
    let error = Estimator::parse::<Toy<Smooth>>("finetune:befor").unwrap_err();
    for score in score::all() {
        assert!(error.to_string().contains(score.name()), "{error}");
    }
    // What is written is read back.
    for estimator in everything::<Smooth>(0).estimators {
        let text = estimator.to_string();
        assert_eq!(Estimator::parse::<Toy<Smooth>>(&text).unwrap(), estimator);
    }
}
