//! A sidecar as a process of its own: this very program, started with `sidecar`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use tempfile::TempDir;

use super::client::{Client, metric};
use super::data::{Amount, Planted};
use super::nets::Kind;

/// How long it is waited for: a start, a scan.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Which made-up data a sidecar is for.
#[derive(Args)]
struct Data {
    /// Model
    #[arg(long)]
    kind: Kind,

    /// Training samples
    #[arg(long)]
    train: usize,

    /// Probe samples
    #[arg(long)]
    probe: usize,

    /// Trusted samples
    #[arg(long)]
    trusted: usize,

    /// Share of wrong labels
    #[arg(long)]
    noise: f64,
}

/// Is the sidecar, with the arguments of a process that was started with `sidecar`.
pub fn run(arguments: Vec<std::ffi::OsString>) -> ExitCode {
    mirrorwatch::sidecar_with(arguments, |data: Data| {
        let amount = Amount {
            train: data.train,
            probe: data.probe,
            trusted: data.trusted,
            noise: data.noise,
        };
        Ok::<_, String>(Planted::new(data.kind, amount, 0))
    })
}

/// A running sidecar that watches a directory of its own. It ends with this.
pub struct Sidecar {
    child: Child,
    stdin: Option<ChildStdin>,
    directory: TempDir,
    /// Where it listens, `host:port`.
    pub address: String,
}

impl Sidecar {
    /// Starts one for the data that [`Planted::new`] makes with seed 0, with `more` options, and waits until it
    /// listens.
    ///
    /// # Errors
    ///
    /// It cannot be started, or gives up.
    pub fn start(kind: Kind, amount: Amount, more: &[&str]) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start the sidecar: {error}");
        let directory = tempfile::tempdir().map_err(failed)?;
        let listening = directory.path().join("address");
        let program = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .args(["sidecar", "watch", "--exit-on-stdin-close"])
            .args(["--kind", kind.name(), "--train", &amount.train.to_string()])
            .args(["--probe", &amount.probe.to_string()])
            .args(["--trusted", &amount.trusted.to_string()])
            .args(["--noise", &amount.noise.to_string()])
            .args(["--listen", "127.0.0.1:0", "--listen-file"])
            .arg(&listening)
            .arg("--root")
            .arg(directory.path().join("runs"))
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(directory.path().join("log")).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let mut sidecar = Self {
            stdin: child.stdin.take(),
            child,
            directory,
            address: String::new(),
        };
        let address = sidecar.wait("it listens", |_| {
            Ok(std::fs::read_to_string(&listening).ok())
        })?;
        sidecar.address = address;
        Ok(sidecar)
    }

    /// The directory that it watches.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    /// The text of `/metrics` now.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub fn scrape(&self) -> Result<String, String> {
        let answer = Client::open(&self.address)?.get("/metrics")?;
        String::from_utf8(answer.body).map_err(|error| format!("/metrics is no text: {error}"))
    }

    /// Waits until it has dealt with `published` checkpoints, and tells how many of them it has scanned.
    ///
    /// # Errors
    ///
    /// It ends, takes too long, or cannot scan one.
    pub fn settled(&mut self, published: u64) -> Result<f64, String> {
        self.wait("its scans are done", |sidecar| {
            let text = sidecar.scrape()?;
            if metric(&text, "mirrorwatch_checkpoint_failures_total") > 0.0 {
                return Err("a scan failed".to_string());
            }
            let scanned = metric(&text, "mirrorwatch_checkpoints_scanned_total");
            let skipped = metric(&text, "mirrorwatch_checkpoints_skipped_total");
            Ok((scanned + skipped >= published as f64).then_some(scanned))
        })
    }

    /// Asks again and again until there is an answer.
    ///
    /// # Errors
    ///
    /// `ask` fails, the sidecar ends, or it takes too long; with the end of its log.
    pub fn wait<R>(
        &mut self,
        what: &str,
        mut ask: impl FnMut(&Self) -> Result<Option<R>, String>,
    ) -> Result<R, String> {
        let start = Instant::now();
        let why = loop {
            match ask(self) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(error) => break error,
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                break format!("it ended with {status} before {what}");
            }
            if start.elapsed() > PATIENCE {
                break format!("it took more than {} s until {what}", PATIENCE.as_secs());
            }
            std::thread::sleep(LOOK);
        };
        let log = last_line(&self.directory.path().join("log"));
        Err(format!("the sidecar: {why}; it said: {log}"))
    }

    /// CPU time that the process which scans has used so far, in seconds.
    ///
    /// # Errors
    ///
    /// The operating system does not tell.
    pub fn cpu_seconds(&self) -> Result<f64, String> {
        let path = self.root().join(".mirrorwatch/daemon.pid");
        let scanner = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let path = format!("/proc/{scanner}/stat");
        let stat = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {path}, which tells CPU time: {error}"))?;
        cpu_seconds(&stat).ok_or_else(|| format!("{path} is not as proc(5) has it"))
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // Which tells it to end.
        drop(self.stdin.take());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time in a text like that of `/proc/PID/stat`: the 14th and 15th field, in hundredths of a second on
/// every Linux (USER_HZ). The second field is a name in brackets and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    const TICKS: f64 = 100.0;
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some((user.parse::<f64>().ok()? + system.parse::<f64>().ok()?) / TICKS)
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("nothing").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields as proc(5) numbers them: utime is the 14th, stime the 15th.
    #[test]
    fn cpu_time_is_user_and_system_time() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 9 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("42 (a) S 1"), None);
        assert_eq!(cpu_seconds(""), None);
    }
}
