//! The hook itself: what a training loop holds on to.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::store::ModuleRecord;

use crate::error::HookError;
use crate::inner::Inner;
use crate::loss::{Loss, LossSample};
use crate::queue::{Checkpoint, Ending, Moment, Parameters};
use crate::stats::Stats;
use crate::tape::Tape;
use crate::trigger::Due;
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
        self.inner.triggers.every_steps(steps);
        self
    }

    /// Publishes after an optimizer step when this long has passed since the last checkpoint, too. Zero turns that
    /// off again.
    #[must_use]
    pub fn every(self, period: Duration) -> Self {
        self.inner.triggers.every(period);
        self
    }

    /// Publishes the end of an epoch only if its validation loss is the best so far. Checkpoints of steps are not
    /// affected, nor are epochs without a validation loss. Takes effect if called before training starts.
    ///
    /// The validation loss comes from the training's own validation, or from
    /// [`valid_loss`](Hook::valid_loss) in a hand-written loop. It is looked at on the writer thread; the training waits
    /// for nothing. Epochs that are held back are counted in [`Stats::held_back`].
    #[must_use]
    pub fn on_improvement(self) -> Self {
        self.inner.settings().on_improvement = true;
        self
    }

    /// Publishes at the next optimizer step when the process gets `SIGUSR1` (`kill -USR1 PID`).
    ///
    /// A file does the same without a signal: `touch ROOT/RUN/publish`, looked for once a second, and
    /// [`request`](Hook::request) from the training's own code. Nothing happens if the handler cannot be installed, but
    /// for a warning.
    #[cfg(unix)]
    #[must_use]
    pub fn on_signal(self) -> Self {
        let flag = Arc::clone(&self.inner.triggers.requested);
        if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGUSR1, flag) {
            tracing::warn!("cannot listen for SIGUSR1, ask for checkpoints by a file: {error}");
        }
        self
    }

    /// Asks for a checkpoint at the next optimizer step. Can be called from any thread.
    pub fn request(&self) {
        self.inner.triggers.requested.store(true, Ordering::Relaxed);
    }

    /// Keeps the time that the writer thread works to this share of the training's, between 0 and 1: checkpoints of
    /// steps that would exceed it are left out and counted in [`Stats::held_back`]. Ends of epochs and requests are
    /// always taken. The training thread never waits for the writer anyway; this is for the cores and the disk they
    /// share.
    #[must_use]
    pub fn within(self, share: f64) -> Self {
        self.inner.triggers.within(share);
        self
    }

    /// Keeps the run's checkpoints to this many bytes on disk: fewer are kept, at least 1. Where there is room for one
    /// only, a second is there while it is written; a checkpoint that is larger by itself is not published. Takes
    /// effect if called before training starts.
    #[must_use]
    pub fn within_disk(self, bytes: u64) -> Self {
        self.inner.settings().disk = Some(bytes);
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
            self.offer_loss(epoch, false, || Loss::Value(loss));
        }
        if self.is_due(step) {
            self.take(epoch, step, Moment::Step, None, || tape(model));
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
        self.take(epoch, step, Moment::EpochEnd, loss, || tape(model));
    }

    /// Publishes a record as the end of an epoch.
    pub(crate) fn publish_record(&self, epoch: usize, record: ModuleRecord) {
        let record = Parameters::Record(Box::new(record));
        self.take(epoch, 0, Moment::EpochEnd, None, || Ok(record));
    }

    /// To be called in a hand-written loop before [`on_epoch_end`](Hook::on_epoch_end), with the mean validation loss
    /// of the epoch.
    pub fn valid_loss(&self, epoch: usize, loss: f64) {
        self.offer_loss(epoch, true, || Loss::Value(loss));
    }

    /// Says which training samples are consumed, by their positions in the training set as the sidecar's task has
    /// them. The next checkpoint's manifest lists what came since the one before, so that whoever reads it knows
    /// what the model has seen.
    ///
    /// Can be called from any thread, a batcher's among them. Data loaders with workers are a few batches ahead of
    /// the training: what they have read counts as consumed.
    pub fn consumed(&self, positions: impl IntoIterator<Item = usize>) {
        if self.inner.is_inert() {
            // Nobody will ever take them.
            return;
        }
        let positions = positions.into_iter().map(|position| position as u64);
        self.inner.passing().consumed.extend(positions);
    }

    /// Says the learning rate from now on, for manifests. `SupervisedTraining` says it by itself.
    pub fn learning_rate(&self, rate: f64) {
        self.inner.passing().learning_rate = Some(rate);
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
        let counters = &self.inner.shared.counters;
        match self.inner.triggers.is_due(step, || counters.written()) {
            Due::No => false,
            Due::Now => true,
            Due::HeldBack => {
                counters.held_back();
                false
            }
        }
    }

    /// Hands a loss to the writer. `loss` may run code of the user's, so it is contained.
    pub(crate) fn offer_loss(&self, epoch: usize, valid: bool, loss: impl FnOnce() -> Loss) {
        if self.inner.is_inert() {
            return;
        }
        let taken = contain("taking the loss", || {
            let loss = loss();
            self.inner
                .with_writer(|writer| writer.offer_loss(LossSample { epoch, valid, loss }));
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
        record: impl FnOnce() -> Result<Parameters, HookError>,
    ) {
        self.inner.triggers.taken();
        let counters = &self.inner.shared.counters;
        if self.inner.is_inert() {
            counters.dropped(1);
            return;
        }

        let started = Instant::now();
        let taken = contain("taking a snapshot", record);
        counters.snapshot_taken(started.elapsed());

        match taken {
            Ok(parameters) => {
                let mut passing = self.inner.passing();
                let checkpoint = Checkpoint {
                    epoch,
                    step,
                    moment,
                    loss,
                    learning_rate: passing.learning_rate,
                    consumed: std::mem::take(&mut passing.consumed),
                    parameters,
                };
                drop(passing);
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

/// A snapshot of a model on the training thread.
pub(crate) fn tape<M: Module>(model: &M) -> Result<Parameters, HookError> {
    Tape::record(model).map(Parameters::Tape)
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("settings", &*self.inner.settings())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
