//! A fork shares nothing with its model and is in evaluation semantics.

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::Device;
use mirrorwatch_influence::model::{fork, parameters};

use crate::common::{Toy, loss, losses, turn};
use crate::nets::{Conv, Net, Normed, Smooth};
use crate::weights::{bits, dot, moved, slopes, values};

fn whatever_happens_to_a_fork_stays_there<M: Net + 'static>() {
    let _turn = turn();
    let task = Toy::<M>::gaussian(64, 16, 1);
    let model = task.trained(1, 0.05, 1);
    let before = bits(&model);
    let all: Vec<usize> = (0..64).collect();

    let mut forked = fork(&model);
    assert_eq!(bits(&forked), before, "a fork starts from the same values");
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..3 {
        let loss = loss(&forked, &task.train.samples, &all);
        let gradients = GradientsParams::from_grads(loss.backward(), &forked);
        forked = optimizer.step(0.1, forked, gradients);
    }
    assert_ne!(bits(&forked), before, "the fork has moved");
    assert_eq!(bits(&model), before, "the model has not");

    // In training mode, where BatchNorm updates its statistics.
    let training = fork(&model).valid().train();
    for _ in 0..3 {
        loss(&training, &task.train.samples, &all).into_scalar::<f32>();
    }
    bits(&training.valid());
    assert_eq!(bits(&model), before);
}

#[test]
fn whatever_happens_to_a_fork_of_a_linear_net_stays_there() {
    whatever_happens_to_a_fork_stays_there::<Smooth>();
}

#[test]
fn whatever_happens_to_a_fork_with_batchnorm_and_dropout_stays_there() {
    whatever_happens_to_a_fork_stays_there::<Normed>();
}

#[test]
fn whatever_happens_to_a_fork_of_a_convolution_stays_there() {
    whatever_happens_to_a_fork_stays_there::<Conv>();
}

/// The control of the test above: it would notice statistics that are shared.
#[test]
fn a_clone_in_training_mode_does_move_batchnorm_statistics() {
    let _turn = turn();
    let task = Toy::<Normed>::gaussian(64, 16, 1);
    let model = task.trained(1, 0.05, 1).train();
    let before = bits(&model.valid());
    let all: Vec<usize> = (0..64).collect();
    for _ in 0..3 {
        loss(&model.clone(), &task.train.samples, &all).into_scalar::<f32>();
    }
    assert_ne!(bits(&model.valid()), before);
}

#[test]
fn a_fork_computes_as_in_evaluation() {
    let _turn = turn();
    let task = Toy::<Normed>::gaussian(64, 16, 2);
    let model = task.trained(2, 0.05, 2);
    let all: Vec<usize> = (0..64).collect();
    let plain = losses(&task, &model);
    let expected = plain.iter().sum::<f32>() / plain.len() as f32;

    let forked = fork(&model);
    let found = loss(&forked, &task.train.samples, &all).into_scalar::<f32>();
    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    // Batch statistics and dropout change the loss, so the comparison above means something.
    let training = loss(&model.valid().train(), &task.train.samples, &all).into_scalar::<f32>();
    assert!((training - expected).abs() > 1e-3, "{training} {expected}");
    // Nothing random in it.
    let again = loss(&forked, &task.train.samples, &all).into_scalar::<f32>();
    assert_eq!(found.to_bits(), again.to_bits());
}

/// The gradient of a fork against central differences of the loss in evaluation.
#[test]
fn a_fork_has_the_gradient_of_the_evaluation_loss() {
    let _turn = turn();
    let task = Toy::<Normed>::gaussian(64, 16, 3);
    let model = task.trained(2, 0.05, 3);
    let all: Vec<usize> = (0..64).collect();
    let forked = fork(&model);
    let gradients = loss(&forked, &task.train.samples, &all).backward();
    let gradients = GradientsParams::from_grads(gradients, &forked);
    // All of head, hidden and norm; running statistics are not learnt.
    assert_eq!(gradients.len(), 6);
    assert_eq!(parameters(&model).len(), 8);

    // Along the weights themselves, which moves everything but the running statistics.
    let mut along = values(&model);
    for (path, direction) in &mut along {
        if path.contains("running") {
            direction.fill(0.0);
        }
    }
    let exact = dot(&slopes(&forked, &gradients), &along);
    let mean = |scale: f64| -> f64 {
        let losses = losses(&task, &moved(&model, &along, scale));
        losses.iter().map(|&l| f64::from(l)).sum::<f64>() / losses.len() as f64
    };
    let step = 1e-2;
    let differences = (mean(step) - mean(-step)) / (2.0 * step);
    assert!(
        (exact - differences).abs() < 2e-3 * exact.abs().max(0.1),
        "{exact} {differences}"
    );
    assert_eq!(forked.devices(), vec![Device::flex().autodiff()]);
}
