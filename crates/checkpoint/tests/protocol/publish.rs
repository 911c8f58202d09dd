//! What a writer leaves in the directory, and in which order.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use mirrorwatch_checkpoint::{
    BURNPACK, CheckpointError, Consumed, Parameter, RunWriter, SCHEMA, Snapshot, list_checkpoints,
    list_runs, spool,
};

use crate::{MAX, at, listed, names, only, root};

#[test]
fn what_is_published_is_what_is_read() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    let snapshot = Snapshot {
        epoch: 3,
        step: 471,
        train_loss: Some(0.1 + 0.2),
        valid_loss: Some(0.5),
        learning_rate: Some(1e-3),
        consumed: Some(Consumed::of(vec![5, 3, 8])),
        parameters: vec![Parameter {
            name: String::from("fc1.weight"),
            shape: vec![784, 10],
            dtype: String::from("f32"),
        }],
        tags: BTreeMap::from([(String::from("host"), String::from("gpu-1"))]),
    };
    let published = writer.publish(snapshot, b"weights").unwrap();
    assert!(writer.take_warning().is_none());
    let found = only(root.path());
    assert_eq!(found.manifest, published);
    assert_eq!(published.schema, SCHEMA);
    assert_eq!(published.sequence, 1);
    assert_eq!(published.weights.format, BURNPACK);
    assert_eq!(published.weights.bytes, 7);
    assert_eq!(list_runs(root.path()).unwrap(), ["r"]);
    assert_eq!(
        names(writer.directory()),
        [
            format!(
                "epoch-000003-step-0000000471-{}.bpk",
                &published.weights.sha256[..12]
            ),
            String::from("epoch-000003-step-0000000471.json"),
            String::from("run.json"),
        ]
    );
}

#[test]
fn a_loss_that_is_no_number_does_not_spoil_the_manifest() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    for (step, loss) in [f64::NAN, f64::INFINITY].into_iter().enumerate() {
        let snapshot = Snapshot {
            train_loss: Some(loss),
            valid_loss: Some(loss),
            learning_rate: Some(loss),
            ..at(0, step as u64)
        };
        writer.publish(snapshot, b"w").unwrap();
    }
    for found in listed(root.path()).manifests {
        assert_eq!(found.manifest.train_loss, None);
        assert_eq!(
            found.manifest.valid_loss.or(found.manifest.learning_rate),
            None
        );
        let text = fs::read_to_string(found.path).unwrap();
        assert!(text.contains("\"train_loss\": null"), "{text}");
    }
}

#[test]
fn weights_without_a_manifest_are_not_published() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    writer.publish(at(0, 1), b"w").unwrap();
    fs::remove_file(only(root.path()).path).unwrap();
    assert!(listed(root.path()).manifests.is_empty());
    assert!(
        names(writer.directory())
            .iter()
            .any(|name| name.ends_with(".bpk"))
    );
}

#[test]
fn the_status_counts_and_ends() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    let status = |root: &tempfile::TempDir| listed(root.path()).status.unwrap();
    assert_eq!(status(&root).published, 0);
    assert_eq!(status(&root).finished, None);
    writer.note_failure();
    writer.note_dropped();
    writer.note_dropped();
    writer.publish(at(0, 1), b"w").unwrap();
    let now = status(&root);
    assert_eq!((now.published, now.failed, now.dropped), (1, 1, 2));
    writer.finish().unwrap();
    assert!(status(&root).finished.unwrap() >= now.started);
    writer.publish(at(0, 2), b"w").unwrap();
    assert_eq!(status(&root).finished, None);
    assert_eq!(&status(&root), writer.status());
}

#[test]
fn a_resumed_run_is_a_new_instance_among_its_old_checkpoints() {
    let root = root();
    let mut first = RunWriter::create(root.path(), "r").unwrap();
    first.publish(at(0, 1), b"a").unwrap();
    first.publish(at(0, 2), b"b").unwrap();
    let temporary = first.directory().join(".x.bpk.4194999-1.tmp");
    fs::write(&temporary, b"of a dead process").unwrap();
    drop(first);
    let mut second = RunWriter::create(root.path(), "r").unwrap();
    assert!(!temporary.exists());
    second.publish(at(0, 3), b"c").unwrap();
    let manifests = listed(root.path()).manifests;
    let order: Vec<(u64, u64)> = manifests
        .iter()
        .map(|found| (found.manifest.step, found.manifest.sequence))
        .collect();
    assert_eq!(order, [(1, 1), (2, 2), (3, 1)]);
    assert_eq!(
        manifests[0].manifest.instance,
        manifests[1].manifest.instance
    );
    assert_ne!(
        manifests[1].manifest.instance,
        manifests[2].manifest.instance
    );
}

#[test]
fn a_clock_set_back_does_not_make_new_checkpoints_old() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    writer.publish(at(0, 1), b"a").unwrap();
    let path = only(root.path()).path;
    let mut manifest = serde_json::to_value(only(root.path()).manifest).unwrap();
    manifest["time"] = 4e9.into();
    fs::write(&path, manifest.to_string()).unwrap();
    let mut writer = RunWriter::create(root.path(), "r").unwrap().with_keep(2);
    for step in 2..5 {
        writer.publish(at(0, step), b"b").unwrap();
    }
    let manifests = listed(root.path()).manifests;
    let steps: Vec<u64> = manifests.iter().map(|found| found.manifest.step).collect();
    assert_eq!(steps, [3, 4]);
}

#[test]
fn retention_removes_the_oldest_of_its_own_files_only() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap().with_keep(0);
    let foreign = [
        "best.bpk",
        "config.json",
        "epoch-000009-step-0000000009.json",
        "epoch-000009-step-0000000009-aaaaaaaaaaaa.bpk",
        "epoch-1-step-1.json",
    ];
    for name in foreign {
        fs::write(writer.directory().join(name), br#"{"schema": 9}"#).unwrap();
    }
    // Weights whose manifest is of another version are not orphans, however old.
    let weights = writer.directory().join(foreign[3]);
    let old = SystemTime::now() - Duration::from_secs(86_400);
    File::options()
        .write(true)
        .open(weights)
        .unwrap()
        .set_modified(old)
        .unwrap();
    for step in 1..4 {
        writer.publish(at(0, step), b"w").unwrap();
        assert!(writer.take_warning().is_none());
    }
    let listing = list_checkpoints(root.path(), "r").unwrap();
    assert_eq!(listing.manifests.len(), 1);
    assert_eq!(listing.manifests[0].manifest.step, 3);
    let names = names(writer.directory());
    assert_eq!(names.len(), foreign.len() + 3);
    for name in foreign {
        assert!(names.contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn weights_that_a_crash_left_are_removed_once_they_are_old() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    let orphan =
        |hash: &str| writer_file(&root, &format!("epoch-000000-step-0000000001-{hash}.bpk"));
    let (young, old) = (orphan("aaaaaaaaaaaa"), orphan("bbbbbbbbbbbb"));
    fs::write(&young, b"w").unwrap();
    fs::write(&old, b"w").unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(yesterday)
        .unwrap();
    writer.publish(at(0, 2), b"w").unwrap();
    assert!(young.exists());
    assert!(!old.exists());
}

fn writer_file(root: &tempfile::TempDir, name: &str) -> std::path::PathBuf {
    root.path().join("r").join(name)
}

#[test]
fn publishing_a_step_again_replaces_it() {
    let root = root();
    let spool_dir = root.path().join(".spool");
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    writer.publish(at(1, 1), b"first").unwrap();
    let first = only(root.path());
    writer.publish(at(1, 1), b"second").unwrap();
    let second = only(root.path());
    assert_eq!(second.manifest.sequence, 2);
    assert_ne!(first.key(), second.key());
    assert_eq!(names(writer.directory()).len(), 3);
    // Who still holds the old manifest gets the old bytes or none, never the new ones.
    let error = spool(&first, &spool_dir, MAX).unwrap_err();
    assert_eq!(error.reason(), "vanished");
    let spooled = spool(&second, &spool_dir, MAX).unwrap();
    assert_eq!(spooled.read_verified().unwrap(), b"second");
    // The same bytes again: another manifest for the same key.
    writer.publish(at(1, 1), b"second").unwrap();
    assert_eq!(only(root.path()).key(), second.key());
    assert_eq!(names(writer.directory()).len(), 3);
    let spooled = spool(&second, &spool_dir, MAX).unwrap();
    assert_eq!(spooled.read_verified().unwrap(), b"second");
}

#[test]
fn a_manifest_that_no_reader_would_accept_is_not_published() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    let mut snapshot = at(0, 1);
    snapshot
        .tags
        .insert(String::from("log"), "x".repeat(2 << 20));
    let error = writer.publish(snapshot, b"w").unwrap_err();
    assert!(matches!(error, CheckpointError::TooLarge { .. }));
    assert_eq!(names(writer.directory()), ["run.json"]);
    assert_eq!(writer.publish(at(0, 1), b"w").unwrap().sequence, 1);
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let root = root();
    let file = root.path().join("file");
    fs::write(&file, b"x").unwrap();
    let error = RunWriter::create(&file, "r").unwrap_err();
    assert_eq!(error.reason(), "unwritable");
    assert!(
        error.to_string().contains("file/r: Not a directory"),
        "{error}"
    );
    let error = RunWriter::create(root.path(), "..").unwrap_err();
    assert_eq!(error.reason(), "run_name");
}

#[test]
fn a_commit_that_fails_leaves_nothing_behind_and_uses_no_number() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    // A directory in the manifest's place lets the weights through and stops the manifest.
    let in_the_way = writer.directory().join("epoch-000000-step-0000000001.json");
    fs::create_dir(&in_the_way).unwrap();
    let error = writer.publish(at(0, 1), b"w").unwrap_err();
    assert_eq!(error.reason(), "unwritable");
    assert_eq!(names(writer.directory()).len(), 2);
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(writer.publish(at(0, 1), b"w").unwrap().sequence, 1);
}

#[test]
fn a_directory_that_was_removed_under_the_writer_comes_back() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    writer.publish(at(0, 1), b"w").unwrap();
    fs::remove_dir_all(writer.directory()).unwrap();
    let manifest = writer.publish(at(0, 2), b"w").unwrap();
    assert!(writer.take_warning().is_none());
    assert_eq!(manifest.sequence, 2);
    assert_eq!(only(root.path()).manifest, manifest);
}
