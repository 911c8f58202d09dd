//! Whoever looks on meanwhile: scrapes, pages, lists, streams that are opened and left; exports and reviews.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Ends, Soak};
use crate::support::process::{quickstart, run};

/// Between two rounds of all pages.
const PAUSE: Duration = Duration::from_millis(200);
/// Scrapes in between.
const SCRAPES: usize = 5;
/// Between two exports.
const EXPORT: Duration = Duration::from_secs(45);

/// What was answered.
#[derive(Default)]
pub struct Read {
    scrapes: u64,
    pages: u64,
    exports: u64,
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scrapes,
            pages,
            exports,
        } = self;
        write!(
            f,
            "{scrapes} scrapes, {pages} pages, {exports} exports and reviews"
        )
    }
}

pub fn read(soak: &Soak<'_>) -> Read {
    let _ends = Ends(&soak.over);
    let (mut read, mut exported) = (Read::default(), Instant::now());
    while !soak.is_over() {
        let mut scanned = 0.0;
        for _ in 0..SCRAPES {
            let scrape = soak.sidecar.scrape();
            assert!(scrape.scanned() >= scanned, "a counter went back");
            scanned = scrape.scanned();
            read.scrapes += 1;
        }
        read.pages += pages(soak);
        stream(&soak.sidecar.address);
        if exported.elapsed() >= EXPORT {
            export_and_review(soak);
            read.exports += 1;
            exported = Instant::now();
        }
        soak.rest(PAUSE);
    }
    read
}

/// All that a person may look at, of all runs that there are.
fn pages(soak: &Soak<'_>) -> u64 {
    let runs = soak.sidecar.get("/api/v1/runs");
    assert_eq!(runs.status, 200, "{}", runs.body);
    let runs: Value = serde_json::from_str(&runs.body).unwrap();
    let mut read = 1;
    let mut get = |path: &str, may_be_gone: bool| {
        let status = soak.sidecar.get(path).status;
        assert!(
            status == 200 || (may_be_gone && status == 404),
            "{path}: {status}"
        );
        read += 1;
    };
    get("/", false);
    get("/healthz", false);
    for run in runs["runs"].as_array().unwrap() {
        let run = run["run"].as_str().unwrap();
        for part in ["", "/curve", "/suspects", "/samples/7"] {
            get(&format!("/api/v1/runs/{run}{part}"), true);
        }
        get(&format!("/runs/{run}/report"), true);
    }
    read
}

/// Opens a stream of events, hears the first one, and goes without a word.
fn stream(address: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let answer = &mut [0; 12];
    stream.read_exact(answer).unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
}

/// As a person would, beside the sidecar.
fn export_and_review(soak: &Soak<'_>) {
    let place = soak.place;
    let command = |name: &str, more: &[&str]| {
        let mut command = quickstart();
        command
            .args(["sidecar", name, "steady"])
            .args(place.data.arguments())
            .arg("--root")
            .arg(place.root())
            .arg("--state")
            .arg(place.at("state"))
            .args(more)
            .env("USER", "ada");
        run(command, place.path()).expect(0);
    };
    let out = place.at("export");
    command("export", &["--out", out.to_str().unwrap()]);
    command("review", &["--clear", "7"]);
    std::fs::remove_dir_all(out).unwrap();
}
