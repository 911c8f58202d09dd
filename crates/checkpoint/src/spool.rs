//! Takes a checkpoint out of the writer's reach before it is read.
//!
//! ```text
//! <root>/<run>/<stem>-<hash>.bpk ── hard link, or copy ──► <spool>/.<name>.<pid>-<n>.tmp ── read, verify ──► bytes
//!            └─ retention may remove this at any time              └─ nobody but us removes this
//! ```
//!
//! A hard link costs nothing and keeps the bytes alive after retention has removed their name. The
//! protocol never writes into an existing file, so they do not change either; the hash proves it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::atomic::temporary_name;
use crate::digest::sha256_hex;
use crate::name::Stem;
use crate::{CheckpointError, Found, Key, Manifest, plain};

/// A checkpoint whose weights are in the spool directory. They are removed from there when this is
/// dropped.
///
/// ```
/// use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints, spool};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// RunWriter::create(root, "mnist")?.publish(Snapshot::default(), b"weights")?;
/// let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
/// let spooled = spool(&found, root.join(".spool"), 1 << 30)?;
/// let path = spooled.path().to_path_buf();
/// assert!(path.exists());
/// drop(spooled);
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Spooled {
    key: Key,
    manifest: Manifest,
    link: Link,
}

/// A file in the spool directory, removed from there when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    /// Named in messages, as it is what a person can look at.
    source: PathBuf,
    path: PathBuf,
    removed: bool,
}

/// Brings the weights of a checkpoint into a private directory: by a hard link where possible, by a
/// copy where not (another device, or links to other users' files forbidden).
///
/// # Arguments
///
/// * `found` - the checkpoint.
/// * `spool_dir` - a directory that nothing else uses; created, for its owner only, if it is not
///   there. Call [`remove_abandoned`](crate::remove_abandoned) on it after a crash.
/// * `max_bytes` - the largest weights file to accept, in bytes.
///
/// # Errors
///
/// [`CheckpointError::Vanished`] if retention was faster, [`CheckpointError::TooLarge`],
/// [`CheckpointError::UnsafePath`] for anything but a plain file, [`CheckpointError::Truncated`] or
/// [`CheckpointError::Corrupt`] if the length is wrong, [`CheckpointError::Unreadable`],
/// [`CheckpointError::Unwritable`], [`CheckpointError::DiskFull`].
///
/// ```
/// use mirrorwatch_checkpoint::{CheckpointError, RunWriter, Snapshot, list_checkpoints, spool};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let mut writer = RunWriter::create(root, "mnist")?.with_keep(1);
/// writer.publish(Snapshot { epoch: 1, ..Snapshot::default() }, b"one")?;
/// let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
/// let refused = spool(&found, root.join(".spool"), 2);
/// assert!(matches!(refused, Err(CheckpointError::TooLarge { bytes: 3, limit: 2, .. })));
///
/// let spooled = spool(&found, root.join(".spool"), 1 << 30)?;
/// // The writer removes the first checkpoint; what is spooled stays.
/// writer.publish(Snapshot { epoch: 2, ..Snapshot::default() }, b"two")?;
/// assert_eq!(spooled.read_verified()?, b"one");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn spool(
    found: &Found,
    spool_dir: impl AsRef<Path>,
    max_bytes: u64,
) -> Result<Spooled, CheckpointError> {
    let source = found.weights_path();
    let weights = &found.manifest.weights;
    if weights.bytes > max_bytes {
        return Err(CheckpointError::TooLarge {
            path: source,
            bytes: weights.bytes,
            limit: max_bytes,
        });
    }
    check_file(&source, &source, weights.bytes)?;
    create_private(spool_dir.as_ref())?;
    // Not the manifest's name for it, which may be too long to be extended.
    let stem = Stem {
        epoch: found.manifest.epoch,
        step: found.manifest.step,
    };
    let name = temporary_name(&stem.weights_name(&weights.sha256));
    let link = Link {
        path: spool_dir.as_ref().join(name),
        source,
        removed: false,
    };
    link.link_or_copy(weights.bytes)?;
    // Once more: between check and link the name may have come to mean another file.
    check_file(&link.path, &link.source, weights.bytes)?;
    Ok(link.into_spooled(found.key(), found.manifest.clone()))
}

impl Link {
    /// Brings a plain file of unknown content into a private directory.
    pub(crate) fn take(
        source: &Path,
        spool_dir: &Path,
        max_bytes: u64,
    ) -> Result<Self, CheckpointError> {
        plain::check(source, source)?;
        create_private(spool_dir)?;
        let link = Self {
            path: spool_dir.join(temporary_name("taken")),
            source: source.to_path_buf(),
            removed: false,
        };
        link.link_or_copy(max_bytes)?;
        plain::check(&link.path, &link.source)?;
        Ok(link)
    }

    /// The file in the spool directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn into_spooled(self, key: Key, manifest: Manifest) -> Spooled {
        Spooled {
            key,
            manifest,
            link: self,
        }
    }

    /// At most `bytes` and one more are copied where there can be no link.
    fn link_or_copy(&self, bytes: u64) -> Result<(), CheckpointError> {
        match fs::hard_link(&self.source, &self.path) {
            Ok(()) => Ok(()),
            // The spool directory is there, so it is the weights that are not.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(CheckpointError::reading(&self.source, e))
            }
            Err(_) => self.copy(bytes),
        }
    }

    fn copy(&self, bytes: u64) -> Result<(), CheckpointError> {
        let (from, _) = plain::open(&self.source, &self.source)?;
        let mut to = File::create_new(&self.path)
            .map_err(|source| CheckpointError::writing(&self.path, source))?;
        // One byte more than expected is enough to see that the file is too long.
        let mut from = from.take(bytes.saturating_add(1));
        match io::copy(&mut from, &mut to) {
            Ok(_) => Ok(()),
            Err(e) => match CheckpointError::writing(&self.path, e) {
                // Which side failed is not known; a full disk is always the spool's.
                CheckpointError::Unwritable { source, .. } => {
                    Err(CheckpointError::reading(&self.source, source))
                }
                full => Err(full),
            },
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.removed {
            // Nobody is left to tell; `remove_abandoned` gets it at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Spooled {
    /// What identifies the checkpoint.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints, spool};
    /// # RunWriter::create(root, "mnist")?.publish(Snapshot { epoch: 3, ..Snapshot::default() }, b"weights")?;
    /// # let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// let spooled = spool(&found, root.join(".spool"), 1 << 30)?;
    /// assert_eq!(spooled.key(), &found.key());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What was published with it.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints, spool};
    /// # RunWriter::create(root, "mnist")?.publish(Snapshot { epoch: 3, ..Snapshot::default() }, b"weights")?;
    /// # let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// let spooled = spool(&found, root.join(".spool"), 1 << 30)?;
    /// assert_eq!(spooled.manifest().epoch, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The weights in the spool directory.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints, spool};
    /// # RunWriter::create(root, "mnist")?.publish(Snapshot { epoch: 3, ..Snapshot::default() }, b"weights")?;
    /// # let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// let spooled = spool(&found, root.join(".spool"), 1 << 30)?;
    /// assert!(spooled.path().starts_with(root.join(".spool")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> &Path {
        &self.link.path
    }

    /// Reads the weights, once, and returns them only if they are what was published.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Truncated`] and [`CheckpointError::Corrupt`] if they are not, both naming
    /// the published file; [`CheckpointError::Unreadable`]; [`CheckpointError::Vanished`] if someone
    /// has emptied the spool directory.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints, spool};
    /// # RunWriter::create(root, "mnist")?.publish(Snapshot { epoch: 3, ..Snapshot::default() }, b"weights")?;
    /// # let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// let spooled = spool(&found, root.join(".spool"), 1 << 30)?;
    /// assert_eq!(spooled.read_verified()?, b"weights");
    /// // A bad disk, say.
    /// std::fs::write(spooled.path(), "weighty")?;
    /// assert!(spooled.read_verified().is_err_and(|error| error.reason() == "corrupt"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_verified(&self) -> Result<Vec<u8>, CheckpointError> {
        let failed = |source| CheckpointError::reading(&self.link.path, source);
        let expected = self.manifest.weights.bytes;
        let (file, length) = plain::open(&self.link.path, &self.link.source)?;
        // Before memory is taken for as many bytes as the manifest claims.
        check_length(&self.link.source, expected, length)?;
        let mut bytes = Vec::new();
        // What does not fit is an error and not the end of the process.
        bytes
            .try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX))
            .map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        file.take(expected.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        check_length(&self.link.source, expected, bytes.len() as u64)?;
        let actual = sha256_hex(&bytes);
        if actual != self.manifest.weights.sha256 {
            let expected = &self.manifest.weights.sha256;
            return Err(CheckpointError::Corrupt {
                path: self.link.source.clone(),
                detail: format!("its sha256 is {actual} where {expected} was published"),
            });
        }
        Ok(bytes)
    }

    /// Removes the weights from the spool directory. Dropping does so too, without a word if it fails.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Unwritable`].
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints, spool};
    /// # RunWriter::create(root, "mnist")?.publish(Snapshot { epoch: 3, ..Snapshot::default() }, b"weights")?;
    /// # let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// let spooled = spool(&found, root.join(".spool"), 1 << 30)?;
    /// let path = spooled.path().to_path_buf();
    /// spooled.remove()?;
    /// assert!(!path.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove(mut self) -> Result<(), CheckpointError> {
        self.link.removed = true;
        match fs::remove_file(&self.link.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(CheckpointError::writing(&self.link.path, e))
            }
            _ => Ok(()),
        }
    }
}

/// Makes sure that `path` is a plain file of the right length; errors name `shown`.
fn check_file(path: &Path, shown: &Path, expected: u64) -> Result<(), CheckpointError> {
    let actual = plain::check(path, shown)?;
    check_length(shown, expected, actual)
}

fn check_length(path: &Path, expected: u64, actual: u64) -> Result<(), CheckpointError> {
    let path = path.to_path_buf();
    if actual < expected {
        return Err(CheckpointError::Truncated {
            path,
            expected,
            actual,
        });
    }
    if actual > expected {
        let detail = format!("it is longer than the {expected} bytes that were published");
        return Err(CheckpointError::Corrupt { path, detail });
    }
    Ok(())
}

/// Creates a directory that only its owner can enter.
fn create_private(directory: &Path) -> Result<(), CheckpointError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
        .create(directory)
        .map_err(|source| CheckpointError::writing(directory, source))
}
