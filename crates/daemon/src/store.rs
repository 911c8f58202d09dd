//! The state of a run on disk: evidence, written atomically, and ledger, added to; read back after a restart.
//!
//! Layout: the magic, the length of a JSON header, the header, the evidence arrays (little-endian),
//! and a SHA-256 of all that. A file that does not verify is set aside, never overwritten.
//!
//! | of a training sample | bytes | precision |
//! | --- | --- | --- |
//! | accumulated score, of each estimator | 4 | as computed: it decides the count |
//! | suggested label and its lead, of each estimator | 4 + 4 | as computed |
//! | mean loss, mean margin | 4 + 4 | as computed |
//! | last loss, last margin | 2 + 2 | sign exact, size within 0.4 % ([`Halves`]) |
//! | first epoch fitted, first epoch a suspect | 2 + 2 | exact up to 65,535 different epochs ([`Epochs`]) |
//! | checkpoints at which it was a suspect | 2 | exact up to 65,535 |
//!
//! That is 30 bytes with one estimator, in memory as on disk; each probe sample takes 8. Under a budget, samples that are not read
//! enter the mean loss and the mean margin with their last ones, as rounded; neither mean is counted by. The history is kept beside the file, in a
//! directory that has its name and the extension `history`, and the ledger with it. What the header names of it is written first, so that whoever is
//! killed in between finds the history of the state that is there; what it no longer names is removed after.

mod entries;
mod file;
mod ledger;
mod numbers;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use half::bf16;
use mirrorwatch_checkpoint::{Key, remove_abandoned, sync_directory, write_atomic_with};
use mirrorwatch_influence::{Estimator, Memory};
use serde::{Deserialize, Serialize};

use crate::digest::{bytes, hex};
use crate::error::DaemonError;
use crate::evidence::{Channel, Evidence};
use crate::history::{Column, History};
use crate::narrow::{Epochs, Halves};
use crate::summary::Summary;
use file::{Reader, Writer};
pub use ledger::{Entry, Ledger, Outcome};
pub use numbers::ScanNumbers;

/// Version of the layout.
const VERSION: u32 = 8;
const MAGIC: &[u8; 8] = b"MWSTATE8";

/// Everything that is known of a run.
///
/// ```
/// # use mirrorwatch_checkpoint::Key;
/// # use mirrorwatch_daemon::store::{Entry, Outcome, RunState};
/// # use mirrorwatch_influence::Estimator;
/// # let estimator = Estimator { direction: "finetune".into(), score: "after".into() };
/// # let key = Key { run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".repeat(32) };
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("state");
/// let state = RunState::new("of labels and settings", &[estimator], 3, 2);
/// state.save(&path)?;
/// assert_eq!(RunState::load(&path)?, Some(state));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// What the evidence was computed from; other data or settings start afresh.
    pub fingerprint: String,
    /// Evidence so far.
    pub evidence: Evidence,
    /// Checkpoints that are done with, and the scans so far in numbers.
    pub ledger: Ledger,
    /// The summary of the last scan.
    pub last: Option<Summary>,
    /// What the last scan leaves for the next one. In a file of its own, not in this one's.
    pub forks: Memory,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    version: u32,
    fingerprint: String,
    checkpoints: u32,
    weight: f64,
    vote_weight: f64,
    train: usize,
    probe: usize,
    channels: Vec<ChannelHeader>,
    turned: f64,
    /// The epochs that those of first fit and first flag are numbers of.
    fitted_epochs: Vec<u32>,
    flagged_epochs: Vec<u32>,
    history: Vec<ColumnHeader>,
    ledger: Option<ledger::Named>,
    last: Option<Cow<'a, Summary>>,
}

#[derive(Serialize, Deserialize)]
struct ChannelHeader {
    direction: String,
    score: String,
    held_out_null: bool,
}

/// A checkpoint in the history.
#[derive(Serialize, Deserialize)]
struct ColumnHeader {
    epoch: u64,
    step: u64,
    /// In hexadecimal.
    digest: String,
}

impl RunState {
    /// An empty state.
    ///
    /// ```
    /// # use mirrorwatch_checkpoint::Key;
    /// # use mirrorwatch_daemon::store::{Entry, Outcome, RunState};
    /// # use mirrorwatch_influence::Estimator;
    /// # let estimator = Estimator { direction: "finetune".into(), score: "after".into() };
    /// # let key = Key { run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".repeat(32) };
    /// let state = RunState::new("", &[estimator], 3, 2);
    /// assert!(state.ledger.is_empty() && state.last.is_none());
    /// assert_eq!(state.evidence.mean_loss.len(), 3);
    /// ```
    pub fn new(fingerprint: &str, estimators: &[Estimator], train: usize, probe: usize) -> Self {
        Self {
            fingerprint: fingerprint.to_string(),
            evidence: Evidence::new(estimators, train, probe),
            ledger: Ledger::default(),
            last: None,
            forks: Memory::default(),
        }
    }

    /// Whether a checkpoint is done with.
    ///
    /// ```
    /// # use mirrorwatch_checkpoint::Key;
    /// # use mirrorwatch_daemon::store::{Entry, Outcome, RunState};
    /// # use mirrorwatch_influence::Estimator;
    /// # let estimator = Estimator { direction: "finetune".into(), score: "after".into() };
    /// # let key = Key { run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".repeat(32) };
    /// let mut state = RunState::new("", &[estimator], 3, 2);
    /// assert!(!state.knows(&key));
    /// state.ledger.push(Entry { key: key.clone(), instance: "7f".into(), sequence: 1, outcome: Outcome::Scanned });
    /// assert!(state.knows(&key));
    /// ```
    pub fn knows(&self, key: &Key) -> bool {
        self.ledger.knows(key)
    }

    /// Takes a scan into the ledger, and its summary as the last one.
    ///
    /// ```
    #[doc = include_str!("example_summary.txt")]
    /// # use mirrorwatch_checkpoint::Key;
    /// # use mirrorwatch_daemon::store::{Entry, Outcome, RunState};
    /// # use mirrorwatch_influence::Estimator;
    /// # let estimator = Estimator { direction: "finetune".into(), score: "after".into() };
    /// # let key = Key { run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".repeat(32) };
    /// let mut state = RunState::new("", &[estimator], 3, 2);
    /// let entry = Entry { key: key.clone(), instance: "7f".into(), sequence: 1, outcome: Outcome::Scanned };
    /// state.push_scan(entry, summary.clone());
    /// assert!(state.knows(&key) && state.ledger.scans()[0].suspects == summary.suspects);
    /// assert_eq!(state.last, Some(summary));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push_scan(&mut self, entry: Entry, summary: Summary) {
        self.ledger.push(entry);
        self.ledger.push_scan(&summary);
        self.last = Some(summary);
    }

    /// Writes the state to `path`, atomically, and what is new of the history and of the ledger beside it.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    ///
    /// ```
    /// # use mirrorwatch_checkpoint::Key;
    /// # use mirrorwatch_daemon::store::{Entry, Outcome, RunState};
    /// # use mirrorwatch_influence::Estimator;
    /// # let estimator = Estimator { direction: "finetune".into(), score: "after".into() };
    /// # let key = Key { run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".repeat(32) };
    /// # let directory = tempfile::tempdir()?;
    /// let path = directory.path().join("state");
    /// RunState::new("", &[estimator], 3, 2).save(&path)?;
    /// assert!(path.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, path: &Path) -> Result<(), DaemonError> {
        let history = &self.evidence.history;
        let beside = history_of(path);
        history.save(&beside)?;
        let ledger = self.ledger.save(&beside)?;
        let header = self.header(ledger.as_ref());
        let header = header.map_err(|error| DaemonError::State {
            path: path.to_path_buf(),
            message: error.to_string(),
        })?;
        write_atomic_with(path, |file| self.write(&header, Writer::new(file)))?;
        history.forget_others(&beside);
        ledger::forget_others(&beside, ledger.as_ref());
        for directory in [path.parent(), Some(&*beside)].into_iter().flatten() {
            // What a killed process was writing is as large as what it would have been. There may be nothing.
            let _ = remove_abandoned(directory);
        }
        Ok(())
    }

    /// Reads the state at `path`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The file cannot be read or does not verify.
    ///
    /// ```
    /// # use mirrorwatch_checkpoint::Key;
    /// # use mirrorwatch_daemon::store::{Entry, Outcome, RunState};
    /// # use mirrorwatch_influence::Estimator;
    /// # let estimator = Estimator { direction: "finetune".into(), score: "after".into() };
    /// # let key = Key { run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".repeat(32) };
    /// # let directory = tempfile::tempdir()?;
    /// let path = directory.path().join("state");
    /// assert_eq!(RunState::load(&path)?, None);
    /// RunState::new("", &[estimator], 3, 2).save(&path)?;
    /// let mut bytes = std::fs::read(&path)?;
    /// bytes[100] ^= 1;
    /// std::fs::write(&path, bytes)?;
    /// assert!(RunState::load(&path).is_err_and(|error| error.to_string().ends_with("it is damaged")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load(path: &Path) -> Result<Option<Self>, DaemonError> {
        let read = || {
            let file = match File::open(path) {
                Ok(file) => Ok(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => Err(error.to_string()),
            };
            file.and_then(|file| Self::read(file, &history_of(path)))
                .map(Some)
        };
        // Whoever writes it may have replaced it by another with a ledger of another name, between the two.
        read()
            .or_else(|_| read())
            .map_err(|message| DaemonError::State {
                path: path.to_path_buf(),
                message,
            })
    }

    fn header(&self, ledger: Option<&ledger::Named>) -> Result<Vec<u8>, serde_json::Error> {
        let evidence = &self.evidence;
        let mut channels = Vec::new();
        for channel in &evidence.channels {
            channels.push(ChannelHeader {
                direction: channel.estimator.direction.clone(),
                score: channel.estimator.score.clone(),
                held_out_null: channel.held_out_null,
            });
        }
        let mut history = Vec::new();
        for column in evidence.history.columns() {
            history.push(ColumnHeader {
                epoch: column.epoch,
                step: column.step,
                digest: hex(&column.digest),
            });
        }
        serde_json::to_vec(&Header {
            version: VERSION,
            fingerprint: self.fingerprint.clone(),
            checkpoints: evidence.checkpoints,
            weight: evidence.weight,
            vote_weight: evidence.vote_weight,
            train: evidence.mean_loss.len(),
            probe: evidence.channels.first().map_or(0, |c| c.probe.len()),
            channels,
            turned: evidence.turned,
            fitted_epochs: evidence.fitted_epoch.parts().0.to_vec(),
            flagged_epochs: evidence.flagged_epoch.parts().0.to_vec(),
            history,
            ledger: ledger.cloned(),
            last: self.last.as_ref().map(Cow::Borrowed),
        })
    }

    fn write(&self, header: &[u8], mut file: Writer<'_>) -> io::Result<()> {
        let evidence = &self.evidence;
        file.write_all(MAGIC)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header)?;
        for channel in &evidence.channels {
            file.put(f32s(&channel.train))?;
            file.put(f32s(&channel.probe))?;
            file.put(f32s(&channel.probe_mean))?;
            file.put(channel.suggested.iter().map(|value| value.to_le_bytes()))?;
            file.put(f32s(&channel.lead))?;
        }
        file.put(f32s(&evidence.mean_loss))?;
        file.put(f32s(&evidence.mean_margin))?;
        for values in [&evidence.last_margin, &evidence.last_loss] {
            file.put(values.bits().map(u16::to_le_bytes))?;
        }
        for values in [
            evidence.fitted_epoch.parts().1,
            evidence.flagged_epoch.parts().1,
            &evidence.flagged_count,
        ] {
            file.put(values.iter().map(|value| value.to_le_bytes()))?;
        }
        file.finish()
    }

    /// `beside` is where its history is.
    fn read(file: impl Read + Seek, beside: &Path) -> Result<Self, String> {
        let mut reader = Reader::verified(file, MAGIC)?;
        let length = reader.u64()?;
        let header: Header =
            serde_json::from_slice(&reader.bytes(length)?).map_err(|error| error.to_string())?;
        if header.version != VERSION {
            return Err(format!("its version {} is unknown", header.version));
        }
        let (train, probe) = (header.train, header.probe);
        let ledger = match &header.ledger {
            Some(named) => Ledger::read(named, beside)?,
            None => Ledger::default(),
        };
        let mut channels = Vec::new();
        for channel in header.channels {
            channels.push(Channel {
                estimator: Estimator {
                    direction: channel.direction,
                    score: channel.score,
                },
                held_out_null: channel.held_out_null,
                train: reader.values(train, f32::from_le_bytes)?,
                probe: reader.values(probe, f32::from_le_bytes)?,
                probe_mean: reader.values(probe, f32::from_le_bytes)?,
                suggested: reader.values(train, u32::from_le_bytes)?,
                lead: reader.values(train, f32::from_le_bytes)?,
            });
        }
        Ok(Self {
            fingerprint: header.fingerprint,
            evidence: Evidence {
                checkpoints: header.checkpoints,
                weight: header.weight,
                vote_weight: header.vote_weight,
                channels,
                mean_loss: reader.values(train, f32::from_le_bytes)?,
                mean_margin: reader.values(train, f32::from_le_bytes)?,
                last_margin: Halves::restored(reader.values(train, bf16::from_le_bytes)?),
                last_loss: Halves::restored(reader.values(train, bf16::from_le_bytes)?),
                fitted_epoch: Epochs::restored(
                    header.fitted_epochs,
                    reader.values(train, u16::from_le_bytes)?,
                ),
                flagged_epoch: Epochs::restored(
                    header.flagged_epochs,
                    reader.values(train, u16::from_le_bytes)?,
                ),
                flagged_count: reader.values(train, u16::from_le_bytes)?,
                turned: header.turned,
                history: restored(&header.history, train, beside)?,
            },
            ledger,
            last: header.last.map(Cow::into_owned),
            forks: Memory::default(),
        })
    }
}

fn f32s(values: &[f32]) -> impl Iterator<Item = [u8; 4]> {
    values.iter().map(|value| value.to_le_bytes())
}

/// The directory of the history of the state at `path`.
fn history_of(path: &Path) -> PathBuf {
    path.with_extension("history")
}

fn restored(headers: &[ColumnHeader], train: usize, beside: &Path) -> Result<History, String> {
    let mut columns = Vec::with_capacity(headers.len());
    for header in headers {
        let digest = bytes(&header.digest).ok_or("a digest of its history is none")?;
        let moment = (header.epoch, header.step);
        columns.push(Column::saved(moment, train, digest, beside));
    }
    History::restored(columns).ok_or_else(|| "its history is too long".to_string())
}

/// Sets a state file that cannot be used aside, and its history, so that nothing is lost, and returns its new name.
///
/// # Errors
///
/// The file cannot be renamed.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// let path = directory.path().join("state.bin");
/// std::fs::write(&path, "of another version")?;
/// let aside = mirrorwatch_daemon::store::set_aside(&path)?;
/// assert!(aside.ends_with("state.unused-1") && aside.exists() && !path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    for n in 1.. {
        let aside = path.with_extension(format!("unused-{n}"));
        let history = path.with_extension(format!("unused-{n}.history"));
        // One that is alone is of a state that somebody was setting aside when they were killed.
        let taken = history.exists() && history_of(path).exists();
        if !aside.exists() && !taken {
            // First, for without a state nobody would look for it. It must not be lost where the state's new name is not: what is
            // written next would take its place.
            if history_of(path).exists() {
                std::fs::rename(history_of(path), history)?;
                let above = path.parent().filter(|above| *above != Path::new(""));
                sync_directory(above.unwrap_or(Path::new("."))).map_err(io::Error::other)?;
            }
            std::fs::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    Ok(path.to_path_buf())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "store_hostile_tests.rs"]
mod hostile_tests;
