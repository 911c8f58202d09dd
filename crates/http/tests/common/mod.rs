//! A raw HTTP client: most of what is tested here no proper client would send.
#![allow(dead_code, clippy::unwrap_used)]

pub mod secure;

use mirrorwatch_http::{Handle, Limits, Request, Response, Server};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Far longer than anything here takes; reached only by a server that hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Set for a test that runs as a process of its own.
pub const CHILD: &str = "MIRRORWATCH_HTTP_TEST_CHILD";

pub fn start<F>(limits: Limits, handler: F) -> Handle
where
    F: Fn(&Request) -> Response + Send + Sync + 'static,
{
    let server = Server::bind("127.0.0.1:0").unwrap();
    server.with_limits(limits).start(handler).unwrap()
}

pub fn hello(request: &Request) -> Response {
    match request.path.as_str() {
        "/" => Response::text("hello\n"),
        _ => Response::not_found(),
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn parse(text: &str) -> Answer {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("not a complete response: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends bytes on a connection of their own and reads until the server closes it.
pub fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
    let mut stream = connect(address);
    // A server that refuses a request need not read all of it, so that writing may fail, and
    // reading too once the answer is in.
    let _ = stream.write_all(bytes.as_ref());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    Answer::parse(&String::from_utf8(text).unwrap())
}

/// `GET target`, on a connection of its own.
pub fn get(address: SocketAddr, target: &str) -> Answer {
    exchange(
        address,
        format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )
}

/// Reads one response with a `Content-Length` from a connection that stays open.
pub fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let head = Answer::parse(std::str::from_utf8(&text).unwrap());
    let length = head.header("content-length").unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Answer {
        body: String::from_utf8(body).unwrap(),
        ..head
    }
}

/// Waits until the server closes the connection; panics if it does not.
pub fn assert_closes(stream: &mut TcpStream) {
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the connection is still open: {error}"),
        }
    }
}

/// Waits until something becomes true; panics if it does not.
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
