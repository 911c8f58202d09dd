//! Merging and encoding of cells.

use super::bytes::{Flaw, Reader, put_number};
use super::error::ShardError;
use super::part::{Body, MOST_SAMPLES, merge};
use crate::cells::{Cells, Occupied, lower};

pub(super) const OTHER_NULL: &str = "been counted against another null";

impl Cells {
    /// Adds what another shard has counted against the same null.
    ///
    /// # Errors
    ///
    /// [`ShardError::Differs`] for another null.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::Cells;
    ///
    /// let mut cells = Cells::count(&[0.1, 0.2], &[0.3])?;
    /// cells.merge(&Cells::count(&[0.2, 0.1], &[0.15])?)?;
    /// assert_eq!(cells.samples(), 2);
    /// assert!(cells.merge(&Cells::count(&[0.1, 0.3], &[0.15])?).is_err());
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<(), ShardError> {
        merge(self, other)
    }
}

impl Body for Cells {
    const KIND: u16 = 5;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.digest.to_le_bytes());
        put_number(out, self.null_samples as u64);
        put_number(out, self.occupied.len() as u64);
        let mut next = 0;
        for cell in &self.occupied {
            put_number(out, (cell.cell - next) as u64);
            put_number(out, cell.samples as u64);
            out.extend(cell.lowest.to_bits().to_le_bytes());
            next = cell.cell + 1;
        }
    }

    fn read(from: &mut Reader) -> Result<Self, Flaw> {
        let digest = from.u64()?;
        let null_samples = from.size()?;
        let length = from.length()?;
        let mut occupied: Vec<Occupied> = Vec::with_capacity(length);
        let (mut next, mut total) = (0_usize, 0_u64);
        for _ in 0..length {
            let start = from.at;
            let cell = next.checked_add(from.size()?);
            let Some(cell) = cell.filter(|&cell| cell <= null_samples) else {
                return Err(Flaw::Bad(start, "there is no such cell"));
            };
            let start = from.at;
            let samples = from.size()?;
            total = total.saturating_add(samples as u64);
            if samples == 0 || total > MOST_SAMPLES {
                return Err(Flaw::Bad(start, "no shard has so many samples"));
            }
            let start = from.at;
            let lowest = from.score()?;
            if occupied.last().is_some_and(|above| above.lowest <= lowest) {
                return Err(Flaw::Bad(start, "the scores of cells are out of order"));
            }
            occupied.push(Occupied {
                cell,
                samples,
                lowest,
            });
            next = cell + 1;
        }
        Ok(Self {
            digest,
            null_samples,
            occupied,
        })
    }

    fn differs(&self, other: &Self) -> Option<&'static str> {
        let same = (self.digest, self.null_samples) == (other.digest, other.null_samples);
        (!same).then_some(OTHER_NULL)
    }

    fn join(&mut self, other: &Self) {
        let mut joined = Vec::with_capacity(self.occupied.len() + other.occupied.len());
        let mut theirs = other.occupied.iter().copied().peekable();
        for ours in &self.occupied {
            while let Some(above) = theirs.next_if(|theirs| theirs.cell < ours.cell) {
                joined.push(above);
            }
            let mut ours = *ours;
            if let Some(same) = theirs.next_if(|theirs| theirs.cell == ours.cell) {
                ours.samples += same.samples;
                ours.lowest = lower(ours.lowest, same.lowest);
            }
            joined.push(ours);
        }
        joined.extend(theirs);
        self.occupied = joined;
    }
}
