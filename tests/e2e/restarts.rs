//! A sidecar that is stopped or killed goes on where it was.

use crate::support::place::Place;
use crate::support::results::Results;

const CHECKPOINTS: usize = 6;

/// A finished run, and the results of a sidecar that went through it without interruption.
fn undisturbed(place: &Place) -> Results {
    place.finished_run("r", CHECKPOINTS);
    place
        .watch("reference")
        .with(&["--until-finished"])
        .run()
        .expect(0);
    Results::new(&place.at("reference"), "r")
}

/// Scores are a running mean over all checkpoints: one that was counted twice, or never, or in
/// another order, changes their bits. The history has each checkpoint by itself.
#[track_caller]
fn assert_same(reference: &Results, results: &Results) {
    assert_same_scores(&reference.last_scores(), results);
    assert!(
        reference.last_histories() == results.last_histories(),
        "the suspects or their histories differ from those of a run without interruption"
    );
    assert_eq!(reference.kept_history(), results.kept_history());
}

#[track_caller]
fn assert_same_scores(reference: &(String, Vec<u8>), results: &Results) {
    let last = results.last_scores();
    assert_eq!(last.0, reference.0);
    assert!(
        last.1 == reference.1,
        "{} differs from a run without interruption",
        last.0
    );
}

#[test]
fn a_sidecar_that_is_restarted_continues_and_counts_nothing_twice() {
    let place = Place::new();
    let reference = undisturbed(&place);

    let mut first = place.watch("state").start();
    first.wait_for_scans(1);
    let finished = first.terminate().expect(0);
    assert!(
        finished.stderr.contains("SIGTERM received"),
        "{}",
        finished.story()
    );
    let results = Results::new(&place.at("state"), "r");
    let before = results.summaries().len();
    assert!(
        (1..CHECKPOINTS).contains(&before),
        "the restart was to be in the middle, not after {before} scans"
    );

    let mut second = place.watch("state").start();
    let rest = (CHECKPOINTS - before) as u64;
    let scrape = second.wait_for_scans(rest);
    assert_eq!(
        scrape.done(),
        rest as f64,
        "what the first one did is not done again"
    );
    assert_eq!(
        scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}"),
        Some(6.0)
    );
    assert!(
        second
            .log()
            .contains("continuing with the evidence on disk"),
        "{}",
        second.log()
    );
    let counted: Vec<u32> = results.summaries().iter().map(|s| s.checkpoints).collect();
    assert_eq!(counted, [1, 2, 3, 4, 5, 6]);
    assert_same(&reference, &results);

    // And once more with nothing left to do: the count is there at once.
    second.terminate().expect(0);
    let mut third = place.watch("state").start();
    let scrape = third.wait_for("the count of before", |scrape| {
        !scrape.series("mirrorwatch_suspects").is_empty()
    });
    assert_eq!(scrape.done(), 0.0);
    let count = results.last_suspects().len() as f64;
    assert_eq!(scrape.value("mirrorwatch_suspects{run=\"r\"}"), Some(count));
}

#[test]
fn a_sidecar_that_is_killed_loses_nothing_and_counts_nothing_twice() {
    let place = Place::new();
    let reference = undisturbed(&place);

    let mut evidence = 0.0;
    for round in 1.. {
        let mut sidecar = place.watch("state").start();
        // After one more scan, and then wherever it happens to be.
        let scrape = sidecar.wait_for_scans(1);
        evidence = scrape
            .value("mirrorwatch_evidence_checkpoints{run=\"r\"}")
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(70 * round));
        sidecar.kill();
        if evidence >= 3.0 {
            break;
        }
    }
    assert!(evidence < 6.0, "nothing is left for the last one");

    let mut last = place.watch("state").start();
    last.wait_for("all checkpoints to be in the evidence", |scrape| {
        scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}") == Some(6.0)
    });
    let state = last.state.clone();
    last.terminate().expect(0);
    assert_same(&reference, &Results::new(&state, "r"));
    // What the killed ones had spooled is as large as the weights: it must not pile up.
    let left: Vec<_> = std::fs::read_dir(state.join("spool")).unwrap().collect();
    assert!(left.is_empty(), "left in the spool: {left:?}");
}

#[test]
fn evidence_that_is_damaged_is_set_aside_and_made_again() {
    let place = Place::new();
    place.finished_run("r", 2);
    let watch = || place.watch("state").with(&["--until-finished"]);
    watch().run().expect(0);
    let results = Results::new(&place.at("state"), "r");
    let scores = results.last_scores();
    let run = place.at("state").join("runs/r");
    let mut bytes = std::fs::read(run.join("state.bin")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(run.join("state.bin"), &bytes).unwrap();

    let finished = watch().run().expect(0);
    assert!(
        finished
            .stderr
            .contains("starting this run's evidence afresh"),
        "{}",
        finished.story()
    );
    assert_same_scores(&scores, &results);
    let mut aside = 0;
    for entry in std::fs::read_dir(&run).unwrap() {
        let path = entry.unwrap().path();
        aside += usize::from(path.is_file() && std::fs::read(path).unwrap() == bytes);
    }
    assert_eq!(
        aside, 1,
        "the damaged file is kept for whoever wants to look at it"
    );
}
