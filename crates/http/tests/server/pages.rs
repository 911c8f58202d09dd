//! What a well-behaved client sees.

use crate::common::{connect, exchange, get, hello, read_answer, start};
use mirrorwatch_http::{Limits, Method, Response};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[test]
fn a_real_client_gets_a_page() {
    let handle = start(Limits::default(), |request| match request.path.as_str() {
        "/metrics" => Response::bytes(METRICS, "up 1\n"),
        _ => Response::not_found(),
    });
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let base = format!("http://{}", handle.local_addr());
    for _ in 0..3 {
        let mut page = agent.get(format!("{base}/metrics")).call().unwrap();
        assert_eq!(page.status(), 200);
        assert_eq!(page.headers()["content-type"], METRICS);
        assert_eq!(page.headers()["x-content-type-options"], "nosniff");
        assert_eq!(page.body_mut().read_to_string().unwrap(), "up 1\n");
    }
    let missing = agent.get(format!("{base}/nowhere")).call().unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(handle.stats().requests, 4);
}

#[test]
fn the_handler_sees_the_request() {
    let handle = start(Limits::default(), |request| {
        assert_eq!(request.method, Method::Get);
        assert!(request.remote.ip().is_loopback());
        let text = format!(
            "{} {:?} {:?} {:?}",
            request.path,
            request.query,
            request.header("X-Probe"),
            request.header("absent"),
        );
        Response::text(text)
    });
    let target = "/a%20b?run=x+y&n=%31&flag";
    let answer = exchange(
        handle.local_addr(),
        format!("GET {target} HTTP/1.1\r\nhost: x\r\nx-probe: 7\r\nconnection: close\r\n\r\n"),
    );
    let expected = r#"/a b [("run", "x y"), ("n", "1"), ("flag", "")] Some("7") None"#;
    assert_eq!(answer.body, expected);
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let handle = start(Limits::default(), hello);
    let request = "HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = exchange(handle.local_addr(), request);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some("6"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.body, "");
}

#[test]
fn other_methods_do_not_reach_the_handler() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let handle = start(Limits::default(), move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        hello(request)
    });
    for line in [
        "POST /",
        "PUT /",
        "DELETE /",
        "PATCH /",
        "TRACE /",
        "OPTIONS *",
        "BREW /",
    ] {
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = exchange(handle.local_addr(), request);
        assert_eq!(answer.status, 405, "{line}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{line}");
    }
    let body = "a".repeat(100_000);
    let post = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{body}");
    let answer = exchange(handle.local_addr(), post);
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[test]
fn html_carries_its_policy() {
    let handle = start(Limits::default(), |_| {
        Response::html("<!doctype html><p>hi")
    });
    let answer = get(handle.local_addr(), "/");
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(
        answer.header("content-security-policy"),
        Some(
            "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
             script-src 'self' 'unsafe-inline'; connect-src 'self'"
        )
    );
}

#[test]
fn json_and_redirects() {
    let handle = start(Limits::default(), |request| match request.path.as_str() {
        "/json" => Response::json("{}"),
        _ => Response::redirect("/json"),
    });
    let json = get(handle.local_addr(), "/json");
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(json.body, "{}");
    let redirect = get(handle.local_addr(), "/");
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (302, Some("/json"))
    );
}

#[test]
fn a_connection_serves_many_requests() {
    let handle = start(Limits::default(), hello);
    let mut stream = connect(handle.local_addr());
    for _ in 0..20 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        assert_eq!(read_answer(&mut stream).body, "hello\n");
    }
    // Pipelined: all are sent before any is answered.
    stream
        .write_all(&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(20))
        .unwrap();
    for _ in 0..20 {
        assert_eq!(read_answer(&mut stream).body, "hello\n");
    }
    assert_eq!(handle.stats().requests, 40);
    assert_eq!(handle.stats().open_connections, 1);
}

#[test]
fn a_client_that_stops_sending_still_gets_its_page() {
    let handle = start(Limits::default(), |request| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        hello(request)
    });
    let mut stream = connect(handle.local_addr());
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_answer(&mut stream).body, "hello\n");
    crate::common::assert_closes(&mut stream);
}

#[test]
fn a_large_page_arrives_whole() {
    let page = "x".repeat(8 * 1024 * 1024);
    let expected = page.clone();
    let handle = start(Limits::default(), move |_| Response::text(page.clone()));
    assert_eq!(get(handle.local_addr(), "/").body, expected);
}
