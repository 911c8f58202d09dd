//! The states of all runs: opened from disk at first sight, shared by watching and scanning.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mirrorwatch_influence::{Estimator, Labels};
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::forks;
use crate::hub::Hub;
use crate::leaks::{self, LeakRecord};
use crate::results::{self, Paths, Suspect};
use crate::store::{Entry, RunState, set_aside};
use crate::summary::Summary;

/// The state of one run behind its lock.
pub type SharedState = Arc<Mutex<RunState>>;

/// Locks a run's state. It is only ever changed whole, so poison means nothing.
pub fn lock(state: &SharedState) -> MutexGuard<'_, RunState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The states of all runs.
pub struct Runs {
    directory: PathBuf,
    fingerprint: String,
    estimators: Vec<Estimator>,
    train: usize,
    probe: usize,
    hub: Arc<Hub>,
    states: Mutex<HashMap<String, SharedState>>,
}

impl Runs {
    /// States below `directory`, for evidence with this fingerprint.
    pub fn new(
        directory: &Path,
        fingerprint: String,
        estimators: &[Estimator],
        labels: &Labels,
        hub: Arc<Hub>,
    ) -> Self {
        Self {
            directory: directory.join("runs"),
            fingerprint,
            estimators: estimators.to_vec(),
            train: labels.train.len(),
            probe: labels.probe.len(),
            hub,
            states: Mutex::new(HashMap::new()),
        }
    }

    /// Where the results of a run are written.
    pub fn directory(&self, run: &str) -> PathBuf {
        self.directory.join(run)
    }

    /// The state of a run, read from disk at first sight.
    ///
    /// A state that is damaged or belongs to other data or settings is set aside with a warning,
    /// and the run starts afresh.
    pub fn open(&self, run: &str) -> SharedState {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(run) {
            return state.clone();
        }
        let loaded = self.load(run);
        let last = loaded.last.clone().map(Arc::new);
        let suspects = last.as_deref().map(|summary| self.suspects_of(summary));
        let leaks = last.as_deref().and_then(|summary| self.leaks_of(summary));
        self.hub.update_run(run, |view| {
            view.summary = last;
            view.suspects = Arc::new(suspects.unwrap_or_default());
            view.leaks = leaks;
        });
        let state = Arc::new(Mutex::new(loaded));
        states.insert(run.to_string(), state.clone());
        state
    }

    /// The state of a run that has been opened.
    pub fn opened(&self, run: &str) -> Option<SharedState> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(run).cloned()
    }

    /// The suspects that were written with a summary. Without their file, which may have been taken away, the
    /// next scan has them again.
    fn suspects_of(&self, summary: &Summary) -> Vec<Suspect> {
        let paths = Paths::new(&self.directory(&summary.run), summary.epoch, summary.step);
        results::read_suspects(&paths).unwrap_or_else(|error| {
            tracing::warn!(
                run = summary.run,
                "no suspects are shown until the next scan: {error}"
            );
            Vec::new()
        })
    }

    /// What was found when the probe was last looked for in the training set; none where nobody has looked.
    fn leaks_of(&self, summary: &Summary) -> Option<Arc<LeakRecord>> {
        let path = leaks::path(&self.directory(&summary.run));
        if !path.exists() {
            return None;
        }
        match leaks::read(&path) {
            Ok(record) => Some(Arc::new(record)),
            Err(error) => {
                tracing::warn!(run = summary.run, "leaks are not known: {error}");
                None
            }
        }
    }

    fn load(&self, run: &str) -> RunState {
        let path = state_file(&self.directory(run));
        let problem = match RunState::load(&path) {
            Ok(Some(mut state)) if state.fingerprint == self.fingerprint => {
                let checkpoints = state.evidence.checkpoints;
                match forks::load(&self.directory(run), checkpoints, &self.fingerprint) {
                    Ok(forks) => state.forks = forks,
                    Err(error) => tracing::warn!(
                        run,
                        "the next scan teaches its forks from the beginning: {error}"
                    ),
                }
                tracing::info!(run, checkpoints, "continuing with the evidence on disk");
                return state;
            }
            Ok(Some(_)) => "it was made with other data or settings".to_string(),
            Ok(None) => String::new(),
            Err(error) => error.to_string(),
        };
        if !problem.is_empty() {
            match set_aside(&path) {
                Ok(aside) => tracing::warn!(
                    run,
                    "starting this run's evidence afresh, the old state is kept as {}: {problem}",
                    aside.display()
                ),
                Err(error) => tracing::warn!(
                    run,
                    "starting this run's evidence afresh: {problem}; the old state could not be set aside: {error}"
                ),
            }
        }
        // Those of the old state, if any: its labels may be others.
        forks::forget_others(&self.directory(run), None);
        RunState::new(&self.fingerprint, &self.estimators, self.train, self.probe)
    }

    /// Adds to a run's ledger; written to disk with the next scan or failure.
    pub fn note(&self, run: &str, entry: Entry) {
        lock(&self.open(run)).ledger.push(entry);
    }

    /// Writes the state of every run to disk, so that a restart knows what was skipped, too.
    pub fn save_all(&self) {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = Vec::new();
        for (run, state) in states.iter() {
            // A directory that never held a checkpoint leaves no trace.
            if !lock(state).ledger.is_empty() {
                names.push(run.clone());
            }
        }
        drop(states);
        for run in names {
            self.save(&run);
        }
    }

    /// Lets go of a run's state, which is as large as the training set, once it is on disk. Says whether it did: what
    /// cannot be written, or is in somebody's hands, stays. Whoever opens the run next reads it again.
    pub fn put_aside(&self, run: &str) -> bool {
        let Some(state) = self.opened(run) else {
            return true;
        };
        let empty = lock(&state).ledger.is_empty();
        drop(state);
        if !empty && !self.save(run) {
            return false;
        }
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let free = states.get(run).is_none_or(|s| Arc::strong_count(s) == 1);
        if free {
            states.remove(run);
        }
        free
    }

    /// Writes a run's state to disk and says whether it did; a failure is a warning, the state stays in memory.
    pub fn save(&self, run: &str) -> bool {
        let state = self.open(run);
        // If it cannot be made, saving says so.
        let _ = std::fs::create_dir_all(self.directory(run));
        let directory = self.directory(run);
        let state = lock(&state);
        let checkpoints = state.evidence.checkpoints;
        if let Err(error) = forks::save(&directory, checkpoints, &self.fingerprint, &state.forks) {
            tracing::warn!(
                run,
                "{error}; after a restart the next scan would teach its forks from the beginning"
            );
        }
        let result = state.save(&state_file(&directory));
        if result.is_ok() {
            forks::forget_others(&directory, Some(checkpoints));
        }
        if let Err(error) = &result {
            tracing::warn!(
                run,
                "{error}; the evidence is kept in memory and written after the next scan"
            );
        }
        result.is_ok()
    }
}

/// Where the evidence of a run is kept below `state`, the directory for evidence and results.
pub fn state_path(state: &Path, run: &str) -> PathBuf {
    state_file(&state.join("runs").join(run))
}

fn state_file(directory: &Path) -> PathBuf {
    directory.join("state.bin")
}

/// What scores mean. Counts up when that changes, so that evidence is not continued with scores of another kind.
const SCORES: usize = 4;

/// A fingerprint of everything that evidence depends on besides the checkpoints.
pub fn fingerprint(labels: &Labels, estimators: &[Estimator], folds: usize, seed: u64) -> String {
    let mut hash = Sha256::new();
    let mut put = |name: &str, values: &[usize]| {
        hash.update(name.as_bytes());
        hash.update((values.len() as u64).to_le_bytes());
        for &value in values {
            hash.update((value as u64).to_le_bytes());
        }
    };
    put("scores", &[SCORES]);
    put("classes", &[labels.classes]);
    put("train", &labels.train);
    put("probe", &labels.probe);
    put("trusted", &labels.trusted);
    put("canaries", &labels.canaries);
    if !labels.unlabelled.is_empty() {
        put("unlabelled", &labels.unlabelled);
    }
    put("folds", &[folds]);
    put("seed", &[seed as usize]);
    for estimator in estimators {
        put(&estimator.to_string(), &[]);
    }
    hex(&hash.finalize())
}
