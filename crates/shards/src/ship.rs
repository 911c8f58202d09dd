//! Checkpoints on their way: from the disk of a training to the store, and from there to the disks of sidecars.
//!
//! Neither the hook nor the watching daemon knows of stores: checkpoints are sent from the directory that the hook
//! writes, by a process of its own, and are fetched into the directory that the daemon watches. Weights go before the
//! manifest that names them, in both directions, so that nobody sees a checkpoint before it is whole; what is removed
//! at the one end is removed at the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mirrorwatch_checkpoint::{
    CheckpointError, MAX_MANIFEST_BYTES, Manifest, STATUS_FILE, check_run_name, list_checkpoints,
    list_runs, read_plain, write_atomic,
};

use crate::error::ShardsError;
use crate::store::Store;

/// Where checkpoints are in the store.
const CHECKPOINTS: &str = "checkpoints";

/// Sends the checkpoints below a root directory to a store.
///
/// ```
/// use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
/// use mirrorwatch_shards::{Store, ship::{Fetcher, Sender}};
///
/// # let (root, other, shared) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
/// # let (root, other) = (root.path(), other.path());
/// let store = Store::open(&shared.path().to_string_lossy())?;
/// let mut writer = RunWriter::create(root, "mnist")?.with_keep(1);
/// writer.publish(Snapshot { epoch: 1, ..Snapshot::default() }, b"weights")?;
/// let mut sender = Sender::new(root);
/// assert_eq!((sender.send(&store)?, sender.send(&store)?), (1, 0));
///
/// // On another machine.
/// let mut fetcher = Fetcher::new(other);
/// assert_eq!(fetcher.fetch(&store)?, 1);
/// let found = list_checkpoints(other, "mnist")?.manifests.remove(0);
/// assert_eq!((found.manifest.epoch, std::fs::read(found.weights_path())?), (1, b"weights".to_vec()));
///
/// // What the training does not keep is not kept anywhere.
/// writer.publish(Snapshot { epoch: 2, ..Snapshot::default() }, b"better")?;
/// assert_eq!((sender.send(&store)?, fetcher.fetch(&store)?), (1, 1));
/// assert_eq!(list_checkpoints(other, "mnist")?.manifests.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Sender {
    root: PathBuf,
    /// What lies in the store, by its name there, as far as this sender has put it there.
    sent: BTreeMap<String, Vec<u8>>,
    /// Files that cannot be sent, as far as that was said.
    told: BTreeSet<PathBuf>,
}

impl Sender {
    /// Of the checkpoints below `root`.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// let store = mirrorwatch_shards::Store::open(&shared.path().to_string_lossy())?;
    /// // A directory that does not exist yet has none.
    /// assert_eq!(mirrorwatch_shards::ship::Sender::new("not/there/yet").send(&store)?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            sent: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// Sends what is new and removes what is gone; returns how many checkpoints were sent. Only runs that are below the
    /// root are touched.
    ///
    /// # Errors
    ///
    /// The store cannot be listed or written. What was sent until then stays, and the rest is sent the next time.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// # let store = mirrorwatch_shards::Store::open(&shared.path().to_string_lossy())?;
    /// assert_eq!(mirrorwatch_shards::ship::Sender::new(shared.path()).send(&store)?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(&mut self, store: &Store) -> Result<usize, ShardsError> {
        let mut count = 0;
        // It may come into being.
        for run in list_runs(&self.root).unwrap_or_default() {
            count += self.send_run(store, &run)?;
        }
        Ok(count)
    }

    fn send_run(&mut self, store: &Store, run: &str) -> Result<usize, ShardsError> {
        let directory = format!("{CHECKPOINTS}/{run}");
        let there: BTreeSet<String> = store.list(&directory)?.into_iter().collect();
        let listing = match list_checkpoints(&self.root, run) {
            Ok(listing) => listing,
            Err(error) => {
                tracing::warn!(run, "{error}");
                return Ok(0);
            }
        };
        let (mut count, mut kept) = (0, BTreeSet::new());
        for found in &listing.manifests {
            let weights = format!("{directory}/{}", found.manifest.weights.file);
            let Some(name) = found.path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let manifest = format!("{directory}/{name}");
            let Some(json) = self.read(run, &found.path, MAX_MANIFEST_BYTES) else {
                continue;
            };
            if !there.contains(&weights) {
                let most = found.manifest.weights.bytes;
                let Some(bytes) = self.read(run, &found.weights_path(), most) else {
                    continue;
                };
                store.put(&weights, bytes)?;
            }
            count += usize::from(self.put_changed(store, &manifest, json, &there)?);
            kept.extend([weights, manifest]);
        }
        let status = format!("{directory}/{STATUS_FILE}");
        let path = self.root.join(run).join(STATUS_FILE);
        if let Some(json) = self.read(run, &path, MAX_MANIFEST_BYTES) {
            // Last: it may say that the run has finished.
            self.put_changed(store, &status, json, &there)?;
        }
        kept.insert(status);
        let mut gone: Vec<String> = there.difference(&kept).cloned().collect();
        manifests_first(&mut gone);
        store.remove(&gone)?;
        self.sent.retain(|name, _| !gone.contains(name));
        Ok(count)
    }

    /// Reads a plain file of at most so many bytes. One that was removed in the meantime is not there to be sent; of any
    /// other that cannot be, a link out of the directory or a pipe, one warning is enough.
    fn read(&mut self, run: &str, path: &Path, most: u64) -> Option<Vec<u8>> {
        match read_plain(path, most) {
            Ok(bytes) => return Some(bytes),
            Err(CheckpointError::Vanished { .. }) => {}
            Err(error) => {
                if self.told.insert(path.to_path_buf()) {
                    tracing::warn!(run, "not sent: {error}");
                }
            }
        }
        None
    }

    /// Puts a small file into the store unless it is there as it is; says whether it was put there.
    fn put_changed(
        &mut self,
        store: &Store,
        name: &str,
        bytes: Vec<u8>,
        there: &BTreeSet<String>,
    ) -> Result<bool, ShardsError> {
        let known = self.sent.get(name) == Some(&bytes)
            || (there.contains(name) && store.get(name)?.as_ref() == Some(&bytes));
        if !known {
            store.put(name, bytes.clone())?;
        }
        self.sent.insert(name.to_string(), bytes);
        Ok(!known)
    }
}

/// Fetches the checkpoints in a store to below a root directory.
///
/// See [`Sender`].
#[derive(Debug)]
pub struct Fetcher {
    root: PathBuf,
    /// Largest weights that are fetched, in bytes.
    max_bytes: u64,
    /// The marks of the files that were fetched.
    fetched: BTreeMap<String, String>,
}

impl Fetcher {
    /// To below `root`.
    ///
    /// ```
    /// # let (root, shared) = (tempfile::tempdir()?, tempfile::tempdir()?);
    /// let store = mirrorwatch_shards::Store::open(&shared.path().to_string_lossy())?;
    /// assert_eq!(mirrorwatch_shards::ship::Fetcher::new(root.path()).fetch(&store)?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            max_bytes: u64::MAX,
            fetched: BTreeMap::new(),
        }
    }

    /// Fetches no weights of more bytes than that: of such a checkpoint only the manifest comes, which is refused where it
    /// is watched for, with a reason. Of any file, no more than it may have and one byte is ever fetched.
    ///
    /// ```
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
    /// # use mirrorwatch_shards::{Store, ship::{Fetcher, Sender}};
    /// # let (root, other, shared) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    /// # let (root, other) = (root.path(), other.path());
    /// # let store = Store::open(&shared.path().to_string_lossy())?;
    /// RunWriter::create(root, "mnist")?.publish(Snapshot::default(), b"weights")?;
    /// Sender::new(root).send(&store)?;
    /// Fetcher::new(other).with_max_bytes(6).fetch(&store)?;
    /// let found = list_checkpoints(other, "mnist")?.manifests.remove(0);
    /// assert!(!found.weights_path().exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Fetches what is new and removes what it has fetched and is gone; returns how many checkpoints were fetched.
    ///
    /// # Errors
    ///
    /// The store cannot be listed or read, or a file cannot be written. The rest is fetched the next time.
    ///
    /// ```
    /// # let (root, shared) = (tempfile::tempdir()?, tempfile::tempdir()?);
    /// # let store = mirrorwatch_shards::Store::open(&shared.path().to_string_lossy())?;
    /// // Whoever may write to the store may not write anywhere else.
    /// store.put("checkpoints/.ssh/epoch-000001-step-0000000001.json", b"{}".to_vec())?;
    /// assert_eq!(mirrorwatch_shards::ship::Fetcher::new(root.path()).fetch(&store)?, 0);
    /// assert!(!root.path().join(".ssh").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fetch(&mut self, store: &Store) -> Result<usize, ShardsError> {
        let there: BTreeMap<String, String> = store.list_marked(CHECKPOINTS)?.into_iter().collect();
        let mut count = 0;
        for (name, mark) in &there {
            let Some((run, file)) = parts_of(name) else {
                continue;
            };
            if !file.ends_with(".json") || self.fetched.get(name) == Some(mark) {
                continue;
            }
            let Some(json) = store.get_at_most(name, MAX_MANIFEST_BYTES)? else {
                continue;
            };
            let directory = self.root.join(run);
            if file != STATUS_FILE {
                match self.weights_of(store, (run, file), &json) {
                    Ok(true) => {}
                    // Removed in the meantime.
                    Ok(false) => continue,
                    Err(error) => return Err(error),
                }
                count += 1;
            }
            write(&directory.join(file), &json)?;
            self.fetched.insert(name.clone(), mark.clone());
        }
        let mut gone: Vec<String> = Vec::new();
        for name in self
            .fetched
            .keys()
            .filter(|name| !there.contains_key(*name))
        {
            gone.push(name.clone());
        }
        manifests_first(&mut gone);
        for name in gone {
            if let Some((run, file)) = parts_of(&name) {
                // Whoever has removed it before has done what is to be done.
                let _ = std::fs::remove_file(self.root.join(run).join(file));
            }
            self.fetched.remove(&name);
        }
        Ok(count)
    }

    /// Fetches the weights that a manifest names, where they are not here yet; `false` where there are none.
    fn weights_of(
        &mut self,
        store: &Store,
        (run, file): (&str, &str),
        json: &[u8],
    ) -> Result<bool, ShardsError> {
        // One that is none goes its way, and is refused where it is watched for, with a reason.
        let Ok(manifest) = Manifest::from_bytes(file, json) else {
            return Ok(true);
        };
        // So is one whose weights are too large.
        if manifest.weights.bytes > self.max_bytes {
            return Ok(true);
        }
        let name = format!("{CHECKPOINTS}/{run}/{}", manifest.weights.file);
        let Some((_, file)) = parts_of(&name) else {
            return Ok(true);
        };
        let path = self.root.join(run).join(file);
        if !path.exists() {
            // Longer ones than the manifest says are refused, too.
            let Some(bytes) = store.get_at_most(&name, manifest.weights.bytes)? else {
                return Ok(false);
            };
            write(&path, &bytes)?;
        }
        self.fetched.insert(name, String::new());
        Ok(true)
    }
}

/// Run and file of a name in the store, where they can be those of a directory and of a file in it.
fn parts_of(name: &str) -> Option<(&str, &str)> {
    let (run, file) = name
        .strip_prefix(CHECKPOINTS)?
        .strip_prefix('/')?
        .split_once('/')?;
    // No file system knows longer names: one of them would fail again and again, and nothing behind it be fetched.
    let plain = !file.starts_with('.') && !file.contains(['/', '\\']) && file.len() <= 255;
    (check_run_name(run).is_ok() && plain).then_some((run, file))
}

/// Weights must not go before the manifest that names them.
fn manifests_first(names: &mut [String]) {
    names.sort_by_key(|name| !name.ends_with(".json"));
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ShardsError> {
    let failed = |message: String| ShardsError::Local {
        action: "write",
        path: path.display().to_string(),
        message,
    };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|error| failed(error.to_string()))?;
    }
    write_atomic(path, bytes).map_err(|error| failed(error.to_string()))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use mirrorwatch_checkpoint::{RunWriter, Snapshot};

    use super::*;

    /// Whoever may write to a run's directory may not have read what the sender may.
    #[test]
    fn links_and_pipes_are_not_sent_and_the_others_are() {
        let (root, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(&shared.path().to_string_lossy()).unwrap();
        let mut writer = RunWriter::create(root.path(), "r").unwrap();
        let mut paths = Vec::new();
        for step in 1..=3 {
            let snapshot = Snapshot {
                step,
                ..Snapshot::default()
            };
            let weights = writer.publish(snapshot, b"weights").unwrap().weights;
            paths.push(writer.directory().join(weights.file));
        }
        for path in &paths[..2] {
            std::fs::remove_file(path).unwrap();
        }
        symlink("/etc/passwd", &paths[0]).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&paths[1]).status();
        assert!(made.unwrap().success());
        let mut sender = Sender::new(root.path());
        assert_eq!(
            (sender.send(&store).unwrap(), sender.send(&store).unwrap()),
            (1, 0)
        );
        // Manifest and weights of the third, and the status.
        assert_eq!(store.list("checkpoints/r").unwrap().len(), 3);
        assert_eq!(sender.told.len(), 2);
    }

    /// Whoever may write to the store may not fill the disks of those who fetch.
    #[test]
    fn no_more_is_fetched_than_a_file_may_have() {
        let (root, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let other = tempfile::tempdir().unwrap();
        let store = Store::open(&shared.path().to_string_lossy()).unwrap();
        let mut writer = RunWriter::create(root.path(), "r").unwrap();
        let mut weights = Vec::new();
        for (step, bytes) in [(1, 100), (2, 101), (3, 50)] {
            let snapshot = Snapshot {
                step,
                ..Snapshot::default()
            };
            let manifest = writer.publish(snapshot, &vec![7; bytes]).unwrap();
            weights.push(manifest.weights.file);
        }
        assert_eq!(Sender::new(root.path()).send(&store).unwrap(), 3);
        // The third is not what its manifest says.
        let third = format!("checkpoints/r/{}", weights[2]);
        store.put(&third, vec![7; 100_000]).unwrap();
        let endless = "checkpoints/r/epoch-000009-step-0000000009.json";
        store.put(endless, vec![b' '; 3_000_000]).unwrap();
        let mut fetcher = Fetcher::new(other.path()).with_max_bytes(100);
        fetcher.fetch(&store).unwrap();
        let length = |file: &str| {
            let found = std::fs::metadata(other.path().join("r").join(file));
            found.ok().map(|found| found.len())
        };
        let fetched: Vec<_> = weights.iter().map(|file| length(file)).collect();
        assert_eq!(fetched, [Some(100), None, Some(51)]);
        let (_, endless) = parts_of(endless).unwrap();
        assert_eq!(length(endless), Some(MAX_MANIFEST_BYTES + 1));
        // All of them go on to where they are refused.
        let listing = list_checkpoints(other.path(), "r").unwrap();
        assert_eq!((listing.manifests.len(), listing.rejected.len()), (3, 1));
        assert_eq!(fetcher.fetch(&store).unwrap(), 0);
    }

    #[test]
    fn names_that_no_disk_takes_are_not_fetched() {
        let long = format!("checkpoints/r/{}.json", "x".repeat(251));
        assert_eq!(parts_of(&long), None);
        assert!(parts_of(&long.replacen('x', "", 1)).is_some());
    }
}
