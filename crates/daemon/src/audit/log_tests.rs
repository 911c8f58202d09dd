use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{Verdict, example};
use super::*;

/// A log in a directory that does not exist yet.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs/r/reviews.jsonl");
    (directory, path)
}

fn noted(note: &str) -> Review {
    Review {
        note: Some(note.to_string()),
        ..example(3, Verdict::Confirmed)
    }
}

fn notes(log: &Log) -> Vec<&str> {
    let notes = log.reviews.iter().map(|review| review.note.as_deref());
    notes.map(Option::unwrap_or_default).collect()
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn what_is_written_is_read_and_each_line_names_the_one_before() {
    let (_directory, path) = place();
    assert_eq!(read(&path).unwrap(), Log::default());
    let first = append(&path, vec![noted("a"), noted("b")]).unwrap();
    let second = append(&path, vec![noted("c")]).unwrap();
    let log = read(&path).unwrap();
    assert_eq!(log.reviews, [first, second].concat());
    assert_eq!((log.torn, &log.problem), (false, &None));
    let sequences: Vec<u64> = log.reviews.iter().map(|r| r.sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    assert_eq!(log.reviews[0].previous, "");
    // As another program computes it: the bytes of a line, without its end.
    let text = String::from_utf8(bytes(&path)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let digest = Sha256::digest(lines[1].as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(log.reviews[2].previous, hex);
    assert!(log.reviews[0].time > 1.7e9);
}

#[test]
fn what_does_not_fit_is_told_by_its_line_and_nothing_is_written_after_it() {
    let (_directory, path) = place();
    append(&path, ["a", "b", "c", "d"].map(noted).to_vec()).unwrap();
    let good = String::from_utf8(bytes(&path)).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    for (changed, part) in [
        (
            good.replace("\"b\"", "\"x\""),
            "line 3 does not follow from line 2",
        ),
        (
            joined(&[lines[0], lines[2], lines[3]]),
            "line 2 does not follow from line 1",
        ),
        (
            joined(&lines[1..]),
            "line 1 was changed, or a line before it removed",
        ),
        (
            joined(&[lines[0], lines[0]]),
            "line 2 does not follow from line 1",
        ),
        (good.replace("\"ada\"", "ada"), "line 1 was changed: "),
        (
            good.replace("\"schema\":1", "\"schema\":7"),
            "line 1 has schema 7",
        ),
    ] {
        std::fs::write(&path, &changed).unwrap();
        let problem = read(&path).unwrap().problem.unwrap();
        assert!(problem.starts_with(part), "{problem}");
        assert!(problem.contains("; "), "{problem}");
        let refused = append(&path, vec![noted("e")]).unwrap_err().to_string();
        assert!(
            refused.contains("reviews.jsonl") && refused.contains(part),
            "{refused}"
        );
        assert_eq!(bytes(&path), changed.as_bytes());
    }
}

#[test]
fn writers_take_turns() {
    let (_directory, path) = place();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for number in 0..10 {
                    append(path, vec![noted(&format!("{writer}-{number}"))]).unwrap();
                }
            });
        }
    });
    let log = read(&path).unwrap();
    assert_eq!((log.reviews.len(), log.problem), (40, None));
}

fn any_note() -> impl Strategy<Value = String> {
    // What JSON has to escape, what is longer than a byte, and what looks like the end of a torn line.
    proptest::string::string_regex("([a-z\"\\\\\n\u{0}é€𝄞]| <torn>){0,12}").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Writes, crashes and writes again: nothing that was told to be written is lost.
    #[test]
    fn a_crash_costs_the_line_that_it_cut_off_and_nothing_else(
        rounds in proptest::collection::vec(
            (proptest::collection::vec(any_note(), 1..4), any::<prop::sample::Index>(), any::<bool>()),
            1..6,
        ),
        last in any_note(),
    ) {
        let (_directory, path) = place();
        let mut kept: Vec<String> = Vec::new();
        for (round, cut, crashes) in &rounds {
            append(&path, round.iter().map(|note| noted(note)).collect()).unwrap();
            kept.extend(round.iter().cloned());
            if *crashes {
                let whole = bytes(&path);
                let begin = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                // From the first byte of the last line to all but its end.
                let length = begin + cut.index(whole.len() - begin);
                std::fs::write(&path, &whole[..length]).unwrap();
                kept.pop();
                let log = read(&path).unwrap();
                prop_assert_eq!(log.torn, length > begin);
                prop_assert_eq!(notes(&log), kept.clone());
            }
        }
        let before = bytes(&path);
        append(&path, vec![noted(&last)]).unwrap();
        kept.push(last);
        prop_assert!(bytes(&path).starts_with(&before), "the file was rewritten");
        let log = read(&path).unwrap();
        prop_assert_eq!(&log.problem, &None);
        prop_assert!(!log.torn);
        prop_assert_eq!(notes(&log), kept);
    }

    /// A line that is not the last one cannot be changed unseen, nor can its end.
    #[test]
    fn any_flipped_byte_of_an_earlier_line_is_found(
        some in proptest::collection::vec(any_note(), 2..5),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let (_directory, path) = place();
        append(&path, some.iter().map(|note| noted(note)).collect()).unwrap();
        let mut changed = bytes(&path);
        let last = changed[..changed.len() - 1].iter().rposition(|b| *b == b'\n').unwrap();
        let at = at.index(last + 1);
        changed[at] ^= flip;
        prop_assert!(verified(&changed).problem.is_some(), "byte {at}");
    }
}
