//! The accept loop: who gets in, and how the server comes to an end.

use crate::connection::Shared;
use crate::limits::after;
use crate::places::Places;
use crate::web::handshake::open;
use crate::web::limiter::network;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{timeout, timeout_at};

/// Sent to connections over the limit, and to those that give their place to another one.
pub(crate) const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 21\r\nretry-after: 5\r\nconnection: close\r\n\r\ntoo many connections\n";

/// Most bytes of a refused request to read, so that closing does not reset the connection.
const REFUSED_BYTES: usize = 4096;

/// Accepts connections until `leave` changes, serves those that are open until `stop` does, then lets them finish.
///
/// Returns the number of connections that were cut because they did not finish in time.
///
/// # Arguments
///
/// * `leave` - changes when nobody else is to be let in.
/// * `stop` - changes when the server is to stop, at the same time or later.
/// * `drain` - read after that: how long open requests may still take.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Rc<Shared>,
    mut leave: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
    drain: impl FnOnce() -> Duration,
) -> usize {
    let mut connections = JoinSet::new();
    let places = Places::new(shared.limits.max_connections, Arc::clone(&shared.counters));
    let places = Rc::new(places);
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            biased;
            _ = leave.changed() => break,
            // Without this the results of finished connections would pile up.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    backoff = Backoff::default();
                    let Some(taken) = places.take(network(remote.ip())) else {
                        refuse(stream);
                        continue;
                    };
                    // Pages are written in one go; waiting to fill a packet only delays them.
                    let _ = stream.set_nodelay(true);
                    let (shared, stop) = (Rc::clone(&shared), stop.clone());
                    connections.spawn_local(async move {
                        let place = Rc::clone(&taken.place);
                        open(stream, remote, shared, place, stop).await;
                        drop(taken);
                    });
                    // It is looked at before the next one comes, which may take its place; and whoever has lost theirs
                    // can go.
                    yield_now().await;
                }
                Err(error) => {
                    let Some(pause) = backoff.after(&error) else { continue };
                    tracing::warn!(%error, ?pause, "cannot accept connections");
                    if timeout(pause, leave.changed()).await.is_ok() {
                        break;
                    }
                }
            }
        }
    }
    // From here on clients are refused by the system instead of waiting in its queue, unless another server shares it.
    drop(listener);
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
        }
    }
    let deadline = after(drain());
    let all_done = async { while connections.join_next().await.is_some() {} };
    match timeout_at(deadline, all_done).await {
        Ok(()) => 0,
        Err(_) => connections.len(),
    }
}

/// Tries to say why, without waiting for anything: the buffer of a new socket takes the answer at
/// once or the client goes without.
fn refuse(stream: TcpStream) {
    // The runtime does not yet know what a new socket is ready for; the plain one just tries.
    let Ok(mut stream) = stream.into_std() else {
        return;
    };
    let _ = stream.write(BUSY);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read(&mut [0; REFUSED_BYTES]);
}

/// The pause after a failed accept. Running out of file descriptors leaves the connection in the
/// queue, so that the next accept fails at once: without a pause the loop would spin.
#[derive(Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Returns `None` for an error that concerns only the one connection.
    fn after(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted
        ) {
            return None;
        }
        let doubled = Self::FIRST.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        Some(doubled.min(Self::LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::{BUSY, Backoff};
    use std::io::{Error, ErrorKind};
    use std::time::Duration;

    #[test]
    fn the_pause_grows_up_to_a_second() {
        let mut backoff = Backoff::default();
        let full = Error::other("too many open files");
        let pauses: Vec<_> = (0..40).filter_map(|_| backoff.after(&full)).collect();
        assert_eq!(pauses.len(), 40);
        assert_eq!(
            pauses[..2],
            [Duration::from_millis(50), Duration::from_millis(100)]
        );
        assert_eq!(pauses[39], Duration::from_secs(1));
        assert_eq!(
            backoff.after(&Error::from(ErrorKind::ConnectionAborted)),
            None
        );
    }

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        assert!(BUSY.ends_with(b"\r\n\r\ntoo many connections\n"));
        assert_eq!("too many connections\n".len(), 21);
    }
}
