//! Starts scanners, one after the other, until one ends on purpose.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use mirrorwatch_http::{Handle, HttpError, Server, WebConfig};

use super::link::{self, Said};
use super::meanwhile::Meanwhile;
use crate::error::DaemonError;
use crate::live;
use crate::options::{LogFormat, WatchArgs};

/// Seconds before a scanner is started again that lived for less than [`LONG`]: of so many in a row.
const PAUSES: [f64; 8] = [0.0, 0.1, 0.3, 1.0, 2.0, 5.0, 15.0, 30.0];
/// Whoever lived for so long is started again at once.
const LONG: Duration = Duration::from_secs(60);
/// How often the scanner's and the process's own end are looked for.
const TICK: Duration = Duration::from_millis(50);
/// Whoever has got in to the supervisor may say what they want for so long, when there is a scanner again.
const GRACE: Duration = Duration::from_millis(500);
/// A scanner that lives and does not say anything any more is ended after this.
const SILENT: Duration = Duration::from_secs(10);
/// What a dead scanner has said is read, and what it held is waited for, for so long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The C library of most Linux systems has a heap for up to eight threads a processor, each of which keeps what was freed in
/// it: three minutes of soak end with 57 MiB so, 49 with two heaps, 41 with one. Others do not know the variable.
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "2");

/// How a scanner ended.
struct Ended {
    status: ExitStatus,
    /// It served once.
    served: bool,
    /// It meant to end.
    meant: bool,
    /// Why it could not go on, in its own words.
    stuck: Option<String>,
}

/// Keeps a scanner going until it ends on purpose, and returns its exit code.
///
/// # Errors
///
/// Anything that keeps it from listening, or from starting the first scanner.
pub(crate) fn run(args: &WatchArgs) -> Result<ExitCode, DaemonError> {
    let web = crate::web::load(args)?;
    let listener = bind(args, web.as_ref())?.share()?;
    let ending = crate::ending::of(args);
    let meanwhile = Arc::new(Meanwhile::new(web));
    let (mut served, mut serving) = (false, None);
    let mut short = 0;
    while !ending.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let why = match one(&listener, &meanwhile, &mut serving, &ending) {
            Ok(ended) => {
                served |= ended.served;
                if ended.meant || !served || ending.load(Ordering::Relaxed) {
                    return Ok(ended.code(meanwhile.failed()));
                }
                ended.why()
            }
            // Short of memory or of processes, say: that may pass.
            Err(error) if served => error.to_string(),
            Err(error) => return Err(error),
        };
        short = if begun.elapsed() < LONG { short + 1 } else { 0 };
        let pause = PAUSES[usize::min(short, PAUSES.len() - 1)];
        if args.log_format == LogFormat::Text {
            live::leave_behind();
        }
        tracing::error!(
            "the scanning process ended ({why}) and is started again in {pause} s; scrapes are answered with the last count meanwhile"
        );
        meanwhile.down(&why);
        // What keeps it from serving will be told by the next attempt.
        serving = serving.or_else(|| meanwhile.serve(&listener).ok());
        let pause = Duration::from_secs_f64(pause);
        let since = Instant::now();
        while since.elapsed() < pause && !ending.load(Ordering::Relaxed) {
            std::thread::sleep(TICK.min(pause));
        }
    }
    Ok(ExitCode::from(link::TERMINATED))
}

/// Opens the listening socket. A scanner that was killed with its supervisor a moment ago may still hold it.
fn bind(args: &WatchArgs, web: Option<&WebConfig>) -> Result<Server, DaemonError> {
    let since = Instant::now();
    loop {
        match crate::web::bind(args, web) {
            Err(DaemonError::Http(HttpError::AddressInUse { .. }))
                if since.elapsed() < LAST_WORDS =>
            {
                std::thread::sleep(TICK);
            }
            bound => return bound,
        }
    }
}

impl Ended {
    /// What the supervisor ends with where this is the end.
    fn code(&self, failed_before: bool) -> ExitCode {
        if self.status.code().is_none() {
            tracing::error!("the scanning process ended: {}", self.status);
        }
        let by_signal = || 128 + self.status.signal().unwrap_or(1);
        match self.status.code().unwrap_or_else(by_signal) {
            // It knows only of what itself could not scan.
            0 if failed_before => ExitCode::from(1),
            code => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        }
    }

    fn why(&self) -> String {
        match &self.stuck {
            Some(why) => why.clone(),
            None => self.status.to_string(),
        }
    }
}

/// Starts a scanner and stays with it until it has ended.
fn one(
    listener: &TcpListener,
    meanwhile: &Arc<Meanwhile>,
    serving: &mut Option<Handle>,
    ending: &AtomicBool,
) -> Result<Ended, DaemonError> {
    let failed = |error: io::Error| {
        DaemonError::Option(format!(
            "cannot start the scanning process: {error}; with --single-process there is none"
        ))
    };
    // It answers until the scanner does: data may take a while to load.
    if serving.is_none() {
        *serving = Some(meanwhile.serve(listener)?);
    }
    let (mut scanner, stream) = start(listener, meanwhile.restarts()).map_err(failed)?;
    let said = listen_to(&stream).map_err(failed)?;
    let mut ended = Ended {
        status: ExitStatus::default(),
        served: false,
        meant: false,
        stuck: None,
    };
    let mut asked = false;
    let mut silent: Option<Instant> = None;
    loop {
        match said.recv_timeout(TICK) {
            Ok(Said::Ready) => {
                ended.served = true;
                meanwhile.up();
                if let Some(serving) = serving.take() {
                    // Aside: the scanner is listened to all the while.
                    std::thread::spawn(move || serving.hand_over(GRACE, LAST_WORDS));
                }
            }
            Ok(other) => hear(other, meanwhile, &mut ended),
            Err(RecvTimeoutError::Timeout) => {}
            // It has closed its end, and is about to be gone, or cannot be understood any more.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(TICK / 10);
                if silent.get_or_insert_with(Instant::now).elapsed() > SILENT {
                    scanner.kill().map_err(failed)?;
                }
            }
        }
        if ending.load(Ordering::Relaxed) && !asked {
            link::ask_to_end(&stream);
            asked = true;
        }
        if let Some(status) = scanner.try_wait().map_err(failed)? {
            while let Ok(last) = said.recv_timeout(LAST_WORDS) {
                ended.served |= last == Said::Ready;
                hear(last, meanwhile, &mut ended);
            }
            ended.status = status;
            return Ok(ended);
        }
    }
}

fn hear(said: Said, meanwhile: &Meanwhile, ended: &mut Ended) {
    match said {
        Said::Ready => {}
        Said::Metrics(text) => meanwhile.keep(text),
        Said::Ending => ended.meant = true,
        Said::Stuck(why) => ended.stuck = Some(why),
    }
}

/// This program once more, as the scanner.
fn start(listener: &TcpListener, restarts: u64) -> io::Result<(Child, UnixStream)> {
    let (own, scanners) = link::pair(listener)?;
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| "mirrorwatch".into());
    let mut scanner = Command::new(program()?);
    scanner
        .arg0(name)
        .args(words)
        .env(link::VARIABLE, restarts.to_string())
        .stdin(Stdio::from(scanners));
    if std::env::var_os(ARENAS.0).is_none() {
        scanner.env(ARENAS.0, ARENAS.1);
    }
    Ok((scanner.spawn()?, own))
}

/// This very program, whatever has taken its file's place since: on Linux there is a name for it, which is not one that
/// people look for among processes.
fn program() -> io::Result<std::path::PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let path = std::env::current_exe()?;
    let own = std::path::Path::new("/proc/self/exe");
    let identity = |path: &std::path::Path| fs::metadata(path).map(|it| (it.dev(), it.ino()));
    match identity(own) {
        Ok(this) if identity(&path).ok() != Some(this) => Ok(own.to_path_buf()),
        _ => Ok(path),
    }
}

/// What comes over the stream, until its end.
fn listen_to(stream: &UnixStream) -> io::Result<Receiver<Said>> {
    let mut stream = stream.try_clone()?;
    let (tell, said) = unbounded();
    std::thread::Builder::new()
        .name("mirrorwatch-hear".to_string())
        .spawn(move || {
            while let Ok(one) = link::hear(&mut stream) {
                if tell.send(one).is_err() {
                    return;
                }
            }
        })?;
    Ok(said)
}

/// Lets this process have so much memory of its own: an allocation of more fails, and ends it.
///
/// # Errors
///
/// In words, when the operating system does not let it.
pub(crate) fn limit_memory(mib: Option<u64>) -> Result<(), DaemonError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Some(mib) = mib else {
        return Ok(());
    };
    let bytes = mib.saturating_mul(1 << 20);
    let allowed = getrlimit(Resource::Data).maximum.unwrap_or(u64::MAX);
    let bytes = Some(bytes.min(allowed));
    let limit = Rlimit {
        current: bytes,
        maximum: bytes,
    };
    setrlimit(Resource::Data, limit).map_err(|error| {
        DaemonError::Option(format!(
            "cannot keep to --memory-limit-mib {mib}: {error}; set the limit where the process is started (systemd: LimitDATA=)"
        ))
    })
}
