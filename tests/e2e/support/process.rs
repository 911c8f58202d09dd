//! Other programs: started with their output in files, and never left behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::wait::eventually;

/// The program under test: the demo and, with the first argument `sidecar`, the stock sidecar.
pub fn quickstart() -> Command {
    Command::new(program("MIRRORWATCH_QUICKSTART"))
}

/// The program that an environment variable names.
///
/// There is no guess at where it might be instead: a stale program would be tested without a word.
pub fn program(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => panic!(
            "{variable} is not set: run `cargo xtask test --only tools,e2e`, or set it to the program's path"
        ),
    }
}

/// A process that is killed when this is dropped.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: PathBuf,
    stderr: PathBuf,
    shown: String,
}

/// Sends a process a signal by its name without `SIG`; whether it is there.
#[track_caller]
pub fn signal(process: &str, name: &str) -> bool {
    // The shell's own `kill`: there may be no program of that name.
    let line = format!("kill -{name} {process}");
    let status = Command::new("sh").arg("-c").arg(&line).status().unwrap();
    status.success()
}

/// How a process ended.
pub struct Finished {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

impl Running {
    /// Starts a process with its output in new files in `directory`. Its standard input stays open
    /// until [`close_stdin`](Running::close_stdin) or the end.
    #[track_caller]
    pub fn start(mut command: Command, directory: &Path) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let stdout = directory.join(format!("process-{number}.out"));
        let stderr = directory.join(format!("process-{number}.err"));
        let shown = format!("{command:?}");
        let child = command
            .stdin(Stdio::piped())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
        Self {
            stdin: child.stdin.take(),
            child,
            stdout,
            stderr,
            shown,
        }
    }

    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Command line and output so far, for a message.
    pub fn story(&self) -> String {
        format!(
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown,
            self.stdout(),
            self.stderr()
        )
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by its name without `SIG`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let sent = signal(&self.child.id().to_string(), name);
        assert!(sent, "SIG{name} to {}", self.story());
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end.
    #[track_caller]
    pub fn finish(&mut self) -> Finished {
        let status = eventually(&format!("the end of {}", self.shown), || {
            match self.child.try_wait().unwrap() {
                Some(status) => Ok(status),
                None => Err(self.story()),
            }
        });
        Finished {
            code: status.code(),
            stdout: self.stdout(),
            stderr: self.stderr(),
            shown: self.shown.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// Checks the exit code, showing everything if it is another one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of {}", self.story());
        self
    }

    /// Command line and output, for a message.
    pub fn story(&self) -> String {
        format!(
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown, self.stdout, self.stderr
        )
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: Command, directory: &Path) -> Finished {
    Running::start(command, directory).finish()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
