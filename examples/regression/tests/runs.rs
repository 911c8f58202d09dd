//! Both programs, as a user runs them.

use std::process::Command;

#[path = "../../testing.rs"]
mod testing;

#[test]
fn wrong_prices_are_found_while_training_runs() {
    let root = tempfile::tempdir().expect("a directory");
    let mut train = Command::new(env!("CARGO_BIN_EXE_regression-train"));
    train.arg(root.path());
    let sidecar = env!("CARGO_BIN_EXE_regression-sidecar");
    let found = testing::watched(train, sidecar, &[], root.path(), "diamonds");
    let (precision, recall) = testing::judge(&found, &regression::Data::load().wrong);
    assert!(precision > 0.85 && recall > 0.5, "{precision} {recall}");
    assert_eq!(found.summary["classes"], 0);
    assert_eq!(
        found.summary["class_pairs"].as_array().map(Vec::len),
        Some(0)
    );
}
