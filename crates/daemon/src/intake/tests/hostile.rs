//! Manifests that claim whatever they like, and files that are none.

use std::fs;

use serde_json::{Value, json};

use super::bench::{Bench, newest, publish};
use crate::intake::HIGHEST_SEQUENCE;

/// Publishes a checkpoint at `step` by a process of its own, whose manifest is changed before it is listed.
fn forged(bench: &Bench, step: u64, change: impl FnOnce(&mut Value)) {
    let mut writer = bench.writer(1000);
    publish(&mut writer, step);
    let path = newest(&writer, ".json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(&path, manifest.to_string()).unwrap();
}

/// Forty manifests claim that forty million others are missing. One by one, those would take gigabytes, and
/// as many lines of the log.
#[test]
fn claims_of_missing_checkpoints_are_counted_and_cost_nothing() {
    let mut bench = Bench::new();
    for step in 1..=40 {
        forged(&bench, step, |manifest| {
            manifest["sequence"] = json!(HIGHEST_SEQUENCE);
        });
    }
    for _ in 0..3 {
        bench.intake.list();
    }
    assert_eq!(bench.skipped("missed"), 40 * (HIGHEST_SEQUENCE - 1));
    assert_eq!(bench.seen(), 40 * HIGHEST_SEQUENCE);
    let taken = &bench.intake.taken["r"];
    assert_eq!(
        taken
            .sequences
            .values()
            .map(|seen| seen.len())
            .sum::<usize>(),
        40
    );
    assert!(taken.gaps.is_empty());
    while bench.pop() {}
    // Nor does remembering them.
    bench.intake.runs.save_all();
    bench.restart();
    for _ in 0..3 {
        bench.intake.list();
    }
    assert_eq!(bench.skipped("missed"), 0);
}

/// Gaps are confirmed number by number, whatever comes to fill a part of them.
#[test]
fn a_gap_that_is_filled_in_part_is_missed_in_part() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    for step in 1..=9 {
        publish(&mut writer, step);
    }
    let hidden = |step: u64| {
        let name = format!("epoch-{:06}-step-{step:010}.json", step / 4);
        (writer.directory().join(&name), bench.intake.root.join(name))
    };
    let of: Vec<_> = [2, 3, 4, 7].map(hidden).into();
    for (from, to) in &of {
        fs::rename(from, to).unwrap();
    }
    bench.intake.list();
    fs::rename(&of[1].1, &of[1].0).unwrap();
    for _ in 0..3 {
        bench.intake.list();
    }
    // 2, 4 and 7, but not 3.
    assert_eq!((bench.skipped("missed"), bench.seen()), (3, 9));
}

#[test]
fn what_a_refused_checkpoint_is_told_with_is_one_short_line() {
    let mut bench = Bench::new();
    let name = "a\nb".repeat(200_000);
    let told = |bench: &mut Bench| {
        bench.intake.list();
        let told = bench.intake.hub.runs()["r"].last_error.clone();
        assert!(
            told.chars().count() < 2001 && !told.contains('\n'),
            "{told:.300}"
        );
        told
    };
    forged(&bench, 1, |manifest| manifest["run"] = json!([name]));
    assert!(told(&mut bench).contains("invalid type"));
    forged(&bench, 2, |manifest| {
        manifest["weights"]["file"] = json!(format!("../{name}"));
    });
    assert!(told(&mut bench).contains("it names the weights file"));
    // A name of a file may have a line break in it.
    forged(&bench, 3, |manifest| {
        manifest["weights"]["file"] = json!("a\nb");
        manifest["weights"]["bytes"] = json!(u64::MAX);
    });
    assert!(told(&mut bench).contains("a b takes 18446744073709551615 bytes"));
    assert_eq!((bench.failed("manifest"), bench.failed("spool")), (2, 1));
}

#[test]
#[cfg(unix)]
fn pipes_are_refused_and_the_next_checkpoint_is_taken() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    for (step, ending) in [(1, ".json"), (2, ".bpk")] {
        publish(&mut writer, step);
        let path = newest(&writer, ending);
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
    }
    publish(&mut writer, 3);
    for _ in 0..3 {
        bench.intake.list();
    }
    while bench.pop() {}
    assert_eq!(bench.scanned, [3]);
    assert_eq!((bench.failed("manifest"), bench.failed("spool")), (1, 1));
    assert_eq!((bench.seen(), bench.lost()), (3, 2));
}

/// As a copying program writes it that knows nothing of the protocol.
#[test]
fn a_manifest_that_grows_is_refused_once_and_forgotten_with_its_file() {
    let mut bench = Bench::new();
    let mut writer = bench.writer(10);
    publish(&mut writer, 1);
    let path = newest(&writer, ".json");
    let bytes = fs::read(&path).unwrap();
    let mut told = std::collections::BTreeSet::new();
    for end in (0..bytes.len()).step_by(20) {
        fs::write(&path, &bytes[..end]).unwrap();
        bench.intake.list();
        told.insert(bench.intake.hub.runs()["r"].last_error.clone());
    }
    assert!(told.len() > 5, "{told:?}");
    assert_eq!((bench.seen(), bench.failed("manifest")), (1, 1));
    assert_eq!(bench.intake.taken["r"].rejected.len(), 1);
    fs::write(&path, &bytes).unwrap();
    bench.intake.list();
    assert!(bench.pop() && bench.intake.taken["r"].rejected.is_empty());
    fs::write(&path, b"{").unwrap();
    for _ in 0..2 {
        bench.intake.list();
    }
    assert_eq!((bench.seen(), bench.failed("manifest")), (3, 2));
}
