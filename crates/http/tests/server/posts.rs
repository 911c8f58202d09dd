//! What is brought: where it is let in, how much, and by whom.

use crate::common::secure::Place;
use crate::common::{connect, exchange, hello, read_answer};
use mirrorwatch_http::{Handle, Limits, Method, Request, Response, Server, WebConfig};
use std::io::Write;
use std::time::Duration;

/// From the test vectors of crypt_blowfish, where it belongs to the password `U*U`.
const ALICE: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// Says what was brought, and by whom.
fn echo(request: &Request) -> Response {
    if request.method != Method::Post {
        return hello(request);
    }
    let body = String::from_utf8_lossy(request.body()).into_owned();
    Response::text(format!("{} {body:?}", request.user().unwrap_or("-"))).with_status(201)
}

fn start(limits: Limits) -> Handle {
    let server = Server::bind("127.0.0.1:0").unwrap().with_limits(limits);
    server
        .with_posts(|path| path == "/my notes")
        .start(echo)
        .unwrap()
}

fn post(target: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

#[test]
fn only_named_paths_take_what_is_brought() {
    let handle = start(Limits::default());
    let address = handle.local_addr();
    let answer = exchange(address, post("/my%20notes?x", "", "{\"a\": 1}"));
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (201, r#"- "{\"a\": 1}""#)
    );
    for (request, allowed) in [
        (post("/", "", "x"), "GET, HEAD"),
        (post("/my", "", "x"), "GET, HEAD"),
        (
            post("/my%20notes", "", "x").replace("POST", "PUT"),
            "GET, HEAD, POST",
        ),
    ] {
        let answer = exchange(address, &request);
        assert_eq!(answer.status, 405, "{request}");
        assert_eq!(answer.header("allow"), Some(allowed), "{request}");
    }
    let no_path = post("/%2e%2e/my%20notes", "", "x");
    assert_eq!(exchange(address, no_path).status, 400);
    // What comes with other methods is still thrown away.
    let get = post("/", "", "x").replace("POST", "GET");
    assert_eq!(exchange(address, get).body, "hello\n");
}

#[test]
fn a_connection_brings_one_thing_after_the_other() {
    let handle = start(Limits::default());
    let mut stream = connect(handle.local_addr());
    // What comes in chunks is the last thing that a connection brings, as it may have come with a length, too.
    for chunked in [false, false, true] {
        let request = match chunked {
            true => {
                "POST /my%20notes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
            }
            false => "POST /my%20notes HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
        };
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut stream).body, r#"- "abc""#);
    }
    crate::common::assert_closes(&mut stream);
}

#[test]
fn what_is_brought_is_bounded_in_size_and_time() {
    let handle = start(Limits {
        max_body_bytes: 1000,
        idle_timeout: Duration::from_millis(300),
        ..Limits::default()
    });
    let address = handle.local_addr();
    let fits = "a".repeat(1000);
    assert_eq!(
        exchange(address, post("/my%20notes", "", &fits)).status,
        201
    );
    let more = "a".repeat(1001);
    assert_eq!(
        exchange(address, post("/my%20notes", "", &more)).status,
        413
    );
    let chunk = format!("3e8\r\n{fits}\r\n");
    let chunked = format!(
        "POST /my%20notes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{}",
        chunk.repeat(50)
    );
    assert_eq!(exchange(address, chunked).status, 413);
    let stalled = post("/my%20notes", "", "abc").replace("length: 3", "length: 9");
    assert_eq!(exchange(address, stalled).status, 408);
}

#[test]
fn who_brings_it_is_who_logged_in() {
    use base64::Engine;
    let place = Place::new();
    place.write("web.yml", &format!("basic_auth_users:\n  alice: {ALICE}\n"));
    let config = WebConfig::load(&place.config()).unwrap();
    let server = Server::bind("127.0.0.1:0").unwrap().with_web_config(config);
    let handle = server.with_posts(|_| true).start(echo).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode("alice:U*U");
    let login = format!("authorization: Basic {encoded}\r\n");
    // Once with bcrypt and once without.
    for _ in 0..2 {
        let answer = exchange(handle.local_addr(), post("/", &login, "x"));
        assert_eq!(answer.body, "alice \"x\"");
    }
    let nobody = exchange(handle.local_addr(), post("/", "", "x"));
    assert_eq!(nobody.status, 401);
}
