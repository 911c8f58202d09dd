//! Scans that read what training has consumed since the last one.

use crate::support::data::TRAIN;
use crate::support::place::Place;
use crate::support::results::{Results, assert_found};
use crate::support::trainer::Trainer;

/// Steps of the trainer's epoch, and samples of a step.
const STEPS: usize = 15;
const BATCH: usize = TRAIN / STEPS;

#[test]
fn a_scan_reads_what_was_consumed_and_finds_what_is_wrong() {
    let place = Place::new();
    // Three checkpoints an epoch, of which none is that of its end.
    let hook = place.hook("r").every_steps(4);
    let mut trainer = Trainer::new(&place.data, hook);
    trainer.epochs(6);
    trainer.finish();
    place
        .watch("state")
        .with(&["--until-finished", "--consumed-only"])
        .run()
        .expect(0);
    let results = Results::new(&place.at("state"), "r");
    let read: Vec<usize> = results.summaries().iter().map(|s| s.read_samples).collect();
    assert_eq!(read[0], TRAIN, "the first scan reads everything: {read:?}");
    assert!(read.len() > 20, "{read:?}");
    // And the one after step 60, which was published twice: as a fourth step and as the end of an epoch.
    let (whole, windows): (Vec<usize>, Vec<usize>) =
        read[1..].iter().partition(|read| **read == TRAIN);
    assert!(whole.len() <= 1, "{read:?}");
    assert!(windows.iter().all(|read| *read <= 4 * BATCH), "{read:?}");
    assert_found(&place.data, &results.last_suspects());
}

#[test]
fn where_it_is_not_known_what_was_consumed_everything_is_read() {
    let place = Place::new();
    // Whole epochs: all of them is what was consumed.
    place.finished_run("r", 3);
    for (state, options) in [
        ("without", vec!["--until-finished"]),
        ("with", vec!["--until-finished", "--consumed-only"]),
    ] {
        place.watch(state).with(&options).run().expect(0);
    }
    let scores = |state| Results::new(&place.at(state), "r").last_scores();
    assert!(scores("without") == scores("with"));
    let refused = place
        .watch("state")
        .with(&["--consumed-only", "--budget", "2"])
        .run()
        .expect(2);
    assert!(
        refused.stderr.contains("cannot be used with"),
        "{}",
        refused.story()
    );
}
