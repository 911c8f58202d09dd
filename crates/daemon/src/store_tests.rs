use super::*;

fn state() -> RunState {
    let estimator = Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    };
    let mut state = RunState::new("abc", &[estimator], 3, 2);
    state.evidence.checkpoints = 2;
    state.evidence.channels[0].train = vec![1.0, f32::MIN_POSITIVE, -3.5];
    state.evidence.flagged_epoch[1] = 7;
    state.evidence.note_history(&[1.0, 0.5, 0.001], 3, 40);
    state.evidence.note_history(&[1.0, 0.4, 0.002], 7, 90);
    state
}

#[test]
fn a_state_survives_a_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    assert!(RunState::load(&path).unwrap().is_none());
    state().save(&path).unwrap();
    assert_eq!(RunState::load(&path).unwrap(), Some(state()));
}

#[test]
fn any_flipped_byte_and_any_truncation_is_refused() {
    let bytes = state().to_bytes().unwrap();
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x10;
        assert!(RunState::from_bytes(&flipped).is_err(), "byte {position}");
        assert!(RunState::from_bytes(&bytes[..position]).is_err());
    }
}

#[test]
fn an_unusable_state_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    std::fs::write(&path, b"junk").unwrap();
    let message = RunState::load(&path).unwrap_err().to_string();
    assert!(message.contains("state.bin"), "{message}");
    let aside = set_aside(&path).unwrap();
    assert_eq!(std::fs::read(aside).unwrap(), b"junk");
    assert!(!path.exists());
}
