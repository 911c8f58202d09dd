//! More at once than anybody can scan.

use std::fs;
use std::path::Path;

use mirrorwatch::checkpoint::Manifest;

use crate::support::forge::forge;
use crate::support::place::Place;
use crate::support::results::Results;
use crate::support::sidecar::Sidecar;
use crate::support::wait::eventually_within;

const SEEN: &str = "mirrorwatch_checkpoints_seen_total";

/// Weights of a training and the manifest that goes with them.
struct Copied {
    manifest: Manifest,
    weights: Vec<u8>,
}

impl Copied {
    fn from(place: &Place) -> Self {
        let mut trainer = place.trainer("teacher");
        trainer.epochs(2);
        let net = trainer.net().clone();
        drop(trainer);
        fs::remove_dir_all(place.root()).unwrap();
        let path = forge(place, "copied", 1, &net, |_| ());
        let manifest: Manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let weights = fs::read(path.with_file_name(&manifest.weights.file)).unwrap();
        fs::remove_dir_all(place.root()).unwrap();
        Self { manifest, weights }
    }

    /// Puts checkpoints 1 to `count` of a run into a directory of its name.
    fn publish(&self, into: &Path, run: &str, count: u64) {
        let directory = into.join(run);
        fs::create_dir_all(&directory).unwrap();
        for number in 1..=count {
            let name = format!("epoch-{number:06}-step-{number:010}");
            let mut manifest = self.manifest.clone();
            manifest.run = run.to_string();
            manifest.instance = format!("instance of {run}");
            (manifest.epoch, manifest.step, manifest.sequence) = (number, number, number);
            manifest.weights.file = format!("{name}.bpk");
            let weights = directory.join(&manifest.weights.file);
            fs::write(weights, &self.weights).unwrap();
            let text = serde_json::to_vec(&manifest).unwrap();
            fs::write(directory.join(format!("{name}.json")), text).unwrap();
        }
    }
}

/// Waits until nothing is left to do, and checks that each of so many was dealt with once.
#[track_caller]
fn all_accounted_for(sidecar: &Sidecar, published: f64, seconds: u64) -> (f64, f64) {
    let scrape = eventually_within(seconds, "everything to be accounted for", || {
        let scrape = sidecar.scrape();
        match scrape.done() >= published && scrape.sum("mirrorwatch_queue_checkpoints") == 0.0 {
            true => Ok(scrape),
            false => Err(scrape.0),
        }
    });
    assert_eq!(scrape.failed(), 0.0, "{}", sidecar.log());
    assert_eq!(scrape.sum(SEEN), published);
    assert_eq!(scrape.scanned() + scrape.skipped(), published);
    (scrape.scanned(), scrape.skipped())
}

#[test]
fn of_a_thousand_checkpoints_at_once_each_is_scanned_or_counted() {
    let place = Place::new();
    let copied = Copied::from(&place);
    let staging = place.at("staging");
    copied.publish(&staging, "fast", 1000);
    fs::create_dir_all(place.root()).unwrap();
    let watch = place.watch("state").with(&["--queue", "2"]);
    let sidecar = watch.with(&["--rescan-seconds", "86400"]).start();
    sidecar.scrape();
    // All at once, for whoever watches.
    fs::rename(staging.join("fast"), place.root().join("fast")).unwrap();
    let (scanned, skipped) = all_accounted_for(&sidecar, 1000.0, 90);
    println!("1,000 at once: {scanned} scanned, {skipped} left out");
    let summaries = Results::new(&sidecar.state, "fast").summaries();
    assert_eq!(summaries.len() as f64, scanned);
    // The newest wins: it is never the one that is left out.
    assert_eq!(summaries.last().unwrap().step, 1000);
}

#[test]
#[ignore = "a hundred first scans take minutes"]
fn of_a_hundred_runs_at_once_each_is_scanned() {
    let place = Place::new();
    let copied = Copied::from(&place);
    let staging = place.at("staging");
    let runs: Vec<String> = (0..100).map(|number| format!("run-{number:03}")).collect();
    for run in &runs {
        copied.publish(&staging, run, 3);
    }
    fs::create_dir_all(place.root()).unwrap();
    let watch = place.watch("state").with(&["--queue", "2"]);
    let sidecar = watch.with(&["--rescan-seconds", "86400"]).start();
    sidecar.scrape();
    for run in &runs {
        fs::rename(staging.join(run), place.root().join(run)).unwrap();
    }
    let (scanned, skipped) = all_accounted_for(&sidecar, 300.0, 1500);
    println!("100 runs of 3 at once: {scanned} scanned, {skipped} left out");
    let scrape = sidecar.scrape();
    for run in &runs {
        let evidence = format!("mirrorwatch_last_scanned_epoch{{run=\"{run}\"}}");
        assert_eq!(scrape.value(&evidence), Some(3.0), "{run}");
    }
}
