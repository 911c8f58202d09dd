//! `scan`: one checkpoint, one shot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::place::Place;
use crate::support::process::{quickstart, run};
use crate::support::refusal::assert_refused;
use crate::support::results::{Results, assert_found, suspects};
use crate::support::trainer::{diverged, net};

fn scan(place: &Place, checkpoint: &Path) -> Command {
    let mut command = quickstart();
    command
        .args(["sidecar", "scan", "--threads", "1"])
        .args(place.data.arguments());
    command.arg(checkpoint);
    command
}

/// The files of a run with this ending, oldest first, but for its status.
fn files(place: &Place, run: &str, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(place.root().join(run)).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "run.json")
            && path.to_string_lossy().ends_with(ending)
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What `scan --json` says of a checkpoint, but for how long it took.
#[track_caller]
fn judge(place: &Place, mut command: Command) -> Value {
    command.arg("--json");
    let finished = run(command, place.path()).expect(0);
    let mut found: Value = serde_json::from_str(&finished.stdout).unwrap();
    for seconds in ["scan_seconds", "base_sweep_seconds"] {
        assert!(found[seconds].as_f64().is_some_and(|s| s > 0.0), "{found}");
        found[seconds].take();
    }
    found
}

#[test]
fn a_directory_a_manifest_and_a_weights_file_are_the_same_checkpoint() {
    let place = Place::new();
    place.finished_run("r", 2);
    let run_directory = place.root().join("r");
    let newest = judge(&place, scan(&place, &run_directory));
    assert_eq!(newest["epoch"], 2);
    assert_eq!(newest["scored_samples"], 1300);
    assert_eq!(newest["null"], "trusted");
    assert_eq!(newest["null_samples"], 200);
    assert_eq!(newest["estimator"], "finetune:after");
    let bound = newest["noise_ratio_lower_bound"].as_f64().unwrap();
    assert!(bound > 0.0 && bound < place.data.noise() + 0.03, "{bound}");

    let manifests = files(&place, "r", ".json");
    let [first, second] = &manifests[..] else {
        panic!("{manifests:?}");
    };
    assert_eq!(judge(&place, scan(&place, second)), newest);
    let other = judge(&place, scan(&place, first));
    assert_eq!(other["epoch"], 1);
    assert_ne!(other["probe_loss"], newest["probe_loss"]);

    // A weights file says nothing of its epoch; everything else is as before.
    let weights = files(&place, "r", ".bpk");
    let mut bare = judge(&place, scan(&place, &weights[1]));
    assert_eq!(bare["epoch"].take(), 0);
    bare["epoch"] = Value::from(2);
    assert_eq!(bare, newest);

    // By its bare name, from inside the directory.
    let mut inside = scan(&place, Path::new(second.file_name().unwrap()));
    inside.current_dir(&run_directory);
    assert_eq!(judge(&place, inside), newest);
}

#[test]
fn a_scan_finds_what_the_daemon_finds_at_its_first_checkpoint() {
    let place = Place::new();
    place.finished_run("r", 1);
    place
        .watch("state")
        .with(&["--until-finished"])
        .run()
        .expect(0);
    let file = place.at("suspects.csv");
    let mut command = scan(&place, &place.root().join("r"));
    command.arg("--suspects").arg(&file).args(["--top", "7"]);
    let finished = run(command, place.path()).expect(0);

    let bytes = fs::read(&file).unwrap();
    let (_, of_the_daemon) = Results::new(&place.at("state"), "r")
        .files(".suspects.csv")
        .pop_last()
        .unwrap();
    assert!(bytes == of_the_daemon, "the suspects differ");
    let suspects = suspects(&bytes);
    assert_found(&place.data, &suspects);

    let text = finished.stdout;
    let lines: Vec<&str> = text.lines().collect();
    let head = format!("{} of 1300 labels are suspicious", suspects.len());
    assert!(lines[0].starts_with(&head), "{text}");
    assert!(lines[1].contains("95 % confidence"), "{text}");
    assert!(
        lines[2].starts_with("trusted null of 200 samples"),
        "{text}"
    );
    assert_eq!(lines.len(), 3 + 7, "{text}");
    for (line, suspect) in lines[3..].iter().zip(&suspects) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [id, given, arrow, suggested, ..] = words[..] else {
            panic!("{line}");
        };
        assert_eq!(
            (id, given, arrow, suggested),
            (
                suspect.id.as_str(),
                suspect.given.to_string().as_str(),
                "->",
                suspect.suggested.to_string().as_str()
            )
        );
    }
    // Progress is for terminals, and this is none.
    assert_eq!(finished.stderr, "");
}

#[test]
fn what_cannot_be_scanned_is_named_with_the_reason() {
    let place = Place::new();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let refused = |checkpoint: &Path, parts: &[&str]| {
        assert_refused(scan(&place, checkpoint), place.path(), parts);
    };
    let shown = |path: &Path| path.display().to_string();

    let nowhere = place.at("nowhere.bpk");
    refused(
        &nowhere,
        &["cannot open", &shown(&nowhere), "name a run's directory"],
    );
    let empty = place.at("empty");
    fs::create_dir(&empty).unwrap();
    refused(
        &empty,
        &["cannot open", &shown(&empty), "it holds no checkpoint"],
    );
    let status = place.root().join("r/run.json");
    refused(
        &status,
        &[
            "cannot open",
            &shown(&status),
            "not a checkpoint's manifest",
        ],
    );
    let garbage = place.at("garbage.bpk");
    fs::write(&garbage, b"neither weights nor anything else").unwrap();
    refused(&garbage, &["not a readable burnpack record"]);

    let weights = files(&place, "r", ".bpk").remove(0);
    let whole = fs::read(&weights).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&weights, &flipped).unwrap();
    refused(
        &place.root().join("r"),
        &[&shown(&weights), "is corrupt", "discard it"],
    );
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    refused(&place.root().join("r"), &[&shown(&weights), "is truncated"]);
    fs::write(&weights, &whole).unwrap();

    trainer.publish(&net(&place.data, 7));
    refused(
        &place.root().join("r"),
        &[
            "another architecture",
            "head.weight",
            "[512, 7]",
            "[512, 5]",
        ],
    );
    let bad = diverged(trainer.net());
    trainer.publish(&bad);
    refused(&place.root().join("r"), &["not finite", "first.weight"]);
}
