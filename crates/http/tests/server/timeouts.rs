//! Clients that take their time, and handlers that do.

use crate::common::{assert_closes, connect, eventually, exchange, get, hello, read_answer, start};
use mirrorwatch_http::{Limits, Response};
use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Short for a test to wait, long for a client on a busy machine to send a request in.
const SHORT: Duration = Duration::from_secs(2);

fn short_headers() -> Limits {
    Limits {
        header_timeout: SHORT,
        ..Limits::default()
    }
}

fn short_idle() -> Limits {
    Limits {
        idle_timeout: SHORT,
        ..Limits::default()
    }
}

#[test]
fn two_hundred_half_open_connections_do_not_stop_the_server() {
    let limits = Limits {
        max_connections: 16,
        header_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let handle = start(limits, hello);
    let mut lorises = Vec::new();
    for _ in 0..200 {
        let mut loris = connect(handle.local_addr());
        // Those over the cap may be gone already.
        let _ = loris.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ");
        lorises.push(loris);
    }
    eventually("a normal request is answered", || {
        let mut client = connect(handle.local_addr());
        let mut text = String::new();
        let sent = client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        sent.is_ok() && client.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200")
    });
    for loris in &mut lorises {
        assert_closes(loris);
    }
    assert!(
        handle.stats().displaced_connections >= 100,
        "{:?}",
        handle.stats()
    );
    eventually("every place is free", || {
        handle.stats().open_connections == 0
    });
}

#[test]
fn silence_and_dripping_headers_run_into_the_header_timeout() {
    let handle = start(short_headers(), hello);
    assert_closes(&mut connect(handle.local_addr()));

    let mut dripping = connect(handle.local_addr());
    let start = Instant::now();
    // Each byte is progress, and still the time of the whole is bounded.
    while dripping.write_all(b"G").is_ok() {
        assert!(
            start.elapsed() < crate::common::PATIENCE,
            "the connection is still open"
        );
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_header_timeout_holds_for_later_requests_too() {
    let handle = start(short_headers(), hello);
    let mut stream = connect(handle.local_addr());
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
    // Idle for longer than the header timeout: allowed, the idle timeout is the long one.
    sleep(SHORT + SHORT / 2);
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
    stream.write_all(b"GET / HT").unwrap();
    // Within the thirty seconds of patience only if the header timeout applies.
    let start = Instant::now();
    assert_closes(&mut stream);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn idle_connections_are_closed() {
    let handle = start(short_idle(), hello);
    let mut stream = connect(handle.local_addr());
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
    assert_closes(&mut stream);
    eventually("its place is free", || handle.stats().open_connections == 0);
}

#[test]
fn a_response_that_nobody_reads_is_given_up() {
    let page = "x".repeat(64 * 1024 * 1024);
    let handle = start(short_idle(), move |_| Response::text(page.clone()));
    let mut stream = connect(handle.local_addr());
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    eventually("the request arrives", || handle.stats().requests == 1);
    eventually("its place is free", || handle.stats().open_connections == 0);
}

#[test]
fn bodies_are_bounded() {
    let limits = Limits {
        max_body_bytes: 1000,
        ..short_idle()
    };
    let handle = start(limits, hello);
    let address = handle.local_addr();

    let mut stream = connect(address);
    for _ in 0..2 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabcde")
            .unwrap();
        assert_eq!(read_answer(&mut stream).body, "hello\n");
    }
    let announced = "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n";
    assert_eq!(exchange(address, announced).status, 413);
    let chunk = format!("3e8\r\n{}\r\n", "a".repeat(1000));
    let chunked = format!(
        "GET / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{}",
        chunk.repeat(200)
    );
    assert_eq!(exchange(address, chunked).status, 413);
    let stalled = "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc";
    assert_eq!(exchange(address, stalled).status, 408);
}

#[test]
fn a_stuck_handler_gets_503_and_holds_up_nobody_else() {
    let (release, stuck) = mpsc::channel::<()>();
    let stuck = std::sync::Mutex::new(stuck);
    let limits = Limits {
        max_handlers: 2,
        ..short_idle()
    };
    let handle = start(limits, move |request| {
        if request.path == "/stuck" {
            let _ = stuck.lock().unwrap().recv();
        }
        hello(request)
    });
    assert_eq!(get(handle.local_addr(), "/stuck").status, 503);
    assert_eq!(get(handle.local_addr(), "/").status, 200);
    // Both places taken: even a quick page is refused, after a wait, and not queued for ever.
    assert_eq!(get(handle.local_addr(), "/stuck").status, 503);
    assert_eq!(get(handle.local_addr(), "/").status, 503);
    drop(release);
    eventually("the places are free", || {
        get(handle.local_addr(), "/").status == 200
    });
}
