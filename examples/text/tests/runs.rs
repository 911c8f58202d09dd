//! Both programs, as a user runs them.

use std::process::Command;

#[path = "../../testing.rs"]
mod testing;

#[test]
fn wrong_topics_are_found_while_training_runs() {
    let root = tempfile::tempdir().expect("a directory");
    let mut train = Command::new(env!("CARGO_BIN_EXE_text-train"));
    train.arg(root.path());
    let sidecar = env!("CARGO_BIN_EXE_text-sidecar");
    let found = testing::watched(train, sidecar, &[], root.path(), "definitions");
    let (precision, recall) = testing::judge(&found, &text::Data::load().wrong);
    assert!(precision > 0.8 && recall > 0.4, "{precision} {recall}");
    assert_eq!(found.summary["classes"], 8);
}
