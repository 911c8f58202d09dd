//! What writing asks of the operating system, in one place: so that tests can fail, delay and record each of it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

/// The operating system as [`RunWriter`](crate::RunWriter) sees it. Everything that it changes on a disk is one of
/// these calls; what it reads, it reads from the files themselves.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
///
/// use mirrorwatch_checkpoint::{Native, RunWriter, System, SystemFile};
///
/// /// A disk that forgets what it is told to keep.
/// #[derive(Debug)]
/// struct NoSync;
///
/// impl System for NoSync {
///     fn create(&self, path: &Path) -> std::io::Result<Box<dyn SystemFile>> {
///         Native.create(path)
///     }
///     fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
///         Native.rename(from, to)
///     }
///     fn remove(&self, path: &Path) -> std::io::Result<()> {
///         Native.remove(path)
///     }
///     fn create_directory(&self, path: &Path) -> std::io::Result<()> {
///         Native.create_directory(path)
///     }
///     fn remove_directory(&self, path: &Path) -> std::io::Result<()> {
///         Native.remove_directory(path)
///     }
///     fn sync_directory(&self, _path: &Path) -> std::io::Result<()> {
///         Err(std::io::Error::other("nothing is kept here"))
///     }
/// }
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let refused = RunWriter::create_on(Arc::new(NoSync), root, "mnist");
/// assert!(refused.is_err_and(|error| error.to_string().contains("nothing is kept here")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait System: fmt::Debug + Send + Sync {
    /// Creates a file that is not there yet, for writing.
    ///
    /// # Errors
    ///
    /// What the operating system says; also if the file is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SystemFile>>;

    /// Gives a file another name in the same directory, in the place of what has that name.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// What the operating system says; also if the file is not there.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory in one that is there.
    ///
    /// # Errors
    ///
    /// What the operating system says; also if something is there.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes what was created, renamed and removed in a directory last through a power cut.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// The time of day.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A file that a [`System`] created.
///
/// ```
/// use mirrorwatch_checkpoint::{Native, System, SystemFile};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let mut file = Native.create(&root.join("weights"))?;
/// std::io::Write::write_all(&mut file, b"bytes")?;
/// file.sync()?;
/// assert_eq!(std::fs::read(root.join("weights"))?, b"bytes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait SystemFile: Write {
    /// Makes what was written last through a power cut.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system itself.
///
/// ```
/// use mirrorwatch_checkpoint::{Native, System};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// Native.create_directory(&root.join("mnist"))?;
/// assert!(root.join("mnist").is_dir());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Native;

impl System for Native {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SystemFile>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // Other systems than Unix do not open directories.
        if cfg!(not(unix)) {
            return Ok(());
        }
        File::open(path)?.sync_all()
    }
}

impl SystemFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
