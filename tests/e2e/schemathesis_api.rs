//! The JSON API is what its description says, whatever is asked of it.

use std::process::Command;

use crate::support::place::Place;
use crate::support::process::{program, run};

#[test]
fn the_api_keeps_to_its_description() {
    let place = Place::new();
    let mut trainer = place.trainer("resnet-7");
    trainer.epoch();
    let mut sidecar = place.watch("state").start();
    sidecar.wait_for_scans(1);
    let mut command = Command::new(program("MIRRORWATCH_SCHEMATHESIS"));
    command
        .arg("run")
        .arg(format!("http://{}/api/v1/openapi.json", sidecar.address))
        // A stream that stays open; tests of the page and of the server read it.
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "50", "--seed", "7"])
        // It keeps what it found in the current directory.
        .current_dir(place.path());
    let told = run(command, place.path()).expect(0).story();
    // All but the stream.
    assert!(told.contains("Tested: 9"), "{told}");
}
