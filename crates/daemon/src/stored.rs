//! A run's evidence on disk, as commands use it that work on what `watch` has kept.

use std::path::{Path, PathBuf};

use mirrorwatch_influence::{Labels, Task};

use crate::account::{Account, Levels, account};
use crate::error::DaemonError;
use crate::options::ScanOptions;
use crate::runs::{fingerprint, state_path};
use crate::store::RunState;
use crate::summary::Summary;

/// The evidence of a run, made with the data and settings at hand.
pub(crate) struct Stored {
    path: PathBuf,
    /// What is known of the run.
    pub(crate) state: RunState,
}

impl Stored {
    /// Reads the evidence of `run` below the directory `state`.
    ///
    /// # Errors
    ///
    /// There is none, or it was made with other data or settings.
    pub(crate) fn load<T: Task>(
        labels: &Labels,
        scan: &ScanOptions,
        state: &Path,
        run: &str,
    ) -> Result<Self, DaemonError> {
        let config = scan.config::<T>()?;
        let path = state_path(state, run);
        let known = fingerprint(labels, &config.estimators, config.folds, config.seed);
        let Some(state) = RunState::load(&path)? else {
            return Err(unusable(
                &path,
                "there is no evidence of this run; is --root or --state what `watch` was given?",
            ));
        };
        if state.fingerprint != known {
            return Err(unusable(
                &path,
                "it was made with other data or settings; give the options that `watch` was given",
            ));
        }
        Ok(Self { path, state })
    }

    /// The summary of the last scan.
    ///
    /// # Errors
    ///
    /// There was none.
    pub(crate) fn summary(&self) -> Result<&Summary, DaemonError> {
        let last = self.state.last.as_ref();
        last.ok_or_else(|| unusable(&self.path, "no checkpoint is scanned yet"))
    }

    /// What the evidence says of every sample at these levels.
    ///
    /// # Errors
    ///
    /// Statistics that refuse.
    pub(crate) fn account(&self, labels: &Labels, levels: Levels) -> Result<Account, DaemonError> {
        judged(&self.state, labels, levels).map_err(|message| unusable(&self.path, &message))
    }
}

/// What the evidence of a run says of every sample at these levels: nothing, where the count of the last scan was refused.
///
/// # Errors
///
/// In words, statistics that refuse.
pub(crate) fn judged(state: &RunState, labels: &Labels, levels: Levels) -> Result<Account, String> {
    let mut account = account(&state.evidence, labels, levels)?;
    let last = state.last.as_ref();
    if last.is_some_and(|s| s.refusal.is_some()) {
        account.name_nobody();
        // What a model that knows nothing says is no reason to weigh a sample less.
        account.wrong_probability.fill(0.0);
    }
    Ok(account)
}

fn unusable(path: &Path, message: &str) -> DaemonError {
    DaemonError::State {
        path: path.to_path_buf(),
        message: message.to_string(),
    }
}
