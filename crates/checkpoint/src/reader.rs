//! Lists runs and checkpoints. A listing is the truth; events of a file system are hints to list.

use std::fs;
use std::path::{Path, PathBuf};

use crate::name::{STATUS_FILE, Stem};
use crate::{CheckpointError, Key, Manifest, RunStatus, check_run_name};

/// A checkpoint that was found; its weights have not been looked at yet.
///
/// ```
/// use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// RunWriter::create(root, "mnist")?.publish(Snapshot::default(), b"weights")?;
/// let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
/// assert_eq!(found.path.extension(), Some("json".as_ref()));
/// assert_eq!(std::fs::read(found.weights_path())?, b"weights");
/// assert_eq!(found.key().sha256, found.manifest.weights.sha256);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The manifest file.
    pub path: PathBuf,
    /// What it says.
    pub manifest: Manifest,
    run: String,
}

impl Found {
    /// Reads a manifest and holds it against its file name.
    pub(crate) fn read(path: &Path, stem: Stem, run: &str) -> Result<Found, CheckpointError> {
        Ok(Found {
            path: path.to_path_buf(),
            manifest: Manifest::read(path, stem)?,
            run: run.to_owned(),
        })
    }

    /// What identifies the checkpoint. The run is the name of the directory, whatever the manifest
    /// says: directories are renamed.
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// RunWriter::create(root, "mnist")?.publish(Snapshot::default(), b"weights")?;
    /// std::fs::rename(root.join("mnist"), root.join("first-try"))?;
    /// let found = list_checkpoints(root, "first-try")?.manifests.remove(0);
    /// assert_eq!((found.key().run.as_str(), found.manifest.run.as_str()), ("first-try", "mnist"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key(&self) -> Key {
        Key {
            run: self.run.clone(),
            epoch: self.manifest.epoch,
            step: self.manifest.step,
            sha256: self.manifest.weights.sha256.clone(),
        }
    }

    /// Where the weights are as long as retention has not removed them; see
    /// [`spool`](crate::spool()).
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
    /// let mut writer = RunWriter::create(root, "mnist")?.with_keep(1);
    /// writer.publish(Snapshot { epoch: 1, ..Snapshot::default() }, b"one")?;
    /// let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// assert!(found.weights_path().exists());
    /// writer.publish(Snapshot { epoch: 2, ..Snapshot::default() }, b"two")?;
    /// assert!(!found.weights_path().exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn weights_path(&self) -> PathBuf {
        self.path.with_file_name(&self.manifest.weights.file)
    }
}

/// What the directory of one run holds.
///
/// ```
/// use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let mut writer = RunWriter::create(root, "mnist")?;
/// writer.publish(Snapshot { epoch: 1, step: 470, ..Snapshot::default() }, b"weights")?;
/// std::fs::write(root.join("mnist/epoch-000002-step-0000000940.json"), "not JSON")?;
/// let listing = list_checkpoints(root, "mnist")?;
/// assert_eq!((listing.manifests.len(), listing.rejected.len()), (1, 1));
/// assert_eq!(listing.rejected[0].1.reason(), "manifest");
/// assert_eq!(listing.status.map(|status| status.published), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Listing {
    /// The checkpoints, oldest first.
    pub manifests: Vec<Found>,
    /// Manifests that cannot be used, and why; also a status file that cannot be read.
    pub rejected: Vec<(PathBuf, CheckpointError)>,
    /// How the run is doing, if its writer has said so.
    pub status: Option<RunStatus>,
}

/// Names the runs below a directory, sorted.
///
/// Left out are files, names that no writer would use (see [`check_run_name`]), among them all that
/// start with a dot, and symbolic links: one that leaves the root leads to what is not ours to read,
/// one that stays is a second name for a run already listed.
///
/// # Errors
///
/// [`CheckpointError::Unreadable`] if the root cannot be listed, or is not there.
///
/// ```
/// use mirrorwatch_checkpoint::{RunWriter, list_runs};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// for run in ["mnist", "cifar10"] {
///     RunWriter::create(root, run)?;
/// }
/// std::fs::create_dir(root.join(".spool"))?;
/// assert_eq!(list_runs(root)?, ["cifar10", "mnist"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn list_runs(root: impl AsRef<Path>) -> Result<Vec<String>, CheckpointError> {
    let root = root.as_ref();
    let failed = |source| CheckpointError::Unreadable {
        path: root.to_path_buf(),
        source,
    };
    let mut runs = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Does not follow links.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if is_directory && check_run_name(&name).is_ok() {
            runs.push(name);
        }
    }
    runs.sort();
    Ok(runs)
}

/// Lists the checkpoints of a run, oldest first (by time, then by sequence).
///
/// Weights without a manifest are not published yet and not listed. One bad manifest does not hide
/// the others.
///
/// # Errors
///
/// [`CheckpointError::RunName`], [`CheckpointError::UnsafePath`] if the run's directory is a
/// symbolic link, [`CheckpointError::Vanished`] if there is none, and
/// [`CheckpointError::Unreadable`].
///
/// ```
/// use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let mut writer = RunWriter::create(root, "mnist")?;
/// for epoch in 1..=3 {
///     writer.publish(Snapshot { epoch, ..Snapshot::default() }, b"weights")?;
/// }
/// let listing = list_checkpoints(root, "mnist")?;
/// let epochs: Vec<u64> = listing.manifests.iter().map(|found| found.manifest.epoch).collect();
/// assert_eq!(epochs, [1, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn list_checkpoints(root: impl AsRef<Path>, run: &str) -> Result<Listing, CheckpointError> {
    check_run_name(run)?;
    let directory = root.as_ref().join(run);
    refuse_link(&directory)?;
    scan(&directory, run)
}

/// A run's directory is never a symbolic link: neither side follows one.
pub(crate) fn refuse_link(directory: &Path) -> Result<(), CheckpointError> {
    let metadata = fs::symlink_metadata(directory)
        .map_err(|source| CheckpointError::reading(directory, source))?;
    if metadata.is_symlink() {
        let problem = "it is a symbolic link where a run's directory should be";
        return Err(CheckpointError::unsafe_path(directory, problem));
    }
    Ok(())
}

/// Reads every manifest of a run's directory.
pub(crate) fn scan(directory: &Path, run: &str) -> Result<Listing, CheckpointError> {
    let mut listing = Listing::default();
    for file_name in file_names(directory)? {
        let path = directory.join(&file_name);
        let rejected = if file_name == STATUS_FILE {
            RunStatus::read(&path)
                .map(|status| listing.status = Some(status))
                .err()
        } else if let Some(stem) = Stem::of_manifest(&file_name) {
            Found::read(&path, stem, run)
                .map(|found| listing.manifests.push(found))
                .err()
        } else {
            None
        };
        match rejected {
            // Retention came between the listing of the directory and the reading of the file.
            None | Some(CheckpointError::Vanished { .. }) => {}
            Some(error) => listing.rejected.push((path, error)),
        }
    }
    listing.manifests.sort_by(|a, b| {
        let (a, b) = (&a.manifest, &b.manifest);
        let by_time = a.time.total_cmp(&b.time);
        by_time.then(a.sequence.cmp(&b.sequence))
    });
    Ok(listing)
}

/// Sorted names of a directory's entries; ours are all Unicode.
pub(crate) fn file_names(directory: &Path) -> Result<Vec<String>, CheckpointError> {
    let failed = |source| CheckpointError::reading(directory, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunWriter, Snapshot};

    #[test]
    fn only_directories_that_can_be_runs_are_runs() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b", "a", ".spool", "lost+found"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("file"), b"x").unwrap();
        assert_eq!(list_runs(root.path()).unwrap(), ["a", "b"]);
        let error = list_runs(root.path().join("nowhere")).unwrap_err();
        assert_eq!(error.reason(), "io");
    }

    #[test]
    #[cfg(unix)]
    fn linked_runs_are_neither_listed_nor_read_nor_written() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), root.path().join("out")).unwrap();
        assert!(list_runs(root.path()).unwrap().is_empty());
        let error = list_checkpoints(root.path(), "out").unwrap_err();
        assert_eq!(error.reason(), "unsafe_path");
        let error = RunWriter::create(root.path(), "out").unwrap_err();
        assert_eq!(error.reason(), "unsafe_path");
    }

    #[test]
    fn a_run_is_named_by_one_component() {
        let root = tempfile::tempdir().unwrap();
        for run in ["../x", ".", "", "a/b"] {
            let error = list_checkpoints(root.path(), run).unwrap_err();
            assert_eq!(error.reason(), "run_name", "{run}");
        }
        let error = list_checkpoints(root.path(), "gone").unwrap_err();
        assert_eq!(error.reason(), "vanished");
    }

    #[test]
    fn one_bad_file_does_not_hide_the_others() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = RunWriter::create(root.path(), "r").unwrap();
        writer.publish(Snapshot::default(), b"w").unwrap();
        let bad = writer.directory().join("epoch-000001-step-0000000001.json");
        fs::write(&bad, b"{").unwrap();
        fs::write(writer.directory().join("config.json"), b"{").unwrap();
        fs::write(writer.directory().join("run.json"), br#"{"schema": 2}"#).unwrap();
        let listing = list_checkpoints(root.path(), "r").unwrap();
        assert_eq!(listing.manifests.len(), 1);
        assert_eq!(listing.status, None);
        let reasons: Vec<&str> = listing.rejected.iter().map(|r| r.1.reason()).collect();
        assert_eq!(reasons, ["manifest", "version"]);
        assert_eq!(listing.rejected[0].0, bad);
    }

    #[test]
    fn a_renamed_run_goes_by_its_new_name() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = RunWriter::create(root.path(), "old").unwrap();
        writer.publish(Snapshot::default(), b"w").unwrap();
        fs::rename(root.path().join("old"), root.path().join("new")).unwrap();
        let listing = list_checkpoints(root.path(), "new").unwrap();
        assert_eq!(listing.manifests[0].key().run, "new");
        assert_eq!(listing.manifests[0].manifest.run, "old");
    }
}
