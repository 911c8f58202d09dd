//! `review`: what people say of suspects, noted in the audit log or printed from it.

mod orders;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use mirrorwatch_checkpoint::check_run_name;
use mirrorwatch_influence::{Labels, Task};

use crate::account::Levels;
use crate::audit::log::{self, Log};
use crate::audit::{self, Review, Seen};
use crate::error::DaemonError;
use crate::options::ScanOptions;
use crate::runs::state_path;
use crate::stored::Stored;
use orders::Order;

/// Options of `review`.
#[derive(Debug, Clone, Args)]
pub struct ReviewArgs {
    /// The run
    pub run: String,

    /// Directory that holds one directory per run
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub root: PathBuf,

    /// Directory for evidence and results [default: ROOT/.mirrorwatch]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// The given labels of these samples are wrong; by id, or by position as #INDEX
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub confirm: Vec<String>,

    /// The given labels of these samples are right
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub clear: Vec<String>,

    /// The given label of this sample is wrong, and this is the right one, by name or number
    #[arg(long, value_name = "ID=LABEL", value_delimiter = ',')]
    pub relabel: Vec<String>,

    /// What was said of these samples no longer counts
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub withdraw: Vec<String>,

    /// Who says so [default: $USER]
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,

    /// Why
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,

    /// Print JSON lines instead of a table
    #[arg(long)]
    pub json: bool,

    /// What the scans computed, as `watch` was told
    #[command(flatten)]
    pub scan: ScanOptions,
}

/// Notes what was said, or prints the log. Returns whether the log is as it was written.
///
/// # Errors
///
/// A sample or class that does not exist, a run without evidence for this data and these settings, or a log that cannot
/// be written. Nothing is written then.
pub fn run<T: Task>(task: &T, args: &ReviewArgs) -> Result<bool, DaemonError> {
    check_run_name(&args.run)?;
    let state = args.state.clone();
    let state = state.unwrap_or_else(|| args.root.join(".mirrorwatch"));
    let directory = state_path(&state, &args.run);
    let path = audit::path(directory.parent().unwrap_or(&state));
    if args.is_empty() {
        return print(task, args, &path);
    }
    let reviews = drafted(task, args, &state, &path)?;
    let written = log::append(&path, reviews)?;
    let mut text = String::new();
    if args.json {
        text.push_str(&lines(&written, &path)?);
    } else {
        text.push_str(&table::table(task, &written));
        text.push_str(&format!(
            "{} noted in {}\n",
            counted(written.len()),
            path.display()
        ));
    }
    say(&text);
    Ok(true)
}

/// What is to be written, checked.
fn drafted<T: Task>(
    task: &T,
    args: &ReviewArgs,
    state: &Path,
    path: &Path,
) -> Result<Vec<Review>, DaemonError> {
    let who = args.who.clone().or_else(|| std::env::var("USER").ok());
    let who = who.ok_or_else(|| {
        DaemonError::Option("it is not known who says so; give a name with --who".to_string())
    })?;
    audit::check_name("who", &who).map_err(DaemonError::Option)?;
    audit::check_note(args.note.as_deref().unwrap_or_default()).map_err(DaemonError::Option)?;
    let labels = Labels::read(task)?;
    let orders = orders::orders(task, &labels, args)?;
    let before = audit::latest(&log::read(path)?.whole(path)?.reviews);
    let stored = Stored::load::<T>(&labels, &args.scan, state, &args.run)?;
    let summary = stored.summary()?;
    // As it was shown: the sidecar's levels, not those of this command.
    let levels = Levels {
        fdr: summary.fdr,
        alpha: summary.alpha,
        ..args.scan.levels()
    };
    let account = stored.account(&labels, levels)?;
    let mut reviews = Vec::with_capacity(orders.len());
    for Order {
        index,
        verdict,
        label,
    } in orders
    {
        let id = task.id(index);
        if verdict == audit::Verdict::Withdrawn && !before.contains_key(&index) {
            return Err(DaemonError::Option(format!(
                "nothing was said of sample {id} that could be withdrawn; `review {}` prints what was",
                args.run
            )));
        }
        let evidence = Seen::new(&stored.state, &account, index).ok_or_else(|| {
            DaemonError::Option(format!("there is no evidence of sample {id}; scan first"))
        })?;
        reviews.push(Review {
            schema: audit::REVIEW_SCHEMA,
            sequence: 0,
            time: 0.0,
            run: args.run.clone(),
            index,
            id,
            given: labels.train[index],
            verdict,
            label,
            who: who.clone(),
            by: "command".to_string(),
            note: args.note.clone(),
            evidence,
            previous: String::new(),
        });
    }
    Ok(reviews)
}

/// Prints the log, as far as it is as it was written.
fn print<T: Task>(task: &T, args: &ReviewArgs, path: &Path) -> Result<bool, DaemonError> {
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(DaemonError::Option(format!(
            "there is nothing of run {} at {}; is --root or --state what `watch` was given?",
            args.run,
            path.display()
        )));
    }
    let log = log::read(path)?;
    if args.json {
        say(&lines(&log.reviews, path)?);
    } else {
        say(&format!(
            "{}{}",
            table::table(task, &log.reviews),
            end(&log, path)
        ));
    }
    if log.torn {
        tracing::warn!(
            "{}: the last line has no end and is left out; a write of it was cut off",
            path.display()
        );
    }
    match log.problem {
        None => Ok(true),
        Some(problem) => {
            eprintln!("error: {}: {problem}", path.display());
            Ok(false)
        }
    }
}

/// What the check of the log says.
fn end(log: &Log, path: &Path) -> String {
    let count = counted(log.reviews.len());
    let path = path.display();
    match (&log.problem, log.head.is_empty()) {
        (Some(_), _) => format!("{count} before a line of {path} that does not fit\n"),
        (None, true) => "no reviews yet\n".to_string(),
        (None, false) => format!(
            "{count} in {path}, every line fits; the last one is {}\n",
            log.head
        ),
    }
}

fn counted(count: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} review{s}")
}

fn lines(reviews: &[Review], path: &Path) -> Result<String, DaemonError> {
    let mut text = String::new();
    for review in reviews {
        let line = serde_json::to_string(review).map_err(|error| DaemonError::Write {
            path: path.to_path_buf(),
            message: error.to_string(),
        })?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

fn say(text: &str) {
    // A closed pipe (as with `| head`) is no error of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

impl ReviewArgs {
    /// Whether nothing is said.
    fn is_empty(&self) -> bool {
        [&self.confirm, &self.clear, &self.relabel, &self.withdraw]
            .iter()
            .all(|said| said.is_empty())
    }
}
