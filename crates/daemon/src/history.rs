//! History: how each sample fared at the checkpoints of a run, in two bytes a sample and checkpoint.
//!
//! | of a sample | stored as | precision |
//! | --- | --- | --- |
//! | p-value | log₁₀ in steps of 1/32, one byte | within 5 %; smaller than 1.1e-8 is told as that |
//! | loss | log₁₀ in steps of 1/20, seven bits | within 7 %; from 1e-4 to 200, less is told as 0 |
//! | fitted | one bit | exact |
//!
//! At most [`MOST`] checkpoints are kept. When another one comes, every other is dropped, and the first
//! and the newest stay: the past gets coarser the further back it lies. Of a million samples that is 64 MB, on disk: each
//! checkpoint has a file, which is written once, before the state that names it, and read where somebody asks.

mod column;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use mirrorwatch_checkpoint::create_directory;
use serde::{Deserialize, Serialize};

use crate::error::DaemonError;
pub use column::Column;
use column::WIDTH;

/// Checkpoints that are kept at most.
pub const MOST: usize = 32;

/// Steps of p-values in a factor of ten.
const P_STEPS: f64 = 32.0;

/// Steps of losses in a factor of ten.
const LOSS_STEPS: f64 = 20.0;

/// The smallest loss, in nats, that is told from 0.
const LEAST_LOSS: f64 = 1e-4;

/// The bit beside a loss that says that the given label was fitted.
const FITTED: u8 = 0x80;

/// How one sample fared at one checkpoint.
///
/// ```
/// use mirrorwatch_daemon::history::History;
///
/// let mut history = History::default();
/// history.add(3, 1410, &[0.01], &[4.0], &[-1.0]);
/// let point = history.of(0)[0];
/// assert_eq!((point.epoch, point.fitted), (3, false));
/// // Kept coarsely.
/// assert!((point.p_value / 0.01 - 1.0).abs() < 0.05 && (point.loss / 4.0 - 1.0).abs() < 0.07);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Epoch of the checkpoint.
    pub epoch: u64,
    /// Conformal p-value by the evidence up to then, within 5 %; 1 for trusted samples and canaries.
    pub p_value: f64,
    /// Loss in nats at the checkpoint, within 7 %.
    pub loss: f64,
    /// Whether the model predicted the given label at the checkpoint.
    pub fitted: bool,
}

/// The history of all training samples of a run.
///
/// ```
/// use mirrorwatch_daemon::history::{History, MOST};
///
/// let mut history = History::default();
/// for epoch in 1..=100 {
///     history.add(epoch, 470 * epoch, &[0.5], &[0.3], &[1.0]);
/// }
/// let columns = history.columns();
/// assert!(columns.len() <= MOST && columns[0].epoch == 1 && columns[columns.len() - 1].epoch == 100);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// In the order of the scans. Never changed once there, so that copies of the evidence share them.
    columns: Vec<Arc<Column>>,
}

impl History {
    /// A history as it was stored; `None` if it has more checkpoints than any has.
    pub(crate) fn restored(columns: Vec<Column>) -> Option<Self> {
        (columns.len() <= MOST).then(|| Self {
            columns: columns.into_iter().map(Arc::new).collect(),
        })
    }

    /// Writes to `directory`, which is made, what is not there yet, each checkpoint once; from then on it is read from there.
    ///
    /// # Errors
    ///
    /// A file cannot be written. What was not stays in memory.
    ///
    /// ```
    /// # use mirrorwatch_daemon::history::History;
    /// # let directory = tempfile::tempdir()?;
    /// let mut history = History::default();
    /// history.add(1, 470, &[0.5], &[0.3], &[1.0]);
    /// let points = history.of(0);
    /// history.save(directory.path())?;
    /// assert_eq!(std::fs::read_dir(directory.path())?.count(), 1);
    /// assert_eq!(history.of(0), points);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, directory: &Path) -> Result<(), DaemonError> {
        if !self.columns.is_empty() {
            create_directory(directory)?;
        }
        self.columns
            .iter()
            .try_for_each(|column| column.save(directory))
    }

    /// Takes the files of other checkpoints away.
    pub(crate) fn forget_others(&self, directory: &Path) {
        let names: Vec<String> = self.columns.iter().map(|c| c.name()).collect();
        column::forget_others(directory, &names);
    }

    /// The checkpoints that are kept, in the order of the scans.
    ///
    /// ```
    /// # use mirrorwatch_daemon::history::History;
    /// # let mut history = History::default();
    /// assert!(history.columns().is_empty());
    /// history.add(1, 470, &[0.5], &[0.3], &[1.0]);
    /// assert_eq!(history.columns().len(), 1);
    /// ```
    pub fn columns(&self) -> &[Arc<Column>] {
        &self.columns
    }

    /// Takes in a checkpoint: p-value, loss in nats and margin (positive = fitted) of each training sample.
    ///
    /// ```
    /// # use mirrorwatch_daemon::history::History;
    /// # let mut history = History::default();
    /// // Two samples, of which the first is fitted.
    /// history.add(1, 470, &[1.0, 0.01], &[0.3, 4.0], &[1.0, -1.0]);
    /// assert_eq!([0, 1].map(|sample| history.of(sample)[0].fitted), [true, false]);
    /// ```
    pub fn add(
        &mut self,
        epoch: u64,
        step: u64,
        p_values: &[f64],
        losses: &[f32],
        margins: &[f32],
    ) {
        let fitted = margins.iter().map(|margin| *margin > 0.0);
        let losses = losses.iter().copied().zip(fitted);
        self.take(epoch, step, p_values.iter().copied().zip(losses));
    }

    /// Takes in a checkpoint: p-value, loss and whether it is fitted of each training sample.
    pub(crate) fn take(
        &mut self,
        epoch: u64,
        step: u64,
        samples: impl ExactSizeIterator<Item = (f64, (f32, bool))>,
    ) {
        if self.columns.len() >= MOST {
            // Counted from the first, the new one is at an even place, too, and so evenly spaced.
            let mut place = 0;
            self.columns.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
        let mut codes = Vec::with_capacity(WIDTH * samples.len());
        for (p, (loss, fitted)) in samples {
            codes.extend([p_code(p), loss_code(loss, fitted)]);
        }
        self.columns.push(Arc::new(Column::new(epoch, step, codes)));
    }

    /// How a training sample fared, in the order of the scans. A checkpoint whose file cannot be read is left out, with a warning.
    ///
    /// ```
    /// # use mirrorwatch_daemon::history::History;
    /// # let mut history = History::default();
    /// history.add(1, 470, &[1.0], &[0.3], &[-1.0]);
    /// history.add(2, 940, &[1.0], &[0.1], &[1.0]);
    /// let fitted: Vec<bool> = history.of(0).iter().map(|point| point.fitted).collect();
    /// assert_eq!(fitted, [false, true]);
    /// ```
    pub fn of(&self, sample: usize) -> Vec<Point> {
        let mut points = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            column.read(&[sample], |_, code| points.push(point(column.epoch, code)));
        }
        points
    }

    /// The histories of shards put together; each sample of a shard is at the position that goes with it, of `samples`.
    /// None where they are not of the same checkpoints, or one cannot be read.
    pub(crate) fn united(shards: &[(&History, &[usize])], samples: usize) -> Option<Self> {
        let (first, _) = shards.first()?;
        let mut columns = Vec::with_capacity(first.columns.len());
        for (nth, of) in first.columns.iter().enumerate() {
            let mut codes = vec![0; WIDTH * samples];
            for (history, positions) in shards {
                let theirs = history.columns.get(nth)?;
                if history.columns.len() != first.columns.len()
                    || (theirs.epoch, theirs.step) != (of.epoch, of.step)
                {
                    return None;
                }
                let all: Vec<usize> = (0..positions.len()).collect();
                let read = theirs.read(&all, |place, code| {
                    let at = WIDTH * positions[place];
                    codes[at..at + WIDTH].copy_from_slice(&code);
                });
                if !read {
                    return None;
                }
            }
            columns.push(Column::new(of.epoch, of.step, codes));
        }
        Self::restored(columns)
    }

    /// The histories of many samples: each file is gone through once for all of them.
    pub(crate) fn of_all(&self, samples: &[usize]) -> Histories {
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_unstable_by_key(|&nth| samples[nth]);
        let ascending: Vec<usize> = order.iter().map(|&nth| samples[nth]).collect();
        let mut read = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let mut codes = vec![[0; WIDTH]; samples.len()];
            if column.read(&ascending, |place, code| codes[order[place]] = code) {
                read.push((column.epoch, codes));
            }
        }
        Histories(read)
    }
}

/// Samples of which [`History::of_all`] is asked at once, where there are many: they take [`MOST`] times two bytes each.
pub(crate) const TOGETHER: usize = 1 << 19;

/// Histories of many samples, still coded.
pub(crate) struct Histories(Vec<(u64, Vec<[u8; WIDTH]>)>);

impl Histories {
    /// That of the `nth` of the samples.
    pub(crate) fn of(&self, nth: usize) -> Vec<Point> {
        let columns = self.0.iter();
        columns
            .map(|(epoch, codes)| point(*epoch, codes[nth]))
            .collect()
    }
}

fn point(epoch: u64, [p, loss]: [u8; WIDTH]) -> Point {
    Point {
        epoch,
        p_value: p_value(p),
        loss: loss_value(loss & !FITTED),
        fitted: loss & FITTED != 0,
    }
}

/// 0 for 1, 255 for the smallest.
fn p_code(p: f64) -> u8 {
    // Saturates at both ends.
    (-p.log10() * P_STEPS).round().clamp(0.0, 255.0) as u8
}

fn p_value(code: u8) -> f64 {
    // Many are told for each suspect, and there are only so many of them.
    static ALL: LazyLock<[f64; 256]> = LazyLock::new(|| {
        std::array::from_fn(|code| three_digits(10f64.powf(-(code as f64) / P_STEPS)))
    });
    ALL[usize::from(code)]
}

/// 0 for what is too small, else 1 to 127.
fn loss_code(loss: f32, fitted: bool) -> u8 {
    let steps = (f64::from(loss) / LEAST_LOSS).log10() * LOSS_STEPS;
    let code = (steps.round() + 1.0).clamp(0.0, 127.0) as u8;
    if fitted { code | FITTED } else { code }
}

fn loss_value(code: u8) -> f64 {
    static ALL: LazyLock<[f64; 256]> = LazyLock::new(|| {
        std::array::from_fn(|code| match code {
            0 => 0.0,
            _ => three_digits(LEAST_LOSS * 10f64.powf((code as f64 - 1.0) / LOSS_STEPS)),
        })
    });
    ALL[usize::from(code)]
}

/// More digits than are known would only make files longer.
fn three_digits(value: f64) -> f64 {
    let unit = 10f64.powi(2 - value.log10().floor() as i32);
    (value * unit).round() / unit
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
