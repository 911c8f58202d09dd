//! Ports that are taken and directories that cannot be written are refused at the start.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::support::place::Place;
use crate::support::process::quickstart;
use crate::support::refusal::assert_refused;

fn watch(place: &Place) -> Command {
    let mut command = quickstart();
    command
        .args(["sidecar", "watch"])
        .args(place.data.arguments());
    command
}

#[test]
fn an_address_that_cannot_be_listened_on() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = |address: &str, parts: &[&str]| {
        let mut command = watch(&place);
        command
            .arg("--root")
            .arg(place.root())
            .args(["--web.allow-insecure", "--listen", address]);
        assert_refused(command, place.path(), parts);
    };
    refused(
        &address,
        &[
            &address,
            "address already in use",
            "another port with --listen",
        ],
    );
    refused(
        "here",
        &["cannot listen on", "here", "host:port", "--listen"],
    );
    // Of the block set aside for documentation: no machine has it.
    refused("192.0.2.1:0", &["192.0.2.1", "no such address", "--listen"]);
}

#[test]
fn directories_that_cannot_be_written() {
    // Tests may run as root, for whom no directory is read-only: nothing can be below a file.
    let place = Place::new();
    let file = place.at("file");
    fs::write(&file, b"in the way").unwrap();
    let below = file.join("below");
    let shown = below.display().to_string();

    let mut command = watch(&place);
    command
        .arg("--root")
        .arg(&below)
        .args(["--listen", "127.0.0.1:0"]);
    assert_refused(command, place.path(), &[&shown, "--root"]);

    let mut command = watch(&place);
    command
        .arg("--root")
        .arg(place.root())
        .arg("--state")
        .arg(&below);
    command.args(["--listen", "127.0.0.1:0"]);
    assert_refused(command, place.path(), &["cannot write", &shown, "--state"]);

    let mut command = watch(&place);
    command
        .arg("--root")
        .arg(place.root())
        .args(["--listen", "127.0.0.1:0"]);
    command.arg("--listen-file").arg(&below);
    // Whether it has said by then that it listens is all the same.
    command.env("RUST_LOG", "off");
    assert_refused(command, place.path(), &["cannot write", &shown]);
}

#[test]
fn results_that_cannot_be_written_are_one_failure_and_the_count_is_shown_all_the_same() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    let run = sidecar.state.join("runs/r");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("scans"), b"in the way").unwrap();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let scrape = sidecar.wait_for("the scan's end", |scrape| scrape.done() >= 1.0);
    let failures = "mirrorwatch_checkpoint_failures_total{stage=\"export\"}";
    assert_eq!(scrape.value(failures), Some(1.0));
    assert_eq!(scrape.done(), 1.0, "either scanned or failed, not both");
    assert!(scrape.value("mirrorwatch_suspects{run=\"r\"}") > Some(100.0));
    let page = sidecar.get("/").body;
    assert!(page.contains("cannot write"), "{page}");

    fs::remove_file(run.join("scans")).unwrap();
    trainer.epoch();
    let scrape = sidecar.wait_for("the next scan", |scrape| scrape.done() >= 2.0);
    assert_eq!((scrape.scanned(), scrape.failed()), (1.0, 1.0));
}
