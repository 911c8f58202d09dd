//! `per-class`: a model for each class, and every sample read at that of its own label.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use mirrorwatch_influence::direction::{Direction, Forks, PerClass, Probe};
use mirrorwatch_influence::model::fork;
use mirrorwatch_influence::{Estimator, Folds, Labels, ScanConfig, Set, cross_entropy, sweep};

use crate::common::{CLASSES, Sample, Toy, quiet, stack, turn};
use crate::first_order::{half, step_of};
use crate::nets::{Net, Normed, Smooth};
use crate::unchanged::run;
use crate::weights::{bits, dot, length, minus, slopes};

fn config(estimator: &str) -> ScanConfig {
    ScanConfig {
        estimators: vec![Estimator::parse::<Toy<Smooth>>(estimator).unwrap()],
        folds: 2,
        batch_size: 50,
        seed: 5,
        device: Device::flex(),
    }
}

/// Up the margin of the class on its own samples, down on the others: in one batch, from the formula.
#[test]
fn each_class_steps_towards_its_own_samples_and_away_from_the_others() {
    let _turn = turn();
    let task = Toy::<Normed>::gaussian(64, 60, 31);
    let model = task.trained(2, 0.02, 31);
    let learnt: Vec<usize> = half(&task);
    let step = step_of(&PerClass, &task, &model, &learnt);
    let samples: Vec<Sample> = learnt
        .iter()
        .map(|&i| task.probe.samples[i].clone())
        .collect();
    let device = Device::flex().autodiff();
    let mut lengths = BTreeSet::new();
    for class in 0..CLASSES {
        let own = samples.iter().filter(|s| s.label == class).count() as f32;
        let others = samples.len() as f32 - own;
        let mut weights = Vec::new();
        for sample in &samples {
            let towards = sample.label == class;
            weights.push(if towards { 1.0 / own } else { -1.0 / others });
        }
        let weights = Tensor::<1>::from_data(TensorData::new(weights, [samples.len()]), &device);
        let forked = fork(&model);
        let logits = forked.logits(stack(&samples, &device));
        let picked = logits.clone().narrow(1, class, 1).squeeze_dim::<1>(1);
        let margins = picked - logits.mean_dim(1).squeeze_dim::<1>(1);
        let gradients = (margins * weights).sum().backward();
        let up = slopes(&forked, &GradientsParams::from_grads(gradients, &forked));
        let v = minus(step.forks.of(class), &model);
        let cosine = dot(&up, &v) / (length(&up) * length(&v));
        assert!(cosine > 0.999, "class {class}: {cosine}");
        lengths.insert((1e3 * length(&v)).round() as i64);
        assert!(v["norm.running_mean"].iter().all(|&c| c == 0.0));
    }
    // One length for all, so that their scores may be compared.
    assert_eq!(lengths.len(), 1, "{lengths:?}");
}

#[test]
fn a_class_without_a_learnt_sample_stays_and_is_named() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(64, 60, 32);
    let model = task.trained(1, 0.02, 32);
    let mut learnt = half(&task);
    learnt.retain(|&i| task.probe.samples[i].label != 2);
    let step = step_of(&PerClass, &task, &model, &learnt);
    for class in 0..CLASSES {
        let stays = bits(step.forks.of(class)) == bits(&model);
        assert_eq!(stays, class == 2, "class {class}");
    }
    assert!(
        step.choice.ends_with("without a learnt probe sample: 2"),
        "{}",
        step.choice
    );
    let whole = step_of(&PerClass, &task, &model, &half(&task));
    assert!(!whole.choice.contains("without"), "{}", whole.choice);
}

/// Held-out samples under wrong labels are read at the forks of those, and stand out: the length is not
/// chosen blindly.
#[test]
fn wrong_labels_of_held_out_samples_stand_out() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(64, 200, 36);
    let model = task.trained(2, 0.02, 36);
    let step = step_of(&PerClass, &task, &model, &half(&task));
    let (_, quality) = step.choice.rsplit_once("probe auroc ").unwrap();
    assert!(quality.parse::<f64>().unwrap() > 0.9, "{}", step.choice);
}

#[test]
fn a_single_learnt_class_has_nothing_to_step_away_from() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(64, 60, 33);
    let model = task.trained(1, 0.02, 33);
    let mut learnt = half(&task);
    learnt.retain(|&i| task.probe.samples[i].label == 1);
    let step = step_of(&PerClass, &task, &model, &learnt);
    assert_ne!(bits(step.forks.of(1)), bits(&model));
    assert_eq!(bits(step.forks.of(0)), bits(&model));
}

/// The scan against models that are made and swept one by one.
#[test]
fn every_sample_is_read_at_the_fork_of_its_label() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(90, 40, 34);
    let model = task.trained(1, 0.02, 34);
    let config = config("per-class:after");
    let scan = run(&task, &model, &config);
    let labels = Labels::read(&task).unwrap();
    let folds = Folds::stratified(&labels.probe, config.folds, config.seed);
    let mut train = vec![0.0f32; labels.train.len()];
    // Of each probe sample, the losses of the training samples by its fork, and its own.
    let mut probe = vec![(Vec::new(), 0.0f32); labels.probe.len()];
    let mut read_elsewhere = 0.0f32;
    for fold in 0..folds.count() {
        let (held_out, options) = (folds.held_out(fold), quiet());
        let before = sweep(&task, &model, Set::Probe, held_out, &labels.probe, &options);
        let step = PerClass.step(&Probe {
            task: &task,
            model: &model,
            labels: &labels,
            learnt: &folds.learnt(fold),
            held_out,
            held_out_before: &before.unwrap(),
            device: &config.device,
            batch_size: config.batch_size,
            seed: 0,
            last: None,
            progress: &|_| (),
            cancel: &AtomicBool::new(false),
        });
        let Forks::PerClass(models) = step.unwrap().forks else {
            panic!("one model for all");
        };
        let loss = |model: &Smooth, set: Set, sample: usize, given: &[usize]| {
            let outputs = sweep(&task, model, set, &[sample], given, &quiet()).unwrap();
            cross_entropy(outputs.row(0), given[sample])
        };
        let mut by_this_fork = Vec::new();
        for (sample, &label) in labels.train.iter().enumerate() {
            let own = loss(&models[label], Set::Training, sample, &labels.train);
            let other = &models[(label + 1) % CLASSES];
            let other = loss(other, Set::Training, sample, &labels.train);
            read_elsewhere = read_elsewhere.max((own - other).abs());
            train[sample] += own / folds.count() as f32;
            by_this_fork.push(own);
        }
        for &sample in held_out {
            let model = &models[labels.probe[sample]];
            let own = loss(model, Set::Probe, sample, &labels.probe);
            probe[sample] = (by_this_fork.clone(), own);
        }
    }
    let estimate = &scan.estimates[0];
    for (found, expected) in estimate.train.iter().zip(&train) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
    for (found, (by_its_fork, own)) in estimate.probe_mean.iter().zip(&probe) {
        let far = |i: &usize| (by_its_fork[*i] - own).abs();
        let alike = (0..train.len())
            .min_by(|a, b| far(a).total_cmp(&far(b)))
            .unwrap();
        let expected = train[alike] + (own - by_its_fork[alike]) / folds.count() as f32;
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
    for (found, (_, own)) in estimate.probe.iter().zip(&probe) {
        assert!((found - own).abs() < 1e-5, "{found} {own}");
    }
    // Another label's fork gives other losses, so the comparison would notice.
    assert!(read_elsewhere > 1e-3, "{read_elsewhere}");
    // The forks know the labels of what they read: what the model knows is told instead.
    assert!((estimate.probe_accuracy - scan.probe_accuracy).abs() < 1e-9);
}

/// A class that nobody uses has no probe sample in any fold.
#[test]
fn a_scan_with_an_unused_class_is_finite() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(90, 40, 35);
    let (train, probe) = (&task.train.samples, &task.probe.samples);
    let task = Toy::<Smooth>::of(train.clone(), probe.clone(), CLASSES + 1);
    let model = task.trained(1, 0.02, 35);
    let scan = run(&task, &model, &config("per-class"));
    let estimate = &scan.estimates[0];
    let probe = estimate.probe.iter().chain(&estimate.probe_mean);
    let mut scores = estimate.train.iter().chain(probe);
    assert!(scores.all(|s| s.is_finite()));
    assert!(
        estimate.choices[0].ends_with(": 4"),
        "{:?}",
        estimate.choices
    );
}
