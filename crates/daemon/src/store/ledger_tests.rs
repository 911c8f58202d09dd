use std::fs;

use mirrorwatch_influence::Estimator;
use proptest::prelude::*;

use super::super::{RunState, history_of, set_aside};
use super::*;
use crate::summary::example;

fn state() -> RunState {
    let estimator = Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    };
    RunState::new("abc", &[estimator], 3, 2)
}

fn entry(sequence: u64) -> Entry {
    Entry {
        key: Key {
            run: "r".into(),
            epoch: sequence,
            step: 10 * sequence,
            sha256: "ab".repeat(32),
        },
        instance: "7f".into(),
        sequence,
        outcome: Outcome::Skipped("superseded".into()),
    }
}

fn scan(state: &mut RunState, sequence: u64) {
    let mut summary = example("r");
    summary.epoch = sequence;
    let mut entry = entry(sequence);
    entry.outcome = Outcome::Scanned;
    state.push_scan(entry, summary);
}

/// The only ledger beside a state.
fn file(path: &Path) -> std::path::PathBuf {
    let mut found = Vec::new();
    for entry in fs::read_dir(history_of(path)).unwrap() {
        let path = entry.unwrap().path();
        if is_name(&path.file_name().unwrap().to_string_lossy()) {
            found.push(path);
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.pop().unwrap()
}

fn load(path: &Path) -> RunState {
    RunState::load(path).unwrap().unwrap()
}

/// What a scan adds, in memory, in the ledger and to the state, does not depend on how many there were.
#[test]
fn the_thousandth_scan_costs_what_the_second_did() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let mut state = state();
    let mut sizes = Vec::new();
    for sequence in 1..=1000 {
        scan(&mut state, sequence);
        if [1, 2, 999, 1000].contains(&sequence) {
            state.save(&path).unwrap();
            let whole = fs::metadata(&path).unwrap().len();
            sizes.push((fs::read(file(&path)).unwrap(), whole));
        }
    }
    let added = |before: usize, after: usize| {
        assert!(sizes[after].0.starts_with(&sizes[before].0));
        (sizes[after].0.len() - sizes[before].0.len()) as i64
    };
    let (second, thousandth) = (added(0, 1), added(2, 3));
    // The same line, but for more digits.
    assert!((thousandth - second).abs() < 20, "{second} {thousandth}");
    assert!(sizes[3].1.abs_diff(sizes[1].1) < 20, "{sizes:?}");
    let back = load(&path);
    assert_eq!(back, state);
    assert_eq!(back.ledger.scans().len(), 1000);
    // Line by line what anybody can read.
    let text = String::from_utf8(sizes[3].0.clone()).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("{\"scan\":{"));
    assert_eq!((lines.count(), text.lines().count()), (1000, 2000));
}

#[test]
fn whoever_is_killed_while_adding_finds_what_the_state_counts_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let mut state = state();
    scan(&mut state, 1);
    state.save(&path).unwrap();
    let before = state.clone();
    let (whole, ledger) = (fs::read(&path).unwrap(), fs::read(file(&path)).unwrap());
    state.ledger.push(entry(2));
    scan(&mut state, 3);
    state.save(&path).unwrap();
    let more = fs::read(file(&path)).unwrap();
    let name = file(&path);
    for length in ledger.len()..=more.len() {
        // The state is that of before, and of what is added so much has come to the disk.
        fs::write(&path, &whole).unwrap();
        fs::write(&name, &more[..length]).unwrap();
        let mut killed = load(&path);
        assert_eq!(killed, before);
        killed.ledger.push(entry(4));
        killed.save(&path).unwrap();
        assert_eq!(load(&path), killed);
        assert_eq!(killed.ledger.entries().len(), 2);
    }
}

#[test]
fn a_ledger_that_is_damaged_in_what_counts_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let mut state = state();
    state.ledger.push(entry(1));
    scan(&mut state, 2);
    state.save(&path).unwrap();
    let (name, bytes) = (file(&path), fs::read(file(&path)).unwrap());
    let refused = || RunState::load(&path).unwrap_err().to_string();
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x10;
        fs::write(&name, flipped).unwrap();
        assert!(refused().contains("it is damaged"), "byte {position}");
        fs::write(&name, &bytes[..position]).unwrap();
        assert!(refused().contains("it is damaged"), "{position} bytes");
    }
    fs::remove_file(&name).unwrap();
    assert!(refused().contains(&*name.file_name().unwrap().to_string_lossy()));
    // Set aside and moved back, all of it is there.
    fs::write(&name, &bytes).unwrap();
    let aside = set_aside(&path).unwrap();
    assert!(!history_of(&path).exists());
    let beside = dir.path().join("state.unused-1.history");
    fs::rename(beside, history_of(&path)).unwrap();
    fs::rename(aside, &path).unwrap();
    assert_eq!(load(&path), state);
}

#[test]
fn a_ledger_that_somebody_takes_away_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let mut state = state();
    for sequence in 1..4 {
        scan(&mut state, sequence);
        state.save(&path).unwrap();
        fs::remove_file(file(&path)).unwrap();
    }
    state.save(&path).unwrap();
    assert_eq!(load(&path), state);
    // One that is cut short, too.
    fs::write(file(&path), "{").unwrap();
    state.save(&path).unwrap();
    assert_eq!(load(&path), state);
}

/// As `unite` does it, which may find a state of an earlier time at its place.
#[test]
fn a_ledger_takes_no_others_place_before_its_state_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("a/state.bin"), dir.path().join("state.bin"));
    fs::create_dir(dir.path().join("a")).unwrap();
    let mut state = state();
    scan(&mut state, 1);
    state.save(&here).unwrap();
    state.save(&there).unwrap();
    let (earlier, whole) = (state.clone(), fs::read(&there).unwrap());
    let name = file(&there);
    let bytes = fs::read(&name).unwrap();
    state = load(&here);
    scan(&mut state, 2);
    state.save(&there).unwrap();
    assert_ne!(file(&there), name);
    // As if it had been killed before the state, and before it took the old ledger away.
    fs::write(&there, whole).unwrap();
    fs::write(name, bytes).unwrap();
    assert_eq!(load(&there), earlier);
    assert_eq!(load(&here), earlier);
}

#[test]
fn a_state_names_no_file_elsewhere() {
    for name in [
        "../ledger-0123456789abcdef.jsonl",
        "ledger-../../../abcdefg.jsonl",
        "ledger-0123456789abcde.jsonl",
        "epoch-1.bin",
        "",
    ] {
        let named = Named {
            name: name.to_string(),
            bytes: 0,
            sha256: String::new(),
        };
        let refused = Ledger::read(&named, Path::new("nowhere")).unwrap_err();
        assert_eq!(refused, "the name of its ledger is none");
    }
}

/// What may happen to a ledger between two scans.
#[derive(Debug, Clone)]
enum Step {
    Push,
    Scan,
    Save,
    /// The process is killed, having added so many bytes that no state counts.
    Killed(Vec<u8>),
    /// The process is killed after it has added lines, before the state.
    KilledBetween,
    Vanish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Push),
        3 => Just(Step::Scan),
        4 => Just(Step::Save),
        1 => prop::collection::vec(any::<u8>(), 0..600).prop_map(Step::Killed),
        1 => Just(Step::KilledBetween),
        1 => Just(Step::Vanish),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever happens, what is read is what was saved last.
    #[test]
    fn what_was_saved_is_there(steps in prop::collection::vec(step(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.bin");
        let (mut state, mut saved) = (state(), None);
        for (number, step) in steps.into_iter().enumerate() {
            let number = number as u64 + 1;
            match step {
                Step::Push => state.ledger.push(entry(number)),
                Step::Scan => scan(&mut state, number),
                Step::Save => {
                    state.save(&path).unwrap();
                    saved = Some(state.clone());
                }
                Step::Killed(junk) => {
                    let Some(saved) = saved.as_ref().filter(|s: &&RunState| !s.ledger.is_empty()) else {
                        continue;
                    };
                    let name = file(&path);
                    let bytes = [fs::read(&name).unwrap(), junk].concat();
                    fs::write(name, bytes).unwrap();
                    state = load(&path);
                    prop_assert_eq!(&state, saved);
                }
                Step::KilledBetween => {
                    let Some(saved) = &saved else { continue };
                    state.ledger.save(&history_of(&path)).unwrap();
                    state = load(&path);
                    prop_assert_eq!(&state, saved);
                }
                // While the process lives, which knows what was in it, and before anybody else asks.
                Step::Vanish => if saved.as_ref().is_some_and(|s| !s.ledger.is_empty()) {
                    for entry in fs::read_dir(history_of(&path)).unwrap() {
                        let path = entry.unwrap().path();
                        if is_name(&path.file_name().unwrap().to_string_lossy()) {
                            fs::remove_file(path).unwrap();
                        }
                    }
                    state.save(&path).unwrap();
                    saved = Some(state.clone());
                }
            }
        }
        let read = RunState::load(&path).unwrap();
        prop_assert_eq!(read, saved);
    }
}
