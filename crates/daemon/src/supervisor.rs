//! Two processes: the scanner, which scans and serves, and its supervisor, which is small, computes nothing, and starts
//! the scanner again when it dies.
//!
//! A scan runs foreign code: a task's own, a backend's, a driver's. What ends the process, a crash in a library or an
//! allocation of more than there is, ends the scanner. The supervisor owns the socket that listens, so that nobody is
//! refused meanwhile: it answers scrapes with the last count until there is a scanner again. When the supervisor dies,
//! the scanner does, too: service managers see one program.
//!
//! The scanner is this very program with the same arguments, so that it comes to the same task; the supervisor never
//! builds it.

use std::process::ExitCode;
#[cfg(unix)]
use std::{
    io,
    net::TcpListener,
    os::unix::{net::UnixStream, process::CommandExt, process::ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

#[cfg(unix)]
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod link;
#[cfg(unix)]
mod meanwhile;
pub(crate) mod reporting;

#[cfg(not(unix))]
pub(crate) use elsewhere::{Link, limit_memory};
#[cfg(unix)]
pub(crate) use link::Link;

#[cfg(unix)]
use link::Said;
#[cfg(unix)]
use meanwhile::Meanwhile;

use crate::error::DaemonError;
use crate::options::WatchArgs;

/// Seconds before a scanner is started again that lived for less than [`LONG`]: of so many in a row.
#[cfg(unix)]
const PAUSES: [f64; 8] = [0.0, 0.1, 0.3, 1.0, 2.0, 5.0, 15.0, 30.0];
/// Whoever lived for so long is started again at once.
#[cfg(unix)]
const LONG: Duration = Duration::from_secs(60);
/// How often the scanner's and the process's own end are looked for.
#[cfg(unix)]
const TICK: Duration = Duration::from_millis(200);
/// What a dead scanner has said is read for so long.
#[cfg(unix)]
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a scanner ended.
#[cfg(unix)]
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
#[cfg(unix)]
pub(crate) fn run(args: &WatchArgs) -> Result<ExitCode, DaemonError> {
    let web = crate::web::load(args)?;
    let listener = crate::web::bind(args, web.as_ref())?.share()?;
    let ending = crate::ending::of(args);
    let meanwhile = Arc::new(Meanwhile::new(web));
    let mut served = false;
    let mut short = 0;
    loop {
        let begun = Instant::now();
        let ended = one(&listener, &meanwhile, &ending)?;
        served |= ended.served;
        let by_signal = || 128 + ended.status.signal().unwrap_or(1);
        let code = ended.status.code().unwrap_or_else(by_signal);
        let code = ExitCode::from(u8::try_from(code).unwrap_or(1));
        if ended.meant || ending.load(Ordering::Relaxed) {
            return Ok(code);
        }
        if !served {
            if ended.status.code().is_none() {
                tracing::error!(
                    "the scanning process ended before it was ready: {}",
                    ended.status
                );
            }
            return Ok(code);
        }
        short = if begun.elapsed() < LONG { short + 1 } else { 0 };
        let pause = PAUSES[usize::min(short, PAUSES.len() - 1)];
        let why = match &ended.stuck {
            Some(why) => why.clone(),
            None => ended.status.to_string(),
        };
        tracing::error!(
            "the scanning process ended ({why}) and is started again in {pause} s; scrapes are answered with the last count meanwhile"
        );
        meanwhile.down(&why);
        let serving = meanwhile.serve(&listener)?;
        let pause = Duration::from_secs_f64(pause);
        let since = Instant::now();
        while since.elapsed() < pause && !ending.load(Ordering::Relaxed) {
            std::thread::sleep(TICK);
        }
        drop(serving);
        if ending.load(Ordering::Relaxed) {
            return Ok(code);
        }
    }
}

/// Starts a scanner and stays with it until it has ended.
#[cfg(unix)]
fn one(
    listener: &TcpListener,
    meanwhile: &Arc<Meanwhile>,
    ending: &AtomicBool,
) -> Result<Ended, DaemonError> {
    let failed = |error: io::Error| {
        DaemonError::Option(format!(
            "cannot start the scanning process: {error}; with --single-process there is none"
        ))
    };
    // It answers until the scanner does: data may take a while to load.
    let mut serving = Some(meanwhile.serve(listener)?);
    let (mut scanner, stream) = start(listener, meanwhile.restarts()).map_err(failed)?;
    let said = listen_to(&stream).map_err(failed)?;
    let mut ended = Ended {
        status: ExitStatus::default(),
        served: false,
        meant: false,
        stuck: None,
    };
    let mut asked = false;
    loop {
        match said.recv_timeout(TICK) {
            Ok(Said::Ready) => {
                ended.served = true;
                if let Some(serving) = serving.take() {
                    serving.shutdown(LAST_WORDS);
                }
            }
            Ok(other) => hear(other, meanwhile, &mut ended),
            Err(RecvTimeoutError::Timeout) => {}
            // It has closed its end, and is about to be gone.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK / 10),
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

#[cfg(unix)]
fn hear(said: Said, meanwhile: &Meanwhile, ended: &mut Ended) {
    match said {
        Said::Ready => {}
        Said::Metrics(text) => meanwhile.keep(text),
        Said::Ending => ended.meant = true,
        Said::Stuck(why) => ended.stuck = Some(why),
    }
}

/// This program once more, as the scanner.
#[cfg(unix)]
fn start(listener: &TcpListener, restarts: u64) -> io::Result<(Child, UnixStream)> {
    let (own, scanners) = link::pair(listener)?;
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| "mirrorwatch".into());
    // The very same file, whatever has taken its place since: on Linux there is a name for it.
    let program = match cfg!(target_os = "linux") {
        true => "/proc/self/exe".into(),
        false => std::env::current_exe()?,
    };
    let child = Command::new(program)
        .arg0(name)
        .args(words)
        .env(link::VARIABLE, restarts.to_string())
        .stdin(Stdio::from(scanners))
        .spawn()?;
    Ok((child, own))
}

/// What comes over the stream, until its end.
#[cfg(unix)]
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
#[cfg(unix)]
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
