//! Thousands of connections that only take up room, while somebody scrapes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::secure::{Authority, Place};
use common::{Answer, eventually, get};
use mirrorwatch_http::{Handle, Limits, Response, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Connections that are open on the clients' side all the time.
const HOSTILE: usize = 2_500;
/// A scrape takes no longer: Prometheus' own default.
const PROMISE: Duration = Duration::from_secs(10);
/// Longer than any of the server's limits that are not shortened here.
const LASTS: Duration = Duration::from_secs(8);

/// What one hostile client sends first, and what it drips from then on.
const KINDS: [(&[u8], &[u8]); 7] = [
    (b"", b""),
    (b"GET /metrics HTTP/1.1\r\nhost: x\r\nx-slow: ", b"a"),
    (b"", b"G"),
    (
        b"POST /notes HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n{",
        b" ",
    ),
    (
        b"POST /notes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        b"1\r\na\r\n",
    ),
    // Asks, and never reads.
    (b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n", b""),
    // Was answered once, and stays.
    (b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", b""),
];

fn handler(request: &mirrorwatch_http::Request) -> Response {
    match request.path.as_str() {
        "/metrics" => Response::text("up 1\n".repeat(2_000)),
        "/large" => Response::bytes("application/octet-stream", vec![7; 8 * 1024 * 1024]),
        "/notes" => Response::text(request.body().len().to_string()),
        _ => Response::not_found(),
    }
}

fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let enough = current.is_none_or(|most| most > 2 * HOSTILE as u64 + 1_000);
    assert!(enough, "at most {current:?} files may be open");
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Memory of this process, clients and all, in MiB.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes: usize = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kilobytes / 1024
}

/// Keeps so many hostile connections open until `over`, and opens another for each that the server closes.
fn attack(address: SocketAddr, count: usize, over: &AtomicBool, opened: &AtomicU64) {
    let open = |nth: usize| {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nonblocking(true).ok()?;
        let _ = (&stream).write(KINDS[nth % KINDS.len()].0);
        opened.fetch_add(1, Ordering::Relaxed);
        Some(stream)
    };
    let mut streams: Vec<Option<TcpStream>> = (0..count).map(open).collect();
    while !over.load(Ordering::Relaxed) {
        for (nth, slot) in streams.iter_mut().enumerate() {
            let kind = nth % KINDS.len();
            let gone = slot.as_ref().is_none_or(|stream| is_gone(stream, kind));
            if gone {
                *slot = open(nth);
            }
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn is_gone(mut stream: &TcpStream, kind: usize) -> bool {
    let drip = KINDS[kind].1;
    if !drip.is_empty() && stream.write(drip).is_err() {
        return true;
    }
    // Only those that are never to read would be seen to read.
    let mut space = [0; 1 << 16];
    let seen = match kind {
        5 => stream.peek(&mut space[..1]).map(|seen| seen.min(1)),
        _ => stream.read(&mut space),
    };
    match seen {
        Ok(seen) => seen == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Ends the attack, also where a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Scrapes again and again under attack; returns how long each scrape took, in order of time taken.
fn scrapes_under_attack(
    handle: &Handle,
    scrape: impl Fn() -> Answer,
) -> (Vec<Duration>, u64, usize) {
    let address = handle.local_addr();
    let (over, opened) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut took = Vec::new();
    let mut most_memory = 0;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| attack(address, HOSTILE / 2, &over, &opened));
        }
        let _over = Over(&over);
        let all = HOSTILE as u64;
        eventually("the attack is on", || opened.load(Ordering::Relaxed) >= all);
        let start = Instant::now();
        while start.elapsed() < LASTS {
            let asked = Instant::now();
            let answer = scrape();
            took.push(asked.elapsed());
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.body.len(), 10_000);
            most_memory = most_memory.max(memory());
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    took.sort_unstable();
    (took, opened.into_inner(), most_memory)
}

#[track_caller]
fn assert_held_out(handle: Handle, scrape: impl Fn() -> Answer) {
    assert_eq!(scrape().status, 200);
    let (files_before, memory_before) = (files(), memory());
    let (took, opened, most_memory) = scrapes_under_attack(&handle, scrape);
    let slowest = took[took.len() - 1];
    println!(
        "{} scrapes under {opened} hostile connections, {HOSTILE} at a time: median {:?}, slowest {slowest:?}; {:?}; \
         memory {memory_before} MiB before, {most_memory} MiB at most",
        took.len(),
        took[took.len() / 2],
        handle.stats(),
    );
    assert!(slowest < PROMISE, "{slowest:?}");
    assert!(took.len() > 20, "{}", took.len());
    assert!(handle.stats().displaced_connections > HOSTILE as u64 / 2);
    // Of the clients' own, each of the few that are not to read has a buffer in the kernel, and nothing here.
    assert!(most_memory < memory_before + 1_000, "{most_memory} MiB");
    eventually("every place is free", || {
        handle.stats().open_connections == 0
    });
    let left = files();
    assert!(left <= files_before + 2, "{files_before}, now {left}");
    assert!(handle.shutdown(Duration::from_secs(10)));
}

#[test]
fn scrapes_are_answered_while_thousands_of_connections_take_up_room() {
    raise_file_limit();
    let server = Server::bind("127.0.0.1:0").unwrap();
    let handle = server.with_posts(|path| path == "/notes").start(handler);
    let handle = handle.unwrap();
    let address = handle.local_addr();
    let again = AtomicU64::new(0);
    // Where the machine keeps a client from saying what it wants, others take its place, and it asks again.
    assert_held_out(handle, || {
        loop {
            match get(address, "/metrics") {
                answer if answer.status != 503 => return answer,
                _ => again.fetch_add(1, Ordering::Relaxed),
            };
        }
    });
    println!("{} places were lost on the way", again.into_inner());
}

#[test]
fn scrapes_over_tls_are_answered_while_thousands_of_connections_take_up_room() {
    raise_file_limit();
    let (authority, place) = (Authority::new(), Place::new());
    place.write_identity(&authority.sign(&["localhost"]));
    place.write(
        "web.yml",
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n",
    );
    let (handle, _) = place.start(Limits::default(), handler);
    let (address, client) = (handle.local_addr(), authority.client());
    let again = AtomicU64::new(0);
    // A handshake goes to and fro: whoever is kept from the next step for long may lose their place, and asks again.
    assert_held_out(handle, || {
        loop {
            match client.get(address, "/metrics") {
                Ok(answer) => return answer,
                Err(_) => again.fetch_add(1, Ordering::Relaxed),
            };
        }
    });
    println!("{} connections were lost on the way", again.into_inner());
}
