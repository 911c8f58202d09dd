//! The sidecar as a process of its own: the same program, started with `sidecar`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// A running sidecar. It ends when this is dropped or the demo dies: its standard input closes.
pub struct Sidecar {
    child: Child,
    stdin: Option<ChildStdin>,
    log: PathBuf,
    address: String,
}

/// Reading data sets takes a moment; a sidecar silent for longer than this is not coming.
const PATIENCE: Duration = Duration::from_secs(120);

impl Sidecar {
    /// Starts this very program as a sidecar and waits until it listens.
    ///
    /// # Errors
    ///
    /// It cannot be started, or it gave up: then its own message.
    pub fn start(arguments: &[String], work: &Path) -> Result<Self, String> {
        let log = work.join("sidecar.log");
        let address_file = work.join("address");
        // A left-over of an earlier run in the same directory would be believed.
        let _ = std::fs::remove_file(&address_file);
        let failed = |error: std::io::Error| format!("cannot start the sidecar: {error}");
        let program = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .arg("sidecar")
            .args(arguments)
            .arg("--listen-file")
            .arg(&address_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let start = Instant::now();
        loop {
            if let Ok(address) = std::fs::read_to_string(&address_file) {
                return Ok(Self {
                    child,
                    stdin,
                    log,
                    address,
                });
            }
            if let Ok(Some(_)) = child.try_wait() {
                return Err(last_words(&log));
            }
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                return Err(format!(
                    "the sidecar did not start within {} s; see {}",
                    PATIENCE.as_secs(),
                    log.display()
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it listens, `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The text of `/metrics` now.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub fn scrape(&self) -> Result<String, String> {
        let url = format!("http://{}/metrics", self.address);
        let failed = |error: ureq::Error| {
            format!("cannot scrape {url}: {error}; see {}", self.log.display())
        };
        ureq::get(&url)
            .call()
            .map_err(failed)?
            .body_mut()
            .read_to_string()
            .map_err(failed)
    }

    /// Whether it is still running; its last words if it is not.
    pub fn check(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(format!(
                "the sidecar ended ({status}): {}",
                last_words(&self.log)
            )),
            _ => Ok(()),
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last line of the sidecar's log, without its `error: `.
fn last_words(log: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(log) {
        let _ = file.read_to_string(&mut text);
    }
    let last = text.lines().last().unwrap_or("it said nothing");
    last.strip_prefix("error: ").unwrap_or(last).to_string()
}

/// Runs this very program as a sidecar's `command` to its end.
///
/// # Errors
///
/// What it said when it failed.
pub fn command(command: &str, arguments: &[&str], task: &[String]) -> Result<(), String> {
    let output = std::env::current_exe()
        .and_then(|program| {
            Command::new(program)
                .args(["sidecar", command])
                .args(arguments)
                .args(task)
                .output()
        })
        .map_err(|error| format!("cannot start the sidecar's command {command}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "the sidecar's command {command} failed: {}",
        said.trim()
    ))
}

/// The value of a metric in Prometheus' text format, summed over its label sets.
pub fn metric(text: &str, name: &str) -> f64 {
    let mut sum = 0.0;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        if !rest.starts_with('{') && !rest.starts_with(' ') {
            continue;
        }
        if let Some(value) = rest.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok()) {
            sum += value;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_a_metric_over_its_labels() {
        let text =
            "# HELP a_total x\na_total{r=\"x y\"} 2\na_total{r=\"z\"} 3\na_total_more 9\nb 1\n";
        assert_eq!(metric(text, "a_total"), 5.0);
        assert_eq!(metric(text, "b"), 1.0);
        assert_eq!(metric(text, "c"), 0.0);
    }
}
