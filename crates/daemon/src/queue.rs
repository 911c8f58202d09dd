//! The queue between watching and scanning: bounded per run, the newest checkpoint wins.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Waiting jobs in order of arrival, at most `limit` per run.
///
/// A scan takes longer than an epoch at times. Then what counts is the newest checkpoint: when a
/// run has more waiting than its limit, its oldest waiting job is given back to be counted as
/// skipped.
pub struct Queue<J> {
    state: Mutex<State<J>>,
    arrived: Condvar,
}

struct State<J> {
    jobs: VecDeque<(String, J)>,
    /// The runs of jobs taken and not yet done.
    busy: Vec<String>,
    closed: bool,
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                busy: Vec::new(),
                closed: false,
            }),
            arrived: Condvar::new(),
        }
    }
}

impl<J> Queue<J> {
    // A panic while the lock is held cannot leave a half-changed queue, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job of `run` and returns those that had to give way, oldest first.
    pub fn push(&self, run: &str, job: J, limit: usize) -> Vec<J> {
        let mut state = self.lock();
        state.jobs.push_back((run.to_string(), job));
        let mut waiting = state.jobs.iter().filter(|(r, _)| r == run).count();
        let mut superseded = Vec::new();
        while waiting > limit.max(1) {
            let Some(oldest) = state.jobs.iter().position(|(r, _)| r == run) else {
                break;
            };
            if let Some((_, job)) = state.jobs.remove(oldest) {
                superseded.push(job);
            }
            waiting -= 1;
        }
        self.arrived.notify_one();
        superseded
    }

    /// Takes the oldest job, waiting up to `patience`; `None` when there is none or on close.
    ///
    /// Call [`done`](Queue::done) when it is dealt with.
    pub fn pop(&self, patience: Duration) -> Option<J> {
        let state = self.lock();
        let (mut state, _) = self
            .arrived
            .wait_timeout_while(state, patience, |s| s.jobs.is_empty() && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let (run, job) = state.jobs.pop_front()?;
        state.busy.push(run);
        Some(job)
    }

    /// Takes the job of `run` that is wanted, and those of the run that came before it; waits up to `patience` for it.
    pub fn take(
        &self,
        run: &str,
        wanted: impl Fn(&J) -> bool,
        patience: Duration,
    ) -> Option<(J, Vec<J>)> {
        let find = |state: &State<J>| {
            state
                .jobs
                .iter()
                .position(|(r, job)| r == run && wanted(job))
        };
        let state = self.lock();
        let (mut state, _) = self
            .arrived
            .wait_timeout_while(state, patience, |s| find(s).is_none() && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let mut place = find(&state)?;
        let mut passed = Vec::new();
        while let Some(old) = state.jobs.iter().take(place).position(|(r, _)| r == run) {
            passed.extend(state.jobs.remove(old).map(|(_, job)| job));
            place -= 1;
        }
        let (run, job) = state.jobs.remove(place)?;
        state.busy.push(run);
        Some((job, passed))
    }

    /// The job that was taken first, of those that are not yet, is dealt with.
    pub fn done(&self) {
        let mut state = self.lock();
        if !state.busy.is_empty() {
            state.busy.remove(0);
        }
    }

    /// Whether a job of `run` is waiting or being dealt with.
    pub fn holds(&self, run: &str) -> bool {
        let state = self.lock();
        state.busy.iter().any(|r| r == run) || state.jobs.iter().any(|(r, _)| r == run)
    }

    /// Whether no job is waiting and none is being dealt with.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.jobs.is_empty() && state.busy.is_empty()
    }

    /// The number of waiting jobs.
    pub fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Wakes every waiting taker; later pops no longer wait.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn the_newest_of_a_run_wins() {
        let queue = Queue::default();
        assert!(queue.push("a", 1, 2).is_empty());
        assert!(queue.push("b", 10, 2).is_empty());
        assert!(queue.push("a", 2, 2).is_empty());
        assert_eq!(queue.push("a", 3, 2), vec![1]);
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.pop(NOW), Some(10));
        assert_eq!(queue.pop(NOW), Some(2));
        assert_eq!(queue.pop(NOW), Some(3));
        assert_eq!(queue.pop(NOW), None);
        assert!(queue.len() == 0 && !queue.is_idle());
        // Taken were one of b and two of a, in this order.
        for held in [[true, true], [true, false], [true, false]] {
            assert_eq!(["a", "b"].map(|run| queue.holds(run)), held);
            queue.done();
        }
        assert!(queue.is_idle() && !queue.holds("a"));
        queue.push("a", 4, 2);
        assert!(queue.holds("a") && !queue.holds("b"));
    }

    #[test]
    fn one_that_is_asked_for_comes_with_those_before_it_of_its_run() {
        let queue = Queue::default();
        for (run, job) in [("a", 1), ("b", 10), ("a", 2), ("b", 11), ("a", 3)] {
            queue.push(run, job, 9);
        }
        assert_eq!(queue.take("a", |job| *job == 4, NOW), None);
        assert_eq!(queue.take("b", |job| *job == 2, NOW), None);
        assert_eq!(queue.take("a", |job| *job == 2, NOW), Some((2, vec![1])));
        assert!(queue.len() == 3 && !queue.is_idle());
        assert_eq!(queue.take("b", |job| *job == 11, NOW), Some((11, vec![10])));
        assert_eq!(queue.pop(NOW), Some(3));
    }

    #[test]
    fn closing_wakes_a_waiting_taker() {
        let queue = std::sync::Arc::new(Queue::<u8>::default());
        let taker = {
            let queue = queue.clone();
            std::thread::spawn(move || queue.pop(Duration::from_secs(60)))
        };
        queue.close();
        assert_eq!(taker.join().unwrap(), None);
    }

    proptest! {
        #[test]
        fn every_job_is_taken_or_given_back(
            pushes in proptest::collection::vec((0u8..3, 1usize..4), 0..60),
        ) {
            let queue = Queue::default();
            let mut returned = 0;
            for (n, (run, limit)) in pushes.iter().enumerate() {
                returned += queue.push(&run.to_string(), n, *limit).len();
                let newest = queue.lock().jobs.iter().rev().find(|(r, _)| *r == run.to_string()).map(|(_, j)| *j);
                prop_assert_eq!(newest, Some(n));
            }
            let mut taken = 0;
            while queue.pop(NOW).is_some() {
                taken += 1;
            }
            prop_assert_eq!(taken + returned, pushes.len());
        }
    }
}
