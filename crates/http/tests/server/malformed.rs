//! Requests that are none, or that two servers could read in two ways.

use crate::common::{assert_closes, connect, eventually, exchange, get, read_answer, start};
use mirrorwatch_http::{Handle, Limits, Response, Server};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

/// Says what it was asked for, and nothing of a path that is not its own.
fn echo() -> Handle {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let handle = server.with_posts(|path| path == "/notes").start(|request| {
        Response::text(format!(
            "{} {} {:?}",
            request.method,
            request.path,
            String::from_utf8_lossy(request.body())
        ))
    });
    handle.unwrap()
}

/// A name for the case, the request, and the only status that is right.
type Case = (&'static str, &'static [u8], u16);

const CASES: &[Case] = &[
    ("a method that is none", b"G\x01T / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    ("a method that is not known", b"BREW / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
    ("lower case is another method", b"get / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
    ("a tunnel", b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
    ("a trace", b"TRACE / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
    ("a delete", b"DELETE /notes HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
    ("no version", b"GET /\r\nhost: x\r\n\r\n", 400),
    ("version 2 in the clear", b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 400),
    ("version 1.2", b"GET / HTTP/1.2\r\nhost: x\r\n\r\n", 400),
    ("a version that is none", b"GET / HTTPS/1.1\r\nhost: x\r\n\r\n", 400),
    ("a NUL in the path", b"GET /a\0b HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    ("a NUL in a name", b"GET / HTTP/1.1\r\nhost: x\r\na\0: b\r\n\r\n", 400),
    ("a space before the colon", b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
    ("a folded line", b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c: d\r\n\r\n", 400),
    ("a return alone", b"GET / HTTP/1.1\rhost: x\r\n\r\n", 400),
    ("a return in a value", b"GET / HTTP/1.1\r\nhost: x\r\na: b\rc: d\r\n\r\n", 400),
    ("two lengths that differ", b"POST /notes HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400),
    ("a list of lengths", b"POST /notes HTTP/1.1\r\nhost: x\r\ncontent-length: 2, 3\r\n\r\n{}", 400),
    ("a length below zero", b"POST /notes HTTP/1.1\r\nhost: x\r\ncontent-length: -2\r\n\r\n{}", 400),
    ("a length with a sign", b"POST /notes HTTP/1.1\r\nhost: x\r\ncontent-length: +2\r\n\r\n{}", 400),
    ("a length in hex", b"POST /notes HTTP/1.1\r\nhost: x\r\ncontent-length: 0x2\r\n\r\n{}", 400),
    ("a length beyond all numbers", b"POST /notes HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n{}", 400),
    ("an encoding that is not known", b"POST /notes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n{}", 400),
    ("chunks that are not the last encoding", b"POST /notes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    ("an encoding in disguise", b"POST /notes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("chunks for version 1.0", b"POST /notes HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a chunk's size below zero", b"POST /notes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", 400),
    ("a chunk's size beyond all numbers", b"POST /notes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n", 400),
    ("a chunk larger than it says", b"POST /notes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400),
    ("two hosts", b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400),
    ("no path", b"GET ?x=1 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    ("all of the server", b"GET * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
    ("a path that climbs", b"GET /a/../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
    ("a path that climbs in percent", b"GET /%2e%2e%2fetc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
    ("a path that climbs elsewhere", b"GET http://y/../etc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
    ("a path with backslashes", b"GET /..%5c..%5cetc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
    ("a path that is no UTF-8", b"GET /%c0%ae%c0%ae/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
    ("a path with half a percent", b"GET /%2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
    ("a query that is no UTF-8", b"GET /?a=%ff HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
];

#[test]
fn what_is_no_request_gets_the_status_that_is_right() {
    let handle = echo();
    let address = handle.local_addr();
    let mut wrong = Vec::new();
    for (what, request, status) in CASES {
        let mut stream = connect(address);
        let _ = stream.write_all(request);
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        if !text.starts_with(&format!("HTTP/1.1 {status} ")) {
            wrong.push(format!("{what}: {text:?} instead of {status}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} malformed requests", CASES.len());
    // An absolute path is one that proxies send, and means this server.
    let absolute = "GET http://elsewhere/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(address, absolute).body, "GET /a \"\"");
}

/// Which of the two lengths a proxy in between went by cannot be known, so nothing after the first request counts.
#[test]
fn nothing_is_smuggled_behind_a_request_with_two_lengths() {
    let handle = echo();
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let both = [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 60\r\n",
        "transfer-encoding: chunked\r\n",
    ];
    for lengths in both {
        let mut stream = connect(handle.local_addr());
        let request =
            format!("POST /notes HTTP/1.1\r\nhost: x\r\n{lengths}\r\n0\r\n\r\n{smuggled}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        assert!(text.contains("connection: close"), "{text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
        assert!(!text.contains("smuggled"), "{text}");
    }
    // And behind one that is refused as little.
    for refused in [
        "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 36\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
    ] {
        let mut stream = connect(handle.local_addr());
        let request = format!("{refused}{smuggled}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 4"), "{text}");
        assert!(!text.contains("smuggled"), "{text}");
    }
    eventually("every place is free", || {
        handle.stats().open_connections == 0
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    const REQUESTS: usize = 500;
    let handle = echo();
    let mut stream = connect(handle.local_addr());
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for n in 0..REQUESTS {
            let request = match n % 3 {
                0 => format!("POST /notes HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n{n:03}"),
                _ => format!("GET /{n} HTTP/1.1\r\nhost: x\r\n\r\n"),
            };
            writer.write_all(request.as_bytes()).unwrap();
        }
    });
    for n in 0..REQUESTS {
        let expected = match n % 3 {
            0 => format!("POST /notes \"{n:03}\""),
            _ => format!("GET /{n} \"\""),
        };
        assert_eq!(read_answer(&mut stream).body, expected);
    }
    sender.join().unwrap();
    assert_eq!(handle.stats().requests, REQUESTS as u64);
}

#[test]
fn clients_that_go_half_way_through_an_answer_leave_nothing_behind() {
    let page = "x".repeat(4 * 1024 * 1024);
    let handle = start(Limits::default(), move |request| {
        match request.path.as_str() {
            "/large" => Response::text(page.clone()),
            _ => Response::text("ok\n"),
        }
    });
    let address = handle.local_addr();
    for n in 0..300 {
        let mut stream = connect(address);
        stream
            .write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        if n % 3 > 0 {
            stream.read_exact(&mut [0; 100]).unwrap();
        }
        if n % 3 == 2 {
            stream.shutdown(Shutdown::Read).unwrap();
        }
        if n % 50 == 0 {
            assert_eq!(get(address, "/").body, "ok\n");
        }
    }
    eventually("every place is free", || {
        handle.stats().open_connections == 0
    });
    assert_eq!(get(address, "/").status, 200);
    assert!(handle.shutdown(Duration::from_secs(10)));
}

#[test]
fn a_head_that_comes_too_slowly_is_told_so_and_silence_is_not() {
    let limits = Limits {
        header_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let handle = start(limits, |_| Response::text("ok\n"));
    let half = "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ";
    let answer = exchange(handle.local_addr(), half);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (408, "request took too long\n")
    );
    let mut silent = connect(handle.local_addr());
    let mut text = String::new();
    silent.read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
    // Where a response was sent before, nothing may follow that is none.
    let mut stream = connect(handle.local_addr());
    stream
        .write_all(format!("GET / HTTP/1.1\r\nhost: x\r\n\r\n{half}").as_bytes())
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
}

#[test]
fn whoever_loses_a_place_is_told_so() {
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let handle = start(limits, |_| Response::text("ok\n"));
    let address = handle.local_addr();
    let mut half = connect(address);
    half.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").unwrap();
    eventually("it is in", || handle.stats().open_connections == 1);
    let mut newer = connect(address);
    newer
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    assert_eq!(read_answer(&mut newer).body, "ok\n");
    assert_eq!(read_answer(&mut half).status, 503);
    assert_closes(&mut half);
    assert_eq!(handle.stats().displaced_connections, 1);
}

/// Bytes that look like a request more often than not.
fn nearly_a_request() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET ".to_vec()),
        Just(b"POST ".to_vec()),
        Just(b"/notes".to_vec()),
        Just(b"/%2e%2e/%00".to_vec()),
        Just(b" HTTP/1.1\r\n".to_vec()),
        Just(b"host: x\r\n".to_vec()),
        Just(b"content-length: 4\r\n".to_vec()),
        Just(b"transfer-encoding: chunked\r\n".to_vec()),
        Just(b"expect: 100-continue\r\n".to_vec()),
        Just(b"connection: upgrade\r\nupgrade: h2c\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"4\r\nabcd\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Whatever comes in, what goes out is a row of answers, none of which is the server's own fault.
#[test]
fn any_bytes_get_answers_that_are_well_formed_or_none() {
    let handle = echo();
    let address = handle.local_addr();
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&nearly_a_request(), |bytes| {
        let mut stream = connect(address);
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        let mut rest = String::from_utf8_lossy(&text).into_owned();
        while !rest.is_empty() {
            let (head, after) = rest.split_once("\r\n\r\n").unwrap_or((&rest, ""));
            let status = head
                .strip_prefix("HTTP/1.1 ")
                .or_else(|| head.strip_prefix("HTTP/1.0 "))
                .and_then(|line| line.get(..3)?.parse::<u16>().ok());
            prop_assert!(status.is_some(), "{head:?} is no answer to {bytes:?}");
            let status = status.unwrap_or_default();
            prop_assert!(
                [100, 200, 400, 405, 408, 413, 431].contains(&status),
                "{status} to {bytes:?}"
            );
            let length = head.lines().find_map(|line| {
                let length = line.strip_prefix("content-length: ")?;
                length.parse::<usize>().ok()
            });
            let length = length.unwrap_or_default();
            prop_assert!(after.len() >= length, "{rest:?} is cut off");
            rest = after[length..].to_string();
        }
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(get(address, "/").status, 200);
    eventually("every place is free", || {
        handle.stats().open_connections == 0
    });
}
