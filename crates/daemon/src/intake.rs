//! Intake: from a listing of the root directory to jobs in the queue.
//!
//! Every checkpoint that a hook ever published ends in exactly one of: scanned, skipped (with a
//! reason) or failed (with a stage). The hook's sequence numbers show those that were deleted
//! before they could be seen.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use rangemap::RangeInclusiveSet;
use sha2::{Digest, Sha256};

use mirrorwatch_checkpoint::{
    CheckpointError, Found, Key, Listing, STATUS_FILE, Spooled, list_checkpoints, list_runs, spool,
};

use crate::brief::brief;
use crate::hub::{Hub, now};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::runs::{Runs, lock};
use crate::store::{Entry, Outcome};

/// A checkpoint that waits to be scanned, already out of the hook's reach.
pub struct Job {
    /// The run.
    pub run: String,
    /// The spooled weights and their manifest.
    pub spooled: Spooled,
}

/// A finished run publishes no more, so all that is there is scanned; but never without bound.
const FINISHED_LIMIT: usize = 64;

/// No training publishes more checkpoints. A manifest that claims a higher number is taken like any
/// other, but says nothing of what is missing before it.
const HIGHEST_SEQUENCE: u64 = 1_000_000;

/// Reasons for skipping that decide what a restart may take for granted.
pub(crate) const REPEATED: &str = "repeated";
const SUPERSEDED: &str = "superseded";

/// Turns listings into jobs.
pub struct Intake {
    /// The watched directory.
    pub root: PathBuf,
    /// Directories that trainings without a hook write to.
    pub unhooked: Unhooked,
    /// Private directory for spooled weights.
    pub spool: PathBuf,
    /// Waiting checkpoints of a live run before its oldest gives way.
    pub limit: usize,
    /// Largest weights file that is read, in bytes.
    pub max_bytes: u64,
    /// Where jobs go.
    pub queue: Arc<Queue<Job>>,
    /// What is done already.
    pub runs: Arc<Runs>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What is shown.
    pub hub: Arc<Hub>,
    /// Per run: what was taken in this process.
    pub taken: BTreeMap<String, Taken>,
    /// Whether the last listing of the root failed, so that one warning is enough.
    pub root_missing: bool,
}

/// What intake remembers of a run.
#[derive(Default)]
pub struct Taken {
    /// Of every checkpoint that was ever taken, by [`mark`]: a living run has more and more of them.
    keys: HashSet<[u8; 16]>,
    /// Manifests that the last listing refused, and what it said of them.
    rejected: BTreeMap<PathBuf, String>,
    /// Rejected manifests whose sequence numbers, which nobody could read, are still to turn up as gaps.
    unplaced: u64,
    /// Sequence numbers seen of each training process. As ranges: a single manifest may claim that a million are missing.
    sequences: BTreeMap<String, RangeInclusiveSet<u64>>,
    /// Numbers that were not there at the last listing; counted when the next confirms it.
    gaps: BTreeMap<String, RangeInclusiveSet<u64>>,
    /// What was there when the run was put aside; none as long as it is followed.
    aside: Option<forget::Listed>,
}

impl Taken {
    /// Takes over what an earlier process noted.
    fn remember(&mut self, entry: &Entry) {
        let seen = self.sequences.entry(entry.instance.clone()).or_default();
        // A repeated checkpoint has the key of the one it repeats, which may not be scanned yet.
        let repeated = matches!(&entry.outcome, Outcome::Skipped(reason) if reason == REPEATED);
        if !repeated {
            self.keys.insert(mark(&entry.key));
        }
        if entry.sequence > HIGHEST_SEQUENCE {
            return;
        }
        if passed_the_queue(&entry.outcome) {
            // The queue is in order: what is missing below it was dealt with, missed or refused.
            seen.insert(1.min(entry.sequence)..=entry.sequence);
        } else {
            seen.insert(entry.sequence..=entry.sequence);
        }
    }

    /// Nothing below the last known number of a training process is to be counted as missed any more.
    fn fill_gaps(&mut self) {
        for seen in self.sequences.values_mut() {
            if let Some(last) = seen.last().map(|range| *range.end()) {
                seen.insert(1.min(last)..=last);
            }
        }
    }
}

/// A key in 16 bytes, of a digest: two that differ are never the same in it.
fn mark(key: &Key) -> [u8; 16] {
    let mut digest = Sha256::new();
    // A run's name has a length limit and no zero.
    digest.update(key.run.as_bytes());
    digest.update([0]);
    digest.update(key.epoch.to_le_bytes());
    digest.update(key.step.to_le_bytes());
    digest.update(key.sha256.as_bytes());
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest.finalize()[..16]);
    mark
}

/// Whether a checkpoint with this outcome waited in the queue, and so came after all before it.
fn passed_the_queue(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Scanned => true,
        Outcome::Skipped(reason) => reason == SUPERSEDED,
        Outcome::Failed(stage, _) => stage != "spool",
    }
}

impl Intake {
    /// Lists everything once. Returns whether another listing should follow soon.
    pub fn list(&mut self) -> bool {
        self.metrics.rescans.inc();
        let runs = match list_runs(&self.root) {
            Ok(runs) => {
                self.root_missing = false;
                runs
            }
            Err(error) => {
                if !self.root_missing {
                    tracing::warn!("{error}; waiting for it to come back");
                }
                self.root_missing = true;
                return self.list_unhooked();
            }
        };
        let mut again = false;
        for run in &runs {
            match list_checkpoints(&self.root, run) {
                Ok(listing) => again |= self.take_run(run, listing),
                // The run's directory went away between the two listings.
                Err(CheckpointError::Vanished { .. }) => {}
                Err(error) => tracing::warn!(run, "{error}"),
            }
        }
        again |= self.list_unhooked();
        self.forget_gone(&runs);
        self.hub.set_listed();
        self.metrics.queued.set(self.queue.len() as i64);
        again
    }

    fn take_run(&mut self, run: &str, listing: Listing) -> bool {
        let listed = forget::Listed::of(&listing);
        if self.is_aside(run, &listed) {
            return false;
        }
        self.first_sight(run);
        let finished = listing
            .status
            .as_ref()
            .is_some_and(|s| s.finished.is_some());
        self.reject(run, listing.rejected);
        self.count_missed(run, &listing.manifests);
        let mut fresh = 0;
        for found in &listing.manifests {
            fresh += usize::from(self.take(run, found, finished));
        }
        let updated = listing.status.as_ref().map_or(0.0, |status| status.updated);
        // The status may have been read after a manifest appeared that the listing missed: only a
        // second listing that finds nothing new settles a finished run.
        let mut settled = false;
        self.hub.update_run(run, |view| {
            settled = finished && view.finished && fresh == 0;
            view.finished = finished;
            view.settled = settled;
            // Without a readable status, the first sight is the only sign of life there is.
            if updated > 0.0 {
                view.updated = updated;
            } else if view.updated <= 0.0 {
                view.updated = now();
            }
        });
        let again = finished && !settled;
        if !again && fresh == 0 {
            self.put_aside(run, listed);
        }
        again
    }

    /// What an earlier process did with this run counts as taken.
    fn first_sight(&mut self, run: &str) {
        if self.taken.contains_key(run) {
            return;
        }
        let mut taken = Taken::default();
        let state = self.runs.open(run);
        for entry in lock(&state).ledger.entries() {
            taken.remember(&entry);
        }
        // It was forgotten by this process, or was elsewhere when that began: what is missing among what is known was
        // counted then. Nothing else says so of checkpoints that never came to the queue.
        if self.hub.listed() {
            taken.fill_gaps();
        }
        self.taken.insert(run.to_string(), taken);
    }

    fn reject(&mut self, run: &str, rejected: Vec<(PathBuf, CheckpointError)>) {
        let taken = self.taken.entry(run.to_string()).or_default();
        // What is gone by now is forgotten, or a file that is written again and again would be remembered without end.
        let mut before = std::mem::take(&mut taken.rejected);
        for (path, error) in rejected {
            let message = brief(&error.to_string());
            let is_status = path.ends_with(STATUS_FILE);
            let told = before.remove(&path);
            taken.rejected.insert(path, message.clone());
            if told.as_ref() == Some(&message) {
                continue;
            }
            if is_status {
                tracing::warn!(run, "status of the training not known: {message}");
            } else {
                tracing::warn!(run, "checkpoint refused: {message}");
            }
            // A manifest that grows has another fault each time, and is one checkpoint.
            if !is_status && told.is_none() {
                taken.unplaced += 1;
                self.metrics.seen.inc();
                self.metrics.fail("manifest");
            }
            self.hub.update_run(run, |view| view.last_error = message);
        }
    }

    fn count_missed(&mut self, run: &str, manifests: &[Found]) {
        let taken = self.taken.entry(run.to_string()).or_default();
        for found in manifests {
            let manifest = &found.manifest;
            let seen = taken
                .sequences
                .entry(manifest.instance.clone())
                .or_default();
            if manifest.sequence > HIGHEST_SEQUENCE || seen.contains(&manifest.sequence) {
                continue;
            }
            seen.insert(manifest.sequence..=manifest.sequence);
            if taken.keys.contains(&mark(&found.key())) {
                // A step's checkpoint published again at the end of its epoch, for instance.
                tracing::info!(run, checkpoint = %found.key(), "skipped, published twice");
                self.metrics.seen.inc();
                self.metrics.skip(REPEATED);
                let outcome = Outcome::Skipped(REPEATED.to_string());
                self.runs.note(run, found_entry(found, outcome));
            }
        }
        let mut gaps = BTreeMap::new();
        for (instance, seen) in &mut taken.sequences {
            let highest = seen.last().map_or(0, |range| *range.end());
            if highest == 0 {
                continue;
            }
            let missing: RangeInclusiveSet<u64> = seen.gaps(&(1..=highest)).collect();
            let mut unsure = missing.clone();
            if let Some(before) = taken.gaps.get(instance) {
                for range in missing.intersection(before) {
                    let count = range.end() - range.start() + 1;
                    // Those were counted already, when their manifests were refused.
                    let placed = count.min(taken.unplaced);
                    taken.unplaced -= placed;
                    let missed = count - placed;
                    if missed > 0 {
                        let (from, to) = (range.start(), range.end());
                        tracing::info!(
                            run,
                            from,
                            to,
                            "{missed} checkpoints were deleted before they were seen"
                        );
                        self.metrics.seen.inc_by(missed);
                        self.metrics.skip_many("missed", missed);
                    }
                    seen.insert(range.clone());
                    unsure.remove(range);
                }
            }
            if !unsure.is_empty() {
                gaps.insert(instance.clone(), unsure);
            }
        }
        taken.gaps = gaps;
    }

    /// Takes one checkpoint in; `true` when it was not known.
    fn take(&mut self, run: &str, found: &Found, finished: bool) -> bool {
        let key = mark(&found.key());
        let taken = self.taken.entry(run.to_string()).or_default();
        if !taken.keys.insert(key) {
            return false;
        }
        self.metrics.seen.inc();
        match spool(found, &self.spool, self.max_bytes) {
            Ok(spooled) => self.enqueue(run, spooled, finished),
            Err(CheckpointError::Vanished { .. }) => {
                tracing::info!(run, checkpoint = %found.key(), "deleted while being taken");
                self.metrics.skip("vanished");
                let outcome = Outcome::Skipped("vanished".to_string());
                self.runs.note(run, found_entry(found, outcome));
            }
            Err(error) => {
                let message = brief(&error.to_string());
                tracing::warn!(run, "checkpoint refused: {message}");
                self.metrics.fail("spool");
                self.hub
                    .update_run(run, |view| view.last_error = message.clone());
                let outcome = Outcome::Failed("spool".to_string(), message);
                self.runs.note(run, found_entry(found, outcome));
            }
        }
        true
    }

    /// Puts a checkpoint into the queue, where older ones of its run may have to give way.
    fn enqueue(&self, run: &str, spooled: Spooled, finished: bool) {
        let job = Job {
            run: run.to_string(),
            spooled,
        };
        let limit = if finished { FINISHED_LIMIT } else { self.limit };
        for old in self.queue.push(run, job, limit) {
            tracing::info!(run, checkpoint = %old.spooled.key(), "skipped, a newer checkpoint is waiting");
            self.metrics.skip(SUPERSEDED);
            self.note(&old, Outcome::Skipped(SUPERSEDED.to_string()));
        }
    }

    fn note(&self, job: &Job, outcome: Outcome) {
        self.runs.note(&job.run, entry(job, outcome));
    }
}

/// The ledger entry of a checkpoint that never became a job.
fn found_entry(found: &Found, outcome: Outcome) -> Entry {
    Entry {
        key: found.key(),
        instance: found.manifest.instance.clone(),
        sequence: found.manifest.sequence,
        outcome,
    }
}

/// The ledger entry of a job.
pub fn entry(job: &Job, outcome: Outcome) -> Entry {
    let manifest = job.spooled.manifest();
    Entry {
        key: job.spooled.key().clone(),
        instance: manifest.instance.clone(),
        sequence: manifest.sequence,
        outcome,
    }
}

mod forget;
mod unhooked;

pub use unhooked::Unhooked;

#[cfg(test)]
pub(crate) mod tests;
