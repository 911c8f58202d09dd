//! What the targets share: parts of shards with the checksum that they should have, and the inputs to start from.

use mirrorwatch_stats::shards::Shard;

pub mod seeds;

/// Bytes before the statistic in a part of a shard.
pub const HEADER: usize = 32;
/// Bytes of the checksum after it.
pub const CHECKSUM: usize = 8;

/// A part with this statistic in it, as [`Statistic`](mirrorwatch_stats::shards::Statistic) describes it.
pub fn sealed(kind: u8, shard: &Shard, body: &[u8]) -> Vec<u8> {
    let mut part = b"MWSH".to_vec();
    part.extend(1u16.to_le_bytes());
    part.extend(u16::from(kind).to_le_bytes());
    part.extend(shard.index().to_le_bytes());
    part.extend(shard.count().to_le_bytes());
    part.extend(shard.run().to_le_bytes());
    part.extend((body.len() as u64).to_le_bytes());
    part.extend(body);
    // 64-bit FNV-1a.
    let hash = part.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    part.extend(hash.to_le_bytes());
    part
}
