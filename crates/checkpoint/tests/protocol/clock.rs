//! A clock that jumps: the order of checkpoints, what is kept and what is cleared away do not depend on it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mirrorwatch_checkpoint::{RunWriter, spool};
use proptest::prelude::*;

use crate::faulty::{Fate, Faulty, Operation};
use crate::{MAX, at, listed, root};

const YEAR: u64 = 31_556_952;

/// Anything that a clock may say, from before 1970 to the far future.
fn time() -> impl Strategy<Value = SystemTime> {
    prop_oneof![
        Just(UNIX_EPOCH - Duration::from_secs(YEAR)),
        Just(UNIX_EPOCH),
        (0..3_000 * YEAR).prop_map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        (0..50_u64).prop_map(|micros| UNIX_EPOCH
            + Duration::from_secs(56 * YEAR)
            + Duration::from_micros(micros)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn the_order_and_what_is_kept_do_not_depend_on_the_clock(
        jumps in prop::collection::vec((time(), any::<bool>()), 1..12),
    ) {
        let (root, system) = (root(), Faulty::sound());
        let open = || {
            RunWriter::create_on(system.shared(), root.path(), "r").map(|writer| writer.with_keep(3))
        };
        let mut writer = open().unwrap();
        for (step, (time, resumes)) in jumps.into_iter().enumerate() {
            system.set_clock(time);
            if resumes {
                writer = open().unwrap();
            }
            writer.publish(at(0, step as u64), &[step as u8; 9]).unwrap();
            prop_assert!(writer.take_warning().is_none());
            let mut steps = Vec::new();
            for found in listed(root.path()).manifests {
                let spooled = spool(&found, root.path().join(".spool"), MAX).unwrap();
                prop_assert_eq!(spooled.read_verified().unwrap()[0], found.manifest.step as u8);
                steps.push(found.manifest.step);
            }
            let expected: Vec<u64> = (step.saturating_sub(2) as u64..=step as u64).collect();
            prop_assert_eq!(steps, expected);
        }
    }
}

#[test]
fn a_clock_that_jumps_between_weights_and_manifest_loses_neither() {
    let root = root();
    let system = Faulty::sound();
    let later = UNIX_EPOCH + Duration::from_secs(100 * YEAR);
    let jumping = {
        let clock = system.clone();
        system.under(move |_, operation| {
            if matches!(operation, Operation::Rename(_, to) if to.extension() == Some("bpk".as_ref()))
            {
                clock.set_clock(later);
            }
            Fate::Done
        })
    };
    let mut writer = RunWriter::create_on(jumping.shared(), root.path(), "r").unwrap();
    for step in 0..4 {
        system.set_clock(UNIX_EPOCH + Duration::from_secs(YEAR));
        writer.publish(at(0, step), &[step as u8; 9]).unwrap();
        assert!(writer.take_warning().is_none());
    }
    let found = listed(root.path()).manifests;
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|found| found.weights_path().exists()));
}
