//! Disks that are full, slow or broken under a training, and a writer that dies: the training is the one without a hook.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, TensorData};
use mirrorwatch_checkpoint::{Found, list_checkpoints, spool};

use super::common::log::Log;
use super::common::*;
use super::dir;
use crate::{Hook, MirrorwatchExt, Stats};

#[path = "../../../checkpoint/tests/protocol/faulty.rs"]
pub(super) mod faulty;
use faulty::{EACCES, EINVAL, EIO, ENOSPC, EROFS, Fate, Faulty, Operation};

/// Checkpoints that a training takes with `every_steps(2)`.
pub(super) const TAKEN: u64 = 3 * EPOCHS as u64;

/// The last step of a training.
pub(super) const LAST: u64 = (EPOCHS * STEPS) as u64;

/// A hook that publishes often, keeps everything, and writes to this system.
pub(super) fn hook_on(root: &Path, system: &Faulty) -> Hook {
    Hook::new(root, "run")
        .every_steps(2)
        .keep(100)
        .on(system.shared())
}

/// The training without a hook: its weights, and the random numbers that would come next.
pub(super) fn plain() -> &'static (Weights, TensorData) {
    static PLAIN: OnceLock<(Weights, TensorData)> = OnceLock::new();
    PLAIN.get_or_init(|| {
        let directory = dir();
        let outcome = train(&template(), directory.path(), |training| training);
        (outcome.weights, outcome.next)
    })
}

/// Trains with the hook; the training must be the one without it. Returns what the hook counted.
pub(super) fn trained(hook: &Hook) -> Stats {
    let directory = dir();
    let outcome = train(&template(), directory.path(), |training| {
        training.mirrorwatch(hook)
    });
    assert_eq!(plain().0, outcome.weights, "final weights");
    assert_eq!(plain().1, outcome.next, "random state");
    hook.stats()
}

/// The checkpoints of run `run` and their weights. Each must be whole.
pub(super) fn whole(root: &Path) -> Vec<(Found, Vec<u8>)> {
    let listing = list_checkpoints(root, "run").unwrap();
    assert!(listing.rejected.is_empty(), "{:?}", listing.rejected);
    let read = |found: Found| {
        let spooled = spool(&found, root.join(".spool"), 1 << 30).unwrap();
        let bytes = spooled.read_verified().unwrap();
        (found, bytes)
    };
    listing.manifests.into_iter().map(read).collect()
}

/// Their steps.
pub(super) fn steps(root: &Path) -> Vec<u64> {
    let step = |(found, _): &(Found, Vec<u8>)| found.manifest.step;
    whole(root).iter().map(step).collect()
}

/// A name for some operations, and which they are.
type Kind = (&'static str, fn(&Operation) -> bool);

#[test]
fn a_failure_for_good_costs_checkpoints_and_one_warning() {
    let _guard = one_at_a_time();
    plain();
    let kinds: [Kind; 6] = [
        ("anything", |_| true),
        ("create", |it| matches!(it, Operation::Create(_))),
        ("write", |it| matches!(it, Operation::Write(..))),
        ("sync", |it| matches!(it, Operation::Sync(_))),
        ("rename", |it| matches!(it, Operation::Rename(..))),
        ("directory", |it| matches!(it, Operation::SyncDirectory(_))),
    ];
    let mut trainings = 0;
    for (kind, fails) in kinds {
        for code in [ENOSPC, EIO, EACCES, EROFS] {
            // From the start, and after the first checkpoint.
            for from in [0, 25] {
                let (root, log) = (dir(), Log::start());
                let system = Faulty::new(move |n, operation| match n >= from && fails(operation) {
                    true => Fate::Fails(code),
                    false => Fate::Done,
                });
                let stats = trained(&hook_on(root.path(), &system));
                let warnings = log.warnings();
                let what = format!("{kind}, error {code} from {from}: {stats:?}, {warnings:?}");
                assert_eq!(warnings.len(), 1, "{what}");
                assert_eq!(stats.snapshots, TAKEN, "{what}");
                assert!(stats.failed > 0 && stats.last_error.is_some(), "{what}");
                let settled = stats.published + stats.failed + stats.dropped;
                assert!(settled >= TAKEN, "{what}");
                assert_eq!(from > 0, stats.published > 0, "{what}");
                if stats.published > 0 {
                    assert_eq!(whole(root.path()).len() as u64, stats.published, "{what}");
                }
                trainings += 1;
            }
        }
    }
    println!("{trainings} trainings");
}

#[test]
fn a_disk_that_is_full_for_a_while_loses_only_what_came_meanwhile() {
    let _guard = one_at_a_time();
    let (root, log) = (dir(), Log::start());
    let system = Faulty::new(|n, operation| match operation {
        Operation::Write(..) if (20..40).contains(&n) => Fate::Fails(ENOSPC),
        _ => Fate::Done,
    });
    let stats = trained(&hook_on(root.path(), &system));
    let what = format!("{stats:?}, {:?}", log.warnings());
    assert!(stats.failed > 0 && stats.published > 1, "{what}");
    let settled = stats.published + stats.failed + stats.dropped;
    assert_eq!(settled, TAKEN, "{what}");
    assert_eq!(log.warnings().len(), 1, "{what}");
    assert!(log.warnings()[0].contains("free some space"), "{what}");
    // The end of the training is there, and its status says what was lost.
    let published = steps(root.path());
    assert_eq!(published.len() as u64, stats.published, "{what}");
    assert_eq!(published.last(), Some(&LAST), "{what}");
    let listing = list_checkpoints(root.path(), "run").unwrap();
    let status = listing.status.unwrap();
    assert!(status.finished.is_some());
    assert_eq!(
        (status.failed, status.dropped),
        (stats.failed, stats.dropped)
    );
}

#[test]
fn a_file_system_that_cannot_synchronise_directories_costs_nothing() {
    let _guard = one_at_a_time();
    let (root, log) = (dir(), Log::start());
    let system = Faulty::new(|_, operation| match operation {
        Operation::SyncDirectory(_) => Fate::Fails(EINVAL),
        _ => Fate::Done,
    });
    let stats = trained(&hook_on(root.path(), &system));
    assert_eq!(stats.failed, 0, "{stats:?}");
    assert_eq!(steps(root.path()).last(), Some(&LAST));
    assert!(log.warnings().is_empty(), "{:?}", log.warnings());
}

/// A hand-written loop; `at_step` is called before each call of the hook.
pub(super) fn hand_loop(hook: Option<&Hook>, mut at_step: impl FnMut(usize)) -> Weights {
    let device = Device::flex().autodiff();
    let mut model = template().deep_copy();
    let mut optimizer = AdamConfig::new().init();
    device.seed(42);
    let mut step = 0;
    for epoch in 1..=EPOCHS {
        for batch in batches(&device) {
            let output = model.classify(batch);
            let gradients = GradientsParams::from_grads(output.loss.backward(), &model);
            model = optimizer.step(0.05, model, gradients);
            step += 1;
            at_step(step);
            if let Some(hook) = hook {
                hook.on_step(epoch, step, None, &model);
            }
        }
        if let Some(hook) = hook {
            hook.on_epoch_end(epoch, step, None, &model);
        }
    }
    weights(&model.valid())
}

#[test]
fn a_writer_may_die_at_any_step() {
    let _guard = one_at_a_time();
    let plain = hand_loop(None, |_| {});
    for dies_at in 1..=EPOCHS * STEPS {
        let (root, log) = (dir(), Log::start());
        let hook = Hook::new(root.path(), "run").every_steps(1).keep(100);
        let left = hand_loop(Some(&hook), |step| {
            if step == dies_at {
                hook.kill_writer();
            }
        });
        assert_eq!(left, plain);
        let stats = hook.stats();
        let what = format!("at {dies_at}: {stats:?}, {:?}", log.warnings());
        assert!(!hook.finish(), "{what}");
        // All that were due, after every step and at the ends of the epochs.
        let due = (EPOCHS * STEPS + EPOCHS) as u64;
        assert_eq!(stats.published + stats.dropped, due, "{what}");
        assert_eq!(stats.failed, 1, "{what}");
        assert_eq!(log.warnings().len(), 1, "{what}");
        assert!(log.warnings()[0].contains("the writer thread died"));
        let there: BTreeSet<u64> = steps(root.path()).into_iter().collect();
        assert!(there.len() as u64 <= stats.published, "{what}");
        assert!(there.iter().all(|step| *step < dies_at as u64), "{what}");
    }
}

#[test]
fn a_panic_below_the_writer_costs_checkpoints_and_one_warning() {
    let _guard = one_at_a_time();
    let (root, log) = (dir(), Log::start());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let system = Faulty::new(move |n, _| {
        if n > 25 {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("out of luck");
        }
        Fate::Done
    });
    let stats = trained(&hook_on(root.path(), &system));
    let what = format!("{stats:?}, {:?}", log.warnings());
    assert!(count.load(Ordering::Relaxed) > 1, "{what}");
    assert!(stats.published > 0 && stats.failed > 0, "{what}");
    assert!(
        stats.published + stats.failed + stats.dropped >= TAKEN,
        "{what}"
    );
    assert_eq!(log.warnings().len(), 1, "{what}");
    assert!(
        log.warnings()[0].contains("panic while writing a checkpoint: out of luck"),
        "{what}"
    );
    assert_eq!(steps(root.path()).len() as u64, stats.published, "{what}");
}
