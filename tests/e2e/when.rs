//! The sidecar may be started before or after the training, in any order.

use crate::support::place::Place;
use crate::support::results::{Results, assert_found};

#[test]
fn a_sidecar_that_was_there_first_scans_each_checkpoint_while_training_goes_on() {
    let place = Place::new();
    assert!(
        !place.root().exists(),
        "the sidecar makes the root by itself"
    );
    let mut sidecar = place.watch("state").start();
    let scrape = sidecar.scrape();
    assert_eq!(scrape.done(), 0.0);
    assert!(
        scrape.series("mirrorwatch_suspects").is_empty(),
        "no run, no count"
    );

    let mut trainer = place.trainer("live");
    for epoch in 1..=3 {
        trainer.epoch();
        let scrape = sidecar.wait_for_scans(epoch);
        let value = |name: &str| scrape.value(&format!("mirrorwatch_{name}{{run=\"live\"}}"));
        assert_eq!(value("last_scanned_epoch"), Some(epoch as f64));
        assert_eq!(value("last_scanned_step"), Some(epoch as f64 * 15.0));
        assert_eq!(value("evidence_checkpoints"), Some(epoch as f64));
        assert_eq!(
            value("run_finished"),
            Some(0.0),
            "the count comes while training goes on"
        );
        assert_eq!(value("scored_samples"), Some(1300.0));
        assert_eq!(value("probe_samples"), Some(300.0));
        assert!(value("train_loss").is_some_and(|loss| loss > 0.0));
        assert_eq!(
            scrape.value("mirrorwatch_null_samples{null=\"trusted\",run=\"live\"}"),
            Some(200.0)
        );
    }
    trainer.finish();
    let scrape = sidecar.wait_for("the run to be finished", |scrape| {
        scrape.value("mirrorwatch_run_finished{run=\"live\"}") == Some(1.0)
    });
    let results = Results::new(&sidecar.state, "live");
    let suspects = results.last_suspects();
    assert_eq!(
        scrape.value("mirrorwatch_suspects{run=\"live\"}"),
        Some(suspects.len() as f64)
    );
    assert_found(&place.data, &suspects);
    let bound = scrape
        .value("mirrorwatch_noise_ratio_lower_bound{run=\"live\"}")
        .unwrap();
    // With 95 % confidence; three hundredths more is beyond what chance explains here.
    assert!(bound > 0.0 && bound < place.data.noise() + 0.03, "{bound}");
    sidecar.terminate().expect(0);
}

#[test]
fn a_sidecar_that_comes_late_catches_up_on_all_that_is_kept() {
    let place = Place::new();
    let mut trainer =
        crate::support::trainer::Trainer::new(&place.data, place.hook("late").keep(3));
    trainer.epochs(5);
    trainer.finish();

    let mut sidecar = place.watch("state").start();
    let scrape = sidecar.wait_for("all five to be accounted for", |s| s.done() >= 5.0);
    // The hook has removed the first two; that they are missing is known by their numbers.
    let skipped = "mirrorwatch_checkpoints_skipped_total";
    assert_eq!(
        scrape.value(&format!("{skipped}{{reason=\"missed\"}}")),
        Some(2.0)
    );
    assert_eq!(scrape.skipped(), 2.0);
    assert_eq!(scrape.scanned(), 3.0);
    assert_eq!(scrape.sum("mirrorwatch_checkpoints_seen_total"), 5.0);
    let results = Results::new(&sidecar.state, "late");
    let epochs: Vec<u64> = results.summaries().iter().map(|s| s.epoch).collect();
    assert_eq!(epochs, [3, 4, 5]);
    assert_found(&place.data, &results.last_suspects());
}

#[test]
fn early_and_late_sidecars_find_the_same_scores_bit_for_bit() {
    let place = Place::new();
    let mut early = place.watch("early").start();
    let mut trainer = place.trainer("r");
    trainer.epochs(4);
    trainer.finish();
    early.wait_for_scans(4);
    place
        .watch("late")
        .with(&["--until-finished"])
        .run()
        .expect(0);

    let (early, late) = (
        Results::new(&early.state, "r").files(".scores.csv"),
        Results::new(&place.at("late"), "r").files(".scores.csv"),
    );
    assert_eq!(early.len(), 4);
    assert_eq!(
        early.keys().collect::<Vec<_>>(),
        late.keys().collect::<Vec<_>>()
    );
    for (name, scores) in &early {
        let lines = String::from_utf8_lossy(scores).lines().count();
        assert_eq!(
            lines, 1501,
            "{name} has a header and a line for each sample"
        );
        // Not `assert_eq`, which would print both files.
        assert!(scores == &late[name], "{name} differs");
    }
}
