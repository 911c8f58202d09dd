//! What a training publishes.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use burn::data::dataset::DatasetError;
use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device};
use burn::train::Interrupter;
use common::*;
use mirrorwatch_checkpoint::{Found, Listing, list_checkpoints};
use mirrorwatch_hook::{Hook, MirrorwatchExt};

fn listing(root: &Path) -> Listing {
    let listing = list_checkpoints(root, "run").unwrap();
    assert!(listing.rejected.is_empty(), "{:?}", listing.rejected);
    listing
}

fn load(found: &Found) -> Net {
    let bytes = std::fs::read(found.weights_path()).unwrap();
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes)).unwrap();
    Net::new(&Device::flex()).load_record(record)
}

/// The last column of Burn's own log of an epoch's loss.
fn logged_loss(directory: &Path, epoch: usize) -> f64 {
    let log = directory.join(format!("train/epoch-{epoch}/Loss.log"));
    let log = std::fs::read_to_string(log).unwrap();
    let last = log.lines().rfind(|line| line.contains("final")).unwrap();
    let value = last
        .split(',')
        .find_map(|cell| cell.trim().parse::<f64>().ok());
    value.unwrap()
}

#[test]
fn the_end_of_each_epoch_is_published_with_its_mean_loss() {
    let _guard = one_at_a_time();
    let (root, artifacts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hook = Hook::new(root.path(), "run").tag("lr", "0.05");
    let outcome = train(&template(), artifacts.path(), |t| t.mirrorwatch(&hook));

    let listing = listing(root.path());
    let status = listing.status.unwrap();
    assert!(status.finished.is_some());
    assert_eq!(hook.stats().published, EPOCHS as u64);
    assert_eq!(status.published, EPOCHS as u64);

    for (found, epoch) in listing.manifests.iter().zip(1..) {
        let manifest = &found.manifest;
        assert_eq!(manifest.epoch, epoch as u64);
        assert_eq!(manifest.step, (epoch * STEPS) as u64);
        assert_eq!(manifest.tags["lr"], "0.05");
        let loss = manifest.train_loss.unwrap();
        let logged = logged_loss(artifacts.path(), epoch);
        assert!((loss - logged).abs() < 1e-9, "{loss} is not {logged}");
    }

    let last = listing.manifests.last().unwrap();
    assert_eq!(weights(&load(last)), outcome.weights);
    let named: Vec<_> = last
        .manifest
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.shape.clone(), p.dtype.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            ("conv.weight", vec![4, 1, 3, 3], "f32"),
            ("conv.bias", vec![4], "f32"),
            ("norm.gamma", vec![4], "f32"),
            ("norm.beta", vec![4], "f32"),
            ("norm.running_mean", vec![4], "f32"),
            ("norm.running_var", vec![4], "f32"),
            ("head.weight", vec![64, 3], "f32"),
            ("head.bias", vec![3], "f32"),
        ]
    );
}

/// A hand-written loop that remembers what its model was at every step.
fn hand_loop(hook: &Hook) -> Vec<Vec<u8>> {
    let device = Device::flex().autodiff();
    let mut model = template().deep_copy();
    let mut optimizer = SgdConfig::new().init();
    let mut records = Vec::new();
    for epoch in 1..=2 {
        for (i, batch) in batches(&device).into_iter().enumerate() {
            let loss = model.classify(batch).loss;
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(0.05, model, gradients);
            records.push(record_bytes(&model));
            hook.on_step(epoch, records.len(), Some(i as f64), &model);
        }
        hook.on_epoch_end(epoch, records.len(), None, &model);
    }
    records
}

#[test]
fn a_checkpoint_is_the_model_at_that_very_step() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let hook = Hook::new(root.path(), "run").every_steps(4).keep(50);
    let records = hand_loop(&hook);
    assert!(hook.finish());

    let listing = listing(root.path());
    let stats = hook.stats();
    // Steps 4, 8 and 12 and two ends of epochs, of which the second has the name of step 12.
    assert_eq!(stats.published + stats.dropped, 5, "{stats:?}");
    for found in &listing.manifests {
        let bytes = std::fs::read(found.weights_path()).unwrap();
        let step = found.manifest.step as usize;
        assert!(bytes == records[step - 1], "step {step}");
    }
    let last = listing.manifests.last().unwrap();
    assert_eq!((last.manifest.epoch, last.manifest.step), (2, 12));
    // The mean of 0 to 5 over the whole epoch, not since step 8.
    assert_eq!(last.manifest.train_loss, Some(2.5));
    if let Some(fourth) = listing.manifests.iter().find(|m| m.manifest.step == 4) {
        assert_eq!(fourth.manifest.train_loss, Some(1.5));
    }
}

#[test]
fn dropping_the_last_clone_finishes_the_run() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let hook = Hook::new(root.path(), "run").keep(1);
    let clone = hook.clone();
    drop(hook);
    hand_loop(&clone);
    drop(clone);

    let listing = listing(root.path());
    assert!(listing.status.unwrap().finished.is_some());
    let steps: Vec<u64> = listing.manifests.iter().map(|m| m.manifest.step).collect();
    assert_eq!(steps, [12]);
}

#[test]
fn a_training_that_breaks_publishes_its_last_weights_and_is_not_finished() {
    let _guard = one_at_a_time();
    let (root, artifacts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hook = Hook::new(root.path(), "run");
    let outcome = train(&template(), artifacts.path(), |training| {
        let interrupter = Interrupter::new();
        interrupter.fail(DatasetError::new(std::io::Error::other("the disk is gone")));
        training.with_interrupter(interrupter).mirrorwatch(&hook)
    });
    assert!(outcome.result.error.is_some());
    let listing = listing(root.path());
    assert_eq!(listing.manifests.len(), 1);
    assert!(listing.status.unwrap().finished.is_none());
}

#[test]
fn a_training_that_panics_is_not_finished() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let model = template();
    let path = root.path().to_path_buf();
    let training = std::thread::spawn(move || {
        let hook = Hook::new(path, "run");
        hook.on_epoch_end(1, 6, None, &model);
        panic!("out of memory, say");
    });
    assert!(training.join().is_err());
    let listing = listing(root.path());
    assert_eq!(listing.manifests.len(), 1);
    assert!(listing.status.unwrap().finished.is_none());
}

#[test]
fn training_again_takes_the_run_up_again() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let hook = Hook::new(root.path(), "run");
    let model = template();
    hook.on_epoch_end(1, 6, None, &model);
    assert!(hook.finish());
    hook.on_epoch_end(2, 12, None, &model);
    assert!(listing(root.path()).status.is_some());
    assert!(hook.finish());
    assert!(hook.finish());

    let listing = listing(root.path());
    assert_eq!(listing.manifests.len(), 2);
    assert!(listing.status.unwrap().finished.is_some());
    assert_eq!(hook.stats().published, 2);
}

#[test]
fn a_directory_that_comes_back_is_written_again() {
    let _guard = one_at_a_time();
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    let hook = Hook::new(root.path(), "run");
    let model = template();
    let settle = |done: u64| {
        for _ in 0..500 {
            let stats = hook.stats();
            if stats.published + stats.failed >= done {
                return stats;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("nothing happened: {:?}", hook.stats());
    };

    hook.on_epoch_end(1, 1, None, &model);
    assert_eq!(settle(1).published, 1);
    std::fs::remove_dir_all(&run).unwrap();
    std::fs::write(&run, "in the way").unwrap();
    hook.on_epoch_end(2, 2, None, &model);
    assert_eq!(settle(2).failed, 1);
    std::fs::remove_file(&run).unwrap();
    hook.on_epoch_end(3, 3, None, &model);
    assert_eq!(settle(3).published, 2);
    assert!(hook.finish());
    assert_eq!(listing(root.path()).manifests.len(), 1);
}
