//! Both programs, as a user runs them, and what it took to get there.

use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../testing.rs"]
mod testing;

#[test]
fn wrong_labels_are_found_in_a_project_of_the_guide() {
    let place = tempfile::tempdir().expect("a directory");
    let mut train = Command::new(env!("CARGO_BIN_EXE_existing-watched-train"));
    train.arg("artifacts").current_dir(place.path());
    let sidecar = env!("CARGO_BIN_EXE_existing-watched-sidecar");
    let found = testing::watched(train, sidecar, &[], &place.path().join("runs"), "clothes");
    let wrong: Vec<bool> = (0..3000).map(|index| index % 5 == 0).collect();
    let (precision, recall) = testing::judge(&found, &wrong);
    assert!(precision > 0.8 && recall > 0.5, "{precision} {recall}");
}

/// A file of this project, and of the one that it was made from.
fn both(name: &str) -> (String, Option<String>) {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let there = here.join("../existing");
    let read = |directory: &Path| std::fs::read_to_string(directory.join(name)).ok();
    (read(&here).expect("it is there"), read(&there))
}

/// Lines that `after` has and `before` has not, where nothing else may differ.
fn added(before: &str, after: &str) -> Vec<String> {
    let mut before = before.lines().peekable();
    let mut added = Vec::new();
    for line in after.lines() {
        if before.next_if_eq(&line).is_none() {
            added.push(line.trim().to_string());
        }
    }
    assert_eq!(before.next(), None, "a line was changed or removed");
    added
}

#[test]
fn three_lines_and_a_sidecar_of_forty_are_all_it_takes() {
    for name in [
        "src/lib.rs",
        "src/data.rs",
        "src/model.rs",
        "src/bin/train.rs",
    ] {
        let (after, before) = both(name);
        assert_eq!(Some(after), before, "{name}");
    }
    let (after, before) = both("src/training.rs");
    let added = added(&before.expect("it is there"), &after);
    println!("{added:#?}");
    assert_eq!(added.len(), 3);
    let (sidecar, before) = both("src/bin/sidecar.rs");
    assert_eq!(before, None);
    println!("{} lines of sidecar", sidecar.lines().count());
    assert!(sidecar.lines().count() <= 40);
    assert!(sidecar.lines().all(|line| line.len() <= 100));
}

/// The diff that the README shows, made by `git diff --no-index`.
#[test]
fn the_diff_is_that_of_the_two_projects() {
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let diff = Command::new("git")
        .args(["diff", "--no-index", "--no-color", "--no-ext-diff"])
        .args(["existing/src", "existing-watched/src"])
        .current_dir(&examples)
        .output()
        .expect("git starts");
    let diff = String::from_utf8_lossy(&diff.stdout).into_owned();
    // Hashes of files say nothing to a reader.
    let lines = diff.lines().filter(|line| !line.starts_with("index "));
    let diff: String = lines.map(|line| format!("{line}\n")).collect();
    let path = examples.join("existing/add-mirrorwatch.diff");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == diff,
        "write this to examples/existing/add-mirrorwatch.diff:\n{diff}"
    );
}
