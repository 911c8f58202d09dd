//! Files that somebody has put there to do harm: each costs itself, and neither time nor memory of the daemon.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::forge::{forge, forge_with};
use crate::support::place::Place;
use crate::support::sidecar::Sidecar;
use crate::support::trial::Trial;

/// The most memory that the sidecar has ever had, in MiB.
fn peak(sidecar: &Sidecar) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sidecar.scanner())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() / 1024
}

fn pipe(path: &std::path::Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn pipes_links_and_what_is_gone_cost_themselves_and_keep_nobody_waiting() {
    let place = Place::new();
    let mut trainer = place.trainer("r");
    let mut trial = Trial::new(place.watch("state").start());
    trainer.epoch();
    trial.expect_scan();
    let good = trainer.net().clone();

    forge_with(&place, "r", 201, &good, |_, path| pipe(path));
    trial.expect_failure("spool", &["epoch-000201", "it is not a plain file"]);
    forge_with(&place, "r", 202, &good, |_, path| {
        symlink("/etc/passwd", path).unwrap();
    });
    trial.expect_failure("spool", &["epoch-000202", "it is a symbolic link"]);
    forge_with(&place, "r", 203, &good, |_, path| {
        symlink("/dev/zero", path).unwrap();
    });
    trial.expect_failure("spool", &["epoch-000203", "it is a symbolic link"]);
    pipe(&place.root().join("r/epoch-000204-step-0000000204.json"));
    trial.expect_failure("manifest", &["epoch-000204", "it is not a plain file"]);
    symlink(
        "/dev/zero",
        place.root().join("r/epoch-000205-step-0000000205.json"),
    )
    .unwrap();
    trial.expect_failure("manifest", &["epoch-000205", "it is a symbolic link"]);

    // Its weights are gone when it is taken: one scan is lost, and said to be.
    forge_with(&place, "r", 206, &good, |_, _| ());
    let vanished = "mirrorwatch_checkpoints_skipped_total{reason=\"vanished\"}";
    trial
        .sidecar
        .wait_for("what is gone", |scrape| scrape.value(vanished) == Some(1.0));
    assert!(trial.sidecar.log().contains("deleted while being taken"));

    trainer.epoch();
    trial.expect_scan();
    trial.sidecar.terminate().expect(1);
}

#[test]
fn what_announces_or_nests_without_end_takes_no_memory() {
    let place = Place::new();
    let mut trainer = place.trainer("r");
    let mut trial = Trial::new(place.watch("state").start());
    trainer.epoch();
    trial.expect_scan();
    let good = trainer.net().clone();
    let before = peak(&trial.sidecar);

    // Two gigabytes that take no room on the disk, as announced.
    forge_with(&place, "r", 301, &good, |it, path| {
        let bytes = it.weights.len();
        it.replace(&format!("\"bytes\": {bytes}"), "\"bytes\": 2147483648");
        File::create(path).unwrap().set_len(1 << 31).unwrap();
    });
    trial.expect_failure(
        "load",
        &["its weights take 2147483648 bytes", "another architecture"],
    );
    // More than there can be, announced only.
    forge(&place, "r", 302, &good, |it| {
        let bytes = it.weights.len();
        it.replace(
            &format!("\"bytes\": {bytes}"),
            &format!("\"bytes\": {}", u64::MAX),
        );
    });
    trial.expect_failure("spool", &["epoch-000302", "are allowed"]);
    // A header that would be a tree of many times its size.
    forge(&place, "r", 303, &good, |it| {
        let header = format!("{{\"x\":[0{}]}}", ",0".repeat(40 << 20));
        let length = (header.len() as u64).to_le_bytes();
        it.sealed([&length[..], header.as_bytes()].concat());
        it.replace("burnpack", "safetensors");
    });
    trial.expect_failure(
        "load",
        &["the safetensors file does not fit", "its header takes"],
    );
    // Lists in lists, eighty million of them.
    forge(&place, "r", 304, &good, |it| {
        let mut weights = it.weights[..6].to_vec();
        weights.extend((80u32 << 20).to_le_bytes());
        weights.resize(weights.len() + (80 << 20), 0x81);
        it.sealed(weights);
    });
    trial.expect_failure(
        "load",
        &["not a readable burnpack record", "its header takes"],
    );
    // Weights that say they are numbers of twice the width.
    forge(&place, "r", 305, &good, |it| {
        let mut weights = it.weights.clone();
        let at = weights
            .windows(3)
            .position(|three| three == b"F32")
            .unwrap();
        weights[at..at + 3].copy_from_slice(b"F64");
        it.sealed(weights);
    });
    trial.expect_failure("load", &["not a readable burnpack record"]);
    forge(&place, "r", 306, &good, |it| {
        it.replace(
            "\"parameters\": [",
            &format!("\"parameters\": [{}", "[".repeat(500_000)),
        );
    });
    trial.expect_failure("manifest", &["epoch-000306", "is malformed"]);
    forge(&place, "r", 307, &good, |it| {
        it.replace(
            "\"instance\": \"",
            &format!("\"instance\": \"{}", "x".repeat(500_000)),
        );
    });
    trial.expect_failure("manifest", &["epoch-000307", "its instance is a text of"]);

    let after = peak(&trial.sidecar);
    println!("peak {before} MiB before, {after} MiB after files of 2 GiB, 80 MiB and 80 MiB");
    // The largest that is read at all, and a copy of it.
    assert!(
        after < before + 256,
        "{before} MiB before, {after} MiB after"
    );
    trainer.epoch();
    trial.expect_scan();
    trial.sidecar.terminate().expect(1);
}
