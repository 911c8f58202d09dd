//! Random sequences of what a training process does, against a model of what must be there.

use mirrorwatch_checkpoint::{DEFAULT_KEEP, RunWriter, spool};
use proptest::prelude::*;

use crate::{MAX, at, listed, names, root};

#[derive(Debug, Clone)]
enum Action {
    Publish {
        epoch: u64,
        step: u64,
        content: u8,
    },
    Keep(usize),
    /// The process ends, another one takes the run up.
    Resume,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0_u64..2, 0_u64..4, 0_u8..3)
            .prop_map(|(epoch, step, content)| Action::Publish { epoch, step, content }),
        1 => (0_usize..5).prop_map(Action::Keep),
        1 => Just(Action::Resume),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn what_is_kept_is_the_newest_and_whole(actions in prop::collection::vec(action(), 1..16)) {
        let root = root();
        let mut writer = RunWriter::create(root.path(), "r").unwrap();
        let mut keep = DEFAULT_KEEP;
        // Epoch, step and content, oldest first.
        let mut model: Vec<(u64, u64, u8)> = Vec::new();
        let mut sequence = 0;
        for action in actions {
            match action {
                Action::Publish { epoch, step, content } => {
                    let manifest = writer.publish(at(epoch, step), &[content; 9]).unwrap();
                    prop_assert!(writer.take_warning().is_none());
                    sequence += 1;
                    prop_assert_eq!(manifest.sequence, sequence);
                    model.retain(|kept| (kept.0, kept.1) != (epoch, step));
                    model.push((epoch, step, content));
                    model.drain(..model.len().saturating_sub(keep));
                }
                Action::Keep(n) => {
                    writer = writer.with_keep(n);
                    keep = n.max(1);
                }
                Action::Resume => {
                    writer = RunWriter::create(root.path(), "r").unwrap();
                    keep = DEFAULT_KEEP;
                    sequence = 0;
                }
            }
            let mut read = Vec::new();
            for found in listed(root.path()).manifests {
                let spooled = spool(&found, root.path().join(".spool"), MAX).unwrap();
                let bytes = spooled.read_verified().unwrap();
                read.push((found.manifest.epoch, found.manifest.step, bytes[0]));
            }
            prop_assert_eq!(&read, &model);
            prop_assert_eq!(names(writer.directory()).len(), 2 * model.len() + 1);
        }
    }
}
