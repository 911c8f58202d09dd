//! Counts by name that shards add up: of a source, of a pair of classes.

use std::collections::BTreeMap;

use mirrorwatch_stats::shards::{Exchange, ShardError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the words of all shards come to by `add`, in their order.
///
/// # Errors
///
/// Parts that cannot be exchanged, or do not belong together, and whatever `add` refuses.
pub(crate) fn added<C: Serialize + DeserializeOwned>(
    exchange: &dyn Exchange,
    what: &'static str,
    own: C,
    add: &dyn Fn(Vec<C>) -> Result<C, ShardError>,
) -> Result<C, ShardError> {
    let shard = exchange.shard();
    if shard.count() == 1 {
        return Ok(own);
    }
    let failed = |message: String| ShardError::Exchange {
        what: what.to_string(),
        message,
    };
    let written = |words: &C| {
        serde_json::to_vec(&(shard.run(), words)).map_err(|error| failed(error.to_string()))
    };
    let read = |whose: String, bytes: &[u8]| -> Result<C, ShardError> {
        let (run, words): (u64, C) = serde_json::from_slice(bytes)
            .map_err(|error| failed(format!("those of {whose} are damaged: {error}")))?;
        match run == shard.run() {
            true => Ok(words),
            false => Err(ShardError::Run {
                part: format!("the {what} of {whose}"),
                found: run,
                wanted: shard.run(),
            }),
        }
    };
    let merge = |parts: &[Vec<u8>]| {
        let mut words = Vec::with_capacity(parts.len());
        for (index, bytes) in parts.iter().enumerate() {
            words.push(read(format!("shard {index}"), bytes)?);
        }
        written(&add(words)?)
    };
    let bytes = exchange.reduce(what, written(&own)?, &merge)?;
    read("all shards".to_string(), &bytes)
}

/// Names, classes and counts, as they travel.
type Listed = Vec<(String, usize, [usize; 3])>;

/// The number of a name, a class, and counts.
type Numbered = (usize, usize, [usize; 3]);

/// Up to three counts for each name and class.
///
/// In the order of names: it is the same whoever counts, and in whatever order samples come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ByName {
    counts: BTreeMap<(String, usize), [usize; 3]>,
}

impl ByName {
    /// Adds to the counts of a name and a class.
    pub fn add(&mut self, name: &str, class: usize, counts: [usize; 3]) {
        let sums = self.counts.entry((name.to_string(), class)).or_default();
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }

    /// The counts of all shards.
    ///
    /// # Errors
    ///
    /// As [`added`].
    pub fn of_all(self, exchange: &dyn Exchange, what: &'static str) -> Result<Self, ShardError> {
        if exchange.shard().count() == 1 {
            return Ok(self);
        }
        let sum = |all: Vec<Listed>| {
            let mut sums = Self::default();
            sums.add_all(all.into_iter().flatten());
            Ok(sums.listed())
        };
        let mut sums = Self::default();
        sums.add_all(added(exchange, what, self.listed(), &sum)?);
        Ok(sums)
    }

    fn listed(&self) -> Listed {
        let own = self
            .iter()
            .map(|(name, class, counts)| (name.to_string(), class, counts));
        own.collect()
    }

    fn add_all(&mut self, listed: impl IntoIterator<Item = (String, usize, [usize; 3])>) {
        for (name, class, counts) in listed {
            self.add(&name, class, counts);
        }
    }

    /// Name, class and counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize, [usize; 3])> {
        self.counts
            .iter()
            .map(|((name, class), counts)| (name.as_str(), *class, *counts))
    }

    /// The same with names numbered from 0 in their order, and those names.
    pub fn numbered(&self) -> (Vec<&str>, Vec<Numbered>) {
        let (mut names, mut counts): (Vec<&str>, Vec<_>) = (Vec::new(), Vec::new());
        for (name, class, count) in self.iter() {
            if names.last() != Some(&name) {
                names.push(name);
            }
            counts.push((names.len() - 1, class, count));
        }
        (names, counts)
    }
}

#[cfg(test)]
mod tests {
    use mirrorwatch_stats::shards::{Alone, Merge, Shard};

    use super::*;

    /// A second shard that says what it was given.
    struct Other(&'static str);

    impl Exchange for Other {
        fn shard(&self) -> Shard {
            Shard::new(0, 2, 7).unwrap()
        }

        fn samples(&self) -> u64 {
            9
        }

        fn reduce(
            &self,
            _what: &'static str,
            part: Vec<u8>,
            merge: Merge<'_>,
        ) -> Result<Vec<u8>, ShardError> {
            merge(&[part, self.0.as_bytes().to_vec()])
        }
    }

    fn own() -> ByName {
        let mut own = ByName::default();
        own.add("b", 1, [1, 2, 3]);
        own.add("a", 0, [4, 0, 0]);
        own.add("b", 1, [1, 1, 1]);
        own
    }

    #[test]
    fn counts_of_a_name_add_up_in_the_order_of_names() {
        let alone = own().of_all(&Alone, "sources").unwrap();
        let (names, counts) = alone.numbered();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(counts, [(0, 0, [4, 0, 0]), (1, 1, [2, 3, 4])]);
        let other =
            Other(r#"[7, [["c", 0, [1, 0, 0]], ["b", 1, [0, 0, 5]], ["b", 0, [1, 1, 1]]]]"#);
        let both = own().of_all(&other, "sources").unwrap();
        let (names, counts) = both.numbered();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(counts[1..3], [(1, 0, [1, 1, 1]), (1, 1, [2, 3, 9])]);
    }

    #[test]
    fn what_is_of_another_run_or_damaged_is_refused() {
        let error = own()
            .of_all(&Other("[8, []]"), "sources")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the sources of shard 1 is of run 0x8, not 0x7"),
            "{error}"
        );
        let error = own()
            .of_all(&Other("[7, "), "sources")
            .unwrap_err()
            .to_string();
        assert!(error.contains("those of shard 1 are damaged"), "{error}");
    }
}
