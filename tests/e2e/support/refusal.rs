//! How a program says no: one clear sentence, and exit code 2.

use std::path::Path;
use std::process::Command;

use super::process::run;

/// Runs a command that must refuse, and checks how it does: exit code 2, nothing on standard output,
/// and on standard error the one line `error: …` that holds all of `parts`, in a lower-case sentence
/// without a full stop.
#[track_caller]
pub fn assert_refused(mut command: Command, directory: &Path, parts: &[&str]) {
    // A person who sees a backtrace learns nothing; it must not come even when asked for.
    command.env("RUST_BACKTRACE", "1");
    let finished = run(command, directory);
    let story = finished.story();
    let lines: Vec<&str> = finished.stderr.lines().collect();
    let [line] = lines[..] else {
        panic!("not one line on stderr: {story}");
    };
    let sentence = line
        .strip_prefix("error: ")
        .unwrap_or_else(|| panic!("not an error: {story}"));
    assert_eq!(finished.code, Some(2), "exit code of {story}");
    assert_eq!(finished.stdout, "", "{story}");
    assert!(
        !sentence.starts_with(char::is_uppercase),
        "upper case: {sentence}"
    );
    assert!(!sentence.ends_with('.'), "full stop: {sentence}");
    for part in parts {
        assert!(sentence.contains(part), "`{part}` is not in: {sentence}");
    }
}
