//! Both programs, as a user runs them.

use std::process::Command;

#[path = "../../testing.rs"]
mod testing;

#[test]
fn wrong_labels_are_found_in_a_loop_written_by_hand() {
    let root = tempfile::tempdir().expect("a directory");
    let mut train = Command::new(env!("CARGO_BIN_EXE_custom-loop-train"));
    train.arg(root.path());
    let sidecar = env!("CARGO_BIN_EXE_custom-loop-sidecar");
    let found = testing::watched(train, sidecar, &[], root.path(), "clothes");
    let (precision, recall) = testing::judge(&found, &custom_loop::Data::load(None).wrong);
    assert!(precision > 0.8 && recall > 0.5, "{precision} {recall}");

    // What the loop said along the way.
    let summary = &found.summary;
    let rate = summary["learning_rate"].as_f64().expect("a rate");
    assert!((rate - 2e-3 * 0.7f64.powi(4)).abs() < 1e-12, "{rate}");
    assert!(
        summary["valid_loss"]
            .as_f64()
            .is_some_and(|loss| loss > 0.0)
    );
    assert!(
        summary["train_loss"]
            .as_f64()
            .is_some_and(|loss| loss > 0.0)
    );
    assert!(
        summary["consumed_samples"]
            .as_u64()
            .is_some_and(|n| n > 0 && n <= 5000)
    );
    assert_eq!(summary["tags"]["loop"], "by hand");
}
