//! Labels: one class number per sample.

use std::path::Path;

use crate::header::Element;
use crate::source::Source;
use crate::{Features, IdxError, MAX_BYTES};

/// Reads labels of at most [`MAX_BYTES`], stored as bytes or as 16- or 32-bit integers.
///
/// # Errors
///
/// One sentence on what is wrong with the file: see [`IdxError`].
///
/// ```
/// use mirrorwatch_idx::{IdxError, read_labels};
///
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("train-labels-idx1-ubyte");
/// assert!(matches!(read_labels(&path), Err(IdxError::Missing { .. })));
/// std::fs::write(&path, [0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4])?;
/// assert_eq!(read_labels(&path)?, [5, 0, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_labels(path: impl AsRef<Path>) -> Result<Vec<u32>, IdxError> {
    read(Source::open(path.as_ref())?)
}

/// Reads labels from memory, e.g. from `include_bytes!`; `name` stands for the path in messages.
///
/// # Errors
///
/// One sentence on what is wrong with the bytes: see [`IdxError`].
///
/// ```
/// // 16-bit integers (0x0b) in one dimension of two.
/// let file = [0, 0, 0x0b, 1, 0, 0, 0, 2, 0, 9, 1, 0];
/// assert_eq!(mirrorwatch_idx::labels_from_bytes("two labels", &file)?, [9, 256]);
/// # Ok::<(), mirrorwatch_idx::IdxError>(())
/// ```
pub fn labels_from_bytes(name: &str, bytes: &[u8]) -> Result<Vec<u32>, IdxError> {
    read(Source::bytes(name, bytes)?)
}

fn read(mut source: Source<'_>) -> Result<Vec<u32>, IdxError> {
    let header = source.header(
        &[Element::U8, Element::I16, Element::I32],
        "unsigned bytes (0x08), or 16-bit (0x0b) or 32-bit integers (0x0c)",
        MAX_BYTES,
    )?;
    let path = source.path();
    if header.dims.len() != 1 {
        let rank = header.dims.len();
        return Err(IdxError::LabelRank { path, rank });
    }
    let mut labels = Vec::with_capacity(if header.sized { header.values } else { 0 });
    source.elements(&header, |chunk| {
        let mut push = |value: i64| match u32::try_from(value) {
            Ok(label) => {
                labels.push(label);
                Ok(())
            }
            Err(_) => Err(IdxError::LabelValue {
                path: path.clone(),
                index: labels.len(),
                value,
            }),
        };
        match header.element {
            Element::I16 => {
                for bytes in chunk.chunks_exact(2) {
                    push(i64::from(i16::from_be_bytes([bytes[0], bytes[1]])))?;
                }
            }
            Element::I32 => {
                for bytes in chunk.chunks_exact(4) {
                    let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
                    push(i64::from(i32::from_be_bytes(bytes)))?;
                }
            }
            Element::U8 | Element::F32 => {
                for byte in chunk {
                    push(i64::from(*byte))?;
                }
            }
        }
        Ok(())
    })?;
    Ok(labels)
}

/// Makes sure that every label names one of the classes, which count from 0.
///
/// # Errors
///
/// [`IdxError::LabelRange`] names the first label that does not.
///
/// ```
/// use mirrorwatch_idx::{IdxError, check_labels};
///
/// check_labels(&[0, 9, 3], 10, "train-labels")?;
/// let refused = check_labels(&[0, 9, 3], 9, "train-labels");
/// assert!(matches!(refused, Err(IdxError::LabelRange { index: 1, value: 9, .. })));
/// # Ok::<(), IdxError>(())
/// ```
pub fn check_labels(labels: &[u32], classes: u32, path: impl AsRef<Path>) -> Result<(), IdxError> {
    for (index, value) in labels.iter().enumerate() {
        if *value >= classes {
            return Err(IdxError::LabelRange {
                path: path.as_ref().to_path_buf(),
                index,
                value: *value,
                classes,
            });
        }
    }
    Ok(())
}

/// Makes sure that there is one label for every sample.
///
/// # Errors
///
/// [`IdxError::Count`] names both files and both counts.
///
/// ```
/// use mirrorwatch_idx::{Data, Features, IdxError, check_counts};
///
/// let images = Features::new(vec![2], Data::U8(vec![0; 6]))?;
/// check_counts(&images, "train-images", &[0, 1, 1], "train-labels")?;
/// let refused = check_counts(&images, "train-images", &[0, 1], "t10k-labels");
/// assert!(matches!(refused, Err(IdxError::Count { features: 3, labels: 2, .. })));
/// # Ok::<(), IdxError>(())
/// ```
pub fn check_counts(
    features: &Features,
    features_path: impl AsRef<Path>,
    labels: &[u32],
    labels_path: impl AsRef<Path>,
) -> Result<(), IdxError> {
    if features.count() == labels.len() {
        return Ok(());
    }
    Err(IdxError::Count {
        features_path: features_path.as_ref().to_path_buf(),
        features: features.count(),
        labels_path: labels_path.as_ref().to_path_buf(),
        labels: labels.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Data;

    #[test]
    fn labels_may_be_wider_than_a_byte() {
        let bytes = [0, 0, 8, 1, 0, 0, 0, 2, 9, 255];
        assert_eq!(labels_from_bytes("u8", &bytes).unwrap(), [9, 255]);
        let bytes = [0, 0, 0x0b, 1, 0, 0, 0, 2, 1, 0, 0x7f, 0xff];
        assert_eq!(labels_from_bytes("i16", &bytes).unwrap(), [256, 32767]);
        let bytes = [0, 0, 0x0c, 1, 0, 0, 0, 1, 0, 1, 0, 0];
        assert_eq!(labels_from_bytes("i32", &bytes).unwrap(), [65536]);
    }

    #[test]
    fn a_negative_label_is_named() {
        let bytes = [0, 0, 0x0b, 1, 0, 0, 0, 2, 0, 3, 0xff, 0xff];
        let error = labels_from_bytes("l", &bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "l: label 1 is -1: labels count from 0 to at most 2147483647"
        );
    }

    #[test]
    fn swapped_files_are_recognised() {
        let images = [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 1, 7];
        let error = labels_from_bytes("images", &images).unwrap_err();
        assert!(matches!(error, IdxError::LabelRank { rank: 2, .. }));
        let floats = [0, 0, 0x0d, 1, 0, 0, 0, 1, 0, 0, 0, 0];
        let error = labels_from_bytes("floats", &floats).unwrap_err();
        assert!(matches!(error, IdxError::ElementType { found: 0x0d, .. }));
    }

    #[test]
    fn a_label_out_of_range_is_named() {
        assert!(check_labels(&[0, 9], 10, "l").is_ok());
        let error = check_labels(&[0, 9, 10], 10, "dir/l").unwrap_err();
        assert_eq!(
            error.to_string(),
            "dir/l: label 2 is 10 where 10 classes count from 0 to 9: correct the label or the number of classes"
        );
    }

    #[test]
    fn counts_that_differ_name_both_files() {
        let features = Features::new(vec![1], Data::U8(vec![1, 2, 3])).unwrap();
        assert!(check_counts(&features, "f", &[0; 3], "l").is_ok());
        let error = check_counts(&features, "f", &[0; 2], "l").unwrap_err();
        assert_eq!(
            error.to_string(),
            "f holds 3 samples and l holds 2 labels: use two files of the same data set"
        );
    }
}
