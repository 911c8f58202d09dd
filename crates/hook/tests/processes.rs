//! Trainings in processes of their own: with a limit on the size of files, two in one directory, and killed.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::Device;
use common::log::Log;
use common::*;
use mirrorwatch_checkpoint::{list_checkpoints, spool};
use mirrorwatch_hook::Hook;

const ROOT: &str = "MIRRORWATCH_TEST_CHILD_ROOT";
/// A file for which the child waits, having said that it is ready.
const WAIT_FOR: &str = "MIRRORWATCH_TEST_CHILD_WAITS";

/// Not a test of its own: the training of the tests below, without a hook where no root is given. Says what it did.
#[test]
fn child_training() {
    let (root, wait) = (std::env::var_os(ROOT), std::env::var_os(WAIT_FOR));
    let Some(wait) = wait else {
        return;
    };
    let log = Log::start();
    let hook = root.map(|root| Hook::new(root, "run").every_steps(1).keep(1000));
    println!("\nready");
    while !Path::new(&wait).exists() {
        thread::sleep(Duration::from_millis(1));
    }
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
            if let Some(hook) = &hook {
                hook.on_step(epoch, step, None, &model);
                println!("\npublished {}", hook.stats().published);
                // Slow enough for the writer, so that there is something to be killed.
                thread::sleep(Duration::from_millis(5));
            }
        }
        if let Some(hook) = &hook {
            hook.on_epoch_end(epoch, step, None, &model);
        }
    }
    if let Some(hook) = hook {
        let finished = hook.finish();
        let stats = hook.stats();
        println!("\npublished {}", stats.published);
        println!(
            "counted {} {} {finished}",
            stats.failed,
            stats.published + stats.dropped
        );
        for warning in log.warnings() {
            println!("warning {warning}");
        }
    }
    let mut hasher = DefaultHasher::new();
    for (name, data) in weights(&model.valid()) {
        (name, data.as_bytes()).hash(&mut hasher);
    }
    println!("left {:x}", hasher.finish());
}

/// A training below `root`, or without a hook. `through` is put before the command.
fn start(root: Option<&Path>, wait_for: &Path, through: &[&str]) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut command = match through.split_first() {
        Some((program, rest)) => {
            let mut command = Command::new(program);
            command.args(rest).arg(own);
            command
        }
        None => Command::new(own),
    };
    command
        .args(["--exact", "child_training", "--nocapture"])
        .env(WAIT_FOR, wait_for)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(root) = root {
        command.env(ROOT, root);
    }
    command.spawn().unwrap()
}

fn ended(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// What follows `word` on the lines that begin with it.
fn said(output: &Output, word: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let after = |line: &str| Some(line.strip_prefix(word)?.trim().to_string());
    text.lines().filter_map(after).collect()
}

/// The weights of a training without a hook.
fn plain(directory: &Path) -> Vec<String> {
    let left = said(&ended(start(None, directory, &[])), "left");
    assert_eq!(left.len(), 1);
    left
}

/// The steps and writers of all checkpoints, each of which must be whole.
fn whole(root: &Path) -> Vec<(u64, String)> {
    let listing = list_checkpoints(root, "run").unwrap();
    assert!(listing.rejected.is_empty(), "{:?}", listing.rejected);
    let read = |found| {
        let spooled = spool(&found, root.join(".spool"), 1 << 30).unwrap();
        spooled.read_verified().unwrap();
        (found.manifest.step, found.manifest.instance)
    };
    listing.manifests.into_iter().map(read).collect()
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_limit_on_the_size_of_files_costs_checkpoints_and_one_warning() {
    let root = dir();
    // The signal that would end the process is ignored, as most batch systems' wrappers do. A kilobyte, or half of one.
    let limited = r#"trap "" XFSZ; ulimit -f 1; exec "$0" "$@""#;
    let child = start(Some(root.path()), root.path(), &["sh", "-c", limited]);
    let output = ended(child);
    assert_eq!(said(&output, "left"), plain(root.path()));
    assert_eq!(said(&output, "published").last().unwrap(), "0");
    let warnings = said(&output, "warning");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("File too large"), "{warnings:?}");
    let counted = &said(&output, "counted")[0];
    assert!(
        !counted.starts_with("0 ") && counted.ends_with("false"),
        "{counted}"
    );
    // Neither halves nor temporaries are left.
    let left: Vec<_> = fs::read_dir(root.path().join("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["run.json"]);
}

#[test]
fn two_trainings_in_one_directory_are_what_they_were_and_say_so_once() {
    let elsewhere = dir();
    let plain = plain(elsewhere.path());
    let mut warned = 0;
    for round in 0..5 {
        let root = dir();
        let go = root.path().join("go");
        let both = [(); 2].map(|()| start(Some(root.path()), &go, &[]));
        fs::write(&go, "").unwrap();
        for output in both.map(ended) {
            assert_eq!(said(&output, "left"), plain);
            let counted = &said(&output, "counted")[0];
            let due = EPOCHS * STEPS + EPOCHS;
            assert_eq!(*counted, format!("0 {due} true"), "round {round}");
            let warnings = said(&output, "warning");
            assert!(warnings.len() <= 1, "{warnings:?}");
            warned += warnings.len();
        }
        let steps = whole(root.path());
        assert!(
            steps
                .iter()
                .any(|(step, _)| *step == (EPOCHS * STEPS) as u64)
        );
    }
    println!("{warned} warnings of 10 trainings");
    assert!(warned >= 5, "{warned}");
}

#[test]
fn what_a_killed_training_published_is_there() {
    let (root, here) = (dir(), dir());
    let mut kept = 0;
    for round in 0..12_u64 {
        let before = instance(root.path());
        let mut child = start(Some(root.path()), here.path(), &[]);
        let started = Instant::now();
        while instance(root.path()) == before {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "it does not start"
            );
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(10 * round));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let published: u64 = match said(&output, "published").last() {
            Some(text) => text.parse().unwrap(),
            None => 0,
        };
        let newest = instance(root.path());
        // The writer's checkpoints, of which a step and the end of its epoch have one name.
        let there = whole(root.path())
            .into_iter()
            .filter(|(_, instance)| Some(instance) == newest.as_ref())
            .count() as u64;
        assert!(there + EPOCHS as u64 >= published, "{there} of {published}");
        kept += there;
    }
    println!("{kept} checkpoints of 12 killed trainings");
    let output = ended(start(Some(root.path()), here.path(), &[]));
    assert_eq!(said(&output, "left"), plain(here.path()));
    assert!(said(&output, "warning").is_empty());
    let entries = fs::read_dir(root.path().join("run")).unwrap();
    for entry in entries {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().ends_with(".tmp"), "{name:?}");
    }
}

/// The writer that has last taken up the run.
fn instance(root: &Path) -> Option<String> {
    let listing = list_checkpoints(root, "run").ok()?;
    Some(listing.status?.instance)
}
