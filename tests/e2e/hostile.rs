//! Thousands of connections that only take up room, while a training is scanned and scraped.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::place::Place;
use crate::support::scrape::Scrape;
use crate::support::sidecar::get;
use crate::support::wait::eventually;

const HOSTILE: usize = 2_200;
/// What they send first, and drip from then on.
const KINDS: [(&[u8], &[u8]); 4] = [
    (b"", b""),
    (b"GET /metrics HTTP/1.1\r\nhost: x\r\nx-slow: ", b"a"),
    (
        b"POST /api/v1/runs/run/reviews HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n{",
        b" ",
    ),
    // A stream of events, which stays open by itself.
    (b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n", b""),
];
/// Prometheus gives a scrape ten seconds.
const PROMISE: Duration = Duration::from_secs(10);

/// Keeps the connections open until `over`, and opens another for each that is closed.
fn attack(address: &str, over: &AtomicBool, opened: &AtomicU64) {
    let open = |kind: usize| {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nonblocking(true).ok()?;
        let _ = (&stream).write(KINDS[kind].0);
        opened.fetch_add(1, Ordering::Relaxed);
        Some(stream)
    };
    let mut streams: Vec<_> = (0..HOSTILE).map(|nth| open(nth % KINDS.len())).collect();
    while !over.load(Ordering::Relaxed) {
        for (nth, stream) in streams.iter_mut().enumerate() {
            let kind = nth % KINDS.len();
            if stream.as_ref().is_none_or(|stream| is_gone(stream, kind)) {
                *stream = open(kind);
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Ends the attack, also where the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn is_gone(mut stream: &TcpStream, kind: usize) -> bool {
    let drip = KINDS[kind].1;
    if !drip.is_empty() && stream.write(drip).is_err() {
        return true;
    }
    match stream.read(&mut [0; 4096]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn scans_and_scrapes_go_on_while_thousands_of_connections_take_up_room() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    let process = format!("/proc/{}", sidecar.scanner());
    let files = || fs::read_dir(format!("{process}/fd")).unwrap().count();
    let memory = || {
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<usize>().unwrap() / 1024
    };
    let mut trainer = place.trainer("run");
    trainer.epochs(2);
    sidecar.wait_for_scans(trainer.published());
    let (files_before, memory_before) = (files(), memory());

    let (over, opened) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = sidecar.address.clone();
    let (mut took, mut again) = (Vec::new(), 0);
    let (mut most_files, mut most_memory) = (0, 0);
    let scanned = std::thread::scope(|scope| {
        scope.spawn(|| attack(&address, &over, &opened));
        let _over = Over(&over);
        eventually("the attack is on", || {
            match opened.load(Ordering::Relaxed) {
                opened if opened >= HOSTILE as u64 => Ok(()),
                opened => Err(format!("{opened} connections")),
            }
        });
        trainer.epochs(3);
        let published = trainer.published();
        loop {
            let asked = Instant::now();
            // Whoever is kept from saying what they want may lose their place, and asks again.
            let scrape = loop {
                match get(&format!("http://{address}/metrics")) {
                    Ok(page) if page.status == 200 => break Scrape(page.body),
                    _ => again += 1,
                }
            };
            took.push(asked.elapsed());
            (most_files, most_memory) = (most_files.max(files()), most_memory.max(memory()));
            if scrape.done() >= published as f64 && took.len() >= 50 {
                break scrape;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let published = trainer.published() as f64;
    assert_eq!((scanned.scanned(), scanned.failed()), (published, 0.0));
    took.sort_unstable();
    let slowest = took[took.len() - 1];
    println!(
        "{published} checkpoints scanned, {} scrapes, {again} asked again: median {:?}, slowest {slowest:?}; {} hostile connections, {HOSTILE} at a \
         time; files {files_before}, at most {most_files}; memory {memory_before} MiB, at most {most_memory}",
        took.len(),
        took[took.len() / 2],
        opened.into_inner(),
    );
    assert!(slowest < PROMISE, "{slowest:?}");
    assert!(most_files < files_before + 200, "{most_files}");
    assert!(most_memory < memory_before + 200, "{most_memory} MiB");
    eventually("its files to be closed", || match files() {
        left if left <= files_before + 4 => Ok(()),
        left => Err(format!("{left} files, {files_before} before")),
    });
    assert!(!sidecar.log().contains("panic"), "{}", sidecar.log());
    assert_eq!(sidecar.terminate().code, Some(0));
}
