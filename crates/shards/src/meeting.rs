//! One shard's seat: which checkpoint is next, and the rounds of each.

use std::sync::atomic::AtomicU32;

use mirrorwatch_stats::shards::Shard;
use serde::{Deserialize, Serialize};

use crate::error::ShardsError;
use crate::store::{Shared, Store};
use crate::table::{ALL, Patience, Table, turn_directory};

/// Which checkpoint all shards scan next.
///
/// ```
/// use mirrorwatch_shards::Turn;
///
/// let turn = Turn { number: 1, watch: "5f".into(), run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".into() };
/// assert_eq!(serde_json::to_value(&turn)?["epoch"], 3);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Counted from 1.
    pub number: u64,
    /// What tells this watch from an earlier one in the same place.
    pub watch: String,
    /// Its run.
    pub run: String,
    /// Its epoch.
    pub epoch: u64,
    /// Its step.
    pub step: u64,
    /// SHA-256 of its weights.
    pub sha256: String,
}

/// One shard at the place where all meet.
///
/// ```
/// use mirrorwatch_shards::{Meeting, Store, Turn};
///
/// # let shared = tempfile::tempdir()?;
/// let place = shared.path().to_string_lossy();
/// let (first, second) = (Meeting::new(Store::open(&place)?, 0, 2)?, Meeting::new(Store::open(&place)?, 1, 2)?);
/// assert!(first.leads() && !second.leads());
/// let turn = Turn { number: 1, watch: "5f".into(), run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".into() };
/// assert_eq!(second.announced(1)?, None);
/// assert!(first.announce(&turn)?);
/// assert_eq!(second.announced(1)?, Some(turn));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Meeting {
    store: Shared,
    shard: Shard,
}

impl Meeting {
    /// Shard `index` of `count` at `store`.
    ///
    /// # Errors
    ///
    /// There is no such shard.
    ///
    /// ```
    /// use mirrorwatch_shards::{Meeting, Store};
    ///
    /// # let shared = tempfile::tempdir()?;
    /// let error = Meeting::new(Store::open(&shared.path().to_string_lossy())?, 2, 2).err();
    /// assert!(error.is_some_and(|error| error.to_string() == "there is no shard 2 of 2; number them from 0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(store: Store, index: u32, count: u32) -> Result<Self, ShardsError> {
        let shard = Shard::new(index, count, 0);
        Ok(Self {
            store: Shared::new(store),
            shard: shard.map_err(|_| ShardsError::NoSuchShard { index, count })?,
        })
    }

    /// Whether this shard says which checkpoint is next.
    ///
    /// ```
    /// # use mirrorwatch_shards::{Meeting, Store};
    /// # let shared = tempfile::tempdir()?;
    /// assert!(Meeting::new(Store::open(&shared.path().to_string_lossy())?, 0, 5)?.leads());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leads(&self) -> bool {
        self.shard.index() == 0
    }

    /// This shard's number and how many there are.
    ///
    /// ```
    /// # use mirrorwatch_shards::{Meeting, Store};
    /// # let shared = tempfile::tempdir()?;
    /// assert_eq!(Meeting::new(Store::open(&shared.path().to_string_lossy())?, 3, 5)?.seat(), (3, 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seat(&self) -> (u32, u32) {
        (self.shard.index(), self.shard.count())
    }

    /// The store.
    ///
    /// ```
    /// # use mirrorwatch_shards::{Meeting, Store};
    /// # let shared = tempfile::tempdir()?;
    /// let meeting = Meeting::new(Store::open(&shared.path().to_string_lossy())?, 3, 5)?;
    /// assert!(meeting.store().list("")?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Says which checkpoint is next; `false` where this turn had been announced before.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    ///
    /// ```
    /// # use mirrorwatch_shards::{Meeting, Store, Turn};
    /// # let shared = tempfile::tempdir()?;
    /// let first = Meeting::new(Store::open(&shared.path().to_string_lossy())?, 0, 2)?;
    /// let turn = Turn { number: 1, watch: "5f".into(), run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".into() };
    /// assert!(first.announce(&turn)? && !first.announce(&turn)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn announce(&self, turn: &Turn) -> Result<bool, ShardsError> {
        let path = lead_path(turn.number);
        let json = serde_json::to_vec(turn).map_err(|error| self.content(&path, &error))?;
        self.store.put_new(&path, json)
    }

    /// The checkpoint of this turn, as far as it is announced.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    ///
    /// ```
    /// # use mirrorwatch_shards::{Meeting, Store};
    /// # let shared = tempfile::tempdir()?;
    /// let meeting = Meeting::new(Store::open(&shared.path().to_string_lossy())?, 1, 2)?;
    /// assert_eq!(meeting.announced(9)?, None);
    /// meeting.store().put("lead/0000000009.json", b"nonsense".to_vec())?;
    /// assert!(meeting.announced(9).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn announced(&self, number: u64) -> Result<Option<Turn>, ShardsError> {
        let path = lead_path(number);
        match self.store.get(&path)? {
            None => Ok(None),
            Some(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|error| self.content(&path, &error)),
        }
    }

    /// The number of the last turn that was announced and is not cleared away; 0 where there is none.
    ///
    /// # Errors
    ///
    /// The place cannot be listed.
    ///
    /// ```
    /// # use mirrorwatch_shards::{Meeting, Store};
    /// # let shared = tempfile::tempdir()?;
    /// let meeting = Meeting::new(Store::open(&shared.path().to_string_lossy())?, 1, 2)?;
    /// assert_eq!(meeting.last_announced()?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_announced(&self) -> Result<u64, ShardsError> {
        let names = self.store.list("lead")?;
        let number = |name: &String| -> Option<u64> {
            name.strip_prefix("lead/")?
                .strip_suffix(".json")?
                .parse()
                .ok()
        };
        Ok(names.iter().filter_map(number).max().unwrap_or(0))
    }

    /// The exchange of a turn. `run` is a hash of all that shards have to agree in, `samples` the number of training
    /// samples of all shards. `patience` is asked while others are waited for, with their numbers; `false` ends the wait.
    ///
    /// ```
    /// use mirrorwatch_shards::{Meeting, Store};
    /// use mirrorwatch_stats::shards::Exchange;
    ///
    /// # let shared = tempfile::tempdir()?;
    /// let meeting = Meeting::new(Store::open(&shared.path().to_string_lossy())?, 1, 2)?;
    /// let table = meeting.table(1, 0xfeed, 50_000, &|_| false);
    /// assert_eq!((table.shard().index(), table.shard().run(), table.samples()), (1, 0xfeed, 50_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn table<'a>(
        &'a self,
        turn: u64,
        run: u64,
        samples: u64,
        patience: Patience<'a>,
    ) -> Table<'a> {
        Table {
            store: &self.store,
            shard: self.shard.of_run(run),
            samples,
            turn,
            round: AtomicU32::new(0),
            told: AtomicU32::new(0),
            patience,
        }
    }

    /// Clears this shard's parts of a turn away, and what was announced if it leads. Only of a turn before the last one
    /// that this shard has finished: then the others have finished it, too.
    ///
    /// # Errors
    ///
    /// They cannot be removed.
    ///
    /// ```
    /// # use mirrorwatch_shards::{Meeting, Store};
    /// use mirrorwatch_stats::shards::Exchange;
    ///
    /// # let shared = tempfile::tempdir()?;
    /// let meeting = Meeting::new(Store::open(&shared.path().to_string_lossy())?, 0, 1)?;
    /// meeting.table(1, 7, 9, &|_| true).reduce("cells", vec![1], &|parts| Ok(parts.concat()))?;
    /// meeting.clear(1)?;
    /// assert!(meeting.store().list("")?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&self, turn: u64) -> Result<(), ShardsError> {
        let own = format!("/{:05}", self.shard.index());
        let mut old = self.store.list(&turn_directory(turn))?;
        let made = format!("/{ALL}");
        old.retain(|name| name.ends_with(&own) || (self.leads() && name.ends_with(&made)));
        if self.leads() {
            old.push(lead_path(turn));
        }
        self.store.remove(&old)
    }

    fn content(&self, path: &str, error: &serde_json::Error) -> ShardsError {
        ShardsError::Content {
            path: path.to_string(),
            place: self.store.place().to_string(),
            message: error.to_string(),
        }
    }
}

fn lead_path(number: u64) -> String {
    format!("lead/{number:010}.json")
}
