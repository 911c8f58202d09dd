//! Intake over real directories: every checkpoint that was published ends in exactly one way.

pub mod bench;
mod crowds;
#[cfg(unix)]
pub mod files;
mod forget;
mod hostile;
mod model;
mod unhooked;

use std::fs;

use mirrorwatch_checkpoint::Snapshot;

use crate::runs::lock;
use crate::store::Outcome;
use bench::{Bench, newest, publish};

#[test]
fn what_is_published_is_taken_once_and_in_order() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    for step in 1..=3 {
        publish(&mut writer, step);
        bench.intake.list();
        bench.intake.list();
        assert!(bench.pop());
    }
    assert!(!bench.pop());
    assert_eq!(bench.scanned, [1, 2, 3]);
    assert_eq!((bench.seen(), bench.lost()), (3, 0));
    assert!(bench.intake.hub.listed());
}

#[test]
fn what_was_deleted_before_it_was_seen_is_missed() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(1);
    for step in 1..=4 {
        publish(&mut writer, step);
    }
    // A gap must be there twice: a listing is not a snapshot of the directory.
    bench.intake.list();
    assert_eq!(bench.skipped("missed"), 0);
    for _ in 0..3 {
        bench.intake.list();
    }
    assert_eq!(bench.skipped("missed"), 3);
    while bench.pop() {}
    assert_eq!((bench.scanned.as_slice(), bench.seen()), (&[4][..], 4));
}

#[test]
fn the_newest_checkpoints_supersede_older_ones() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    for step in 1..=5 {
        publish(&mut writer, step);
    }
    bench.intake.list();
    assert_eq!(bench.skipped("superseded"), 3);
    while bench.pop() {}
    assert_eq!(bench.scanned, [4, 5]);
    let state = bench.intake.runs.open("r");
    let mut ledger = Vec::new();
    for entry in lock(&state).ledger.entries() {
        ledger.push((entry.sequence, entry.outcome == Outcome::Scanned));
    }
    assert_eq!(
        ledger,
        [(1, false), (2, false), (3, false), (4, true), (5, true)]
    );
    // What was superseded is gone from the spool, too.
    assert_eq!(fs::read_dir(&bench.intake.spool).unwrap().count(), 0);
}

#[test]
fn of_a_finished_run_everything_is_taken() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    for step in 1..=5 {
        publish(&mut writer, step);
    }
    writer.finish().unwrap();
    assert!(
        bench.intake.list(),
        "once more, to be sure that this was all"
    );
    assert!(!bench.intake.hub.runs()["r"].settled);
    assert!(!bench.intake.list());
    assert!(bench.intake.hub.runs()["r"].settled);
    while bench.pop() {}
    assert_eq!(bench.scanned, [1, 2, 3, 4, 5]);
}

#[test]
fn a_refused_manifest_is_counted_once() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    publish(&mut writer, 1);
    publish(&mut writer, 2);
    fs::write(newest(&writer, ".json"), b"{").unwrap();
    publish(&mut writer, 3);
    for _ in 0..4 {
        bench.intake.list();
    }
    while bench.pop() {}
    assert_eq!(bench.scanned, [1, 3]);
    // Its number is missing from the sequence, but it was seen: it is not missed as well.
    assert_eq!((bench.failed("manifest"), bench.lost()), (1, 1));
    assert_eq!(bench.seen(), 3);
    assert!(bench.intake.hub.runs()["r"].last_error.contains(".json"));
}

#[test]
fn a_status_file_that_cannot_be_read_is_no_checkpoint() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    publish(&mut writer, 1);
    fs::write(writer.directory().join("run.json"), b"{").unwrap();
    bench.intake.list();
    bench.intake.list();
    assert_eq!((bench.seen(), bench.lost()), (1, 0));
    assert!(bench.intake.hub.runs()["r"].last_error.contains("run.json"));
}

#[test]
fn weights_that_are_gone_or_too_large_cost_their_checkpoint() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    publish(&mut writer, 1);
    fs::remove_file(newest(&writer, ".bpk")).unwrap();
    let large = Snapshot {
        step: 2,
        ..Snapshot::default()
    };
    writer.publish(large, &[0; 1001]).unwrap();
    publish(&mut writer, 3);
    for _ in 0..3 {
        bench.intake.list();
    }
    while bench.pop() {}
    assert_eq!(bench.scanned, [3]);
    assert_eq!((bench.skipped("vanished"), bench.failed("spool")), (1, 1));
    assert_eq!((bench.seen(), bench.lost()), (3, 2));
    // All of it is remembered, so that another process does not count it again.
    bench.restart();
    for _ in 0..3 {
        bench.intake.list();
    }
    assert_eq!((bench.seen(), bench.lost(), bench.pop()), (0, 0, false));
}

#[test]
fn a_restart_takes_only_what_is_not_done() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(3);
    for step in 1..=5 {
        publish(&mut writer, step);
    }
    for _ in 0..2 {
        bench.intake.list();
    }
    assert_eq!(
        (bench.skipped("missed"), bench.skipped("superseded")),
        (2, 1)
    );
    assert!(bench.pop());
    // Checkpoint 5 was waiting when the process ended; 6 is new.
    bench.restart();
    publish(&mut writer, 6);
    for _ in 0..3 {
        bench.intake.list();
    }
    while bench.pop() {}
    assert_eq!(bench.scanned, [4, 5, 6]);
    assert_eq!((bench.seen(), bench.lost()), (2, 0));
}

/// The step's checkpoint waits, its repetition at the end of the epoch is noted, and the process ends.
#[test]
fn a_restart_does_not_take_a_repetition_for_the_scan() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(5);
    publish(&mut writer, 1);
    bench.intake.list();
    publish(&mut writer, 1);
    bench.intake.list();
    assert_eq!(bench.skipped("repeated"), 1);
    bench.intake.runs.save_all();
    bench.restart();
    for _ in 0..3 {
        bench.intake.list();
    }
    while bench.pop() {}
    assert_eq!(bench.scanned, [1]);
}

#[test]
fn a_resumed_training_counts_anew() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    publish(&mut writer, 1);
    publish(&mut writer, 2);
    bench.intake.list();
    while bench.pop() {}
    let mut writer = bench.writer(10);
    publish(&mut writer, 3);
    for _ in 0..3 {
        bench.intake.list();
    }
    while bench.pop() {}
    assert_eq!(bench.scanned, [1, 2, 3]);
    assert_eq!((bench.seen(), bench.lost()), (3, 0));
}

/// A manifest is outside data: one absurd number must not keep the daemon busy for ever.
#[test]
fn an_absurd_sequence_number_does_no_harm() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    publish(&mut writer, 1);
    let manifest = newest(&writer, ".json");
    let text = fs::read_to_string(&manifest).unwrap();
    let absurd = text.replace("\"sequence\": 1", &format!("\"sequence\": {}", u64::MAX));
    assert_ne!(text, absurd);
    fs::write(&manifest, absurd).unwrap();
    for _ in 0..3 {
        bench.intake.list();
    }
    assert!(bench.pop());
    assert_eq!((bench.seen(), bench.lost()), (1, 0));
    bench.restart();
    bench.intake.list();
    assert!(!bench.pop());
}

#[test]
fn a_root_that_goes_away_and_comes_back_is_no_reason_to_end() {
    let mut bench = Bench::new();
    bench.intake.list();
    assert!(bench.intake.root_missing && !bench.intake.hub.listed());
    let mut writer = bench.writer(10);
    publish(&mut writer, 1);
    bench.intake.list();
    assert!(!bench.intake.root_missing && bench.pop());
}
