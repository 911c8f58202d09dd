//! Hashes and random ids, both in hexadecimal.

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Bytes that are hashed at once.
const BLOCK: usize = 1 << 16;

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of all that can be read, in lower-case hexadecimal, and how many bytes that is. Little of it is in memory at once.
pub(crate) fn sha256_of(mut from: impl Read) -> io::Result<(String, u64)> {
    let (mut digest, mut total) = (Sha256::new(), 0);
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok((hex(&digest.finalize()), total)),
            Ok(count) => {
                digest.update(&block[..count]);
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A random id of 32 hexadecimal digits. It separates the writers of one run from each other and
/// keeps no secret, so the standard library's per-process randomness will do.
pub(crate) fn random_id() -> String {
    let mut id = String::with_capacity(32);
    for _ in 0..2 {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        if let Ok(elapsed) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            hasher.write_u128(elapsed.as_nanos());
        }
        let _ = write!(id, "{:016x}", hasher.finish());
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hash() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    /// A million times "a", of the examples of FIPS 180.
    #[test]
    fn known_hash_of_what_is_read_piece_by_piece() {
        let (hash, bytes) = sha256_of(io::repeat(b'a').take(1_000_000)).unwrap();
        let known = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!((hash.as_str(), bytes), (known, 1_000_000));
    }

    #[test]
    fn ids_differ() {
        let (a, b) = (random_id(), random_id());
        assert_ne!(a, b);
        assert_eq!(a.len(), 32);
    }
}
