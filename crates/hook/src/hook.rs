//! The hook itself: what a training loop holds on to.

mod options;

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
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let hook = Hook::new(root, "mnist-7")
///     .every_steps(200)
///     .keep(3)
///     .tag("lr", "1e-3");
/// assert_eq!(hook.stats().published, 0);
/// # Ok::<(), std::io::Error>(())
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
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// let hook = Hook::new(root, "mnist");
    /// assert!(!root.join("mnist").exists());
    /// hook.on_epoch_end(1, 470, None, &model);
    /// assert!(hook.finish() && root.join("mnist/run.json").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # use mirrorwatch_hook::{Hook, HookError};
    /// # let root = tempfile::tempdir()?;
    /// let hook = Hook::try_new(root.path(), "mnist")?;
    /// assert!(root.path().join("mnist").exists());
    /// assert!(matches!(Hook::try_new(root.path(), "../mnist"), Err(HookError::Open(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_new(root: impl AsRef<Path>, run_name: impl Into<String>) -> Result<Self, HookError> {
        let hook = Self::new(root, run_name);
        hook.inner.settings().create()?;
        Ok(hook)
    }

    /// Asks for a checkpoint at the next optimizer step. Can be called from any thread.
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// let hook = Hook::new(root, "mnist");
    /// hook.request();
    /// (1..=5).for_each(|step| hook.on_step(1, step, None, &model));
    /// assert_eq!(hook.stats().snapshots, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request(&self) {
        self.inner.triggers.requested.store(true, Ordering::Relaxed);
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
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// let hook = Hook::new(root, "mnist").every_steps(4);
    /// (1..=4).for_each(|step| hook.on_step(1, step, Some(step as f64), &model));
    /// hook.finish();
    /// let found = mirrorwatch_checkpoint::list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// assert_eq!((found.manifest.step, found.manifest.train_loss), (4, Some(2.5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// let hook = Hook::new(root, "mnist");
    /// hook.on_epoch_end(1, 470, Some(0.3), &model);
    /// hook.finish();
    /// let found = mirrorwatch_checkpoint::list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// assert_eq!((found.manifest.epoch, found.manifest.train_loss), (1, Some(0.3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// let hook = Hook::new(root, "mnist");
    /// hook.valid_loss(1, 0.4);
    /// hook.on_epoch_end(1, 470, None, &model);
    /// hook.finish();
    /// let found = mirrorwatch_checkpoint::list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// assert_eq!(found.manifest.valid_loss, Some(0.4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn valid_loss(&self, epoch: usize, loss: f64) {
        self.offer_loss(epoch, true, || Loss::Value(loss));
    }

    /// Says which training samples are consumed, by their positions in the training set as the sidecar's task has
    /// them. The next checkpoint's manifest lists what came since the one before, so that whoever reads it knows
    /// what the model has seen.
    ///
    /// Can be called from any thread, a batcher's among them. Data loaders with workers are a few batches ahead of
    /// the training: what they have read counts as consumed.
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// let hook = Hook::new(root, "mnist");
    /// hook.consumed([7, 3, 9]);
    /// hook.on_epoch_end(1, 470, None, &model);
    /// hook.finish();
    /// let found = mirrorwatch_checkpoint::list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// assert_eq!(found.manifest.consumed.and_then(|c| c.positions()), Some(vec![3, 7, 9]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn consumed(&self, positions: impl IntoIterator<Item = usize>) {
        if self.inner.is_inert() {
            // Nobody will ever take them.
            return;
        }
        let positions = positions.into_iter().map(|position| position as u64);
        self.inner.passing().consumed.extend(positions);
    }

    /// Says the learning rate from now on, for manifests. `SupervisedTraining` says it by itself.
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// let hook = Hook::new(root, "mnist");
    /// hook.learning_rate(1e-3);
    /// hook.on_epoch_end(1, 470, None, &model);
    /// hook.finish();
    /// let found = mirrorwatch_checkpoint::list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// assert_eq!(found.manifest.learning_rate, Some(1e-3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn learning_rate(&self, rate: f64) {
        self.inner.passing().learning_rate = Some(rate);
    }

    /// Waits until all checkpoints handed over are written, for at most [`FINISH_LIMIT`], and marks
    /// the run as finished. Returns whether the last checkpoint and the end of the run are on the disk;
    /// what was lost before that is counted in [`Stats`].
    ///
    /// Training again with the same hook takes the run up again.
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// let hook = Hook::new(root, "mnist");
    /// hook.on_epoch_end(1, 470, None, &model);
    /// assert!(hook.finish());
    /// let status = mirrorwatch_checkpoint::list_checkpoints(root, "mnist")?.status;
    /// assert!(status.is_some_and(|s| s.finished.is_some() && s.published == 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn finish(&self) -> bool {
        self.inner.end(FINISH_LIMIT, Ending::Complete)
    }

    /// What happened so far. Checkpoints still on their way are in none of the counters.
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// let hook = Hook::new(root, "mnist");
    /// hook.on_epoch_end(1, 470, None, &model);
    /// hook.finish();
    /// assert_eq!((hook.stats().snapshots, hook.stats().published), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
                    consumed: std::mem::take(&mut passing.consumed).into(),
                    parameters,
                };
                drop(passing);
                self.inner.with_writer(|writer| writer.offer(checkpoint));
            }
            Err(error) => counters.failed(&error),
        }
    }

    /// Publishes on another system than the operating system itself.
    #[cfg(test)]
    pub(crate) fn on(self, system: Arc<dyn mirrorwatch_checkpoint::System>) -> Self {
        self.inner.settings().system = system;
        self
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
