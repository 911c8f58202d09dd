//! `read`: scans samples that are on disk, and tells what it took.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::data::dataset::{Dataset, DatasetError};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use clap::Args;
use mirrorwatch_influence::{Labels, Task, scan};
use mirrorwatch_stats::ranking::auroc;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::peak;
use crate::product::defaults;

/// What is read.
#[derive(Args)]
pub struct Read {
    /// Training samples
    #[arg(long, value_name = "N")]
    samples: usize,

    /// Bytes of a sample
    #[arg(long, value_name = "BYTES")]
    width: usize,

    /// Classes
    #[arg(long, value_name = "K")]
    classes: usize,

    /// Where the samples are written
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
}

/// What it took; sizes in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Scanned {
    pub on_disk: u64,
    pub peak_before: u64,
    pub peak: u64,
    pub seconds: f64,
    pub auroc: f64,
}

/// Probe samples, at least; as many as classes at most.
const PROBE: usize = 1000;
/// One label in so many is wrong.
const WRONG: usize = 10;
/// The label, before the values of a sample.
const HEADER: usize = 2;
/// How far its own class lifts a value, of 255.
const LIFT: u8 = 24;

/// Writes samples, scans them and prints a [`Scanned`].
///
/// # Errors
///
/// A directory that cannot be written, or a scan that fails.
pub fn run(read: &Read) -> Result<(), String> {
    let json = serde_json::to_string(&scanned(read)?).map_err(|error| error.to_string())?;
    println!("{json}");
    Ok(())
}

fn scanned(read: &Read) -> Result<Scanned, String> {
    let task = OnDisk::written(read)?;
    let labels = Labels::read(&task).map_err(|error| error.to_string())?;
    let config = defaults::<OnDisk>()?;
    config.device.seed(0);
    let model = task.model(&config.device);
    let peak_before = peak::bytes()?;
    let start = Instant::now();
    let never = AtomicBool::new(false);
    let found = scan(&task, &model, &labels, &config, &|_| (), &never);
    let found = found.map_err(|error| error.to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    let wrong: Vec<bool> = (0..read.samples).map(is_wrong).collect();
    Ok(Scanned {
        on_disk: task.size()?,
        peak_before,
        peak: peak::bytes()?,
        seconds,
        auroc: auroc(&found.estimates[0].train, &wrong).unwrap_or(0.5),
    })
}

fn is_wrong(sample: usize) -> bool {
    sample % WRONG == 7
}

/// Samples in files, read one by one.
struct OnDisk {
    train: Arc<Samples>,
    probe: Arc<Samples>,
    width: usize,
    classes: usize,
}

struct Samples {
    file: File,
    record: usize,
    count: usize,
}

impl OnDisk {
    fn written(read: &Read) -> Result<Self, String> {
        let (width, classes) = (read.width, read.classes);
        let probe = PROBE.max(4 * classes);
        let write = |name, count, seed, spoil| {
            let path = read.directory.join(name);
            Samples::written(&path, (count, width, classes), seed, spoil)
                .map(Arc::new)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        Ok(Self {
            train: write("train", read.samples, 0, true)?,
            probe: write("probe", probe, 1, false)?,
            width,
            classes,
        })
    }

    fn size(&self) -> Result<u64, String> {
        let size = self.train.file.metadata().map(|data| data.len());
        size.map_err(|error| format!("cannot tell how large the samples are: {error}"))
    }
}

impl Samples {
    /// Noise, in which every value whose turn it is for the sample's class is a little larger.
    fn written(
        path: &Path,
        (count, width, classes): (usize, usize, usize),
        seed: u64,
        spoil: bool,
    ) -> std::io::Result<Self> {
        let mut writer = BufWriter::new(File::create(path)?);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut values = vec![0u8; width];
        // Which values speak for a class is the same in both files.
        let mut codes = StdRng::seed_from_u64(2);
        let codes: Vec<Vec<bool>> = (0..classes)
            .map(|_| (0..width).map(|_| codes.random_bool(0.5)).collect())
            .collect();
        for sample in 0..count {
            let class = sample % classes;
            rng.fill_bytes(&mut values);
            for (value, lifted) in values.iter_mut().zip(&codes[class]) {
                *value = *value / 2 + if *lifted { LIFT } else { 0 };
            }
            let given = match spoil && is_wrong(sample) {
                true => (class + 1) % classes,
                false => class,
            };
            writer.write_all(&(given as u16).to_le_bytes())?;
            writer.write_all(&values)?;
        }
        writer.into_inner()?.sync_all()?;
        Ok(Self {
            file: File::open(path)?,
            record: HEADER + width,
            count,
        })
    }
}

impl Dataset<Vec<u8>> for Samples {
    fn get(&self, index: usize) -> Result<Vec<u8>, DatasetError> {
        let mut record = vec![0; self.record];
        let place = index as u64 * self.record as u64;
        let read = self.file.read_exact_at(&mut record, place);
        read.map_err(DatasetError::new)?;
        Ok(record)
    }

    fn len(&self) -> usize {
        self.count
    }
}

/// One layer: the samples are what is large here.
#[derive(Module, Debug)]
struct Layer {
    head: Linear,
}

impl Task for OnDisk {
    type Model = Layer;
    type Item = Vec<u8>;
    type Batch = Tensor<2>;

    fn model(&self, device: &Device) -> Layer {
        Layer {
            head: LinearConfig::new(self.width, self.classes).init(device),
        }
    }

    fn train(&self) -> Arc<dyn Dataset<Vec<u8>>> {
        self.train.clone()
    }

    fn probe(&self) -> Arc<dyn Dataset<Vec<u8>>> {
        self.probe.clone()
    }

    fn batch(&self, items: Vec<Vec<u8>>, device: &Device) -> Tensor<2> {
        let mut values = Vec::with_capacity(items.len() * self.width);
        for item in &items {
            let bytes = &item[HEADER..];
            values.extend(bytes.iter().map(|&value| f32::from(value) / 64.0 - 1.0));
        }
        Tensor::from_data(TensorData::new(values, [items.len(), self.width]), device)
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn label(&self, item: &Vec<u8>) -> usize {
        usize::from(u16::from_le_bytes([item[0], item[1]]))
    }

    fn logits(&self, model: &Layer, batch: &Tensor<2>) -> Tensor<2> {
        model.head.forward(batch.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_on_disk_are_scanned_and_the_wrong_ones_found() {
        let directory = tempfile::tempdir().unwrap();
        let read = Read {
            samples: 3000,
            width: 128,
            classes: 5,
            directory: directory.path().to_path_buf(),
        };
        let scanned = scanned(&read).unwrap();
        assert_eq!(scanned.on_disk, 3000 * 130);
        assert!(scanned.auroc > 0.95, "{scanned:?}");
        assert!(scanned.peak >= scanned.peak_before && scanned.seconds > 0.0);
    }
}
