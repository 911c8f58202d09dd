//! The watching thread over real directories that are laid hands on.

mod bench;
#[cfg(target_os = "linux")]
mod kernel;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use mirrorwatch_checkpoint::{RunWriter, Snapshot};

use super::WatchOptions;
use crate::intake::tests::files::place::{Outside, Place};
use crate::intake::tests::files::run_cases;
use crate::intake::tests::files::step::{RUNS, Step};
use bench::Watching;

/// Only events, or only the clock.
const EVENTS: WatchOptions = WatchOptions {
    rescan: Duration::from_secs(86_400),
    poll: false,
};
const POLLING: WatchOptions = WatchOptions {
    rescan: Duration::from_millis(50),
    poll: true,
};

fn publish(root: &Path, run: &str, step: u64) -> (String, u64) {
    let mut writer = RunWriter::create(root, run).unwrap().with_keep(1000);
    let snapshot = Snapshot {
        step,
        ..Snapshot::default()
    };
    writer.publish(snapshot, &step.to_le_bytes()).unwrap();
    (run.to_string(), step)
}

/// Two checkpoints: the first may be found with what was done to the directories, the second tells that they are heard.
fn still_heard(watching: &mut Watching, step: &mut u64) {
    for _ in 0..2 {
        *step += 1;
        let checkpoint = publish(&watching.root, "r", *step);
        watching.wait_for(&checkpoint);
    }
}

fn replaced(options: WatchOptions, rounds: usize) {
    let mut watching = Watching::start(options);
    let root = watching.root.clone();
    let run = root.join("r");
    let beside = root.with_file_name("beside");
    fs::create_dir(&beside).unwrap();
    let mut step = 0;
    still_heard(&mut watching, &mut step);
    for round in 0..rounds {
        for (place, remade) in [(&run, "run"), (&root, "root")] {
            let aside = beside.join(format!("{remade}-{round}"));
            // The inode is the same again on many file systems.
            fs::remove_dir_all(place).unwrap();
            fs::create_dir(place).unwrap();
            still_heard(&mut watching, &mut step);

            fs::rename(place, &aside).unwrap();
            fs::rename(&aside, place).unwrap();
            still_heard(&mut watching, &mut step);

            let other = beside.join("other");
            fs::create_dir(&other).unwrap();
            fs::rename(place, &aside).unwrap();
            fs::rename(&other, place).unwrap();
            still_heard(&mut watching, &mut step);
        }
    }
    println!("{} checkpoints taken", watching.taken.len());
    assert_eq!(watching.taken.len() as u64, step);
}

#[test]
fn directories_that_are_made_again_moved_or_exchanged_are_heard_on() {
    replaced(EVENTS, 4);
}

#[test]
fn directories_that_are_exchanged_are_found_by_polling() {
    replaced(POLLING, 4);
}

fn whatever_happens(options: WatchOptions, cases: u32) {
    let outside = Outside::new();
    run_cases(cases, 60, |steps, count| {
        let mut watching = Watching::start(options);
        let root = watching.root.clone();
        let mut place = Place::new(&root, &root.with_file_name("beside"), &outside);
        let mut due = BTreeSet::new();
        for &step in steps {
            let effect = place.apply(step);
            count(step, effect);
            match step {
                Step::Publish(run, stem, _) if effect => {
                    // The one before of the same step may be gone before it is seen.
                    let (epoch, step) = crate::intake::tests::files::step::STEMS[stem];
                    due.insert((run, epoch, step));
                }
                Step::List => std::thread::sleep(Duration::from_millis(20)),
                _ => {}
            }
        }
        // Nothing but publications has happened to these, so they are there still.
        due.retain(|(run, ..)| !place.disturbed.contains(run));
        for (run, epoch, step) in due {
            watching.wait_until(&place, |it| {
                (it.0.as_str(), it.1, it.2) == (RUNS[run], epoch, step)
            });
        }
        fs::create_dir_all(&root).unwrap();
        for last in [9, 10] {
            for (run, name) in RUNS.iter().enumerate() {
                place.clear(run);
                assert!(place.publish(run, 9, last, run as u8));
                watching.wait_until(&place, |it| (it.0.as_str(), it.1, it.2) == (*name, 9, last));
            }
        }
    });
}

#[test]
fn whatever_happens_to_files_events_tell_of_what_is_published() {
    whatever_happens(EVENTS, 24);
}

#[test]
fn whatever_happens_to_files_polling_finds_what_is_published() {
    whatever_happens(POLLING, 24);
}
