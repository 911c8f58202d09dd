//! Trainings and sidecars that are killed again and again, at any moment: nothing that was committed is lost, and
//! nothing is counted twice.

use std::fs;
use std::time::Duration;

use mirrorwatch::daemon::store::{Outcome, RunState};
use mirrorwatch::hook::Hook;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::again::{this_binary, told};
use crate::support::data::Data;
use crate::support::place::Place;
use crate::support::process::{Running, signal};
use crate::support::results::Results;
use crate::support::sidecar::Sidecar;
use crate::support::trainer::Trainer;
use crate::support::wait::eventually;

const ROOT: &str = "MIRRORWATCH_KILLS_ROOT";
const START: &str = "MIRRORWATCH_KILLS_START";
const EPOCHS: &str = "MIRRORWATCH_KILLS_EPOCHS";
/// How many runs: one as a rule, tens in the long run.
const RUNS: &str = "MIRRORWATCH_KILLS_RUNS";
/// How often the training of a run is killed. Of a run that has finished a sidecar scans the newest 64 checkpoints, and
/// the one without interruption comes when it has.
const ROUNDS: usize = 15;
const MOST: usize = 60;
/// Epochs that no training of a round comes to.
const MORE: usize = 1000;

#[test]
#[ignore = "a program: a training that goes on until it is killed"]
fn a_training() {
    let (Some(root), Some(start), Some(epochs)) = (told(ROOT), told(START), told(EPOCHS)) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let data = Data::write(directory.path());
    let hook = Hook::new(root, "r").keep(1_000_000);
    let mut trainer = Trainer::new(&data, hook);
    trainer.resume_after(start.parse().unwrap());
    trainer.epochs(epochs.parse().unwrap());
    trainer.finish();
}

/// The `round`th training, which goes on where no other has been.
fn training(place: &Place, round: usize, epochs: usize) -> Running {
    let variables = [
        (ROOT, place.root().to_str().unwrap().to_string()),
        (START, (round * MORE).to_string()),
        (EPOCHS, epochs.to_string()),
    ];
    Running::start(this_binary("kills::a_training", &variables), place.path())
}

/// Files of the run whose names end like this.
fn files(place: &Place, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let Ok(entries) = fs::read_dir(place.root().join("r")) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| wanted(name)).collect()
}

fn manifests(place: &Place) -> usize {
    files(place, |name| {
        name.starts_with("epoch-") && name.ends_with(".json")
    })
    .len()
}

#[test]
fn trainings_and_sidecars_that_are_killed_lose_nothing_and_count_nothing_twice() {
    let runs = std::env::var(RUNS).map_or(1, |runs| runs.parse().unwrap());
    let (mut killed, mut committed) = (0, 0);
    for seed in 0..runs {
        let (sidecars, checkpoints) = killed_again_and_again(seed);
        killed += sidecars;
        committed += checkpoints;
    }
    println!(
        "{} trainings and {killed} sidecars killed, {committed} checkpoints committed, all counted once",
        runs as usize * ROUNDS
    );
}

/// How many sidecars were killed, and how many checkpoints committed, in a run whose trainings were killed.
fn killed_again_and_again(seed: u64) -> (usize, usize) {
    let place = Place::new();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut sidecar: Option<Sidecar> = None;
    let (mut killed, mut committed) = (0, 0);
    for round in 0..ROUNDS {
        let mut training = training(&place, round, MORE);
        let watching = sidecar.get_or_insert_with(|| place.watch("state").start());
        eventually("the training to publish", || {
            assert!(training.is_running(), "{}", training.story());
            match manifests(&place) > committed {
                true => Ok(()),
                false => Err(training.story()),
            }
        });
        std::thread::sleep(Duration::from_millis(rng.random_range(0..150)));
        // On drop, by SIGKILL.
        drop(training);
        committed = manifests(&place);
        if rng.random_bool(0.6) {
            // Some progress, or a checkpoint could be in its way for ever.
            watching.wait_for_scans(1);
            std::thread::sleep(Duration::from_millis(rng.random_range(0..300)));
            match rng.random_bool(0.5) {
                true => sidecar.take().unwrap().kill(),
                // Its supervisor starts another one.
                false => eventually("a scanner that can be killed", || {
                    match signal(&watching.scanner(), "KILL") {
                        true => Ok(()),
                        false => Err(watching.log()),
                    }
                }),
            }
            killed += 1;
        }
    }
    drop(sidecar);
    training(&place, ROUNDS, 2).finish().expect(0);
    let committed = manifests(&place);
    assert!(committed < MOST, "{committed} checkpoints: kill sooner");
    let abandoned = files(&place, |name| name.contains("tmp"));
    assert!(abandoned.is_empty(), "left behind: {abandoned:?}");

    let watch = place.watch("state").with(&["--until-finished"]);
    watch.run().expect(0);
    place.reference(&[]);
    let results = Results::new(&place.at("state"), "r");
    let reference = Results::new(&place.at("reference"), "r");
    assert_eq!(reference.summaries().len(), committed, "seed {seed}");
    assert_eq!(results.summaries().len(), committed, "seed {seed}");
    // A running mean over all checkpoints: one that was counted twice, or never, or in another order, changes its bits.
    assert!(
        reference.last_scores() == results.last_scores(),
        "seed {seed}"
    );
    assert!(
        reference.last_histories() == results.last_histories(),
        "seed {seed}"
    );
    assert_eq!(
        reference.kept_history(),
        results.kept_history(),
        "seed {seed}"
    );
    // Nothing is written twice of any scan, nor of any checkpoint.
    for state in ["state", "reference"] {
        let path = place.at(state).join("runs/r/state.bin");
        let ledger = RunState::load(&path).unwrap().unwrap().ledger;
        let scanned = ledger.entries().filter(|e| e.outcome == Outcome::Scanned);
        let mut keys: Vec<_> = scanned.map(|entry| entry.key).collect();
        keys.sort();
        keys.dedup();
        let counts = (ledger.entries().len(), keys.len(), ledger.scans().len());
        assert_eq!(counts, (committed, committed, committed), "seed {seed}");
    }
    (killed, committed)
}
