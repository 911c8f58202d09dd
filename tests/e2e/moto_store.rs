//! Shards that share nothing but an S3-compatible store: checkpoints come from it, and they meet in it.

use std::process::Command;

use crate::support::place::Place;
use crate::support::process::{Running, program};
use crate::support::results::{Results, by_id};
use crate::support::server::started;
use crate::support::sidecar::ship;

/// A store with one bucket, and what is to be in the environment of whoever uses it.
fn store(place: &Place) -> (Running, Vec<(String, String)>) {
    let (server, address) = started("store", "/moto-api/", place.path(), |address| {
        let (host, port) = address.split_once(':').unwrap();
        let mut command = Command::new(program("MIRRORWATCH_MOTO"));
        command.args(["-H", host, "-p", port]);
        command
    });
    let bucket = ureq::put(format!("http://{address}/bucket")).send_empty();
    assert_eq!(bucket.unwrap().status(), 200);
    let variables = [
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".to_string()),
        ("AWS_REGION", "us-east-1".to_string()),
        ("AWS_ACCESS_KEY_ID", "somebody".to_string()),
        ("AWS_SECRET_ACCESS_KEY", "something".to_string()),
    ];
    (
        server,
        variables
            .map(|(name, value)| (name.to_string(), value))
            .to_vec(),
    )
}

#[test]
fn shards_on_machines_of_their_own_find_what_a_single_sidecar_does() {
    let place = Place::new();
    place.finished_run("r", 2);
    place.reference(&[]);
    let (_server, variables) = store(&place);

    ship(&place, "s3://bucket/run", &variables).expect(0);

    let start = |index: usize| {
        place
            .watch(&format!("state-{index}"))
            .root(&place.at(&format!("machine-{index}")))
            .with(&["--shard", &format!("{index}/2")])
            .with(&["--meet", "s3://bucket/meeting"])
            .with(&["--fetch", "s3://bucket/run"])
            .with(&["--until-finished"])
            .environment(&variables)
            .start()
    };
    let shards: Vec<_> = [0, 1].map(start).into();
    let mut found = Vec::new();
    for (index, mut shard) in shards.into_iter().enumerate() {
        shard.process.finish().expect(0);
        found.extend(Results::new(&place.at(&format!("state-{index}")), "r").last_suspects());
    }
    let single = Results::new(&place.at("reference"), "r").last_suspects();
    assert!(!single.is_empty());
    assert_eq!(by_id(found), by_id(single));
}

#[test]
fn a_store_that_cannot_be_reached_is_told_and_tried_again() {
    let place = Place::new();
    place.finished_run("r", 1);
    let (server, variables) = store(&place);
    drop(server);
    let sidecar = place
        .watch("state")
        .root(&place.at("machine"))
        .with(&["--fetch", "s3://bucket/run"])
        .environment(&variables)
        .start();
    let log = crate::support::wait::eventually("it to complain", || {
        let log = sidecar.log();
        match log.contains("cannot list checkpoints in s3://bucket/run") {
            true => Ok(log),
            false => Err(log),
        }
    });
    assert!(log.contains("trying again"), "{log}");
    // It serves all the same.
    assert_eq!(sidecar.get("/metrics").status, 200);
}
