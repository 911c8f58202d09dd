//! Clients that are broken or hostile.

use crate::common::{connect, eventually, exchange, get, hello, read_answer, start};
use mirrorwatch_http::{Limits, Response};
use std::io::Write;

#[test]
fn connections_over_the_cap_are_told_so_and_counted() {
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let handle = start(limits, move |request| {
        if request.path == "/held" {
            let _ = held.lock().unwrap().recv();
        }
        hello(request)
    });
    let mut first = connect(handle.local_addr());
    first
        .write_all(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    eventually("the request is in", || handle.stats().requests == 1);
    // Nothing is sent, so that no reset can overtake the answer.
    assert_eq!(exchange(handle.local_addr(), "").status, 503);
    assert_eq!(handle.stats().rejected_connections, 1);
    drop(release);
    assert_eq!(read_answer(&mut first).status, 404);
    drop(first);
    eventually("the place is free", || handle.stats().open_connections == 0);
    assert_eq!(get(handle.local_addr(), "/").status, 200);
}

#[test]
fn oversized_headers_get_431() {
    let handle = start(Limits::default(), hello);
    let long = "a".repeat(20_000);
    let many = "x-y: z\r\n".repeat(200);
    let unending = "a".repeat(500_000);
    for headers in [
        format!("x: {long}\r\n\r\n"),
        format!("{many}\r\n"),
        format!("x: {unending}"),
    ] {
        let answer = exchange(handle.local_addr(), format!("GET / HTTP/1.1\r\n{headers}"));
        assert_eq!(answer.status, 431);
    }
    let fits = "a".repeat(15_000);
    let request = format!("GET / HTTP/1.1\r\nconnection: close\r\nx: {fits}\r\n\r\n");
    assert_eq!(exchange(handle.local_addr(), request).status, 200);
}

#[test]
fn a_refused_client_can_finish_sending() {
    let handle = start(Limits::default(), hello);
    let junk = "a".repeat(20_000);
    for (head, status) in [
        ("GET / HTTP/1.1\r\nx: ", "431"),
        ("POST / HTTP/1.1\r\ncontent-length: 200000\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\ncontent-length: 200000\r\n\r\n", "413"),
    ] {
        let mut stream = connect(handle.local_addr());
        stream
            .write_all(format!("{head}{junk}").as_bytes())
            .unwrap();
        stream.peek(&mut [0]).unwrap();
        // If the server had closed by now, the first of these would draw a reset, and the next
        // one fail.
        for _ in 0..3 {
            stream.write_all(junk.as_bytes()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    }
}

#[test]
fn malformed_requests_get_400() {
    let handle = start(Limits::default(), hello);
    let requests: [&[u8]; 7] = [
        b"what is this\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a tls client\r\n\r\n",
    ];
    for request in requests {
        let answer = exchange(handle.local_addr(), request);
        assert_eq!(answer.status, 400, "{:?}", String::from_utf8_lossy(request));
    }
    assert_eq!(get(handle.local_addr(), "/").status, 200);
}

#[test]
fn paths_cannot_climb() {
    let handle = start(Limits::default(), |request| {
        Response::text(request.path.as_str())
    });
    for path in [
        "/%2e%2e/etc/passwd",
        "/../etc/passwd",
        "/a/..%2f..%2fb",
        "/a%00b",
        "/%zz",
    ] {
        assert_eq!(get(handle.local_addr(), path).status, 400, "{path}");
    }
    assert_eq!(get(handle.local_addr(), "/%252e%252e/x").body, "/%2e%2e/x");
}

#[test]
fn a_panic_costs_one_500() {
    let handle = start(
        Limits {
            max_handlers: 1,
            ..Limits::default()
        },
        |request| {
            assert_ne!(request.path, "/panic", "a secret of the handler");
            hello(request)
        },
    );
    let mut stream = connect(handle.local_addr());
    for _ in 0..3 {
        stream
            .write_all(b"GET /panic HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let answer = read_answer(&mut stream);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (500, "internal error\n")
        );
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        assert_eq!(read_answer(&mut stream).body, "hello\n");
    }
}

/// The part of the next test that runs with few file descriptors.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by out_of_file_descriptors_the_server_waits"]
fn child_with_few_file_descriptors() {
    use std::io::{Read, Seek, SeekFrom};

    // Without the limit, as under --include-ignored, the loop below would go on for long.
    if std::env::var_os(crate::common::CHILD).is_none() {
        return;
    }
    let handle = start(
        Limits {
            max_connections: 10_000,
            ..Limits::default()
        },
        hello,
    );
    let mut stat = std::fs::File::open("/proc/self/stat").unwrap();
    let mut clock_ticks = || {
        let mut text = String::new();
        stat.seek(SeekFrom::Start(0)).unwrap();
        stat.read_to_string(&mut text).unwrap();
        let fields: Vec<_> = text
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    // Two sockets share each connection here. The last free descriptor must go to a client, so
    // that its connection waits in the queue and the server cannot accept it.
    let spare = || std::fs::File::open("/dev/null").unwrap();
    let mut spares = vec![spare(), spare(), spare(), spare(), spare()];
    let mut clients = Vec::new();
    let waiting = |clients: usize| clients as u64 > handle.stats().open_connections;
    loop {
        while let Ok(client) = std::net::TcpStream::connect(handle.local_addr()) {
            clients.push(client);
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        if waiting(clients.len()) {
            break;
        }
        drop(spares.pop().unwrap());
    }
    let before = clock_ticks();
    std::thread::sleep(std::time::Duration::from_secs(2));
    // A tick is 10 ms. Waiting uses none of them; a loop that spins up to 200, or fewer where it
    // has to share the processor.
    let used = clock_ticks() - before;
    assert!(used < 20, "{used} ticks in two seconds");
    assert!(waiting(clients.len()));
    assert!(clients.len() > 5);
    drop(clients);
    eventually("the server answers again", || {
        get(handle.local_addr(), "/").status == 200
    });
}

#[cfg(target_os = "linux")]
#[test]
fn out_of_file_descriptors_the_server_waits() {
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 60 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored"])
        .arg("hardening::child_with_few_file_descriptors")
        .env(crate::common::CHILD, "1")
        .output()
        .unwrap();
    // Of another name it would not be run, and all would be well.
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
