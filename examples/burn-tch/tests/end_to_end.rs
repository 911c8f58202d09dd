//! Both programs, as a user starts them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The first 2,000 training samples, of which 400 are labelled wrong.
const DATA: [&str; 2] = ["--train-limit", "2000"];
const WRONG: f64 = 400.0;

/// Runs a program to its end, and gives what it printed.
fn run(program: &str, arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .args(DATA)
        .current_dir(directory)
        // They know where libtorch is.
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn trains_on_libtorch_and_names_wrong_labels() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let sidecar = env!("CARGO_BIN_EXE_burn-tch-sidecar");
    run(
        env!("CARGO_BIN_EXE_burn-tch-train"),
        &["--epochs", "3"],
        directory,
    );

    let scan = |device: &[&str]| -> Value {
        let arguments = [&["scan", "runs/burn-tch", "--json"], device].concat();
        serde_json::from_str(&run(sidecar, &arguments, directory)).unwrap()
    };
    let found = scan(&[]);
    println!("{found}");
    let suspects = found["suspects"].as_f64().unwrap();
    assert!(suspects > 0.5 * WRONG && suspects < 1.2 * WRONG, "{found}");

    run(
        sidecar,
        &["watch", "--until-finished", "--listen", "127.0.0.1:0"],
        directory,
    );
    let scans = directory.join("runs/.mirrorwatch/runs/burn-tch/scans");
    let results = std::fs::read_dir(scans).unwrap().count();
    assert!(results >= 3, "{results}");
}
