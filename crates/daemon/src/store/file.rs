//! A file that ends with the digest of what is in it, written and read piece by piece: it is as large as the evidence.

use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

/// Bytes that are handled at once.
const BLOCK: usize = 1 << 16;
/// Bytes of a digest.
const DIGEST: usize = 32;

/// Writes such a file.
pub(super) struct Writer<'a> {
    file: &'a mut dyn Write,
    digest: Sha256,
}

impl<'a> Writer<'a> {
    pub(super) fn new(file: &'a mut dyn Write) -> Self {
        Self {
            file,
            digest: Sha256::new(),
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }

    pub(super) fn put<const WIDTH: usize>(
        &mut self,
        values: impl Iterator<Item = [u8; WIDTH]>,
    ) -> io::Result<()> {
        let mut block = Vec::with_capacity(BLOCK + WIDTH);
        for value in values {
            block.extend(value);
            if block.len() >= BLOCK {
                self.write_all(&block)?;
                block.clear();
            }
        }
        self.write_all(&block)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        let digest = self.digest.finalize_reset();
        self.file.write_all(digest.as_slice())
    }
}

/// Reads such a file after it was verified.
pub(super) struct Reader<F> {
    file: F,
    /// Bytes before the digest that are not read yet.
    left: u64,
}

fn damaged() -> String {
    "it is damaged".to_string()
}

fn words(error: io::Error) -> String {
    error.to_string()
}

impl<F: Read + Seek> Reader<F> {
    /// A reader of what follows `magic`. The file is gone through once before anything in it is believed.
    ///
    /// # Errors
    ///
    /// In words, a file that does not begin so or does not verify.
    pub(super) fn verified(mut file: F, magic: &[u8]) -> Result<Self, String> {
        let length = file.seek(SeekFrom::End(0)).map_err(words)?;
        let content = length.checked_sub(DIGEST as u64).ok_or_else(damaged)?;
        file.rewind().map_err(words)?;
        let mut digest = Sha256::new();
        let mut block = vec![0; BLOCK];
        let mut left = content;
        while left > 0 {
            let count = left.min(BLOCK as u64) as usize;
            file.read_exact(&mut block[..count]).map_err(words)?;
            if left == content && !block[..count].starts_with(magic) {
                return Err("it is not a state file of this version".to_string());
            }
            digest.update(&block[..count]);
            left -= count as u64;
        }
        let mut told = [0; DIGEST];
        file.read_exact(&mut told).map_err(words)?;
        if digest.finalize().as_slice() != told {
            return Err(damaged());
        }
        file.seek(SeekFrom::Start(magic.len() as u64))
            .map_err(words)?;
        let left = content.checked_sub(magic.len() as u64);
        Ok(Self {
            file,
            left: left.ok_or_else(damaged)?,
        })
    }

    /// So many bytes. Nothing is allocated for more than there are.
    fn take(&mut self, count: usize) -> Result<Vec<u8>, String> {
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| "it is shorter than it says".to_string())?;
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes).map_err(words)?;
        Ok(bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(
            self.take(8)?.try_into().map_err(|_| damaged())?,
        ))
    }

    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, String> {
        self.take(usize::try_from(count).map_err(|_| damaged())?)
    }

    /// So many values, decoded block by block.
    pub(super) fn values<const WIDTH: usize, V>(
        &mut self,
        count: usize,
        value: impl Fn([u8; WIDTH]) -> V,
    ) -> Result<Vec<V>, String> {
        let bytes = (count as u64).checked_mul(WIDTH as u64);
        if bytes.is_none_or(|bytes| bytes > self.left) {
            return Err("it is shorter than it says".to_string());
        }
        let mut values = Vec::with_capacity(count);
        while values.len() < count {
            let block = self.take(WIDTH * (count - values.len()).min(BLOCK / WIDTH))?;
            let (block, _) = block.as_chunks::<WIDTH>();
            values.extend(block.iter().map(|bytes| value(*bytes)));
        }
        Ok(values)
    }
}
