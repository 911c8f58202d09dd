//! State files that verify and say nonsense: of another version, say, or made by hand.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn state() -> RunState {
    let estimator = Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    };
    let mut state = RunState::new("abc", &[estimator], 5, 2);
    state.evidence.checkpoints = 2;
    state.evidence.flagged_epoch.note([1].into_iter(), 700_000);
    state.evidence.note_history(&[0.5; 5], 3, 40);
    state.last = Some(crate::summary::example("r"));
    state.ledger.push(Entry {
        key: Key {
            run: "r".into(),
            epoch: 3,
            step: 40,
            sha256: "ab".repeat(32),
        },
        instance: "7f".into(),
        sequence: 1,
        outcome: Outcome::Failed("load".into(), "another architecture".into()),
    });
    state
}

/// A state on disk: its ledger, its header, and what is between the magic and the digest.
struct Sealed {
    beside: tempfile::TempDir,
    header: Vec<u8>,
    content: Vec<u8>,
}

impl Sealed {
    fn new() -> Self {
        let (beside, state) = (tempfile::tempdir().unwrap(), state());
        let ledger = state.ledger.save(beside.path()).unwrap();
        let header = state.header(ledger.as_ref()).unwrap();
        let mut bytes = Vec::new();
        state.write(&header, Writer::new(&mut bytes)).unwrap();
        Self {
            beside,
            header,
            content: bytes[MAGIC.len()..bytes.len() - 32].to_vec(),
        }
    }

    /// Reads a file of this content, with the digest that it should have, and asks what a daemon asks of it.
    fn tried(&self, content: &[u8]) -> Result<RunState, String> {
        let mut bytes = Vec::new();
        let mut file = Writer::new(&mut bytes);
        file.write_all(MAGIC).unwrap();
        file.write_all(content).unwrap();
        file.finish().unwrap();
        let state = RunState::read(Cursor::new(bytes), self.beside.path())?;
        let evidence = &state.evidence;
        for sample in 0..evidence.mean_loss.len() + 1 {
            let _ = evidence.history.of(sample);
            let _ = evidence.fitted_epoch.get(sample);
            let _ = evidence.flagged_epoch.get(sample);
        }
        // Nothing in it is larger than the file.
        let samples = evidence.mean_loss.len();
        assert!(4 * samples <= content.len() && evidence.channels.len() <= content.len());
        Ok(state)
    }
}

fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        ..ProptestConfig::default()
    }
}

#[test]
fn every_cut_and_every_bit_of_a_sealed_file_is_a_state_or_an_error() {
    let sealed = Sealed::new();
    let whole = sealed.content.clone();
    assert_eq!(sealed.tried(&whole).unwrap(), state());
    for length in 0..whole.len() {
        assert!(sealed.tried(&whole[..length]).is_err(), "{length}");
    }
    let mut states = 0;
    for bit in 0..8 * whole.len() {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        states += usize::from(sealed.tried(&flipped).is_ok());
    }
    println!(
        "{} cuts, {} flips, {states} of them other states",
        whole.len(),
        8 * whole.len()
    );
    // Five samples of thirty bytes, and two of eight, have no shape to be wrong in.
    assert!(
        states >= 8 * (5 * 30 + 2 * 8) && states < 8 * whole.len(),
        "{states}"
    );
}

#[test]
fn edited_states_are_states_or_errors() {
    let it = Sealed::new();
    let edits = prop::collection::vec(
        (
            any::<prop::sample::Index>(),
            0usize..8,
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..8),
                any::<u64>().prop_map(|number| number.to_string().into_bytes()),
                any::<u64>().prop_map(|number| number.to_le_bytes().to_vec()),
            ],
        ),
        1..4,
    );
    proptest!(cases(), |(edits in edits)| {
        let mut edited = it.content.clone();
        for (at, length, new) in edits {
            let at = at.index(edited.len() + 1);
            let end = edited.len().min(at + length);
            edited.splice(at..end, new);
        }
        // The length of the header as it is now, so that edits of it are looked at.
        let header = edited.len().saturating_sub(8 + 5 * 30 + 2 * 8) as u64;
        let sealed = [&header.to_le_bytes()[..], edited.get(8..).unwrap_or_default()].concat();
        let _ = (it.tried(&edited), it.tried(&sealed));
    });
}

#[test]
fn numbers_of_a_header_may_be_anything() {
    let it = Sealed::new();
    let header = String::from_utf8(it.header.clone()).unwrap();
    let body = &it.content[8 + header.len()..];
    let numbers = (any::<u64>(), any::<u64>(), 0u32..64, any::<bool>());
    proptest!(cases(), |((train, probe, shift, zero) in numbers)| {
        let (train, probe) = (train >> shift, if zero { 0 } else { probe >> shift });
        let header = header
            .replacen("\"train\":5", &format!("\"train\":{train}"), 1)
            .replacen("\"probe\":2", &format!("\"probe\":{probe}"), 1);
        let content = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), body].concat();
        prop_assert!(it.tried(&content).is_err() || (train, probe) == (5, 2) || 30 * train + 8 * probe <= body.len() as u64);
    });
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_bytes_are_a_log_or_end_where_it_is_wrong(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
    ) {
        let log = crate::audit::log::verified(&lines.join(&b'\n'));
        prop_assert!(log.reviews.is_empty());
    }
}
