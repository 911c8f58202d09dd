//! Pages that stay open and are told when something changed.

use crate::common::{connect, eventually, get, start};
use mirrorwatch_http::{Changes, Handle, Limits, Response};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A server whose every page but `/` is a stream.
fn serve(limits: Limits) -> (Handle, Changes) {
    let changes = Changes::default();
    let listened = changes.clone();
    let handle = start(limits, move |request| match request.path.as_str() {
        "/" => Response::text("hello\n"),
        _ => Response::events(&listened),
    });
    (handle, changes)
}

/// A client of the stream, past the response's head.
fn listen(handle: &Handle) -> BufReader<TcpStream> {
    let mut stream = connect(handle.local_addr());
    stream
        .write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut reader = BufReader::new(stream);
    assert!(line(&mut reader).starts_with("HTTP/1.1 200"));
    while !line(&mut reader).is_empty() {}
    reader
}

/// The next line, without its end; also empty at the end of the stream.
fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    reader.read_line(&mut text).unwrap();
    text.trim_end().to_owned()
}

/// The number that the next event tells.
fn next(reader: &mut BufReader<TcpStream>) -> u64 {
    loop {
        let text = line(reader);
        if let Some(count) = text.strip_prefix("data: ") {
            return count.parse().unwrap();
        }
    }
}

#[test]
fn a_stream_tells_where_it_begins_and_of_every_change() {
    let (handle, changes) = serve(Limits::default());
    changes.notify();
    let mut reader = listen(&handle);
    assert_eq!(next(&mut reader), 1);
    changes.notify();
    assert_eq!(next(&mut reader), 2);
    // A burst is told once, and its last change is not lost.
    for _ in 0..1000 {
        changes.notify();
    }
    let started = Instant::now();
    let mut told = 0;
    while next(&mut reader) < 1002 {
        told += 1;
        assert!(started.elapsed() < Duration::from_secs(20) && told < 20);
    }
}

#[test]
fn a_silent_stream_outlives_the_idle_timeout() {
    let limits = Limits {
        idle_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let (handle, changes) = serve(limits);
    let mut reader = listen(&handle);
    assert_eq!(next(&mut reader), 0);
    let started = Instant::now();
    let mut heartbeats = 0;
    while started.elapsed() < Duration::from_secs(5) {
        heartbeats += usize::from(line(&mut reader).starts_with(": "));
    }
    assert!(heartbeats >= 2, "{heartbeats}");
    changes.notify();
    assert_eq!(next(&mut reader), 1);
}

#[test]
fn a_server_that_stops_ends_its_streams_at_once() {
    let (handle, _changes) = serve(Limits::default());
    let mut reader = listen(&handle);
    assert_eq!(next(&mut reader), 0);
    let started = Instant::now();
    assert!(handle.shutdown(Duration::from_secs(30)));
    assert!(started.elapsed() < Duration::from_secs(10));
    while !line(&mut reader).is_empty() || !line(&mut reader).is_empty() {}
}

#[test]
fn streams_leave_room_for_pages_and_give_their_places_back() {
    let limits = Limits {
        max_connections: 4,
        ..Limits::default()
    };
    let (handle, changes) = serve(limits);
    let mut streams = [listen(&handle), listen(&handle)];
    for stream in &mut streams {
        assert_eq!(next(stream), 0);
    }
    assert_eq!(get(handle.local_addr(), "/events").status, 503);
    assert_eq!(get(handle.local_addr(), "/").status, 200);
    drop(streams);
    eventually("a place is free again", || {
        // A stream finds out that nobody reads it when it has something to tell: a change, or every 15 s that it is there.
        changes.notify();
        let mut stream = connect(handle.local_addr());
        let asked = stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n");
        asked.is_ok() && line(&mut BufReader::new(stream)).starts_with("HTTP/1.1 200")
    });
}

#[test]
fn asking_for_the_head_of_a_stream_opens_none() {
    let (handle, _changes) = serve(Limits::default());
    let mut stream = connect(handle.local_addr());
    stream
        .write_all(b"HEAD /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut reader = BufReader::new(stream);
    assert!(line(&mut reader).starts_with("HTTP/1.1 200"));
    eventually("the connection is closed", || {
        handle.stats().open_connections == 0
    });
}
