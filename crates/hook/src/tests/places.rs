//! A run's directory that is taken away, replaced, used again or used by two at once, under a training.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::common::log::Log;
use super::common::*;
use super::dir;
use super::faults::faulty::{Fate, Faulty};
use super::faults::{LAST, TAKEN, hand_loop, hook_on, plain, steps, trained, whole};
use super::slow::settle;
use crate::Hook;

/// A system whose operation `number` finds that something was done to the run's directory.
fn after(number: usize, root: &Path, what: impl Fn(&Path) + Send + Sync + 'static) -> Faulty {
    let run = root.join("run");
    Faulty::new(move |n, _| {
        if n == number {
            what(&run);
        }
        Fate::Done
    })
}

#[test]
fn a_directory_that_is_replaced_for_good_costs_the_rest_and_one_warning() {
    let _guard = one_at_a_time();
    plain();
    let replacements: [fn(&Path); 4] = [
        |run| fs::write(run, "a file").unwrap(),
        |run| symlink("nowhere", run).unwrap(),
        |run| symlink(run, run).unwrap(),
        |run| {
            let elsewhere = run.with_file_name("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            symlink(elsewhere, run).unwrap();
        },
    ];
    let mut trainings = 0;
    for (kind, replace) in replacements.into_iter().enumerate() {
        // All moments of the second checkpoint. A link in the middle of one would be written through: only the last.
        let moments = if kind == 3 { 36..37 } else { 22..38 };
        for number in moments {
            let (root, log) = (dir(), Log::start());
            let system = after(number, root.path(), move |run| {
                fs::rename(run, run.with_file_name("taken")).unwrap();
                replace(run);
            });
            let stats = trained(&hook_on(root.path(), &system));
            let what = format!("{kind} at {number}: {stats:?}, {:?}", log.warnings());
            assert!(stats.published > 0 && stats.failed > 0, "{what}");
            assert_eq!(log.warnings().len(), 1, "{what}");
            let settled = stats.published + stats.failed + stats.dropped;
            assert!(settled >= TAKEN, "{what}");
            // What was published before is where the directory is now.
            fs::remove_file(root.path().join("run")).unwrap();
            fs::rename(root.path().join("taken"), root.path().join("run")).unwrap();
            assert_eq!(steps(root.path()).len() as u64, stats.published, "{what}");
            trainings += 1;
        }
    }
    println!("{trainings} trainings");
}

#[test]
fn a_directory_that_is_deleted_comes_back() {
    let _guard = one_at_a_time();
    plain();
    for number in 22..38 {
        let (root, log) = (dir(), Log::start());
        let system = after(number, root.path(), |run| fs::remove_dir_all(run).unwrap());
        let stats = trained(&hook_on(root.path(), &system));
        let what = format!("at {number}: {stats:?}, {:?}", log.warnings());
        assert!(log.warnings().len() <= 1, "{what}");
        assert!(stats.failed <= 1, "{what}");
        let settled = stats.published + stats.failed + stats.dropped;
        assert_eq!(settled, TAKEN, "{what}");
        // What came after is there, and the end of the training.
        assert_eq!(steps(root.path()).last(), Some(&LAST), "{what}");
    }
}

#[test]
fn a_directory_that_is_deleted_all_the_time_changes_nothing() {
    let _guard = one_at_a_time();
    let (root, log) = (dir(), Log::start());
    let run = root.path().join("run");
    let system = Faulty::new(move |n, _| {
        if n % 3 == 0 {
            fs::remove_dir_all(&run).ok();
        }
        Fate::Done
    });
    let stats = trained(&hook_on(root.path(), &system));
    let what = format!("{stats:?}, {:?}", log.warnings());
    assert!(stats.failed > 0, "{what}");
    assert_eq!(log.warnings().len(), 1, "{what}");
}

#[test]
fn a_clock_that_jumps_all_the_time_changes_nothing() {
    let _guard = one_at_a_time();
    let (root, log) = (dir(), Log::start());
    let clock = Faulty::sound();
    let system = {
        let clock = clock.clone();
        clock.clone().under(move |n, _| {
            // From 1970 to 3300 and back, in no order.
            let seconds = (n as u64 * 7_919_000_003) % 42_000_000_000;
            clock.set_clock(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            Fate::Done
        })
    };
    let stats = trained(&hook_on(root.path(), &system).keep(2));
    assert_eq!(stats.failed, 0, "{stats:?}");
    assert_eq!(stats.published + stats.dropped, TAKEN, "{stats:?}");
    assert!(log.warnings().is_empty(), "{:?}", log.warnings());
    let steps = steps(root.path());
    assert!(steps.is_sorted() && steps.len() == 2, "{steps:?}");
    assert_eq!(steps.last(), Some(&LAST));
}

#[test]
fn a_second_run_of_the_same_name_takes_the_directory_up() {
    let _guard = one_at_a_time();
    let (root, log) = (dir(), Log::start());
    let first = trained(&hook_on(root.path(), &Faulty::sound()));
    let before = steps(root.path());
    let second = trained(&hook_on(root.path(), &Faulty::sound()));
    for stats in [&first, &second] {
        assert_eq!(stats.failed, 0, "{stats:?}");
        assert_eq!(stats.published + stats.dropped, TAKEN, "{stats:?}");
    }
    assert!(log.warnings().is_empty(), "{:?}", log.warnings());
    let now = whole(root.path());
    // There still, or replaced by the same step of the second.
    let there = steps(root.path());
    assert!(before.iter().all(|step| there.contains(step)), "{there:?}");
    let instance = &now.last().unwrap().0.manifest.instance;
    let newest = now
        .iter()
        .filter(|(found, _)| found.manifest.instance == *instance);
    assert_eq!(newest.count() as u64, second.published);
}

#[test]
fn two_hooks_in_one_directory_lose_nothing_and_say_so_once() {
    let _guard = one_at_a_time();
    let plain = hand_loop(None, |_| {});
    let model = template();
    for round in 0..10 {
        let (root, log) = (dir(), Log::start());
        let open = || Hook::new(root.path(), "run").every_steps(1).keep(100);
        let (one, other) = (open(), open());
        // Both are at work before anything is compared, however late their threads are started.
        for hook in [&one, &other, &one] {
            let before = hook.stats().published;
            hook.on_epoch_end(0, before as usize, None, &model);
            settle(hook, before + 1);
        }
        let left = hand_loop(Some(&one), |step| {
            // The same steps as the other's, with other weights.
            other.on_epoch_end(step.div_ceil(STEPS), step, None, &model);
        });
        assert_eq!(left, plain);
        assert!(one.finish() && other.finish());
        let warnings = log.warnings();
        let (one, other) = (one.stats(), other.stats());
        let what = format!("round {round}: {one:?}, {other:?}, {warnings:?}");
        assert_eq!((one.failed, other.failed), (0, 0), "{what}");
        assert_eq!(warnings.len(), 2, "{what}");
        for warning in warnings {
            assert!(warning.contains("give each training a run name"), "{what}");
        }
        // All are whole, and the last of one or of the other is there.
        assert!(steps(root.path()).contains(&LAST), "{what}");
    }
}
