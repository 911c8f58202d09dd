//! `watch` in a terminal: a live view below the log; elsewhere, the log alone.

use std::fs;
use std::process::Command;

use crate::support::place::Place;
use crate::support::process::{Running, run};
use crate::support::wait::eventually;

/// What a terminal got.
fn seen_in_a_terminal(place: &Place, more: &[&str]) -> String {
    let command = in_a_terminal(place, more);
    run(command, place.path()).expect(0);
    typescript(place)
}

fn typescript(place: &Place) -> String {
    let seen = fs::read(place.at("typescript")).unwrap_or_default();
    String::from_utf8_lossy(&seen).into_owned()
}

fn in_a_terminal(place: &Place, more: &[&str]) -> Command {
    let watch = place.watch("state").with(&["--until-finished"]).with(more);
    let words: Vec<String> = watch.words().iter().map(|word| quoted(word)).collect();
    // util-linux's script(1) gives it a terminal.
    let mut command = Command::new("script");
    command
        .env("TERM", "xterm")
        .args(["--quiet", "--return", "--flush", "--command"])
        .arg(words.join(" "))
        .arg(place.at("typescript"));
    command
}

/// A word as the shell takes it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[test]
fn a_terminal_shows_each_run_and_its_count() {
    let place = Place::new();
    place.finished_run("resnet-7", 2);
    let seen = seen_in_a_terminal(&place, &["--linger-seconds", "2"]);
    assert!(seen.contains("scanning resnet-7/epoch 2"), "{seen}");
    let last = seen.lines().rfind(|line| line.contains("resnet-7"));
    let last = last.unwrap_or_else(|| panic!("no line of the run: {seen}"));
    for part in ["epoch 2:", "suspects, at least", "% wrong", "finished"] {
        assert!(last.contains(part), "{part}: {seen}");
    }
    // The log is there, too, and what it said last is above the view.
    assert!(seen.contains("all runs have finished"), "{seen}");
}

#[test]
fn after_a_crash_the_log_goes_on_below_what_the_dead_process_drew() {
    let place = Place::new();
    let mut trainer = place.trainer("resnet-7");
    trainer.epoch();
    let watch = in_a_terminal(&place, &["--linger-seconds", "0"]);
    let mut watch = Running::start(watch, place.path());
    let seen = |text: &str| {
        eventually(text, || match typescript(&place) {
            seen if seen.contains(text) => Ok(seen),
            seen => Err(seen),
        })
    };
    seen("epoch 1:");
    let scanner = fs::read_to_string(place.at("state/daemon.pid")).unwrap();
    let killed = Command::new("kill").args(["-KILL", &scanner]).status();
    assert!(killed.unwrap().success());
    let text = "the scanning process ended";
    let said = seen(text);
    let line = said.lines().rfind(|line| line.contains(text)).unwrap();
    assert!(!line.contains("resnet-7"), "{line}");
    trainer.finish();
    watch.finish().expect(0);
    // The next one draws as well.
    let last = typescript(&place);
    let (_, after) = last.split_once(text).unwrap();
    assert!(after.contains("resnet-7"), "{last}");
}

#[test]
fn a_log_for_machines_has_no_view() {
    let place = Place::new();
    place.finished_run("resnet-7", 1);
    let seen = seen_in_a_terminal(&place, &["--log.format", "json"]);
    assert!(!seen.contains('\u{1b}'), "{seen}");
    for line in seen.lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert!(seen.contains("\"run\":\"resnet-7\""), "{seen}");
}

#[test]
fn a_log_in_a_file_has_no_view() {
    let place = Place::new();
    place.finished_run("resnet-7", 1);
    let finished = place.watch("state").with(&["--until-finished"]).run();
    assert!(!finished.stderr.contains('\u{1b}'), "{}", finished.story());
    assert!(
        finished.stderr.contains("run=\"resnet-7\""),
        "{}",
        finished.story()
    );
}
