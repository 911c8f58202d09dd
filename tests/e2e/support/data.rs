//! A small data set with wrong labels in it: Gaussian classes, as IDX files of features.

use std::fs;
use std::path::{Path, PathBuf};

use mirrorwatch::idx::{Data as Values, Features, Packing, write_features, write_labels};
use mirrorwatch::stock::{Architecture, IdxTask, StockArgs};
use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};

pub const CLASSES: u32 = 5;
pub const TRAIN: usize = 1500;
pub const PROBE: usize = 300;
pub const TRUSTED: usize = 200;
const DIMENSIONS: usize = 24;
/// Of all training labels.
const WRONG: usize = 300;
/// Deviation of the classes' centres, where that of the samples around them is 1: two centres are
/// about 4.9 apart, so that a good model is nearly always right.
const SPREAD: f64 = 0.7;

/// The data set on disk, and the truth about it.
pub struct Data {
    pub directory: PathBuf,
    /// One index a line.
    pub trusted_file: PathBuf,
    /// The right labels, as an IDX file. Its name is not one of a data set's.
    pub truth_file: PathBuf,
    pub given: Vec<u32>,
    pub truth: Vec<u32>,
    pub trusted: Vec<usize>,
}

impl Data {
    /// Makes the data set in `directory`; the same one every time.
    pub fn write(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        let mut rng = StdRng::seed_from_u64(20_261_124);
        let centres: Vec<f64> = (0..CLASSES as usize * DIMENSIONS)
            .map(|_| SPREAD * gaussian(&mut rng))
            .collect();
        let truth = labels(TRAIN);
        let mut given = truth.clone();
        for sample in index::sample(&mut rng, TRAIN, WRONG) {
            given[sample] = (truth[sample] + rng.random_range(1..CLASSES)) % CLASSES;
        }
        let mut trusted = index::sample(&mut rng, TRAIN, TRUSTED).into_vec();
        trusted.sort_unstable();
        for &sample in &trusted {
            given[sample] = truth[sample];
        }
        let data = Self {
            directory: directory.to_path_buf(),
            trusted_file: directory.join("trusted.txt"),
            truth_file: directory.join("truth.idx"),
            given,
            truth,
            trusted,
        };
        let features = |labels: &[u32], rng: &mut StdRng| {
            let mut values = Vec::with_capacity(labels.len() * DIMENSIONS);
            for &label in labels {
                let centre = &centres[label as usize * DIMENSIONS..][..DIMENSIONS];
                values.extend(centre.iter().map(|c| (c + gaussian(rng)) as f32));
            }
            Features::new(vec![DIMENSIONS], Values::F32(values)).unwrap()
        };
        let plain = Packing::Plain;
        write_features(
            data.file("train-features"),
            &features(&data.truth, &mut rng),
            plain,
        )
        .unwrap();
        write_labels(data.file("train-labels"), &data.given, plain).unwrap();
        let probe = labels(PROBE);
        // Gzipped, for a change: both are read everywhere.
        write_features(
            data.file("t10k-features"),
            &features(&probe, &mut rng),
            Packing::Gzip,
        )
        .unwrap();
        write_labels(data.file("t10k-labels"), &probe, plain).unwrap();
        write_labels(&data.truth_file, &data.truth, plain).unwrap();
        let lines: Vec<String> = data.trusted.iter().map(|i| format!("{i}\n")).collect();
        fs::write(&data.trusted_file, lines.concat()).unwrap();
        data
    }

    /// A file of the data set by its stem.
    pub fn file(&self, stem: &str) -> PathBuf {
        self.directory.join(format!("{stem}.idx"))
    }

    /// What the sidecar is told with [`arguments`](Data::arguments), for training in this process.
    pub fn task(&self) -> IdxTask {
        let args = StockArgs {
            data: self.directory.clone(),
            inputs: None,
            labels: None,
            model: Architecture::Mlp,
            probe: PROBE,
            train_limit: None,
            trusted: (!self.trusted.is_empty()).then(|| self.trusted_file.clone()),
            canaries: None,
            sources: None,
            classes: None,
            class_names: Vec::new(),
            leak_shift: 2,
        };
        IdxTask::open(&args).unwrap()
    }

    /// The sidecar's options for this data.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--data".to_string(), self.directory.display().to_string()];
        if !self.trusted.is_empty() {
            arguments.push("--trusted".to_string());
            arguments.push(self.trusted_file.display().to_string());
        }
        arguments
    }

    /// From now on, nobody has verified any training label.
    pub fn trust_nobody(&mut self) {
        self.trusted.clear();
    }

    /// Makes every label of the training set right.
    pub fn correct(&mut self) {
        self.given.clone_from(&self.truth);
        write_labels(self.file("train-labels"), &self.given, Packing::Plain).unwrap();
    }

    /// Makes every label of the probe wrong whose position is a multiple of `step`.
    pub fn spoil_probe(&self, step: usize) {
        let mut probe = labels(PROBE);
        for label in probe.iter_mut().step_by(step) {
            *label = (*label + 1) % CLASSES;
        }
        write_labels(self.file("t10k-labels"), &probe, Packing::Plain).unwrap();
    }

    pub fn is_wrong(&self, sample: usize) -> bool {
        self.given[sample] != self.truth[sample]
    }

    /// The share of wrong labels among the samples that are judged.
    pub fn noise(&self) -> f64 {
        let wrong = (0..TRAIN).filter(|&i| self.is_wrong(i)).count();
        wrong as f64 / (TRAIN - TRUSTED) as f64
    }
}

/// Every class equally often, in turn: the first samples of the probe are a probe, too.
fn labels(count: usize) -> Vec<u32> {
    (0..count).map(|i| i as u32 % CLASSES).collect()
}

/// The sum of twelve uniform numbers less six: mean 0, variance 1.
fn gaussian(rng: &mut StdRng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}
