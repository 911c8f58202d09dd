//! Runs that nobody has heard of for long take no memory, and go on as if they had never been put aside.

use std::fs;

use mirrorwatch_checkpoint::RunWriter;

use super::bench::{Bench, publish};

/// The training's last sign of life was long ago.
fn age(bench: &Bench, writer: &RunWriter) {
    let path = writer.directory().join("run.json");
    let mut status: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    status["updated"] = 1.0.into();
    fs::write(path, status.to_string()).unwrap();
    bench.intake.hub.update_run("r", |view| view.updated = 1.0);
}

fn in_memory(bench: &Bench) -> bool {
    bench.intake.runs.opened("r").is_some()
}

#[test]
fn a_run_whose_directory_stays_is_put_aside_until_there_is_news() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    publish(&mut writer, 1);
    publish(&mut writer, 2);
    fs::write(super::newest(&writer, ".json"), b"{").unwrap();
    bench.intake.list();
    assert!(bench.pop() && in_memory(&bench));
    age(&bench, &writer);
    bench.intake.list();
    let mark = bench.intake.hub.mark();
    for _ in 0..3 {
        bench.intake.list();
        assert!(!in_memory(&bench));
    }
    assert_eq!(
        bench.intake.hub.mark(),
        mark,
        "it was read again, for nothing"
    );
    assert!(bench.intake.hub.shown_run("r").is_none());

    publish(&mut writer, 3);
    bench.intake.list();
    assert!(in_memory(&bench) && bench.intake.hub.shown_run("r").is_some());
    while bench.pop() {}
    bench.intake.list();
    // Neither what was scanned nor what was refused before is so again.
    assert_eq!(bench.scanned, [1, 3]);
    assert_eq!(
        (bench.seen(), bench.failed("manifest"), bench.lost()),
        (3, 1, 1)
    );
}

#[test]
fn a_run_whose_directory_is_gone_is_forgotten_when_its_last_checkpoint_is_scanned() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    for step in 1..=2 {
        publish(&mut writer, step);
    }
    bench.intake.list();
    age(&bench, &writer);
    fs::remove_dir_all(writer.directory()).unwrap();
    for _ in 0..2 {
        bench.intake.list();
        assert!(in_memory(&bench), "a checkpoint of it is queued");
        assert!(bench.pop());
    }
    bench.intake.list();
    assert!(!in_memory(&bench) && bench.intake.taken.is_empty());
    assert!(bench.intake.hub.runs().is_empty());

    // Another training of that name, and one that has brought back what there was.
    let mut writer = bench.writer(10);
    for step in [2, 3] {
        publish(&mut writer, step);
    }
    bench.intake.list();
    while bench.pop() {}
    assert_eq!(bench.scanned, [1, 2, 3]);
    let state = bench.intake.runs.open("r");
    assert_eq!(
        crate::runs::lock(&state).ledger.entries().len(),
        4,
        "1, 2, 2 again, 3"
    );
    assert_eq!((bench.seen(), bench.skipped("repeated")), (4, 1));
}

#[test]
fn a_run_that_is_shown_is_kept_without_its_directory() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    publish(&mut writer, 1);
    bench.intake.list();
    assert!(bench.pop());
    fs::remove_dir_all(writer.directory()).unwrap();
    bench.intake.list();
    assert!(in_memory(&bench) && bench.intake.hub.shown_run("r").is_some());
}

/// Of checkpoints that were there before, nothing of the second training comes to the queue.
#[test]
fn what_was_missed_of_a_run_that_is_forgotten_is_missed_once() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(1);
    for round in 0..3 {
        for step in 1..=3 {
            publish(&mut writer, step);
            if round == 0 {
                bench.intake.list();
                assert!(bench.pop());
            }
        }
        for _ in 0..2 {
            bench.intake.list();
        }
        age(&bench, &writer);
        fs::remove_dir_all(writer.directory()).unwrap();
        bench.intake.list();
        assert!(bench.intake.hub.runs().is_empty());
        assert_eq!(bench.skipped("missed"), 2 * round);
        assert_eq!(bench.skipped("repeated"), round);
        writer = bench.writer(1);
    }
    assert_eq!(
        (bench.scanned.as_slice(), bench.seen()),
        (&[1, 2, 3][..], 9)
    );
}
