//! What need not be kept in memory: runs that nobody has heard of for long.
//!
//! Their evidence, as large as the training set, is on disk, and is read again when they are heard of again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use mirrorwatch_checkpoint::{Key, Listing};

use super::Intake;

/// What a listing said of a run, as far as it tells whether there is anything new.
#[derive(Debug, PartialEq)]
pub(super) struct Listed {
    updated: Option<f64>,
    checkpoints: Vec<Key>,
    rejected: Vec<PathBuf>,
}

impl Listed {
    pub(super) fn of(listing: &Listing) -> Self {
        let found = listing.manifests.iter().map(|found| found.key());
        let rejected = listing.rejected.iter().map(|(path, _)| path.clone());
        Self {
            updated: listing.status.as_ref().map(|status| status.updated),
            checkpoints: found.collect(),
            rejected: rejected.collect(),
        }
    }
}

impl Intake {
    /// Whether a run was put aside and nothing has come of it since. If something has, it is taken up again.
    pub(super) fn is_aside(&mut self, run: &str, listed: &Listed) -> bool {
        let Some(taken) = self.taken.get_mut(run) else {
            return false;
        };
        match &taken.aside {
            None => return false,
            Some(then) if then == listed => return true,
            Some(_) => taken.aside = None,
        }
        self.runs.open(run);
        false
    }

    /// Lets go of what is known of a run that is no longer shown, but for what was taken of it: its directory is there.
    pub(super) fn put_aside(&mut self, run: &str, listed: Listed) {
        if self.hub.shown_run(run).is_some() || !self.let_go(run) {
            return;
        }
        if let Some(taken) = self.taken.get_mut(run) {
            taken.aside = Some(listed);
        }
        self.hub.update_known(run, |view| {
            // Of the two signs of life one goes.
            view.updated = view.last_sign().unwrap_or_default();
            view.summary = None;
            view.suspects = Arc::default();
            view.leaks = None;
        });
    }

    /// Forgets runs that are no longer shown and whose directories are gone. One that comes again goes on as after a
    /// restart.
    pub(super) fn forget_gone(&mut self, there: &[String]) {
        let expired = self.hub.expired_runs();
        if expired.is_empty() {
            return;
        }
        let there: BTreeSet<&String> = there.iter().collect();
        for run in expired {
            let unhooked = || self.unhooked.artifacts.iter().any(|a| a.run() == run);
            if !there.contains(&run) && !unhooked() && self.let_go(&run) {
                tracing::debug!(run, "forgotten: its directory is gone");
                self.taken.remove(&run);
                self.hub.forget_run(&run);
            }
        }
    }

    /// Lets go of a run's state, unless a checkpoint of it has yet to be scanned.
    fn let_go(&self, run: &str) -> bool {
        !self.queue.holds(run) && self.runs.put_aside(run)
    }
}
