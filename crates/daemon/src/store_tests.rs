use super::*;
use std::io::Cursor;

fn state() -> RunState {
    let estimator = Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    };
    let mut state = RunState::new("abc", &[estimator], 3, 2);
    state.evidence.checkpoints = 2;
    state.evidence.channels[0].train = vec![1.0, f32::MIN_POSITIVE, -3.5];
    state.evidence.flagged_epoch.note([1].into_iter(), 700_000);
    state.evidence.last_margin = Halves::of(&[1e-45, -0.5, 0.0]);
    state.evidence.note_history(&[1.0, 0.5, 0.001], 3, 40);
    state.evidence.note_history(&[1.0, 0.4, 0.002], 7, 90);
    state
}

/// The files of the history beside a state.
fn columns(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(history_of(path)).unwrap() {
        names.push(entry.unwrap().file_name().into_string().unwrap());
    }
    names.sort();
    names
}

#[test]
fn a_state_survives_a_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    assert!(RunState::load(&path).unwrap().is_none());
    state().save(&path).unwrap();
    let back = RunState::load(&path).unwrap().unwrap();
    assert_eq!(back, state());
    for sample in 0..3 {
        assert_eq!(
            back.evidence.history.of(sample),
            state().evidence.history.of(sample)
        );
    }
}

#[test]
fn any_flipped_byte_and_any_truncation_is_refused() {
    let state = state();
    let mut bytes = Vec::new();
    let header = state.header(None).unwrap();
    state.write(&header, Writer::new(&mut bytes)).unwrap();
    let read = |bytes: &[u8]| RunState::read(Cursor::new(bytes), Path::new(""));
    assert_eq!(read(&bytes).unwrap(), state);
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x10;
        assert!(read(&flipped).is_err(), "byte {position}");
        assert!(read(&bytes[..position]).is_err());
    }
}

/// What a header says may be nonsense in a file that verifies, too: nothing is allocated for it.
#[test]
fn a_header_that_announces_more_than_there_is_is_refused() {
    let state = state();
    let header = String::from_utf8(state.header(None).unwrap()).unwrap();
    for many in ["9000000000000000000", "4"] {
        let header = header.replacen("\"train\":3", &format!("\"train\":{many}"), 1);
        let mut bytes = Vec::new();
        let file = Writer::new(&mut bytes);
        state.write(header.as_bytes(), file).unwrap();
        let refused = RunState::read(Cursor::new(bytes), Path::new("")).unwrap_err();
        assert_eq!(refused, "it is shorter than it says");
    }
}

/// The table above, by the length of the file: 30 bytes a training sample and 8 a probe sample with one estimator.
#[test]
fn a_sample_takes_at_most_thirty_two_bytes() {
    let length = |train, probe| {
        let estimator = Estimator {
            direction: "finetune".to_string(),
            score: "after".to_string(),
        };
        let state = RunState::new("", &[estimator], train, probe);
        let mut bytes = Vec::new();
        // The same header for all, whose length depends on the digits of the sizes.
        state.write(b"", Writer::new(&mut bytes)).unwrap();
        bytes.len()
    };
    let none = length(0, 0);
    assert_eq!(length(1000, 0) - none, 30 * 1000);
    assert_eq!(length(1000, 100) - length(1000, 0), 8 * 100);
}

/// Whoever is killed between a history and its state, or between a state and the removal of what it no longer needs,
/// finds a state with all of its own history.
#[test]
fn a_state_has_its_history_whenever_its_writer_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let mut state = state();
    for epoch in 8..8 + 80 {
        state.save(&path).unwrap();
        let before = RunState::load(&path).unwrap().unwrap();
        let known = columns(&path);
        assert_eq!(known.len(), state.evidence.history.columns().len());
        state
            .evidence
            .note_history(&[1.0, 0.4, 1.0 / epoch as f64], epoch, 90);
        // As far as saving has come when it is killed before the state is there.
        state.evidence.history.save(&history_of(&path)).unwrap();
        let killed = RunState::load(&path).unwrap().unwrap();
        assert_eq!(killed, before);
        let points = killed.evidence.history.of(2);
        assert_eq!(points.len(), known.len(), "epoch {epoch}");
        assert_eq!(points, before.evidence.history.of(2));
    }
}

#[test]
fn an_unusable_state_is_kept_aside_with_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    state().save(&path).unwrap();
    let history = columns(&path);
    std::fs::write(&path, b"junk").unwrap();
    let message = RunState::load(&path).unwrap_err().to_string();
    assert!(message.contains("state.bin"), "{message}");
    let aside = set_aside(&path).unwrap();
    assert_eq!(std::fs::read(&aside).unwrap(), b"junk");
    assert!(!path.exists() && !history_of(&path).exists());
    // Whoever moves both back has both.
    let beside = dir.path().join("state.unused-1.history");
    std::fs::rename(beside, history_of(&path)).unwrap();
    assert_eq!(columns(&path), history);
}

#[test]
fn what_killed_writers_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    state().save(&path).unwrap();
    // As `write_atomic` names them; no process has this number.
    let left = [dir.path(), &history_of(&path)].map(|d| d.join(".state.bin.4294967295-7.tmp"));
    for file in &left {
        std::fs::write(file, "hal").unwrap();
    }
    state().save(&path).unwrap();
    if Path::new("/proc/self").exists() {
        assert!(left.iter().all(|file| !file.exists()));
    }
    assert_eq!(RunState::load(&path).unwrap(), Some(state()));
}
