//! What the kernel's limits do: an overflow of its queue of events, and links that would use up its watches.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use notify::{RecursiveMode, Watcher};

use super::{EVENTS, publish};
use crate::watch::events::Events;
use crate::watch::tests::bench::Watching;

const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this process watches a directory by inotify.
fn is_watched(directory: &Path) -> bool {
    let wanted = format!("ino:{:x}", fs::metadata(directory).unwrap().ino());
    for entry in fs::read_dir("/proc/self/fdinfo").unwrap() {
        // Those of other tests' threads come and go.
        let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        let mut watches = text.lines().filter(|line| line.starts_with("inotify"));
        if watches.any(|line| line.split(' ').any(|word| word == wanted)) {
            return true;
        }
    }
    false
}

#[test]
fn nothing_is_watched_but_the_root_and_its_runs() {
    let mut watching = Watching::start(EVENTS);
    let root = watching.root.clone();
    let outside = root.with_file_name("outside");
    let run = root.join("r");
    for place in [&outside, &run] {
        fs::create_dir_all(place.join("below/it")).unwrap();
    }
    for name in ["link", "r/link"] {
        symlink(&outside, root.join(name)).unwrap();
    }
    symlink(&root, run.join("cycle")).unwrap();
    symlink("/", root.join("everything")).unwrap();
    for step in [1, 2] {
        let checkpoint = publish(&root, "r", step);
        watching.wait_for(&checkpoint);
    }
    assert!(is_watched(&root) && is_watched(&run));
    for other in [outside.clone(), outside.join("below"), run.join("below")] {
        assert!(!is_watched(&other), "{}", other.display());
    }
    assert!(!is_watched(Path::new("/usr")));
}

/// More events than the kernel keeps, while nobody reads them. A recursive watch would not hear of directories that were
/// made meanwhile, nor of anything in them later.
#[test]
fn after_an_overflow_everything_is_watched_anew() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("runs");
    fs::create_dir_all(root.join("old")).unwrap();
    let directories = |runs: &[&str]| {
        let mut all = BTreeSet::from([root.clone()]);
        all.extend(runs.iter().map(|run| root.join(run)));
        all
    };
    let (hint, hints) = bounded(1);
    let mut events = Events::new(vec![root.clone()], hint);
    events.renew(&directories(&["old"]));

    // A witness of our own, which is kept from reading in the same way.
    let (gate, overflowed) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
    let witness = (gate.clone(), overflowed.clone());
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        drop(witness.0.lock().unwrap());
        if event.is_ok_and(|event| event.need_rescan()) {
            witness.1.store(true, Ordering::Relaxed);
        }
    })
    .unwrap();
    watcher.watch(&root, RecursiveMode::NonRecursive).unwrap();

    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    {
        let _shut = (events.shared.watched(), gate.lock().unwrap());
        // Each file is made, opened, closed and removed.
        for number in 0..limit / 3 {
            let path = root.join(number.to_string());
            fs::write(&path, b"").unwrap();
            fs::remove_file(&path).unwrap();
        }
        fs::create_dir(root.join("new")).unwrap();
        fs::remove_dir(root.join("old")).unwrap();
        fs::create_dir(root.join("old")).unwrap();
    }
    let wait = |flag: &AtomicBool| {
        let start = Instant::now();
        while !flag.load(Ordering::Relaxed) {
            assert!(start.elapsed() < PATIENCE, "no overflow");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait(&overflowed);
    wait(&events.shared.lost);
    assert!(hints.try_recv().is_ok(), "a listing is asked for");
    events.renew(&directories(&["old", "new"]));
    for run in ["old", "new"] {
        while hints.try_recv().is_ok() {}
        publish(&root, run, 1);
        let heard = hints.recv_timeout(PATIENCE);
        assert!(heard.is_ok() && is_watched(&root.join(run)), "{run}");
    }
}
