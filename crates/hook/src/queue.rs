//! The hand-over from the training thread to the writer: one ordered list with bounds.
//!
//! Losses and checkpoints share the list, so the writer sees every loss before the checkpoint it
//! belongs to. The bounds decide what is given up when the writer cannot keep up:
//!
//! - one waiting checkpoint of a step: a newer one takes its place;
//! - [`EPOCH_ENDS`] waiting checkpoints of an epoch's end, which no step ever displaces: one more
//!   displaces the oldest of them;
//! - [`LOSSES`] waiting losses: further ones are left out of the means.

use std::collections::VecDeque;

use burn::store::ModuleRecord;

use crate::loss::LossSample;
use crate::tape::Tape;

/// Waiting checkpoints of epoch ends.
pub(crate) const EPOCH_ENDS: usize = 2;
/// Waiting losses.
pub(crate) const LOSSES: usize = 1024;
/// The writer is woken for losses only once in so many: they are not urgent, and waking costs the
/// training thread a system call.
const WAKE_EVERY: usize = 32;

/// When a checkpoint was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After an optimizer step.
    Step,
    /// At the end of an epoch.
    EpochEnd,
}

/// A snapshot on its way to the disk.
pub(crate) struct Checkpoint {
    pub(crate) epoch: usize,
    pub(crate) step: usize,
    pub(crate) moment: Moment,
    /// The loss to report instead of the mean of the samples.
    pub(crate) loss: Option<f64>,
    pub(crate) learning_rate: Option<f64>,
    /// Positions of the training samples consumed since the checkpoint before; empty when nobody says.
    pub(crate) consumed: Vec<u64>,
    pub(crate) parameters: Parameters,
}

/// The weights of a checkpoint.
pub(crate) enum Parameters {
    /// Handles, to be read by the writer.
    Tape(Tape),
    /// What Burn has read already.
    Record(Box<ModuleRecord>),
}

pub(crate) enum Event {
    Loss(LossSample),
    Checkpoint(Box<Checkpoint>),
    /// Ends the writer thread as an abort of the thread would.
    #[cfg(test)]
    Die,
}

/// How the hook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The training came to its end.
    Complete,
    /// The training failed: what is waiting is written, but the run is not marked as finished.
    Broken,
}

/// What the writer does next.
pub(crate) enum Next {
    Work(Event),
    Wait,
    End(Ending),
}

/// What became of a loss.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    Quietly,
    /// Queued, and time to wake the writer.
    Wake,
    /// The list is full.
    Refused,
}

#[derive(Default)]
pub(crate) struct Queue {
    events: VecDeque<Event>,
    losses: usize,
    ending: Option<Ending>,
}

impl Queue {
    pub(crate) fn push_loss(&mut self, sample: LossSample) -> Queued {
        if self.losses >= LOSSES {
            return Queued::Refused;
        }
        self.losses += 1;
        self.events.push_back(Event::Loss(sample));
        match self.losses % WAKE_EVERY {
            0 => Queued::Wake,
            _ => Queued::Quietly,
        }
    }

    /// Queues a checkpoint and returns the one it displaced, for the caller to free outside the lock. What was consumed
    /// before that one was consumed before the next in the queue.
    pub(crate) fn push_checkpoint(&mut self, new: Box<Checkpoint>) -> Option<Box<Checkpoint>> {
        let displaced = match new.moment {
            Moment::Step => self.position(|old| old.moment == Moment::Step),
            Moment::EpochEnd => {
                let waiting = self
                    .checkpoints()
                    .filter(|old| old.moment == Moment::EpochEnd)
                    .count();
                match waiting >= EPOCH_ENDS {
                    true => self.position(|old| old.moment == Moment::EpochEnd),
                    false => None,
                }
            }
        };
        self.events.push_back(Event::Checkpoint(new));
        let displaced = displaced.and_then(|at| Some((at, self.events.remove(at)?)));
        let Some((at, Event::Checkpoint(mut old))) = displaced else {
            return None;
        };
        for event in self.events.range_mut(at..) {
            if let Event::Checkpoint(next) = event {
                next.consumed.append(&mut old.consumed);
                break;
            }
        }
        Some(old)
    }

    /// Nothing more will be queued.
    pub(crate) fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    pub(crate) fn next(&mut self) -> Next {
        match (self.events.pop_front(), self.ending) {
            (Some(event), _) => {
                if matches!(event, Event::Loss(_)) {
                    self.losses -= 1;
                }
                Next::Work(event)
            }
            (None, Some(ending)) => Next::End(ending),
            (None, None) => Next::Wait,
        }
    }

    /// Waiting checkpoints, oldest first.
    pub(crate) fn checkpoints(&self) -> impl Iterator<Item = &Checkpoint> {
        self.events.iter().filter_map(|event| match event {
            Event::Checkpoint(checkpoint) => Some(checkpoint.as_ref()),
            _ => None,
        })
    }

    fn position(&self, wanted: impl Fn(&Checkpoint) -> bool) -> Option<usize> {
        self.events
            .iter()
            .position(|event| matches!(event, Event::Checkpoint(checkpoint) if wanted(checkpoint)))
    }

    #[cfg(test)]
    pub(crate) fn push_death(&mut self) {
        self.events.push_back(Event::Die);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Loss;

    fn checkpoint(epoch: usize, step: usize, moment: Moment) -> Box<Checkpoint> {
        let device = burn::tensor::Device::flex();
        let model = burn::nn::LinearConfig::new(1, 1).init(&device).weight;
        let _ = model.val();
        Box::new(Checkpoint {
            epoch,
            step,
            moment,
            loss: None,
            learning_rate: None,
            consumed: Vec::new(),
            parameters: Parameters::Tape(Tape::record(&model).expect("initialised")),
        })
    }

    fn steps(queue: &Queue) -> Vec<usize> {
        queue.checkpoints().map(|waiting| waiting.step).collect()
    }

    #[test]
    fn the_newest_step_takes_the_place_of_the_waiting_one() {
        let mut queue = Queue::default();
        assert!(
            queue
                .push_checkpoint(checkpoint(1, 2, Moment::Step))
                .is_none()
        );
        let displaced = queue.push_checkpoint(checkpoint(1, 4, Moment::Step));
        assert_eq!(displaced.map(|old| old.step), Some(2));
        assert_eq!(steps(&queue), [4]);
    }

    #[test]
    fn a_step_never_displaces_an_epoch_end() {
        let mut queue = Queue::default();
        queue.push_checkpoint(checkpoint(1, 4, Moment::EpochEnd));
        queue.push_checkpoint(checkpoint(2, 8, Moment::EpochEnd));
        assert!(
            queue
                .push_checkpoint(checkpoint(3, 9, Moment::Step))
                .is_none()
        );
        assert_eq!(steps(&queue), [4, 8, 9]);

        let displaced = queue.push_checkpoint(checkpoint(3, 12, Moment::EpochEnd));
        assert_eq!(displaced.map(|old| old.step), Some(4));
        assert_eq!(steps(&queue), [8, 9, 12]);
    }

    #[test]
    fn losses_beyond_the_bound_are_refused_and_order_is_kept() {
        let sample = || LossSample {
            epoch: 1,
            valid: false,
            loss: Loss::Value(1.0),
        };
        let mut queue = Queue::default();
        let mut wakes = 0;
        for _ in 0..LOSSES {
            match queue.push_loss(sample()) {
                Queued::Wake => wakes += 1,
                Queued::Quietly => {}
                Queued::Refused => panic!("refused below the bound"),
            }
        }
        assert_eq!(wakes, LOSSES / WAKE_EVERY);
        assert_eq!(queue.push_loss(sample()), Queued::Refused);

        queue.push_checkpoint(checkpoint(1, 1, Moment::Step));
        queue.end(Ending::Complete);
        for _ in 0..LOSSES {
            assert!(matches!(queue.next(), Next::Work(Event::Loss(_))));
        }
        assert!(matches!(queue.next(), Next::Work(Event::Checkpoint(_))));
        assert!(matches!(queue.next(), Next::End(Ending::Complete)));
        assert_eq!(queue.push_loss(sample()), Queued::Quietly);
    }
}
