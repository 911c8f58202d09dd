//! The way from an accepted socket to a connection that requests come over.

use super::gate::Gate;
use crate::connection::{Shared, serve};
use crate::limits::after;
use crate::places::Place;
use rustls::ServerConfig;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The answer to a client that speaks plain HTTP to a TLS port.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    content-length: 62\r\nconnection: close\r\n\r\n\
    this port speaks TLS; ask for https:// where you said http://\n";

/// Longest wait for a client to take note of a refusal, and most bytes read meanwhile.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;

/// Serves a connection, after the TLS handshake if there is to be one.
///
/// The handshake has as much time as the headers of a request.
pub(crate) async fn open(
    stream: TcpStream,
    remote: SocketAddr,
    shared: Rc<Shared>,
    place: Rc<Place>,
    mut stop: watch::Receiver<bool>,
) {
    let Some(gate) = shared.gate.as_ref().filter(|gate| gate.config.encrypts()) else {
        return serve(stream, remote, shared, place, stop).await;
    };
    let deadline = after(shared.limits.header_timeout);
    let shaken = tokio::select! {
        biased;
        _ = stop.changed() => return,
        () = place.lost() => return,
        shaken = timeout_at(deadline, shake(stream, remote, gate, &place)) => shaken,
    };
    match shaken {
        Ok(Some(stream)) => serve(stream, remote, Rc::clone(&shared), place, stop).await,
        Ok(None) => {}
        Err(_) => tracing::debug!(%remote, "connection closed: the TLS handshake took too long"),
    }
}

async fn shake(
    stream: TcpStream,
    remote: SocketAddr,
    gate: &Gate,
    place: &Place,
) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    // No TLS record starts with a letter, and every HTTP method does.
    if first[0].is_ascii_alphabetic() {
        tracing::debug!(%remote, "plain HTTP on a TLS port");
        refuse(stream).await;
        return None;
    }
    place.shakes();
    let config = config(gate).await?;
    match TlsAcceptor::from(config)
        .accept(stream)
        .into_fallible()
        .await
    {
        Ok(stream) => {
            // The request is on its way.
            place.shakes();
            Some(stream)
        }
        Err((error, stream)) => {
            tracing::debug!(%remote, %error, "TLS handshake failed");
            // The alert that says why is on its way.
            linger(stream).await;
            None
        }
    }
}

async fn config(gate: &Gate) -> Option<Arc<ServerConfig>> {
    // The handshake's own deadline ends the wait.
    let loaded = gate.config.current(Duration::MAX).await;
    loaded.tls.as_ref().map(|tls| Arc::clone(&tls.config))
}

async fn refuse(stream: TcpStream) {
    // The buffer of a new socket takes it in one go.
    if stream.writable().await.is_ok() && stream.try_write(NOT_TLS).is_ok() {
        linger(stream).await;
    }
}

/// Closes the sending side and reads on for a moment: closing a socket that has unread bytes
/// resets the connection, and the reset can overtake what was written last.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx))
            .await
            .ok()?;
        let (mut left, mut space) = (LINGER_BYTES, [0; 4096]);
        loop {
            stream.readable().await.ok()?;
            match stream.try_read(&mut space) {
                Ok(0) => return None,
                Ok(read) => left = left.checked_sub(read)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    };
    let _: Result<Option<()>, _> = timeout(LINGER, drain).await;
}

#[cfg(test)]
mod tests {
    use super::NOT_TLS;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(NOT_TLS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\nconnection", body.len())));
    }
}
