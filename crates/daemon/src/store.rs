//! The state of a run on disk: evidence and ledger, written atomically, read back after a restart.
//!
//! Layout: the magic, the length of a JSON header, the header, the evidence arrays (little-endian),
//! and a SHA-256 of all that. A file that does not verify is set aside, never overwritten.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mirrorwatch_checkpoint::{Key, write_atomic_with};
use mirrorwatch_influence::{Estimator, Memory};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::DaemonError;
use crate::evidence::{Channel, Evidence};
use crate::history::{Column, History};
use crate::summary::Summary;

/// Version of the layout.
const VERSION: u32 = 6;
const MAGIC: &[u8; 8] = b"MWSTATE6";
/// Values that are written at once.
const BLOCK: usize = 1 << 13;

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
    /// Checkpoints that are done with, in order of completion.
    pub ledger: Vec<Entry>,
    /// Summaries of the scans so far, in order.
    pub summaries: Vec<Summary>,
    /// What the last scan leaves for the next one. In a file of its own, not in this one's.
    pub forks: Memory,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    fingerprint: String,
    checkpoints: u32,
    weight: f64,
    vote_weight: f64,
    train: usize,
    probe: usize,
    channels: Vec<ChannelHeader>,
    turned: f64,
    /// Epoch and step of each checkpoint in the history.
    history: Vec<(u64, u64)>,
    ledger: Vec<Entry>,
    summaries: Vec<Summary>,
}

#[derive(Serialize, Deserialize)]
struct ChannelHeader {
    direction: String,
    score: String,
    held_out_null: bool,
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
    /// assert!(state.ledger.is_empty() && state.summaries.is_empty());
    /// assert_eq!(state.evidence.mean_loss.len(), 3);
    /// ```
    pub fn new(fingerprint: &str, estimators: &[Estimator], train: usize, probe: usize) -> Self {
        Self {
            fingerprint: fingerprint.to_string(),
            evidence: Evidence::new(estimators, train, probe),
            ledger: Vec::new(),
            summaries: Vec::new(),
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
        self.ledger.iter().any(|entry| entry.key == *key)
    }

    /// Writes the state to `path`, atomically.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
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
        let header = self.header().map_err(|error| DaemonError::State {
            path: path.to_path_buf(),
            message: error.to_string(),
        })?;
        Ok(write_atomic_with(path, |file| {
            self.write(&header, &mut Digesting::new(file))
        })?)
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
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(DaemonError::State {
                    path: path.to_path_buf(),
                    message: error.to_string(),
                });
            }
        };
        match Self::from_bytes(&bytes) {
            Ok(state) => Ok(Some(state)),
            Err(message) => Err(DaemonError::State {
                path: path.to_path_buf(),
                message,
            }),
        }
    }

    #[cfg(test)]
    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&self.header()?, &mut Digesting::new(&mut bytes))?;
        Ok(bytes)
    }

    fn header(&self) -> Result<Vec<u8>, serde_json::Error> {
        let evidence = &self.evidence;
        let mut channels = Vec::new();
        for channel in &evidence.channels {
            channels.push(ChannelHeader {
                direction: channel.estimator.direction.clone(),
                score: channel.estimator.score.clone(),
                held_out_null: channel.held_out_null,
            });
        }
        let columns = evidence.history.columns();
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
            history: columns.iter().map(|c| (c.epoch, c.step)).collect(),
            ledger: self.ledger.clone(),
            summaries: self.summaries.clone(),
        })
    }

    /// The whole file, piece by piece: it is as large as the evidence.
    fn write(&self, header: &[u8], file: &mut Digesting<'_>) -> io::Result<()> {
        let evidence = &self.evidence;
        file.write_all(MAGIC)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header)?;
        for channel in &evidence.channels {
            file.put(&channel.train, f32::to_le_bytes)?;
            file.put(&channel.probe, f32::to_le_bytes)?;
            file.put(&channel.probe_mean, f32::to_le_bytes)?;
            file.put(&channel.suggested, u32::to_le_bytes)?;
            file.put(&channel.lead, f32::to_le_bytes)?;
        }
        for values in [
            &evidence.mean_loss,
            &evidence.mean_margin,
            &evidence.last_margin,
            &evidence.last_loss,
        ] {
            file.put(values, f32::to_le_bytes)?;
        }
        for values in [
            &evidence.fitted_epoch,
            &evidence.flagged_epoch,
            &evidence.flagged_count,
        ] {
            file.put(values, u32::to_le_bytes)?;
        }
        for column in evidence.history.columns() {
            file.write_all(&column.p_values)?;
            file.write_all(&column.losses)?;
        }
        file.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let damaged = || "it is damaged".to_string();
        let (content, digest) = bytes
            .split_at_checked(bytes.len().saturating_sub(32))
            .ok_or_else(damaged)?;
        if !content.starts_with(MAGIC) {
            return Err("it is not a state file of this version".to_string());
        }
        if Sha256::digest(content).as_slice() != digest {
            return Err(damaged());
        }
        let mut reader = Reader(&content[MAGIC.len()..]);
        let length = u64::from_le_bytes(reader.take(8)?.try_into().map_err(|_| damaged())?);
        let length = usize::try_from(length).map_err(|_| damaged())?;
        let header: Header =
            serde_json::from_slice(reader.take(length)?).map_err(|error| error.to_string())?;
        if header.version != VERSION {
            return Err(format!("its version {} is unknown", header.version));
        }
        let (train, probe) = (header.train, header.probe);
        let mut channels = Vec::new();
        for channel in header.channels {
            channels.push(Channel {
                estimator: Estimator {
                    direction: channel.direction,
                    score: channel.score,
                },
                held_out_null: channel.held_out_null,
                train: reader.f32s(train)?,
                probe: reader.f32s(probe)?,
                probe_mean: reader.f32s(probe)?,
                suggested: reader.u32s(train)?,
                lead: reader.f32s(train)?,
            });
        }
        Ok(Self {
            fingerprint: header.fingerprint,
            evidence: Evidence {
                checkpoints: header.checkpoints,
                weight: header.weight,
                vote_weight: header.vote_weight,
                channels,
                mean_loss: reader.f32s(train)?,
                mean_margin: reader.f32s(train)?,
                last_margin: reader.f32s(train)?,
                last_loss: reader.f32s(train)?,
                fitted_epoch: reader.u32s(train)?,
                flagged_epoch: reader.u32s(train)?,
                flagged_count: reader.u32s(train)?,
                turned: header.turned,
                history: reader.history(&header.history, train)?,
            },
            ledger: header.ledger,
            forks: Memory::default(),
            summaries: header.summaries,
        })
    }
}

/// Sets a state file that cannot be used aside, so that nothing is lost, and returns its new name.
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
        if !aside.exists() {
            std::fs::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    Ok(path.to_path_buf())
}

/// A file that ends with the digest of what was written to it.
struct Digesting<'a> {
    file: &'a mut dyn Write,
    digest: Sha256,
}

impl<'a> Digesting<'a> {
    fn new(file: &'a mut dyn Write) -> Self {
        Self {
            file,
            digest: Sha256::new(),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }

    fn put<V: Copy>(&mut self, values: &[V], bytes: impl Fn(V) -> [u8; 4]) -> io::Result<()> {
        let mut block = Vec::with_capacity(4 * BLOCK);
        for values in values.chunks(BLOCK) {
            block.clear();
            for &value in values {
                block.extend(bytes(value));
            }
            self.write_all(&block)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let digest = self.digest.finalize_reset();
        self.file.write_all(digest.as_slice())
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| "it is shorter than it says".to_string())?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32s(&mut self, count: usize) -> Result<Vec<u32>, String> {
        let bytes = self.take(count.checked_mul(4).ok_or("it is damaged")?)?;
        let mut values = Vec::with_capacity(count);
        for chunk in bytes.chunks_exact(4) {
            values.push(u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]));
        }
        Ok(values)
    }

    fn history(&mut self, moments: &[(u64, u64)], train: usize) -> Result<History, String> {
        let mut columns = Vec::new();
        for &(epoch, step) in moments {
            columns.push(Column {
                epoch,
                step,
                p_values: self.take(train)?.to_vec(),
                losses: self.take(train)?.to_vec(),
            });
        }
        History::restored(columns).ok_or_else(|| "its history is too long".to_string())
    }

    fn f32s(&mut self, count: usize) -> Result<Vec<f32>, String> {
        Ok(self.u32s(count)?.into_iter().map(f32::from_bits).collect())
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
