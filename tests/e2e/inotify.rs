//! The limits of the kernel: more events than it keeps, and no watches left.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::place::Place;
use crate::support::process::signal;

const SEEN: &str = "mirrorwatch_checkpoints_seen_total";

/// More events than the kernel keeps, while the sidecar stands still.
#[test]
fn an_overflow_of_the_kernels_events_loses_no_checkpoint() {
    let place = Place::new();
    let options = ["--rescan-seconds", "86400"];
    let mut sidecar = place.watch("state").with(&options).start();
    let mut before = place.trainer("before");
    before.epoch();
    sidecar.wait_for_scans(1);

    assert!(signal(&sidecar.scanner(), "STOP"));
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    // Made, opened, closed and removed.
    for number in 0..limit / 3 {
        let path = place.root().join("before").join(number.to_string());
        fs::write(&path, b"").unwrap();
        fs::remove_file(&path).unwrap();
    }
    before.epoch();
    let mut during = place.trainer("during");
    during.epoch();
    assert!(signal(&sidecar.scanner(), "CONT"));

    sidecar.wait_for_scans(3);
    let lost = "events of the file system were lost";
    assert!(sidecar.log().contains(lost), "{}", sidecar.log());
    during.epoch();
    sidecar.wait_for_scans(4);
    before.epoch();
    let scrape = sidecar.wait_for_scans(5);
    assert_eq!((scrape.sum(SEEN), scrape.skipped()), (5.0, 0.0));
}

/// A shell that gives the sidecar one watch and no more, in a namespace of its own.
const ONE_WATCH: [&str; 6] = [
    "unshare",
    "-Ur",
    "sh",
    "-c",
    "echo 1 > /proc/sys/user/max_inotify_watches && exec \"$@\"",
    "sh",
];

#[test]
fn without_watches_to_spare_the_root_is_listed_regularly() {
    let mut attempt = Command::new(ONE_WATCH[0]);
    attempt.args(&ONE_WATCH[1..]).arg("true");
    let attempt = attempt.stderr(Stdio::null()).status();
    if !Path::new("/proc/sys/user/max_inotify_watches").exists()
        || !attempt.is_ok_and(|status| status.success())
    {
        println!("skipped: no user namespaces here");
        return;
    }
    let place = Place::new();
    let watch = place.watch("state").under(&ONE_WATCH);
    let mut sidecar = watch.with(&["--rescan-seconds", "1"]).start();
    let mut trainers = ["one", "two", "three"].map(|run| place.trainer(run));
    for round in 1..=2 {
        for trainer in &mut trainers {
            trainer.epoch();
        }
        sidecar.wait_for_scans(3 * round);
    }
    let log = sidecar.log();
    let told = log.matches("cannot watch by events").count();
    assert_eq!(told, 1, "{log}");
}
