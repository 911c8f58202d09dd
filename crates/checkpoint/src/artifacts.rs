//! Checkpoints that nobody published: files that a training writes by itself, with no hook in it.
//!
//! Burn's own learner keeps `<artifacts>/checkpoint/model-<epoch>.bpk`, written under another name and renamed, and
//! deletes old ones after two epochs. Others write `<directory>/model-<epoch>.safetensors`, often in place. There is no
//! manifest, so a listing takes a hard link at once, before anything is read: what is deleted a moment later is still
//! there to be scanned, and hash and length are those of the bytes that were taken.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::digest::sha256_of;
use crate::reader::{file_names, refuse_link};
use crate::spool::{self, Spooled};
use crate::{
    BURNPACK, CheckpointError, Key, Manifest, SAFETENSORS, SCHEMA, Weights, check_run_name, plain,
    read_plain,
};

/// Files that are written in place count as complete when they have not changed for this long.
const SETTLED: Duration = Duration::from_secs(2);

/// The largest log that a loss is taken from, in bytes.
const LARGEST_LOG: u64 = 64 << 20;

/// The writer that manifests of such checkpoints name.
pub const UNHOOKED: &str = "unhooked";

/// A directory that a training without a hook writes its checkpoints to.
///
/// ```
/// use mirrorwatch_checkpoint::Artifacts;
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// std::fs::create_dir(root.join("checkpoint"))?;
/// std::fs::write(root.join("checkpoint/model-3.bpk"), "the weights")?;
/// let artifacts = Artifacts::new(root, Some("mnist"), "model-{epoch}")?;
/// for file in artifacts.list()? {
///     let spooled = artifacts.take(file, root.join(".spool"), 1 << 30)?.spooled()?;
///     assert_eq!((spooled.key().run.as_str(), spooled.key().epoch), ("mnist", 3));
///     assert_eq!(spooled.read_verified()?, b"the weights");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifacts {
    directory: PathBuf,
    run: String,
    pattern: Pattern,
}

impl Artifacts {
    /// The artifact directory of Burn's learner, or any directory of checkpoint files.
    ///
    /// # Arguments
    ///
    /// * `directory` - files are looked for in it and in its `checkpoint`; it need not exist yet.
    /// * `run` - the name to show; that of the directory if none is given.
    /// * `pattern` - file names without extension, with `{epoch}`, `{step}` or both as numbers: `model-{epoch}`
    ///   for Burn's learner. The extension is `.bpk` or `.safetensors` and says what is in the file.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::RunName`] if the run cannot be named so, and [`CheckpointError::Pattern`].
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{Artifacts, CheckpointError};
    ///
    /// let artifacts = Artifacts::new("trainings/mnist", None, "model-{epoch}")?;
    /// assert_eq!(artifacts.run(), "mnist");
    /// let refused = Artifacts::new("trainings/mnist", None, "model");
    /// assert!(matches!(refused, Err(CheckpointError::Pattern { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        directory: impl AsRef<Path>,
        run: Option<&str>,
        pattern: &str,
    ) -> Result<Self, CheckpointError> {
        let directory = directory.as_ref().to_path_buf();
        let name = directory.file_name().map(|name| name.to_string_lossy());
        let run = run.map_or_else(|| name.unwrap_or_default().into_owned(), str::to_owned);
        check_run_name(&run)?;
        Ok(Self {
            directory,
            run,
            pattern: Pattern::parse(pattern)?,
        })
    }

    /// Where files are looked for.
    ///
    /// ```
    /// let artifacts = mirrorwatch_checkpoint::Artifacts::new("trainings/mnist", None, "e{epoch}-s{step}")?;
    /// assert_eq!(artifacts.directory(), std::path::Path::new("trainings/mnist"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The name of the run.
    ///
    /// ```
    /// let artifacts = mirrorwatch_checkpoint::Artifacts::new("trainings/7", Some("mnist-7"), "model-{epoch}")?;
    /// assert_eq!(artifacts.run(), "mnist-7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The checkpoint files that are there now, oldest first. No directory is no checkpoint: the training has not
    /// begun.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::UnsafePath`] if its `checkpoint` is a symbolic link, and [`CheckpointError::Unreadable`].
    ///
    /// ```
    /// use mirrorwatch_checkpoint::Artifacts;
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// let artifacts = Artifacts::new(root.join("a"), None, "e{epoch}-s{step}")?;
    /// assert!(artifacts.list()?.is_empty());
    /// std::fs::create_dir(root.join("a"))?;
    /// for name in ["e1-s500.safetensors", "optim-1.safetensors", "notes.txt"] {
    ///     std::fs::write(root.join("a").join(name), "")?;
    /// }
    /// let found = artifacts.list()?;
    /// assert_eq!((found.len(), found[0].epoch, found[0].step), (1, 1, 500));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn list(&self) -> Result<Vec<ArtifactFile>, CheckpointError> {
        let mut found = Vec::new();
        // Whoever names a link means what it leads to; below it, none is followed.
        let top = fs::canonicalize(&self.directory).unwrap_or_else(|_| self.directory.clone());
        for directory in [top.clone(), top.join("checkpoint")] {
            let names = refuse_link(&directory).and_then(|()| file_names(&directory));
            let names = match names {
                Ok(names) => names,
                Err(CheckpointError::Vanished { .. }) => continue,
                Err(error) => return Err(error),
            };
            for name in names {
                let path = directory.join(&name);
                if let Some((epoch, step, format)) = self.pattern.read(&name)
                    && let Some(file) = ArtifactFile::look(path, epoch, step, format)
                {
                    found.push(file);
                }
            }
        }
        found.sort_by(|a, b| {
            let order = |f: &ArtifactFile| (f.modified, f.epoch, f.step);
            order(a).cmp(&order(b))
        });
        Ok(found)
    }

    /// The mean training loss of an epoch as Burn's learner logs it; none where it does not.
    fn train_loss(&self, epoch: u64) -> Option<f64> {
        let log = self.directory.join(format!("train/epoch-{epoch}/Loss.log"));
        // A log of a million lines is no loss to be without.
        let text = read_plain(&log, LARGEST_LOG).ok()?;
        // Of a training that has diverged, as if it had not said: that is what its weights are for.
        mean_of_log(std::str::from_utf8(&text).ok()?).filter(|loss| loss.is_finite())
    }
}

/// A checkpoint file that was seen. Equal if it is still the same file with the same content, as far as a directory
/// tells.
///
/// ```
/// use mirrorwatch_checkpoint::Artifacts;
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let artifacts = Artifacts::new(root, Some("mnist"), "model-{epoch}")?;
/// std::fs::write(root.join("model-1.bpk"), "some weights")?;
/// let seen = artifacts.list()?;
/// assert_eq!((seen[0].epoch, seen[0].step), (1, 0));
/// assert_eq!(seen[0].path.file_name(), Some("model-1.bpk".as_ref()));
/// assert_eq!(artifacts.list()?, seen);
/// // Written again, it is another one.
/// std::fs::write(root.join("model-1.bpk"), "some other weights")?;
/// assert_ne!(artifacts.list()?, seen);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactFile {
    /// Where it is.
    pub path: PathBuf,
    /// Epoch in its name, 0 if there is none.
    pub epoch: u64,
    /// Step in its name, 0 if there is none.
    pub step: u64,
    format: &'static str,
    bytes: u64,
    modified: SystemTime,
}

impl ArtifactFile {
    /// What is at a path; none for anything but a plain file, or one that is gone again.
    fn look(path: PathBuf, epoch: u64, step: u64, format: &'static str) -> Option<Self> {
        let metadata = fs::symlink_metadata(&path).ok()?;
        metadata.is_file().then(|| Self {
            path,
            epoch,
            step,
            format,
            bytes: metadata.len(),
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        })
    }
}

/// A file that was taken, and may not be complete yet.
///
/// ```
/// use mirrorwatch_checkpoint::Artifacts;
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let artifacts = Artifacts::new(root, Some("mnist"), "model-{epoch}")?;
/// std::fs::write(root.join("model-1.bpk"), "weights")?;
/// let taken = artifacts.take(artifacts.list()?.remove(0), root.join(".spool"), 1 << 30)?;
/// assert_eq!(taken.file().epoch, 1);
/// assert!(taken.is_settled());
/// assert_eq!(taken.spooled()?.manifest().weights.bytes, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Taken {
    file: ArtifactFile,
    run: String,
    train_loss: Option<f64>,
    max_bytes: u64,
    link: spool::Link,
}

impl Artifacts {
    /// Takes a link of a file, before anything of it is read.
    ///
    /// # Errors
    ///
    /// As [`spool`](crate::spool()).
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{Artifacts, CheckpointError};
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// let artifacts = Artifacts::new(root, Some("mnist"), "model-{epoch}")?;
    /// std::fs::write(root.join("model-1.bpk"), "weights")?;
    /// let file = artifacts.list()?.remove(0);
    /// let refused = artifacts.take(file.clone(), root.join(".spool"), 5);
    /// assert!(matches!(refused, Err(CheckpointError::TooLarge { bytes: 7, limit: 5, .. })));
    /// // What was taken stays, whatever becomes of the file.
    /// let taken = artifacts.take(file, root.join(".spool"), 7)?;
    /// std::fs::remove_file(root.join("model-1.bpk"))?;
    /// assert_eq!(taken.spooled()?.read_verified()?, b"weights");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take(
        &self,
        file: ArtifactFile,
        spool_dir: impl AsRef<Path>,
        max_bytes: u64,
    ) -> Result<Taken, CheckpointError> {
        if file.bytes > max_bytes {
            return Err(CheckpointError::TooLarge {
                path: file.path,
                bytes: file.bytes,
                limit: max_bytes,
            });
        }
        let link = spool::Link::take(&file.path, spool_dir.as_ref(), max_bytes)?;
        Ok(Taken {
            run: self.run.clone(),
            train_loss: self.train_loss(file.epoch),
            max_bytes,
            file,
            link,
        })
    }
}

impl Taken {
    /// The file.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::Artifacts;
    /// let artifacts = Artifacts::new(root, Some("mnist"), "model-{epoch}")?;
    /// std::fs::write(root.join("model-4.bpk"), "weights")?;
    /// let taken = artifacts.take(artifacts.list()?.remove(0), root.join(".spool"), 1 << 30)?;
    /// assert_eq!(taken.file().epoch, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn file(&self) -> &ArtifactFile {
        &self.file
    }

    /// Whether nobody writes to it any more: renamed into place, as burnpack files are, or unchanged for two
    /// seconds.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::Artifacts;
    /// let artifacts = Artifacts::new(root, Some("mnist"), "model-{epoch}")?;
    /// std::fs::write(root.join("model-4.safetensors"), "half of the weigh")?;
    /// let taken = artifacts.take(artifacts.list()?.remove(0), root.join(".spool"), 1 << 30)?;
    /// assert!(!taken.is_settled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_settled(&self) -> bool {
        if self.file.format == BURNPACK {
            return true;
        }
        let modified = fs::metadata(self.link.path()).and_then(|m| m.modified());
        // A clock that jumped back must not keep it waiting for ever.
        modified.map_or(true, |time| {
            time.elapsed().map_or(true, |age| age >= SETTLED)
        })
    }

    /// Hashes the file and makes a checkpoint of it.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Unreadable`], and [`CheckpointError::TooLarge`] if it has grown since it was taken.
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{Artifacts, SAFETENSORS, UNHOOKED};
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # let artifacts = Artifacts::new(root, Some("mnist"), "model-{epoch}")?;
    /// # std::fs::write(root.join("model-4.safetensors"), "weights")?;
    /// # let taken = artifacts.take(artifacts.list()?.remove(0), root.join(".spool"), 1 << 30)?;
    /// let spooled = taken.spooled()?;
    /// assert_eq!(spooled.manifest().weights.format, SAFETENSORS);
    /// assert_eq!(spooled.manifest().instance, UNHOOKED);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spooled(self) -> Result<Spooled, CheckpointError> {
        let (file, _) = plain::open(self.link.path(), &self.file.path)?;
        let (sha256, bytes) = sha256_of(file.take(self.max_bytes.saturating_add(1)))
            .map_err(|source| CheckpointError::reading(self.link.path(), source))?;
        if bytes > self.max_bytes {
            return Err(CheckpointError::TooLarge {
                path: self.file.path,
                bytes,
                limit: self.max_bytes,
            });
        }
        let file = &self.file;
        let name = file.path.file_name().unwrap_or_default();
        let manifest = Manifest {
            schema: SCHEMA,
            run: self.run.clone(),
            instance: UNHOOKED.to_owned(),
            // Nothing is known of what came before: no gap can be told.
            sequence: 0,
            epoch: file.epoch,
            step: file.step,
            time: seconds(file.modified),
            train_loss: self.train_loss,
            weights: Weights {
                file: name.to_string_lossy().into_owned(),
                format: file.format.to_owned(),
                bytes,
                sha256: sha256.clone(),
            },
            ..Manifest::default()
        };
        let key = Key {
            run: self.run,
            epoch: file.epoch,
            step: file.step,
            sha256,
        };
        Ok(self.link.into_spooled(key, manifest))
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// The mean of a log of Burn's numeric metrics: lines `value,count`, `value`, or `value,final`, which stands for
/// the epoch.
fn mean_of_log(text: &str) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for line in text.lines() {
        let (value, count) = line.split_once(',').unwrap_or((line, "1"));
        let value: f64 = value.parse().ok()?;
        if count == "final" {
            return Some(value);
        }
        let count: f64 = count.parse().ok()?;
        sum += value * count;
        weight += count;
    }
    (weight > 0.0).then(|| sum / weight)
}

/// A file name with places for numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Epoch,
    Step,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let wrong = |problem: &'static str| CheckpointError::Pattern {
            pattern: text.to_owned(),
            problem,
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let part = if let Some(after) = rest.strip_prefix("{epoch}") {
                rest = after;
                Part::Epoch
            } else if let Some(after) = rest.strip_prefix("{step}") {
                rest = after;
                Part::Step
            } else {
                let end = rest[1..].find('{').map_or(rest.len(), |at| at + 1);
                let (plain, after) = rest.split_at(end);
                rest = after;
                Part::Text(plain.to_owned())
            };
            if !matches!(part, Part::Text(_))
                && parts.last().is_some_and(|p| !matches!(p, Part::Text(_)))
            {
                return Err(wrong("two numbers have nothing between them"));
            }
            parts.push(part);
        }
        let count = |wanted: &Part| parts.iter().filter(|part| *part == wanted).count();
        match (count(&Part::Epoch), count(&Part::Step)) {
            (0, 0) => Err(wrong("it has neither {epoch} nor {step}")),
            (0 | 1, 0 | 1) => Ok(Self { parts }),
            _ => Err(wrong("it has a number twice")),
        }
    }

    /// Epoch, step and format of a file with this name; none for any other.
    fn read(&self, name: &str) -> Option<(u64, u64, &'static str)> {
        let (mut rest, format) =
            match (name.strip_suffix(".bpk"), name.strip_suffix(".safetensors")) {
                (Some(stem), _) => (stem, BURNPACK),
                (_, Some(stem)) => (stem, SAFETENSORS),
                _ => return None,
            };
        let (mut epoch, mut step) = (0, 0);
        for part in &self.parts {
            let number = match part {
                Part::Text(text) => {
                    rest = rest.strip_prefix(text.as_str())?;
                    continue;
                }
                Part::Epoch => &mut epoch,
                Part::Step => &mut step,
            };
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (digits, after) = rest.split_at(end);
            *number = digits.parse().ok()?;
            rest = after;
        }
        rest.is_empty().then_some((epoch, step, format))
    }
}

#[cfg(test)]
#[path = "artifacts_tests.rs"]
mod tests;
