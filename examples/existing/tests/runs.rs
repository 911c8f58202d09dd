//! The project as it is before anything is added to it.

use std::process::Command;

#[test]
fn it_trains() {
    let place = tempfile::tempdir().expect("a directory");
    let trained = Command::new(env!("CARGO_BIN_EXE_existing-train"))
        .arg("artifacts")
        .current_dir(place.path())
        .output()
        .expect("it starts");
    assert!(
        trained.status.success(),
        "{}",
        String::from_utf8_lossy(&trained.stderr)
    );
    assert!(place.path().join("artifacts/model.bpk").is_file());
    assert!(
        place
            .path()
            .join("artifacts/checkpoint/model-3.bpk")
            .is_file()
    );
}
