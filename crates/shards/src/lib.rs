//! Where the processes of a divided sidecar ("shards") meet.
//!
//! Each of n processes reads its own share of the training samples; what they need of each other are small parts of
//! statistics (see [`mirrorwatch_stats::shards`]), which they lay down in a place that all of them reach: a directory that
//! they share, an S3-compatible store, or Google Cloud Storage. No process talks to another, none has to know where the
//! others run, and each may be stopped and started at any time: it goes on from what lies there.
//!
//! - [`Store`] is that place.
//! - [`Meeting`] is one shard's seat in it: the first shard announces which checkpoint is next ([`Turn`]), so that all
//!   scan the same ones.
//! - [`Table`] is the exchange of one such turn: rounds in which everybody gives a part and waits for those of all.
//! - [`ship`] carries checkpoints from a training's disk to the store and from there to those of sidecars.
//!
//! ```
//! use mirrorwatch_shards::{Meeting, Store};
//! use mirrorwatch_stats::shards::{Tally, merged};
//!
//! # let shared = tempfile::tempdir()?;
//! # let shared = shared.path();
//! let counts = std::thread::scope(|scope| {
//!     let shards = [0, 1].map(|index| {
//!         scope.spawn(move || -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
//!             let meeting = Meeting::new(Store::open(shared.to_string_lossy().as_ref())?, index, 2)?;
//!             let table = meeting.table(1, 0xfeed, 1_000, &|_| true);
//!             // Shard 0 has three fitted samples, shard 1 has five.
//!             let own = Tally::of(vec![1; 3 + 2 * index as usize]);
//!             Ok(merged(&table, "fitted samples", Tally::default(), own)?.count(1))
//!         })
//!     });
//!     shards.map(|shard| shard.join())
//! });
//! for count in counts {
//!     assert_eq!(count.map(|count| count.ok()).ok(), Some(Some(8)));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod meeting;
pub mod ship;
mod store;
mod table;

pub use error::ShardsError;
pub use meeting::{Meeting, Turn};
pub use store::Store;
pub use table::Table;
