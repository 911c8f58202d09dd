//! The hand-over from the training thread to the writer: one ordered list with bounds.
//!
//! Losses and checkpoints share the list, so the writer sees every loss before the checkpoint it
//! belongs to. The bounds decide what is given up when the writer cannot keep up:
//!
//! - one waiting checkpoint of a step: a newer one takes its place;
//! - [`EPOCH_ENDS`] waiting checkpoints of an epoch's end, which no step ever displaces: one more
//!   displaces the oldest of them;
//! - [`LOSSES`] waiting losses: further ones are left out of the means;
//! - one displaced checkpoint that waits to be freed: further ones are freed on the training thread, as
//!   their tensors would have been without the hook, a step earlier.

use std::collections::VecDeque;

use burn::store::ModuleRecord;

use crate::loss::LossSample;
use crate::positions::Positions;
use crate::tape::Tape;

/// Waiting checkpoints of epoch ends.
pub(crate) const EPOCH_ENDS: usize = 3;
/// With so many the writer is woken: it would come by itself, but perhaps not before one has to be given up.
const WAKE_AT: usize = 2;
/// Waiting losses.
pub(crate) const LOSSES: usize = 1024;
/// The writer is woken for losses only once in so many: it comes by itself long before, and whoever wakes it may be put
/// off its core.
const WAKE_EVERY: usize = 512;

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
    pub(crate) consumed: Positions,
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
    /// To be freed: that takes as long as allocating, and is not for the training thread.
    Free(Box<Checkpoint>),
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

/// What became of a checkpoint, which is queued in any case.
#[derive(Default)]
pub(crate) struct Pushed {
    /// Whether an older one was given up for it.
    pub(crate) displaced: bool,
    /// That one, where the writer has another to free. For the caller to free outside the lock.
    pub(crate) left: Option<Box<Checkpoint>>,
    /// Whether it is time to wake the writer.
    pub(crate) wake: bool,
}

#[derive(Default)]
pub(crate) struct Queue {
    events: VecDeque<Event>,
    /// Displaced, and left to the writer to free.
    given_up: Option<Box<Checkpoint>>,
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

    /// Queues a checkpoint, which may displace an older one. What was consumed before that one was consumed before the
    /// next in the queue.
    pub(crate) fn push_checkpoint(&mut self, new: Box<Checkpoint>) -> Pushed {
        let ends = self
            .checkpoints()
            .filter(|old| old.moment == Moment::EpochEnd)
            .count();
        let (displaced, wake) = match new.moment {
            // A newer step is as good: nobody is in a hurry.
            Moment::Step => (self.position(|old| old.moment == Moment::Step), false),
            Moment::EpochEnd if ends >= EPOCH_ENDS => {
                (self.position(|old| old.moment == Moment::EpochEnd), true)
            }
            Moment::EpochEnd => (None, ends + 1 >= WAKE_AT),
        };
        self.events.push_back(Event::Checkpoint(new));
        let displaced = displaced.and_then(|at| Some((at, self.events.remove(at)?)));
        let mut pushed = Pushed {
            wake,
            ..Pushed::default()
        };
        let Some((at, Event::Checkpoint(mut old))) = displaced else {
            return pushed;
        };
        for event in self.events.range_mut(at..) {
            if let Event::Checkpoint(next) = event {
                next.consumed.append(&mut old.consumed);
                break;
            }
        }
        pushed.displaced = true;
        match self.given_up {
            None => self.given_up = Some(old),
            Some(_) => pushed.left = Some(old),
        }
        pushed
    }

    /// Nothing more will be queued.
    pub(crate) fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    pub(crate) fn next(&mut self) -> Next {
        if let Some(old) = self.given_up.take() {
            return Next::Free(old);
        }
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
        // Nothing drawn at random: other tests of this process depend on the seed.
        let weight = burn::tensor::Tensor::<1>::zeros([1], &device);
        let model = burn::module::Param::initialized(burn::module::ParamId::new(), weight);
        Box::new(Checkpoint {
            epoch,
            step,
            moment,
            loss: None,
            learning_rate: None,
            consumed: Positions::default(),
            parameters: Parameters::Tape(Tape::record(&model).expect("initialised")),
        })
    }

    fn push(queue: &mut Queue, epoch: usize, step: usize, moment: Moment) -> Pushed {
        queue.push_checkpoint(checkpoint(epoch, step, moment))
    }

    fn steps(queue: &Queue) -> Vec<usize> {
        queue.checkpoints().map(|waiting| waiting.step).collect()
    }

    #[test]
    fn the_newest_step_takes_the_place_of_the_waiting_one() {
        let mut queue = Queue::default();
        assert!(!push(&mut queue, 1, 2, Moment::Step).displaced);
        let pushed = push(&mut queue, 1, 4, Moment::Step);
        assert!(pushed.displaced && !pushed.wake);
        assert_eq!(steps(&queue), [4]);
    }

    #[test]
    fn what_is_given_up_is_freed_by_the_writer_unless_it_is_far_behind() {
        let mut queue = Queue::default();
        push(&mut queue, 1, 2, Moment::Step);
        assert!(push(&mut queue, 1, 4, Moment::Step).left.is_none());
        let pushed = push(&mut queue, 1, 6, Moment::Step);
        assert_eq!(pushed.left.map(|left| left.step), Some(4));
        assert!(matches!(queue.next(), Next::Free(old) if old.step == 2));
        assert!(matches!(queue.next(), Next::Work(Event::Checkpoint(next)) if next.step == 6));
        assert!(matches!(queue.next(), Next::Wait));
    }

    #[test]
    fn the_writer_is_called_before_an_end_of_an_epoch_has_to_be_given_up() {
        let mut queue = Queue::default();
        let wakes: Vec<bool> = (1..=4)
            .map(|epoch| push(&mut queue, epoch, epoch, Moment::EpochEnd).wake)
            .collect();
        assert_eq!(wakes, [false, true, true, true]);
        assert!(!push(&mut queue, 5, 5, Moment::Step).wake);
    }

    #[test]
    fn a_step_never_displaces_an_epoch_end() {
        let mut queue = Queue::default();
        push(&mut queue, 1, 4, Moment::EpochEnd);
        push(&mut queue, 2, 8, Moment::EpochEnd);
        push(&mut queue, 3, 12, Moment::EpochEnd);
        assert!(!push(&mut queue, 4, 13, Moment::Step).displaced);
        assert_eq!(steps(&queue), [4, 8, 12, 13]);

        assert!(push(&mut queue, 4, 16, Moment::EpochEnd).displaced);
        assert_eq!(steps(&queue), [8, 12, 13, 16]);
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

        push(&mut queue, 1, 1, Moment::Step);
        queue.end(Ending::Complete);
        for _ in 0..LOSSES {
            assert!(matches!(queue.next(), Next::Work(Event::Loss(_))));
        }
        assert!(matches!(queue.next(), Next::Work(Event::Checkpoint(_))));
        assert!(matches!(queue.next(), Next::End(Ending::Complete)));
        assert_eq!(queue.push_loss(sample()), Queued::Quietly);
    }
}
