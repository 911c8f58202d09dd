//! Where results lie: one file per cell, so that an interrupted run goes on where it was.

use std::path::{Path, PathBuf};

use mirrorwatch_checkpoint::write_atomic;

use crate::grid::Cell;
use crate::record::{FORMAT, Record};

/// The directory of all results.
pub struct Store {
    /// `target/bench`, usually.
    root: PathBuf,
}

impl Store {
    /// Results below `root`; directories are made when they are written to.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The file of a cell.
    fn path(&self, name: &str) -> PathBuf {
        self.cells().join(format!("{name}.json"))
    }

    fn cells(&self) -> PathBuf {
        self.root.join("detection/cells")
    }

    /// A directory for what a cell needs meanwhile.
    pub fn work(&self, cell: &Cell) -> PathBuf {
        self.root.join("detection/work").join(cell.name())
    }

    /// The directory of a cell's outputs for other programs.
    pub fn export(&self, cell: &Cell) -> PathBuf {
        self.root.join("detection/logits").join(cell.name())
    }

    /// The result of `cell`, unless it has none, or one of other settings or of another format.
    pub fn load(&self, cell: &Cell) -> Option<Record> {
        let record = read(&self.path(&cell.name()))?;
        (record.settings == cell.settings).then_some(record)
    }

    /// Keeps a result, in one step.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn save(&self, record: &Record) -> Result<(), String> {
        let text = serde_json::to_string_pretty(record).map_err(|error| error.to_string())?;
        self.write(&self.path(&record.name), &text)
    }

    /// Every result of this format that is there, by name.
    pub fn all(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if let Ok(entries) = std::fs::read_dir(self.cells()) {
            for entry in entries.flatten() {
                if entry.path().extension().is_some_and(|e| e == "json") {
                    records.extend(read(&entry.path()));
                }
            }
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records
    }

    /// Writes a report over all cells, `detection.json` for instance; returns where.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn report(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.root.join(name);
        self.write(&path, text)?;
        Ok(path)
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), String> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|error| format!("cannot make {}: {error}", parent.display()))?;
        }
        write_atomic(path, text.as_bytes()).map_err(|error| error.to_string())
    }
}

/// A record of this format; none where there is none, or half of one, or another one.
fn read(path: &Path) -> Option<Record> {
    let text = std::fs::read_to_string(path).ok()?;
    let record: Record = serde_json::from_str(&text).ok()?;
    (record.format == FORMAT).then_some(record)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::grid::{Overrides, cells};
    use crate::record::Seconds;

    /// A record without results.
    pub fn empty_record(cell: &Cell) -> Record {
        Record {
            format: FORMAT,
            settings: cell.settings.clone(),
            name: cell.name(),
            group: cell.group(),
            revision: String::new(),
            product: String::new(),
            threads: 1,
            samples: 0,
            wrong: 0,
            probe: 0,
            trusted: 0,
            classes: 0,
            checkpoints: Vec::new(),
            phases: Default::default(),
            once: Default::default(),
            slow: Default::default(),
            waited: 0,
            seconds: Seconds::default(),
        }
    }

    #[test]
    fn a_cell_is_done_only_with_these_settings_and_this_format() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let all = cells(true, &[0], &[], &Overrides::default());
        let cell = &all[0];
        assert!(store.load(cell).is_none());
        let mut record = empty_record(cell);
        store.save(&record).unwrap();
        assert_eq!(store.load(cell), Some(record.clone()));
        assert!(store.load(&all[1]).is_none());

        let mut other = cell.clone();
        other.settings.epochs += 1;
        assert!(store.load(&other).is_none());

        record.format = FORMAT + 1;
        store.save(&record).unwrap();
        assert!(store.load(cell).is_none());
        assert!(store.all().is_empty());
    }

    #[test]
    fn half_a_file_is_no_result() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let all = cells(true, &[0], &[], &Overrides::default());
        for cell in &all {
            store.save(&empty_record(cell)).unwrap();
        }
        let path = store.path(&all[0].name());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(store.load(&all[0]).is_none());
        assert_eq!(store.all().len(), all.len() - 1);
    }
}
