//! The sidecar's command line, for any task.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use mirrorwatch_influence::{Divided, Task};
use tracing_subscriber::EnvFilter;

use crate::confirm::{self, ConfirmArgs};
use crate::courtesy;
use crate::daemon;
use crate::error::DaemonError;
use crate::export::{self, ExportArgs};
use crate::leaks::{self, LeakArgs};
use crate::live::{self, AboveView};
use crate::once::{self, OnceArgs};
use crate::options::{LogFormat, ScanOptions, WatchArgs};
use crate::printable::{OneLine, printable};
use crate::report::{self as whole, ReportArgs};
use crate::review::{self, ReviewArgs};
use crate::ship::{self, ShipArgs};
use crate::status::{self, StatusArgs};
use crate::supervisor;
#[cfg(unix)]
use crate::supervisor::Link;
use crate::unite::{self, UniteArgs};
use crate::verify::{self, VerifyArgs};

/// Live label-noise alerting: watch a training run's checkpoints and count suspicious labels.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
struct Cli<A: Args> {
    #[command(subcommand)]
    command: Command<A>,
}

#[derive(Debug, Subcommand)]
enum Command<A: Args> {
    /// Watch a directory of runs and export metrics (the daemon)
    ///
    /// Start it before or after training, in any order. It takes checkpoints as they appear,
    /// scans each, and serves the counts on /metrics. Results are below ROOT/.mirrorwatch/runs.
    Watch {
        /// Options of the task.
        #[command(flatten)]
        task: A,
        /// Options of the daemon.
        #[command(flatten)]
        watch: Box<WatchArgs>,
    },
    /// Scan one checkpoint and print what it says
    Scan {
        /// Options of the task.
        #[command(flatten)]
        task: A,
        /// Options of the scan.
        #[command(flatten)]
        scan: Box<OnceArgs>,
    },
    /// Does mirrored influence hold for this task, at this checkpoint?
    ///
    /// Three answers with their figures: whether forward changes are what exact gradients say, whether groups of
    /// training samples matter to the probe as it matters to them (short trainings without them), and whether
    /// planted wrong labels are found. Exit codes: 0 it holds, 1 it does not, 2 it cannot be told.
    Verify {
        /// Options of the task.
        #[command(flatten)]
        task: A,
        /// Options of the verification.
        #[command(flatten)]
        verify: Box<VerifyArgs>,
    },
    /// Look a second time at a run's suspects, by exact gradients
    ///
    /// TracIn over the checkpoints that the run has kept, influence functions, self-influence, and for every
    /// suspect the probe samples that speak against its label and the training samples that support it. Each
    /// suspect is confirmed, cleared or undecided. Writes confirm.json and confirm.csv beside the run's results.
    Confirm {
        /// Options of the task.
        #[command(flatten)]
        task: A,
        /// Options of the second look.
        #[command(flatten)]
        confirm: Box<ConfirmArgs>,
    },
    /// Write a report of a run that stands for itself: one HTML file, and the lists beside it
    ///
    /// From the evidence that `watch` has kept, whether it still runs or not, with what `confirm`, `leaks --out` and
    /// `review` have added.
    Report {
        /// Options of the task.
        #[command(flatten)]
        task: A,
        /// Options of the report.
        #[command(flatten)]
        report: Box<ReportArgs>,
    },
    /// Find probe samples that the model was trained on, or nearly
    ///
    /// Exit codes: 0 there are none, 1 there are some, 2 it cannot be told.
    Leaks {
        /// Options of the task.
        #[command(flatten)]
        task: A,
        /// Options of the search.
        #[command(flatten)]
        leaks: Box<LeakArgs>,
    },
    /// Write what is to be done about a run's suspects, for a training or another tool
    ///
    /// From the evidence that `watch` has kept, whether it still runs or not: keep.txt (positions of the samples to
    /// keep), relabel.csv, weights.csv, label_issues.csv (cleanlab's columns) and export.json, which
    /// `mirrorwatch::cleaned` applies to a Burn data set.
    Export {
        /// Options of the task.
        #[command(flatten)]
        task: A,
        /// Options of the export.
        #[command(flatten)]
        export: Box<ExportArgs>,
    },
    /// Note what people say of suspects, or print what they have said
    ///
    /// Notes are added to reviews.jsonl beside the run's results, and never changed. `export` follows them. Without a
    /// verdict, the notes are printed. Exit codes: 0 all is well, 1 a line of the notes was changed or removed.
    Review {
        /// Options of the task.
        #[command(flatten)]
        task: A,
        /// Options of the review.
        #[command(flatten)]
        review: Box<ReviewArgs>,
    },
    /// Put together what the shards of a divided sidecar have found
    ///
    /// For `watch --shard`: the result is the state of a sidecar that had read all samples, for all commands that work
    /// on one.
    Unite {
        #[command(flatten)]
        task: A,
        #[command(flatten)]
        unite: Box<UniteArgs>,
    },
    /// Send checkpoints to a store, for sidecars on other machines that `watch --fetch` them
    Ship(ShipArgs),
    /// Ask a running sidecar what it knows
    ///
    /// Exit codes: 0 it is healthy, 1 it is not, 2 it cannot be reached.
    Status(StatusArgs),
    /// Print the completions of a shell, to be put where the shell looks for them
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    Man {
        /// Directory to write them to; made if it does not exist
        directory: PathBuf,
    },
}

/// No options of the task's own.
#[derive(Debug, Clone, Args)]
pub struct NoArgs {}

/// Runs the whole sidecar command line for `task` with the process's arguments.
///
/// This is the one line of a sidecar's `main`. Exit codes: 0 success, 1 something could not be
/// scanned, 2 unusable options or data.
///
/// ```no_run
#[doc = include_str!("example_task.txt")]
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     mirrorwatch_daemon::sidecar(Line)
/// }
/// ```
pub fn sidecar<T: Task>(task: T) -> ExitCode {
    sidecar_with(std::env::args_os(), |_: NoArgs| Ok::<T, DaemonError>(task))
}

/// Like [`sidecar`], for a task that has options of its own (`A`) and is built from them.
///
/// `arguments` begin with the program's name.
///
/// ```
#[doc = include_str!("example_task.txt")]
/// use std::process::ExitCode;
/// use mirrorwatch_daemon::sidecar_with;
///
/// #[derive(clap::Args)]
/// struct Options {
///     /// Use the first N training samples only
///     #[arg(long)]
///     limit: Option<usize>,
/// }
///
/// let build = |options: Options| match options.limit {
///     Some(0) => Err("--limit 0 leaves nothing to judge"),
///     _ => Ok(Line),
/// };
/// let arguments = ["my-sidecar", "scan", "runs/mnist", "--limit", "0"].map(Into::into);
/// assert_eq!(sidecar_with(arguments, build), ExitCode::from(2));
/// ```
pub fn sidecar_with<A, T, E>(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
    build: impl FnOnce(A) -> Result<T, E>,
) -> ExitCode
where
    A: Args,
    T: Task,
    E: std::fmt::Display,
{
    sidecar_and(arguments, build, &[])
}

/// A further command of a program that is a sidecar, too.
///
/// ```
/// use std::process::ExitCode;
/// use mirrorwatch_daemon::Extra;
///
/// let hello = Extra { command: || clap::Command::new("hello"), run: |_| ExitCode::SUCCESS };
/// assert_eq!((hello.command)().get_name(), "hello");
/// ```
pub struct Extra {
    /// What it is called, and its options.
    pub command: fn() -> clap::Command,
    /// Does it.
    pub run: fn(&clap::ArgMatches) -> ExitCode,
}

/// Like [`sidecar_with`], with further commands beside the sidecar's own.
///
/// ```
#[doc = include_str!("example_task.txt")]
/// use std::process::ExitCode;
/// use mirrorwatch_daemon::{DaemonError, Extra, NoArgs, sidecar_and};
///
/// let seven = Extra { command: || clap::Command::new("seven"), run: |_| ExitCode::from(7) };
/// let arguments = ["my-sidecar", "seven"].map(Into::into);
/// let code = sidecar_and(arguments, |_: NoArgs| Ok::<Line, DaemonError>(Line), &[seven]);
/// assert_eq!(code, ExitCode::from(7));
/// ```
pub fn sidecar_and<A, T, E>(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
    build: impl FnOnce(A) -> Result<T, E>,
    extra: &[Extra],
) -> ExitCode
where
    A: Args,
    T: Task,
    E: std::fmt::Display,
{
    let mut whole = Cli::<A>::command();
    for extra in extra {
        whole = whole.subcommand((extra.command)());
    }
    // Color only where a person looks; clap's own errors carry their own exit code 2.
    let matches = match whole.clone().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return clap_exit(&error),
    };
    if let Some((name, own)) = matches.subcommand() {
        for extra in extra {
            if (extra.command)().get_name() == name {
                return (extra.run)(own);
            }
        }
    }
    let cli = match Cli::<A>::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return clap_exit(&error),
    };
    match cli.command {
        Command::Watch { task, watch } => {
            #[cfg(unix)]
            let link = match Link::take() {
                Ok(None) if !watch.single_process => {
                    // Data that the program holds already is the scanner's to hold.
                    drop(build);
                    set_up_log(watch.log_format);
                    return supervisor::run(&watch).unwrap_or_else(|error| fail(&error));
                }
                Ok(link) => link,
                Err(error) => return fail(&format!("the supervisor is gone: {error}")),
            };
            #[cfg(not(unix))]
            let link = None;
            if let Err(error) = supervisor::limit_memory(watch.memory_limit_mib) {
                return fail(&error);
            }
            let threads = courtesy::threads_beside(watch.scan.threads);
            set_up_process(&watch.scan, threads, || {
                if watch.log_format == LogFormat::Text {
                    live::start();
                }
                set_up_log(watch.log_format);
            });
            match build(task) {
                Ok(task) => report(daemon::run_linked(task, &watch, link)),
                Err(error) => fail(&error),
            }
        }
        Command::Scan { task, scan } => with_task(build, task, &scan.scan, |task| {
            once::run(task, &scan).map(|()| true)
        }),
        Command::Verify { task, verify } => {
            with_task(build, task, &verify.scan, |task| verify::run(task, &verify))
        }
        Command::Confirm { task, confirm } => with_task(build, task, &confirm.scan, |task| {
            confirm::run(task, &confirm).map(|()| true)
        }),
        Command::Report { task, report } => with_task(build, task, &report.scan, |task| {
            whole::run(task, &report).map(|()| true)
        }),
        Command::Leaks { task, leaks } => {
            with_task(build, task, &leaks.scan, |task| leaks::run(task, &leaks))
        }
        Command::Export { task, export } => with_task(build, task, &export.scan, |task| {
            export::run(task, &export).map(|()| true)
        }),
        Command::Review { task, review } => {
            with_task(build, task, &review.scan, |task| review::run(task, &review))
        }
        Command::Unite { task, unite } => {
            with_task(build, task, &unite.scan, |task| unite::run(task, &unite))
        }
        Command::Ship(args) => {
            set_up_log(LogFormat::Text);
            report(ship::run(&args))
        }
        Command::Status(args) => report(status::run(&args)),
        Command::Completions { shell } => {
            let name = whole.get_name().to_string();
            clap_complete::generate(shell, &mut whole, name, &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Man { directory } => report(manual(whole, &directory)),
    }
}

/// Builds the task, does one thing with it, and says how that went.
fn with_task<A, T, E: std::fmt::Display>(
    build: impl FnOnce(A) -> Result<T, E>,
    options: A,
    scan: &ScanOptions,
    act: impl FnOnce(&Divided<T>) -> Result<bool, DaemonError>,
) -> ExitCode
where
    T: Task,
{
    set_up_process(scan, scan.threads, || set_up_log(LogFormat::Text));
    match build(options) {
        // As divided as a task that is watched, so that all commands are compiled for one kind of task.
        Ok(task) => report(act(&Divided::new(task, None))),
        Err(error) => fail(&error),
    }
}

/// Writes a manual page per subcommand.
fn manual(command: clap::Command, directory: &Path) -> Result<bool, DaemonError> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .map(|()| true)
        .map_err(|error| {
            let path = directory.display();
            DaemonError::Option(format!("cannot write the manual pages to {path}: {error}"))
        })
}

fn report(result: Result<bool, DaemonError>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {}", printable(&error.to_string()));
    ExitCode::from(2)
}

fn clap_exit(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Logs go to stderr; `RUST_LOG` chooses what is logged, `info` by default.
fn set_up_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let above = move || OneLine {
        to: AboveView,
        colours,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_target(false);
    // An application that has set up logging itself keeps its own.
    let _ = match format {
        LogFormat::Text => builder.with_writer(above).try_init(),
        LogFormat::Json => builder.json().with_writer(|| AboveView).try_init(),
    };
}

/// Priority and threads. The priority comes before everything that starts threads, and is told of when there is a log.
fn set_up_process(scan: &ScanOptions, threads: usize, log: impl FnOnce()) {
    let lowered = courtesy::lower(scan.nice);
    log();
    if let Err(error) = lowered {
        tracing::warn!("{error}");
    }
    if threads > 0 {
        // Fails only when the pool exists already, and then it is the application's choice.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global();
    }
}
