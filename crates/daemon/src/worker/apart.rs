//! What runs a task's own code does so on a thread of its own, which can be left behind when it hangs.
//!
//! A thread cannot be ended from outside. One that gives no sign of life is told to stop, should it ever hear again, and
//! its result is dropped; evidence is not in its reach. The scans of other checkpoints go on, as long as not too many
//! threads are adrift.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mirrorwatch_influence::panic_text;

use super::Failure;
use crate::hub::Hub;
use crate::supervisor::Link;

/// How often the waiting thread looks for a sign of life, and for the daemon's end.
const LOOK: Duration = Duration::from_millis(50);
/// Threads that may be adrift before no more are started.
const MOST_ADRIFT: usize = 2;
/// How long a scan that was told to stop at the daemon's end is waited for.
const FAREWELL: Duration = Duration::from_secs(10);

/// Starts such threads.
pub struct Apart {
    /// No sign of life for this long, and a thread is left behind.
    pub patience: Duration,
    /// Set to stop everything.
    pub cancel: Arc<AtomicBool>,
    /// Told of signs of life.
    pub hub: Arc<Hub>,
    adrift: Arc<AtomicUsize>,
    /// Who starts this process again, if anybody does.
    supervisor: Option<Arc<Link>>,
}

/// Why there is no result.
#[derive(Debug, PartialEq)]
pub(super) enum Lost {
    /// It panicked; the text says how.
    Panicked(String),
    /// It gave no sign of life, and was left behind.
    Hung(String),
    /// It was not begun.
    Unbegun(String),
}

/// The stage at which work gives no sign of life.
const TIMEOUT: &str = "timeout";

impl Lost {
    /// As a failure at `stage`, unless it is one of its own.
    pub(super) fn failure(self, stage: &'static str) -> Failure {
        match self {
            Lost::Panicked(text) => (stage, format!("the task panicked: {text}")),
            Lost::Hung(text) => (TIMEOUT, text),
            Lost::Unbegun(text) => (stage, text),
        }
    }
}

/// What work that runs apart can see of the rest.
pub(super) struct Life {
    /// Set when it is to stop.
    pub stop: Arc<AtomicBool>,
    name: String,
    hub: Arc<Hub>,
    start: Instant,
    beat: Arc<AtomicU64>,
}

impl Life {
    /// A sign of life.
    pub fn beat(&self) {
        // Whoever was left behind speaks for nobody any more.
        if !self.stop.load(Ordering::Relaxed) {
            self.beat.store(millis(self.start), Ordering::Relaxed);
            self.hub.beat_worker(Some(self.name.clone()));
        }
    }
}

fn millis(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}

/// Counts a thread for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Apart {
    /// With nothing started yet.
    pub fn new(patience: Duration, cancel: Arc<AtomicBool>, hub: Arc<Hub>) -> Self {
        Self {
            patience,
            cancel,
            hub,
            adrift: Arc::default(),
            supervisor: None,
        }
    }

    /// With somebody who starts this process again, which is what frees it of threads that hang.
    pub fn supervised(mut self, supervisor: Option<Arc<Link>>) -> Self {
        self.supervisor = supervisor;
        self
    }

    /// Waits while too many threads are adrift: more would only be lost as well. The silence meanwhile shows in the
    /// daemon's health. Returns whether there is room; not so at the daemon's end.
    pub(super) fn has_room(&self) -> bool {
        let mut told = false;
        while self.adrift.load(Ordering::Relaxed) >= MOST_ADRIFT {
            if self.cancel.load(Ordering::Relaxed) {
                return false;
            }
            if let Some(supervisor) = &self.supervisor {
                supervisor.start_again(&format!("{MOST_ADRIFT} scans hang"));
            }
            if !told {
                tracing::error!(
                    "{MOST_ADRIFT} scans hang and cannot be ended: nothing is scanned until one of them does; restart the sidecar, and see what the task waits for"
                );
                told = true;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    /// Does `work`, which is called `name`, on a thread of its own and waits for what it returns.
    ///
    /// # Errors
    ///
    /// A panic, or no sign of life for too long.
    pub(super) fn run<R: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Life) -> R + Send + 'static,
    ) -> Result<R, Lost> {
        let life = Life {
            stop: Arc::default(),
            name: name.to_string(),
            hub: self.hub.clone(),
            start: Instant::now(),
            beat: Arc::default(),
        };
        let (stop, beat, start) = (life.stop.clone(), life.beat.clone(), life.start);
        let (sender, receiver) = mpsc::sync_channel(1);
        let counted = Counted::new(&self.adrift);
        let spawned = std::thread::Builder::new()
            .name("mirrorwatch-read".to_string())
            .spawn(move || {
                let _counted = counted;
                let done = catch_unwind(AssertUnwindSafe(|| work(&life)));
                // Nobody waits for one that was left behind.
                drop(sender.send(done.map_err(|panic| panic_text(panic.as_ref()).to_string())));
            });
        if let Err(error) = spawned {
            return Err(Lost::Unbegun(format!(
                "cannot start a thread to scan on: {error}"
            )));
        }
        let mut ending: Option<Instant> = None;
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(done) => return done.map_err(Lost::Panicked),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Lost::Panicked("it ended without a word".to_string()));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if self.cancel.load(Ordering::Relaxed) {
                stop.store(true, Ordering::Relaxed);
                if ending.get_or_insert_with(Instant::now).elapsed() > FAREWELL {
                    return Err(Lost::Hung("it does not stop".to_string()));
                }
            }
            let silence = millis(start).saturating_sub(beat.load(Ordering::Relaxed));
            if Duration::from_millis(silence) > self.patience {
                stop.store(true, Ordering::Relaxed);
                return Err(Lost::Hung(format!(
                    "no sign of life for {} s; the scan is given up, its thread left behind (see --scan-timeout)",
                    self.patience.as_secs()
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(patience: Duration) -> Apart {
        Apart::new(patience, Arc::default(), Arc::default())
    }

    #[test]
    fn what_ends_is_returned_and_a_panic_is_told() {
        let apart = apart(Duration::from_secs(60));
        assert_eq!(apart.run("r/1", |_| 7), Ok(7));
        let panicked = apart.run("r/1", |_| -> i32 { panic!("no {}", "label") });
        assert_eq!(panicked, Err(Lost::Panicked("no label".to_string())));
        assert!(apart.has_room());
    }

    #[test]
    fn what_hangs_is_left_behind_told_to_stop_and_counted() {
        let apart = apart(Duration::from_millis(100));
        let (free, wait) = mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..MOST_ADRIFT {
            let (wait, ended) = (wait.clone(), ended.clone());
            let hung = apart.run("r/1", move |life| {
                let _ = wait.lock().unwrap().recv();
                assert!(life.stop.load(Ordering::Relaxed));
                life.beat();
                ended.fetch_add(1, Ordering::Relaxed);
            });
            assert!(
                matches!(&hung, Err(Lost::Hung(text)) if text.contains("no sign of life")),
                "{hung:?}"
            );
        }
        assert_eq!(apart.adrift.load(Ordering::Relaxed), MOST_ADRIFT);
        // Its beat after that is not one of the daemon.
        let before = apart.hub.scanning();
        drop(free);
        assert!(apart.has_room());
        while ended.load(Ordering::Relaxed) < MOST_ADRIFT {
            std::thread::yield_now();
        }
        assert_eq!(apart.hub.scanning(), before);
    }

    #[test]
    fn signs_of_life_keep_it_going_for_longer_than_the_patience() {
        let apart = apart(Duration::from_millis(300));
        let done = apart.run("r/1", |life| {
            for _ in 0..60 {
                std::thread::sleep(Duration::from_millis(10));
                life.beat();
            }
            life.stop.load(Ordering::Relaxed)
        });
        assert_eq!(done, Ok(false));
    }

    #[test]
    fn the_daemons_end_reaches_what_runs_apart() {
        let apart = apart(Duration::from_secs(60));
        let cancel = apart.cancel.clone();
        let stopped = apart.run("r/1", move |life| {
            cancel.store(true, Ordering::Relaxed);
            while !life.stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            "stopped"
        });
        assert_eq!(stopped, Ok("stopped"));
    }
}
