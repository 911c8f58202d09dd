//! Files that appear whole or not at all, and what is left of those that never appeared.
//!
//! ```text
//! .<name>.<pid>-<n>.tmp ── write ── fsync ── rename ──► <name> ── fsync of the directory
//! ```

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::{CheckpointError, Native, System};

/// Age from which a temporary counts as abandoned where processes cannot be asked after.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 16;

/// Writes a file so that every reader, at any time and after any crash, sees the old content or the
/// new one and nothing in between.
///
/// # Arguments
///
/// * `path` - the file; its directory must exist.
/// * `bytes` - the whole content.
///
/// # Errors
///
/// [`CheckpointError::DiskFull`] or [`CheckpointError::Unwritable`]. The temporary is removed, and
/// the old content stays, unless it was only the directory that could not be synchronised: then the
/// new content is visible, but might not survive a power cut.
///
/// ```
/// use mirrorwatch_checkpoint::write_atomic;
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let path = root.join("state.json");
/// write_atomic(&path, b"old")?;
/// write_atomic(&path, b"new")?;
/// assert_eq!(std::fs::read(&path)?, b"new");
/// // Nothing else is left in the directory.
/// assert_eq!(std::fs::read_dir(root)?.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), CheckpointError> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// [`write_atomic`] for content that is made while it is written, and never in memory as a whole.
///
/// # Arguments
///
/// * `path` - the file; its directory must exist.
/// * `write` - writes the whole content; small writes are gathered.
///
/// # Errors
///
/// As [`write_atomic`], and what `write` fails with.
///
/// ```
/// use mirrorwatch_checkpoint::write_atomic_with;
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let path = root.join("numbers.txt");
/// write_atomic_with(&path, |file| (1..=3).try_for_each(|n| writeln!(file, "{n}")))?;
/// assert_eq!(std::fs::read(&path)?, b"1\n2\n3\n");
/// // What was there stays whatever fails.
/// let failed = write_atomic_with(&path, |_| Err(std::io::Error::other("no more numbers")));
/// assert!(failed.is_err_and(|error| error.to_string().contains("no more numbers")));
/// assert_eq!(std::fs::read(&path)?, b"1\n2\n3\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomic_with(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), CheckpointError> {
    write_atomic_on(&Native, path.as_ref(), write)
}

/// [`write_atomic_with`] on any system.
pub(crate) fn write_atomic_on(
    system: &dyn System,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), CheckpointError> {
    let Some(name) = path.file_name() else {
        return Err(CheckpointError::unsafe_path(path, "it names no file"));
    };
    let directory = parent(path);
    let temporary = directory.join(temporary_name(&name.to_string_lossy()));
    let written =
        write_synced(system, &temporary, write).and_then(|()| system.rename(&temporary, path));
    if let Err(source) = written {
        // The first failure is the one to report; there may be nothing to remove.
        let _ = system.remove(&temporary);
        return Err(CheckpointError::writing(path, source));
    }
    sync_directory_on(system, directory).map_err(|source| CheckpointError::writing(path, source))
}

/// Removes the temporaries that processes now dead left in a directory; returns how many.
///
/// Temporaries of living processes stay. Where the operating system does not tell which processes
/// live, a temporary is abandoned an hour after it was last written.
///
/// # Errors
///
/// [`CheckpointError::Vanished`] or [`CheckpointError::Unreadable`] if the directory cannot be
/// listed, [`CheckpointError::Unwritable`] if a temporary cannot be removed.
///
/// ```
/// use mirrorwatch_checkpoint::remove_abandoned;
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// // Of a process that is no more: no process has this number.
/// std::fs::write(root.join(".state.json.4294967295-7.tmp"), "hal")?;
/// std::fs::write(root.join("state.json"), "whole")?;
/// # if std::path::Path::new("/proc/self").exists() {
/// assert_eq!(remove_abandoned(root)?, 1);
/// # }
/// assert_eq!(remove_abandoned(root)?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn remove_abandoned(directory: impl AsRef<Path>) -> Result<usize, CheckpointError> {
    remove_abandoned_on(&Native, directory.as_ref())
}

/// Removes the temporaries of all other processes, dead or not, from a directory that is the caller's alone; returns
/// how many.
///
/// # Errors
///
/// As [`remove_abandoned`].
///
/// ```
/// use mirrorwatch_checkpoint::remove_temporaries;
///
/// # let spool = tempfile::tempdir()?;
/// # let spool = spool.path();
/// std::fs::write(spool.join(".weights.bpk.1-7.tmp"), "hal")?;
/// std::fs::write(spool.join("weights.bpk"), "whole")?;
/// assert_eq!(remove_temporaries(spool)?, 1);
/// assert!(spool.join("weights.bpk").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn remove_temporaries(directory: impl AsRef<Path>) -> Result<usize, CheckpointError> {
    remove_where(&Native, directory.as_ref(), |_, pid, n| !is_own(pid, n))
}

/// [`remove_abandoned`] on any system.
pub(crate) fn remove_abandoned_on(
    system: &dyn System,
    directory: &Path,
) -> Result<usize, CheckpointError> {
    remove_where(system, directory, is_abandoned)
}

fn remove_where(
    system: &dyn System,
    directory: &Path,
    abandoned: impl Fn(&fs::DirEntry, u32, u64) -> bool,
) -> Result<usize, CheckpointError> {
    let failed = |source| CheckpointError::reading(directory, source);
    let mut removed = 0;
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some((pid, n)) = parse_temporary(&name.to_string_lossy()) else {
            continue;
        };
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || !abandoned(&entry, pid, n) {
            continue;
        }
        match system.remove(&entry.path()) {
            Ok(()) => removed += 1,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(CheckpointError::writing(&entry.path(), source)),
        }
    }
    Ok(removed)
}

/// A name beside `name` that nothing else uses.
pub(crate) fn temporary_name(name: &str) -> String {
    let n = counter().1.fetch_add(1, Ordering::Relaxed);
    format!(".{name}.{}-{n}.tmp", std::process::id())
}

fn write_synced(
    system: &dyn System,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(BUFFER, system.create(path)?);
    write(&mut file)?;
    file.into_inner()?.sync()
}

/// Makes sure that a directory is there and lasts through a power cut, with all that is created above it.
///
/// # Errors
///
/// [`CheckpointError::Unwritable`] if it cannot be created, or not be synchronised.
///
/// ```
/// use mirrorwatch_checkpoint::create_directory;
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// create_directory(&root.join("a/b"))?;
/// create_directory(&root.join("a/b"))?;
/// assert!(root.join("a/b").is_dir());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn create_directory(directory: impl AsRef<Path>) -> Result<(), CheckpointError> {
    create_directory_on(&Native, directory.as_ref())
}

/// [`create_directory`] on any system.
pub(crate) fn create_directory_on(
    system: &dyn System,
    directory: &Path,
) -> Result<(), CheckpointError> {
    if directory.is_dir() {
        return Ok(());
    }
    create_missing(system, directory).map_err(|source| CheckpointError::writing(directory, source))
}

fn create_missing(system: &dyn System, directory: &Path) -> io::Result<()> {
    let above = parent(directory);
    let created = match system.create_directory(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && above != directory => {
            create_missing(system, above)?;
            system.create_directory(directory)
        }
        created => created,
    };
    match created {
        // Another process was faster, and may not have synchronised it yet.
        Err(_) if directory.is_dir() => {}
        created => created?,
    }
    sync_directory_on(system, above).inspect_err(|_| {
        // The next attempt has to find that it is not there; whoever has put something into it keeps it.
        let _ = system.remove_directory(directory);
    })
}

/// Makes what was renamed, created or removed in a directory last through a power cut, where the file system knows how.
///
/// # Errors
///
/// [`CheckpointError::Unwritable`] if it cannot be synchronised, or is not there.
///
/// ```
/// use mirrorwatch_checkpoint::sync_directory;
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// std::fs::create_dir(root.join("a"))?;
/// std::fs::rename(root.join("a"), root.join("b"))?;
/// sync_directory(root)?;
/// # assert!(!cfg!(unix) || sync_directory(root.join("a")).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sync_directory(directory: impl AsRef<Path>) -> Result<(), CheckpointError> {
    let directory = directory.as_ref();
    sync_directory_on(&Native, directory)
        .map_err(|source| CheckpointError::writing(directory, source))
}

/// [`sync_directory`] on any system.
pub(crate) fn sync_directory_on(system: &dyn System, directory: &Path) -> io::Result<()> {
    match system.sync_directory(directory) {
        // What some network and user-space file systems say of any directory: they promise nothing, and another
        // attempt would not help.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// The directory that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Start and next value of the numbers in this process's temporaries. They start at the clock: in
/// containers every process has the same id, and a new one must tell its temporaries from those of
/// its predecessor.
fn counter() -> &'static (u64, AtomicU64) {
    static COUNTER: OnceLock<(u64, AtomicU64)> = OnceLock::new();
    COUNTER.get_or_init(|| {
        let start = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(elapsed) => elapsed.as_micros() as u64,
            Err(_) => 0,
        };
        (start, AtomicU64::new(start))
    })
}

/// Whether a process of this number runs. One that has ended stays in the table until whoever is responsible for it has
/// noticed, which in a container may be never: the state is the first field after the name, see proc(5).
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
        return Path::new(&format!("/proc/{pid}")).exists();
    };
    let after = stat.rsplit(|byte| *byte == b')').next().unwrap_or_default();
    !matches!(after.trim_ascii_start().first(), Some(b'Z' | b'X'))
}

/// The process and number in the name of a temporary, `None` for any other name.
fn parse_temporary(name: &str) -> Option<(u32, u64)> {
    let inner = name.strip_prefix('.')?.strip_suffix(".tmp")?;
    let (_, numbers) = inner.rsplit_once('.')?;
    let (pid, n) = numbers.split_once('-')?;
    Some((pid.parse().ok()?, n.parse().ok()?))
}

/// Whether this process has made a temporary of these numbers.
fn is_own(pid: u32, n: u64) -> bool {
    let (start, next) = counter();
    pid == std::process::id() && (*start..next.load(Ordering::Relaxed)).contains(&n)
}

fn is_abandoned(entry: &fs::DirEntry, pid: u32, n: u64) -> bool {
    if pid == std::process::id() {
        return !is_own(pid, n);
    }
    if Path::new("/proc/self").exists() {
        return !is_alive(pid);
    }
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > ABANDONED_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        write_atomic(&path, b"first, and longer").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_has_ended_is_not_alive_before_somebody_has_noticed() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(is_alive(child.id()) && is_alive(std::process::id()));
        child.kill().unwrap();
        // Not waited for: it stays in the table.
        while is_alive(child.id()) {
            std::thread::yield_now();
        }
        assert!(Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"x").unwrap();
        let error = write_atomic(file.join("state.json"), b"x").unwrap_err();
        assert_eq!(error.reason(), "unwritable");
        let message = error.to_string();
        assert!(
            message.contains("file/state.json: Not a directory"),
            "{message}"
        );
        assert_eq!(write_atomic("/", b"x").unwrap_err().reason(), "unsafe_path");
    }

    #[test]
    fn a_rename_that_fails_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("occupied");
        fs::create_dir(&path).unwrap();
        assert!(write_atomic(&path, b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_the_temporaries_of_the_dead_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let own = temporary_name("a.bpk");
        // Above the largest process id that Linux gives out.
        let dead = ".a.bpk.4194999-1.tmp";
        let predecessor = format!(".a.bpk.{}-12.tmp", std::process::id());
        let others = [
            "a.bpk",
            ".hidden",
            ".x.tmp",
            ".a.b-c.tmp",
            "a.4194999-1.tmp",
        ];
        for name in others
            .iter()
            .chain([&dead, &own.as_str(), &predecessor.as_str()])
        {
            fs::write(dir.path().join(name), b"x").unwrap();
        }
        assert_eq!(remove_abandoned(dir.path()).unwrap(), 2);
        assert!(!dir.path().join(dead).exists());
        assert!(!dir.path().join(predecessor).exists());
        assert!(dir.path().join(own).exists());
        for name in others {
            assert!(dir.path().join(name).exists(), "{name}");
        }
    }
}
