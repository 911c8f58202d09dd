//! Parts: one statistic of one shard as bytes.

use super::bytes::{Digest, Flaw, Reader};
use super::error::ShardError;

/// The most shards that a run can be divided into.
pub const MOST_SHARDS: u32 = 1 << 16;

/// The most samples that one shard may have: with [`MOST_SHARDS`] of them, 2^53 in all, up to which f64 counts exactly.
pub(crate) const MOST_SAMPLES: u64 = 1 << 37;

const MAGIC: [u8; 4] = *b"MWSH";
const LAYOUT: u16 = 1;
const HEADER_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 8;

/// Which part of which run.
///
/// ```
/// use mirrorwatch_stats::shards::Shard;
///
/// let shard = Shard::new(2, 8, 0x5eed)?;
/// assert_eq!((shard.index(), shard.count(), shard.run()), (2, 8, 0x5eed));
/// assert!(Shard::new(8, 8, 0x5eed).is_err());
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    pub(super) index: u32,
    pub(super) count: u32,
    pub(super) run: u64,
}

impl Shard {
    /// Shard `index` of `count`, numbered from 0.
    ///
    /// `run`: a hash of all that must be the same in every shard: the weights, the seed, the options, the build, and
    /// which statistic of them this is where there are several of a kind.
    ///
    /// # Errors
    ///
    /// [`ShardError::NoSuchShard`].
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Shard;
    ///
    /// assert!(Shard::new(0, 1, 7).is_ok() && Shard::new(0, 0, 7).is_err());
    /// ```
    pub fn new(index: u32, count: u32, run: u64) -> Result<Self, ShardError> {
        if index >= count || count > MOST_SHARDS {
            return Err(ShardError::NoSuchShard { index, count });
        }
        Ok(Self { index, count, run })
    }

    /// The same shard of something else that shards share.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Shard;
    ///
    /// assert_eq!(Shard::new(2, 8, 7)?.of_run(9), Shard::new(2, 8, 9)?);
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    #[must_use]
    pub fn of_run(self, run: u64) -> Self {
        Self { run, ..self }
    }

    /// The shard's number, from 0.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Shard::new(2, 8, 7)?.index(), 2);
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// How many shards there are.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Shard::new(2, 8, 7)?.count(), 8);
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The hash of what all shards share.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_stats::shards::Shard::new(2, 8, 7)?.run(), 7);
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }
}

/// What a statistic needs to travel; for this crate's own only.
pub trait Body: Clone {
    const KIND: u16;
    fn write(&self, out: &mut Vec<u8>);
    fn read(from: &mut Reader) -> Result<Self, Flaw>;
    /// Why the two cannot be merged.
    fn differs(&self, other: &Self) -> Option<&'static str>;
    /// Adds one that does not differ.
    fn join(&mut self, other: &Self);
}

/// A statistic of a shard's samples: merging those of all shards gives that of all samples, in any order.
///
/// The bytes are: `MWSH`, the layout (u16), the kind (u16), the shard (u32), the number of shards (u32), the run (u64), the
/// length of what follows (u64), the statistic, and a 64-bit FNV-1a hash of everything before it. Little endian; equal
/// statistics of a shard give equal bytes.
pub trait Statistic: Body {
    /// The statistic as bytes of `shard`.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::{Shard, Statistic, Tally};
    ///
    /// let bytes = Tally::of([3, 3, 5]).encode(&Shard::new(0, 2, 7)?);
    /// assert_eq!((&bytes[..4], bytes.len()), (&b"MWSH"[..], 45));
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    fn encode(&self, shard: &Shard) -> Vec<u8> {
        let mut body = Vec::new();
        self.write(&mut body);
        let mut out = Vec::with_capacity(HEADER_BYTES + body.len() + CHECKSUM_BYTES);
        out.extend(MAGIC);
        out.extend(LAYOUT.to_le_bytes());
        out.extend(Self::KIND.to_le_bytes());
        out.extend(shard.index.to_le_bytes());
        out.extend(shard.count.to_le_bytes());
        out.extend(shard.run.to_le_bytes());
        out.extend((body.len() as u64).to_le_bytes());
        out.extend(body);
        out.extend(Digest::of(&out).to_le_bytes());
        out
    }

    /// The shard and its statistic from `bytes`; `part` is their name in errors.
    ///
    /// # Errors
    ///
    /// [`ShardError::Truncated`], [`ShardError::Damaged`], [`ShardError::Layout`], [`ShardError::Kind`].
    ///
    /// ```
    /// use mirrorwatch_stats::shards::{Shard, Statistic, Tally};
    ///
    /// let shard = Shard::new(0, 2, 7)?;
    /// let tally = Tally::of([3, 3, 5]);
    /// let mut bytes = tally.encode(&shard);
    /// assert_eq!(Tally::decode("a", &bytes)?, (shard, tally));
    /// bytes[34] ^= 1;
    /// assert!(Tally::decode("a", &bytes).is_err());
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    fn decode(part: &str, bytes: &[u8]) -> Result<(Shard, Self), ShardError> {
        let named = |flaw| match flaw {
            Flaw::Short(needed) => ShardError::Truncated {
                part: part.to_string(),
                bytes: bytes.len() as u64,
                needed,
            },
            Flaw::Bad(at, what) => ShardError::Damaged {
                part: part.to_string(),
                at,
                what,
            },
        };
        if bytes.len() < HEADER_BYTES {
            return Err(named(Flaw::Short(HEADER_BYTES as u64)));
        }
        let mut header = Reader::new(bytes);
        if header.array().map_err(named)? != MAGIC {
            return Err(named(Flaw::Bad(0, "no part of a shard begins so")));
        }
        let layout = u16::from_le_bytes(header.array().map_err(named)?);
        if layout != LAYOUT {
            return Err(ShardError::Layout {
                part: part.to_string(),
                layout,
                known: LAYOUT,
            });
        }
        let kind = u16::from_le_bytes(header.array().map_err(named)?);
        let (index, count) = (header.u32().map_err(named)?, header.u32().map_err(named)?);
        let run = header.u64().map_err(named)?;
        let length = header.u64().map_err(named)?;
        let needed = length.saturating_add((HEADER_BYTES + CHECKSUM_BYTES) as u64);
        if (bytes.len() as u64) < needed {
            return Err(named(Flaw::Short(needed)));
        }
        let hashed = bytes.len() - CHECKSUM_BYTES;
        if bytes.len() as u64 > needed {
            return Err(named(Flaw::Bad(needed as usize, "bytes are left over")));
        }
        if Digest::of(&bytes[..hashed]).to_le_bytes() != bytes[hashed..] {
            return Err(named(Flaw::Bad(hashed, "the checksum does not fit")));
        }
        if kind != Self::KIND {
            return Err(ShardError::Kind {
                part: part.to_string(),
                found: kind_name(kind),
                wanted: kind_name(Self::KIND),
            });
        }
        let shard = Shard::new(index, count, run)
            .map_err(|_| named(Flaw::Bad(8, "there is no such shard")))?;
        let mut body = Reader::new(&bytes[..hashed]);
        body.at = HEADER_BYTES;
        let statistic = Self::read(&mut body).map_err(named)?;
        body.end().map_err(named)?;
        Ok((shard, statistic))
    }
}

impl<T: Body> Statistic for T {}

fn kind_name(kind: u16) -> &'static str {
    match kind {
        1 => "a tally",
        2 => "a survival function",
        3 => "a histogram",
        4 => "null scores",
        5 => "cells",
        6 => "cells by class",
        7 => "sums",
        8 => "neighbours",
        _ => "a statistic this build does not know",
    }
}

/// Merges, naming the two parts as the callers of the public `merge` see them.
pub(crate) fn merge<T: Body>(into: &mut T, other: &T) -> Result<(), ShardError> {
    if let Some(what) = into.differs(other) {
        return Err(ShardError::Differs {
            part: "the other".to_string(),
            what,
        });
    }
    into.join(other);
    Ok(())
}
