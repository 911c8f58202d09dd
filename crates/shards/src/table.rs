//! One turn: rounds in which all shards give and receive parts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mirrorwatch_stats::shards::{Exchange, Shard, ShardError};

use crate::error::ShardsError;
use crate::store::Store;

/// How a part begins by which a shard says that it gives a turn up; no statistic begins so.
const GIVEN_UP: &[u8] = b"given up: ";

/// The first look after the parts of others, and the longest wait between two.
const WAITS: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// Called while waiting, with the shards that are waited for; `false` ends the wait.
pub(crate) type Patience<'a> = &'a (dyn Fn(&[u32]) -> bool + Sync);

/// The exchange of one turn.
///
/// A part stays once it is given: a shard that begins a turn anew finds its own, and goes by them. See the
/// [crate's](crate) example.
///
/// ```
/// use mirrorwatch_shards::{Meeting, Store};
/// use mirrorwatch_stats::shards::Exchange;
///
/// # let shared = tempfile::tempdir()?;
/// let place = shared.path().to_string_lossy();
/// let meetings = [0, 1].map(|index| Meeting::new(Store::open(&place)?, index, 2));
/// let [first, second] = meetings;
/// // Nobody else comes; the patience of the first lasts for one look.
/// let (first, second) = (first?, second?);
/// let alone = first.table(1, 7, 100, &|missing| missing != [1]).gather("cells", vec![1]);
/// assert!(alone.is_err());
/// // The second finds what the first has given.
/// let second = second.table(1, 7, 100, &|_| true);
/// assert_eq!(second.gather("cells", vec![2])?, [[1], [2]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Table<'a> {
    pub(crate) store: &'a Store,
    pub(crate) shard: Shard,
    pub(crate) samples: u64,
    pub(crate) turn: u64,
    pub(crate) round: AtomicU32,
    pub(crate) patience: Patience<'a>,
}

impl Table<'_> {
    /// Tells the others, in the round that is next, that this shard gives the turn up, and why; whoever reads it does
    /// the same. Nothing can be told any more of a round that this shard has given its part of.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    ///
    /// ```
    /// use mirrorwatch_shards::{Meeting, Store};
    /// use mirrorwatch_stats::shards::Exchange;
    ///
    /// # let shared = tempfile::tempdir()?;
    /// let place = shared.path().to_string_lossy();
    /// let first = Meeting::new(Store::open(&place)?, 0, 2)?;
    /// first.table(1, 7, 100, &|_| true).give_up("the checkpoint is damaged")?;
    /// let second = Meeting::new(Store::open(&place)?, 1, 2)?;
    /// let found = second.table(1, 7, 100, &|_| true).gather("cells", vec![2]);
    /// let text = found.err().map(|error| error.to_string());
    /// assert!(text.is_some_and(|text| text.ends_with("shard 0 gave up: the checkpoint is damaged")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn give_up(&self, reason: &str) -> Result<(), ShardsError> {
        let path = self.path(self.round.load(Ordering::Relaxed), self.shard.index());
        let said = [GIVEN_UP, reason.as_bytes()].concat();
        self.store.put_new(&path, said).map(|_| ())
    }

    fn path(&self, round: u32, shard: u32) -> String {
        format!("{}/{round:03}/{shard:05}", turn_directory(self.turn))
    }

    /// The names of all parts of a round, once they are there.
    fn wait_for(&self, round: u32) -> Result<Vec<String>, String> {
        let names: Vec<String> = (0..self.shard.count())
            .map(|shard| self.path(round, shard))
            .collect();
        let directory = format!("{}/{round:03}", turn_directory(self.turn));
        let (mut wait, mut told) = (WAITS[0], Instant::now());
        loop {
            let there = self
                .store
                .list(&directory)
                .map_err(|error| error.to_string())?;
            let mut missing = Vec::new();
            for (shard, name) in (0..).zip(&names) {
                if there.binary_search(name).is_err() {
                    missing.push(shard);
                }
            }
            if missing.is_empty() {
                return Ok(names);
            }
            if !(self.patience)(&missing) {
                return Err(format!("stopped waiting for {}", listed(&missing)));
            }
            if told.elapsed() > Duration::from_secs(60) {
                tracing::info!("waiting for {}", listed(&missing));
                told = Instant::now();
            }
            std::thread::sleep(wait);
            wait = WAITS[1].min(2 * wait);
        }
    }
}

impl Exchange for Table<'_> {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    fn gather(&self, what: &'static str, part: Vec<u8>) -> Result<Vec<Vec<u8>>, ShardError> {
        let failed = |message: String| ShardError::Exchange {
            what: what.to_string(),
            message,
        };
        let of = |error: ShardsError| failed(error.to_string());
        let round = self.round.load(Ordering::Relaxed);
        let own = self.path(round, self.shard.index());
        if !self.store.put_new(&own, part.clone()).map_err(of)? {
            let given = self.store.get(&own).map_err(of)?;
            if given.as_deref() != Some(&part[..])
                && !given.is_some_and(|g| g.starts_with(GIVEN_UP))
            {
                tracing::warn!(
                    "the {what} of this shard are not what it gave before it was started again; the others go by those"
                );
            }
        }
        // Whatever comes now, this round has its part: a shard that gives up does so in the next one.
        self.round.store(round + 1, Ordering::Relaxed);
        let names = self.wait_for(round).map_err(failed)?;
        let parts = self.store.get_all(&names).map_err(of)?;
        for (shard, part) in parts.iter().enumerate() {
            if let Some(reason) = part.strip_prefix(GIVEN_UP) {
                let reason = String::from_utf8_lossy(reason);
                return Err(failed(format!("shard {shard} gave up: {reason}")));
            }
        }
        Ok(parts)
    }
}

pub(crate) fn turn_directory(turn: u64) -> String {
    format!("turns/{turn:010}")
}

/// A few of them, in words.
fn listed(shards: &[u32]) -> String {
    let names: Vec<String> = shards.iter().take(8).map(u32::to_string).collect();
    let more = shards.len().saturating_sub(names.len());
    match more {
        0 => format!("shard {}", names.join(", ")),
        _ => format!("shard {} and {more} more", names.join(", ")),
    }
}
