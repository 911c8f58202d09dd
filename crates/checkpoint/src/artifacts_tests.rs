use super::*;

fn artifacts(directory: &Path) -> Artifacts {
    Artifacts::new(directory, Some("r"), "model-{epoch}").unwrap()
}

#[test]
fn only_names_of_the_pattern_are_read() {
    let burn = Pattern::parse("model-{epoch}").unwrap();
    assert_eq!(burn.read("model-12.bpk"), Some((12, 0, BURNPACK)));
    assert_eq!(burn.read("model-3.safetensors"), Some((3, 0, SAFETENSORS)));
    for name in [
        "optim-3.bpk",
        "model-3.bpk.77-1.tmp",
        "model-.bpk",
        "model-3a.bpk",
        "model-3.mpk",
        "my-model-3.bpk",
        "model-99999999999999999999999.bpk",
    ] {
        assert_eq!(burn.read(name), None, "{name}");
    }
    let both = Pattern::parse("e{epoch}_s{step}").unwrap();
    assert_eq!(
        both.read("e2_s300.safetensors"),
        Some((2, 300, SAFETENSORS))
    );
}

#[test]
fn patterns_that_cannot_be_are_refused() {
    for (pattern, problem) in [
        ("model", "neither"),
        ("{epoch}{step}", "between"),
        ("{epoch}-{epoch}", "twice"),
    ] {
        let error = Artifacts::new("/tmp/a", None, pattern).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
    let error = Artifacts::new("/tmp/ä", None, "m-{epoch}").unwrap_err();
    assert_eq!(error.reason(), "run_name");
    assert_eq!(
        Artifacts::new("/tmp/a", None, "m-{epoch}").unwrap().run(),
        "a"
    );
}

#[test]
fn what_is_deleted_after_it_was_taken_is_still_there() {
    let place = tempfile::tempdir().unwrap();
    let (directory, spool) = (place.path().join("a"), place.path().join("spool"));
    assert!(artifacts(&directory).list().unwrap().is_empty());
    fs::create_dir_all(directory.join("checkpoint")).unwrap();
    fs::create_dir_all(directory.join("train/epoch-1")).unwrap();
    fs::write(directory.join("train/epoch-1/Loss.log"), "2,10\n1,30\n").unwrap();
    fs::write(directory.join("checkpoint/model-1.bpk"), b"weights").unwrap();
    fs::write(directory.join("checkpoint/optim-1.bpk"), b"other").unwrap();

    let mut found = artifacts(&directory).list().unwrap();
    assert_eq!(found.len(), 1);
    let taken = artifacts(&directory)
        .take(found.remove(0), &spool, 100)
        .unwrap();
    fs::remove_file(directory.join("checkpoint/model-1.bpk")).unwrap();
    assert!(taken.is_settled());
    let spooled = taken.spooled().unwrap();
    assert_eq!(spooled.read_verified().unwrap(), b"weights");
    let manifest = spooled.manifest();
    assert_eq!((manifest.epoch, manifest.train_loss), (1, Some(1.25)));
    assert_eq!(spooled.key().run, "r");
    drop(spooled);
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_written_in_place_is_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model-4.safetensors");
    fs::write(&path, b"half").unwrap();
    let these = artifacts(place.path());
    let file = these.list().unwrap().remove(0);
    let taken = these.take(file, place.path().join("spool"), 100).unwrap();
    assert!(!taken.is_settled());
    // The rest comes, into the same file.
    let mut more = fs::OpenOptions::new().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut more, b" and half").unwrap();
    more.set_modified(SystemTime::now() - 2 * SETTLED).unwrap();
    assert!(taken.is_settled());
    let spooled = taken.spooled().unwrap();
    assert_eq!(spooled.read_verified().unwrap(), b"half and half");
    assert_eq!(spooled.manifest().weights.format, SAFETENSORS);
}

#[test]
fn too_large_files_and_links_are_not_taken() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("model-1.bpk"), b"weights").unwrap();
    let these = artifacts(place.path());
    let file = these.list().unwrap().remove(0);
    let spool = place.path().join("spool");
    let error = these.take(file.clone(), &spool, 3).unwrap_err();
    assert_eq!(error.reason(), "too_large");
    // Nor is one that grows meanwhile.
    let taken = these.take(file, &spool, 7).unwrap();
    fs::write(place.path().join("model-1.bpk"), b"weights and more").unwrap();
    assert_eq!(taken.spooled().unwrap_err().reason(), "too_large");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("model-1.bpk", place.path().join("model-2.bpk")).unwrap();
        assert_eq!(these.list().unwrap().len(), 1);
        // A link to the directory itself is what someone named.
        let link = place.path().join("latest");
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        assert_eq!(artifacts(&link).list().unwrap().len(), 1);
        std::os::unix::fs::symlink(place.path(), place.path().join("checkpoint")).unwrap();
        let error = these.list().unwrap_err();
        assert_eq!(error.reason(), "unsafe_path");
    }
}

#[test]
fn logs_of_the_learner() {
    assert_eq!(mean_of_log("0.5,2\n2,1\n"), Some(1.0));
    assert_eq!(mean_of_log("0.5,2\n0.25,final\n"), Some(0.25));
    assert_eq!(mean_of_log(""), None);
    assert_eq!(mean_of_log("x,2\n"), None);
}

/// A log is looked for on the word of a file's name: it may be anything, and must not keep the listing from going on.
#[test]
#[cfg(unix)]
fn a_log_that_is_a_pipe_a_device_or_no_text_is_no_loss() {
    use std::os::unix::fs::symlink;
    let place = tempfile::tempdir().unwrap();
    let these = artifacts(place.path());
    let log = place.path().join("train/epoch-1/Loss.log");
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    fs::write(place.path().join("model-1.bpk"), b"weights").unwrap();
    let loss = || {
        let file = these.list().unwrap().remove(0);
        let taken = these.take(file, place.path().join("spool"), 100).unwrap();
        taken.spooled().unwrap().manifest().train_loss
    };
    let made = std::process::Command::new("mkfifo").arg(&log).status();
    assert!(made.unwrap().success());
    assert_eq!(loss(), None);
    fs::remove_file(&log).unwrap();
    symlink("/dev/zero", &log).unwrap();
    assert_eq!(loss(), None);
    fs::remove_file(&log).unwrap();
    for text in [&b"\xff\xfe,1"[..], b"NaN,3", b"inf,final", b"1e308,1e308"] {
        fs::write(&log, text).unwrap();
        assert_eq!(loss(), None);
    }
    fs::write(&log, "0.5,2").unwrap();
    assert_eq!(loss(), Some(0.5));
}
