#![allow(clippy::unwrap_used)]

use mirrorwatch_idx::{Data, read_features, read_labels, write_features, write_labels};
use tempfile::{TempDir, tempdir};

use super::*;

/// Writes a data set whose parts all fit; a test then spoils one of them.
fn small() -> TempDir {
    let dir = tempdir().unwrap();
    let train = Features::new(vec![4], Data::F32(vec![0.5; 24])).unwrap();
    let test = Features::new(vec![4], Data::F32(vec![-1.5; 8])).unwrap();
    let at = |name: &str| dir.path().join(name);
    write_features(at("train-features-idx2-float"), &train, Packing::Plain).unwrap();
    write_features(at("t10k-features.gz"), &test, Packing::Gzip).unwrap();
    write_labels(
        at("train-labels-idx1-ubyte.gz"),
        &[0, 1, 2, 0, 1, 2],
        Packing::Gzip,
    )
    .unwrap();
    write_labels(at("t10k-labels-idx1-ubyte"), &[2, 0], Packing::Plain).unwrap();
    dir
}

fn message(dir: &TempDir) -> String {
    Source::open(dir.path()).unwrap_err().to_string()
}

#[test]
fn the_embedded_data_is_whole() {
    let source = Source::embedded().unwrap();
    assert_eq!(source.train.count(), 10_000);
    assert_eq!(source.train.shape(), [28, 28]);
    assert_eq!(source.test.count(), 2_000);
    assert_eq!(source.classes, 10);
    assert_eq!(source.class_names[9], "Ankle boot");
    // As the original files begin.
    assert_eq!(source.train_labels[..5], [9, 0, 0, 3, 0]);
    assert_eq!(source.test_labels[..5], [9, 2, 1, 1, 6]);
}

#[test]
fn embedded_data_goes_to_files_and_comes_back() {
    let mut source = Source::embedded().unwrap();
    source.limit(50).unwrap();
    let dir = tempdir().unwrap();
    let given = vec![7; 50];
    let files = source.write_to(&dir.path().join("new"), &given).unwrap();
    assert_eq!(read_features(&files.train).unwrap(), source.train);
    assert_eq!(read_labels(&files.train_labels).unwrap(), given);
    assert_eq!(read_features(&files.test).unwrap(), source.test);
    assert_eq!(read_labels(&files.test_labels).unwrap(), source.test_labels);

    // Also by the names alone, and with the names of the classes.
    source
        .write_to(&dir.path().join("new"), &source.train_labels)
        .unwrap();
    let again = Source::open(&dir.path().join("new")).unwrap();
    assert_eq!(again.train, source.train);
    assert_eq!(again.class_names, source.class_names);
}

#[test]
fn files_that_were_read_unchanged_are_not_copied() {
    let data = small();
    let mut source = Source::open(data.path()).unwrap();
    assert_eq!(source.class_names, ["0", "1", "2"]);
    let run = tempdir().unwrap();
    let files = source.write_to(run.path(), &source.train_labels).unwrap();
    assert_eq!(files.train, data.path().join("train-features-idx2-float"));
    assert_eq!(files.test, data.path().join("t10k-features.gz"));
    assert_eq!(std::fs::read_dir(run.path()).unwrap().count(), 1);

    source.limit(9).unwrap();
    assert_eq!(source.train.count(), 6);
    source.limit(3).unwrap();
    let files = source.write_to(run.path(), &source.train_labels).unwrap();
    assert_eq!(read_features(&files.train).unwrap().count(), 3);
    assert_eq!(read_labels(&files.train_labels).unwrap(), [0, 1, 2]);
    assert_eq!(files.test, data.path().join("t10k-features.gz"));
    assert!(matches!(source.limit(0), Err(DataError::NoSamples)));
    let error = source.write_to(run.path(), &[0, 1]).unwrap_err();
    assert!(matches!(error, DataError::LabelCount { found: 2, .. }));
}

#[test]
fn what_was_read_is_not_written_over() {
    let data = small();
    let source = Source::open(data.path()).unwrap();
    let roundabout = data
        .path()
        .join("..")
        .join(data.path().file_name().unwrap());
    let error = source.write_to(&roundabout, &[0; 6]).unwrap_err();
    assert!(matches!(error, DataError::SameDirectory { .. }));
}

#[test]
fn the_truth_belongs_to_the_whole_set_and_follows_the_limit() {
    let data = small();
    let mut source = Source::open(data.path()).unwrap();
    let path = data.path().join("clean.idx");
    write_labels(&path, &[2, 1, 0, 2, 1, 0], Packing::Plain).unwrap();
    assert_eq!(source.truth(&path).unwrap(), [2, 1, 0, 2, 1, 0]);
    source.limit(2).unwrap();
    assert_eq!(source.truth(&path).unwrap(), [2, 1]);
    write_labels(&path, &[2, 1], Packing::Plain).unwrap();
    assert_eq!(
        source.truth(&path).unwrap_err().to_string(),
        format!(
            "{} holds 2 labels for 6 training samples: use the labels of the same training set",
            path.display()
        )
    );
    write_labels(&path, &[0, 1, 2, 3, 0, 1], Packing::Plain).unwrap();
    let error = source.truth(&path).unwrap_err().to_string();
    assert!(error.contains("label 3 is 3 where 3 classes"), "{error}");
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let data = small();
    let test = Features::new(vec![2, 2], Data::U8(vec![1; 8])).unwrap();
    write_features(data.path().join("t10k-features"), &test, Packing::Plain).unwrap();
    std::fs::remove_file(data.path().join("t10k-features.gz")).unwrap();
    assert!(message(&data).contains("of the shape [4] and"));

    for (labels, words) in [
        (vec![0, 1, 2], "holds 6 samples and"),
        (vec![1; 6], "labels of one class only"),
        (
            vec![0, 1, 2, 3, 4, 900],
            "holds 6 labels that count up to 900",
        ),
        (vec![0, 1, 0, 1, 0, 1], "label 0 is 2 where 2 classes"),
    ] {
        let data = small();
        let path = data.path().join("train-labels-idx1-ubyte");
        write_labels(path, &labels, Packing::Plain).unwrap();
        let message = message(&data);
        assert!(message.contains(words), "{message}");
    }
}
