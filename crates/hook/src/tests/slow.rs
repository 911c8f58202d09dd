//! What a training, and whoever asks at its end, is told of a disk that does nothing, or loses what matters most.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::common::*;
use super::dir;
use super::faults::faulty::{ENOSPC, Fate, Faulty, Operation};
use super::faults::{TAKEN, hook_on, steps, trained};
use crate::{Hook, Stats};

/// A door in front of the disk.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

#[test]
fn a_training_does_not_wait_for_a_disk_that_does_nothing() {
    let _guard = one_at_a_time();
    let (root, door) = (dir(), Door::default());
    let system = {
        let door = door.clone();
        Faulty::new(move |_, _| {
            door.pass();
            Fate::Done
        })
    };
    let hook = hook_on(root.path(), &system);
    // The door opens once the training has taken its last checkpoint. A training that waits for the disk never does.
    let opener = {
        let hook = hook.clone();
        thread::spawn(move || {
            let started = Instant::now();
            while hook.stats().snapshots < TAKEN && started.elapsed() < Duration::from_secs(120) {
                thread::sleep(Duration::from_millis(2));
            }
            let stats = hook.stats();
            door.open();
            stats
        })
    };
    let stats = trained(&hook);
    let before = opener.join().unwrap();
    assert_eq!(
        (before.snapshots, before.published),
        (TAKEN, 0),
        "{before:?}"
    );
    assert_eq!(stats.failed, 0, "{stats:?}");
    assert_eq!(stats.published + stats.dropped, TAKEN, "{stats:?}");
    // The ends of the epochs waited; of the steps, the newest of each did.
    let steps = steps(root.path());
    assert_eq!(steps.len() as u64, stats.published);
    for end in 1..=EPOCHS {
        assert!(steps.contains(&((end * STEPS) as u64)), "{steps:?}");
    }
}

/// Waits until as many ends of epochs are settled.
pub(super) fn settle(hook: &Hook, epochs: u64) {
    let settled = |stats: Stats| stats.published + stats.failed + stats.held_back;
    let started = Instant::now();
    while settled(hook.stats()) < epochs {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{:?}",
            hook.stats()
        );
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_best_epoch_that_is_lost_does_not_hold_back_the_next_best() {
    let _guard = one_at_a_time();
    let root = dir();
    let system = Faulty::new(|_, operation| {
        let is_second = operation.path().to_string_lossy().contains("epoch-000002");
        match is_second && matches!(operation, Operation::Rename(..)) {
            true => Fate::Fails(ENOSPC),
            false => Fate::Done,
        }
    });
    let hook = hook_on(root.path(), &system).on_improvement();
    let model = template();
    for (epoch, loss) in [(1, 1.0), (2, 0.1), (3, 0.5), (4, 0.7)] {
        hook.valid_loss(epoch, loss);
        hook.on_epoch_end(epoch, epoch, None, &model);
        settle(&hook, epoch as u64);
    }
    assert!(hook.finish());
    assert_eq!(steps(root.path()), [1, 3]);
    assert_eq!((hook.stats().failed, hook.stats().held_back), (1, 1));
}

#[test]
fn an_end_that_is_not_on_the_disk_is_not_said_to_be() {
    let _guard = one_at_a_time();
    let model = template();
    let finished = |fails: fn(&Operation) -> bool| {
        let root = dir();
        // After the run was opened.
        let system = Faulty::new(move |n, operation| match n > 6 && fails(operation) {
            true => Fate::Fails(ENOSPC),
            false => Fate::Done,
        });
        let hook = hook_on(root.path(), &system);
        hook.on_epoch_end(1, 1, None, &model);
        hook.finish()
    };
    assert!(finished(|_| false));
    assert!(!finished(|_| true));
    // The last weights, and the status that says that the run has ended.
    assert!(!finished(|it| it.path().to_string_lossy().contains(".bpk")));
    assert!(!finished(|it| it.path().ends_with("run.json")));
}
