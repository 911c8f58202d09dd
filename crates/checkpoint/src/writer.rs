//! Publishes checkpoints: the side of the training process.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::atomic::create_directory;
use crate::digest::{random_id, sha256_hex};
use crate::name::{STATUS_FILE, Stem};
use crate::reader::{self, Found, Listing};
use crate::retain::{remove, remove_weights, retain};
use crate::{
    BURNPACK, CheckpointError, MAX_MANIFEST_BYTES, Manifest, RunStatus, SCHEMA, Snapshot, Weights,
    check_run_name, remove_abandoned, write_atomic,
};

/// How many checkpoints of a run are kept if nothing else is asked for.
pub const DEFAULT_KEEP: usize = 5;

/// Writes the checkpoints of one run. A run has one writer at a time.
///
/// ```text
/// publish ── weights ── manifest (the commit) ── run.json ── retention
/// ```
///
/// ```
/// use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let mut writer = RunWriter::create(root, "mnist")?.with_keep(2);
/// for epoch in 1..=3 {
///     writer.publish(Snapshot { epoch, ..Snapshot::default() }, b"the weights")?;
/// }
/// writer.finish()?;
/// let kept = list_checkpoints(root, "mnist")?.manifests;
/// assert_eq!((kept[0].manifest.epoch, kept[1].manifest.epoch, kept.len()), (2, 3, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RunWriter {
    directory: PathBuf,
    status: RunStatus,
    keep: usize,
    sequence: u64,
    /// Newest time in the directory: the order of checkpoints survives a clock that is set back.
    last_time: f64,
    warning: Option<CheckpointError>,
}

impl RunWriter {
    /// Creates the directory of a run, or takes up the one that is there: a resumed run keeps its
    /// checkpoints, starts counting anew, and what a killed process was writing is cleared away.
    ///
    /// # Arguments
    ///
    /// * `root` - the directory of all runs; created if it is not there.
    /// * `run` - the name of the run, see [`check_run_name`].
    ///
    /// # Errors
    ///
    /// [`CheckpointError::RunName`], [`CheckpointError::Unwritable`], [`CheckpointError::DiskFull`],
    /// [`CheckpointError::UnsafePath`] if the run's directory is a symbolic link, and
    /// [`CheckpointError::Unreadable`].
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{RunWriter, Snapshot};
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// let first = RunWriter::create(root, "mnist")?.publish(Snapshot::default(), b"weights")?;
    /// // Resumed: another instance, which counts from 1 again.
    /// let snapshot = Snapshot { epoch: 1, ..Snapshot::default() };
    /// let second = RunWriter::create(root, "mnist")?.publish(snapshot, b"weights")?;
    /// assert_eq!((first.sequence, second.sequence), (1, 1));
    /// assert_ne!(first.instance, second.instance);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(root: impl AsRef<Path>, run: &str) -> Result<Self, CheckpointError> {
        check_run_name(run)?;
        let directory = root.as_ref().join(run);
        create_directory(&directory)?;
        reader::refuse_link(&directory)?;
        remove_abandoned(&directory)?;
        let Listing { manifests, .. } = reader::scan(&directory, run)?;
        let last_time = manifests.last().map_or(0.0, |found| found.manifest.time);
        let now = now();
        let mut writer = RunWriter {
            directory,
            status: RunStatus {
                schema: SCHEMA,
                run: run.to_owned(),
                instance: random_id(),
                started: now,
                updated: now,
                finished: None,
                published: 0,
                failed: 0,
                dropped: 0,
            },
            keep: DEFAULT_KEEP,
            sequence: 0,
            last_time,
            warning: None,
        };
        writer.write_status()?;
        Ok(writer)
    }

    /// Keeps the newest `keep` checkpoints, at least 1; takes effect with the next one published.
    ///
    /// A reader that has spooled a checkpoint is not affected by its removal.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
    /// let mut writer = RunWriter::create(root, "mnist")?.with_keep(1);
    /// for epoch in 1..=3 {
    ///     writer.publish(Snapshot { epoch, ..Snapshot::default() }, b"weights")?;
    /// }
    /// assert_eq!(list_checkpoints(root, "mnist")?.manifests.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_keep(mut self, keep: usize) -> Self {
        self.set_keep(keep);
        self
    }

    /// As [`with_keep`](RunWriter::with_keep), at any time.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
    /// let mut writer = RunWriter::create(root, "mnist")?;
    /// for epoch in 1..=4 {
    ///     if epoch == 4 {
    ///         writer.set_keep(2);
    ///     }
    ///     writer.publish(Snapshot { epoch, ..Snapshot::default() }, b"weights")?;
    /// }
    /// assert_eq!(list_checkpoints(root, "mnist")?.manifests.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_keep(&mut self, keep: usize) {
        self.keep = keep.max(1);
    }

    /// The directory of the run.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::RunWriter;
    /// assert_eq!(RunWriter::create(root, "mnist")?.directory(), root.join("mnist"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The status as it would be written now.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot};
    /// let mut writer = RunWriter::create(root, "mnist")?;
    /// writer.publish(Snapshot::default(), b"weights")?;
    /// assert_eq!((writer.status().published, writer.status().finished), (1, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn status(&self) -> &RunStatus {
        &self.status
    }

    /// Publishes a checkpoint: when this returns, readers see all of it, also after a power cut.
    ///
    /// Publishing an epoch and step again replaces what was there in one step. Once the manifest is
    /// in place the checkpoint is published; if updating the status or removing old checkpoints then
    /// fails, [`take_warning`](RunWriter::take_warning) has the reason.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::DiskFull`], [`CheckpointError::Unwritable`], and
    /// [`CheckpointError::TooLarge`] if the manifest, with all parameters and tags, is larger than a
    /// reader accepts. Counting a failure is left to the caller, who has failures of its own; see
    /// [`note_failure`](RunWriter::note_failure).
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// let mut writer = RunWriter::create(root, "mnist")?;
    /// let snapshot = Snapshot { epoch: 3, step: 471, ..Snapshot::default() };
    /// writer.publish(snapshot.clone(), b"the weights")?;
    /// let manifest = writer.publish(snapshot, b"corrected weights")?;
    /// // The second replaces the first.
    /// let found = list_checkpoints(root, "mnist")?.manifests;
    /// assert_eq!((found.len(), &found[0].manifest), (1, &manifest));
    /// assert!(writer.take_warning().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish(
        &mut self,
        snapshot: Snapshot,
        weights: &[u8],
    ) -> Result<Manifest, CheckpointError> {
        let manifest = self.manifest(snapshot, weights);
        let stem = Stem {
            epoch: manifest.epoch,
            step: manifest.step,
        };
        let path = self.directory.join(stem.manifest_name());
        let json = to_json(&path, &manifest)?;
        if json.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(CheckpointError::TooLarge {
                path,
                bytes: json.len() as u64,
                limit: MAX_MANIFEST_BYTES,
            });
        }
        // Someone who tidies up below a training run should not end its publishing.
        create_directory(&self.directory)?;
        let replaced = Found::read(&path, stem, &self.status.run).ok();
        let weights_path = self.directory.join(&manifest.weights.file);
        write_atomic(&weights_path, weights)?;
        if let Err(error) = write_atomic(&path, &json) {
            let now_there = Found::read(&path, stem, &self.status.run);
            if now_there.is_ok_and(|found| found.manifest == manifest) {
                // Only the last fsync failed: readers see the checkpoint, its number is used up.
                self.sequence = manifest.sequence;
            } else if replaced.is_none_or(|old| old.weights_path() != weights_path) {
                // The failure is worth more than what removing the weights might add to it.
                let _ = remove(&weights_path);
            }
            return Err(error);
        }
        self.sequence = manifest.sequence;
        self.last_time = manifest.time;
        self.status.published += 1;
        self.status.finished = None;
        let told = self.write_status();
        let tidied = self.tidy(&path, &weights_path, replaced.as_ref());
        self.warning = told.and(tidied).err();
        Ok(manifest)
    }

    /// What went wrong after the last checkpoint was published, if anything did.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, STATUS_FILE, Snapshot};
    /// let mut writer = RunWriter::create(root, "mnist")?;
    /// // The status cannot be written over a directory.
    /// std::fs::remove_file(root.join("mnist").join(STATUS_FILE))?;
    /// std::fs::create_dir(root.join("mnist").join(STATUS_FILE))?;
    /// writer.publish(Snapshot::default(), b"weights")?;
    /// assert!(writer.take_warning().is_some_and(|warning| warning.reason() == "unwritable"));
    /// assert!(writer.take_warning().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_warning(&mut self) -> Option<CheckpointError> {
        self.warning.take()
    }

    /// Counts a checkpoint that could not be published. Written with the next status.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, list_checkpoints};
    /// let mut writer = RunWriter::create(root, "mnist")?;
    /// writer.note_failure();
    /// writer.write_status()?;
    /// let status = list_checkpoints(root, "mnist")?.status;
    /// assert_eq!(status.map(|status| status.failed), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn note_failure(&mut self) {
        self.status.failed += 1;
    }

    /// Counts a checkpoint that was not tried, so as not to slow the training. Written with the next
    /// status.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, list_checkpoints};
    /// let mut writer = RunWriter::create(root, "mnist")?;
    /// writer.note_dropped();
    /// writer.write_status()?;
    /// let status = list_checkpoints(root, "mnist")?.status;
    /// assert_eq!(status.map(|status| status.dropped), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn note_dropped(&mut self) {
        self.status.dropped += 1;
    }

    /// Writes the status now, with the counters as they are.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::DiskFull`] or [`CheckpointError::Unwritable`].
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, list_checkpoints};
    /// let mut writer = RunWriter::create(root, "mnist")?;
    /// let before = writer.status().updated;
    /// // A sign of life, some time later.
    /// writer.write_status()?;
    /// let status = list_checkpoints(root, "mnist")?.status;
    /// assert!(status.is_some_and(|status| status.updated >= before));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_status(&mut self) -> Result<(), CheckpointError> {
        self.status.updated = now();
        let path = self.directory.join(STATUS_FILE);
        write_atomic(&path, &to_json(&path, &self.status)?)
    }

    /// Says that the training is done. Dropping a writer does not: a run that ends without this was
    /// killed. Publishing after this opens the run again.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::DiskFull`] or [`CheckpointError::Unwritable`].
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot};
    /// let mut writer = RunWriter::create(root, "mnist")?;
    /// writer.finish()?;
    /// assert!(writer.status().finished.is_some());
    /// writer.publish(Snapshot::default(), b"weights")?;
    /// assert_eq!(writer.status().finished, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn finish(&mut self) -> Result<(), CheckpointError> {
        self.status.finished = Some(now());
        self.write_status()
    }

    fn manifest(&self, snapshot: Snapshot, weights: &[u8]) -> Manifest {
        let stem = Stem {
            epoch: snapshot.epoch,
            step: snapshot.step,
        };
        let sha256 = sha256_hex(weights);
        let now = now();
        Manifest {
            schema: SCHEMA,
            run: self.status.run.clone(),
            instance: self.status.instance.clone(),
            sequence: self.sequence + 1,
            epoch: snapshot.epoch,
            step: snapshot.step,
            time: if now > self.last_time {
                now
            } else {
                self.last_time + 1e-6
            },
            // JSON has no NaN.
            train_loss: snapshot.train_loss.filter(|loss| loss.is_finite()),
            valid_loss: snapshot.valid_loss.filter(|loss| loss.is_finite()),
            learning_rate: snapshot.learning_rate.filter(|rate| rate.is_finite()),
            consumed: snapshot.consumed,
            weights: Weights {
                file: stem.weights_name(&sha256),
                format: BURNPACK.to_owned(),
                bytes: weights.len() as u64,
                sha256,
            },
            parameters: snapshot.parameters,
            tags: snapshot.tags,
        }
    }

    /// Removes what the new checkpoint replaces, by name or by age.
    fn tidy(
        &self,
        current: &Path,
        weights: &Path,
        replaced: Option<&Found>,
    ) -> Result<(), CheckpointError> {
        let same_step = match replaced {
            Some(old) if old.weights_path() != weights => remove_weights(old),
            _ => Ok(()),
        };
        let old = retain(&self.directory, &self.status.run, self.keep, current);
        same_step.and(old)
    }
}

/// Seconds since 1970, to the microsecond: more digits would be noise.
fn now() -> f64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(elapsed) => elapsed.as_micros() as f64 / 1e6,
        Err(_) => 0.0,
    }
}

fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, CheckpointError> {
    serde_json::to_vec_pretty(value).map_err(|error| CheckpointError::Invalid {
        path: path.to_path_buf(),
        problem: error.to_string(),
    })
}
