//! The dashboards are what Grafana's own types and its own SDK take them for.

use std::process::Command;

use crate::grafana::grafana;
use crate::support::process::{program, run};

/// What a check of `grafana/check` says.
#[track_caller]
fn told(interpreter: &str, script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(program(interpreter));
    command.arg(grafana().join("check").join(script));
    run(command, directory.path()).expect(0).stdout
}

#[test]
fn the_types_of_the_schema_find_no_fault() {
    let told = told("MIRRORWATCH_DASHBOARDS_NODE", "check.mjs");
    assert!(told.starts_with("no complaint"), "{told}");
    assert!(told.contains(": 2 dashboards, "), "{told}");
}

#[test]
fn nothing_is_lost_on_a_round_trip_through_the_sdk() {
    let told = told("MIRRORWATCH_DASHBOARDS_PYTHON", "roundtrip.py");
    let fine = told.lines().filter(|line| line.contains(" 0 problems"));
    assert_eq!(fine.count(), 2, "{told}");
}
