//! Random sequences of what training and sidecar do, against the one rule.

use std::fs;

use mirrorwatch_checkpoint::Snapshot;
use proptest::prelude::*;

use super::bench::{Bench, newest, publish};

#[derive(Debug, Clone)]
enum Action {
    Publish,
    /// The same epoch and step again, with other weights.
    Republish,
    List,
    Pop,
    BreakManifest,
    RemoveWeights,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => Just(Action::Publish),
        1 => Just(Action::Republish),
        3 => Just(Action::List),
        2 => Just(Action::Pop),
        1 => Just(Action::BreakManifest),
        1 => Just(Action::RemoveWeights),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn every_checkpoint_ends_in_exactly_one_way(
        actions in prop::collection::vec(action(), 1..24),
        keep in 1usize..5,
    ) {
        let mut bench = Bench::new();
        let mut writer = bench.writer(keep);
        let mut published = 0;
        let mut step = 0;
        for action in actions {
            match action {
                Action::Publish => {
                    step += 1;
                    published += 1;
                    publish(&mut writer, step);
                }
                Action::Republish => {
                    published += 1;
                    let snapshot = Snapshot { epoch: step / 4, step, ..Snapshot::default() };
                    writer.publish(snapshot, &[published as u8; 9]).unwrap();
                }
                Action::List => { bench.intake.list(); }
                Action::Pop => { bench.pop(); }
                // Damage before anyone looked, as a full disk or a tidy hand would do it.
                Action::BreakManifest | Action::RemoveWeights => {
                    step += 1;
                    published += 1;
                    publish(&mut writer, step);
                    if matches!(action, Action::BreakManifest) {
                        fs::write(newest(&writer, ".json"), b"{").unwrap();
                    } else {
                        fs::remove_file(newest(&writer, ".bpk")).unwrap();
                    }
                }
            }
        }
        // A last one that is whole, or nobody could know of what was missed before it.
        publish(&mut writer, step + 1);
        published += 1;
        for _ in 0..3 {
            bench.intake.list();
        }
        while bench.pop() {}
        prop_assert_eq!(bench.seen(), published);
        prop_assert_eq!(bench.scanned.len() as u64 + bench.lost(), published);
    }
}
