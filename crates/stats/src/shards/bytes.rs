//! Reading and writing of numbers, and the checksum.

/// Why bytes cannot be read, before it is known whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// There are fewer bytes than this.
    Short(u64),
    /// What is wrong at a byte.
    Bad(usize, &'static str),
}

/// 64-bit FNV-1a. Any single damaged byte changes it, and other accidents do but for a chance of 2^-64; it is no
/// protection against people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }

    pub(crate) fn of(bytes: &[u8]) -> u64 {
        let mut digest = Self::default();
        digest.take(bytes);
        digest.value()
    }
}

/// Appends seven bits a byte, the lowest first (LEB128): small numbers take one byte.
pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes numbers off the front of bytes.
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Bytes read so far.
    pub(crate) at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Flaw> {
        let Some(array) = self.bytes[self.at..].first_chunk() else {
            return Err(Flaw::Short((self.at + LENGTH) as u64));
        };
        self.at += LENGTH;
        Ok(*array)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Flaw> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Flaw> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number as [`put_number`] writes it, in its only spelling.
    pub(crate) fn number(&mut self) -> Result<u64, Flaw> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            value |= bits << shift;
            if (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
                break;
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Flaw::Bad(start, "a number is misspelt"))
    }

    pub(crate) fn size(&mut self) -> Result<usize, Flaw> {
        let start = self.at;
        usize::try_from(self.number()?)
            .map_err(|_| Flaw::Bad(start, "a number is beyond this machine"))
    }

    /// How many entries follow, of which each takes a byte at least.
    pub(crate) fn length(&mut self) -> Result<usize, Flaw> {
        let start = self.at;
        let length = self.size()?;
        if length > self.bytes.len() - self.at {
            return Err(Flaw::Bad(start, "more entries are announced than follow"));
        }
        Ok(length)
    }

    /// A score, which is never NaN.
    pub(crate) fn score(&mut self) -> Result<f32, Flaw> {
        let start = self.at;
        let score = f32::from_bits(self.u32()?);
        if score.is_nan() {
            return Err(Flaw::Bad(start, "a score is NaN"));
        }
        Ok(score)
    }

    /// Everything has been read.
    pub(crate) fn end(&self) -> Result<(), Flaw> {
        if self.at < self.bytes.len() {
            return Err(Flaw::Bad(self.at, "bytes are left over"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_by_hand() {
        let written = |value| {
            let mut out = Vec::new();
            put_number(&mut out, value);
            out
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(127), [127]);
        assert_eq!(written(300), [0xac, 2]);
        assert_eq!(written(u64::MAX).len(), 10);
        let read = |bytes: &[u8]| Reader::new(bytes).number();
        assert_eq!(read(&[0xac, 2]), Ok(300));
        assert_eq!(read(&written(u64::MAX)), Ok(u64::MAX));
        // A zero that could be left out, and more than 64 bits.
        assert_eq!(read(&[0x80, 0]), Err(Flaw::Bad(0, "a number is misspelt")));
        assert!(matches!(read(&[0xff; 11]), Err(Flaw::Bad(..))));
        assert_eq!(read(&[0x80]), Err(Flaw::Short(2)));
        // FNV-1a of "a", as its authors publish it.
        assert_eq!(Digest::of(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    proptest! {
        #[test]
        fn numbers_come_back(values in proptest::collection::vec(any::<u64>(), 0..20), shift in 0u32..64) {
            let mut out = Vec::new();
            for &value in &values {
                put_number(&mut out, value >> shift);
            }
            let mut reader = Reader::new(&out);
            for &value in &values {
                prop_assert_eq!(reader.number(), Ok(value >> shift));
            }
            prop_assert_eq!(reader.end(), Ok(()));
        }
    }
}
