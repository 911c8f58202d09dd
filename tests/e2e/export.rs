//! `export`: what to do about a run's suspects, from the evidence that the sidecar has kept.

use std::fs;
use std::path::Path;
use std::process::Command;

use mirrorwatch::daemon::export::Export;

use crate::support::place::Place;
use crate::support::process::{quickstart, run};
use crate::support::refusal::assert_refused;
use crate::support::results::Results;

fn export(place: &Place, name: &str, out: &Path, more: &[&str]) -> Command {
    let mut command = quickstart();
    command
        .args(["sidecar", "export", name])
        .args(place.data.arguments())
        .arg("--root")
        .arg(place.root())
        .arg("--state")
        .arg(place.at("state"))
        .arg("--out")
        .arg(out)
        .args(more);
    command
}

#[test]
fn what_is_exported_is_what_was_counted() {
    let place = Place::new();
    place.finished_run("r", 3);
    let watch = place.watch("state").with(&["--until-finished"]);
    watch.run().expect(0);
    let out = place.at("export");
    let told = run(export(&place, "r", &out, &[]), place.path())
        .expect(0)
        .stdout;

    let summaries = Results::new(&place.at("state"), "r").summaries();
    let summary = summaries.last().unwrap();
    let found = Export::read(&out.join("export.json")).unwrap();
    assert!(summary.suspects > 0);
    assert_eq!(found.suspects.len(), summary.suspects);
    assert_eq!((found.epoch, found.step), (summary.epoch, summary.step));
    assert_eq!(found.samples, summary.samples);
    let kept = fs::read_to_string(out.join("keep.txt")).unwrap();
    assert_eq!(kept.lines().count(), found.samples - found.suspects.len());
    assert!(
        told.contains(&format!(
            "{} are suspects (run r, epoch 3)",
            summary.suspects
        )),
        "{told}"
    );
    // Most of what is left out is wrong, and what is kept is right.
    let wrong = found
        .suspects
        .iter()
        .filter(|s| place.data.is_wrong(s.index));
    assert!(wrong.count() * 10 > found.suspects.len() * 7);
    // A stricter list is a shorter one, of the same evidence.
    let strict = place.at("strict");
    run(
        export(&place, "r", &strict, &["--fdr", "0.02"]),
        place.path(),
    )
    .expect(0);
    let strict = Export::read(&strict.join("export.json")).unwrap();
    assert!(strict.suspects.len() <= found.suspects.len());
    assert_eq!(strict.fingerprint, found.fingerprint);
}

#[test]
fn evidence_that_is_not_there_or_of_other_settings_is_told() {
    let place = Place::new();
    place.finished_run("r", 1);
    place
        .watch("state")
        .with(&["--until-finished"])
        .run()
        .expect(0);
    let out = place.at("export");
    let missing = export(&place, "other", &out, &[]);
    assert_refused(
        missing,
        place.path(),
        &["other", "no evidence of this run", "--state"],
    );
    let seed = export(&place, "r", &out, &["--seed", "7"]);
    assert_refused(seed, place.path(), &["state.bin", "other data or settings"]);
    assert!(!out.exists());
}
