//! One checkpoint after another: the commit, and what it replaces.

use std::path::Path;

use super::{RunWriter, seconds, to_json};
use crate::atomic::create_directory_on;
use crate::digest::sha256_hex;
use crate::name::{STATUS_FILE, Stem};
use crate::reader::{self, Found};
use crate::retain::{remove, remove_weights, retain};
use crate::{
    BURNPACK, CheckpointError, MAX_MANIFEST_BYTES, Manifest, RunStatus, SCHEMA, Snapshot, Weights,
};

impl RunWriter {
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
    /// reader accepts, and [`CheckpointError::UnsafePath`] if the run's directory has become a symbolic link. Counting a failure is left to the caller, who has failures of its own; see
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
        create_directory_on(self.system.as_ref(), &self.directory)?;
        reader::refuse_link(&self.directory)?;
        let replaced = Found::read(&path, stem, &self.status.run).ok();
        let weights_path = self.directory.join(&manifest.weights.file);
        let committed = self
            .write(&weights_path, weights)
            .and_then(|()| self.write(&path, &json));
        if let Err(error) = committed {
            let there = Found::read(&path, stem, &self.status.run);
            if there.as_ref().is_ok_and(|found| found.manifest == manifest) {
                // Only the last fsync failed: readers see the checkpoint, its number is used up.
                self.sequence = manifest.sequence;
                self.last_time = manifest.time;
            }
            self.take_back(&weights_path, there);
            return Err(error);
        }
        self.sequence = manifest.sequence;
        self.last_time = manifest.time;
        self.status.published += 1;
        self.status.finished = None;
        self.shared |= self.is_taken_over();
        let told = self.write_status();
        let tidied = self.tidy(&path, &weights_path, replaced.as_ref());
        self.warning = told.and(tidied).err();
        Ok(manifest)
    }

    /// Whether another writer took up the run after this one, and both have published since. Each of them removes
    /// what it takes for old, and replaces the other's checkpoints of the same epoch and step.
    ///
    /// ```
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// # use mirrorwatch_checkpoint::{RunWriter, Snapshot};
    /// let mut writer = RunWriter::create(root, "mnist")?;
    /// writer.publish(Snapshot { epoch: 1, ..Snapshot::default() }, b"one")?;
    /// assert!(!writer.is_shared());
    /// let other = RunWriter::create(root, "mnist")?;
    /// writer.publish(Snapshot { epoch: 2, ..Snapshot::default() }, b"two")?;
    /// assert!(writer.is_shared() && !other.is_shared());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Removes weights that were not committed: they may be in place, and are too large to be left for later.
    fn take_back(&self, weights: &Path, there: Result<Found, CheckpointError>) {
        match there {
            // The other writer may be about to commit the same.
            _ if self.shared => {}
            Ok(found) if found.weights_path() == weights => {}
            // Nobody can say what is there: it may need them.
            Err(CheckpointError::Unreadable { .. }) => {}
            // The failure to commit is worth more than what this might add to it.
            _ => drop(remove(self.system.as_ref(), weights)),
        }
    }

    fn is_taken_over(&self) -> bool {
        let status = RunStatus::read(&self.directory.join(STATUS_FILE));
        status.is_ok_and(|status| status.instance != self.status.instance)
    }

    fn manifest(&self, snapshot: Snapshot, weights: &[u8]) -> Manifest {
        let stem = Stem {
            epoch: snapshot.epoch,
            step: snapshot.step,
        };
        let sha256 = sha256_hex(weights);
        let now = seconds(self.system.now());
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
                // Where a microsecond is lost in rounding, the clock was centuries ahead.
                (self.last_time + 1e-6).max(self.last_time.next_up())
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

    /// Removes what the new checkpoint replaces, by name or by age. Weights of another writer that is at work, too, are left
    /// until they are old: it may be about to commit the same once more.
    fn tidy(
        &self,
        current: &Path,
        weights: &Path,
        replaced: Option<&Found>,
    ) -> Result<(), CheckpointError> {
        let system = self.system.as_ref();
        let spared = |found: &Found| {
            let by = &found.manifest;
            let since = self.shared || by.time >= self.status.started;
            since && by.instance != self.status.instance
        };
        let same_step = match replaced {
            Some(old) if old.weights_path() != weights && !spared(old) => {
                remove_weights(system, old)
            }
            _ => Ok(()),
        };
        let run = &self.status.run;
        let old = retain(system, &self.directory, run, self.keep, current, spared);
        same_step.and(old)
    }
}
