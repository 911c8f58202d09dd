//! Trainings without a hook: what appears is taken once, even if it goes at once.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::bench::Bench;

/// A bench whose artifact directory is there.
fn bench() -> (Bench, PathBuf) {
    let bench = Bench::new();
    let directory = bench.intake.unhooked.artifacts[0]
        .directory()
        .join("checkpoint");
    fs::create_dir_all(&directory).unwrap();
    fs::create_dir_all(&bench.intake.root).unwrap();
    (bench, directory)
}

#[test]
fn files_of_burns_learner_are_taken_before_they_are_deleted() {
    let (mut bench, directory) = bench();
    for epoch in 1..=3 {
        let path = |epoch: u64| directory.join(format!("model-{epoch}.bpk"));
        fs::write(path(epoch), format!("weights {epoch}")).unwrap();
        fs::write(directory.join(format!("optim-{epoch}.bpk")), "x").unwrap();
        assert!(bench.intake.list(), "there may be more");
        fs::remove_file(path(epoch)).unwrap();
        bench.intake.list();
        assert_eq!(bench.seen(), epoch);
    }
    // Two wait at most, as everywhere.
    assert_eq!((bench.seen(), bench.skipped("superseded")), (3, 1));
    let runs = bench.intake.hub.runs();
    assert!(
        runs["artifacts"].settled,
        "quiet for no time at all is over"
    );
}

#[test]
fn a_training_that_begins_again_is_scanned_again() {
    let (mut bench, directory) = bench();
    let path = directory.join("model-1.bpk");
    for weights in ["first", "first", "second"] {
        fs::write(&path, weights).unwrap();
        bench.intake.list();
        fs::remove_file(&path).unwrap();
        bench.intake.list();
    }
    // The same weights say the same.
    assert_eq!(bench.seen(), 2);
}

#[test]
fn a_file_written_in_place_is_taken_when_it_is_whole() {
    let (mut bench, directory) = bench();
    let path = directory.join("model-2.safetensors");
    fs::write(&path, "half").unwrap();
    for _ in 0..3 {
        assert!(bench.intake.list(), "it is waited for");
    }
    assert_eq!(bench.seen(), 0);
    fs::write(&path, "half and half").unwrap();
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
    bench.intake.list();
    assert_eq!(bench.seen(), 1);
    let job = bench.intake.queue.pop(Duration::ZERO).unwrap();
    assert_eq!(job.spooled.read_verified().unwrap(), b"half and half");
    assert_eq!(job.spooled.manifest().weights.format, "safetensors");
    // Nothing is left in the spool but what is waiting.
    drop(job);
    assert_eq!(fs::read_dir(&bench.intake.spool).unwrap().count(), 0);
}

#[test]
fn files_that_are_too_large_are_refused_once() {
    let (mut bench, directory) = bench();
    fs::write(directory.join("model-1.bpk"), vec![0; 2000]).unwrap();
    for _ in 0..3 {
        bench.intake.list();
    }
    assert_eq!((bench.seen(), bench.lost()), (1, 1));
}
