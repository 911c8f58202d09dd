//! When checkpoints are published, and what goes along with them.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use burn::train::{ExecutionStrategy, MultiDeviceOptim};
use common::*;
use mirrorwatch_checkpoint::{Manifest, list_checkpoints};
use mirrorwatch_hook::{Hook, MirrorwatchExt, REQUEST_FILE};

fn manifests(root: &Path) -> Vec<Manifest> {
    let listing = list_checkpoints(root, "run").unwrap();
    assert!(listing.rejected.is_empty(), "{:?}", listing.rejected);
    listing.manifests.into_iter().map(|m| m.manifest).collect()
}

fn steps(root: &Path) -> Vec<u64> {
    manifests(root).iter().map(|m| m.step).collect()
}

/// Waits until as many checkpoints are settled.
fn settle(hook: &Hook, done: u64) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let stats = hook.stats();
        if stats.published + stats.failed + stats.dropped + stats.held_back >= done {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nothing happened: {:?}", hook.stats());
}

#[test]
fn every_so_often() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let hook = Hook::new(root.path(), "run").every(Duration::from_millis(200));
    let model = template();
    let start = Instant::now();
    for step in 1.. {
        hook.on_step(1, step, None, &model);
        std::thread::sleep(Duration::from_millis(2));
        if start.elapsed() > Duration::from_millis(900) {
            break;
        }
    }
    assert!(hook.finish());
    let stats = hook.stats();
    assert!((2..=4).contains(&stats.snapshots), "{stats:?}");
}

#[test]
fn a_file_or_a_call_asks_for_one_checkpoint() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let hook = Hook::new(root.path(), "run");
    let model = template();
    hook.on_epoch_end(1, 1, None, &model);
    settle(&hook, 1);
    hook.on_step(1, 2, None, &model);
    assert_eq!(hook.stats().snapshots, 1);

    hook.request();
    hook.on_step(1, 3, None, &model);
    hook.on_step(1, 4, None, &model);
    settle(&hook, 2);
    assert_eq!(steps(root.path()), [1, 3]);

    let file = root.path().join("run").join(REQUEST_FILE);
    std::fs::write(&file, "").unwrap();
    let start = Instant::now();
    let mut step = 4;
    while hook.stats().snapshots < 3 && start.elapsed() < Duration::from_secs(20) {
        step += 1;
        hook.on_step(1, step, None, &model);
        std::thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..50 {
        step += 1;
        hook.on_step(1, step, None, &model);
    }
    assert!(hook.finish());
    assert!(!file.exists(), "it is answered once");
    assert_eq!(hook.stats().snapshots, 3);
}

#[test]
#[cfg(unix)]
fn a_signal_asks_for_one_checkpoint() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let hook = Hook::new(root.path(), "run").on_signal();
    let model = template();
    let kill = std::process::Command::new("kill")
        .args(["-USR1", &std::process::id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let start = Instant::now();
    while hook.stats().snapshots == 0 && start.elapsed() < Duration::from_secs(20) {
        hook.on_step(1, 7, None, &model);
    }
    hook.on_step(1, 8, None, &model);
    assert!(hook.finish());
    assert_eq!(steps(root.path()), [7]);
}

#[test]
fn only_epochs_that_validate_better_are_published() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let hook = Hook::new(root.path(), "run")
        .on_improvement()
        .every_steps(5);
    let model = template();
    for (epoch, loss) in [(1, 1.0), (2, 1.5), (3, 0.5), (4, 0.5), (5, 0.25)] {
        hook.consumed([epoch]);
        if epoch == 4 {
            hook.on_step(epoch, 35, None, &model);
            settle(&hook, 4);
        }
        hook.valid_loss(epoch, loss);
        hook.on_epoch_end(epoch, 10 * epoch, None, &model);
        settle(&hook, epoch as u64 + u64::from(epoch >= 4));
    }
    assert!(hook.finish());
    let published = manifests(root.path());
    let steps: Vec<u64> = published.iter().map(|m| m.step).collect();
    assert_eq!(steps, [10, 30, 35, 50]);
    let losses: Vec<_> = published.iter().map(|m| m.valid_loss).collect();
    assert_eq!(losses, [Some(1.0), Some(0.5), None, Some(0.25)]);
    assert_eq!(hook.stats().held_back, 2);
    // What was consumed before an epoch that was held back is not forgotten.
    let consumed: Vec<_> = published
        .iter()
        .map(|m| m.consumed.as_ref().unwrap().positions().unwrap())
        .collect();
    assert_eq!(consumed, [vec![1], vec![2, 3], vec![4], vec![5]]);
}

#[test]
fn a_supervised_training_says_what_it_knows() {
    let _guard = one_at_a_time();
    let (root, artifacts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hook = Hook::new(root.path(), "run");
    train(&template(), artifacts.path(), |t| t.mirrorwatch(&hook));
    for manifest in manifests(root.path()) {
        let epoch = manifest.epoch;
        let log = artifacts
            .path()
            .join(format!("valid/epoch-{epoch}/Loss.log"));
        let log = std::fs::read_to_string(log).unwrap();
        let logged = log.lines().rfind(|l| l.ends_with("final")).unwrap();
        let logged: f64 = logged.split(',').next().unwrap().parse().unwrap();
        let valid = manifest.valid_loss.unwrap();
        assert!((valid - logged).abs() < 1e-9, "{valid} is not {logged}");
        // The schedule's: .05 at the first step, and times .98 from one to the next.
        let rate = manifest.learning_rate.unwrap();
        let expected = 0.05 * 0.98f64.powi(manifest.step as i32 - 1);
        assert!(
            (rate / expected - 1.0).abs() < 1e-9,
            "{rate} is not {expected}"
        );
        assert_eq!(manifest.consumed, None);
    }
}

#[test]
fn the_disk_is_not_filled_beyond_what_is_allowed() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let model = template();
    let bytes = record_bytes(&model).len() as u64;
    let taken = |budget: u64, name: &str| {
        let hook = Hook::new(root.path(), name).within_disk(budget);
        for epoch in 1..=6 {
            hook.on_epoch_end(epoch, epoch, None, &model);
            settle(&hook, epoch as u64);
        }
        hook.finish();
        let listing = list_checkpoints(root.path(), name).unwrap();
        (listing.manifests.len(), hook.stats())
    };
    // One of four is being written while three are there.
    assert_eq!(taken(4 * bytes, "four").0, 3);
    assert_eq!(taken(bytes, "one").0, 1);
    let (none, stats) = taken(bytes - 1, "none");
    assert_eq!((none, stats.failed), (0, 6));
    assert!(stats.last_error.unwrap().contains("allow more"));
}

#[test]
fn several_devices_are_published_by_what_burn_saves() {
    let _guard = one_at_a_time();
    let (root, artifacts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hook = Hook::new(root.path(), "run");
    let devices = vec![Device::flex(), Device::flex()];
    let outcome = train(&template(), artifacts.path(), |training| {
        training
            .with_training_strategy(
                ExecutionStrategy::MultiDevice(devices, MultiDeviceOptim::OptimMainDevice).into(),
            )
            .mirrorwatch_checkpoints(&hook, artifacts.path())
    });
    assert!(hook.finish());
    let published = manifests(root.path());
    let epochs: Vec<u64> = published.iter().map(|m| m.epoch).collect();
    assert_eq!(epochs, [1, 2, 3]);
    // The very bytes of Burn's own file, which is where it always was.
    let burns = std::fs::read(artifacts.path().join("checkpoint/model-3.bpk")).unwrap();
    let last = published.last().unwrap();
    let ours = std::fs::read(root.path().join("run").join(&last.weights.file)).unwrap();
    assert!(ours == burns);
    assert_eq!(outcome.weights.len(), 8);
}
