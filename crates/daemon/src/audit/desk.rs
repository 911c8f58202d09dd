//! The audit log as a running sidecar sees it: follows what commands write, and writes what is said over HTTP.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use mirrorwatch_influence::Labels;

use super::log::{self, Log};
use super::{Review, Seen, in_force};
use crate::account::Levels;
use crate::error::DaemonError;
use crate::hub::{Hub, RunView};
use crate::runs::{Runs, lock};
use crate::samples::Samples;
use crate::stored::judged;

/// Length and time of a file: what changes when somebody writes to it.
type Stamp = Option<(u64, Option<SystemTime>)>;

/// The reviews of a run that count, by position.
type InForce = Arc<BTreeMap<usize, Review>>;

/// Where reviews come in and are looked up.
pub(crate) struct Desk {
    /// Where the logs are.
    pub(crate) runs: Arc<Runs>,
    /// Where reviews are shown.
    pub(crate) hub: Arc<Hub>,
    /// The training samples.
    pub(crate) samples: Arc<dyn Samples>,
    /// Their labels.
    pub(crate) labels: Arc<Labels>,
    /// At which levels suspects are counted.
    pub(crate) levels: Levels,
    /// What each log was like when it was last read, and what came of it.
    pub(crate) seen: Mutex<HashMap<String, (Stamp, InForce)>>,
}

impl Desk {
    /// The log of a run.
    pub(crate) fn path(&self, run: &str) -> PathBuf {
        super::path(&self.runs.directory(run))
    }

    /// Reads the log of a run.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn log(&self, run: &str) -> Result<Log, DaemonError> {
        log::read(&self.path(run))
    }

    /// Takes in what was written to the logs of all runs since it last looked.
    pub(crate) fn look(&self) {
        let runs = self.hub.runs();
        for run in runs.keys() {
            self.look_at(run);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|run, _| runs.contains_key(run));
    }

    /// Takes in what was written to the log of one run since it last looked.
    pub(crate) fn look_at(&self, run: &str) {
        let path = self.path(run);
        // Held to the end: whoever finds nothing new finds it shown, too.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is read: what is written in between is read again.
        let stamp = stamp(&path);
        let Some(view) = self.hub.known_run(run) else {
            return;
        };
        // A run that was forgotten and has come again shows none.
        let known = seen.get(run).is_some_and(|(before, reviews)| {
            *before == stamp && Arc::ptr_eq(reviews, &view.reviews)
        });
        if known || (stamp.is_none() && view.reviews.is_empty()) {
            return;
        }
        seen.insert(run.to_string(), (stamp, view.reviews));
        let log = match log::read(&path) {
            Ok(log) => log,
            Err(error) => {
                tracing::warn!(run, "reviews are shown as they were before: {error}");
                return;
            }
        };
        if let Some(problem) = &log.problem {
            tracing::warn!(
                run,
                "reviews are shown up to there only: {}: {problem}",
                path.display()
            );
        }
        let known = |index: usize| {
            let exists = index < self.samples.count();
            exists.then(|| (self.samples.given(index), self.samples.id(index)))
        };
        let reviews = Arc::new(in_force(&log.reviews, known));
        seen.insert(run.to_string(), (stamp, reviews.clone()));
        self.hub.update_known(run, |view| view.reviews = reviews);
    }

    /// Writes a review, to which the evidence is added, and shows it.
    ///
    /// # Errors
    ///
    /// The log cannot be written.
    pub(crate) fn note(&self, review: Review) -> Result<Option<Review>, DaemonError> {
        let run = review.run.clone();
        let written = log::append(&self.path(&run), vec![review])?.pop();
        self.look_at(&run);
        Ok(written)
    }

    /// What the evidence says of a sample; none before the first scan.
    ///
    /// # Errors
    ///
    /// In words, statistics that refuse.
    pub(crate) fn evidence(
        &self,
        run: &str,
        view: &RunView,
        index: usize,
    ) -> Result<Option<Seen>, String> {
        let Some(state) = self.runs.opened(run) else {
            return Ok(None);
        };
        // Most reviews are of suspects, for whom nothing has to be computed.
        let suspect = view.suspects.iter().find(|suspect| suspect.index == index);
        if let (Some(suspect), Some(summary)) = (suspect, &view.summary) {
            let fingerprint = lock(&state).fingerprint.clone();
            return Ok(Some(Seen::of_suspect(suspect, summary, &fingerprint)));
        }
        let state = lock(&state);
        let Some(last) = &state.last else {
            return Ok(None);
        };
        if last.shard.is_some() {
            return Err("it is no suspect, and a shard by itself does not know what is said of it; put the shards together with `unite` and review it there".to_string());
        }
        let account = judged(&state, &self.labels, self.levels)?;
        Ok(Seen::new(&state, &account, index))
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

#[cfg(test)]
mod tests {
    use super::super::{Verdict, example};
    use super::*;
    use crate::api::tests::{Few, desk_at};

    #[test]
    fn what_is_written_beside_it_is_shown_once_and_what_is_not_of_these_samples_never() {
        let directory = tempfile::tempdir().unwrap();
        let hub = Arc::new(Hub::default());
        let desk = desk_at(directory.path(), &hub);
        hub.update_run("r", |_| ());
        let told = || hub.changes().count();
        let first = told();
        desk.look();
        assert_eq!(told(), first, "nothing was said");
        let of = |index: usize, given: usize| Review {
            id: Few.id(index),
            given,
            ..example(index, Verdict::Confirmed)
        };
        log::append(&desk.path("r"), vec![of(1, 1), of(2, 1), of(7, 0)]).unwrap();
        desk.look();
        desk.look();
        assert_eq!(told(), first + 1);
        let shown = hub.shown_run("r").unwrap().reviews;
        assert_eq!(shown.keys().collect::<Vec<_>>(), [&1]);
        // Without the log there are no reviews.
        std::fs::remove_file(desk.path("r")).unwrap();
        desk.look();
        assert!(hub.shown_run("r").unwrap().reviews.is_empty());
    }

    #[test]
    fn a_run_that_was_forgotten_and_comes_again_shows_its_reviews() {
        let directory = tempfile::tempdir().unwrap();
        let hub = Arc::new(Hub::default());
        let desk = desk_at(directory.path(), &hub);
        hub.update_run("r", |_| ());
        let review = Review {
            id: Few.id(1),
            given: 1,
            ..example(1, Verdict::Confirmed)
        };
        log::append(&desk.path("r"), vec![review]).unwrap();
        let shown = || {
            hub.shown_run("r")
                .is_some_and(|view| !view.reviews.is_empty())
        };
        desk.look();
        // It may be away for longer than from one look to the next, or not.
        for looked_meanwhile in [true, false] {
            hub.forget_run("r");
            if looked_meanwhile {
                desk.look();
            }
            hub.update_run("r", |_| ());
            assert!(!shown());
            desk.look();
            assert!(shown(), "looked meanwhile: {looked_meanwhile}");
        }
    }
}
