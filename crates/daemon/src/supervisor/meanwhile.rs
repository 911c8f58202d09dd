//! What the supervisor answers while there is no scanner: the last count to scrapes, and to people that they should wait.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mirrorwatch_http::{Handle, Request, Response, Server, WebConfig};

use crate::error::DaemonError;
use crate::metrics::{CONTENT_TYPE, SCANNER_RESTARTS, SCANNER_UP};

/// Without a scanner for so long, something hangs that another supervisor may not hang in.
const TOO_LONG: Duration = Duration::from_secs(1800);
const FAILURES: &str = "mirrorwatch_checkpoint_failures_total{";

/// What is served, and how often that was needed.
pub(super) struct Meanwhile {
    web: Option<WebConfig>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The last scrape of the scanner that was there last.
    metrics: String,
    /// Why it is not there; empty before there was one.
    why: String,
    /// How often one was started again.
    restarts: u64,
    /// Whether one of those that have died could not scan a checkpoint.
    failed: bool,
    /// Since when there is none.
    since: Option<Instant>,
}

impl Meanwhile {
    /// Before the first scanner.
    pub(super) fn new(web: Option<WebConfig>) -> Self {
        let known = Known {
            since: Some(Instant::now()),
            ..Known::default()
        };
        Self {
            web,
            known: Mutex::new(known),
        }
    }

    // Each field is replaced whole, so poison means nothing.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a scanner was started again.
    pub(super) fn restarts(&self) -> u64 {
        self.known().restarts
    }

    /// What the scanner would answer to a scrape now.
    pub(super) fn keep(&self, metrics: String) {
        self.known().metrics = metrics;
    }

    /// The scanner has ended, and will be started again.
    pub(super) fn down(&self, why: &str) {
        let mut known = self.known();
        known.why = why.to_string();
        known.restarts += 1;
        known.failed |= tells_of_failures(&known.metrics);
        known.since.get_or_insert_with(Instant::now);
    }

    /// There is a scanner.
    pub(super) fn up(&self) {
        self.known().since = None;
    }

    /// Whether one of the scanners that have died could not scan a checkpoint.
    pub(super) fn failed(&self) -> bool {
        self.known().failed
    }

    /// Answers on the socket until the handle is dropped.
    ///
    /// # Errors
    ///
    /// Those of a server's start.
    pub(super) fn serve(self: &Arc<Self>, listener: &TcpListener) -> Result<Handle, DaemonError> {
        let listener = listener.try_clone().map_err(|error| {
            DaemonError::Option(format!(
                "cannot go on listening while nobody scans: {error}"
            ))
        })?;
        let mut server = Server::on(listener)?;
        if let Some(web) = &self.web {
            server = server.with_web_config(web.clone());
        }
        let own = self.clone();
        Ok(server.start(move |request| own.answer(request))?)
    }

    fn answer(&self, request: &Request) -> Response {
        let known = self.known();
        match request.path.as_str() {
            // As long as there has been none, nothing is known.
            "/metrics" if !known.metrics.is_empty() => {
                let text = while_down(&known.metrics, known.restarts);
                Response::bytes(CONTENT_TYPE, text)
            }
            // Whoever asks wants to know whether to start it again, and that is being done; unless it takes too long.
            "/healthz" if known.since.is_none_or(|since| since.elapsed() <= TOO_LONG) => {
                Response::text(format!("{}\n", waiting(&known.why)))
            }
            _ => Response::text(format!("{}\n", waiting(&known.why)))
                .with_status(503)
                .with_header("retry-after", "5"),
        }
    }
}

fn waiting(why: &str) -> String {
    match why {
        "" => "the scanning process is being started".to_string(),
        why => format!("the scanning process ended ({why}) and is being started again"),
    }
}

/// A scanner's last scrape, without what is not so any more, and without counters: a value that is older than one which was
/// scraped would be taken for a counter that began anew.
fn while_down(metrics: &str, restarts: u64) -> String {
    let mut text = String::with_capacity(metrics.len() + 400);
    let (mut help, mut keep) = ("", false);
    for line in metrics.split_inclusive('\n') {
        if line.starts_with("# HELP ") {
            help = line;
        } else if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.trim_end().split_once(' ').unwrap_or((family, ""));
            keep = kind == "gauge" && name != SCANNER_UP.0 && !name.starts_with("process_");
            if keep {
                text.push_str(help);
                text.push_str(line);
            }
        } else if keep {
            text.push_str(line);
        }
    }
    for ((name, help), kind, value) in [
        (SCANNER_UP, "gauge", 0),
        (SCANNER_RESTARTS, "counter", restarts),
    ] {
        text.push_str(&format!(
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        ));
    }
    text
}

/// Whether a scanner has told of a checkpoint that it could not scan.
fn tells_of_failures(metrics: &str) -> bool {
    let mut series = metrics.lines().filter(|line| line.starts_with(FAILURES));
    series.any(|line| !line.ends_with(" 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Hub;
    use crate::metrics::Metrics;

    #[test]
    fn a_scrape_says_the_last_count_and_that_nobody_scans() {
        let metrics = Metrics::new(Arc::new(Hub::default())).unwrap();
        metrics.scanned.inc_by(7);
        metrics.queued.set(2);
        metrics.scanner_restarts.inc_by(2);
        let whole = metrics.render().unwrap();
        let text = while_down(&whole, 3);
        let values = |name: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            lines.map(str::to_string).collect()
        };
        assert_eq!(values("mirrorwatch_queue_checkpoints "), ["2"]);
        assert_eq!(values("# HELP mirrorwatch_queue_checkpoints ").len(), 1);
        assert!(whole.contains("mirrorwatch_checkpoints_scanned_total 7"));
        for counter in [
            "mirrorwatch_checkpoints_scanned_total",
            "mirrorwatch_scan_duration_seconds",
        ] {
            assert!(!text.contains(counter), "{text}");
        }
        assert!(!tells_of_failures(&whole));
        metrics.fail("scan");
        assert!(tells_of_failures(&metrics.render().unwrap()));
        assert_eq!(values("mirrorwatch_scanner_up "), ["0"]);
        assert_eq!(values("mirrorwatch_scanner_restarts_total "), ["3"]);
        // Those of a process that is gone.
        assert!(!text.contains("process_resident_memory_bytes"), "{text}");
        for kind in ["# TYPE ", "# HELP "] {
            assert_eq!(values(&format!("{kind}mirrorwatch_scanner_up ")).len(), 1);
        }
    }

    #[test]
    fn everybody_is_told_to_wait_and_scrapes_are_answered() {
        let meanwhile = Arc::new(Meanwhile::new(None));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let handle = meanwhile.serve(&listener).unwrap();
        let get = |path: &str| {
            let url = format!("http://{}{path}", handle.local_addr());
            let request = ureq::get(&url).config().http_status_as_error(false).build();
            let mut answer = request.call().unwrap();
            let body = answer.body_mut().read_to_string().unwrap();
            (answer.status().as_u16(), body)
        };
        for path in ["/readyz", "/metrics", "/"] {
            let (status, text) = get(path);
            assert_eq!(status, 503, "{path}");
            assert!(text.contains("is being started"), "{path}: {text}");
        }
        let suspects = "# HELP s Suspects.\n# TYPE s gauge\ns{run=\"r\"} 5\n";
        meanwhile.keep(suspects.to_string());
        meanwhile.down("signal: 6 (SIGABRT)");
        let (status, text) = get("/metrics");
        assert_eq!(status, 200);
        assert!(text.starts_with(suspects), "{text}");
        assert!(text.ends_with("mirrorwatch_scanner_restarts_total 1\n"));
        let (status, text) = get("/healthz");
        assert_eq!(status, 200);
        assert!(text.contains("SIGABRT"), "{text}");
    }
}
