//! Features: one array per sample, of bytes or of floats.

use std::path::{Path, PathBuf};

use crate::header::Element;
use crate::source::Source;
use crate::{IdxError, MAX_BYTES};

/// The values of all samples, one sample after the other.
///
/// ```
/// use mirrorwatch_idx::{Data, Features};
///
/// let pixels = Features::new(vec![2], Data::U8(vec![0, 51]))?;
/// let measured = Features::new(vec![2], Data::F32(vec![0.0, 51.0]))?;
/// assert_eq!(pixels.sample(0), Some(vec![0.0, 0.2]));
/// assert_eq!(measured.sample(0), Some(vec![0.0, 51.0]));
/// # Ok::<(), mirrorwatch_idx::IdxError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Bytes, as in images; read as 0 to 1.
    U8(Vec<u8>),
    /// Floats, taken as they are; all of them are finite.
    F32(Vec<f32>),
}

impl Data {
    /// Number of values.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_idx::Data::U8(vec![1, 2, 3]).len(), 3);
    /// ```
    pub fn len(&self) -> usize {
        match self {
            Data::U8(values) => values.len(),
            Data::F32(values) => values.len(),
        }
    }

    /// Whether there is no value.
    ///
    /// ```
    /// use mirrorwatch_idx::Data;
    ///
    /// assert!(Data::F32(Vec::new()).is_empty());
    /// assert!(!Data::U8(vec![0]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Samples of one shape; at least one.
///
/// ```
/// use mirrorwatch_idx::{Data, Features};
///
/// let images = Features::new(vec![2, 2], Data::U8(vec![0, 255, 0, 0, 255, 0, 0, 0]))?;
/// assert_eq!((images.count(), images.shape(), images.sample_len()), (2, &[2, 2][..], 4));
/// assert_eq!(images.sample(1), Some(vec![1.0, 0.0, 0.0, 0.0]));
/// # Ok::<(), mirrorwatch_idx::IdxError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    shape: Vec<usize>,
    count: usize,
    data: Data,
}

impl Features {
    /// Puts values and shape together.
    ///
    /// # Arguments
    ///
    /// * `shape` - shape of one sample, e.g. `[28, 28]`; empty if a sample is a single number.
    /// * `data` - the samples one after the other, row-major.
    ///
    /// # Errors
    ///
    /// [`IdxError::Shape`] if the values are not a whole number of samples, and
    /// [`IdxError::NotFinite`] if one is NaN or infinite.
    ///
    /// ```
    /// use mirrorwatch_idx::{Data, Features, IdxError};
    ///
    /// let rows = Features::new(vec![3], Data::F32(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))?;
    /// assert_eq!(rows.count(), 2);
    /// // Five values are no whole number of samples, and NaN is no feature.
    /// let cut = Features::new(vec![3], Data::F32(vec![1.0; 5]));
    /// assert!(matches!(cut, Err(IdxError::Shape { values: 5, .. })));
    /// let nan = Features::new(vec![2], Data::F32(vec![1.0, 2.0, 3.0, f32::NAN]));
    /// assert!(matches!(nan, Err(IdxError::NotFinite { sample: 1, position: 1, .. })));
    /// # Ok::<(), IdxError>(())
    /// ```
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self, IdxError> {
        let values = data.len();
        let sample_len = shape
            .iter()
            .try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        let count = match sample_len {
            Some(len) if len > 0 && values.is_multiple_of(len) => values / len,
            _ => 0,
        };
        if count == 0 {
            return Err(IdxError::Shape { shape, values });
        }
        if let Data::F32(floats) = &data {
            check_finite(floats, 0, values / count, Path::new("features in memory"))?;
        }
        Ok(Features { shape, count, data })
    }

    /// Shape of one sample, e.g. `[28, 28]` or `[256]`; empty if a sample is a single number.
    ///
    /// ```
    /// # use mirrorwatch_idx::{Data, Features};
    /// let images = Features::new(vec![28, 28], Data::U8(vec![0; 784]))?;
    /// assert_eq!(images.shape(), [28, 28]);
    /// # Ok::<(), mirrorwatch_idx::IdxError>(())
    /// ```
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of samples.
    ///
    /// ```
    /// # use mirrorwatch_idx::{Data, Features};
    /// let images = Features::new(vec![2, 2], Data::U8(vec![0; 12]))?;
    /// assert_eq!(images.count(), 3);
    /// # Ok::<(), mirrorwatch_idx::IdxError>(())
    /// ```
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of values in one sample: the product of its shape.
    ///
    /// ```
    /// # use mirrorwatch_idx::{Data, Features};
    /// let images = Features::new(vec![2, 2], Data::U8(vec![0; 12]))?;
    /// assert_eq!(images.sample_len(), 4);
    /// # Ok::<(), mirrorwatch_idx::IdxError>(())
    /// ```
    pub fn sample_len(&self) -> usize {
        self.data.len() / self.count
    }

    /// The values of all samples as they were stored.
    ///
    /// ```
    /// # use mirrorwatch_idx::{Data, Features};
    /// let images = Features::new(vec![2], Data::U8(vec![0, 255]))?;
    /// // Not scaled.
    /// assert_eq!(images.data(), &Data::U8(vec![0, 255]));
    /// # Ok::<(), mirrorwatch_idx::IdxError>(())
    /// ```
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Appends the values of one sample to a buffer, bytes scaled to 0 to 1.
    ///
    /// Returns `false`, and leaves the buffer alone, if there is no such sample.
    ///
    /// ```
    /// # use mirrorwatch_idx::{Data, Features};
    /// let images = Features::new(vec![2], Data::U8(vec![0, 255, 255, 255]))?;
    /// let mut batch = Vec::new();
    /// for index in [1, 0] {
    ///     assert!(images.append_sample(index, &mut batch));
    /// }
    /// assert_eq!(batch, [1.0, 1.0, 0.0, 1.0]);
    /// assert!(!images.append_sample(2, &mut batch));
    /// # Ok::<(), mirrorwatch_idx::IdxError>(())
    /// ```
    pub fn append_sample(&self, index: usize, out: &mut Vec<f32>) -> bool {
        if index >= self.count {
            return false;
        }
        let len = self.sample_len();
        let range = index * len..(index + 1) * len;
        match &self.data {
            Data::U8(values) => out.extend(values[range].iter().map(|v| f32::from(*v) / 255.0)),
            Data::F32(values) => out.extend_from_slice(&values[range]),
        }
        true
    }

    /// The values of one sample, bytes scaled to 0 to 1; `None` if there is no such sample.
    ///
    /// ```
    /// # use mirrorwatch_idx::{Data, Features};
    /// let images = Features::new(vec![2], Data::U8(vec![0, 255]))?;
    /// assert_eq!(images.sample(0), Some(vec![0.0, 1.0]));
    /// assert_eq!(images.sample(1), None);
    /// # Ok::<(), mirrorwatch_idx::IdxError>(())
    /// ```
    pub fn sample(&self, index: usize) -> Option<Vec<f32>> {
        let mut out = Vec::with_capacity(self.sample_len());
        self.append_sample(index, &mut out).then_some(out)
    }
}

/// Reads features of at most [`MAX_BYTES`].
///
/// # Errors
///
/// One sentence on what is wrong with the file: see [`IdxError`].
///
/// ```
/// use mirrorwatch_idx::{Data, Features, Packing, read_features, write_features};
///
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("train-features.gz");
/// let measured = Features::new(vec![3], Data::F32(vec![0.5, -1.0, 2.0]))?;
/// write_features(&path, &measured, Packing::Gzip)?;
/// assert_eq!(read_features(&path)?, measured);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_features(path: impl AsRef<Path>) -> Result<Features, IdxError> {
    read_features_limited(path, MAX_BYTES)
}

/// Reads features whose values take at most `max_bytes`.
///
/// # Errors
///
/// One sentence on what is wrong with the file: see [`IdxError`].
///
/// ```
/// use mirrorwatch_idx::{Data, Features, IdxError, Packing};
///
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("train-images");
/// let images = Features::new(vec![28, 28], Data::U8(vec![0; 784]))?;
/// mirrorwatch_idx::write_features(&path, &images, Packing::Plain)?;
/// let refused = mirrorwatch_idx::read_features_limited(&path, 500);
/// assert!(matches!(refused, Err(IdxError::TooLarge { limit: 500, .. })));
/// assert_eq!(mirrorwatch_idx::read_features_limited(&path, 784)?, images);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_features_limited(path: impl AsRef<Path>, max_bytes: u64) -> Result<Features, IdxError> {
    read(Source::open(path.as_ref())?, max_bytes)
}

/// Reads features from memory, e.g. from `include_bytes!`; `name` stands for the path in messages.
///
/// # Errors
///
/// One sentence on what is wrong with the bytes: see [`IdxError`].
///
/// ```
/// // Unsigned bytes (8) in two dimensions: one sample of three.
/// let file = [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 255];
/// let features = mirrorwatch_idx::features_from_bytes("three pixels", &file)?;
/// assert_eq!(features.sample(0), Some(vec![0.0, 0.0, 1.0]));
/// # Ok::<(), mirrorwatch_idx::IdxError>(())
/// ```
pub fn features_from_bytes(name: &str, bytes: &[u8]) -> Result<Features, IdxError> {
    read(Source::bytes(name, bytes)?, MAX_BYTES)
}

fn read(mut source: Source<'_>, limit: u64) -> Result<Features, IdxError> {
    let header = source.header(
        &[Element::U8, Element::F32],
        "unsigned bytes (0x08) or 32-bit floats (0x0d)",
        limit,
    )?;
    let count = header.dims[0];
    let capacity = if header.sized { header.values } else { 0 };
    let data = if header.element == Element::U8 {
        let mut values = Vec::with_capacity(capacity);
        source.elements(&header, |chunk| {
            values.extend_from_slice(chunk);
            Ok(())
        })?;
        Data::U8(values)
    } else {
        let path: PathBuf = source.path();
        let sample_len = header.values / count;
        let mut values: Vec<f32> = Vec::with_capacity(capacity);
        source.elements(&header, |chunk| {
            let start = values.len();
            for bytes in chunk.chunks_exact(4) {
                values.push(f32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            }
            check_finite(&values[start..], start, sample_len, &path)
        })?;
        Data::F32(values)
    };
    Ok(Features {
        shape: header.dims[1..].to_vec(),
        count,
        data,
    })
}

/// Names the first value that is not finite; `start` is the position of `values` in the file.
fn check_finite(
    values: &[f32],
    start: usize,
    sample_len: usize,
    path: &Path,
) -> Result<(), IdxError> {
    for (i, value) in values.iter().enumerate() {
        if !value.is_finite() {
            return Err(IdxError::NotFinite {
                path: path.to_path_buf(),
                sample: (start + i) / sample_len,
                position: (start + i) % sample_len,
                value: *value,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_scaled_and_floats_are_not() {
        let bytes = Features::new(vec![2], Data::U8(vec![0, 255, 51, 102])).unwrap();
        assert_eq!(bytes.count(), 2);
        assert_eq!(bytes.sample(1).unwrap(), vec![0.2, 0.4]);
        let floats = Features::new(vec![1, 2], Data::F32(vec![-3.0, 255.0])).unwrap();
        assert_eq!(floats.sample(0).unwrap(), vec![-3.0, 255.0]);
        assert_eq!(floats.shape(), [1, 2]);
    }

    #[test]
    fn a_sample_that_is_not_there_leaves_the_buffer_alone() {
        let features = Features::new(vec![], Data::U8(vec![1, 2])).unwrap();
        let mut out = vec![7.0];
        assert!(!features.append_sample(2, &mut out));
        assert_eq!(out, [7.0]);
        assert!(features.append_sample(0, &mut out));
        assert_eq!(out.len(), 2);
        assert_eq!(features.sample(9), None);
    }

    #[test]
    fn values_that_are_not_whole_samples_are_refused() {
        for (shape, values) in [
            (vec![3], 4),
            (vec![0], 4),
            (vec![2], 0),
            (vec![usize::MAX, 2], 4),
        ] {
            let result = Features::new(shape, Data::U8(vec![0; values]));
            assert!(matches!(result, Err(IdxError::Shape { .. })));
        }
    }

    #[test]
    fn a_nan_is_named_by_sample_and_position() {
        // Far enough in to lie in a later chunk.
        let mut bytes = vec![0, 0, 0x0d, 2, 0, 0, 0x80, 0, 0, 0, 0, 3];
        for i in 0..0x8000 * 3 {
            let value: f32 = if i == 20_000 * 3 + 1 { f32::NAN } else { 0.5 };
            bytes.extend(value.to_be_bytes());
        }
        let error = features_from_bytes("x", &bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x: value 1 of sample 20000 is NaN: remove the sample or repair its features"
        );
        let infinite = Features::new(vec![2], Data::F32(vec![0.0, 0.0, 0.0, f32::INFINITY]));
        assert!(matches!(
            infinite,
            Err(IdxError::NotFinite {
                sample: 1,
                position: 1,
                ..
            })
        ));
    }
}
