//! Which samples a cell trains on and which are its probe: dealt anew for every seed.
//!
//! With one probe for all seeds, their mean would say how that one probe does, not how probes do.

use std::path::{Path, PathBuf};

use mirrorwatch_idx::{Data, Features, Packing, write_features, write_labels};
use quickstart::data::Source;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::grid::Cell;

/// Keeps this draw apart from those of noise and trusted samples.
const STREAM: u64 = 0x6465_616c_0000_0000;

/// Samples and their right labels.
pub struct Part {
    /// The samples.
    pub features: Features,
    /// One label per sample.
    pub labels: Vec<u32>,
}

/// The training samples and the probe of `cell`, by its seed.
///
/// A published split into training and test samples is kept: training samples are drawn from the one, the probe
/// from the other. Where there is none, all samples are dealt, as many to the probe as the test file has.
///
/// # Errors
///
/// Sets of different shapes, which cannot be dealt as one.
pub fn deal(source: &Source, cell: &Cell) -> Result<(Part, Part), String> {
    let mut random = StdRng::seed_from_u64(cell.settings.seed ^ STREAM);
    let (train, test) = (source.train.count(), source.test.count());
    let mut order: Vec<usize> = (0..train + test).collect();
    if cell.dataset.published_split {
        order[..train].shuffle(&mut random);
        order[train..].shuffle(&mut random);
    } else {
        order.shuffle(&mut random);
    }
    let (trained, probe) = order.split_at(train);
    let limited = |order: &[usize], limit: Option<usize>| {
        let n = order.len().min(limit.unwrap_or(usize::MAX));
        take(source, &order[..n])
    };
    Ok((
        limited(trained, cell.settings.train)?,
        limited(probe, cell.settings.probe)?,
    ))
}

/// The samples of these positions, which count training samples first and test samples after them.
fn take(source: &Source, order: &[usize]) -> Result<Part, String> {
    let len = source.train.sample_len();
    let data = match (source.train.data(), source.test.data()) {
        (Data::U8(train), Data::U8(test)) => Data::U8(rows(train, test, len, order)),
        (Data::F32(train), Data::F32(test)) => Data::F32(rows(train, test, len, order)),
        _ => return Err(MIXED.to_string()),
    };
    let features = Features::new(source.train.shape().to_vec(), data);
    Ok(Part {
        features: features.map_err(|error| error.to_string())?,
        labels: rows(&source.train_labels, &source.test_labels, 1, order),
    })
}

/// The rows of `len` values at these positions of `train` and `test`, the one after the other.
fn rows<T: Copy>(train: &[T], test: &[T], len: usize, order: &[usize]) -> Vec<T> {
    let mut values = Vec::with_capacity(order.len() * len);
    for &i in order {
        let start = i * len;
        match start.checked_sub(train.len()) {
            None => values.extend_from_slice(&train[start..start + len]),
            Some(start) => values.extend_from_slice(&test[start..start + len]),
        }
    }
    values
}

const MIXED: &str =
    "training and test samples differ in type: one file has bytes, the other floats";

/// The IDX files of one part of a data set.
pub struct Files {
    /// The samples.
    pub features: PathBuf,
    /// Their labels.
    pub labels: PathBuf,
}

/// Writes the files of `part`, with these labels, by names the stock task finds.
///
/// # Errors
///
/// Files that cannot be written.
pub fn write(directory: &Path, name: &str, part: &Part, labels: &[u32]) -> Result<Files, String> {
    let files = Files {
        features: directory.join(format!("{name}-features.idx")),
        labels: directory.join(format!("{name}-labels.idx")),
    };
    write_features(&files.features, &part.features, Packing::Plain)
        .and_then(|()| write_labels(&files.labels, labels, Packing::Plain))
        .map_err(|error| error.to_string())?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::grid::{Overrides, cells};

    fn cell(published_split: bool, seed: u64) -> Cell {
        let overrides = Overrides {
            train: Some(300),
            probe: Some(100),
            ..Overrides::default()
        };
        let mut cell = cells(true, &[0], &["none".to_string()], &overrides).remove(0);
        cell.settings.seed = seed;
        let mut dataset = *cell.dataset;
        dataset.published_split = published_split;
        cell.dataset = Box::leak(Box::new(dataset));
        cell
    }

    /// Ten training and five test samples of one value, their number; labels are numbers modulo 3.
    fn source() -> Source {
        let mut source = Source::embedded().unwrap();
        let features = |from: u8, to: u8| Features::new(vec![1], Data::U8((from..to).collect()));
        source.train = features(0, 10).unwrap();
        source.test = features(10, 15).unwrap();
        source.train_labels = (0..10).map(|i| i % 3).collect();
        source.test_labels = (10..15).map(|i| i % 3).collect();
        source
    }

    fn numbers(part: &Part) -> Vec<u8> {
        let Data::U8(values) = part.features.data() else {
            panic!("bytes became floats");
        };
        for (value, label) in values.iter().zip(&part.labels) {
            assert_eq!(u32::from(*value) % 3, *label);
        }
        values.clone()
    }

    #[test]
    fn a_published_split_is_kept_and_every_seed_draws_another_part_of_it() {
        let source = source();
        let mut limited = cell(true, 1);
        limited.settings.train = Some(4);
        limited.settings.probe = Some(3);
        let mut seen = HashSet::new();
        for seed in 0..5 {
            limited.settings.seed = seed;
            let (train, probe) = deal(&source, &limited).unwrap();
            let (train, probe) = (numbers(&train), numbers(&probe));
            assert_eq!((train.len(), probe.len()), (4, 3));
            assert!(train.iter().all(|i| *i < 10) && probe.iter().all(|i| *i >= 10));
            assert_eq!(train.iter().collect::<HashSet<_>>().len(), 4);
            seen.insert((train, probe));
        }
        assert!(seen.len() > 1);
    }

    #[test]
    fn without_a_published_split_all_samples_are_dealt() {
        let source = source();
        let mut mixed = false;
        for seed in 0..5 {
            let (train, probe) = deal(&source, &cell(false, seed)).unwrap();
            let (train, probe) = (numbers(&train), numbers(&probe));
            assert_eq!((train.len(), probe.len()), (10, 5));
            mixed |= probe.iter().any(|i| *i < 10);
            let all: HashSet<u8> = train.into_iter().chain(probe).collect();
            assert_eq!(all.len(), 15);
        }
        assert!(mixed);
    }
}
