//! Data that cannot be used is refused at the start, in one sentence that says where and what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::data::Data;
use crate::support::process::quickstart;
use crate::support::refusal::assert_refused;
use mirrorwatch::idx::{self, Packing};

/// A data set to be spoilt.
struct Spoilt {
    directory: tempfile::TempDir,
    data: Data,
}

impl Spoilt {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = Data::write(&directory.path().join("data"));
        Self { directory, data }
    }

    /// A sidecar over the data, with further options.
    fn watch(&self, options: &[&str]) -> Command {
        let mut command = quickstart();
        command.args(["sidecar", "watch", "--listen", "127.0.0.1:0"]);
        command
            .arg("--root")
            .arg(self.directory.path().join("runs"));
        command
            .arg("--data")
            .arg(&self.data.directory)
            .args(options);
        command
    }

    #[track_caller]
    fn refused(&self, options: &[&str], parts: &[&str]) {
        assert_refused(self.watch(options), self.directory.path(), parts);
        // The same words from the other command.
        let mut scan = quickstart();
        scan.args(["sidecar", "scan"]).arg(self.directory.path());
        scan.arg("--data").arg(&self.data.directory).args(options);
        assert_refused(scan, self.directory.path(), parts);
    }

    /// Replaces a file by what `change` makes of its bytes, and returns its path.
    fn change(&self, stem: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
        let path = self.data.file(stem);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        shown(&path)
    }

    fn trusted(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("list.txt");
        fs::write(&path, text).unwrap();
        path
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn idx_files_that_are_missing_damaged_or_something_else() {
    let spoilt = Spoilt::new();
    let directory = shown(&spoilt.data.directory);
    let nowhere = format!("{directory}/nowhere");
    let mut command = quickstart();
    command.args(["sidecar", "watch", "--data", &nowhere]);
    assert_refused(
        command,
        spoilt.directory.path(),
        &[&nowhere, "does not exist", "check the path"],
    );
    let inputs = format!("{directory}/inputs.idx");
    spoilt.refused(
        &["--inputs", &inputs],
        &[&inputs, "does not exist", "check the path"],
    );

    let whole = fs::read(spoilt.data.file("train-features")).unwrap();
    let path = spoilt.change("train-features", |bytes| bytes.truncate(bytes.len() / 2));
    let sizes = [
        format!("expected {} bytes", whole.len()),
        format!("found {}", whole.len() / 2),
    ];
    spoilt.refused(
        &[],
        &[
            &path,
            "is truncated",
            &sizes[0],
            &sizes[1],
            "copy or download it again",
        ],
    );
    spoilt.change("train-features", |bytes| bytes.clear());
    spoilt.refused(&[], &[&path, "is empty", "copy or download it again"]);
    spoilt.change("train-features", |bytes| {
        bytes.extend(b"%PDF-1.7 and so on")
    });
    spoilt.refused(&[], &[&path, "25 50 44 46", "is this really an IDX file"]);
    spoilt.change("train-features", |bytes| *bytes = whole.clone());

    // Gzipped, so that a cut shows as damage.
    let path = spoilt.change("t10k-features", |bytes| bytes.truncate(bytes.len() / 2));
    spoilt.refused(&[], &[&path, "copy or download it again"]);
    fs::remove_file(&path).unwrap();
    spoilt.refused(
        &[],
        &[
            &directory,
            "t10k-images-* or t10k-features-*",
            "put the file there",
        ],
    );
}

#[test]
fn labels_that_are_out_of_range_or_of_another_data_set() {
    let spoilt = Spoilt::new();
    let path = shown(&spoilt.data.file("train-labels"));
    let mut given = spoilt.data.given.clone();
    given[17] = 9;
    idx::write_labels(&path, &given, Packing::Plain).unwrap();
    spoilt.refused(
        &["--classes", "5"],
        &[&path, "label 17 is 9", "5 classes", "correct the label"],
    );

    idx::write_labels(&path, &given[..1400], Packing::Plain).unwrap();
    let features = shown(&spoilt.data.file("train-features"));
    spoilt.refused(
        &[],
        &[
            &features,
            "1500 samples",
            &path,
            "1400 labels",
            "same data set",
        ],
    );

    // Features where labels should be.
    fs::copy(&features, &path).unwrap();
    spoilt.refused(&[], &[&path, "convert them to unsigned bytes"]);

    let probe = shown(&spoilt.data.file("t10k-labels"));
    idx::write_labels(&probe, &[0; 300], Packing::Plain).unwrap();
    idx::write_labels(&path, &[0; 1500], Packing::Plain).unwrap();
    spoilt.refused(&[], &["1 class;", "at least 2"]);
}

#[test]
fn a_probe_that_is_empty_or_lacks_a_class() {
    let spoilt = Spoilt::new();
    spoilt.refused(&["--probe", "0"], &["probe", "is empty", "--probe"]);
    // Five classes in turn: four samples show four of them.
    spoilt.refused(
        &["--probe", "4"],
        &["class 0", "1 in the probe set", "at least 2"],
    );
    let path = spoilt.data.file("t10k-labels");
    let without: Vec<u32> = (0..300).map(|i| i % 4).collect();
    idx::write_labels(&path, &without, Packing::Plain).unwrap();
    spoilt.refused(
        &[],
        &["class 4", "0 in the probe set", "add clean samples of it"],
    );
}

#[test]
fn a_trusted_set_that_is_empty_or_wrong_or_in_the_probe() {
    let spoilt = Spoilt::new();
    let refused = |text: &str, parts: &[&str]| {
        let path = spoilt.trusted(text);
        let path = shown(&path);
        let mut all = vec![path.as_str(), "one training index a line"];
        all.extend(parts);
        spoilt.refused(&["--trusted", &path], &all);
    };
    refused("", &["it is empty"]);
    refused(" \n\n", &["it is empty"]);
    refused("3\nfour\n", &["line 2 is not a number", "four"]);
    refused("3\n-4\n", &["line 2 is not a number", "-4"]);
    refused(
        "1500\n",
        &[
            "line 1 names sample 1500",
            "there are 1500 training samples",
        ],
    );
    let all: Vec<String> = (0..1500).map(|i| format!("{i}\n")).collect();
    refused(&all.concat(), &["1500 of 1500", "leaves none to judge"]);
    let nowhere = shown(&spoilt.directory.path().join("nowhere.txt"));
    spoilt.refused(
        &["--trusted", &nowhere],
        &[&nowhere, "cannot use the trusted set"],
    );
    let twice = shown(&spoilt.trusted("3\n4\n3\n"));
    spoilt.refused(&["--trusted", &twice], &["sample 3", "twice"]);

    // The probe's sample 2 becomes a copy of training sample 7.
    let train = idx::read_features(spoilt.data.file("train-features")).unwrap();
    let probe_path = spoilt.data.file("t10k-features");
    let probe = idx::read_features(&probe_path).unwrap();
    let mut values = Vec::new();
    for sample in 0..probe.count() {
        values.extend(match sample {
            2 => train.sample(7).unwrap(),
            _ => probe.sample(sample).unwrap(),
        });
    }
    let copied = idx::Features::new(probe.shape().to_vec(), idx::Data::F32(values)).unwrap();
    idx::write_features(&probe_path, &copied, Packing::Plain).unwrap();
    let overlapping = shown(&spoilt.trusted("5\n7\n"));
    spoilt.refused(
        &["--trusted", &overlapping],
        &[
            "trusted training sample 7",
            "probe sample 2",
            "remove one of them",
        ],
    );
}

#[test]
fn a_model_device_or_estimator_that_does_not_fit() {
    let spoilt = Spoilt::new();
    spoilt.refused(
        &["--model", "cnn"],
        &["the cnn takes images", "[24]", "use the mlp"],
    );
    spoilt.refused(
        &["--device", "abacus"],
        &["unknown device", "abacus", "flex"],
    );
    spoilt.refused(
        &["--estimator", "astrology"],
        &[
            "unknown direction",
            "astrology",
            "gradient, margin, margin-last-layer, finetune",
        ],
    );
}
