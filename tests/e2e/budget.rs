//! Scans that keep to a price.

use crate::support::data::TRAIN;
use crate::support::place::Place;
use crate::support::results::{Results, assert_found};

const CHECKPOINTS: usize = 30;

#[test]
fn a_budget_for_everything_changes_nothing() {
    let place = Place::new();
    place.finished_run("r", 4);
    for (state, options) in [
        ("without", vec!["--until-finished"]),
        ("with", vec!["--until-finished", "--budget", "100000s"]),
    ] {
        place.watch(state).with(&options).run().expect(0);
    }
    let scores = |state| Results::new(&place.at(state), "r").last_scores();
    assert!(scores("without") == scores("with"));
}

#[test]
fn what_the_budget_has_nothing_for_is_left_out_and_counted() {
    let place = Place::new();
    place.finished_run("r", 4);
    let mut sidecar = place
        .watch("state")
        .with(&["--budget", "0.000001s"])
        .start();
    let scrape = sidecar.wait_for("four checkpoints", |scrape| scrape.done() == 4.0);
    let skipped = "mirrorwatch_checkpoints_skipped_total{reason=\"budget\"}";
    assert_eq!((scrape.value(skipped), scrape.scanned()), (Some(3.0), 1.0));
    // The first scan read everything, trusted samples too.
    let read = scrape.value("mirrorwatch_read_samples{run=\"r\"}");
    assert_eq!(read, Some(TRAIN as f64));
    assert!(sidecar.log().contains("skipped, to keep to the budget"));
    sidecar.terminate().expect(0);
    // A restart does not take them up again.
    let finished = place
        .watch("state")
        .with(&["--until-finished", "--budget", "0.000001s"])
        .run();
    finished.expect(0);
    assert_eq!(Results::new(&place.at("state"), "r").summaries().len(), 1);
}

#[test]
fn suspects_are_found_within_a_budget() {
    let place = Place::new();
    place.finished_run("r", CHECKPOINTS);
    place
        .watch("state")
        .with(&["--until-finished", "--budget", "15"])
        .run()
        .expect(0);
    let results = Results::new(&place.at("state"), "r");
    let summaries = results.summaries();
    let shares: Vec<f64> = summaries
        .iter()
        .map(|s| s.read_samples as f64 / TRAIN as f64)
        .collect();
    assert!(
        shares[0] == 1.0 && shares.iter().all(|share| *share <= 1.0),
        "{shares:?}"
    );
    // Whatever this machine's prices are, fifteen sweeps a checkpoint are enough for more than the first one, even where
    // something else made that one dear.
    assert!((2..=CHECKPOINTS).contains(&summaries.len()), "{shares:?}");
    assert_found(&place.data, &results.last_suspects());
}

#[test]
fn a_budget_that_is_none_is_refused() {
    let place = Place::new();
    let finished = place
        .watch("state")
        .with(&["--budget", "cheap"])
        .run()
        .expect(2);
    assert!(
        finished.stderr.contains("\"cheap\" is no budget"),
        "{}",
        finished.story()
    );
}
