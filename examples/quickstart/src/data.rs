//! The samples: an embedded subset of Fashion-MNIST, or a directory of IDX files.

mod error;
mod parts;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use mirrorwatch_idx::{
    self as idx, Features, Packing, TEST_FEATURES, TEST_LABELS, TRAIN_FEATURES, TRAIN_LABELS,
};

pub use error::DataError;
use parts::{Parts, class_count, first};

/// The classes of Fashion-MNIST, by label.
pub const FASHION_MNIST: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

const EMBEDDED_TRAIN: &[u8] = include_bytes!("../data/train-images-idx3-ubyte.gz");
const EMBEDDED_TRAIN_LABELS: &[u8] = include_bytes!("../data/train-labels-idx1-ubyte.gz");
const EMBEDDED_TEST: &[u8] = include_bytes!("../data/t10k-images-idx3-ubyte.gz");
const EMBEDDED_TEST_LABELS: &[u8] = include_bytes!("../data/t10k-labels-idx1-ubyte.gz");

/// Where the four parts of a data set lie; for embedded data, names that stand for them in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Training features.
    pub train: PathBuf,
    /// Training labels.
    pub train_labels: PathBuf,
    /// Test features.
    pub test: PathBuf,
    /// Test labels.
    pub test_labels: PathBuf,
}

/// Training and test samples with their labels, checked against each other.
#[derive(Debug, Clone)]
pub struct Source {
    /// Training samples.
    pub train: Features,
    /// One label per training sample, as the files have them.
    pub train_labels: Vec<u32>,
    /// Samples that are never trained on; the sidecar's probe.
    pub test: Features,
    /// One label per test sample.
    pub test_labels: Vec<u32>,
    /// Number of classes, by the largest training label.
    pub classes: usize,
    /// One name per class: those of Fashion-MNIST where the data is that, else the class numbers.
    pub class_names: Vec<String>,
    files: Files,
    embedded: bool,
    /// Training samples before any limit.
    available: usize,
}

impl Source {
    /// The subset of Fashion-MNIST that is built into this program: 10,000 training samples and
    /// 2,000 test samples.
    pub fn embedded() -> Result<Source, DataError> {
        let name = |file: &str| format!("embedded {file}");
        let (train, train_labels) = (name("train-images"), name("train-labels"));
        let (test, test_labels) = (name("t10k-images"), name("t10k-labels"));
        let parts = Parts {
            train: idx::features_from_bytes(&train, EMBEDDED_TRAIN)?,
            train_labels: idx::labels_from_bytes(&train_labels, EMBEDDED_TRAIN_LABELS)?,
            test: idx::features_from_bytes(&test, EMBEDDED_TEST)?,
            test_labels: idx::labels_from_bytes(&test_labels, EMBEDDED_TEST_LABELS)?,
        };
        let files = Files {
            train: PathBuf::from(train),
            train_labels: PathBuf::from(train_labels),
            test: PathBuf::from(test),
            test_labels: PathBuf::from(test_labels),
        };
        Source::checked(parts, files, true)
    }

    /// A directory with the four IDX files of a data set, plain or gzipped: `train-images-*` or
    /// `train-features-*`, `train-labels-*`, `t10k-images-*` or `t10k-features-*`, `t10k-labels-*`.
    pub fn open(dir: &Path) -> Result<Source, DataError> {
        let files = Files {
            train: idx::find(dir, TRAIN_FEATURES)?,
            train_labels: idx::find(dir, TRAIN_LABELS)?,
            test: idx::find(dir, TEST_FEATURES)?,
            test_labels: idx::find(dir, TEST_LABELS)?,
        };
        let parts = Parts {
            train: idx::read_features(&files.train)?,
            train_labels: idx::read_labels(&files.train_labels)?,
            test: idx::read_features(&files.test)?,
            test_labels: idx::read_labels(&files.test_labels)?,
        };
        Source::checked(parts, files, false)
    }

    fn checked(parts: Parts, files: Files, embedded: bool) -> Result<Source, DataError> {
        let classes = parts.check(&files)?;
        let class_names = if embedded || parts.is_fashion_mnist(classes)? {
            FASHION_MNIST.map(String::from).to_vec()
        } else {
            (0..classes).map(|class| class.to_string()).collect()
        };
        Ok(Source {
            available: parts.train.count(),
            train: parts.train,
            train_labels: parts.train_labels,
            test: parts.test,
            test_labels: parts.test_labels,
            classes,
            class_names,
            files,
            embedded,
        })
    }

    /// Training samples before any limit.
    pub fn available(&self) -> usize {
        self.available
    }

    /// Keeps the first `n` training samples; all of them where there are fewer.
    pub fn limit(&mut self, n: usize) -> Result<(), DataError> {
        if n == 0 {
            return Err(DataError::NoSamples);
        }
        if n < self.train.count() {
            self.train = first(&self.train, n)?;
            self.train_labels.truncate(n);
        }
        Ok(())
    }

    /// Reads the clean labels of the training set, of which those of a limited set are kept.
    pub fn truth(&self, path: &Path) -> Result<Vec<u32>, DataError> {
        let mut labels = idx::read_labels(path)?;
        let expected = self.available;
        self.check_count(&labels, expected, path)?;
        idx::check_labels(&labels, class_count(self.classes), path)?;
        labels.truncate(self.train.count());
        Ok(labels)
    }

    /// Writes what the sidecar reads into `dir`, as plain IDX files, and says where everything is.
    ///
    /// `given` are the labels that are trained on, with their noise. Files that the data was read
    /// from unchanged are not copied but named as they are. Their directory is refused.
    pub fn write_to(&self, dir: &Path, given: &[u32]) -> Result<Files, DataError> {
        fs::create_dir_all(dir).map_err(|source| DataError::Directory {
            path: dir.to_path_buf(),
            source,
        })?;
        let read_from = self.files.train_labels.parent();
        if !self.embedded && read_from.is_some_and(|source| same(source, dir)) {
            return Err(DataError::SameDirectory {
                path: dir.to_path_buf(),
            });
        }
        let mut files = self.files.clone();
        // Names that a search by the usual names finds as well, whatever the data is.
        files.train_labels = dir.join("train-labels.idx");
        self.check_count(given, self.train.count(), &files.train_labels)?;
        idx::write_labels(&files.train_labels, given, Packing::Plain)?;
        if self.embedded || self.train.count() < self.available {
            files.train = dir.join("train-features.idx");
            idx::write_features(&files.train, &self.train, Packing::Plain)?;
        }
        if self.embedded {
            files.test = dir.join("t10k-features.idx");
            files.test_labels = dir.join("t10k-labels.idx");
            idx::write_features(&files.test, &self.test, Packing::Plain)?;
            idx::write_labels(&files.test_labels, &self.test_labels, Packing::Plain)?;
        }
        Ok(files)
    }

    fn check_count(&self, labels: &[u32], expected: usize, path: &Path) -> Result<(), DataError> {
        if labels.len() == expected {
            return Ok(());
        }
        Err(DataError::LabelCount {
            path: path.to_path_buf(),
            expected,
            found: labels.len(),
        })
    }
}

/// Whether two paths lead to one directory; not if one of them leads nowhere.
fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
