//! What the demo refuses, before it trains anything.

use std::fs;
use std::net::TcpListener;

use mirrorwatch::idx::{Packing, write_labels};

use crate::support::data::Data;
use crate::support::process::{quickstart, run};
use crate::support::refusal::assert_refused;

/// A directory with data, and a demo in it.
struct Scene {
    directory: tempfile::TempDir,
    data: Data,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = Data::write(&directory.path().join("data"));
        Self { directory, data }
    }

    fn at(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Checks that the demo refuses these options. It works in a new directory unless they name one.
    #[track_caller]
    fn refused(&self, options: &[&str], parts: &[&str]) {
        let mut command = quickstart();
        command.args(["--headless", "--epochs", "1"]).args(options);
        if !options.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if !options.contains(&"--work") {
            let work = tempfile::tempdir_in(self.directory.path()).unwrap().keep();
            command.arg("--work").arg(work);
        }
        assert_refused(command, self.directory.path(), parts);
    }
}

#[test]
fn data_and_truth_that_cannot_be_used() {
    let scene = Scene::new();
    let nowhere = scene.at("nowhere");
    scene.refused(
        &["--data", &nowhere],
        &[&nowhere, "does not exist", "check the path"],
    );
    let empty = scene.at("empty");
    fs::create_dir(&empty).unwrap();
    scene.refused(
        &["--data", &empty],
        &[
            &empty,
            "train-images-* or train-features-*",
            "put the file there",
        ],
    );

    let data = scene.data.directory.display().to_string();
    let truth = scene.at("short.idx");
    write_labels(&truth, &scene.data.truth[..1000], Packing::Plain).unwrap();
    scene.refused(
        &["--data", &data, "--truth", &truth],
        &[
            &truth,
            "1000 labels for 1500 training samples",
            "same training set",
        ],
    );
    let mut wrong = scene.data.truth.clone();
    wrong[3] = 11;
    write_labels(&truth, &wrong, Packing::Plain).unwrap();
    scene.refused(
        &["--data", &data, "--truth", &truth],
        &[&truth, "label 3 is 11", "5 classes"],
    );
    scene.refused(&["--truth", &nowhere], &[&nowhere, "does not exist"]);
    scene.refused(
        &["--data", &data, "--model", "cnn"],
        &["the cnn takes images", "use the mlp"],
    );
    scene.refused(
        &["--data", &data, "--work", &scene.at(".")],
        &["read from", "choose another one"],
    );
}

#[test]
fn numbers_that_make_no_sense() {
    let scene = Scene::new();
    scene.refused(
        &["--trusted", "10001"],
        &["cannot trust 10001 of 10000", "at most 10000"],
    );
    scene.refused(
        &["--train-limit", "300", "--trusted", "301"],
        &["cannot trust 301 of 300"],
    );
    scene.refused(
        &["--train-limit", "300", "--trusted", "300"],
        &["cannot trust all 300", "left to judge", "--trusted"],
    );
    scene.refused(&["--train-limit", "0"], &["0 samples", "at least 1"]);
    scene.refused(
        &["--train-limit", "600", "--probe", "0"],
        &["probe", "is empty", "--probe"],
    );
    scene.refused(
        &["--train-limit", "600", "--probe", "5"],
        &["in the probe set", "at least 2"],
    );
    scene.refused(
        &["--train-limit", "600", "--probe", "2000", "--retrain"],
        &["all 2000 test samples are in the probe", "--retrain"],
    );
}

#[test]
fn breaks_that_cannot_happen() {
    let scene = Scene::new();
    let sources = scene.at("sources.txt");
    fs::write(&sources, "anna\n".repeat(1500)).unwrap();
    let data = scene.data.directory.display().to_string();
    let options = ["--data", &data, "--sources", &sources, "--probe", "300"];
    let more = ["--trusted", "150", "--break-source", "anna@2:0.5"];
    let parts = ["\"anna\"", "epoch 2 of 1", "--epochs"];
    scene.refused(&[&options[..], &more].concat(), &parts);

    let mut command = quickstart();
    command.args(["--headless", "--break-source", "anna@2:0.5"]);
    let finished = run(command, scene.directory.path()).expect(2);
    let sources = "--sources <FILE>";
    assert!(finished.stderr.contains(sources), "{}", finished.story());
}

#[test]
fn options_that_cannot_be_read_are_explained_by_the_command_line() {
    let scene = Scene::new();
    for (option, value, why) in [
        ("--noise", "sym:2", "from 0 up to but not including 1"),
        ("--noise", "salt", "`sym:RATE`"),
        ("--model", "transformer", "[possible values: mlp, cnn]"),
        ("--epochs", "many", "from 1 upwards"),
        ("--epochs", "0", "from 1 upwards"),
        ("--batch-size", "0", "from 1 upwards"),
        ("--lr", "nan", "above 0"),
        ("--lr", "-1", "above 0"),
        ("--break-source", "anna@2", "SOURCE@EPOCH:SHARE"),
    ] {
        let mut command = quickstart();
        let given = format!("{option}={value}");
        command.args(["--headless", "--train-limit", "100", &given]);
        command.arg("--work").arg(scene.at("work"));
        let finished = run(command, scene.directory.path()).expect(2);
        assert!(
            finished.stderr.starts_with("error: "),
            "{}",
            finished.story()
        );
        for part in [option, value, why] {
            assert!(
                finished.stderr.contains(part),
                "`{part}`: {}",
                finished.story()
            );
        }
        assert!(
            !finished.stderr.contains("panicked"),
            "{}",
            finished.story()
        );
    }
}

#[test]
fn places_that_cannot_be_used() {
    let scene = Scene::new();
    let file = scene.at("file");
    fs::write(&file, b"in the way").unwrap();
    let below = format!("{file}/below");
    scene.refused(
        &["--train-limit", "600", "--work", &below],
        &[&below, "--work"],
    );

    // Told before training, not after.
    let summary = format!("{file}/summary.json");
    scene.refused(
        &["--train-limit", "600", "--summary", &summary],
        &["cannot write", &summary, "--summary"],
    );

    let work = tempfile::tempdir_in(scene.directory.path()).unwrap();
    fs::create_dir_all(work.path().join("runs/demo")).unwrap();
    let shown = work.path().display().to_string();
    scene.refused(
        &["--train-limit", "600", "--work", &shown],
        &[&shown, "an earlier run", "--work"],
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    scene.refused(
        &[
            "--train-limit",
            "500",
            "--probe",
            "300",
            "--trusted",
            "100",
            "--listen",
            &address,
        ],
        &[&address, "address already in use", "--listen"],
    );
}
