//! Turns: which checkpoint all shards of a divided sidecar scan next, and how far this one has come.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mirrorwatch_checkpoint::write_atomic;
use mirrorwatch_influence::{Division, Labels, ScanConfig};
use mirrorwatch_shards::{Meeting, Store, Turn};
use mirrorwatch_stats::shards::{Exchange, Merge, Shard, ShardError};
use rand::Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::account::Levels;
use crate::error::DaemonError;
use crate::evidence::Evidence;
use crate::intake::Job;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::results::json_bytes;
use crate::runs::fingerprint;
use crate::together::added;

/// How long a checkpoint that was announced may take to come, before the shard tells the others to go on without it.
const ARRIVAL: Duration = Duration::from_secs(600);
/// Between two looks for the next turn: at first, and at most. In a bucket, each costs a little.
const LOOKS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];
/// Between two looks whether the others have gone on without this shard.
const BEHIND: Duration = Duration::from_secs(60);

/// How far this shard has come, in a file of its own beside the runs' states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Bookmark {
    /// What tells this watch from an earlier one at the same place; empty before the first turn.
    watch: String,
    /// The last turn that is over.
    done: u64,
}

/// One shard's part in the turns of a divided sidecar.
pub struct Turns {
    meeting: Meeting,
    file: PathBuf,
    /// Hash of all that shards have to agree in.
    run: u64,
    /// Training samples of all shards.
    samples: u64,
    state: Mutex<State>,
}

struct State {
    bookmark: Bookmark,
    /// Taken from the queue, and not announced yet.
    held: Option<Job>,
    /// Since when the checkpoint of the turn is waited for.
    since: Option<Instant>,
    /// The last complaint.
    said: String,
    /// How long to sleep when nothing is announced.
    idle: Duration,
    /// When it was looked last whether the others have gone on.
    looked: Option<Instant>,
}

/// What is to be done next.
pub enum Next {
    /// To wait a little.
    Nothing,
    /// To scan this checkpoint. Those of its run that the others have passed over come with it.
    Scan(Turn, Box<Job>, Vec<Job>),
    /// Nothing more: it is in the evidence, and only that had not been noted.
    Over(Turn),
    /// To tell the others that it did not come, or could not be used.
    GiveUp(Turn),
}

impl Turns {
    /// Takes the seat of a shard of so many training samples at `place`, with what its state directory knows.
    ///
    /// # Errors
    ///
    /// A place that cannot be used, or a bookmark that cannot be read.
    pub fn open(
        place: &str,
        division: Division,
        state: &Path,
        run: u64,
        samples: usize,
    ) -> Result<Self, DaemonError> {
        let meeting = Meeting::new(Store::open(place)?, division.index, division.count)?;
        let file = state.join("turns.json");
        let failed = |message: String| DaemonError::Read {
            path: file.clone(),
            message,
        };
        let bookmark = match std::fs::read(&file) {
            Ok(json) => serde_json::from_slice(&json).map_err(|error| failed(error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Bookmark::default(),
            Err(error) => return Err(failed(error.to_string())),
        };
        Ok(Self {
            meeting,
            file,
            run,
            samples: samples as u64,
            state: Mutex::new(State {
                bookmark,
                held: None,
                since: None,
                said: String::new(),
                idle: LOOKS[0],
                looked: None,
            }),
        })
    }

    // A panic while the lock is held cannot leave a half-changed state, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this shard says which checkpoint is next.
    pub fn leads(&self) -> bool {
        self.meeting.leads()
    }

    /// This shard's number and how many there are.
    pub fn seat(&self) -> (u32, u32) {
        self.meeting.seat()
    }

    /// Says what is wrong, once.
    pub fn complain(&self, error: &str) {
        let mut state = self.lock();
        if state.said != error {
            tracing::warn!("{error}");
            state.said = error.to_string();
        }
    }

    /// What comes next; waits some seconds for it at most. `settled` says whether this shard is done with a checkpoint, and
    /// if so, whether it is in the evidence.
    ///
    /// # Errors
    ///
    /// A place that cannot be read or written, or that belongs to another watch.
    pub fn next(
        &self,
        queue: &Queue<Job>,
        settled: &dyn Fn(&Turn) -> Option<bool>,
    ) -> Result<Next, DaemonError> {
        let mut state = self.lock();
        let number = state.bookmark.done + 1;
        if let Some(turn) = self.meeting.announced(number)? {
            self.recognise(&mut state, &turn)?;
            state.idle = LOOKS[0];
            return Ok(match settled(&turn) {
                Some(true) => Next::Over(turn),
                Some(false) => Next::GiveUp(turn),
                None => Self::take(&mut state, queue, turn),
            });
        }
        if !self.leads() {
            let look_back = state.looked.is_none_or(|looked| looked.elapsed() > BEHIND);
            let last = match look_back {
                true => self.meeting.last_announced()?,
                false => 0,
            };
            if last > number {
                return Err(DaemonError::Option(format!(
                    "the other shards are at turn {last} in {}, and this one has no evidence of turn {number}: give it the state it had, or start all shards with new states and an empty place to meet",
                    self.meeting.store().place()
                )));
            }
            if look_back {
                state.looked = Some(Instant::now());
            }
            std::thread::sleep(state.idle);
            state.idle = LOOKS[1].min(2 * state.idle);
            return Ok(Next::Nothing);
        }
        if state.bookmark.watch.is_empty() {
            self.begin(&mut state)?;
        }
        let job = match state.held.take() {
            Some(job) => job,
            None => match queue.pop(Duration::from_secs(1)) {
                Some(job) => job,
                None => return Ok(Next::Nothing),
            },
        };
        let key = job.spooled.key();
        let turn = Turn {
            number,
            watch: state.bookmark.watch.clone(),
            run: job.run.clone(),
            epoch: key.epoch,
            step: key.step,
            sha256: key.sha256.clone(),
        };
        match self.meeting.announce(&turn) {
            Ok(true) => Ok(Next::Scan(turn, Box::new(job), Vec::new())),
            other => {
                // It is announced as soon as that is possible again.
                state.held = Some(job);
                match other {
                    Err(error) => Err(error.into()),
                    Ok(_) => Err(DaemonError::Option(format!(
                        "turn {number} in {} was announced by another process; only one may be shard 0",
                        self.meeting.store().place()
                    ))),
                }
            }
        }
    }

    /// Makes sure that a turn is of this watch.
    fn recognise(&self, state: &mut State, turn: &Turn) -> Result<(), DaemonError> {
        if state.bookmark.watch == turn.watch {
            return Ok(());
        }
        if state.bookmark.watch.is_empty() && !self.leads() {
            state.bookmark.watch.clone_from(&turn.watch);
            return self.write(&state.bookmark);
        }
        Err(self.of_another_watch())
    }

    fn of_another_watch(&self) -> DaemonError {
        DaemonError::Option(format!(
            "{} holds turns of another watch: give all shards the states that belong to it, or an empty place to meet",
            self.meeting.store().place()
        ))
    }

    /// The first turn of all: the place has to be empty.
    fn begin(&self, state: &mut State) -> Result<(), DaemonError> {
        if self.meeting.last_announced()? > 0 {
            return Err(self.of_another_watch());
        }
        state.bookmark.watch = format!("{:016x}", rand::rng().next_u64());
        self.write(&state.bookmark)
    }

    fn take(state: &mut State, queue: &Queue<Job>, turn: Turn) -> Next {
        let wanted = |job: &Job| {
            let key = job.spooled.key();
            let place = (key.epoch, key.step, key.sha256.as_str());
            job.run == turn.run && place == (turn.epoch, turn.step, turn.sha256.as_str())
        };
        if let Some(job) = state.held.take_if(|job| wanted(job)) {
            return Next::Scan(turn, Box::new(job), Vec::new());
        }
        if let Some((job, passed)) = queue.take(&turn.run, wanted, Duration::from_secs(1)) {
            state.since = None;
            return Next::Scan(turn, Box::new(job), passed);
        }
        if state.since.get_or_insert_with(Instant::now).elapsed() > ARRIVAL {
            state.since = None;
            return Next::GiveUp(turn);
        }
        Next::Nothing
    }

    /// The exchange of a turn; `patience` is asked while others are waited for, and ends that with `false`.
    pub fn table<'a>(
        &'a self,
        turn: &Turn,
        metrics: &'a Metrics,
        patience: &'a (dyn Fn(&[u32]) -> bool + Sync),
    ) -> Counted<'a> {
        Counted {
            table: self
                .meeting
                .table(turn.number, self.run, self.samples, patience),
            metrics,
        }
    }

    /// Notes that a turn is over, whatever came of it, and clears what nobody needs any more.
    pub fn done(&self, turn: &Turn) {
        let mut state = self.lock();
        state.bookmark.done = turn.number;
        // Whatever was wrong is over; should it come again, it is news.
        state.said.clear();
        if let Err(error) = self.write(&state.bookmark) {
            tracing::warn!("{error}; after a restart this turn would be gone through again");
        }
        drop(state);
        if turn.number > 1
            && let Err(error) = self.meeting.clear(turn.number - 1)
        {
            tracing::warn!("{error}; what is left there is of no use to anybody");
        }
    }

    fn write(&self, bookmark: &Bookmark) -> Result<(), DaemonError> {
        Ok(write_atomic(
            &self.file,
            &json_bytes(bookmark, &self.file)?,
        )?)
    }
}

/// An exchange that tells by metrics for whom it waits.
pub struct Counted<'a> {
    table: mirrorwatch_shards::Table<'a>,
    metrics: &'a Metrics,
}

impl Counted<'_> {
    /// Tells the others that this shard gives the turn up.
    pub fn give_up(&self, reason: &str) {
        if let Err(error) = self.table.give_up(reason) {
            tracing::warn!("{error}; the other shards wait for this one until it is started again");
        }
    }
}

impl Exchange for Counted<'_> {
    fn shard(&self) -> Shard {
        self.table.shard()
    }

    fn samples(&self) -> u64 {
        self.table.samples()
    }

    fn reduce(
        &self,
        what: &'static str,
        part: Vec<u8>,
        merge: Merge<'_>,
    ) -> Result<Vec<u8>, ShardError> {
        let start = Instant::now();
        let found = self.table.reduce(what, part, merge);
        self.metrics.waited_for.set(0);
        self.metrics
            .shard_wait
            .inc_by(start.elapsed().as_secs_f64());
        found
    }
}

/// Hash of what all shards have to agree in: whatever decides what forks learn and how is counted.
pub fn common(labels: &Labels, config: &ScanConfig, levels: Levels, samples: usize) -> u64 {
    let shared = Labels {
        classes: labels.classes,
        train: Vec::new(),
        probe: labels.probe.clone(),
        trusted: Vec::new(),
        canaries: Vec::new(),
        unlabelled: Vec::new(),
    };
    let mut hash = Sha256::new();
    hash.update(fingerprint(
        &shared,
        &config.estimators,
        config.folds,
        config.seed,
    ));
    hash.update(format!(
        "{levels:?} {samples} {}",
        env!("CARGO_PKG_VERSION")
    ));
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Makes sure that all shards have the same checkpoints in their evidence.
///
/// # Errors
///
/// Names the first that has others.
pub(crate) fn agree(evidence: &Evidence, exchange: &dyn Exchange) -> Result<(), ShardError> {
    let own = (
        evidence.checkpoints,
        evidence.weight.to_bits(),
        evidence.vote_weight.to_bits(),
    );
    let same = |all: Vec<(u32, u64, u64)>| {
        let other = all.iter().position(|theirs| *theirs != own);
        let Some(shard) = other else {
            return Ok(own);
        };
        Err(ShardError::Exchange {
            what: "number of checkpoints".to_string(),
            message: format!(
                "shard {shard} has {} in its evidence and shard 0 {}, or others; start all shards with new states and an empty place to meet",
                all[shard].0, own.0
            ),
        })
    };
    added(exchange, "number of checkpoints", own, &same).map(|_| ())
}
