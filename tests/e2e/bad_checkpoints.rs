//! Checkpoints that cannot be scanned cost themselves, never the daemon.

use std::path::Path;

use crate::support::forge::forge;
use crate::support::place::Place;
use crate::support::trainer::{diverged, net};
use crate::support::trial::Trial;

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn no_checkpoint_stops_the_daemon_and_each_is_told_with_its_reason() {
    let place = Place::new();
    let mut trainer = place.trainer("r");
    let mut trial = Trial::new(place.watch("state").start());
    trainer.epoch();
    trial.expect_scan();

    // Another number of classes: told from the manifest, by the first parameter that differs.
    trainer.publish(&net(&place.data, 7));
    trial.expect_failure(
        "load",
        &[
            "another architecture",
            "head.weight",
            "[512, 7]",
            "[512, 5]",
        ],
    );
    trainer.epoch();
    trial.expect_scan();
    assert!(
        !trial.sidecar.get("/").body.contains("another architecture"),
        "a trouble that is over is still on the page"
    );

    let bad = diverged(trainer.net());
    trainer.publish(&bad);
    trial.expect_failure(
        "load",
        &["first.weight", "not finite", "training has diverged"],
    );

    let good = trainer.net().clone();
    let path = forge(&place, "r", 101, &good, |it| {
        let middle = it.weights.len() / 2;
        it.weights[middle] ^= 1;
    });
    let stem = name(&path).trim_end_matches(".json").to_string();
    trial.expect_failure("spool", &[&stem, "is corrupt", "discard it"]);

    forge(&place, "r", 102, &good, |it| {
        it.weights.truncate(it.weights.len() / 2)
    });
    trial.expect_failure("spool", &["epoch-000102", "is truncated", "check the disk"]);

    let path = forge(&place, "r", 103, &good, |it| {
        let text = String::from_utf8(it.manifest.clone()).unwrap();
        let newer = text.replace("\"schema\": 1", "\"schema\": 99");
        assert_ne!(newer, text);
        it.manifest = newer.into_bytes();
    });
    let version = "unknown manifest version 99";
    trial.expect_failure("manifest", &[version, name(&path), "upgrade the sidecar"]);

    let path = forge(&place, "r", 104, &good, |it| it.manifest.truncate(100));
    trial.expect_failure(
        "manifest",
        &[name(&path), "is malformed", "publish the checkpoint again"],
    );

    // Where a manifest leads is not the manifest's to say.
    let path = forge(&place, "r", 105, &good, |it| {
        let text = String::from_utf8(it.manifest.clone()).unwrap();
        let outside = text.replace("\"file\": \"", "\"file\": \"../");
        assert_ne!(outside, text);
        it.manifest = outside.into_bytes();
    });
    trial.expect_failure("manifest", &[name(&path), "is refused"]);

    trainer.epoch();
    trial.expect_scan();
    let scrape = trial.sidecar.scrape();
    assert_eq!(scrape.sum("mirrorwatch_checkpoints_seen_total"), 10.0);
    assert_eq!(
        scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}"),
        Some(3.0)
    );
    // Documented: 1 when something could not be scanned.
    trial.sidecar.terminate().expect(1);
}

#[test]
fn a_sidecar_for_another_number_of_classes_names_the_parameter_that_differs() {
    let place = Place::new();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    trainer.finish();
    let watch = place
        .watch("state")
        .with(&["--classes", "6"])
        .with(&["--until-finished"]);
    let finished = watch.run().expect(1);
    for part in [
        "head.weight",
        "[512, 5] there",
        "[512, 6] in the task's model",
    ] {
        assert!(finished.stderr.contains(part), "{}", finished.story());
    }
}

#[test]
fn what_failed_is_not_tried_again_after_a_restart() {
    let place = Place::new();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let bad = diverged(trainer.net());
    trainer.publish(&bad);
    // The bad one alone, so that nothing but the failure itself is there to be remembered.
    let mut trainer = place.trainer("only-bad");
    trainer.publish(&bad);
    let mut first = place.watch("state").start();
    first.wait_for("three ends", |scrape| scrape.done() >= 3.0);
    let finished = first.terminate().expect(1);
    assert!(
        !finished.stderr.contains("state.bin"),
        "{}",
        finished.story()
    );

    let mut second = place.watch("state").start();
    second.wait_for("a second listing", |scrape| {
        scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}") == Some(1.0)
    });
    let mut trainer = place.trainer("new");
    trainer.epoch();
    let scrape = second.wait_for_scans(1);
    assert_eq!(scrape.done(), 1.0, "{}", second.log());
    second.terminate().expect(0);
}
