//! HTTP as a scraper speaks it: one connection that is kept, one request after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Nobody waits longer than this for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open connection.
pub struct Client {
    address: String,
    stream: BufReader<TcpStream>,
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects to `host:port`.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn open(address: &str) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot connect to {address}: {error}");
        let stream = TcpStream::connect(address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        Ok(Self {
            address: address.to_string(),
            stream: BufReader::new(stream),
        })
    }

    /// Gets a path, and keeps the connection.
    ///
    /// # Errors
    ///
    /// The connection ends, or the answer is no HTTP/1.1 with a length.
    pub fn get(&mut self, path: &str) -> Result<Answer, String> {
        let address = self.address.clone();
        self.ask(path)
            .map_err(|error| format!("http://{address}{path}: {error}"))
    }

    fn ask(&mut self, path: &str) -> std::io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|s| s.parse().ok());
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
        let (Some(status), Some(length)) = (status, length) else {
            return Err(std::io::Error::other(
                "the answer has no status or no content-length",
            ));
        };
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }

    /// A line of a head, without its end.
    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_string())
    }
}

/// The value of a metric in Prometheus' text format, summed over its label sets; 0 where there is none.
pub fn metric(text: &str, name: &str) -> f64 {
    let mut sum = 0.0;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        if rest.starts_with(['{', ' ']) {
            let value = rest.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok());
            sum += value.unwrap_or(0.0);
        }
    }
    sum
}

#[cfg(test)]
pub mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that gives each request the same answer, for as many connections as come.
    pub fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                std::thread::spawn(move || {
                    let mut line = String::new();
                    while stream.read_line(&mut line).is_ok_and(|read| read > 0) {
                        if line == "\r\n" {
                            stream.get_mut().write_all(answer.as_bytes()).unwrap();
                        }
                        line.clear();
                    }
                });
            }
        });
        address
    }

    #[test]
    fn answers_come_one_after_the_other_on_one_connection() {
        let address = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx: y\r\n\r\nok");
        let mut client = Client::open(&address).unwrap();
        for _ in 0..3 {
            let answer = client.get("/metrics").unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
        }
    }

    #[test]
    fn an_answer_without_a_length_is_an_error_that_names_the_address() {
        let address = server("HTTP/1.1 200 OK\r\n\r\n");
        let error = Client::open(&address).unwrap().get("/x").err().unwrap();
        assert!(
            error.starts_with(&format!("http://{address}/x: the answer has no")),
            "{error}"
        );
    }

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text =
            "# HELP a_total x\na_total{r=\"x y\"} 2\na_total{r=\"z\"} 3\na_total_more 9\nb 1\n";
        assert_eq!((metric(text, "a_total"), metric(text, "b")), (5.0, 1.0));
        assert_eq!(metric(text, "c"), 0.0);
    }
}
