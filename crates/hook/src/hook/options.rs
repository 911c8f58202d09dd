//! What a hook is told before training starts: when to publish, and how much.

use std::sync::Arc;
use std::time::Duration;

use super::Hook;

impl Hook {
    /// Publishes every `steps` optimizer steps too, not only at the end of each epoch. 0 turns that
    /// off again.
    ///
    /// ```
    #[doc = include_str!("../example_model.txt")]
    /// let hook = Hook::new(root, "mnist").every_steps(2);
    /// (1..=5).for_each(|step| hook.on_step(1, step, None, &model));
    /// assert_eq!(hook.stats().snapshots, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn every_steps(self, steps: usize) -> Self {
        self.inner.triggers.every_steps(steps);
        self
    }

    /// Publishes after an optimizer step when this long has passed since the last checkpoint, too. Zero turns that
    /// off again.
    ///
    /// ```
    #[doc = include_str!("../example_model.txt")]
    /// # use std::{thread::sleep, time::Duration};
    /// let hook = Hook::new(root, "mnist").every(Duration::from_millis(20));
    /// sleep(Duration::from_millis(30));
    /// hook.on_step(1, 1, None, &model);
    /// assert_eq!(hook.stats().snapshots, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// for nothing. Epochs that are held back are counted in [`Stats::held_back`](crate::Stats::held_back).
    ///
    /// ```
    #[doc = include_str!("../example_model.txt")]
    /// let hook = Hook::new(root, "mnist").on_improvement();
    /// for (epoch, loss) in [(1, 0.9), (2, 1.1)] {
    ///     hook.valid_loss(epoch, loss);
    ///     hook.on_epoch_end(epoch, 100 * epoch, None, &model);
    /// }
    /// assert!(hook.finish());
    /// assert_eq!((hook.stats().published, hook.stats().held_back), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    #[doc = include_str!("../example_model.txt")]
    /// let hook = Hook::new(root, "mnist").on_signal();
    /// // From outside, `kill -USR1`.
    /// signal_hook::low_level::raise(signal_hook::consts::SIGUSR1)?;
    /// hook.on_step(1, 7, None, &model);
    /// assert_eq!(hook.stats().snapshots, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    #[must_use]
    pub fn on_signal(self) -> Self {
        let flag = Arc::clone(&self.inner.triggers.requested);
        if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGUSR1, flag) {
            tracing::warn!("cannot listen for SIGUSR1, ask for checkpoints by a file: {error}");
        }
        self
    }

    /// Keeps the time that the writer thread works to this share of the training's, between 0 and 1: checkpoints of
    /// steps that would exceed it are left out and counted in [`Stats::held_back`](crate::Stats::held_back). Ends of
    /// epochs and requests are always taken. The training thread never waits for the writer anyway; this is for the
    /// cores and the disk they share.
    ///
    /// ```
    #[doc = include_str!("../example_model.txt")]
    /// let hook = Hook::new(root, "mnist").every_steps(1).within(1e-6);
    /// hook.on_step(1, 1, None, &model);
    /// assert!(hook.finish());
    /// // Writing the first has taken far more than a millionth of the time.
    /// hook.on_step(1, 2, None, &model);
    /// assert_eq!((hook.stats().snapshots, hook.stats().held_back), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn within(self, share: f64) -> Self {
        self.inner.triggers.within(share);
        self
    }

    /// Keeps the run's checkpoints to this many bytes on disk: fewer are kept, at least 1. Where there is room for one
    /// only, a second is there while it is written; a checkpoint that is larger by itself is not published. Takes
    /// effect if called before training starts.
    ///
    /// ```
    #[doc = include_str!("../example_model.txt")]
    /// let hook = Hook::new(root, "mnist").within_disk(20);
    /// hook.on_epoch_end(1, 470, None, &model);
    /// hook.finish();
    /// let error = hook.stats().last_error.unwrap_or_default();
    /// assert!(error.ends_with("and the run may take 20: allow more, or nothing can be published"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn within_disk(self, bytes: u64) -> Self {
        self.inner.settings().disk = Some(bytes);
        self
    }

    /// Keeps the newest `checkpoints` checkpoints of the run, at least 1. Takes effect if called
    /// before training starts.
    ///
    /// ```
    #[doc = include_str!("../example_model.txt")]
    /// let hook = Hook::new(root, "mnist").keep(1);
    /// (1..=3).for_each(|epoch| hook.on_epoch_end(epoch, epoch, None, &model));
    /// assert!(hook.finish());
    /// let kept = mirrorwatch_checkpoint::list_checkpoints(root, "mnist")?.manifests;
    /// assert_eq!((kept.len(), kept[0].manifest.epoch), (1, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn keep(self, checkpoints: usize) -> Self {
        self.inner.settings().keep = checkpoints;
        self
    }

    /// Adds a tag to every manifest. Takes effect if called before training starts.
    ///
    /// ```
    #[doc = include_str!("../example_model.txt")]
    /// let hook = Hook::new(root, "mnist").tag("lr", "1e-3");
    /// hook.on_epoch_end(1, 470, None, &model);
    /// hook.finish();
    /// let found = mirrorwatch_checkpoint::list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// assert_eq!(found.manifest.tags["lr"], "1e-3");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tag(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        self.inner.settings().tags.insert(key, value);
        self
    }
}
