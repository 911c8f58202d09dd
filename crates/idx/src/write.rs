//! Writes IDX files: under a temporary name first, so that no reader meets half a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::write::GzEncoder;

use crate::header::Element;
use crate::{Data, Features, IdxError};

/// How a file is stored.
///
/// ```
/// use mirrorwatch_idx::{Packing, write_labels};
///
/// # let dir = tempfile::tempdir()?;
/// let [plain, gzip] = ["train-labels", "train-labels.gz"].map(|name| dir.path().join(name));
/// write_labels(&plain, &[7; 1000], Packing::Plain)?;
/// write_labels(&gzip, &[7; 1000], Packing::Gzip)?;
/// assert_eq!(plain.metadata()?.len(), 1008);
/// assert!(gzip.metadata()?.len() < 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// As it is.
    #[default]
    Plain,
    /// Gzipped; the same values give the same bytes at any time.
    Gzip,
}

/// Writes features; an existing file is replaced in one step.
///
/// # Errors
///
/// [`IdxError::Unwritable`], and [`IdxError::Shape`] where a dimension does not fit the format (32
/// bits each, at most 254 per sample).
///
/// ```
/// use mirrorwatch_idx::{Data, Features, Packing, write_features};
///
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("train-images");
/// let images = Features::new(vec![2, 2], Data::U8(vec![0, 85, 170, 255]))?;
/// write_features(&path, &images, Packing::Plain)?;
/// // The magic with three dimensions, the dimensions 1 × 2 × 2, the values.
/// let header = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2];
/// assert_eq!(std::fs::read(&path)?, [&header[..], &[0, 85, 170, 255]].concat());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_features(
    path: impl AsRef<Path>,
    features: &Features,
    packing: Packing,
) -> Result<(), IdxError> {
    let mut dims = vec![features.count()];
    dims.extend_from_slice(features.shape());
    let element = match features.data() {
        Data::U8(_) => Element::U8,
        Data::F32(_) => Element::F32,
    };
    let Some(header) = header(element, &dims) else {
        return Err(IdxError::Shape {
            shape: features.shape().to_vec(),
            values: features.data().len(),
        });
    };
    write(path.as_ref(), packing, |out| {
        out.write_all(&header)?;
        match features.data() {
            Data::U8(values) => out.write_all(values)?,
            Data::F32(values) => {
                for value in values {
                    out.write_all(&value.to_be_bytes())?;
                }
            }
        }
        Ok(())
    })
}

/// Writes labels in the narrowest type that holds all of them: bytes, 16-bit or 32-bit integers.
///
/// # Errors
///
/// [`IdxError::Unwritable`]; [`IdxError::LabelValue`] for a label above 2147483647, the largest the
/// format holds; [`IdxError::Shape`] if there are no labels, or more than 4294967295.
///
/// ```
/// use mirrorwatch_idx::{IdxError, Packing, read_labels, write_labels};
///
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("train-labels");
/// write_labels(&path, &[3, 70_000], Packing::Plain)?;
/// assert_eq!(read_labels(&path)?, [3, 70_000]);
/// let refused = write_labels(&path, &[u32::MAX], Packing::Plain);
/// assert!(matches!(refused, Err(IdxError::LabelValue { index: 0, .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_labels(
    path: impl AsRef<Path>,
    labels: &[u32],
    packing: Packing,
) -> Result<(), IdxError> {
    let path = path.as_ref();
    let mut largest = 0;
    for (index, label) in labels.iter().enumerate() {
        if i32::try_from(*label).is_err() {
            return Err(IdxError::LabelValue {
                path: path.to_path_buf(),
                index,
                value: i64::from(*label),
            });
        }
        largest = largest.max(*label);
    }
    let element = match largest {
        0..=0xff => Element::U8,
        0x100..=0x7fff => Element::I16,
        _ => Element::I32,
    };
    let header = match header(element, &[labels.len()]) {
        Some(header) if !labels.is_empty() => header,
        _ => {
            return Err(IdxError::Shape {
                shape: Vec::new(),
                values: labels.len(),
            });
        }
    };
    write(path, packing, |out| {
        out.write_all(&header)?;
        for label in labels {
            let bytes = label.to_be_bytes();
            match element {
                Element::U8 => out.write_all(&bytes[3..])?,
                Element::I16 => out.write_all(&bytes[2..])?,
                Element::I32 | Element::F32 => out.write_all(&bytes)?,
            }
        }
        Ok(())
    })
}

/// The header, or `None` where the format cannot express the dimensions.
fn header(element: Element, dims: &[usize]) -> Option<Vec<u8>> {
    let mut bytes = vec![0, 0, element.byte(), u8::try_from(dims.len()).ok()?];
    for dim in dims {
        bytes.extend(u32::try_from(*dim).ok()?.to_be_bytes());
    }
    Some(bytes)
}

/// Temporary, then fsync, then rename; the temporary does not survive a failure.
fn write(
    path: &Path,
    packing: Packing,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), IdxError> {
    let unwritable = |source| IdxError::Unwritable {
        path: path.to_path_buf(),
        source,
    };
    let temporary = temporary(path).map_err(unwritable)?;
    let written = write_through(&temporary, packing, fill)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_parent(path));
    if written.is_err() {
        // The first failure is the one to report; after a rename there is nothing left to remove.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(unwritable)
}

fn write_through(
    temporary: &Path,
    packing: Packing,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(temporary)?);
    match packing {
        Packing::Plain => fill(&mut out)?,
        Packing::Gzip => {
            let mut gz = GzEncoder::new(&mut out, flate2::Compression::default());
            fill(&mut gz)?;
            gz.finish()?;
        }
    }
    out.flush()?;
    out.get_ref().sync_all()
}

/// A hidden name beside `path` that no other running writer uses. One that a killed process left
/// behind is overwritten.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a file name",
        ));
    };
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = name.to_string_lossy();
    Ok(path.with_file_name(format!(".{name}.{}-{n}.tmp", std::process::id())))
}

/// Makes the rename last through a power cut. Other systems than Unix do not open directories.
fn sync_parent(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read_features, read_labels};

    #[test]
    fn labels_take_the_narrowest_type() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        for (labels, byte) in [
            (vec![0, 255], 0x08),
            (vec![0, 256], 0x0b),
            (vec![32_768], 0x0c),
            (vec![i32::MAX as u32], 0x0c),
        ] {
            write_labels(&path, &labels, Packing::Plain).unwrap();
            assert_eq!(fs::read(&path).unwrap()[2], byte);
            assert_eq!(read_labels(&path).unwrap(), labels);
        }
    }

    #[test]
    fn labels_that_the_format_does_not_hold_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let error = write_labels(&path, &[1, u32::MAX], Packing::Plain).unwrap_err();
        assert!(matches!(error, IdxError::LabelValue { index: 1, .. }));
        let error = write_labels(&path, &[], Packing::Plain).unwrap_err();
        assert!(matches!(error, IdxError::Shape { .. }));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let first = Features::new(vec![2, 2], Data::F32(vec![0.5; 8])).unwrap();
        let second = Features::new(vec![3], Data::U8(vec![1; 3])).unwrap();
        write_features(&path, &first, Packing::Gzip).unwrap();
        assert_eq!(fs::read(&path).unwrap()[..2], [0x1f, 0x8b]);
        assert_eq!(read_features(&path).unwrap(), first);
        write_features(&path, &second, Packing::Plain).unwrap();
        assert_eq!(read_features(&path).unwrap(), second);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"x").unwrap();
        let path = file.join("l");
        let error = write_labels(&path, &[1], Packing::Plain).unwrap_err();
        let start = format!("cannot write {}: ", path.display());
        assert!(error.to_string().starts_with(&start), "{error}");
    }
}
