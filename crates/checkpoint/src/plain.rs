//! Opens files that somebody else may have put there: plain ones only.
//!
//! A named pipe would keep its reader waiting for ever, a device may never end, and a symbolic link may lead to either.
//! The name is looked at first, for a message that says what is there; then the file that was opened is, which nobody can
//! exchange any more.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Read;
use std::path::Path;

use crate::CheckpointError;

/// Reads a plain file of at most `limit` bytes. It may be replaced or grow meanwhile: nothing waits, and no more is read.
///
/// # Errors
///
/// [`CheckpointError::UnsafePath`] for a symbolic link, a pipe, a device or a directory, [`CheckpointError::TooLarge`],
/// [`CheckpointError::Vanished`] and [`CheckpointError::Unreadable`].
///
/// ```
/// use mirrorwatch_checkpoint::{CheckpointError, read_plain};
///
/// # let root = tempfile::tempdir()?;
/// let path = root.path().join("run.json");
/// std::fs::write(&path, "{}")?;
/// assert_eq!(read_plain(&path, 2)?, b"{}");
/// assert!(matches!(read_plain(&path, 1), Err(CheckpointError::TooLarge { limit: 1, .. })));
/// assert!(matches!(read_plain(root.path(), 1), Err(CheckpointError::UnsafePath { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_plain(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, CheckpointError> {
    let path = path.as_ref();
    let too_large = |bytes: u64| CheckpointError::TooLarge {
        path: path.to_path_buf(),
        bytes,
        limit,
    };
    let (file, length) = open(path, path)?;
    if length > limit {
        return Err(too_large(length));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| CheckpointError::reading(path, source))?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Opens a plain file, and tells its length; errors name `shown`.
pub(crate) fn open(path: &Path, shown: &Path) -> Result<(File, u64), CheckpointError> {
    check(path, shown)?;
    open_now(path, shown)
}

/// Opens what is there now, which may not be what was looked at.
fn open_now(path: &Path, shown: &Path) -> Result<(File, u64), CheckpointError> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Of no effect on plain files, and what keeps anything else from making us wait.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
    }
    let failed = |source| CheckpointError::reading(path, source);
    let file = options.open(path).map_err(failed)?;
    let length = length_of(&file.metadata().map_err(failed)?, shown)?;
    Ok((file, length))
}

/// Makes sure that `path` is a plain file, and tells its length; errors name `shown`.
pub(crate) fn check(path: &Path, shown: &Path) -> Result<u64, CheckpointError> {
    let metadata =
        fs::symlink_metadata(path).map_err(|source| CheckpointError::reading(path, source))?;
    length_of(&metadata, shown)
}

fn length_of(metadata: &Metadata, shown: &Path) -> Result<u64, CheckpointError> {
    if metadata.is_symlink() {
        return Err(CheckpointError::unsafe_path(shown, "it is a symbolic link"));
    }
    if !metadata.is_file() {
        return Err(CheckpointError::unsafe_path(
            shown,
            "it is not a plain file",
        ));
    }
    Ok(metadata.len())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    /// As if they had been exchanged between look and opening: without the flags, the pipe would wait for a writer for ever.
    #[test]
    fn what_was_exchanged_after_the_look_is_refused_and_keeps_nobody_waiting() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        pipe(&at("pipe"));
        symlink("/dev/zero", at("link")).unwrap();
        fs::write(at("file"), b"abc").unwrap();
        for name in ["pipe", "."] {
            let error = open_now(&at(name), &at(name)).unwrap_err();
            assert_eq!(error.reason(), "unsafe_path", "{name}");
        }
        assert_eq!(
            open_now(&at("link"), &at("link")).unwrap_err().reason(),
            "io"
        );
        assert_eq!(open_now(&at("file"), &at("file")).unwrap().1, 3);
    }

    #[test]
    fn what_is_no_plain_file_is_named_as_what_it_is() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        pipe(&at("pipe"));
        symlink("pipe", at("link")).unwrap();
        let told = |name: &str| read_plain(at(name), 10).unwrap_err().to_string();
        assert!(told("pipe").contains("it is not a plain file"));
        assert!(told("link").contains("it is a symbolic link"));
        assert_eq!(
            read_plain("/dev/zero", 10).unwrap_err().reason(),
            "unsafe_path"
        );
        assert_eq!(read_plain(at("none"), 10).unwrap_err().reason(), "vanished");
    }

    /// A file that says it is empty and is not, as those of the kernel do: what is read counts.
    #[test]
    #[cfg(target_os = "linux")]
    fn no_more_is_read_than_allowed_whatever_the_length_says() {
        assert_eq!(fs::metadata("/proc/self/status").unwrap().len(), 0);
        let error = read_plain("/proc/self/status", 16).unwrap_err();
        assert!(matches!(
            error,
            CheckpointError::TooLarge {
                bytes: 17,
                limit: 16,
                ..
            }
        ));
    }
}
