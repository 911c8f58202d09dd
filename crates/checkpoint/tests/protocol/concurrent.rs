//! Writer and reader at the same time, and writers that are killed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use mirrorwatch_checkpoint::{RunWriter, list_checkpoints, spool};

use crate::faulty::{Fate, Faulty, Operation};
use crate::{MAX, at, listed, names, only, root};

/// Weights that show by themselves whether they are whole: one byte repeated.
fn weights(content: u8) -> Vec<u8> {
    vec![content; 20_000 + usize::from(content)]
}

#[test]
fn a_reader_never_sees_half_a_checkpoint() {
    const STEPS: u64 = 150;
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap().with_keep(2);
    let done = AtomicBool::new(false);
    let mut verified = BTreeSet::new();
    let mut looks = 0_u64;
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..STEPS {
                // Every third one replaces the step before, with other content.
                writer
                    .publish(at(0, i - u64::from(i % 3 == 2)), &weights(i as u8))
                    .unwrap();
                assert!(writer.take_warning().is_none());
            }
            done.store(true, Ordering::Release);
        });
        let mut last = false;
        while !last {
            last = done.load(Ordering::Acquire);
            looks += 1;
            for found in listed(root.path()).manifests {
                match spool(&found, root.path().join(".spool"), MAX) {
                    Ok(spooled) => {
                        let bytes = spooled.read_verified().unwrap();
                        assert_eq!(bytes, weights(bytes[0]));
                        verified.insert(found.manifest.sequence);
                    }
                    Err(error) => assert_eq!(error.reason(), "vanished", "{error}"),
                }
            }
        }
    });
    assert!(looks > 1);
    assert!(verified.contains(&STEPS));
    assert!(names(&root.path().join(".spool")).is_empty());
}

/// A system on which the first status that is written once `armed` is set waits for both.
fn pausing(armed: &Arc<AtomicBool>, both: [&Arc<Barrier>; 2]) -> Faulty {
    let (armed, both) = (Arc::clone(armed), both.map(Arc::clone));
    Faulty::new(move |_, operation| {
        let is_status = matches!(operation, Operation::Create(path)
            if path.to_string_lossy().contains("run.json"));
        if is_status && armed.swap(false, Ordering::SeqCst) {
            for barrier in &both {
                barrier.wait();
            }
        }
        Fate::Done
    })
}

#[test]
fn what_one_writer_commits_again_another_does_not_remove() {
    let root = root();
    let armed = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let [start, checked, again] = [(); 3].map(|()| Arc::new(Barrier::new(2)));
    let open = |system: Faulty| RunWriter::create_on(system.shared(), root.path(), "r").unwrap();
    let mut one = open(pausing(&armed[0], [&start, &checked]));
    let mut other = open(pausing(&armed[1], [&checked, &again]));
    for armed in &armed {
        armed.store(true, Ordering::SeqCst);
    }
    thread::scope(|scope| {
        // After the first's commit, and before it says so; it goes on to the removal of what it has replaced only when
        // the first has committed the same weights again.
        scope.spawn(|| {
            start.wait();
            other.publish(at(1, 1), &weights(2)).unwrap();
        });
        one.publish(at(1, 1), &weights(1)).unwrap();
        one.publish(at(1, 1), &weights(1)).unwrap();
        again.wait();
    });
    let spooled = spool(&only(root.path()), root.path().join(".spool"), MAX).unwrap();
    assert_eq!(spooled.read_verified().unwrap(), weights(1));
}

/// Not a test of its own: the process that the next test kills. Publishes until then.
#[test]
fn child_writer() {
    let Some(root) = std::env::var_os("MIRRORWATCH_TEST_CHILD_ROOT") else {
        return;
    };
    let mut writer = RunWriter::create(Path::new(&root), "r")
        .unwrap()
        .with_keep(3);
    for step in 0.. {
        writer
            .publish(at(step % 4, step), &weights(step as u8))
            .unwrap();
    }
}

/// The writer that has last taken up run `r`.
fn instance(root: &Path) -> Option<String> {
    let listing = list_checkpoints(root, "r").ok()?;
    Some(listing.status?.instance)
}

#[test]
fn a_killed_writer_leaves_only_whole_checkpoints() {
    let root = root();
    let mut before = None;
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "concurrent::child_writer"])
            .env("MIRRORWATCH_TEST_CHILD_ROOT", root.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while instance(root.path()) == before {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "the child does not start"
            );
            thread::sleep(Duration::from_millis(1));
        }
        before = instance(root.path());
        thread::sleep(Duration::from_millis(17 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let listing = list_checkpoints(root.path(), "r").unwrap();
        assert!(listing.rejected.is_empty(), "{:?}", listing.rejected);
        for found in &listing.manifests {
            let spooled = spool(found, root.path().join(".spool"), MAX).unwrap();
            let bytes = spooled.read_verified().unwrap();
            assert_eq!(bytes, weights(bytes[0]));
        }
        // One more than is kept where the writer was killed before retention.
        assert!(listing.manifests.len() <= 4);
    }
    assert!(!listed(root.path()).manifests.is_empty());
    let writer = RunWriter::create(root.path(), "r").unwrap();
    let names = names(writer.directory());
    assert!(
        !names.iter().any(|name| name.ends_with(".tmp")),
        "{names:?}"
    );
}
