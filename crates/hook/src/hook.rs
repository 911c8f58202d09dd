//! The hook itself: what a training loop holds on to.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use burn::module::Module;

use crate::error::HookError;
use crate::inner::Inner;
use crate::loss::{Loss, LossSample};
use crate::queue::{Checkpoint, Ending, Moment};
use crate::stats::Stats;
use crate::tape::Tape;
use crate::writer::contain;

/// How long [`Hook::finish`] waits for the last checkpoints to be written.
pub const FINISH_LIMIT: Duration = Duration::from_secs(60);
/// How long dropping the last clone of a [`Hook`] waits, when [`Hook::finish`] was not called.
pub const DROP_LIMIT: Duration = Duration::from_secs(10);

/// Publishes the checkpoints of one run. Clones are handles to the same run.
///
/// Nothing a hook does can stop, slow or change a training: failures are counted and reported once
/// through `tracing`, panics are contained, and the training thread never waits for the writer
/// thread. See the [crate documentation](crate) for both ways to use it.
///
/// ```
/// use mirrorwatch_hook::Hook;
///
/// # let root = tempfile::tempdir().unwrap();
/// # let root = root.path();
/// let hook = Hook::new(root, "mnist-7")
///     .every_steps(200)
///     .keep(3)
///     .tag("lr", "1e-3");
/// assert_eq!(hook.stats().published, 0);
/// ```
#[derive(Clone)]
pub struct Hook {
    inner: Arc<Inner>,
}

impl Hook {
    /// A hook that publishes the run `run_name` below the directory `root`, at the end of each epoch
    /// and keeping the newest 5 checkpoints.
    ///
    /// Nothing happens before training starts. If the run cannot be written then, the hook warns
    /// once, counts, and tries again with every checkpoint; the training is not affected. Use
    /// [`try_new`](Hook::try_new) to know beforehand.
    ///
    /// # Arguments
    ///
    /// * `root` - The directory that the sidecar watches.
    /// * `run_name` - Up to 128 letters, digits, dots, dashes and underscores.
    pub fn new(root: impl AsRef<Path>, run_name: impl Into<String>) -> Self {
        let inner = Inner::new(root.as_ref().to_path_buf(), run_name.into());
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Like [`new`](Hook::new), and creates the run's directory at once.
    ///
    /// # Errors
    ///
    /// [`HookError::Open`] when the run cannot be created, for its name or for its place.
    pub fn try_new(root: impl AsRef<Path>, run_name: impl Into<String>) -> Result<Self, HookError> {
        let hook = Self::new(root, run_name);
        hook.inner.settings().create()?;
        Ok(hook)
    }

    /// Publishes every `steps` optimizer steps too, not only at the end of each epoch. 0 turns that
    /// off again.
    #[must_use]
    pub fn every_steps(self, steps: usize) -> Self {
        self.inner.every_steps.store(steps, Ordering::Relaxed);
        self
    }

    /// Keeps the newest `checkpoints` checkpoints of the run, at least 1. Takes effect if called
    /// before training starts.
    #[must_use]
    pub fn keep(self, checkpoints: usize) -> Self {
        self.inner.settings().keep = checkpoints;
        self
    }

    /// Adds a tag to every manifest. Takes effect if called before training starts.
    #[must_use]
    pub fn tag(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        self.inner.settings().tags.insert(key, value);
        self
    }

    /// To be called after each optimizer step of a hand-written loop. Publishes a checkpoint when
    /// [`every_steps`](Hook::every_steps) says so.
    ///
    /// # Arguments
    ///
    /// * `epoch` - The epoch, counted from 1 as Burn does.
    /// * `step` - Optimizer steps since the training began, counted from 1.
    /// * `loss` - The loss of this step if it is at hand. A checkpoint reports the mean since the
    ///   checkpoint before it, or since the epoch began when that is later. Reading the loss off the
    ///   device only for this is not worth it: pass `None`.
    /// * `model` - The model after the step. It is read, never changed.
    pub fn on_step<M: Module>(&self, epoch: usize, step: usize, loss: Option<f64>, model: &M) {
        if let Some(loss) = loss {
            self.offer_loss(epoch, || Loss::Value(loss));
        }
        if self.is_due(step) {
            self.take(epoch, step, Moment::Step, None, || Tape::record(model));
        }
    }

    /// To be called at the end of each epoch of a hand-written loop. Always publishes a checkpoint.
    ///
    /// # Arguments
    ///
    /// * `epoch` - The epoch that ended.
    /// * `step` - Optimizer steps since the training began.
    /// * `loss` - The mean training loss of the epoch. With `None` it is the mean of what
    ///   [`on_step`](Hook::on_step) was given in this epoch, if anything.
    /// * `model` - The model. It is read, never changed.
    pub fn on_epoch_end<M: Module>(&self, epoch: usize, step: usize, loss: Option<f64>, model: &M) {
        self.take(epoch, step, Moment::EpochEnd, loss, || Tape::record(model));
    }

    /// Waits until all checkpoints handed over are written, for at most [`FINISH_LIMIT`], and marks
    /// the run as finished. Returns whether everything is on the disk.
    ///
    /// Training again with the same hook takes the run up again.
    pub fn finish(&self) -> bool {
        self.inner.end(FINISH_LIMIT, Ending::Complete)
    }

    /// What happened so far. Checkpoints still on their way are in none of the counters.
    pub fn stats(&self) -> Stats {
        self.inner.shared.counters.read()
    }

    /// Starts the writer thread, which creates the run's directory.
    pub(crate) fn start(&self) {
        self.inner.with_writer(|_| Ok(()));
    }

    /// As [`finish`](Hook::finish), leaving the run unfinished when the training broke.
    pub(crate) fn end(&self, ending: Ending) {
        self.inner.end(FINISH_LIMIT, ending);
    }

    /// Whether a checkpoint is wanted after optimizer step `step`.
    pub(crate) fn is_due(&self, step: usize) -> bool {
        match self.inner.every_steps.load(Ordering::Relaxed) {
            0 => false,
            every => step > 0 && step.is_multiple_of(every),
        }
    }

    /// Hands a loss to the writer. `loss` may run code of the user's, so it is contained.
    pub(crate) fn offer_loss(&self, epoch: usize, loss: impl FnOnce() -> Loss) {
        if self.inner.is_inert() {
            return;
        }
        let taken = contain("taking the loss", || {
            let loss = loss();
            self.inner
                .with_writer(|writer| writer.offer_loss(LossSample { epoch, loss }));
            Ok(())
        });
        if let Err(error) = taken {
            tracing::debug!(%error, "a training loss is left out");
        }
    }

    /// Takes a snapshot on this thread and hands it to the writer.
    pub(crate) fn take(
        &self,
        epoch: usize,
        step: usize,
        moment: Moment,
        loss: Option<f64>,
        record: impl FnOnce() -> Result<Tape, HookError>,
    ) {
        let counters = &self.inner.shared.counters;
        if self.inner.is_inert() {
            counters.dropped(1);
            return;
        }

        let started = Instant::now();
        let taken = contain("taking a snapshot", record);
        counters.snapshot_taken(started.elapsed());

        match taken {
            Ok(tape) => {
                let checkpoint = Checkpoint {
                    epoch,
                    step,
                    moment,
                    loss,
                    tape,
                };
                self.inner.with_writer(|writer| writer.offer(checkpoint));
            }
            Err(error) => counters.failed(&error),
        }
    }

    /// Ends the writer thread as a crash would.
    #[cfg(test)]
    pub(crate) fn kill_writer(&self) {
        self.inner.with_writer(|writer| {
            writer.kill();
            Ok(())
        });
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("every_steps", &self.inner.every_steps)
            .field("settings", &*self.inner.settings())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
