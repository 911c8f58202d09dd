//! What a reader does with weights that are gone, cut, changed or not what they seem.

use std::fs;
use std::path::Path;

use mirrorwatch_checkpoint::{CheckpointError, Found, RunWriter, remove_abandoned, spool};
use tempfile::TempDir;

use crate::{MAX, at, names, only, root};

const WEIGHTS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

fn published() -> (TempDir, Found) {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    writer.publish(at(0, 1), WEIGHTS).unwrap();
    let found = only(root.path());
    (root, found)
}

fn failure(root: &Path, found: &Found) -> CheckpointError {
    match spool(found, root.join(".spool"), MAX) {
        Ok(spooled) => spooled.read_verified().unwrap_err(),
        Err(error) => error,
    }
}

#[test]
fn a_spooled_checkpoint_survives_retention() {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap().with_keep(1);
    writer.publish(at(0, 1), WEIGHTS).unwrap();
    let found = only(root.path());
    let spooled = spool(&found, root.path().join(".spool"), MAX).unwrap();
    writer.publish(at(0, 2), b"newer").unwrap();
    assert!(!found.weights_path().exists());
    assert_eq!(spooled.read_verified().unwrap(), WEIGHTS);
    // Also the second time: reading uses nothing up.
    assert_eq!(spooled.read_verified().unwrap(), WEIGHTS);
    assert_eq!(spooled.key(), &found.key());
    assert_eq!(spooled.manifest(), &found.manifest);
    // Who was not fast enough is told so.
    assert_eq!(failure(root.path(), &found).reason(), "vanished");
}

#[test]
#[cfg(unix)]
fn spooling_links_and_copies_nothing() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (root, found) = published();
    let spooled = spool(&found, root.path().join(".spool"), MAX).unwrap();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(spooled.path()), inode(&found.weights_path()));
    let mode = fs::metadata(root.path().join(".spool"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
}

#[test]
#[cfg(target_os = "linux")]
fn another_device_gets_a_copy() {
    use std::os::unix::fs::MetadataExt;
    let (root, found) = published();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(root.path()) == device(elsewhere.path()) {
        return;
    }
    let spooled = spool(&found, elsewhere.path(), MAX).unwrap();
    fs::remove_file(found.weights_path()).unwrap();
    assert_eq!(spooled.read_verified().unwrap(), WEIGHTS);
}

#[test]
fn the_spooled_file_goes_when_it_is_dropped_or_removed() {
    let (root, found) = published();
    let spool_dir = root.path().join(".spool");
    let first = spool(&found, &spool_dir, MAX).unwrap();
    let second = spool(&found, &spool_dir, MAX).unwrap();
    assert_ne!(first.path(), second.path());
    drop(first);
    second.remove().unwrap();
    assert!(names(&spool_dir).is_empty());
    assert!(found.weights_path().exists());
}

#[test]
fn a_crash_leaves_nothing_in_the_spool_for_good() {
    let (root, found) = published();
    let spool_dir = root.path().join(".spool");
    let spooled = spool(&found, &spool_dir, MAX).unwrap();
    fs::write(spool_dir.join(".a.bpk.4194999-3.tmp"), b"x").unwrap();
    assert_eq!(remove_abandoned(&spool_dir).unwrap(), 1);
    assert!(spooled.read_verified().is_ok());
}

#[test]
fn every_cut_is_seen() {
    let (root, found) = published();
    for length in 0..WEIGHTS.len() {
        fs::write(found.weights_path(), &WEIGHTS[..length]).unwrap();
        let error = failure(root.path(), &found);
        assert_eq!(error.reason(), "truncated");
        let message = error.to_string();
        assert!(
            message.contains(&format!("promises 36 bytes, {length} are there")),
            "{message}"
        );
    }
    // Seen before anything was spooled.
    assert!(!root.path().join(".spool").exists());
}

#[test]
fn a_cut_after_spooling_is_seen() {
    let (root, found) = published();
    let spooled = spool(&found, root.path().join(".spool"), MAX).unwrap();
    fs::write(spooled.path(), &WEIGHTS[1..]).unwrap();
    assert_eq!(spooled.read_verified().unwrap_err().reason(), "truncated");
    fs::remove_file(spooled.path()).unwrap();
    assert_eq!(spooled.read_verified().unwrap_err().reason(), "vanished");
}

#[test]
fn every_flipped_byte_is_seen() {
    let (root, found) = published();
    for at in 0..WEIGHTS.len() {
        let mut flipped = WEIGHTS.to_vec();
        flipped[at] ^= 1;
        fs::write(found.weights_path(), &flipped).unwrap();
        assert_eq!(failure(root.path(), &found).reason(), "corrupt");
    }
    fs::write(found.weights_path(), [WEIGHTS, b"!"].concat()).unwrap();
    let error = failure(root.path(), &found);
    assert_eq!(error.reason(), "corrupt");
    assert!(
        error.to_string().contains("longer than the 36 bytes"),
        "{error}"
    );
}

#[test]
fn weights_above_the_cap_are_not_touched() {
    let (root, found) = published();
    let spool_dir = root.path().join(".spool");
    let error = spool(&found, &spool_dir, 35).unwrap_err();
    assert_eq!(error.reason(), "too_large");
    assert!(!spool_dir.exists());
    assert!(spool(&found, &spool_dir, 36).is_ok());
}

#[test]
#[cfg(unix)]
fn links_and_directories_are_refused() {
    let (root, found) = published();
    let secret = root.path().join("secret");
    fs::write(&secret, WEIGHTS).unwrap();
    fs::remove_file(found.weights_path()).unwrap();
    std::os::unix::fs::symlink(&secret, found.weights_path()).unwrap();
    assert_eq!(failure(root.path(), &found).reason(), "unsafe_path");
    fs::remove_file(found.weights_path()).unwrap();
    fs::create_dir(found.weights_path()).unwrap();
    assert_eq!(failure(root.path(), &found).reason(), "unsafe_path");
}

#[test]
fn a_spool_that_cannot_be_written_is_named() {
    let (root, found) = published();
    let file = root.path().join("file");
    fs::write(&file, b"x").unwrap();
    for spool_dir in [file.join("spool"), file] {
        let error = spool(&found, &spool_dir, MAX).unwrap_err();
        assert_eq!(error.reason(), "unwritable");
        let start = format!("cannot write {}", spool_dir.display());
        assert!(error.to_string().starts_with(&start), "{error}");
    }
}
