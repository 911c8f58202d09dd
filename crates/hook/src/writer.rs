//! The writer thread: the only place that waits for devices and disks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};

use crate::error::HookError;
use crate::loss::{LossSample, Losses};
use crate::publisher::Publisher;
use crate::queue::{Checkpoint, Ending, Event, Moment, Next, Queue, Queued};
use crate::stats::Counters;

/// How often an idle writer looks whether somebody asks for a checkpoint.
const LOOK: Duration = Duration::from_secs(1);
/// How long a writer that has nothing to do sleeps before it looks into the queue again: at first, and at most. Nobody
/// wakes it for a checkpoint: a woken thread may be given the core of the one that wakes it, and a training that was
/// put off so lost milliseconds. A checkpoint that waits a moment loses nothing.
const NAPS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(40)];

/// What the training thread and the writer thread share.
#[derive(Default)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    pub(crate) counters: Counters,
}

impl Shared {
    // Held for a few instructions at a time, never while serialising or writing.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The training side of the hand-over. No method but [`finish`](Writer::finish) ever waits.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    wake: Sender<()>,
    /// Says when the thread has come to its end, and whether the run's end is on the disk; closes without a word if it
    /// died.
    ended: Receiver<bool>,
}

impl Writer {
    /// `requested` is set when a file in the run's directory asks for a checkpoint.
    pub(crate) fn spawn(
        shared: Arc<Shared>,
        publisher: Publisher,
        requested: Arc<AtomicBool>,
    ) -> Result<Self, HookError> {
        let (wake, woken) = bounded(1);
        let (end, ended) = bounded(1);
        let for_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("mirrorwatch-writer".to_string())
            .spawn(move || {
                run(&for_thread, publisher, &woken, &end, &requested);
            })
            .map_err(HookError::Spawn)?;
        Ok(Self {
            shared,
            wake,
            ended,
        })
    }

    /// Hands over a loss, or leaves it out when too many are waiting.
    pub(crate) fn offer_loss(&self, sample: LossSample) -> Result<(), HookError> {
        let queued = self.shared.queue().push_loss(sample);
        match queued {
            Queued::Quietly => Ok(()),
            Queued::Wake => self.wake(),
            Queued::Refused => {
                self.shared.counters.loss_dropped();
                self.wake()
            }
        }
    }

    /// Hands over a checkpoint, which may displace an older one that is still waiting.
    pub(crate) fn offer(&self, checkpoint: Checkpoint) -> Result<(), HookError> {
        let checkpoint = Box::new(checkpoint);
        let pushed = self.shared.queue().push_checkpoint(checkpoint);
        if pushed.displaced {
            self.shared.counters.dropped(1);
        }
        match pushed.wake {
            true => self.wake(),
            false => self.alive(),
        }
    }

    /// Waits until everything handed over is written, for at most `limit`.
    /// After the limit the thread goes on by itself. Says whether the last checkpoint and the run's end are written.
    pub(crate) fn finish(self, limit: Duration, ending: Ending) -> Result<bool, HookError> {
        self.shared.queue().end(ending);
        // A dead writer shows below.
        let _ = self.wake();
        let result = match self.ended.recv_timeout(limit) {
            Ok(written) => Ok(written),
            Err(RecvTimeoutError::Timeout) => return Err(HookError::TimedOut(limit)),
            Err(RecvTimeoutError::Disconnected) => Err(HookError::WriterDied),
        };
        self.abandon();
        result
    }

    /// Empties the queue of a writer that has ended, and counts what it left behind.
    pub(crate) fn abandon(&self) {
        let left = std::mem::take(&mut *self.shared.queue());
        let checkpoints = left.checkpoints().count() as u64;
        self.shared.counters.dropped(checkpoints);
    }

    /// Whether anybody is there to take what was handed over; wakes nobody.
    fn alive(&self) -> Result<(), HookError> {
        match self.ended.try_recv() {
            Err(TryRecvError::Disconnected) => Err(HookError::WriterDied),
            // It says a word only when it was told to end.
            Ok(_) | Err(TryRecvError::Empty) => Ok(()),
        }
    }

    fn wake(&self) -> Result<(), HookError> {
        match self.wake.try_send(()) {
            // Full means that the writer has yet to answer an earlier call.
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
            Err(TrySendError::Disconnected(())) => Err(HookError::WriterDied),
        }
    }

    /// Makes the thread end as if it had crashed, and waits until it has.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        self.shared.queue().push_death();
        let _ = self.wake();
        let _ = self.ended.recv_timeout(Duration::from_secs(10));
    }
}

fn run(
    shared: &Shared,
    mut publisher: Publisher,
    woken: &Receiver<()>,
    end: &Sender<bool>,
    requested: &AtomicBool,
) {
    // The run should be visible before its first checkpoint; a failure is met again, and counted
    // again, at each checkpoint.
    if let Err(error) = contain("opening the run", || publisher.open()) {
        shared.counters.failed(&error);
    }

    let mut losses = Losses::default();
    let mut last_is_lost = false;
    let (mut nap, mut looked) = (NAPS[0], Instant::now());
    loop {
        let next = shared.queue().next();
        match next {
            Next::Work(Event::Loss(sample)) => {
                // A loss that cannot be read is missing from a mean; no checkpoint is lost by it.
                if let Err(error) = contain("reading a loss", || {
                    losses.add(&sample);
                    Ok(())
                }) {
                    tracing::debug!(%error, "a training loss is left out");
                }
            }
            Next::Free(checkpoint) => drop(checkpoint),
            Next::Work(Event::Checkpoint(mut checkpoint)) => {
                nap = NAPS[0];
                let loss = reported_loss(&mut losses, &checkpoint);
                if !publisher.wants(&mut checkpoint, loss.1) {
                    shared.counters.held_back();
                    continue;
                }
                let started = Instant::now();
                let done = contain("writing a checkpoint", || {
                    publisher.count(&shared.counters.read());
                    publisher.publish(*checkpoint, loss)
                });
                shared.counters.wrote_for(started.elapsed());
                last_is_lost = done.is_err();
                match done {
                    Ok(remark) => shared.counters.published(remark.as_ref()),
                    Err(error) => {
                        shared.counters.failed(&error);
                        // Nothing to add to that: what fails here has failed before.
                        let _ = contain("writing the status", || {
                            publisher.count(&shared.counters.read());
                            publisher.say_so();
                            Ok(())
                        });
                    }
                }
            }
            #[cfg(test)]
            Next::Work(Event::Die) => return,
            Next::Wait => {
                match woken.recv_timeout(nap) {
                    Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                nap = (2 * nap).min(NAPS[1]);
                if looked.elapsed() >= LOOK {
                    looked = Instant::now();
                    if publisher.is_asked() {
                        requested.store(true, Ordering::Relaxed);
                    }
                }
            }
            Next::End(ending) => {
                publisher.count(&shared.counters.read());
                let ended = contain("ending the run", || match ending {
                    Ending::Complete => publisher.finish(),
                    Ending::Broken => {
                        publisher.say_so();
                        Ok(())
                    }
                });
                if let Err(error) = &ended {
                    shared.counters.failed(error);
                }
                // The other side may have stopped waiting.
                let _ = end.send(ended.is_ok() && !last_is_lost);
                return;
            }
        }
    }
}

/// The losses of training and validation to put into a manifest: what the caller said, else the mean that fits the
/// moment.
fn reported_loss(losses: &mut Losses, checkpoint: &Checkpoint) -> (Option<f64>, Option<f64>) {
    let mean = match checkpoint.moment {
        Moment::Step => losses.since_checkpoint(checkpoint.epoch),
        Moment::EpochEnd => losses.of_epoch(checkpoint.epoch),
    };
    let valid = match checkpoint.moment {
        Moment::Step => None,
        Moment::EpochEnd => losses.of_validation(checkpoint.epoch),
    };
    losses.checkpoint();
    (checkpoint.loss.or(mean), valid)
}

/// Runs `action`, turning a panic into an error.
///
/// Burn panics where a device or a lazily read file fails. What `action` leaves half done is only
/// ever our own state: at worst one checkpoint or one mean is lost.
pub(crate) fn contain<T>(
    during: &'static str,
    action: impl FnOnce() -> Result<T, HookError>,
) -> Result<T, HookError> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(result) => result,
        Err(payload) => Err(HookError::from_panic(during, payload.as_ref())),
    }
}
