//! Outputs and labels of a cell as NumPy files, for other programs.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use mirrorwatch_checkpoint::write_atomic;
use mirrorwatch_influence::{Set, SweepOptions, sweep};

use crate::methods::{FOLDS, Trained};
use crate::record::FORMAT;

/// Written last: whoever finds it finds the rest.
const LAST: &str = "cell.json";

/// Whether `directory` holds a complete export of this format.
pub fn is_complete(directory: &Path) -> bool {
    std::fs::read_to_string(directory.join(LAST))
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .is_some_and(|cell| cell["format"] == FORMAT)
}

/// Writes the given labels, the truth, which samples are trusted, the out-of-sample probabilities, the
/// logits of the training at each phase, and the margins at each scanned checkpoint.
///
/// # Errors
///
/// Outputs that are not finite, or a file that cannot be written.
pub fn write(directory: &Path, trained: &Trained<'_>) -> Result<(), String> {
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    // While files are replaced, there is no complete export; it need not have been there.
    let _ = std::fs::remove_file(directory.join(LAST));
    let setup = trained.setup;
    let labels = &setup.labels;
    let put = |name: &str, bytes: Vec<u8>| {
        write_atomic(directory.join(name), &bytes).map_err(|error| error.to_string())
    };
    let mut trusted = vec![0usize; labels.train.len()];
    for &sample in &labels.trusted {
        trusted[sample] = 1;
    }
    put("given.npy", integers(&labels.train))?;
    put("truth.npy", integers(&setup.truth))?;
    put("trusted.npy", integers(&trusted))?;
    let probabilities = &trained.out_of_sample.probabilities;
    put("out_of_sample.npy", floats(probabilities, labels.classes))?;
    let everything: Vec<usize> = (0..labels.train.len()).collect();
    for (phase, _, model) in &trained.models {
        let outputs = sweep(
            &setup.task,
            model,
            Set::Training,
            &everything,
            &labels.train,
            &SweepOptions {
                device: &Device::flex(),
                batch_size: 500,
                progress: &|_| (),
                cancel: &AtomicBool::new(false),
            },
        )
        .map_err(|error| error.to_string())?;
        let name = format!("logits_{}.npy", phase.name());
        put(&name, floats(&outputs.logits, labels.classes))?;
    }
    let (mut epochs, mut margins) = (Vec::new(), Vec::new());
    for (epoch, of_epoch) in trained.margins {
        epochs.push(*epoch);
        margins.extend_from_slice(of_epoch);
    }
    put("epochs.npy", integers(&epochs))?;
    put("margins.npy", floats(&margins, labels.train.len()))?;
    let mut phases = serde_json::Map::new();
    for (phase, epoch, _) in &trained.models {
        phases.insert(phase.name().to_string(), (*epoch).into());
    }
    let cell = serde_json::json!({
        "format": FORMAT,
        "settings": trained.settings,
        "folds": FOLDS,
        "phases": phases,
    });
    put(LAST, cell.to_string().into_bytes())
}

/// Rows of `width` floats.
fn floats(values: &[f32], width: usize) -> Vec<u8> {
    let rows = values.len() / width.max(1);
    let mut bytes = header("<f4", &format!("({rows}, {width})"));
    for value in values {
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

fn integers(values: &[usize]) -> Vec<u8> {
    let mut bytes = header("<i8", &format!("({},)", values.len()));
    for value in values {
        bytes.extend((*value as i64).to_le_bytes());
    }
    bytes
}

/// The header of the NPY format, version 1.0, padded so that the values start at a multiple of 64.
fn header(kind: &str, shape: &str) -> Vec<u8> {
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let fixed = 10 + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', fixed.next_multiple_of(64) - fixed));
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.into_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_of_another_format_or_without_an_end_is_not_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(!is_complete(path));
        for (format, complete) in [(FORMAT, true), (FORMAT + 1, false)] {
            let text = serde_json::json!({ "format": format }).to_string();
            std::fs::write(path.join(LAST), text).unwrap();
            assert_eq!(is_complete(path), complete);
        }
    }

    /// numpy 2.4: `numpy.save(f, numpy.array([[1, 2, 3]], dtype='<f4'))`.
    #[test]
    fn the_file_is_the_one_numpy_writes() {
        let bytes = floats(&[1.0, 2.0, 3.0], 3);
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
        assert_eq!(&bytes[10..10 + text.len()], text.as_bytes());
        assert_eq!(bytes.len(), 128 + 12);
        assert_eq!(bytes[127], b'\n');
        assert_eq!(&bytes[128..132], &[0, 0, 0x80, 0x3f]);
        assert_eq!(integers(&[1, 2]).len(), 128 + 16);
    }
}
