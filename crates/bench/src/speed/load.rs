//! A load on a server: connections that are kept and never rest.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::Client;

/// A server that is busy for longer is not only that.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a server answered.
#[derive(Debug)]
pub struct Answered {
    /// Seconds from request to the end of the answer, of each of them.
    pub latencies: Vec<f64>,
    /// Wall time.
    pub seconds: f64,
}

impl Answered {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }
}

/// Asks for `path` over so many connections at once, one request after the other on each, for as long as `lasts`.
///
/// # Errors
///
/// A connection that fails, or an answer that is not 200.
pub fn load(
    address: &str,
    path: &str,
    connections: usize,
    lasts: Duration,
) -> Result<Answered, String> {
    // All are open before any asks.
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(admitted(address, path)?);
    }
    let (over, ready) = (AtomicBool::new(false), Barrier::new(connections + 1));
    let (parts, seconds) = std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(connections);
        for mut client in clients {
            let (over, ready) = (&over, &ready);
            threads.push(scope.spawn(move || {
                ready.wait();
                asked(&mut client, path, over)
            }));
        }
        // Before any of them begins, so that none is busy for longer than this says.
        let start = Instant::now();
        ready.wait();
        std::thread::sleep(lasts);
        over.store(true, Ordering::Relaxed);
        let parts: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        (parts, start.elapsed().as_secs_f64())
    });
    let mut latencies = Vec::new();
    for part in parts {
        latencies.extend(part.map_err(|_| "a thread of the load panicked".to_string())??);
    }
    Ok(Answered { latencies, seconds })
}

/// A connection that the server has taken: as long as those of an earlier load are not closed at its end, it may have as
/// many as it takes.
fn admitted(address: &str, path: &str) -> Result<Client, String> {
    let start = Instant::now();
    loop {
        let mut client = Client::open(address)?;
        let answer = client.get(path)?;
        match answer.status {
            200 => return Ok(client),
            503 if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
            status => return Err(format!("{path} was answered with {status}")),
        }
    }
}

fn asked(client: &mut Client, path: &str, over: &AtomicBool) -> Result<Vec<f64>, String> {
    let mut latencies = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        let answer = client.get(path)?;
        latencies.push(start.elapsed().as_secs_f64());
        if answer.status != 200 {
            return Err(format!("{path} was answered with {}", answer.status));
        }
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::server;
    use super::*;

    #[test]
    fn every_connection_asks_again_and_again() {
        let address = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        let lasts = Duration::from_millis(200);
        let answered = load(&address, "/", 8, lasts).unwrap();
        assert!(answered.latencies.len() > 8 && answered.seconds >= 0.2);
        let rate = answered.latencies.len() as f64 / answered.seconds;
        assert_eq!(answered.rate(), rate);
        // None of eight can have been busy for longer than there was time.
        let busy: f64 = answered.latencies.iter().sum();
        assert!(busy <= 8.0 * answered.seconds);
    }

    #[test]
    fn another_answer_than_200_is_an_error() {
        let address = server("HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n");
        let error = load(&address, "/", 1, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error, "/ was answered with 500");
    }
}
