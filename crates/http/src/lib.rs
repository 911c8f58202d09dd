//! A small hardened HTTP/1 server for pages that are read: metrics, health checks, JSON and a live page; and, at
//! paths that are named one by one, for small notes that are brought.
//!
//! One thread runs one current-thread runtime; callers see only blocking functions and a plain
//! handler from [`Request`] to [`Response`]. The server assumes that its clients may be broken or
//! hostile: connections, header bytes, body bytes and the time each step may take are all bounded
//! by [`Limits`], and a handler that panics costs one 500, not the process.
//!
//! ```
//! use mirrorwatch_http::{Response, Server};
//! use std::io::{Read, Write};
//! use std::time::Duration;
//!
//! let server = Server::bind("127.0.0.1:0")?;
//! let address = server.local_addr();
//! let handle = server.start(|request| match request.path.as_str() {
//!     "/healthz" => Response::text("ok\n"),
//!     _ => Response::not_found(),
//! })?;
//!
//! let mut client = std::net::TcpStream::connect(address)?;
//! client.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK"));
//! assert!(answer.ends_with("ok\n"));
//! assert_eq!(handle.stats().requests, 1);
//!
//! assert!(handle.shutdown(Duration::from_secs(5)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The way of a request
//!
//! ```text
//! accept ── over max_connections? ──> who is waited for longest is closed; 503 if nobody is
//!   │
//! TLS handshake, if there is TLS ── late? no TLS? no good certificate? ──> closed, 400, alert
//!   │
//! connection task ── head late, too large or malformed? ──> 408, 431 or 400
//!   │
//! gate, if there is one ── too often? nobody known? ──> 429, 401
//!   │
//! service ── not GET or HEAD, nor POST where it may? body too large? dot segments? ──> 405, 413, 400
//!   │
//! handler on a pool of max_handlers threads ── panics? late? ──> 500, 503
//!   │
//! response ── reader stalls, connection idle? ──> closed
//! ```
//!
//! Whoever opens many connections and is slow to use them takes places from themselves: when all are taken, a new
//! connection gets the place of the one that has been waited for longest, for a request, for the rest of a request or for
//! a reader, and of clients by their address the one with most connections gives it. What the limits cannot do is tell a
//! greedy client from a busy one: whoever may reach the port may also keep all handlers busy by asking all the time. Bind a
//! loopback address: a [`WebConfig`] says who may read and keeps others from costing much, not from connecting.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
mod body;
mod clock;
mod connection;
mod error;
mod events;
mod limits;
mod places;
mod request;
mod response;
mod server;
mod signal;
mod web;

pub use error::HttpError;
pub use events::Changes;
pub use limits::Limits;
pub use request::{Method, Request};
pub use response::Response;
pub use server::{Handle, Server, Stats};
pub use signal::{Signal, wait_for_shutdown_signal};
pub use web::WebConfig;
