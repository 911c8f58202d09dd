//! A power cut at any moment, and any operation that fails: a reader finds whole checkpoints or none, and what the
//! writer said it published is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mirrorwatch_checkpoint::{CheckpointError, RunWriter, list_checkpoints, spool};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::faulty::{EACCES, EINVAL, EIO, ENOSPC, EROFS, Fate, Faulty, Operation};
use crate::replay::{State, cuts, restore};
use crate::{MAX, at, names, root};

const KEEP: usize = 2;

/// Epoch, step and content, one publication after another: new steps, a step with other weights, the same once more.
const PUBLISHED: [(u64, u64, u8); 7] = [
    (1, 1, b'a'),
    (1, 2, b'b'),
    (1, 2, b'c'),
    (1, 3, b'd'),
    (1, 3, b'd'),
    (2, 4, b'e'),
    (2, 5, b'f'),
];

/// After so many of them the process ends, and another takes the run up.
const RESUMED_AFTER: usize = 4;

/// Thousands of small directories are made: in memory where that can be had.
fn memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| root())
}

fn weights(content: u8) -> Vec<u8> {
    vec![content; 40 + usize::from(content)]
}

/// What came of one publication.
struct Step {
    /// Operations done when it began, and when it came back.
    from: usize,
    to: usize,
    /// Operations asked for when it came back.
    asked: usize,
    published: Result<(), CheckpointError>,
}

/// Nothing above the run is there at first.
fn run_root(root: &Path) -> PathBuf {
    root.join("new/runs")
}

/// A whole run. Opening it is tried again, as the hook does.
fn publish_all(root: &Path, system: &Faulty) -> Vec<Step> {
    let mut writer = None;
    let mut steps = Vec::new();
    for (i, (epoch, step, content)) in PUBLISHED.into_iter().enumerate() {
        if i == RESUMED_AFTER
            && let Some(mut writer) = writer.take()
        {
            // Whether that works or not.
            drop(RunWriter::finish(&mut writer));
        }
        let from = system.done().len();
        let opened = match writer.take() {
            Some(writer) => Ok(writer),
            None => RunWriter::create_on(system.shared(), run_root(root), "r")
                .map(|writer| writer.with_keep(KEEP)),
        };
        let published = opened.and_then(|opened| {
            let writer = writer.insert(opened);
            let published = writer.publish(at(epoch, step), &weights(content));
            published.map(drop)
        });
        let to = system.done().len();
        steps.push(Step {
            from,
            to,
            asked: system.asked(),
            published,
        });
    }
    steps
}

/// The whole checkpoints that a reader finds, by step. There may be manifests whose weights are gone, nothing else.
fn read(root: &Path) -> BTreeMap<u64, u8> {
    let mut found = BTreeMap::new();
    let listing = match list_checkpoints(run_root(root), "r") {
        Ok(listing) => listing,
        Err(error) => {
            assert_eq!(error.reason(), "vanished", "{error}");
            return found;
        }
    };
    assert!(listing.rejected.is_empty(), "{:?}", listing.rejected);
    for manifest in listing.manifests {
        match spool(&manifest, root.join("spool"), MAX) {
            Ok(spooled) => {
                let bytes = spooled.read_verified().unwrap();
                let step = manifest.manifest.step;
                assert_eq!(bytes, weights(bytes[0]), "step {step} is not whole");
                found.insert(step, bytes[0]);
            }
            Err(error) => assert_eq!(error.reason(), "vanished", "{error}"),
        }
    }
    found
}

/// Holds what a reader finds against what was published when `done` operations were.
fn check(found: &BTreeMap<u64, u8>, steps: &[Step], done: usize) {
    let begun = steps.iter().take_while(|step| step.from < done).count();
    let acknowledged = |i: usize| steps[i].to <= done && steps[i].published.is_ok();
    // Newest first: what was said to be published, with all that may have taken its place since.
    let mut expected: Vec<(u64, BTreeSet<u8>)> = Vec::new();
    let mut later: BTreeMap<u64, BTreeSet<u8>> = BTreeMap::new();
    // Steps that were begun after; each may be there, and retention may have counted it.
    let mut newer: BTreeSet<u64> = BTreeSet::new();
    for i in (0..begun).rev() {
        let (_, step, content) = PUBLISHED[i];
        later.entry(step).or_default().insert(content);
        if acknowledged(i) && !expected.iter().any(|(old, _)| *old == step) {
            let others = newer.iter().filter(|other| **other != step).count();
            if others < KEEP {
                expected.push((step, later[&step].clone()));
            }
        }
        newer.insert(step);
    }
    for (step, contents) in &expected {
        let there = found.get(step);
        assert!(
            there.is_some_and(|content| contents.contains(content)),
            "step {step} was published and is {there:?}: {found:?}"
        );
    }
    for (step, content) in found {
        let given = PUBLISHED[..begun].contains(&(if *step < 4 { 1 } else { 2 }, *step, *content));
        assert!(given, "step {step} never had {content}");
    }
}

/// What is left of a crash is cleared away, and the run goes on.
fn resume(root: &Path) {
    let system = Faulty::sound();
    let mut writer = RunWriter::create_on(system.shared(), run_root(root), "r").unwrap();
    let left = names(writer.directory());
    assert!(!left.iter().any(|name| name.ends_with(".tmp")), "{left:?}");
    writer.publish(at(9, 99), &weights(b'z')).unwrap();
    assert_eq!(read(root).get(&99), Some(&b'z'));
}

fn check_cut(state: &State, steps: &[Step], done: usize) {
    let root = memory();
    restore(root.path(), state);
    check(&read(root.path()), steps, done);
    resume(root.path());
}

#[test]
fn a_power_cut_at_any_moment_leaves_whole_checkpoints() {
    let system = Faulty::sound();
    let root = memory();
    let steps = publish_all(root.path(), &system);
    assert!(steps.iter().all(|step| step.published.is_ok()));
    let operations = system.done();
    let mut states = 0;
    for done in 0..=operations.len() {
        for state in cuts(root.path(), &operations[..done]) {
            check_cut(&state, &steps, done);
            states += 1;
        }
    }
    println!("{} operations, {states} states", operations.len());
    assert!(states > operations.len());
}

#[test]
fn any_one_operation_may_fail() {
    let count = {
        let (root, system) = (memory(), Faulty::sound());
        publish_all(root.path(), &system);
        system.asked()
    };
    let fates = [
        Fate::Fails(ENOSPC),
        Fate::Fails(EIO),
        Fate::Fails(EACCES),
        Fate::Fails(EROFS),
        Fate::DoneAndFails(EIO),
        Fate::Short,
    ];
    let (mut failed, mut states) = (0, 0);
    for number in 0..count {
        for fate in fates {
            let root = memory();
            let system = Faulty::new(move |n, _| if n == number { fate } else { Fate::Done });
            let steps = publish_all(root.path(), &system);
            let lost = steps.iter().filter(|step| step.published.is_err()).count();
            assert!(lost <= 1, "{fate:?} at {number} lost {lost} checkpoints");
            failed += lost;
            check(&read(root.path()), &steps, usize::MAX);
            let operations = system.done();
            // What came before the failure is as in the test above.
            for step in steps.iter().filter(|step| step.asked > number) {
                for state in cuts(root.path(), &operations[..step.to]) {
                    let cut = memory();
                    restore(cut.path(), &state);
                    check(&read(cut.path()), &steps, step.to);
                    states += 1;
                }
            }
        }
    }
    println!(
        "{count} operations, {} ways to fail each: {failed} publications failed, {states} states",
        fates.len()
    );
    assert!(failed > count, "{failed}");
}

/// Writes, files and directories that fail for good.
#[test]
fn a_lasting_failure_does_not_fill_the_disk() {
    let kinds: [fn(&Operation) -> bool; 5] = [
        |operation| matches!(operation, Operation::Create(_)),
        |operation| matches!(operation, Operation::Write(..)),
        |operation| matches!(operation, Operation::Sync(_)),
        |operation| matches!(operation, Operation::Rename(..)),
        |operation| matches!(operation, Operation::SyncDirectory(_)),
    ];
    for (kind, fails) in kinds.into_iter().enumerate() {
        for fate in [
            Fate::Fails(ENOSPC),
            Fate::Fails(EIO),
            Fate::DoneAndFails(EIO),
        ] {
            let root = root();
            let sound = Faulty::sound();
            let mut writer = RunWriter::create_on(sound.shared(), root.path(), "r").unwrap();
            writer.publish(at(0, 1), &weights(b'a')).unwrap();
            let before = names(writer.directory());
            drop(writer);
            // As a writer of the same process would meet it: after it was opened.
            let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let seen = std::sync::Arc::clone(&broken);
            let system = Faulty::new(move |_, operation| {
                let breaks = seen.load(std::sync::atomic::Ordering::Relaxed);
                if breaks && fails(operation) {
                    fate
                } else {
                    Fate::Done
                }
            });
            let mut writer = RunWriter::create_on(system.shared(), root.path(), "r").unwrap();
            broken.store(true, std::sync::atomic::Ordering::Relaxed);
            for step in 2..20 {
                let refused = writer.publish(at(0, step), &weights(b'b')).unwrap_err();
                assert!(["disk_full", "unwritable"].contains(&refused.reason()));
            }
            assert_eq!(names(writer.directory()), before, "kind {kind}, {fate:?}");
            broken.store(false, std::sync::atomic::Ordering::Relaxed);
            writer.publish(at(0, 20), &weights(b'c')).unwrap();
            assert!(writer.take_warning().is_none());
        }
    }
}

#[test]
fn a_file_system_that_cannot_synchronise_directories_is_written_to() {
    let root = root();
    let system = Faulty::new(|_, operation| match operation {
        Operation::SyncDirectory(_) => Fate::Fails(EINVAL),
        _ => Fate::Done,
    });
    let steps = publish_all(root.path(), &system);
    assert!(steps.iter().all(|step| step.published.is_ok()));
    assert_eq!(read(root.path()), BTreeMap::from([(4, b'e'), (5, b'f')]));
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Fails(ENOSPC)),
        Just(Fate::Fails(EIO)),
        Just(Fate::Fails(EACCES)),
        Just(Fate::DoneAndFails(EIO)),
        Just(Fate::Short),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_sequence_of_failures_and_then_a_power_cut(
        faults in prop::collection::btree_map(0_usize..110, fate(), 1..24),
        moment in 0.0..1.0_f64,
    ) {
        let root = memory();
        // Not the directories above: one that can neither be synchronised nor removed again is beyond help.
        let mut operations = {
            let system = Faulty::sound();
            RunWriter::create_on(system.shared(), run_root(root.path()), "r").unwrap();
            system.done()
        };
        let before = operations.len();
        let system = Faulty::new(move |n, _| faults.get(&n).copied().unwrap_or(Fate::Done));
        let steps = publish_all(root.path(), &system);
        check(&read(root.path()), &steps, usize::MAX);
        operations.extend(system.done());
        for done in [((operations.len() - before) as f64 * moment) as usize, operations.len() - before] {
            for state in cuts(root.path(), &operations[..before + done]).into_iter().take(64) {
                check_cut(&state, &steps, done);
            }
        }
    }
}
