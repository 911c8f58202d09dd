//! Checkpoints of trainings that have no hook: files that appear, and go again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mirrorwatch_checkpoint::{ArtifactFile, Artifacts, CheckpointError, Taken};

use super::Intake;
use crate::brief::brief;
use crate::hub::now;

/// The directories of such trainings, and what was seen in them.
#[derive(Default)]
pub struct Unhooked {
    /// Where to look.
    pub artifacts: Vec<Artifacts>,
    /// A run without a new checkpoint for this long counts as finished: nothing else says so.
    pub quiet: Duration,
    seen: BTreeMap<String, Seen>,
}

/// What is known of one of them.
#[derive(Default)]
struct Seen {
    files: BTreeSet<ArtifactFile>,
    /// Taken, but maybe still being written.
    unsettled: Vec<Taken>,
    /// When the last checkpoint came in this process.
    last: Option<Instant>,
    /// The last problem, so that one warning is enough.
    problem: String,
}

impl Unhooked {
    /// Looks in `artifacts`.
    pub fn new(artifacts: Vec<Artifacts>, quiet: Duration) -> Self {
        Self {
            artifacts,
            quiet,
            seen: BTreeMap::new(),
        }
    }
}

impl Intake {
    /// Lists all artifact directories once. Returns whether another listing should follow soon.
    pub(super) fn list_unhooked(&mut self) -> bool {
        let mut again = false;
        for artifacts in self.unhooked.artifacts.clone() {
            again |= self.list_artifacts(&artifacts);
        }
        again
    }

    fn list_artifacts(&mut self, artifacts: &Artifacts) -> bool {
        let run = artifacts.run();
        let mut seen = self.unhooked.seen.remove(run).unwrap_or_default();
        let problem = match artifacts.list() {
            Ok(files) => {
                self.take_files(artifacts, files, &mut seen);
                String::new()
            }
            Err(error) => error.to_string(),
        };
        if !problem.is_empty() && problem != seen.problem {
            tracing::warn!(run, "{problem}");
        }
        seen.problem = problem;

        let (settled, unsettled) = seen.unsettled.drain(..).partition(Taken::is_settled);
        seen.unsettled = unsettled;
        let finished = seen
            .last
            .is_some_and(|t| t.elapsed() >= self.unhooked.quiet);
        let mut fresh = false;
        for taken in settled {
            fresh = true;
            self.take_unhooked(run, taken);
        }
        if seen.last.is_some() {
            let waiting = fresh || !seen.unsettled.is_empty();
            self.hub.update_run(run, |view| {
                view.finished = finished;
                view.settled = finished && !waiting;
                if fresh || view.updated <= 0.0 {
                    view.updated = now();
                }
            });
        }
        let again = fresh || !seen.unsettled.is_empty();
        self.unhooked.seen.insert(run.to_string(), seen);
        again
    }

    /// Takes links of the files that are new, before they go.
    fn take_files(&mut self, artifacts: &Artifacts, files: Vec<ArtifactFile>, seen: &mut Seen) {
        // What is gone or has changed may come again.
        seen.files.retain(|file| files.contains(file));
        for file in files {
            if !seen.files.insert(file.clone()) {
                continue;
            }
            seen.last = Some(Instant::now());
            // The same file, further on.
            seen.unsettled
                .retain(|taken| taken.file().path != file.path);
            match artifacts.take(file, &self.spool, self.max_bytes) {
                Ok(taken) => seen.unsettled.push(taken),
                // Deleted between listing and taking.
                Err(CheckpointError::Vanished { path }) => {
                    tracing::info!(
                        run = artifacts.run(),
                        "{} was deleted before it could be taken",
                        path.display()
                    );
                    self.metrics.seen.inc();
                    self.metrics.skip("vanished");
                }
                Err(error) => self.refuse_unhooked(artifacts.run(), &error),
            }
        }
    }

    fn take_unhooked(&mut self, run: &str, taken: Taken) {
        self.first_sight(run);
        let spooled = match taken.spooled() {
            Ok(spooled) => spooled,
            Err(error) => return self.refuse_unhooked(run, &error),
        };
        let known = self.taken.entry(run.to_string()).or_default();
        if !known.keys.insert(super::mark(spooled.key())) {
            // Scanned by an earlier process, or written again as it was.
            return;
        }
        self.metrics.seen.inc();
        self.enqueue(run, spooled, false);
    }

    fn refuse_unhooked(&self, run: &str, error: &CheckpointError) {
        let message = brief(&error.to_string());
        tracing::warn!(run, "checkpoint refused: {message}");
        self.metrics.seen.inc();
        self.metrics.fail("spool");
        self.hub
            .update_run(run, |view| view.last_error = message.clone());
    }
}
