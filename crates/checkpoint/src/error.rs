//! What can go wrong between the training process and the sidecar.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a checkpoint cannot be published, listed or read.
///
/// Every message is one sentence that names the file and says what to do about it;
/// [`reason`](CheckpointError::reason) is the short form for a metric's label.
///
/// ```
/// use mirrorwatch_checkpoint::{CheckpointError, RunWriter, list_checkpoints};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let refused = RunWriter::create(root, ".hidden");
/// assert!(matches!(refused, Err(CheckpointError::RunName { .. })));
/// let nothing = list_checkpoints(root, "mnist");
/// assert!(matches!(nothing, Err(CheckpointError::Vanished { path }) if path == root.join("mnist")));
///
/// std::fs::create_dir(root.join("mnist"))?;
/// std::fs::write(root.join("mnist/run.json"), "{")?;
/// let (_, malformed) = list_checkpoints(root, "mnist")?.rejected.remove(0);
/// assert!(malformed.to_string().contains("run.json is malformed at line 1, column 1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The name cannot be that of a run.
    #[error(
        "{name:?} cannot name a run, {problem}: use 1 to 128 letters, digits, dots, dashes and underscores, not starting with a dot"
    )]
    RunName {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file was there when the directory was listed and is no more.
    #[error("{} was removed before it could be read: keep more checkpoints if retention outruns the sidecar", .path.display())]
    Vanished {
        /// The file or run directory.
        path: PathBuf,
    },
    /// The weights are shorter than the manifest says.
    #[error("{} is truncated: the manifest promises {expected} bytes, {actual} are there; check the disk of the training machine", .path.display())]
    Truncated {
        /// The weights file.
        path: PathBuf,
        /// Bytes that the manifest promises.
        expected: u64,
        /// Bytes that are there.
        actual: u64,
    },
    /// The weights are not the bytes that were published.
    #[error("{} is corrupt, {detail}: discard it and check the disk and the network between trainer and sidecar", .path.display())]
    Corrupt {
        /// The weights file.
        path: PathBuf,
        /// How it differs.
        detail: String,
    },
    /// File names cannot be recognised by this pattern.
    #[error(
        "{pattern:?} is no pattern for checkpoint files, {problem}: write something like model-{{epoch}}"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file is above a cap on sizes.
    #[error("{} takes {bytes} bytes where {limit} are allowed: raise the limit if the file is right", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size; for a manifest that was not read to the end, at least this many.
        bytes: u64,
        /// The cap.
        limit: u64,
    },
    /// A manifest or status file is not the JSON of this protocol.
    #[error("{} is malformed at line {line}, column {column} ({message}): delete it, or publish the checkpoint again", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
        /// What the parser said.
        message: String,
    },
    /// A manifest is well-formed and says something that cannot be.
    #[error("{} is not a valid manifest, {problem}: delete it, or publish the checkpoint again", .path.display())]
    Invalid {
        /// The manifest.
        path: PathBuf,
        /// What cannot be.
        problem: String,
    },
    /// A manifest or status file of another version of the protocol.
    #[error("unknown manifest version {found} in {}: this build reads version {supported}, {}", .path.display(), upgrade(*.found, *.supported))]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that this build reads.
        supported: u32,
    },
    /// A name or link that could lead out of the run's directory.
    #[error("{} is refused, {problem}: only plain files inside a run's own directory are read", .path.display())]
    UnsafePath {
        /// The file, or the manifest that names it.
        path: PathBuf,
        /// What makes it unsafe.
        problem: String,
    },
    /// The operating system refuses to read the file or directory.
    #[error("cannot read {}: {source}; check its permissions and the disk", .path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refuses to write the file or directory.
    #[error("cannot write {}: {source}; check that its directory exists and may be written", .path.display())]
    Unwritable {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk, or the user's share of it, is full.
    #[error("cannot write {}: {source}; free some space or keep fewer checkpoints", .path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl CheckpointError {
    /// Every value of [`reason`](CheckpointError::reason), for metrics that start at 0.
    pub const REASONS: &'static [&'static str] = &[
        "run_name",
        "pattern",
        "vanished",
        "truncated",
        "corrupt",
        "too_large",
        "manifest",
        "version",
        "unsafe_path",
        "io",
        "unwritable",
        "disk_full",
    ];

    /// A short label that never changes, for metrics.
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{CheckpointError, list_checkpoints};
    ///
    /// let gone = list_checkpoints("/nowhere", "mnist").map_err(|error| error.reason());
    /// assert!(matches!(gone, Err("vanished")));
    /// assert!(CheckpointError::REASONS.contains(&"vanished"));
    /// ```
    pub fn reason(&self) -> &'static str {
        match self {
            CheckpointError::RunName { .. } => "run_name",
            CheckpointError::Pattern { .. } => "pattern",
            CheckpointError::Vanished { .. } => "vanished",
            CheckpointError::Truncated { .. } => "truncated",
            CheckpointError::Corrupt { .. } => "corrupt",
            CheckpointError::TooLarge { .. } => "too_large",
            CheckpointError::Malformed { .. } | CheckpointError::Invalid { .. } => "manifest",
            CheckpointError::Version { .. } => "version",
            CheckpointError::UnsafePath { .. } => "unsafe_path",
            CheckpointError::Unreadable { .. } => "io",
            CheckpointError::Unwritable { .. } => "unwritable",
            CheckpointError::DiskFull { .. } => "disk_full",
        }
    }

    /// For a read that failed; a file that is gone is a case of its own.
    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::NotFound => CheckpointError::Vanished { path },
            _ => CheckpointError::Unreadable { path, source },
        }
    }

    /// For a write that failed; a full disk is a case of its own.
    pub(crate) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                CheckpointError::DiskFull { path, source }
            }
            _ => CheckpointError::Unwritable { path, source },
        }
    }

    pub(crate) fn unsafe_path(path: &Path, problem: impl Into<String>) -> Self {
        CheckpointError::UnsafePath {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }
}

/// Which side has to move.
fn upgrade(found: u64, supported: u32) -> &'static str {
    if found > u64::from(supported) {
        "upgrade the sidecar"
    } else {
        "upgrade the training hook"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let path = Path::new("runs/a/run.json");
        let full = CheckpointError::writing(path, ErrorKind::StorageFull.into());
        assert_eq!(full.reason(), "disk_full");
        assert!(full.to_string().contains("free some space"), "{full}");
        let quota = CheckpointError::writing(path, ErrorKind::QuotaExceeded.into());
        assert_eq!(quota.reason(), "disk_full");
        let other = CheckpointError::writing(path, ErrorKind::PermissionDenied.into());
        assert_eq!(other.reason(), "unwritable");
        for error in [full, quota, other] {
            assert!(CheckpointError::REASONS.contains(&error.reason()));
        }
    }

    #[test]
    fn the_side_that_is_behind_is_told_to_upgrade() {
        let error = |found| CheckpointError::Version {
            path: PathBuf::from("m.json"),
            found,
            supported: 1,
        };
        assert_eq!(
            error(7).to_string(),
            "unknown manifest version 7 in m.json: this build reads version 1, upgrade the sidecar"
        );
        assert!(error(0).to_string().ends_with("upgrade the training hook"));
    }
}
