//! Watching the root: by events and without, several runs, much at once, and its end.

use std::fs;

use crate::support::place::Place;
use crate::support::results::{Results, assert_found};
use crate::support::scrape::Scrape;
use crate::support::trainer::{Trainer, diverged};

const SEEN: &str = "mirrorwatch_checkpoints_seen_total";

#[test]
fn two_runs_under_one_root_are_two_series() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    let (mut one, mut two) = (place.trainer("one"), place.trainer("two"));
    one.epochs(2);
    two.epochs(1);
    let scrape = sidecar.wait_for_scans(3);
    let evidence = |scrape: &Scrape, run: &str| {
        scrape.value(&format!(
            "mirrorwatch_evidence_checkpoints{{run=\"{run}\"}}"
        ))
    };
    assert_eq!(evidence(&scrape, "one"), Some(2.0));
    assert_eq!(evidence(&scrape, "two"), Some(1.0));
    assert_eq!(scrape.series("mirrorwatch_suspects").len(), 2);

    one.finish();
    two.epochs(2);
    let scrape = sidecar.wait_for("one run to be finished and the other scanned", |scrape| {
        scrape.value("mirrorwatch_run_finished{run=\"one\"}") == Some(1.0)
            && evidence(scrape, "two") == Some(3.0)
    });
    assert_eq!(
        scrape.value("mirrorwatch_run_finished{run=\"two\"}"),
        Some(0.0)
    );
    assert_eq!(evidence(&scrape, "one"), Some(2.0));
    for (run, epoch) in [("one", 2), ("two", 3)] {
        let results = Results::new(&sidecar.state, run);
        let last = results.summaries().pop().unwrap();
        assert_eq!((last.run.as_str(), last.epoch), (run, epoch));
        assert_found(&place.data, &results.last_suspects());
    }
}

#[test]
fn of_many_checkpoints_at_once_each_is_scanned_or_counted_as_skipped() {
    let place = Place::new();
    let mut sidecar = place.watch("state").with(&["--queue", "2"]).start();
    let mut trainer = Trainer::new(&place.data, place.hook("fast").keep(3).every_steps(1));
    trainer.epochs(8);
    let published = trainer.published() as f64;
    // The hook, too, leaves out what it cannot write in time, but never the end of an epoch.
    assert!(published > 8.0, "{published}: nothing but the epochs' ends");
    trainer.finish();

    let scrape = sidecar.wait_for("everything to be accounted for", |scrape| {
        scrape.done() >= published && scrape.sum("mirrorwatch_queue_checkpoints") == 0.0
    });
    assert_eq!(scrape.failed(), 0.0, "{}", sidecar.log());
    assert_eq!(
        scrape.scanned() + scrape.skipped(),
        published,
        "{}",
        scrape.0
    );
    assert_eq!(scrape.sum(SEEN), published);
    let by_reason = ["superseded", "missed", "vanished", "repeated"].map(|reason| {
        let series = format!("mirrorwatch_checkpoints_skipped_total{{reason=\"{reason}\"}}");
        scrape.value(&series).unwrap()
    });
    assert_eq!(
        by_reason.iter().sum::<f64>(),
        scrape.skipped(),
        "no other reason"
    );
    // The newest wins: it is never the one that is left out.
    let last = Results::new(&sidecar.state, "fast")
        .summaries()
        .pop()
        .unwrap();
    assert_eq!(last.step, 120);
}

#[test]
fn a_checkpoint_that_is_published_twice_is_scanned_once_and_counted_twice() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    sidecar.wait_for_scans(1);
    // As a loop by hand does whose every so many steps fall on the end of an epoch.
    trainer.publish_again();
    let scrape = sidecar.wait_for("the second one to be counted", |s| s.done() >= 2.0);
    let repeated = "mirrorwatch_checkpoints_skipped_total{reason=\"repeated\"}";
    assert_eq!(scrape.value(repeated), Some(1.0));
    assert_eq!((scrape.scanned(), scrape.sum(SEEN)), (1.0, 2.0));
    trainer.epoch();
    let scrape = sidecar.wait_for_scans(2);
    assert_eq!(
        scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}"),
        Some(2.0)
    );
    assert_eq!(scrape.done(), 3.0);
}

#[test]
fn events_tell_of_a_checkpoint_long_before_the_next_listing() {
    let place = Place::new();
    let mut sidecar = place
        .watch("state")
        .with(&["--rescan-seconds", "86400"])
        .start();
    sidecar.wait_for("the first listing", |s| {
        s.sum("mirrorwatch_watch_rescans_total") > 0.0
    });
    let mut trainer = place.trainer("r");
    for epoch in 1..=2 {
        trainer.epoch();
        sidecar.wait_for_scans(epoch);
    }
    trainer.finish();
    sidecar.wait_for("the end of the run", |scrape| {
        scrape.value("mirrorwatch_run_finished{run=\"r\"}") == Some(1.0)
    });
}

#[test]
fn without_events_the_root_is_listed_again_and_again() {
    let place = Place::new();
    let options = ["--poll", "--rescan-seconds", "1"];
    let mut sidecar = place.watch("state").with(&options).start();
    // Nothing happens meanwhile, so nothing but the clock can cause these.
    let listings = "mirrorwatch_watch_rescans_total";
    sidecar.wait_for("four listings", |scrape| scrape.sum(listings) >= 4.0);
    let mut trainer = place.trainer("r");
    trainer.epoch();
    sidecar.wait_for_scans(1);
}

#[test]
fn a_root_that_is_removed_and_made_again_is_watched_on() {
    let place = Place::new();
    let mut sidecar = place
        .watch("state")
        .with(&["--rescan-seconds", "1"])
        .start();
    let mut trainer = place.trainer("before");
    trainer.epoch();
    trainer.finish();
    sidecar.wait_for_scans(1);

    fs::remove_dir_all(place.root()).unwrap();
    crate::support::wait::eventually("the sidecar to notice", || {
        match sidecar.log().contains("waiting for it to come back") {
            true => Ok(()),
            false => Err(sidecar.log()),
        }
    });
    assert_eq!(sidecar.get("/healthz").status, 200);

    let mut trainer = place.trainer("after");
    trainer.epoch();
    let scrape = sidecar.wait_for_scans(2);
    assert_eq!(
        scrape.value("mirrorwatch_last_scanned_epoch{run=\"after\"}"),
        Some(1.0)
    );
    trainer.epoch();
    sidecar.wait_for_scans(3);
}

#[test]
fn until_finished_ends_by_itself_when_all_is_scanned() {
    let place = Place::new();
    place.finished_run("one", 2);
    place.finished_run("two", 1);
    let finished = place
        .watch("state")
        .with(&["--until-finished"])
        .run()
        .expect(0);
    assert!(
        finished.stderr.contains("all runs have finished"),
        "{}",
        finished.story()
    );
    for (run, checkpoints) in [("one", 2), ("two", 1)] {
        let summaries = Results::new(&place.at("state"), run).summaries();
        assert_eq!(summaries.len(), checkpoints, "{run}");
    }
}

#[test]
fn until_finished_says_by_its_exit_code_that_a_checkpoint_failed() {
    let place = Place::new();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let net = diverged(trainer.net());
    trainer.publish(&net);
    trainer.finish();
    place
        .watch("state")
        .with(&["--until-finished"])
        .run()
        .expect(1);
    let summaries = Results::new(&place.at("state"), "r").summaries();
    assert_eq!(summaries.len(), 1, "the good one is scanned all the same");
}

#[test]
fn a_sidecar_can_be_tied_to_the_process_that_started_it() {
    let place = Place::new();
    let mut sidecar = place
        .watch("state")
        .with(&["--exit-on-stdin-close"])
        .start();
    assert_eq!(sidecar.get("/healthz").status, 200);
    sidecar.process.close_stdin();
    sidecar.process.finish().expect(0);
}
