//! What became of a run's checkpoints, and its scans in numbers: on disk, lines that are added and never changed.
//!
//! The state names the file, how many of its bytes count, and their digest. Lines are added and synced before the state that
//! counts them is written: whoever is killed in between leaves lines that no state counts. Nothing is ever cut off or written
//! over, for another process may have put there what its state counts (two sidecars, where the file system knows no locks): what
//! is longer than it should be is left alone, and all of it written anew under another name. So a scan costs the same on disk
//! however many there were before, and in memory a few hundred bytes stay of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use mirrorwatch_checkpoint::{Key, create_directory, write_atomic};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ScanNumbers;
use super::entries::{Entries, make_room};
use crate::digest::hex;
use crate::error::DaemonError;

/// What became of a checkpoint.
///
/// ```
/// use mirrorwatch_daemon::store::Outcome;
///
/// let skipped = Outcome::Skipped("superseded".into());
/// assert_eq!(serde_json::to_string(&skipped)?, r#"{"skipped":"superseded"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its scores are in the evidence.
    Scanned,
    /// It was not scanned, for this reason.
    Skipped(String),
    /// It could not be scanned: the stage and what went wrong. Not tried again.
    Failed(String, String),
}

/// One checkpoint that is done with.
///
/// ```
/// # use mirrorwatch_checkpoint::Key;
/// # use mirrorwatch_daemon::store::{Entry, Outcome, RunState};
/// # use mirrorwatch_influence::Estimator;
/// # let estimator = Estimator { direction: "finetune".into(), score: "after".into() };
/// # let key = Key { run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".repeat(32) };
/// let mut state = RunState::new("", &[estimator], 3, 2);
/// let outcome = Outcome::Failed("load".into(), "another architecture".into());
/// state.ledger.push(Entry { key: key.clone(), instance: "7f".into(), sequence: 1, outcome });
/// // It is not tried again.
/// assert!(state.knows(&key));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which checkpoint.
    pub key: Key,
    /// The training process that wrote it.
    pub instance: String,
    /// Its number in that process.
    pub sequence: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// The ledger of a run: only added to.
///
/// ```
#[doc = include_str!("../example_summary.txt")]
/// use mirrorwatch_daemon::store::Ledger;
///
/// let mut ledger = Ledger::default();
/// ledger.push_scan(&summary);
/// assert_eq!((ledger.scans()[0].suspects, ledger.entries().len()), (50, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Entries,
    scans: Vec<ScanNumbers>,
    written: Mutex<Option<Written>>,
}

/// What of it is on disk, and where.
#[derive(Debug, Clone)]
struct Written {
    path: std::path::PathBuf,
    name: String,
    bytes: u64,
    /// Of these bytes.
    digest: Sha256,
    entries: usize,
    scans: usize,
}

/// How a state names its ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// In hexadecimal.
    pub(super) sha256: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum LineOf<'a> {
    Entry(Entry),
    Scan(&'a ScanNumbers),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Entry(Entry),
    Scan(ScanNumbers),
}

/// Ledgers are equal that say the same, wherever they are kept.
impl PartialEq for Ledger {
    fn eq(&self, other: &Self) -> bool {
        self.entries.iter().eq(other.entries.iter()) && self.scans == other.scans
    }
}

impl Clone for Ledger {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            scans: self.scans.clone(),
            written: Mutex::new(self.written().clone()),
        }
    }
}

impl Ledger {
    fn written(&self) -> std::sync::MutexGuard<'_, Option<Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a checkpoint that is done with.
    ///
    /// ```
    /// # use mirrorwatch_checkpoint::Key;
    /// # use mirrorwatch_daemon::store::{Entry, Ledger, Outcome};
    /// # let key = Key { run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".repeat(32) };
    /// let mut ledger = Ledger::default();
    /// ledger.push(Entry { key, instance: "7f".into(), sequence: 1, outcome: Outcome::Scanned });
    /// assert!(!ledger.is_empty() && ledger.scans().is_empty());
    /// ```
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(&entry);
    }

    /// Adds a scan, of whose summary the numbers stay.
    ///
    /// ```
    #[doc = include_str!("../example_summary.txt")]
    /// # use mirrorwatch_daemon::store::Ledger;
    /// let mut ledger = Ledger::default();
    /// ledger.push_scan(&summary);
    /// assert_eq!(ledger.scans()[0].epoch, summary.epoch);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push_scan(&mut self, summary: &crate::summary::Summary) {
        make_room(&mut self.scans);
        self.scans.push(ScanNumbers::of(summary));
    }

    /// Checkpoints that are done with, in order of completion.
    ///
    /// ```
    /// use mirrorwatch_daemon::store::Ledger;
    ///
    /// assert_eq!(Ledger::default().entries().next(), None);
    /// ```
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + '_ {
        self.entries.iter()
    }

    /// What became of a checkpoint of this epoch and step and of these weights, the newest first where there are several.
    pub(crate) fn of_moment(
        &self,
        moment: (u64, u64),
        sha256: &str,
    ) -> impl Iterator<Item = Entry> + '_ {
        self.entries.of_moment(moment, sha256)
    }

    /// How many checkpoints were left out for this reason.
    pub(crate) fn left_out(&self, reason: &str) -> usize {
        self.entries.left_out(reason)
    }

    /// The checkpoint that was scanned last.
    pub(crate) fn last_scanned(&self) -> Option<Entry> {
        self.entries.last_scanned()
    }

    /// Whether a checkpoint is among them.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.entries.knows(key)
    }

    /// The scans so far, in order.
    ///
    /// ```
    /// use mirrorwatch_daemon::store::Ledger;
    ///
    /// assert!(Ledger::default().scans().is_empty());
    /// ```
    pub fn scans(&self) -> &[ScanNumbers] {
        &self.scans
    }

    /// Whether nothing is known of any checkpoint.
    ///
    /// ```
    /// use mirrorwatch_daemon::store::Ledger;
    ///
    /// assert!(Ledger::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Adds to the file in `directory` what is not there yet, and says what a state has to name; none where there is nothing.
    ///
    /// # Errors
    ///
    /// The file cannot be written. What is not there stays in memory.
    pub(super) fn save(&self, directory: &Path) -> Result<Option<Named>, DaemonError> {
        let mut written = self.written();
        if let Some(there) = &mut *written
            && there.is_as_left(directory)
        {
            let lines = self.lines(there.entries, there.scans);
            let lines = lines.map_err(|error| failed(&there.path, &error))?;
            there
                .append(&lines)
                .map_err(|error| failed(&there.path, &error))?;
            there.count(self, &lines);
            return Ok(Some(there.named()));
        }
        let lines = self.lines(0, 0);
        let lines = lines.map_err(|error| failed(directory, &error))?;
        if lines.is_empty() {
            return Ok(None);
        }
        // Of a name of its own, so that it takes no other's place while a state still names that.
        let name = new_name(&lines);
        let path = directory.join(&name);
        create_directory(directory)?;
        write_atomic(&path, &lines)?;
        let mut there = Written {
            path,
            name,
            bytes: 0,
            digest: Sha256::new(),
            entries: 0,
            scans: 0,
        };
        there.count(self, &lines);
        Ok(Some(written.insert(there).named()))
    }

    /// What comes after so many entries and scans, a line each.
    fn lines(&self, entries: usize, scans: usize) -> io::Result<Vec<u8>> {
        let entries = self.entries.from(entries).map(LineOf::Entry);
        let scans = self.scans.iter().skip(scans).map(LineOf::Scan);
        let mut lines = Vec::new();
        for line in entries.chain(scans) {
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
        }
        Ok(lines)
    }

    /// Reads what a state has named, from `directory`.
    ///
    /// # Errors
    ///
    /// In words, a file that cannot be read or does not verify.
    pub(super) fn read(named: &Named, directory: &Path) -> Result<Self, String> {
        if !is_name(&named.name) {
            return Err("the name of its ledger is none".to_string());
        }
        let path = directory.join(&named.name);
        let told = |message: &str| format!("its ledger {}: {message}", path.display());
        let file = File::open(&path).map_err(|error| told(&error.to_string()))?;
        let mut file = BufReader::new(file.take(named.bytes));
        let mut ledger = Self::default();
        let (mut digest, mut bytes, mut nonsense) = (Sha256::new(), 0, None);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = file.read_until(b'\n', &mut line);
            let length = length.map_err(|error| told(&error.to_string()))?;
            if length == 0 {
                break;
            }
            bytes += length as u64;
            digest.update(&line);
            match serde_json::from_slice(&line) {
                Ok(Line::Entry(entry)) => ledger.entries.push(&entry),
                Ok(Line::Scan(scan)) => {
                    make_room(&mut ledger.scans);
                    ledger.scans.push(scan);
                }
                Err(error) => nonsense = nonsense.or(Some(error.to_string())),
            }
        }
        if bytes != named.bytes || hex(&digest.clone().finalize()) != named.sha256 {
            return Err(told("it is damaged"));
        }
        if let Some(nonsense) = nonsense {
            return Err(told(&nonsense));
        }
        let (entries, scans) = (ledger.entries.len(), ledger.scans.len());
        *ledger.written() = Some(Written {
            path,
            name: named.name.clone(),
            bytes,
            digest,
            entries,
            scans,
        });
        Ok(ledger)
    }
}

impl Written {
    /// Whether it lies in this directory, as long as it was left.
    fn is_as_left(&self, directory: &Path) -> bool {
        let is_whole =
            || fs::metadata(&self.path).is_ok_and(|m| m.is_file() && m.len() == self.bytes);
        self.path.parent() == Some(directory) && is_whole()
    }

    fn append(&self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(lines)?;
        file.sync_data()
    }

    /// All of `ledger` is there, with these lines as the last ones.
    fn count(&mut self, ledger: &Ledger, lines: &[u8]) {
        self.bytes += lines.len() as u64;
        self.digest.update(lines);
        (self.entries, self.scans) = (ledger.entries.len(), ledger.scans.len());
    }

    fn named(&self) -> Named {
        Named {
            name: self.name.clone(),
            bytes: self.bytes,
            sha256: hex(&self.digest.clone().finalize()),
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> DaemonError {
    DaemonError::Write {
        path: path.to_path_buf(),
        message: error.to_string(),
    }
}

/// A name for a file that begins with these lines, which no other has: what begins alike may go on in another way.
fn new_name(lines: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(std::process::id().to_le_bytes());
    digest.update(crate::hub::now().to_le_bytes());
    digest.update(lines);
    format!("ledger-{}.jsonl", hex(&digest.finalize()[..8]))
}

fn is_name(name: &str) -> bool {
    let digits = name
        .strip_prefix("ledger-")
        .and_then(|name| name.strip_suffix(".jsonl"));
    digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Takes all ledgers in `directory` away but the one that a state names.
pub(super) fn forget_others(directory: &Path, keep: Option<&Named>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_name(&name) && keep.is_none_or(|keep| keep.name != name) {
            // One that stays is only a file too many, and goes next time.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
