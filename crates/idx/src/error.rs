//! What can be wrong with an IDX file.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why an IDX file, or a directory of them, cannot be used.
///
/// Every message is one sentence that names the file and says what to do about it.
///
/// ```
/// use mirrorwatch_idx::{IdxError, labels_from_bytes};
///
/// // Two labels are promised, one is there.
/// let short = labels_from_bytes("train-labels", &[0, 0, 8, 1, 0, 0, 0, 2, 7]);
/// assert!(matches!(short, Err(IdxError::Truncated { expected: 10, found: 9, .. })));
/// let text = labels_from_bytes("train-labels", b"label");
/// assert!(matches!(&text, Err(IdxError::WrongMagic { bytes, .. }) if bytes == "6c 61 62 65"));
/// assert!(text.is_err_and(|error| error.to_string().starts_with("train-labels starts with")));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdxError {
    /// There is no such file.
    #[error("{} does not exist: check the path, or download the file", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refuses to read the file or directory.
    #[error("cannot read {}: {source}; check its permissions and the disk", .path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file has no bytes at all.
    #[error("{} is empty: copy or download it again", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The first bytes are not those of an IDX file.
    #[error("{} starts with the bytes {bytes} where an IDX file starts with 00 00: is this really an IDX file?", .path.display())]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// Up to four bytes in hexadecimal.
        bytes: String,
    },
    /// The element type is not one that is read here.
    #[error("{} holds elements of type 0x{found:02x} ({}): convert them to {allowed}", .path.display(), type_name(*.found))]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The type byte of its header.
        found: u8,
        /// The types that would be read.
        allowed: &'static str,
    },
    /// The header declares no dimensions.
    #[error("{} declares no dimensions at all: write it again with the number of samples as its first dimension", .path.display())]
    RankZero {
        /// The file.
        path: PathBuf,
    },
    /// Labels are a plain list, the file is not.
    #[error("{} has {rank} dimensions where labels have one: were the label and the feature file swapped?", .path.display())]
    LabelRank {
        /// The file.
        path: PathBuf,
        /// How many dimensions its header declares.
        rank: usize,
    },
    /// One of the dimensions is 0.
    #[error("{} declares the shape {shape:?}, which holds no values: write it again with at least one sample", .path.display())]
    NoValues {
        /// The file.
        path: PathBuf,
        /// All dimensions, samples first.
        shape: Vec<u32>,
    },
    /// The declared size is above the cap, or not even a number.
    #[error("{} declares the shape {shape:?}, which takes more than the {limit} bytes allowed: split the file, or raise the limit if the shape is right", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// All dimensions, samples first.
        shape: Vec<u32>,
        /// The cap on the values, in bytes.
        limit: u64,
    },
    /// The file ends before its header says that it does.
    #[error("{} is truncated: expected {expected} bytes, found {found}; copy or download it again", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the header promises, header included, after decompression. At least this
        /// many where the header itself is cut.
        expected: u64,
        /// Bytes that are there, after decompression.
        found: u64,
    },
    /// The file continues after its last value.
    #[error("{} continues after the {expected} bytes that its header promises: its shape or its contents are wrong, write or download it again", .path.display())]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Bytes that the header promises, header included, after decompression.
        expected: u64,
    },
    /// The file is gzipped and does not decompress.
    #[error("{} is damaged, it does not decompress ({source}): copy or download it again", .path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        source: io::Error,
    },
    /// A feature is NaN or infinite.
    #[error("{}: value {position} of sample {sample} is {value}: remove the sample or repair its features", .path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Index of the sample, from 0.
        sample: usize,
        /// Index of the value in the sample, from 0.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A label is below 0 or does not fit the file format.
    #[error("{}: label {index} is {value}: labels count from 0 to at most 2147483647", .path.display())]
    LabelValue {
        /// The file.
        path: PathBuf,
        /// Index of the label, from 0.
        index: usize,
        /// The label.
        value: i64,
    },
    /// A label names a class that does not exist.
    #[error("{}: label {index} is {value} where {classes} classes count from 0 to {}: correct the label or the number of classes", .path.display(), i64::from(*.classes) - 1)]
    LabelRange {
        /// The file.
        path: PathBuf,
        /// Index of the label, from 0.
        index: usize,
        /// The label.
        value: u32,
        /// Number of classes.
        classes: u32,
    },
    /// The features and the labels do not belong together.
    #[error("{} holds {features} samples and {} holds {labels} labels: use two files of the same data set", .features_path.display(), .labels_path.display())]
    Count {
        /// The feature file.
        features_path: PathBuf,
        /// Number of samples in it.
        features: usize,
        /// The label file.
        labels_path: PathBuf,
        /// Number of labels in it.
        labels: usize,
    },
    /// A directory lacks a file.
    #[error("{} holds no file named {wanted} (it holds {present}): put the file there, plain or gzipped, or choose another directory", .dir.display())]
    NotFound {
        /// The directory.
        dir: PathBuf,
        /// The names that were looked for.
        wanted: String,
        /// What is in the directory.
        present: String,
    },
    /// A directory holds more than one file that would do.
    #[error("{} holds more than one file named {wanted} ({matches}): keep one of them", .dir.display())]
    Ambiguous {
        /// The directory.
        dir: PathBuf,
        /// The names that were looked for.
        wanted: String,
        /// The files that match.
        matches: String,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}; check the directory, its permissions and the free space", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Values and shape do not fit each other.
    #[error(
        "{values} values cannot be divided into samples of the shape {shape:?}: give whole samples, and at least one"
    )]
    Shape {
        /// Shape of one sample.
        shape: Vec<usize>,
        /// Number of values.
        values: usize,
    },
}

/// What a type byte means, for people.
fn type_name(byte: u8) -> &'static str {
    match byte {
        0x08 => "unsigned bytes",
        0x09 => "signed bytes",
        0x0b => "16-bit integers",
        0x0c => "32-bit integers",
        0x0d => "32-bit floats",
        0x0e => "64-bit floats",
        _ => "no type of the IDX format",
    }
}
