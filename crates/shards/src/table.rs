//! One turn: rounds in which all shards give and receive parts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mirrorwatch_stats::shards::{Exchange, Merge, Shard, ShardError};

use crate::error::ShardsError;
use crate::store::Store;

/// How a part begins by which a shard says that it gives a turn up; no statistic begins so.
const GIVEN_UP: &[u8] = b"given up: ";

/// The first look after the parts of others, and the longest wait between two.
const WAITS: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// Looks in a row that may fail. In a bucket, each has been tried several times before.
const FAILURES: u32 = 10;

/// Called while waiting, with the shards that are waited for; `false` ends the wait.
pub(crate) type Patience<'a> = &'a (dyn Fn(&[u32]) -> bool + Sync);

/// The exchange of one turn.
///
/// In each round every shard gives its part, and shard 0 gives what they come to: a shard reads one file a round, and
/// shard 0 one of each. What is given stays: a shard that begins a turn anew finds it, and goes by it. See the
/// [crate's](crate) example.
///
/// ```
/// use mirrorwatch_shards::{Meeting, Store};
/// use mirrorwatch_stats::shards::Exchange;
///
/// # let shared = tempfile::tempdir()?;
/// let place = shared.path().to_string_lossy();
/// let first = Meeting::new(Store::open(&place)?, 0, 2)?;
/// let second = Meeting::new(Store::open(&place)?, 1, 2)?;
/// // Nobody else comes; the patience of the second lasts for one look.
/// let alone = second.table(1, 7, 100, &|_| false).reduce("cells", vec![2], &|parts| Ok(parts.concat()));
/// assert!(alone.is_err());
/// // The first finds what the second has given.
/// let both = first.table(1, 7, 100, &|_| true).reduce("cells", vec![1], &|parts| Ok(parts.concat()))?;
/// assert_eq!(both, [1, 2]);
/// // And the second, which begins anew, what the first has made of it.
/// let again = second.table(1, 7, 100, &|_| true).reduce("cells", vec![2], &|_| Ok(Vec::new()))?;
/// assert_eq!(again, [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Table<'a> {
    pub(crate) store: &'a Store,
    pub(crate) shard: Shard,
    pub(crate) samples: u64,
    pub(crate) turn: u64,
    /// The next round in which this shard has given nothing yet.
    pub(crate) round: AtomicU32,
    /// The next round of which it is not told yet what it came to.
    pub(crate) told: AtomicU32,
    pub(crate) patience: Patience<'a>,
}

impl Table<'_> {
    /// Tells the others that this shard gives the turn up, and why; whoever reads it does the same. It is said in the first
    /// round in which this shard has given nothing yet, be it before it was started again: nobody gets past that one. Where
    /// it may have given a part in every round, it is too late.
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
    /// let third = Meeting::new(Store::open(&place)?, 2, 3)?;
    /// third.table(1, 7, 100, &|_| true).give_up("the checkpoint is damaged")?;
    /// for index in [1, 0] {
    ///     let other = Meeting::new(Store::open(&place)?, index, 3)?;
    ///     // The second gives its part and has no patience; the first finds that the third has given up, and tells.
    ///     let patience = |_: &[u32]| index == 0;
    ///     let table = other.table(1, 7, 100, &patience);
    ///     let found = table.reduce("cells", vec![2], &|parts| Ok(parts.concat()));
    ///     assert!(found.is_err());
    /// }
    /// let second = Meeting::new(Store::open(&place)?, 1, 3)?;
    /// let found = second.table(1, 7, 100, &|_| true).reduce("cells", vec![2], &|parts| Ok(parts.concat()));
    /// let text = found.err().map(|error| error.to_string());
    /// assert!(text.is_some_and(|text| text.ends_with("shard 2 gave up: the checkpoint is damaged")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn give_up(&self, reason: &str) -> Result<(), ShardsError> {
        let said = format!("shard {} gave up: {reason}", self.shard.index());
        let said = [GIVEN_UP, said.as_bytes()].concat();
        // What is given stays. A shard that was started again has given parts that it does not know of: it gives up in
        // the first round that it has not given anything in.
        let (first, leads) = match self.shard.index() {
            // For it, the others wait in the first round that they are not told of.
            0 => (self.told.load(Ordering::Relaxed), true),
            _ => (self.round.load(Ordering::Relaxed), false),
        };
        for round in first.. {
            let path = match leads {
                true => self.all(round),
                false => self.path(round, self.shard.index()),
            };
            if self.store.put_new(&path, said.clone())? {
                break;
            }
            // It has given up before.
            let before = self.store.get(&path)?;
            if before.is_some_and(|before| before.starts_with(GIVEN_UP)) {
                break;
            }
        }
        Ok(())
    }

    fn path(&self, round: u32, shard: u32) -> String {
        format!("{}/{round:03}/{shard:05}", turn_directory(self.turn))
    }

    /// What a round came to.
    fn all(&self, round: u32) -> String {
        format!("{}/{round:03}/{ALL}", turn_directory(self.turn))
    }

    /// Looks again and again, until there is something or the patience is at an end.
    fn wait_for<R>(&self, look: impl Fn() -> Result<Look<R>, ShardsError>) -> Result<R, Stop> {
        let (mut wait, mut said, mut failures) = (WAITS[0], Instant::now(), 0);
        loop {
            let missing = match look() {
                Ok(Look::There(found)) => return Ok(found),
                Ok(Look::Missing(missing)) => {
                    failures = 0;
                    missing
                }
                // A store may be away for a while; a scan is worth waiting for it.
                Err(error) if failures < FAILURES => {
                    tracing::warn!("{error}; trying again");
                    failures += 1;
                    Vec::new()
                }
                Err(error) => return Err(Stop::Broken(error.to_string())),
            };
            if !(self.patience)(&missing) {
                return Err(Stop::Impatient(format!(
                    "stopped waiting for {}",
                    listed(&missing)
                )));
            }
            if said.elapsed() > Duration::from_secs(60) {
                tracing::info!("waiting for {}", listed(&missing));
                said = Instant::now();
            }
            std::thread::sleep(wait);
            wait = WAITS[1].min(2 * wait);
        }
    }

    /// The parts of all shards, in their order, or of one that has given up.
    fn parts(&self, round: u32) -> Result<Vec<Vec<u8>>, Stop> {
        let directory = format!("{}/{round:03}", turn_directory(self.turn));
        let names: Vec<String> = (0..self.shard.count())
            .map(|shard| self.path(round, shard))
            .collect();
        self.wait_for(|| {
            let there = self.store.list(&directory)?;
            let is_there = |name: &String| there.binary_search(name).is_ok();
            let missing: Vec<u32> = (0..)
                .zip(&names)
                .filter(|(_, name)| !is_there(name))
                .map(|(s, _)| s)
                .collect();
            if missing.is_empty() {
                return Ok(Look::There(()));
            }
            Ok(Look::Missing(missing))
        })?;
        self.store
            .get_all(&names)
            .map_err(|error| Stop::Broken(error.to_string()))
    }

    /// What shard 0 makes of the parts of a round, given once and for all.
    fn made(&self, round: u32, merge: Merge<'_>) -> Result<Vec<u8>, Stop> {
        let broken = |error: ShardsError| Stop::Broken(error.to_string());
        let path = self.all(round);
        if let Some(before) = self.store.get(&path).map_err(broken)? {
            return Ok(before);
        }
        let parts = self.parts(round)?;
        let given_up = parts.iter().find_map(|part| part.strip_prefix(GIVEN_UP));
        let all = match given_up {
            Some(reason) => [GIVEN_UP, reason].concat(),
            None => match merge(&parts) {
                Ok(all) => all,
                Err(ShardError::Exchange { message, .. }) => {
                    [GIVEN_UP, message.as_bytes()].concat()
                }
                Err(error) => [GIVEN_UP, error.to_string().as_bytes()].concat(),
            },
        };
        if self.store.put_new(&path, all.clone()).map_err(broken)? {
            return Ok(all);
        }
        // Another process that takes itself for shard 0: all go by the one that came first.
        Ok(self.store.get(&path).map_err(broken)?.unwrap_or(all))
    }
}

/// What shard 0 calls what a round came to.
pub(crate) const ALL: &str = "all";

/// What a look for something found.
enum Look<R> {
    There(R),
    /// Those shards have not given it.
    Missing(Vec<u32>),
}

/// Why a round did not come about.
enum Stop {
    /// Nobody wants to wait any longer: the turn may go on later.
    Impatient(String),
    /// The place cannot be used.
    Broken(String),
}

impl Exchange for Table<'_> {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    fn reduce(
        &self,
        what: &'static str,
        part: Vec<u8>,
        merge: Merge<'_>,
    ) -> Result<Vec<u8>, ShardError> {
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
        let all = match self.shard.index() {
            0 => self.made(round, merge),
            _ => self.wait_for(|| {
                Ok(match self.store.get(&self.all(round))? {
                    Some(all) => Look::There(all),
                    None => Look::Missing(vec![0]),
                })
            }),
        };
        let all = all.map_err(|stop| match stop {
            Stop::Impatient(message) | Stop::Broken(message) => failed(message),
        })?;
        self.told.store(round + 1, Ordering::Relaxed);
        match all.strip_prefix(GIVEN_UP) {
            Some(reason) => Err(failed(String::from_utf8_lossy(reason).into_owned())),
            None => Ok(all),
        }
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
