//! One checkpoint of a history: in memory until it is saved, then in a file of its own of which only what is asked for is read.
//!
//! Layout of the file: the magic, two bytes a sample, and the CRC-32 of each block of [`BLOCK`] samples. Its name ends with the
//! beginning of a digest of those, which the state has in full: no file is ever changed, and no two that differ have one name.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mirrorwatch_checkpoint::write_atomic_with;
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::error::DaemonError;

const MAGIC: &[u8; 8] = b"MWHISTO1";
/// Samples that are read and checked together: few enough for one sample to be cheap, enough for all to be fast.
const BLOCK: usize = 1 << 13;
/// Bytes of a sample: its p-value and its loss.
pub(super) const WIDTH: usize = 2;

/// How all training samples fared at one checkpoint.
///
/// ```
/// use mirrorwatch_daemon::history::History;
///
/// let mut history = History::default();
/// history.add(1, 470, &[0.5], &[0.3], &[1.0]);
/// assert_eq!((history.columns()[0].epoch, history.columns()[0].step), (1, 470));
/// ```
#[derive(Debug)]
pub struct Column {
    /// Epoch of the checkpoint.
    pub epoch: u64,
    /// Optimizer step of the checkpoint.
    pub step: u64,
    pub(crate) samples: usize,
    /// Of the moment and the checksums.
    pub(crate) digest: [u8; 32],
    place: Mutex<Place>,
    /// Whether it was said that it cannot be read.
    told: AtomicBool,
}

/// Where the codes are.
#[derive(Debug, Clone)]
enum Place {
    Memory(Arc<Vec<u8>>),
    File(PathBuf),
}

/// Columns are equal where their moments and checksums are, wherever they are kept.
impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        (self.epoch, self.step, self.samples, self.digest)
            == (other.epoch, other.step, other.samples, other.digest)
    }
}

impl Eq for Column {}

impl Column {
    /// A new column, of [`WIDTH`] bytes a sample.
    pub(super) fn new(epoch: u64, step: u64, codes: Vec<u8>) -> Self {
        let samples = codes.len() / WIDTH;
        Self {
            epoch,
            step,
            samples,
            digest: digest(epoch, step, samples, &sums(&codes)),
            place: Mutex::new(Place::Memory(Arc::new(codes))),
            told: AtomicBool::new(false),
        }
    }

    /// A column that was saved in `directory`. Whether it is still there shows when it is read.
    pub(crate) fn saved(
        (epoch, step): (u64, u64),
        samples: usize,
        digest: [u8; 32],
        directory: &Path,
    ) -> Self {
        Self {
            epoch,
            step,
            samples,
            digest,
            place: Mutex::new(Place::File(directory.join(name(epoch, step, &digest)))),
            told: AtomicBool::new(false),
        }
    }

    /// The name of its file.
    pub(super) fn name(&self) -> String {
        name(self.epoch, self.step, &self.digest)
    }

    fn place(&self) -> Place {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.clone()
    }

    /// Writes it to `directory`, unless it is there, and frees its memory.
    pub(super) fn save(&self, directory: &Path) -> Result<(), DaemonError> {
        let path = directory.join(self.name());
        match self.place() {
            Place::File(here) if here == path => return Ok(()),
            Place::File(elsewhere) => {
                let mut from = File::open(&elsewhere).map_err(|error| DaemonError::Read {
                    path: elsewhere.clone(),
                    message: error.to_string(),
                })?;
                write_atomic_with(&path, |file| io::copy(&mut from, file).map(drop))?;
            }
            Place::Memory(codes) => write_atomic_with(&path, |file| {
                file.write_all(MAGIC)?;
                file.write_all(&codes)?;
                for sum in sums(&codes) {
                    file.write_all(&sum.to_le_bytes())?;
                }
                Ok(())
            })?,
        }
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Place::File(path);
        Ok(())
    }

    /// Whether it takes memory.
    #[cfg(test)]
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.place(), Place::Memory(_))
    }

    /// Hands the codes of `samples`, which ascend, to `each`, with their places in the list; whether all could be read.
    ///
    /// What cannot is a hole in a history, of which a warning tells once, and nothing that a count depends on.
    pub(super) fn read(&self, samples: &[usize], mut each: impl FnMut(usize, [u8; WIDTH])) -> bool {
        let path = match self.place() {
            Place::Memory(codes) => {
                for (nth, &sample) in samples.iter().enumerate() {
                    if let Some(code) = codes.get(WIDTH * sample..).and_then(<[u8]>::first_chunk) {
                        each(nth, *code);
                    }
                }
                return true;
            }
            Place::File(path) => path,
        };
        let Err(problem) = self.read_file(&path, samples, each) else {
            return true;
        };
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "cannot read {}: {problem}; histories lack epoch {}, counts do not need it",
                path.display(),
                self.epoch
            );
        }
        false
    }

    fn read_file(
        &self,
        path: &Path,
        samples: &[usize],
        mut each: impl FnMut(usize, [u8; WIDTH]),
    ) -> Result<(), String> {
        let words = |error: io::Error| error.to_string();
        let damaged = || "it is damaged".to_string();
        let mut file = File::open(path).map_err(words)?;
        let codes = WIDTH * self.samples;
        let blocks = self.samples.div_ceil(BLOCK);
        let length = file.metadata().map_err(words)?.len();
        if length != (MAGIC.len() + codes + 4 * blocks) as u64 {
            return Err(damaged());
        }
        let mut table = vec![0; 4 * blocks];
        file.seek(SeekFrom::Start((MAGIC.len() + codes) as u64))
            .map_err(words)?;
        file.read_exact(&mut table).map_err(words)?;
        let (table, _) = table.as_chunks::<4>();
        let sums: Vec<u32> = table.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        if digest(self.epoch, self.step, self.samples, &sums) != self.digest {
            return Err(damaged());
        }
        let mut block = vec![0; WIDTH * BLOCK.min(self.samples)];
        let mut nth = 0;
        while let Some(&sample) = samples.get(nth).filter(|sample| **sample < self.samples) {
            let first = sample - sample % BLOCK;
            let next = self.samples.min(first + BLOCK);
            let block = &mut block[..WIDTH * (next - first)];
            file.seek(SeekFrom::Start((MAGIC.len() + WIDTH * first) as u64))
                .map_err(words)?;
            file.read_exact(block).map_err(words)?;
            if crc32fast::hash(block) != sums[first / BLOCK] {
                return Err(damaged());
            }
            let (codes, _) = block.as_chunks::<WIDTH>();
            while let Some(&sample) = samples.get(nth).filter(|sample| **sample < next) {
                each(nth, codes[sample - first]);
                nth += 1;
            }
        }
        Ok(())
    }
}

fn sums(codes: &[u8]) -> Vec<u32> {
    codes.chunks(WIDTH * BLOCK).map(crc32fast::hash).collect()
}

fn digest(epoch: u64, step: u64, samples: usize, sums: &[u32]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for number in [epoch, step, samples as u64] {
        digest.update(number.to_le_bytes());
    }
    for sum in sums {
        digest.update(sum.to_le_bytes());
    }
    digest.finalize().into()
}

fn name(epoch: u64, step: u64, digest: &[u8; 32]) -> String {
    let digest = hex(&digest[..8]);
    format!("epoch-{epoch:06}-step-{step:010}-{digest}.bin")
}

/// Takes all files of columns away but those that `keep` names.
pub(super) fn forget_others(directory: &Path, keep: &[String]) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("epoch-") && name.ends_with(".bin") && !keep.iter().any(|k| *k == name)
        {
            // One that stays is only a file too many, and goes next time.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
#[path = "column_tests.rs"]
mod tests;
