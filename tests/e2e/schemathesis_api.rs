//! The JSON API is what its description says, whatever is asked of it.

use std::process::Command;

use crate::support::place::Place;
use crate::support::process::{program, run};

/// Asks all that the options leave, and returns what it tells.
fn told(options: &[&str], configuration: &str) -> String {
    let place = Place::new();
    let mut trainer = place.trainer("resnet-7");
    trainer.epoch();
    let mut sidecar = place.watch("state").start();
    sidecar.wait_for_scans(1);
    // It looks for this, and keeps what it found, in the current directory.
    std::fs::write(place.at("schemathesis.toml"), configuration).unwrap();
    let mut command = Command::new(program("MIRRORWATCH_SCHEMATHESIS"));
    command
        .arg("run")
        .arg(format!("http://{}/api/v1/openapi.json", sidecar.address))
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing"])
        .args(["--seed", "7"])
        .args(options)
        .current_dir(place.path());
    run(command, place.path()).expect(0).story()
}

#[test]
fn the_api_keeps_to_its_description() {
    let reading = ["--include-method", "GET", "--max-examples", "50"];
    // A stream that stays open; tests of the page and of the server read it.
    let but_the_stream = ["--exclude-path", "/api/v1/events"];
    let told = told(&[&reading[..], &but_the_stream].concat(), "");
    assert!(told.contains("Tested: 9"), "{told}");
}

#[test]
fn reviews_are_taken_as_described() {
    // Of a run that there is, or nothing would be written.
    let run = "[parameters]\nrun = \"resnet-7\"\n";
    let told = told(&["--include-method", "POST", "--max-examples", "50"], run);
    assert!(told.contains("Tested: 1"), "{told}");
}
