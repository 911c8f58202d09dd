//! The state behind all clones of a hook: its settings and its writer thread.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::HookError;
use crate::hook::DROP_LIMIT;
use crate::publisher::{Publisher, Settings};
use crate::queue::Ending;
use crate::trigger::Triggers;
use crate::writer::{Shared, Writer};

pub(crate) struct Inner {
    pub(crate) triggers: Triggers,
    pub(crate) passing: Mutex<Passing>,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    pub(crate) shared: Arc<Shared>,
}

/// What the training says in passing, for the next checkpoint.
#[derive(Default)]
pub(crate) struct Passing {
    pub(crate) learning_rate: Option<f64>,
    pub(crate) consumed: Vec<u64>,
}

pub(crate) enum State {
    /// No writer thread: not started yet, or finished.
    Idle,
    Running(Writer),
    /// Given up for good.
    Inert,
}

impl Inner {
    pub(crate) fn new(root: PathBuf, run: String) -> Self {
        Self {
            triggers: Triggers::default(),
            passing: Mutex::default(),
            settings: Mutex::new(Settings::new(root, run)),
            state: Mutex::new(State::Idle),
            shared: Arc::default(),
        }
    }

    /// Whether nothing will be published any more.
    pub(crate) fn is_inert(&self) -> bool {
        matches!(*self.state(), State::Inert)
    }

    /// Calls `action` with the writer, started if need be. An error makes the hook inert.
    pub(crate) fn with_writer(&self, action: impl FnOnce(&Writer) -> Result<(), HookError>) {
        let mut state = self.state();
        if let State::Idle = *state {
            let publisher = Publisher::new(self.settings().clone(), &self.shared.counters.read());
            let requested = Arc::clone(&self.triggers.requested);
            match Writer::spawn(Arc::clone(&self.shared), publisher, requested) {
                Ok(writer) => *state = State::Running(writer),
                Err(error) => self.give_up(&mut state, &error),
            }
        }
        if let State::Running(writer) = &*state
            && let Err(error) = action(writer)
        {
            writer.abandon();
            self.give_up(&mut state, &error);
        }
    }

    /// Waits for the writer to come to its end. Returns whether it has written the last checkpoint and
    /// the run's end.
    pub(crate) fn end(&self, limit: Duration, ending: Ending) -> bool {
        // Inert while waiting, so that no other thread starts a second writer meanwhile. A statement of
        // its own, so that the lock is not held while waiting.
        let state = std::mem::replace(&mut *self.state(), State::Inert);
        let writer = match state {
            State::Running(writer) => writer,
            State::Idle => {
                *self.state() = State::Idle;
                return true;
            }
            State::Inert => return false,
        };
        match writer.finish(limit, ending) {
            Ok(written) => {
                *self.state() = State::Idle;
                written
            }
            Err(error) => {
                self.give_up(&mut self.state(), &error);
                false
            }
        }
    }

    fn give_up(&self, state: &mut State, error: &HookError) {
        *state = State::Inert;
        self.shared.counters.failed(error);
    }

    // Neither lock is held while anything is computed, written or waited for, and what is behind them
    // stays sound when a thread panics: it is replaced as a whole.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn passing(&self) -> MutexGuard<'_, Passing> {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    /// The last handle is gone: what is waiting is written, for at most [`DROP_LIMIT`]. A training
    /// that panics does not finish its run, so that its end does not pass for success.
    fn drop(&mut self) {
        let ending = match std::thread::panicking() {
            true => Ending::Broken,
            false => Ending::Complete,
        };
        self.end(DROP_LIMIT, ending);
    }
}
