//! A webhook: takes what is posted to it and keeps it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// A server that lives as long as the test does.
pub struct Webhook {
    pub address: String,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    #[track_caller]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = received.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(body) = answer(stream) {
                    kept.lock().unwrap().push(body);
                }
            }
        });
        Self { address, received }
    }

    /// The alerts of all notifications so far.
    pub fn alerts(&self) -> Vec<Value> {
        let received = self.received.lock().unwrap();
        let alerts = received.iter().flat_map(|body| body["alerts"].as_array());
        alerts.flatten().cloned().collect()
    }
}

/// Reads one posted JSON document and says that all is well.
fn answer(mut stream: TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    serde_json::from_slice(&body).ok()
}
