//! Sweeps: the same numbers in whatever batches, in the order asked for, or a clear error.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use mirrorwatch_influence::{
    InfluenceError, Labels, Outputs, Set, SweepOptions, arg_max, cross_entropy, sweep,
};

use crate::common::{Toy, quiet, turn};
use crate::nets::{Conv, Net, Normed, Smooth, TooWide};

fn swept<M: Net + 'static>(
    task: &Toy<M>,
    model: &M,
    indices: &[usize],
    batch_size: usize,
) -> Result<Outputs, InfluenceError> {
    let labels = Labels::read(task).unwrap();
    let device = Device::flex();
    let options = SweepOptions {
        device: &device,
        batch_size,
        ..quiet()
    };
    sweep(task, model, Set::Training, indices, &labels.train, &options)
}

fn does_not_depend_on_batches<M: Net + 'static>() {
    let _turn = turn();
    let task = Toy::<M>::gaussian(53, 16, 12);
    let model = task.trained(1, 0.02, 12);
    let all: Vec<usize> = (0..53).collect();
    let whole = swept(&task, &model, &all, 53).unwrap();
    for batch_size in [0, 1, 7, 52, 1000] {
        let parts = swept(&task, &model, &all, batch_size).unwrap();
        assert_eq!(parts.len(), 53);
        for (a, b) in parts.logits.iter().zip(&whole.logits) {
            assert!((a - b).abs() < 1e-5, "{batch_size}: {a} {b}");
        }
    }
    for (sample, &loss) in whole.losses.iter().enumerate() {
        let label = task.train.samples[sample].label;
        assert_eq!(loss, cross_entropy(whole.row(sample), label));
    }
}

#[test]
fn outputs_do_not_depend_on_batches() {
    does_not_depend_on_batches::<Smooth>();
}

#[test]
fn outputs_with_batchnorm_and_dropout_do_not_depend_on_batches() {
    does_not_depend_on_batches::<Normed>();
}

#[test]
fn outputs_of_a_convolution_do_not_depend_on_batches() {
    does_not_depend_on_batches::<Conv>();
}

#[test]
fn outputs_come_in_the_order_asked_for() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(20, 16, 13);
    let model = task.fresh(13);
    let all: Vec<usize> = (0..20).collect();
    let whole = swept(&task, &model, &all, 4).unwrap();
    let some = [19, 0, 7, 7, 3];
    let picked = swept(&task, &model, &some, 2).unwrap();
    assert_eq!(picked.len(), some.len());
    for (position, &sample) in some.iter().enumerate() {
        for (a, b) in picked.row(position).iter().zip(whole.row(sample)) {
            assert!((a - b).abs() < 1e-5);
        }
        assert!((picked.losses[position] - whole.losses[sample]).abs() < 1e-5);
    }
    let none = swept(&task, &model, &[], 2).unwrap();
    assert!(none.is_empty() && none.mean_loss() == 0.0);

    let labels = Labels::read(&task).unwrap();
    let right = all
        .iter()
        .filter(|&&i| arg_max(whole.row(i)) == labels.train[i]);
    assert_eq!(whole.accuracy(&labels.train), right.count() as f64 / 20.0);
}

#[test]
fn a_sweep_stops_between_batches() {
    let _turn = turn();
    // With one worker it is certain after which one; with two, the other may be at its next.
    alone(stop_between_batches);
}

/// Runs a test with one worker.
fn alone(test: fn()) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.unwrap().install(test);
}

fn stop_between_batches() {
    let task = Toy::<Smooth>::gaussian(20, 16, 13);
    let model = task.fresh(13);
    let labels = Labels::read(&task).unwrap();
    let all: Vec<usize> = (0..20).collect();
    let device = Device::flex();
    let cancel = AtomicBool::new(false);
    let told = RefCell::new(Vec::new());
    let progress = |samples: usize| {
        told.borrow_mut().push(samples);
        cancel.store(told.borrow().len() == 2, Ordering::Relaxed);
    };
    let options = SweepOptions {
        device: &device,
        batch_size: 6,
        progress: &progress,
        cancel: &cancel,
    };
    let result = sweep(&task, &model, Set::Training, &all, &labels.train, &options);
    assert!(matches!(result, Err(InfluenceError::Cancelled)));
    assert_eq!(*told.borrow(), [6, 6]);
    cancel.store(false, Ordering::Relaxed);
    told.borrow_mut().push(0);
    sweep(&task, &model, Set::Training, &all, &labels.train, &options).unwrap();
    assert_eq!(told.borrow()[3..], [6, 6, 6, 2]);
}

#[test]
fn logits_of_the_wrong_shape_are_refused() {
    let _turn = turn();
    let task = Toy::<TooWide>::gaussian(20, 16, 14);
    let error = swept(&task, &task.fresh(14), &[0, 1, 2], 2).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("[2, 5]") && message.contains("[2, 4]"),
        "{message}"
    );
}

#[test]
fn outputs_that_are_not_finite_name_the_sample() {
    let _turn = turn();
    for (broken, value) in [(5, f32::NAN), (17, f32::INFINITY)] {
        let mut task = Toy::<Smooth>::gaussian(20, 16, 15);
        let model = task.fresh(15);
        let rows = Arc::get_mut(&mut task.train).unwrap();
        rows.samples[broken].x.fill(value);
        let order: Vec<usize> = (0..20).rev().collect();
        let result = swept(&task, &model, &order, 6);
        // tanh makes an infinite input finite again, but inf − inf inside is NaN.
        let message = result.unwrap_err().to_string();
        let expected = format!("training sample {broken} is not finite");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn a_sample_that_cannot_be_read_is_named() {
    let _turn = turn();
    let mut task = Toy::<Smooth>::gaussian(20, 16, 16);
    let (model, labels) = (task.fresh(16), Labels::read(&task).unwrap());
    Arc::get_mut(&mut task.probe).unwrap().broken = Some(9);
    let all: Vec<usize> = (0..16).collect();
    let result = sweep(&task, &model, Set::Probe, &all, &labels.probe, &quiet());
    let message = result.unwrap_err().to_string();
    assert!(
        message.contains("sample 9 of the probe set: the disk is gone"),
        "{message}"
    );
}
