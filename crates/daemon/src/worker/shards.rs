//! The worker of a divided sidecar: it scans the checkpoints that all shards scan.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mirrorwatch_influence::Task;
use mirrorwatch_shards::Turn;

use super::Worker;
use crate::account::Account;
use crate::intake::{REPEATED, entry};
use crate::runs::lock;
use crate::store::Outcome;
use crate::summary::OwnShare;
use crate::turns::{Next, Turns};

/// The stage at which shards have to agree.
pub(super) const SHARDS: &str = "shards";

/// Between two tries at a place that cannot be used at the moment.
const AGAIN: Duration = Duration::from_secs(2);

impl<T: Task> Worker<T> {
    /// Goes through the next turn, if there is one, and says whether there was.
    pub(super) fn take_turn(&self, turns: &Turns) -> bool {
        let next = match turns.next(&self.queue, &|turn| self.settled(turn)) {
            Ok(next) => next,
            Err(error) => {
                turns.complain(&error.to_string());
                std::thread::sleep(AGAIN);
                return false;
            }
        };
        let waiting = |missing: &[u32]| {
            self.hub.beat_worker(None);
            self.metrics.waited_for.set(missing.len() as i64);
            !self.cancel.load(Ordering::Relaxed)
        };
        let turn = match next {
            Next::Nothing => return false,
            Next::Over(turn) => turn,
            Next::GiveUp(turn) => {
                let reason = format!(
                    "epoch {} step {} of run {} did not come to this shard, or could not be used",
                    turn.epoch, turn.step, turn.run
                );
                tracing::warn!("{reason}");
                self.metrics.fail(SHARDS);
                turns.table(&turn, &self.metrics, &waiting).give_up(&reason);
                turn
            }
            Next::Scan(turn, job, passed) => {
                for old in passed {
                    tracing::info!(run = old.run, checkpoint = %old.spooled.key(), "skipped, as by all shards");
                    self.metrics.skip("superseded");
                    let outcome = Outcome::Skipped("superseded".to_string());
                    self.runs.note(&old.run, entry(&old, outcome));
                }
                let table = turns.table(&turn, &self.metrics, &waiting);
                let done = self.handle(&job, &table);
                self.queue.done();
                if self.cancel.load(Ordering::Relaxed) && done.is_err() {
                    // It is gone through again after the restart.
                    return true;
                }
                if let Err(reason) = done {
                    table.give_up(&reason);
                }
                turn
            }
        };
        turns.done(&turn);
        true
    }

    /// Whether the checkpoint of a turn is done with, and if so, whether it is in the evidence.
    fn settled(&self, turn: &Turn) -> Option<bool> {
        let state = self.runs.open(&turn.run);
        let state = lock(&state);
        // One that was published twice has its key as well, and says nothing of the first.
        let twice = Outcome::Skipped(REPEATED.to_string());
        let moment = (turn.epoch, turn.step);
        let mut entries = state.ledger.of_moment(moment, &turn.sha256);
        let entry = entries.find(|entry| entry.outcome != twice)?;
        // With results that could not be written, the evidence is settled all the same.
        Some(match &entry.outcome {
            Outcome::Scanned => true,
            Outcome::Failed(stage, _) => stage == super::EXPORT,
            Outcome::Skipped(_) => false,
        })
    }

    /// This shard's part of a count, where the samples are divided.
    pub(super) fn own_share(&self, account: &Account) -> Option<OwnShare> {
        let (index, count) = self.turns.as_ref()?.seat();
        Some(OwnShare {
            index,
            count,
            samples: self.labels.train.len(),
            suspects: account.flags.iter().filter(|flag| **flag).count(),
        })
    }
}
