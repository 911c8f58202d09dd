//! The files that a sidecar writes for a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mirrorwatch::daemon::results::Suspect;
use mirrorwatch::daemon::summary::Summary;

use super::data::Data;

/// The results of a run, by state directory.
pub struct Results {
    directory: PathBuf,
}

impl Results {
    pub fn new(state: &Path, run: &str) -> Self {
        Self {
            directory: state.join("runs").join(run).join("scans"),
        }
    }

    /// The files with this ending, by name, with their bytes.
    pub fn files(&self, ending: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.starts_with('.') && name.ends_with(ending) {
                let bytes = fs::read(self.directory.join(&name)).unwrap();
                files.insert(name, bytes);
            }
        }
        files
    }

    /// All summaries, by epoch and step.
    pub fn summaries(&self) -> Vec<Summary> {
        let files = self.files(".json");
        files
            .values()
            .map(|bytes| serde_json::from_slice(bytes).unwrap())
            .collect()
    }

    /// The scores of all samples at the last checkpoint, as bytes.
    pub fn last_scores(&self) -> (String, Vec<u8>) {
        self.files(".scores.csv").pop_last().unwrap()
    }

    /// The suspects at the last checkpoint and their histories, as bytes.
    pub fn last_histories(&self) -> (String, Vec<u8>) {
        self.files(".suspects.jsonl").pop_last().unwrap()
    }

    /// The files of the history that is kept of all samples, whose names depend on what is in them.
    pub fn kept_history(&self) -> BTreeSet<String> {
        let beside = self.directory.with_file_name("state.history");
        let entries = fs::read_dir(beside).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // The ledger has the times of scans in it.
        names.filter(|name| name.starts_with("epoch-")).collect()
    }

    /// The suspects at the last checkpoint.
    pub fn last_suspects(&self) -> Vec<Suspect> {
        let (_, bytes) = self.files(".suspects.csv").pop_last().unwrap();
        suspects(&bytes)
    }
}

/// Reads suspects from CSV.
pub fn suspects(bytes: &[u8]) -> Vec<Suspect> {
    let mut reader = csv::Reader::from_reader(bytes);
    reader.deserialize().map(Result::unwrap).collect()
}

/// Suspects of shards, or of all, by their place in the whole training set, which their names are here.
pub fn by_id(mut suspects: Vec<Suspect>) -> Vec<Suspect> {
    for suspect in &mut suspects {
        // A shard's counts within the shard.
        suspect.index = suspect.id.parse().unwrap();
    }
    suspects.sort_by_key(|suspect| suspect.index);
    suspects
}

/// Checks that suspects say what is true of `data`: most of them are wrong, most that are wrong are
/// among them, and most suggestions are right.
///
/// The margins are wide: how good the findings are is measured elsewhere, by the demo and by
/// benchmarks. Here it is about the plumbing, and a mix-up of samples or labels finds chance, 0.2.
#[track_caller]
pub fn assert_found(data: &Data, suspects: &[Suspect]) {
    let distinct: BTreeSet<usize> = suspects.iter().map(|s| s.index).collect();
    assert_eq!(distinct.len(), suspects.len(), "a suspect is named twice");
    for suspect in suspects {
        assert_eq!(suspect.id, suspect.index.to_string());
        assert_eq!(suspect.given as u32, data.given[suspect.index]);
        assert!(
            !data.trusted.contains(&suspect.index),
            "{suspect:?} is trusted"
        );
        assert!(
            suspect.p_value > 0.0 && suspect.p_value < 1.0,
            "{suspect:?}"
        );
        assert!(suspect.flagged_checkpoints > 0, "{suspect:?}");
    }
    for pair in suspects.windows(2) {
        assert!(
            pair[0].score >= pair[1].score,
            "not the most suspicious first: {pair:?}"
        );
    }
    let right = |s: &&Suspect| data.is_wrong(s.index) && s.suggested == data.truth[s.index];
    let found = suspects.iter().filter(|s| data.is_wrong(s.index)).count() as f64;
    let corrected = suspects.iter().filter(right).count() as f64;
    let wrong = (0..data.given.len()).filter(|&i| data.is_wrong(i)).count() as f64;
    let count = suspects.len() as f64;
    assert!(found / count > 0.8, "{found} of {count} suspects are wrong");
    assert!(
        found / wrong > 0.7,
        "{found} of {wrong} wrong labels are suspects"
    );
    assert!(
        corrected / found > 0.8,
        "{corrected} of {found} suggestions are right"
    );
}
