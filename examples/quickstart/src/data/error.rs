//! What can be wrong with a data set.

use std::io;
use std::path::PathBuf;

use mirrorwatch_idx::IdxError;
use thiserror::Error;

/// Why there are no samples to train on.
#[derive(Debug, Error)]
pub enum DataError {
    /// A file is missing, damaged, or does not fit its neighbour.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// One model cannot take both sets.
    #[error("{} holds samples of the shape {train_shape:?} and {} samples of the shape {test_shape:?}: use two files of the same data set", .train.display(), .test.display())]
    Shapes {
        /// The training features.
        train: PathBuf,
        /// Shape of one training sample.
        train_shape: Vec<usize>,
        /// The test features.
        test: PathBuf,
        /// Shape of one test sample.
        test_shape: Vec<usize>,
    },
    /// All labels are equal: nothing to learn.
    #[error("{} holds labels of one class only: use labels of two classes or more", .path.display())]
    OneClass {
        /// The training labels.
        path: PathBuf,
    },
    /// Labels that are no class numbers would make a model of absurd size.
    #[error("{} holds {labels} labels that count up to {largest}: number the classes from 0 without gaps", .path.display())]
    Sparse {
        /// The training labels.
        path: PathBuf,
        /// How many labels there are.
        labels: usize,
        /// The largest of them.
        largest: u32,
    },
    /// No samples were asked for.
    #[error("cannot train on 0 samples: ask for at least 1, or for no limit")]
    NoSamples,
    /// Labels that belong to another number of samples.
    #[error("{} holds {found} labels for {expected} training samples: use the labels of the same training set", .path.display())]
    LabelCount {
        /// The label file, read or to be written.
        path: PathBuf,
        /// How many labels there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// What would be written could replace what was read.
    #[error("{} is the directory that the data is read from: choose another one to write to", .path.display())]
    SameDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The directory for the sidecar's files cannot be made.
    #[error("cannot create the directory {}: {source}; check the path and its permissions", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
