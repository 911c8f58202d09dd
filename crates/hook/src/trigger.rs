//! When a checkpoint is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The name of the file in a run's directory that asks for a checkpoint.
pub const REQUEST_FILE: &str = "publish";

/// What makes a checkpoint due after an optimizer step. Read by the training thread without any lock.
pub(crate) struct Triggers {
    since: Instant,
    every_steps: AtomicUsize,
    /// 0 = never.
    every_micros: AtomicU64,
    /// When the last snapshot was taken, in microseconds since `since`.
    last: AtomicU64,
    /// Share of the time that writing may take, in millionths; 0 = as much as it takes.
    share: AtomicU64,
    /// Set by a file, by a signal or by hand.
    pub(crate) requested: Arc<AtomicBool>,
}

impl Default for Triggers {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            every_steps: AtomicUsize::new(0),
            every_micros: AtomicU64::new(0),
            last: AtomicU64::new(0),
            share: AtomicU64::new(0),
            requested: Arc::default(),
        }
    }
}

impl Triggers {
    pub(crate) fn every_steps(&self, steps: usize) {
        self.every_steps.store(steps, Relaxed);
    }

    pub(crate) fn every(&self, period: Duration) {
        self.every_micros.store(micros(period), Relaxed);
    }

    pub(crate) fn within(&self, share: f64) {
        // A share of nothing would be no limit; the smallest is.
        let share = (share.clamp(0.0, 1.0) * 1e6).max(1.0);
        self.share.store(share as u64, Relaxed);
    }

    /// Whether a checkpoint is wanted after optimizer step `step`, when writing has taken `written` so far.
    pub(crate) fn is_due(&self, step: usize, written: impl FnOnce() -> Duration) -> Due {
        if self.requested.swap(false, Relaxed) {
            return Due::Now;
        }
        let by_steps = match self.every_steps.load(Relaxed) {
            0 => false,
            every => step > 0 && step.is_multiple_of(every),
        };
        let period = self.every_micros.load(Relaxed);
        let by_time = period > 0 && self.now().saturating_sub(self.last.load(Relaxed)) >= period;
        if !by_steps && !by_time {
            return Due::No;
        }
        let share = self.share.load(Relaxed);
        let spent = u128::from(micros(written())) * 1_000_000;
        if share > 0 && spent > u128::from(self.now()) * u128::from(share) {
            return Due::HeldBack;
        }
        Due::Now
    }

    /// A snapshot was taken, for whatever reason.
    pub(crate) fn taken(&self) {
        self.last.store(self.now(), Relaxed);
    }

    fn now(&self) -> u64 {
        micros(self.since.elapsed())
    }
}

/// Whether a checkpoint is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    No,
    Now,
    /// It is, but writing has taken its share of the time already.
    HeldBack,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: fn() -> Duration = || Duration::ZERO;

    #[test]
    fn steps_seconds_and_requests() {
        let triggers = Triggers::default();
        assert_eq!(triggers.is_due(4, NOTHING), Due::No);
        triggers.every_steps(2);
        assert_eq!(triggers.is_due(4, NOTHING), Due::Now);
        assert_eq!(triggers.is_due(5, NOTHING), Due::No);
        triggers.requested.store(true, Relaxed);
        assert_eq!(triggers.is_due(5, NOTHING), Due::Now);
        assert_eq!(triggers.is_due(5, NOTHING), Due::No, "once");
        triggers.every(Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(triggers.is_due(5, NOTHING), Due::Now);
        triggers.taken();
        assert_eq!(triggers.is_due(5, NOTHING), Due::No);
    }

    #[test]
    fn a_share_of_the_time_is_kept_except_on_request() {
        let triggers = Triggers::default();
        triggers.every_steps(1);
        triggers.within(0.1);
        let hour = || Duration::from_secs(3600);
        assert_eq!(triggers.is_due(1, hour), Due::HeldBack);
        triggers.requested.store(true, Relaxed);
        assert_eq!(triggers.is_due(1, hour), Due::Now);
        assert_eq!(triggers.is_due(1, NOTHING), Due::Now);
        // No share at all is the least one, not none.
        triggers.within(0.0);
        assert_eq!(triggers.is_due(1, || Duration::from_secs(1)), Due::HeldBack);
    }
}
