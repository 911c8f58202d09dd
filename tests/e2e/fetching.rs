//! What is fetched from a store that somebody else may write to.

use std::fs;

use crate::support::forge::forge;
use crate::support::place::Place;
use crate::support::process::{Running, quickstart};
use crate::support::trainer::net;
use crate::support::trial::Trial;

#[test]
fn weights_that_are_too_large_are_not_fetched_and_counted_as_those_on_the_disk_are() {
    let place = Place::new();
    let untrained = net(&place.data, 5);
    let large = 3 << 20;
    forge(&place, "r", 1, &untrained, |it| it.sealed(vec![7; large]));
    let store = place.at("store");
    let store = store.to_str().unwrap();
    // The run goes on, so that nobody waits for its end.
    let mut command = quickstart();
    command.args(["sidecar", "ship", "--every", "1", "--to", store]);
    command.arg("--root").arg(place.root());
    let _sender = Running::start(command, place.path());

    let root = place.at("elsewhere");
    let watch = place.watch("state").root(&root);
    let watch = watch
        .with(&["--fetch", store])
        .with(&["--rescan-seconds", "1"]);
    let mut trial = Trial::new(watch.with(&["--max-checkpoint-mib", "2"]).start());
    trial.expect_failure(
        "spool",
        &[
            "takes 3145728 bytes where 2097152 are allowed",
            "raise the limit",
        ],
    );
    let mut trainer = place.trainer("r");
    trainer.epoch();
    trial.expect_scan();
    for entry in fs::read_dir(root.join("r")).unwrap() {
        let bytes = entry.unwrap().metadata().unwrap().len();
        assert!(bytes < large as u64, "{bytes} bytes were fetched");
    }
}
