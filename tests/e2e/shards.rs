//! A sidecar that is divided among several processes finds what a single one does.

use std::path::Path;

use mirrorwatch::daemon::results::Suspect;
use mirrorwatch::daemon::store::RunState;
use mirrorwatch::daemon::summary::Summary;

use crate::metrics_docs::assert_documented;
use crate::support::data::TRAIN;
use crate::support::place::Place;
use crate::support::process::{Finished, quickstart, run};
use crate::support::results::{Results, assert_found, by_id};
use crate::support::sidecar::{Sidecar, Watch, ship};

const CHECKPOINTS: usize = 4;

/// Shard `index` of `count`, which meets the others in the directory `meeting`.
fn shard<'a>(place: &'a Place, index: usize, count: usize, more: &[&[&str]]) -> Watch<'a> {
    let meeting = place.at("meeting");
    let mut watch = place
        .watch(&format!("state-{index}"))
        .with(&["--shard", &format!("{index}/{count}")])
        .with(&["--meet", meeting.to_str().unwrap()]);
    for options in more {
        watch = watch.with(options);
    }
    watch
}

/// Waits for the end of all of them.
#[track_caller]
fn finished(shards: Vec<Sidecar>) {
    for mut shard in shards {
        shard.process.finish().expect(0);
    }
}

/// Puts the shards' evidence together in the directory `whole`.
fn unite(place: &Place, count: usize, more: &[&[&str]]) -> Finished {
    let mut command = quickstart();
    command
        .args(["sidecar", "unite"])
        .args(place.data.arguments());
    command.arg("--into").arg(place.at("whole"));
    command.args(more.concat());
    for index in 0..count {
        command.arg(place.at(&format!("state-{index}")));
    }
    run(command, place.path())
}

fn state(directory: &Path) -> RunState {
    RunState::load(&directory.join("runs/r/state.bin"))
        .unwrap()
        .unwrap()
}

/// What all processes have to agree in: everything but how long it took, and which lists are whose.
fn said(summary: &Summary) -> Summary {
    Summary {
        scanned_time: 0.0,
        scan_seconds: 0.0,
        base_sweep_seconds: 0.0,
        probe_seconds: 0.0,
        shard: None,
        ..summary.clone()
    }
}

/// Checks that `count` shards have come to what the single sidecar has whose state is in `reference`.
#[track_caller]
fn assert_whole(place: &Place, count: usize, more: &[&[&str]]) {
    let single = Results::new(&place.at("reference"), "r");
    let wanted: Vec<Summary> = single.summaries().iter().map(said).collect();
    let (mut samples, mut suspects): (usize, Vec<Suspect>) = (0, Vec::new());
    for index in 0..count {
        let results = Results::new(&place.at(&format!("state-{index}")), "r");
        let found = results.summaries();
        let told: Vec<Summary> = found.iter().map(said).collect();
        assert_eq!(told, wanted, "shard {index}");
        let own = found.last().unwrap().shard.unwrap();
        assert_eq!((own.index as usize, own.count as usize), (index, count));
        assert_eq!(own.suspects, results.last_suspects().len());
        samples += own.samples;
        suspects.extend(results.last_suspects());
    }
    assert_eq!(samples, TRAIN);
    // To the last suspect, and the last bit of its score and its chances.
    assert_eq!(by_id(suspects), by_id(single.last_suspects()));

    unite(place, count, more).expect(0);
    let (whole, reference) = (state(&place.at("whole")), state(&place.at("reference")));
    assert_eq!(whole.fingerprint, reference.fingerprint);
    assert!(whole.evidence == reference.evidence, "the evidence differs");
    let united = Results::new(&place.at("whole"), "r").files(".suspects.csv");
    assert_eq!(
        united.last_key_value(),
        single.files(".suspects.csv").last_key_value()
    );
}

#[test]
fn three_shards_find_what_a_single_sidecar_does_to_the_last_suspect() {
    let place = Place::new();
    place.finished_run("r", CHECKPOINTS);
    place.reference(&[]);
    assert_found(
        &place.data,
        &Results::new(&place.at("reference"), "r").last_suspects(),
    );

    let start = |index| shard(&place, index, 3, &[&["--until-finished"]]).start();
    finished((0..3).map(start).collect());
    assert_whole(&place, 3, &[]);
    // What nobody needs any more is cleared away: of the turns, the last one is left.
    let turns: Vec<_> = std::fs::read_dir(place.at("meeting/turns"))
        .unwrap()
        .collect();
    assert_eq!(turns.len(), 1, "{turns:?}");
}

#[test]
fn with_a_null_per_class_and_the_held_out_null_it_is_the_same() {
    for options in [
        &["--per-class-null", "20"][..],
        &["--estimator", "gradient:after"],
    ] {
        let mut place = Place::new();
        if options[0] == "--estimator" {
            place.data.trust_nobody();
        }
        place.finished_run("r", 3);
        place.reference(options);
        let start = |index| shard(&place, index, 2, &[&["--until-finished"], options]).start();
        finished((0..2).map(start).collect());
        assert_whole(&place, 2, &[options]);
    }
}

#[test]
fn a_checkpoint_that_is_published_again_while_it_waits_is_scanned() {
    let place = Place::new();
    let mut trainer = place.trainer("r");
    let mut second = shard(&place, 1, 2, &[]).start();
    trainer.epoch();
    second.wait_for("the checkpoint to be taken", |scrape| {
        scrape.value("mirrorwatch_queue_checkpoints") == Some(1.0)
    });
    trainer.publish_again();
    let repeated = "mirrorwatch_checkpoints_skipped_total{reason=\"repeated\"}";
    second.wait_for("the second publication to be seen", |scrape| {
        scrape.value(repeated) == Some(1.0)
    });
    // Now it is announced.
    let mut first = shard(&place, 0, 2, &[]).start();
    for shard in [&mut first, &mut second] {
        shard.wait_for_scans(1);
    }
}

/// Kills shard `unsteady` of two so many times, each time a little later, while the other one stays.
#[track_caller]
fn killed(unsteady: usize, times: u64) {
    let place = Place::new();
    place.finished_run("r", CHECKPOINTS);
    place.reference(&[]);

    let steady = shard(&place, 1 - unsteady, 2, &[&["--until-finished"]]).start();
    for round in 0..times {
        let killed = shard(&place, unsteady, 2, &[]).start();
        std::thread::sleep(std::time::Duration::from_millis(170 * round));
        killed.kill();
    }
    let last = shard(&place, unsteady, 2, &[&["--until-finished"]]).start();
    finished(vec![steady, last]);
    assert_whole(&place, 2, &[]);
}

#[test]
fn a_shard_that_is_killed_again_and_again_changes_nothing() {
    killed(1, 6);
}

#[test]
fn the_shard_that_leads_may_be_killed_as_well() {
    killed(0, 6);
}

/// Which has given parts of its turn already: others are not to wait for it for ever, nor to count what it does not.
#[test]
fn a_checkpoint_that_ends_a_shard_every_time_is_given_up_by_all() {
    for unsteady in [0, 1] {
        let place = Place::new();
        let file = place.at("hazard");
        let mut trainer = place.trainer("r");
        trainer.epoch();
        // Without a supervisor, which would wait longer and longer before it starts the next one.
        let start = || {
            let watch = shard(&place, unsteady, 2, &[&["--single-process"]]);
            watch.hazardous(&file).start()
        };
        let mut steady = shard(&place, 1 - unsteady, 2, &[]).start();
        let mut ending = start();
        steady.wait_for_scans(1);
        ending.wait_for_scans(1);
        std::fs::write(&file, "abort").unwrap();
        trainer.epoch();
        for _ in 0..10 {
            let ended = ending.process.finish();
            assert_eq!(ended.code, None, "{}", ended.story());
            ending = start();
        }
        std::fs::write(&file, "").unwrap();
        for shard in [&mut steady, &mut ending] {
            shard.wait_for("the checkpoint to be given up", |scrape| {
                scrape.failed() == 1.0
            });
        }
        let log = steady.log();
        let says = format!("shard {unsteady} gave up: the sidecar ended 10 times");
        assert!(log.contains(&says), "{log}");
        trainer.epoch();
        // Of the three, the one that was started again knows of the last only.
        for (shard, scanned) in [(&mut steady, 2.0), (&mut ending, 1.0)] {
            shard.wait_for("the next one to be scanned", |scrape| {
                scrape.scanned() == scanned
            });
        }
        trainer.finish();
    }
}

#[test]
fn a_shard_that_is_missing_is_waited_for_and_shows() {
    let place = Place::new();
    place.finished_run("r", 1);
    let mut first = shard(&place, 0, 3, &[]).start();
    let scrape = first.wait_for("others to be missed", |scrape| {
        scrape.value("mirrorwatch_shards_waited_for") == Some(2.0)
    });
    assert_eq!(scrape.scanned(), 0.0);
    assert_eq!(
        scrape.value("mirrorwatch_shard_info{shard=\"0\",shards=\"3\"}"),
        Some(1.0)
    );
    let others: Vec<Sidecar> = [1, 2]
        .map(|index| shard(&place, index, 3, &[]).start())
        .into();
    let scrape = first.wait_for_scans(1);
    assert_eq!(scrape.value("mirrorwatch_shards_waited_for"), Some(0.0));
    let mut own = scrape
        .value("mirrorwatch_shard_suspects{run=\"r\"}")
        .unwrap();
    for mut other in others {
        let scrape = other.wait_for_scans(1);
        own += scrape
            .value("mirrorwatch_shard_suspects{run=\"r\"}")
            .unwrap();
        other.terminate().expect(0);
    }
    assert_eq!(scrape.value("mirrorwatch_suspects{run=\"r\"}"), Some(own));
    for metric in [
        "shard_info",
        "shard_samples",
        "shard_suspects",
        "shard_wait_seconds_total",
        "shards_waited_for",
    ] {
        assert_documented(&scrape, &format!("mirrorwatch_{metric}"));
    }
}

#[test]
fn shards_of_other_options_count_nothing_together_and_say_why() {
    let place = Place::new();
    place.finished_run("r", 1);
    let mut first = shard(&place, 0, 2, &[]).start();
    let mut second = shard(&place, 1, 2, &[&["--fdr", "0.2"]]).start();
    for shard in [&mut first, &mut second] {
        let failures = "mirrorwatch_checkpoint_failures_total{stage=\"shards\"}";
        shard.wait_for("the difference to show", |scrape| {
            scrape.value(failures) == Some(1.0)
        });
        let log = shard.log();
        assert!(
            log.contains("give all shards the same checkpoint, seed and options"),
            "{log}"
        );
        assert_eq!(shard.scrape().scanned(), 0.0);
    }
}

#[test]
fn a_place_of_another_watch_is_left_alone() {
    let place = Place::new();
    place.finished_run("r", 1);
    let start = |index| shard(&place, index, 2, &[&["--until-finished"]]).start();
    finished((0..2).map(start).collect());
    // New states, and what is left of the others at the place to meet.
    for index in 0..2 {
        std::fs::remove_dir_all(place.at(&format!("state-{index}"))).unwrap();
    }
    let mut first = shard(&place, 0, 2, &[]).start();
    let log = crate::support::wait::eventually("it to complain", || {
        let log = first.log();
        match log.contains("holds turns of another watch") {
            true => Ok(log),
            false => Err(log),
        }
    });
    assert!(log.contains("an empty place to meet"), "{log}");
    assert!(first.process.is_running());
    assert_eq!(first.scrape().scanned(), 0.0);
}

#[test]
fn what_does_not_go_with_shards_is_refused() {
    let place = Place::new();
    for (options, told) in [
        (
            &["--budget", "0.5"][..],
            "--shard does not go with --budget",
        ),
        (
            &["--leak-probes", "10"],
            "--shard does not go with --leak-probes",
        ),
        (
            &["--estimator", "finetune:delta"],
            "--shard does not go with the estimator finetune:delta",
        ),
        (&["--shard", "2/2"], "must be I/N"),
        (
            &["--meet", "ftp://x/y"],
            "cannot use \"ftp://x/y\" as a place to meet",
        ),
    ] {
        let finished = shard(&place, 0, 2, &[options]).run().expect(2);
        assert!(finished.stderr.contains(told), "{}", finished.story());
    }
}

#[test]
fn unite_takes_only_what_belongs_together() {
    let place = Place::new();
    place.finished_run("r", 1);
    let start = |index| shard(&place, index, 2, &[&["--until-finished"]]).start();
    finished((0..2).map(start).collect());
    let one = unite(&place, 1, &[]).expect(2);
    assert!(
        one.stderr.contains("it is not of shard 0 of 1"),
        "{}",
        one.story()
    );
    let other = unite(&place, 2, &[&["--seed", "9"]]).expect(2);
    assert!(
        other.stderr.contains("of these data and settings"),
        "{}",
        other.story()
    );
    unite(&place, 2, &[]).expect(0);
    let again = unite(&place, 2, &[]).expect(2);
    assert!(
        again.stderr.contains("it is there already"),
        "{}",
        again.story()
    );
}

#[test]
fn checkpoints_come_by_way_of_a_store() {
    let place = Place::new();
    place.finished_run("r", 2);
    place.reference(&[]);
    let store = place.at("store");
    ship(&place, store.to_str().unwrap(), &[]).expect(0);
    // Another machine, which has nothing of it.
    let root = place.at("elsewhere");
    let fetched = place
        .watch("state")
        .with(&["--fetch", store.to_str().unwrap()])
        .root(&root)
        .with(&["--until-finished"]);
    fetched.run().expect(0);
    let scores = |state| Results::new(&place.at(state), "r").last_scores();
    assert!(scores("state") == scores("reference"));
}
