//! Beginning and end of a server.

use crate::common::{PATIENCE, assert_closes, connect, eventually, get, hello, read_answer, start};
use mirrorwatch_http::{Handle, HttpError, Limits, Response, Server};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

fn bind_error(addr: &str) -> String {
    Server::bind(addr).unwrap_err().to_string()
}

#[test]
fn a_port_in_use_is_one_clear_sentence() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap().to_string();
    assert_eq!(
        bind_error(&addr),
        format!(
            "cannot listen on {addr}: address already in use; stop the other process or choose \
             another port with --listen"
        )
    );
}

#[test]
fn addresses_that_are_none_say_what_to_give() {
    for addr in [
        "",
        "nonsense",
        "127.0.0.1",
        "127.0.0.1:99999",
        ":9464",
        "::1:9464",
        "host:",
    ] {
        let error = Server::bind(addr).unwrap_err();
        assert!(
            matches!(error, HttpError::NotAnAddress { .. }),
            "{addr:?}: {error}"
        );
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {addr:?}: not an address;")),
            "{text}"
        );
    }
    // Reserved for documentation, so no machine has it.
    assert!(bind_error("192.0.2.1:0").contains("this machine has no such address"));
    assert!(bind_error("no-such-host.invalid:9464").contains("host name not found"));
}

#[test]
fn port_zero_takes_a_free_one() {
    for addr in ["127.0.0.1:0", "localhost:0"] {
        let server = Server::bind(addr).unwrap();
        let bound = server.local_addr();
        assert!(bound.ip().is_loopback());
        assert_ne!(bound.port(), 0);
        let handle = server.start(hello).unwrap();
        assert_eq!(handle.local_addr(), bound);
        assert_eq!(get(bound, "/").status, 200);
    }
}

#[test]
fn shutdown_finishes_the_open_request_and_closes_the_rest() {
    let (entered, inside) = mpsc::channel();
    let (release, wait) = mpsc::channel::<()>();
    let (entered, wait) = (Mutex::new(entered), Mutex::new(wait));
    // So that only the shutdown can close what is open.
    let limits = Limits {
        header_timeout: PATIENCE * 2,
        idle_timeout: PATIENCE * 2,
        ..Limits::default()
    };
    let handle = start(limits, move |request| {
        if request.path == "/slow" {
            entered.lock().unwrap().send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
        Response::text("done\n")
    });
    let address = handle.local_addr();
    let mut idle = connect(address);
    idle.write_all(GET).unwrap();
    assert_eq!(read_answer(&mut idle).status, 200);
    let mut half_sent = connect(address);
    half_sent.write_all(b"GET / HT").unwrap();
    let mut slow = connect(address);
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    inside.recv_timeout(PATIENCE).unwrap();

    let stopper = thread::spawn(move || handle.shutdown(PATIENCE));
    // Both close while the slow request is still open, so neither waits for it.
    assert_closes(&mut idle);
    assert_closes(&mut half_sent);
    eventually("new clients are refused", || {
        TcpStream::connect(address).is_err()
    });
    assert!(!stopper.is_finished());
    release.send(()).unwrap();
    let answer = read_answer(&mut slow);
    assert_eq!(answer.body, "done\n");
    // An answer that is ready before its connection has heard of the shutdown does not announce it.
    if let Some(announced) = answer.header("connection") {
        assert_eq!(announced, "close");
    }
    assert_closes(&mut slow);
    assert!(stopper.join().unwrap(), "the request counted as cut");
    drop(Server::bind(&address.to_string()).unwrap());
}

/// A server with a request in a handler that returns only when the sender is dropped.
fn stuck_server() -> (Handle, TcpStream, mpsc::Sender<()>) {
    let (release, wait) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let (entered, wait) = (Mutex::new(entered), Mutex::new(wait));
    let handle = start(Limits::default(), move |_| {
        entered.lock().unwrap().send(()).unwrap();
        let _ = wait.lock().unwrap().recv();
        Response::text("late\n")
    });
    let mut client = connect(handle.local_addr());
    client.write_all(GET).unwrap();
    inside.recv_timeout(PATIENCE).unwrap();
    (handle, client, release)
}

#[test]
fn shutdown_cuts_what_does_not_finish() {
    let (handle, mut client, release) = stuck_server();
    let start = Instant::now();
    assert!(!handle.shutdown(Duration::from_millis(200)));
    assert!(start.elapsed() < PATIENCE);
    assert_closes(&mut client);
    drop(release);
}

#[test]
fn drop_does_not_wait() {
    let (handle, mut client, release) = stuck_server();
    let start = Instant::now();
    drop(handle);
    assert!(start.elapsed() < PATIENCE);
    assert_closes(&mut client);
    drop(release);
}

#[test]
fn a_handler_may_drop_its_own_server() {
    let owned = Arc::new(Mutex::new(None::<Handle>));
    let inner = Arc::clone(&owned);
    let handle = start(Limits::default(), move |_| {
        drop(inner.lock().unwrap().take());
        Response::text("never sent\n")
    });
    let mut client = connect(handle.local_addr());
    *owned.lock().unwrap() = Some(handle);
    client.write_all(GET).unwrap();
    assert_closes(&mut client);
}

#[test]
fn endless_limits_are_allowed() {
    let limits = Limits {
        header_timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        max_connections: 0,
        max_handlers: 0,
        max_header_bytes: usize::MAX,
        max_body_bytes: usize::MAX,
    };
    let handle = start(limits, hello);
    assert_eq!(get(handle.local_addr(), "/").status, 200);
    assert!(handle.shutdown(Duration::MAX));
}
