//! Both programs, as a user runs them.

use std::process::Command;

#[path = "../../testing.rs"]
mod testing;

#[test]
fn wrong_labels_are_found_by_burns_own_checkpoints() {
    let root = tempfile::tempdir().expect("a directory");
    let artifacts = root.path().join("clothes");
    let mut train = Command::new(env!("CARGO_BIN_EXE_no-hook-train"));
    train.arg(&artifacts);
    let sidecar = env!("CARGO_BIN_EXE_no-hook-sidecar");
    let artifacts = artifacts.display().to_string();
    let arguments = [
        "--artifacts",
        &artifacts,
        "--artifacts-quiet-seconds",
        "8",
        "--rescan-seconds",
        "2",
    ];
    let runs = root.path().join("runs");
    let found = testing::watched(train, sidecar, &arguments, &runs, "clothes");
    let (precision, recall) = testing::judge(&found, &no_hook::Data::load(None).wrong);
    assert!(precision > 0.8 && recall > 0.5, "{precision} {recall}");
    // More than Burn has kept, if the machine is not too busy to look.
    let scanned = found.summary["checkpoints"].as_u64();
    println!("{scanned:?} of 5 checkpoints scanned");
    assert!(scanned.is_some_and(|n| n >= 2));
    // From the learner's own log.
    assert!(
        found.summary["train_loss"]
            .as_f64()
            .is_some_and(|loss| loss > 0.0)
    );
}
