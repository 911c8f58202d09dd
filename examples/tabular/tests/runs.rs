//! Both programs, as a user runs them.

use std::process::Command;

use mirrorwatch::influence::UNLABELLED;

#[path = "../../testing.rs"]
mod testing;

#[test]
fn wrong_species_and_the_year_they_come_from_are_found() {
    let root = tempfile::tempdir().expect("a directory");
    let mut train = Command::new(env!("CARGO_BIN_EXE_tabular-train"));
    train.arg(root.path());
    let sidecar = env!("CARGO_BIN_EXE_tabular-sidecar");
    let found = testing::watched(train, sidecar, &[], root.path(), "rodents");
    let data = tabular::Data::load();
    let (precision, recall) = testing::judge(&found, &data.wrong);
    assert!(precision > 0.8 && recall > 0.5, "{precision} {recall}");

    let bad = tabular::BAD_YEAR.to_string();
    for source in found.summary["sources"].as_array().expect("a list") {
        assert_eq!(
            source["flagged"],
            source["source"] == bad.as_str(),
            "{source}"
        );
    }
    let unlabelled = |i: &&usize| data.train[**i].label == UNLABELLED;
    assert_eq!(found.suspects.iter().filter(unlabelled).count(), 0);
    let labelled = data.train.iter().filter(|s| s.label != UNLABELLED).count();
    assert_eq!(found.summary["scored_samples"], labelled);
    assert_eq!(found.summary["tags"]["model"], "64-32");
}
