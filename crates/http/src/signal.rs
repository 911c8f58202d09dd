use crate::HttpError;
use std::fmt;
use std::io;
use std::sync::mpsc;
use std::thread;
use tokio::runtime::Builder;

/// The request to stop that arrived.
///
/// ```
/// use mirrorwatch_http::Signal;
///
/// assert_eq!([Signal::Interrupt, Signal::Terminate].map(|s| s.to_string()), ["SIGINT", "SIGTERM"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, or ctrl-c where there are no signals.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// What a shell reports for a process that this signal ended.
    fn exit_code(self) -> i32 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        })
    }
}

/// Blocks until SIGTERM or SIGINT arrives (elsewhere than on Unix, until ctrl-c).
///
/// When it returns, the caller shuts down in its own time. **A second signal then ends the
/// process at once**, with exit code 130 for SIGINT or 143 for SIGTERM and without running any
/// destructor: whoever presses ctrl-c twice does not want to wait for the drain. Call it once, from
/// the thread that does the shutdown; a signal that arrives before the call ends the process as
/// it would without this function.
///
/// ```no_run
/// use std::time::Duration;
///
/// let handle = mirrorwatch_http::Server::bind("127.0.0.1:9464")?
///     .start(|_| mirrorwatch_http::Response::text("hello\n"))?;
/// let signal = mirrorwatch_http::wait_for_shutdown_signal()?;
/// eprintln!("{signal}: finishing open requests");
/// handle.shutdown(Duration::from_secs(10));
/// # Ok::<(), mirrorwatch_http::HttpError>(())
/// ```
pub fn wait_for_shutdown_signal() -> Result<Signal, HttpError> {
    let (report, first) = mpsc::sync_channel(1);
    let listen = move || {
        let runtime = match Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = report.send(Err(error));
                return;
            }
        };
        runtime.block_on(async move {
            let mut signals = match Signals::install() {
                Ok(signals) => signals,
                Err(error) => {
                    let _ = report.send(Err(error));
                    return;
                }
            };
            let _ = report.send(signals.next().await);
            // The default action does not come back once a signal has been caught: without this
            // thread a second ctrl-c would do nothing.
            if let Ok(second) = signals.next().await {
                std::process::exit(second.exit_code());
            }
        });
    };
    let thread = thread::Builder::new()
        .name("mirrorwatch-signal".to_owned())
        .spawn(listen);
    thread.map_err(|reason| HttpError::Signals { reason })?;
    let result = first
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the thread ended early")));
    result.map_err(|reason| HttpError::Signals { reason })
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Signals {
            interrupt,
            terminate,
        })
    }

    async fn next(&mut self) -> io::Result<Signal> {
        let (signal, open) = tokio::select! {
            open = self.interrupt.recv() => (Signal::Interrupt, open),
            open = self.terminate.recv() => (Signal::Terminate, open),
        };
        open.map(|()| signal)
            .ok_or_else(|| io::Error::other("the signal stream ended"))
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) -> io::Result<Signal> {
        tokio::signal::ctrl_c().await?;
        Ok(Signal::Interrupt)
    }
}
