//! scikit-learn's digits, a small tabular set, from its CSV file to IDX files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use mirrorwatch_idx::{Data, Features, Packing, write_features, write_labels};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Counts of pixels, 0 to 16, in an 8 × 8 grid.
const FEATURES: usize = 64;
/// Samples that become the test set, so the probe.
const TEST: usize = 400;
/// The file lists writers one after another; unshuffled, the probe would be of other writers.
const SEED: u64 = 0;

/// Reads `sklearn/datasets/data/digits.csv.gz` and writes the four IDX files of a data set into
/// `directory`.
///
/// # Errors
///
/// A file that is not what it should be, or cannot be written.
pub fn convert(csv: &Path, directory: &Path) -> Result<(), String> {
    let told = |error: std::io::Error| format!("cannot read {}: {error}", csv.display());
    let mut text = String::new();
    GzDecoder::new(File::open(csv).map_err(told)?)
        .read_to_string(&mut text)
        .map_err(told)?;
    let mut rows = parse(&text).map_err(|why| format!("cannot use {}: {why}", csv.display()))?;
    if rows.len() <= TEST {
        return Err(format!(
            "cannot use {}: it has {} rows, {TEST} of which would be the test set",
            csv.display(),
            rows.len()
        ));
    }
    rows.shuffle(&mut StdRng::seed_from_u64(SEED));
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    let train = rows.split_off(TEST);
    for (part, rows) in [("t10k", rows), ("train", train)] {
        write(directory, part, &rows)?;
    }
    Ok(())
}

/// The values and the label of each line.
fn parse(text: &str) -> Result<Vec<(Vec<u8>, u32)>, String> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut values = Vec::with_capacity(FEATURES + 1);
        for field in line.split(',') {
            match field.trim().parse::<f32>() {
                Ok(value) if (0.0..=16.0).contains(&value) && value.fract() == 0.0 => {
                    values.push(value as u8);
                }
                _ => return Err(format!("{field:?} in line {} is no pixel", number + 1)),
            }
        }
        match values.pop() {
            Some(label) if values.len() == FEATURES && label < 10 => {
                rows.push((values, u32::from(label)));
            }
            _ => {
                return Err(format!(
                    "line {} does not hold {FEATURES} values and a digit",
                    number + 1
                ));
            }
        }
    }
    Ok(rows)
}

fn write(directory: &Path, part: &str, rows: &[(Vec<u8>, u32)]) -> Result<(), String> {
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for (row, label) in rows {
        values.extend_from_slice(row);
        labels.push(*label);
    }
    let features = Features::new(vec![FEATURES], Data::U8(values));
    let path = |what: &str| directory.join(format!("{part}-{what}"));
    features
        .and_then(|features| write_features(path("features-idx2-ubyte"), &features, Packing::Plain))
        .and_then(|()| write_labels(path("labels-idx1-ubyte"), &labels, Packing::Plain))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use quickstart::data::Source;

    use super::*;

    #[test]
    fn a_file_of_scikit_learns_form_becomes_a_data_set() {
        let directory = tempfile::tempdir().unwrap();
        let csv = directory.path().join("digits.csv.gz");
        let mut gz = GzEncoder::new(File::create(&csv).unwrap(), Compression::fast());
        for i in 0..500 {
            let mut line: Vec<String> = (0..64).map(|k| ((i + k) % 17).to_string()).collect();
            line.push((i % 10).to_string());
            writeln!(gz, "{}", line.join(",")).unwrap();
        }
        gz.finish().unwrap();
        convert(&csv, &directory.path().join("idx")).unwrap();
        let source = Source::open(&directory.path().join("idx")).unwrap();
        assert_eq!((source.train.count(), source.test.count()), (100, 400));
        assert_eq!(source.classes, 10);
        // Value 0 of row i is i modulo 17, its label i modulo 10: both belong to one i below 170.
        for i in 0..100 {
            let values = source.train.sample(i).unwrap();
            let first = (values[0] * 255.0).round() as u32;
            let second = (values[1] * 255.0).round() as u32;
            assert_eq!((first + 1) % 17, second);
        }
    }

    #[test]
    fn what_is_no_pixel_is_named() {
        assert!(parse("1,2,3").unwrap_err().contains("line 1"));
        let line = vec!["17"; 65].join(",");
        assert!(parse(&line).unwrap_err().contains("\"17\""));
    }
}
