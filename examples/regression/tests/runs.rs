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

    // What can be done about it: leave samples out. There is no label to put in the place of a wrong price.
    let export = root.path().join("export");
    let done = Command::new(sidecar)
        .args(["export", "diamonds", "--root"])
        .arg(root.path())
        .arg("--out")
        .arg(&export)
        .status();
    assert!(done.is_ok_and(|status| status.success()));
    let read = |name: &str| std::fs::read_to_string(export.join(name)).expect("it is written");
    let samples = found.summary["samples"].as_u64().expect("a number") as usize;
    assert_eq!(
        read("keep.txt").lines().count(),
        samples - found.suspects.len()
    );
    assert_eq!(read("relabel.csv").lines().count(), 1);
    let refused = Command::new(sidecar)
        .args(["leaks", &root.path().join("diamonds").display().to_string()])
        .output()
        .expect("it starts");
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("this task has none"), "{told}");
}
