//! Reads and writes IDX files, the format of the MNIST family: images, feature vectors and labels,
//! plain or gzipped.
//!
//! An IDX file is a four-byte magic (two zeros, the element type, the number of dimensions), each
//! dimension as a big-endian 32-bit number, and the values. Features are bytes or 32-bit floats of any
//! shape; labels are bytes or 16- or 32-bit integers. Whether a file is gzipped is decided by
//! its first bytes, not by its name.
//!
//! The files come from elsewhere, so nothing in them is believed before it is checked: sizes are
//! multiplied without overflow, held against a cap and against the file's length before memory is
//! taken, and a gzipped file is never decompressed past the size it declares.
//!
//! ```
//! use mirrorwatch_idx::{Data, Features, Packing, TRAIN_FEATURES, TRAIN_LABELS};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let images = Features::new(vec![2, 2], Data::U8(vec![0, 255, 0, 0, 255, 0, 0, 0]))?;
//! mirrorwatch_idx::write_features(
//!     dir.path().join("train-images-idx3-ubyte.gz"),
//!     &images,
//!     Packing::Gzip,
//! )?;
//! mirrorwatch_idx::write_labels(
//!     dir.path().join("train-labels-idx1-ubyte"),
//!     &[1, 0],
//!     Packing::Plain,
//! )?;
//!
//! let features_path = mirrorwatch_idx::find(dir.path(), TRAIN_FEATURES)?;
//! let labels_path = mirrorwatch_idx::find(dir.path(), TRAIN_LABELS)?;
//! let features = mirrorwatch_idx::read_features(&features_path)?;
//! let labels = mirrorwatch_idx::read_labels(&labels_path)?;
//! mirrorwatch_idx::check_counts(&features, &features_path, &labels, &labels_path)?;
//! mirrorwatch_idx::check_labels(&labels, 2, &labels_path)?;
//! assert_eq!(features.shape(), [2, 2]);
//! assert_eq!(features.sample(0), Some(vec![0.0, 1.0, 0.0, 0.0]));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod features;
mod find;
mod header;
mod labels;
mod source;
mod write;

pub use error::IdxError;
pub use features::{Data, Features, features_from_bytes, read_features, read_features_limited};
pub use find::{TEST_FEATURES, TEST_LABELS, TRAIN_FEATURES, TRAIN_LABELS, find};
pub use labels::{check_counts, check_labels, labels_from_bytes, read_labels};
pub use write::{Packing, write_features, write_labels};

/// The largest size of a file's values that is read without being asked for more: 8 GiB.
pub const MAX_BYTES: u64 = 8 << 30;
