use std::fs;
use std::path::PathBuf;

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

/// The ledgers beside a state.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(history_of(path)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_ledger = |path: &PathBuf| is_name(&path.file_name().unwrap().to_string_lossy());
    paths.filter(is_ledger).collect()
}

/// The only one.
fn file(path: &Path) -> PathBuf {
    let mut found = files(path);
    assert_eq!(found.len(), 1, "{found:?}");
    found.pop().unwrap()
}

fn load(path: &Path) -> RunState {
    RunState::load(path).unwrap().unwrap()
}

/// What a scan adds to the ledger and to the state does not depend on how many there were.
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
        // What is longer than the state says is left alone, and goes when the state names another.
        assert_eq!(file(&path) == name, length == ledger.len());
        let _ = fs::remove_file(file(&path));
    }
    println!("{} lengths", more.len() - ledger.len() + 1);
}

/// Two sidecars on one state, where the file system knows no locks: whoever writes last is whole, wherever the other one is
/// killed.
#[test]
fn two_that_write_to_one_state_take_nothing_from_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let mut first = state();
    scan(&mut first, 1);
    first.save(&path).unwrap();
    let mut second = load(&path);
    for sequence in 2..6 {
        scan(&mut first, sequence);
        first.save(&path).unwrap();
        assert_eq!(load(&path), first);
        scan(&mut second, 10 * sequence);
        // It is killed here, and not the next time.
        second.ledger.save(&history_of(&path)).unwrap();
        assert_eq!(load(&path), first);
        second.save(&path).unwrap();
        assert_eq!(load(&path), second);
    }
}

/// A disk that is full, say, in the middle of it: the same process goes on.
#[test]
fn what_could_not_be_written_is_written_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let mut state = state();
    scan(&mut state, 1);
    state.save(&path).unwrap();
    let before = state.clone();
    // Half of a line has come to the disk.
    scan(&mut state, 2);
    let name = file(&path);
    let whole = fs::read(&name).unwrap();
    fs::write(&name, [&whole[..], b"{\"entry\":{"].concat()).unwrap();
    assert_eq!(load(&path), before);
    state.save(&path).unwrap();
    assert_eq!(load(&path), state);
    // The lines, but not the state.
    scan(&mut state, 3);
    let moved = dir.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    state.save(&path).unwrap_err();
    fs::remove_dir(&path).unwrap();
    fs::rename(&moved, &path).unwrap();
    assert_eq!(load(&path).ledger.scans().len(), 2);
    state.save(&path).unwrap();
    assert_eq!(load(&path), state);
    // Not even those.
    scan(&mut state, 4);
    let (beside, away) = (history_of(&path), dir.path().join("away"));
    fs::rename(&beside, &away).unwrap();
    fs::write(&beside, "a file where a directory should be").unwrap();
    state.save(&path).unwrap_err();
    fs::remove_file(&beside).unwrap();
    fs::rename(&away, &beside).unwrap();
    state.save(&path).unwrap();
    assert_eq!(load(&path), state);
    assert_eq!(state.ledger.scans().len(), 4);
    file(&path);
}

#[test]
fn what_was_killed_while_it_set_a_state_aside_is_set_aside_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let mut state = state();
    scan(&mut state, 1);
    state.save(&path).unwrap();
    let aside = dir.path().join("state.unused-1.history");
    fs::rename(history_of(&path), &aside).unwrap();
    RunState::load(&path).unwrap_err();
    let moved = set_aside(&path).unwrap();
    assert_eq!(moved, dir.path().join("state.unused-1"));
    fs::rename(&moved, &path).unwrap();
    fs::rename(&aside, history_of(&path)).unwrap();
    assert_eq!(load(&path), state);
    // The next one has a place of its own.
    fs::create_dir(&aside).unwrap();
    assert!(set_aside(&path).unwrap().ends_with("state.unused-2"));
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

/// As `unite` does it, which goes on from the state of a shard: that one's ledger is not touched.
#[test]
fn a_state_that_is_saved_elsewhere_has_a_ledger_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("a/state.bin"), dir.path().join("state.bin"));
    fs::create_dir(dir.path().join("a")).unwrap();
    let mut state = state();
    scan(&mut state, 1);
    state.save(&here).unwrap();
    let (earlier, bytes) = (state.clone(), fs::read(file(&here)).unwrap());
    scan(&mut state, 2);
    state.save(&there).unwrap();
    assert_eq!(fs::read(file(&here)).unwrap(), bytes);
    assert_eq!((load(&here), load(&there)), (earlier, state.clone()));
    // Whatever begins alike has another name: none takes the place of one that a state still names.
    let again = state.clone();
    *again.ledger.written() = None;
    again.ledger.save(&history_of(&there)).unwrap();
    assert_eq!(files(&there).len(), 2);
    assert_eq!(load(&there), state);
    again.save(&there).unwrap();
    file(&there);
    assert_eq!(load(&there), state);
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
                    let name = saved.ledger.written().as_ref().unwrap().path.clone();
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
                    for file in files(&path) {
                        fs::remove_file(file).unwrap();
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
