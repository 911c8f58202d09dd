//! Publishes checkpoints: the side of the training process.

mod publish;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use crate::atomic::{
    create_directory_on, parent, remove_abandoned_on, sync_directory_on, write_atomic_on,
};
use crate::digest::random_id;
use crate::name::STATUS_FILE;
use crate::reader::{self, Listing};
use crate::{CheckpointError, Native, RunStatus, SCHEMA, System, check_run_name};

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
    system: Arc<dyn System>,
    directory: PathBuf,
    status: RunStatus,
    keep: usize,
    sequence: u64,
    /// Newest time in the directory: the order of checkpoints survives a clock that is set back.
    last_time: f64,
    warning: Option<CheckpointError>,
    shared: bool,
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
        Self::create_on(Arc::new(Native), root, run)
    }

    /// [`create`](RunWriter::create) on a [`System`] of one's own, for tests of what its failures do.
    ///
    /// # Errors
    ///
    /// As [`create`](RunWriter::create).
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{Native, RunWriter, Snapshot};
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// let mut writer = RunWriter::create_on(std::sync::Arc::new(Native), root, "mnist")?;
    /// assert_eq!(writer.publish(Snapshot::default(), b"weights")?.sequence, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_on(
        system: Arc<dyn System>,
        root: impl AsRef<Path>,
        run: &str,
    ) -> Result<Self, CheckpointError> {
        check_run_name(run)?;
        let directory = root.as_ref().join(run);
        if directory.is_dir() {
            // Whoever created it may have been killed before it was synchronised. It need not be ours to do that.
            let _ = sync_directory_on(system.as_ref(), parent(&directory));
        }
        create_directory_on(system.as_ref(), &directory)?;
        reader::refuse_link(&directory)?;
        remove_abandoned_on(system.as_ref(), &directory)?;
        let Listing { manifests, .. } = reader::scan(&directory, run)?;
        let last_time = manifests.last().map_or(0.0, |found| found.manifest.time);
        let now = seconds(system.now());
        let mut writer = RunWriter {
            system,
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
            shared: false,
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
        self.status.updated = seconds(self.system.now());
        let path = self.directory.join(STATUS_FILE);
        self.write(&path, &to_json(&path, &self.status)?)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
        write_atomic_on(self.system.as_ref(), path, |file| file.write_all(bytes))
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
        self.status.finished = Some(seconds(self.system.now()));
        self.write_status()
    }
}

/// Seconds since 1970, to the microsecond: more digits would be noise.
fn seconds(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
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
