//! Checkpoints that are done with, in 80 bytes each and in one piece.
//!
//! They stay as long as their run lives. As strings of their own, a few of them would come to lie between the large buffers of
//! each scan, and the allocator could never use such a place again for a buffer of that size: a heap grew so that hardly held
//! more than before.

use std::collections::HashMap;
use std::sync::Arc;

use mirrorwatch_checkpoint::Key;

use super::ledger::{Entry, Outcome};
use crate::digest::{bytes, hex};

#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    kept: Vec<Kept>,
    /// Words that come again and again, and their numbers: of runs, training processes, reasons.
    words: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    epoch: u64,
    step: u64,
    sequence: u64,
    sha256: Sum,
    run: u32,
    instance: u32,
    fate: Fate,
}

/// A digest as it is written: of 64 digits, or something else.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sum {
    Digest([u8; 32]),
    Word(u32),
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Scanned,
    Skipped(u32),
    Failed(u32, u32),
}

impl Entries {
    pub(super) fn push(&mut self, entry: &Entry) {
        let Key {
            run,
            epoch,
            step,
            sha256,
        } = &entry.key;
        let kept = Kept {
            epoch: *epoch,
            step: *step,
            sequence: entry.sequence,
            sha256: match digest(sha256) {
                Some(digest) => Sum::Digest(digest),
                None => Sum::Word(self.number(sha256)),
            },
            run: self.number(run),
            instance: self.number(&entry.instance),
            fate: match &entry.outcome {
                Outcome::Scanned => Fate::Scanned,
                Outcome::Skipped(reason) => Fate::Skipped(self.number(reason)),
                Outcome::Failed(stage, what) => Fate::Failed(self.number(stage), self.number(what)),
            },
        };
        make_room(&mut self.kept);
        self.kept.push(kept);
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + '_ {
        self.from(0)
    }

    /// Those after so many, and no work for these.
    pub(super) fn from(
        &self,
        first: usize,
    ) -> impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + '_ {
        let kept = self.kept.get(first..).unwrap_or_default();
        kept.iter().map(|kept| self.entry(kept))
    }

    /// Those of one moment and of these weights, whatever run they are of, the newest first.
    pub(super) fn of_moment(
        &self,
        (epoch, step): (u64, u64),
        sha256: &str,
    ) -> impl Iterator<Item = Entry> + '_ {
        let wanted = self.sum(sha256).map(|sum| (epoch, step, sum));
        let kept = self.kept.iter().rev();
        let kept = kept.filter(move |k| Some((k.epoch, k.step, k.sha256)) == wanted);
        kept.map(|kept| self.entry(kept))
    }

    /// How many were left out for this reason.
    pub(super) fn left_out(&self, reason: &str) -> usize {
        let Some(&reason) = self.numbers.get(reason) else {
            return 0;
        };
        let is_it = |kept: &&Kept| matches!(kept.fate, Fate::Skipped(it) if it == reason);
        self.kept.iter().filter(is_it).count()
    }

    /// The last one that was scanned.
    pub(super) fn last_scanned(&self) -> Option<Entry> {
        let mut kept = self.kept.iter().rev();
        let last = kept.find(|kept| matches!(kept.fate, Fate::Scanned))?;
        Some(self.entry(last))
    }

    pub(super) fn knows(&self, key: &Key) -> bool {
        let (Some(sha256), Some(&run)) = (self.sum(&key.sha256), self.numbers.get(&*key.run))
        else {
            return false;
        };
        let wanted = (run, key.epoch, key.step, sha256);
        let mut keys = self.kept.iter().map(|k| (k.run, k.epoch, k.step, k.sha256));
        keys.any(|key| key == wanted)
    }

    /// A digest as it is kept; none of one that is of no entry.
    fn sum(&self, sha256: &str) -> Option<Sum> {
        match digest(sha256) {
            Some(digest) => Some(Sum::Digest(digest)),
            None => self.numbers.get(sha256).copied().map(Sum::Word),
        }
    }

    fn entry(&self, kept: &Kept) -> Entry {
        Entry {
            key: Key {
                run: self.word(kept.run),
                epoch: kept.epoch,
                step: kept.step,
                sha256: match kept.sha256 {
                    Sum::Digest(digest) => hex(&digest),
                    Sum::Word(number) => self.word(number),
                },
            },
            instance: self.word(kept.instance),
            sequence: kept.sequence,
            outcome: match kept.fate {
                Fate::Scanned => Outcome::Scanned,
                Fate::Skipped(reason) => Outcome::Skipped(self.word(reason)),
                Fate::Failed(stage, what) => Outcome::Failed(self.word(stage), self.word(what)),
            },
        }
    }

    fn number(&mut self, word: &str) -> u32 {
        if let Some(&number) = self.numbers.get(word) {
            return number;
        }
        let number = self.words.len() as u32;
        let word: Arc<str> = word.into();
        self.words.push(word.clone());
        self.numbers.insert(word, number);
        number
    }

    fn word(&self, number: u32) -> String {
        self.words[number as usize].to_string()
    }
}

/// Makes room for another, and for an eighth more: what only grows and stays would have room for as much again.
pub(super) fn make_room<V>(values: &mut Vec<V>) {
    if values.len() == values.capacity() {
        values.reserve_exact(values.len() / 8 + 16);
    }
}

/// Of a text that is exactly how a digest is written, so that it is written so again.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digest = bytes(text)?;
    (hex(&digest) == text).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sha256() -> impl Strategy<Value = String> {
        let known = ["ab", "AB", "cd"].map(|two| Just(two.repeat(32)));
        prop_oneof![
            4 => proptest::strategy::Union::new(known),
            1 => "[0-9a-f]{64}",
            1 => "[0-9a-fA-F]{64}",
            2 => "[0-9a-f]{0,2}",
            1 => ".{0,4}",
        ]
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let outcome = prop_oneof![
            Just(Outcome::Scanned),
            "[ab]".prop_map(Outcome::Skipped),
            (".{0,2}", ".{0,9}").prop_map(|(stage, what)| Outcome::Failed(stage, what)),
        ];
        let key = ("[ab]", 0u64..2, 0u64..2, sha256());
        (key, "[0-9a-f]{0,2}", any::<u64>(), outcome).prop_map(
            |((run, epoch, step, sha256), instance, sequence, outcome)| Entry {
                key: Key {
                    run,
                    epoch,
                    step,
                    sha256,
                },
                instance,
                sequence,
                outcome,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out(all in prop::collection::vec(entry(), 0..20), other in entry()) {
            let mut entries = Entries::default();
            for entry in &all {
                entries.push(entry);
                prop_assert!(entries.knows(&entry.key));
            }
            prop_assert_eq!(entries.knows(&other.key), all.iter().any(|e| e.key == other.key));
            let Key { epoch, step, sha256, .. } = &other.key;
            let found: Vec<Entry> = entries.of_moment((*epoch, *step), sha256).collect();
            let is_of = |e: &&Entry| (&e.key.epoch, &e.key.step, &e.key.sha256) == (epoch, step, sha256);
            prop_assert_eq!(found, all.iter().rev().filter(is_of).cloned().collect::<Vec<_>>());
            let skipped = Outcome::Skipped("a".into());
            prop_assert_eq!(entries.left_out("a"), all.iter().filter(|e| e.outcome == skipped).count());
            let scanned = all.iter().rev().find(|e| e.outcome == Outcome::Scanned).cloned();
            prop_assert_eq!(entries.last_scanned(), scanned);
            for first in 0..all.len() + 2 {
                let rest = all.get(first..).unwrap_or_default().to_vec();
                prop_assert_eq!(entries.from(first).collect::<Vec<_>>(), rest);
            }
            prop_assert_eq!(entries.iter().collect::<Vec<_>>(), all.clone());
            prop_assert_eq!(entries.iter().next_back(), all.last().cloned());
            prop_assert_eq!(entries.len(), all.len());
        }
    }

    #[test]
    fn room_is_made_for_few_and_not_for_each() {
        let (mut values, mut grown) = (Vec::new(), 0);
        for value in 0..100_000 {
            let before = values.capacity();
            make_room(&mut values);
            values.push(value);
            grown += usize::from(values.capacity() != before);
        }
        assert!(
            values.capacity() <= 100_000 / 8 * 9 + 16 && grown < 100,
            "{grown}"
        );
    }

    #[test]
    fn an_entry_takes_eighty_bytes() {
        assert_eq!(size_of::<Kept>(), 80);
    }
}
