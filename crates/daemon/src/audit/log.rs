//! The log as a file: read and verified as a whole, written at its end only, by one process at a time.
//!
//! A process that dies in the middle of a write leaves a line without an end. Nobody was told that it was written; readers
//! leave it out, and the next writer ends it with ` <torn>` before it goes on from the last whole line.
//!
//! What a chain of hashes cannot show is that the last lines were taken away, or the very last one changed. Whoever wants
//! to know keeps [`Log::head`] somewhere else.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::{REVIEW_SCHEMA, Review};
use crate::digest::hex;
use crate::error::DaemonError;
use crate::hub::now;

/// What ends a line that a crash has cut off. No review ends in it.
const TORN: &[u8] = b" <torn>";

/// How long another process may hold the log: it writes some lines and synchronises them.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look whether it still does.
const PAUSE: Duration = Duration::from_millis(10);

/// What a log says.
///
/// ```
/// # use mirrorwatch_daemon::audit::{Review, Seen, Verdict, in_force, latest, log};
/// # let review = |index: usize, verdict: Verdict| Review {
/// #     schema: 0, sequence: 0, time: 0.0, run: "mnist".into(), index, id: index.to_string(), given: 3, verdict,
/// #     label: None, who: "ada".into(), by: "command".into(), note: None, evidence: Seen::default(),
/// #     previous: String::new(),
/// # };
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("reviews.jsonl");
/// log::append(&path, vec![review(7, Verdict::Confirmed)])?;
/// let found = log::read(&path)?;
/// assert_eq!((found.reviews.len(), found.head.len(), found.torn, found.problem), (1, 64, false, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Log {
    /// All reviews up to the first line that does not fit, in their order.
    pub reviews: Vec<Review>,
    /// SHA-256 of the last of those lines, which the next one has to name; empty without any.
    pub head: String,
    /// Whether the last line has no end: a write was cut off, or goes on at this moment.
    pub torn: bool,
    /// The first line that does not fit, and what to do; none when all is well.
    pub problem: Option<String>,
    /// The number in the file of the last line that fits.
    line: usize,
}

impl Log {
    /// Fails if a line does not fit.
    ///
    /// # Errors
    ///
    /// The line of the file at `path`, and what to do.
    ///
    /// ```
    /// # use mirrorwatch_daemon::audit::{Review, Seen, Verdict, in_force, latest, log};
    /// # let review = |index: usize, verdict: Verdict| Review {
    /// #     schema: 0, sequence: 0, time: 0.0, run: "mnist".into(), index, id: index.to_string(), given: 3, verdict,
    /// #     label: None, who: "ada".into(), by: "command".into(), note: None, evidence: Seen::default(),
    /// #     previous: String::new(),
    /// # };
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("reviews.jsonl");
    /// log::append(&path, vec![review(7, Verdict::Confirmed), review(9, Verdict::Cleared)])?;
    /// let changed = std::fs::read_to_string(&path)?.replacen("confirmed", "cleared", 1);
    /// std::fs::write(&path, changed)?;
    /// let refused = log::read(&path)?.whole(&path);
    /// assert!(refused.is_err_and(|error| error.to_string().contains("line 2 does not follow from line 1")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn whole(self, path: &Path) -> Result<Self, DaemonError> {
        match &self.problem {
            None => Ok(self),
            Some(problem) => Err(unreadable(path, problem)),
        }
    }

    /// Takes the next whole line.
    fn take(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        let review: Review = serde_json::from_slice(line)
            .map_err(|error| format!("line {number} was changed: {error}"))?;
        if review.schema != REVIEW_SCHEMA {
            return Err(format!(
                "line {number} has schema {}, {REVIEW_SCHEMA} is known; use the version that wrote it",
                review.schema
            ));
        }
        let expected = self.reviews.len() as u64 + 1;
        if review.sequence != expected || review.previous != self.head {
            return Err(match self.line {
                0 => format!("line {number} was changed, or a line before it removed"),
                last => format!(
                    "line {number} does not follow from line {last}: one of them was changed, or a line between them removed"
                ),
            });
        }
        self.head = hash(line);
        self.line = number;
        self.reviews.push(review);
        Ok(())
    }
}

/// Reads and verifies the log at `path`; one that is not there is empty.
///
/// # Errors
///
/// A file that cannot be read, or that another process holds for long. Lines that do not fit are no error here, see
/// [`Log::whole`].
///
/// ```
/// # use mirrorwatch_daemon::audit::{Review, Seen, Verdict, in_force, latest, log};
/// # let review = |index: usize, verdict: Verdict| Review {
/// #     schema: 0, sequence: 0, time: 0.0, run: "mnist".into(), index, id: index.to_string(), given: 3, verdict,
/// #     label: None, who: "ada".into(), by: "command".into(), note: None, evidence: Seen::default(),
/// #     previous: String::new(),
/// # };
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("reviews.jsonl");
/// assert!(log::read(&path)?.reviews.is_empty());
/// log::append(&path, vec![review(7, Verdict::Confirmed)])?;
/// assert_eq!(log::read(&path)?.reviews[0].index, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: &Path) -> Result<Log, DaemonError> {
    let failed = |error: std::io::Error| unreadable(path, &error.to_string());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Log::default()),
        Err(error) => return Err(failed(error)),
    };
    // So that a write which goes on at this moment is not taken for one that was cut off.
    wait_for(|| file.try_lock_shared()).map_err(failed)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(verified(&bytes))
}

/// Verifies the bytes of a log.
///
/// ```
/// use mirrorwatch_daemon::audit::log;
///
/// assert_eq!(log::verified(b""), log::Log::default());
/// assert!(log::verified(b"{").torn);
/// assert!(log::verified(b"{}\n").problem.is_some_and(|p| p.starts_with("line 1 was changed")));
/// ```
pub fn verified(bytes: &[u8]) -> Log {
    let mut log = Log::default();
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // What follows the last line end: nothing, if all is well.
    log.torn = lines.pop().is_some_and(|rest| !rest.is_empty());
    for (at, line) in lines.into_iter().enumerate() {
        if line.ends_with(TORN) {
            continue;
        }
        if let Err(problem) = log.take(at + 1, line) {
            let problem = format!(
                "{problem}; put back a good copy of the file, or move it aside to begin a new one"
            );
            log.problem = Some(problem);
            break;
        }
    }
    log
}

/// Writes reviews at the end of the log at `path`, all or none as far as the caller is told, and returns them with what
/// the log adds: schema, sequence, time and the link to the line before.
///
/// # Errors
///
/// A log with a line that does not fit, one that another process holds for long, or a file that cannot be written.
///
/// ```
/// # use mirrorwatch_daemon::audit::{Review, Seen, Verdict, in_force, latest, log};
/// # let review = |index: usize, verdict: Verdict| Review {
/// #     schema: 0, sequence: 0, time: 0.0, run: "mnist".into(), index, id: index.to_string(), given: 3, verdict,
/// #     label: None, who: "ada".into(), by: "command".into(), note: None, evidence: Seen::default(),
/// #     previous: String::new(),
/// # };
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("reviews.jsonl");
/// let first = log::append(&path, vec![review(7, Verdict::Confirmed)])?;
/// let second = log::append(&path, vec![review(7, Verdict::Withdrawn)])?;
/// assert_eq!((first[0].sequence, second[0].sequence), (1, 2));
/// assert_eq!(log::read(&path)?.reviews, [first, second].concat());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn append(path: &Path, mut reviews: Vec<Review>) -> Result<Vec<Review>, DaemonError> {
    let failed = |error: std::io::Error| DaemonError::Write {
        path: path.to_path_buf(),
        message: error.to_string(),
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut file = OpenOptions::new()
        .append(true)
        .read(true)
        .create(true)
        .open(path)
        .map_err(failed)?;
    // Released when the file is closed.
    wait_for(|| file.try_lock()).map_err(failed)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    let log = verified(&bytes).whole(path)?;

    let mut text = Vec::new();
    if log.torn {
        text.extend_from_slice(TORN);
        text.push(b'\n');
    }
    let (mut sequence, mut head, time) = (log.reviews.len() as u64, log.head, now());
    for review in &mut reviews {
        sequence += 1;
        review.schema = REVIEW_SCHEMA;
        review.sequence = sequence;
        review.time = time;
        review.previous = head;
        let line = serde_json::to_vec(review).map_err(|error| failed(error.into()))?;
        head = hash(&line);
        text.extend(line);
        text.push(b'\n');
    }
    file.write_all(&text).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    if bytes.is_empty() && cfg!(unix) {
        // The file is new: its name has to last, too. Other systems than Unix do not open directories.
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed)?;
    }
    Ok(reviews)
}

/// Tries to lock until it works or patience ends.
fn wait_for(lock: impl Fn() -> Result<(), TryLockError>) -> std::io::Result<()> {
    let start = Instant::now();
    loop {
        match lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::WouldBlock,
                    "another process has held it for 10 s; end that process, or try again",
                ));
            }
        }
    }
}

fn unreadable(path: &Path, message: &str) -> DaemonError {
    DaemonError::Read {
        path: path.to_path_buf(),
        message: message.to_string(),
    }
}

/// SHA-256 in lower-case hexadecimal.
fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
