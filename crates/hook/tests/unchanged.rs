//! A training with the hook is, bit for bit, the training without it.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::tensor::{Device, TensorData};
use burn::train::metric::store::EventStoreClient;
use burn::train::{EarlyStoppingStrategy, Interrupter, SupervisedTraining};
use common::*;
use mirrorwatch_hook::{Hook, MirrorwatchExt, WatchedStrategy};

/// Everything the two trainings leave behind, compared.
#[track_caller]
fn assert_same(template: &Net, plain: (&Outcome, &Path), hooked: (&Outcome, &Path)) {
    assert_eq!(plain.0.weights, hooked.0.weights, "final weights");
    assert_eq!(plain.0.next, hooked.0.next, "random state");

    // Burn's own checkpoints; those of the optimizer list parameters in no fixed order.
    let (a, b) = (files(plain.1, &["bpk"]), files(hooked.1, &["bpk"]));
    assert!(a.keys().eq(b.keys()), "{:?} {:?}", a.keys(), b.keys());
    assert!(a.len() >= 3, "{:?}", a.keys());
    for (name, bytes) in &a {
        if name.contains("optim") {
            let probe = |directory: &Path| {
                let record = OptimizerRecord::load(directory.join(name)).unwrap();
                next_step(template, AdamConfig::new().init().load_record(record))
            };
            assert_eq!(probe(plain.1), probe(hooked.1), "{name}");
        } else {
            assert_eq!(Some(bytes), b.get(name), "{name}");
        }
    }

    // What Burn logs: as many values, in the same order.
    let (a, b) = (files(plain.1, &["log"]), files(hooked.1, &["log"]));
    assert!(a.len() >= 4, "{:?}", a.keys());
    assert_eq!(a, b);
}

/// The weights after one more step of an optimizer on fixed gradients: they tell its whole state.
fn next_step(template: &Net, mut optimizer: ModuleOptimizer) -> Weights {
    let device = Device::flex().autodiff();
    device.seed(5);
    let model = template.deep_copy();
    let loss = model.classify(batches(&device).remove(0)).loss;
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    weights(&optimizer.step(0.05, model, gradients))
}

/// Trains with and without the hook, both with `extra`, and compares.
fn compare(
    hook: &Hook,
    extra: impl Fn(SupervisedTraining<Net>) -> SupervisedTraining<Net>,
) -> Outcome {
    let _guard = one_at_a_time();
    let (plain_dir, hooked_dir) = (dir(), dir());
    let template = template();
    let plain = train(&template, plain_dir.path(), &extra);
    let hooked = train(&template, hooked_dir.path(), |training| {
        extra(training).mirrorwatch(hook)
    });
    assert_same(
        &template,
        (&plain, plain_dir.path()),
        (&hooked, hooked_dir.path()),
    );
    hooked
}

#[test]
fn a_supervised_training_is_unchanged() {
    let root = dir();
    let hook = Hook::try_new(root.path(), "run").unwrap().every_steps(2);
    compare(&hook, |training| training);
    let stats = hook.stats();
    assert_eq!(stats.failed, 0, "{stats:?}");
    // Steps 2 and 4 of each epoch, and its end instead of step 6.
    assert_eq!(
        stats.published + stats.dropped,
        3 * EPOCHS as u64,
        "{stats:?}"
    );
    assert!(stats.published >= 1, "{stats:?}");
}

#[test]
fn gradient_accumulation_is_unchanged() {
    let root = dir();
    let hook = Hook::new(root.path(), "run").every_steps(1);
    compare(&hook, |training| training.grads_accumulation(4));
    // Of 6 batches, 4 and 2 make a step.
    assert_eq!(hook.stats().snapshots, 2 * EPOCHS as u64);
}

#[derive(Clone)]
struct StopAfter(usize);

impl EarlyStoppingStrategy for StopAfter {
    fn should_stop(&mut self, epoch: usize, _store: &EventStoreClient) -> bool {
        epoch >= self.0
    }
}

#[test]
fn early_stopping_is_unchanged() {
    let root = dir();
    let hook = Hook::new(root.path(), "run");
    compare(&hook, |training| training.early_stopping(StopAfter(2)));
    assert_eq!(hook.stats().snapshots, 2);
}

#[test]
fn a_resumed_training_is_unchanged() {
    let _guard = one_at_a_time();
    let (root, a, b) = (dir(), dir(), dir());
    let template = template();
    for directory in [&a, &b] {
        train(&template, directory.path(), |t| t.num_epochs(2));
    }
    let hook = Hook::new(root.path(), "run").every_steps(5);
    let plain = train(&template, a.path(), |t| t.checkpoint(2));
    let hooked = train(&template, b.path(), |t| t.checkpoint(2).mirrorwatch(&hook));
    assert_same(&template, (&plain, a.path()), (&hooked, b.path()));
    // Only the third epoch is left: one step and its end.
    assert_eq!(hook.stats().snapshots, 2);
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn an_interrupted_training_is_unchanged_and_its_last_weights_are_published() {
    let root = dir();
    let hook = Hook::new(root.path(), "run");
    // Stopped before it starts, so that both trainings stop at the same place: after one step.
    let hooked = {
        let _guard = one_at_a_time();
        let (a, b) = (dir(), dir());
        let template = template();
        let stopped = |training: SupervisedTraining<Net>| {
            let interrupter = Interrupter::new();
            interrupter.stop(Some("enough"));
            training.with_interrupter(interrupter)
        };
        let plain = train(&template, a.path(), stopped);
        let hooked = train(&template, b.path(), |t| stopped(t).mirrorwatch(&hook));
        assert_eq!(plain.weights, hooked.weights);
        assert_eq!(plain.next, hooked.next);
        assert_eq!(files(a.path(), &["log"]), files(b.path(), &["log"]));
        hooked
    };
    assert!(hooked.result.interrupted.is_some());
    let listing = mirrorwatch_checkpoint::list_checkpoints(root.path(), "run").unwrap();
    let steps: Vec<u64> = listing.manifests.iter().map(|m| m.manifest.step).collect();
    assert_eq!(steps, [1]);
    assert!(listing.status.unwrap().finished.is_some());
}

#[test]
fn a_root_that_cannot_be_written_changes_nothing() {
    let root = tempfile::NamedTempFile::new().unwrap();
    let below_a_file = root.path().join("runs");
    assert!(Hook::try_new(&below_a_file, "run").is_err());
    let hook = Hook::new(&below_a_file, "run").every_steps(2);
    compare(&hook, |training| training);
    let stats = hook.stats();
    assert_eq!(stats.published, 0);
    assert!(stats.failed > 0, "{stats:?}");
    assert!(stats.last_error.unwrap().contains("run directory"));
}

#[test]
fn without_loss_and_on_a_device_nothing_changes_either() {
    let _guard = one_at_a_time();
    let root = dir();
    let template = template();
    let trained = |line: &dyn Fn(SupervisedTraining<Net>) -> SupervisedTraining<Net>| {
        let directory = dir();
        let outcome = train(&template, directory.path(), line);
        (
            outcome.weights,
            outcome.next,
            files(directory.path(), &["log"]),
        )
    };
    let hook = |run: &str| Hook::new(root.path(), run).every_steps(3);

    let plain = trained(&|training| training);
    let without = hook("without");
    assert!(plain == trained(&|training| training.mirrorwatch_without_loss(&without)));
    let on = hook("on");
    assert!(plain == trained(&|training| training.mirrorwatch_on(&on, Device::flex())));
    let both = hook("both");
    let strategy = || WatchedStrategy::new(&both).on(Device::flex().autodiff());
    assert!(plain == trained(&|training| training.with_training_strategy(strategy().into())));
}

/// What a hand-written loop leaves behind.
#[derive(PartialEq)]
struct Left {
    record: Vec<u8>,
    weights: Weights,
    next: TensorData,
    optimizer: Weights,
}

/// A hand-written loop. Returns what the final model's own record says, without any
/// synchronisation of BatchNorm statistics, and the random state.
fn hand_loop(template: &Net, hook: Option<&Hook>) -> Left {
    let device = Device::flex().autodiff();
    let mut model = template.deep_copy();
    let mut optimizer = AdamConfig::new().init();
    device.seed(42);
    let mut step = 0;
    for epoch in 1..=EPOCHS {
        for batch in batches(&device) {
            let output = model.classify(batch);
            let gradients = GradientsParams::from_grads(output.loss.backward(), &model);
            model = optimizer.step(0.05, model, gradients);
            step += 1;
            if let Some(hook) = hook {
                hook.on_step(epoch, step, None, &model);
            }
        }
        if let Some(hook) = hook {
            hook.on_epoch_end(epoch, step, Some(0.5), &model);
        }
    }
    Left {
        // First: the next line folds pending BatchNorm statistics in.
        record: record_bytes(&model),
        weights: weights(&model.valid()),
        next: next_random(&device),
        optimizer: next_step(template, optimizer),
    }
}

#[test]
fn a_hand_written_loop_is_unchanged() {
    let _guard = one_at_a_time();
    let root = dir();
    let template = template();
    let plain = hand_loop(&template, None);

    let hook = Hook::new(root.path(), "run").every_steps(1);
    assert!(plain == hand_loop(&template, Some(&hook)));
    assert!(hook.finish());
    let stats = hook.stats();
    assert_eq!(stats.failed, 0, "{stats:?}");
    assert_eq!(stats.snapshots, (EPOCHS * STEPS + EPOCHS) as u64);

    let file = tempfile::NamedTempFile::new().unwrap();
    let unwritable = Hook::new(file.path().join("runs"), "run").every_steps(1);
    assert!(plain == hand_loop(&template, Some(&unwritable)));
    unwritable.finish();
    assert!(unwritable.stats().failed > 0);
}
