//! What a hook has done so far, and saying so once when something goes wrong.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::HookError;

/// Counters of a [`Hook`](crate::Hook), as of the moment they were read.
///
/// ```
#[doc = include_str!("example_model.txt")]
/// let hook = Hook::new(root, "mnist").every_steps(1);
/// (1..=3).for_each(|step| hook.on_step(1, step, None, &model));
/// hook.finish();
/// let stats = hook.stats();
/// assert_eq!((stats.snapshots, stats.published + stats.dropped), (3, 3));
/// assert_eq!((stats.failed, stats.held_back, stats.losses_dropped, stats.last_error), (0, 0, 0, None));
/// assert!(stats.snapshot_seconds_max <= stats.snapshot_seconds_total);
/// assert!(stats.write_seconds_total > 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Checkpoints written to the run directory.
    pub published: u64,
    /// Checkpoints that could not be written, snapshots that could not be taken, and failures to start.
    pub failed: u64,
    /// Checkpoints given up for a newer one because the writer was still busy, or not taken at all
    /// because the hook is inert or finished.
    pub dropped: u64,
    /// Checkpoints that were due and not taken or not written, because a limit said so: see
    /// [`Hook::within`](crate::Hook::within) and [`Hook::on_improvement`](crate::Hook::on_improvement).
    pub held_back: u64,
    /// Loss values left out of the reported means because the writer was too far behind.
    pub losses_dropped: u64,
    /// The latest error, if there was one. It stays after later successes.
    pub last_error: Option<String>,
    /// Snapshots taken on the training thread.
    pub snapshots: u64,
    /// The longest time one snapshot took on the training thread, in seconds.
    pub snapshot_seconds_max: f64,
    /// The time all snapshots together took on the training thread, in seconds.
    pub snapshot_seconds_total: f64,
    /// The time that the writer thread has spent on checkpoints, in seconds.
    pub write_seconds_total: f64,
}

#[derive(Default)]
struct Tally {
    stats: Stats,
    /// Kinds of trouble already reported since the last success.
    reported: BTreeSet<&'static str>,
}

/// The counters, shared between the training thread and the writer thread.
#[derive(Default)]
pub(crate) struct Counters {
    tally: Mutex<Tally>,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        self.lock().stats.clone()
    }

    pub(crate) fn snapshot_taken(&self, took: Duration) {
        let mut tally = self.lock();
        let seconds = took.as_secs_f64();
        tally.stats.snapshots += 1;
        tally.stats.snapshot_seconds_total += seconds;
        tally.stats.snapshot_seconds_max = tally.stats.snapshot_seconds_max.max(seconds);
    }

    /// Counts a published checkpoint. `remark` is what went wrong after it was on the disk.
    pub(crate) fn published(&self, remark: Option<&HookError>) {
        let mut tally = self.lock();
        tally.stats.published += 1;
        if let Some(error) = remark {
            tally.stats.last_error = Some(error.to_string());
            // That a run is shared is said only once anyway, and is over with no success.
            let first =
                matches!(error, HookError::Shared { .. }) || tally.reported.insert(error.kind());
            drop(tally);
            if first {
                tracing::warn!(%error, "mirrorwatch");
            }
            return;
        }
        let recovered = !tally.reported.is_empty();
        tally.reported.clear();
        drop(tally);
        if recovered {
            tracing::info!("publishing checkpoints again");
        }
    }

    /// Counts checkpoints that were given up.
    pub(crate) fn dropped(&self, checkpoints: u64) {
        self.lock().stats.dropped += checkpoints;
    }

    pub(crate) fn held_back(&self) {
        self.lock().stats.held_back += 1;
    }

    pub(crate) fn wrote_for(&self, took: Duration) {
        self.lock().stats.write_seconds_total += took.as_secs_f64();
    }

    /// The time spent on writing so far.
    pub(crate) fn written(&self) -> Duration {
        Duration::try_from_secs_f64(self.lock().stats.write_seconds_total).unwrap_or_default()
    }

    pub(crate) fn loss_dropped(&self) {
        self.lock().stats.losses_dropped += 1;
    }

    /// Counts a failure, and warns when it is the first of its kind since the last success.
    pub(crate) fn failed(&self, error: &HookError) {
        let mut tally = self.lock();
        tally.stats.failed += 1;
        tally.stats.last_error = Some(error.to_string());
        let first = tally.reported.insert(error.kind());
        drop(tally);
        if first {
            tracing::warn!(%error, "a checkpoint was not published; training goes on");
        }
    }

    // A panic while holding the lock leaves plain counters behind: they are as good as before.
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_trouble_is_reported_once_until_things_work_again() {
        let counters = Counters::default();
        counters.failed(&HookError::WriterDied);
        counters.failed(&HookError::WriterDied);
        assert_eq!(counters.read().failed, 2);
        assert_eq!(counters.lock().reported.len(), 1);

        counters.published(None);
        assert!(counters.lock().reported.is_empty());
        assert_eq!(
            counters.read().last_error.as_deref(),
            Some("the writer thread died")
        );
    }

    #[test]
    fn snapshot_times_add_up() {
        let counters = Counters::default();
        counters.snapshot_taken(Duration::from_millis(2));
        counters.snapshot_taken(Duration::from_millis(1));
        let stats = counters.read();
        assert_eq!(stats.snapshots, 2);
        assert!((stats.snapshot_seconds_max - 0.002).abs() < 1e-9);
        assert!((stats.snapshot_seconds_total - 0.003).abs() < 1e-9);
    }
}
