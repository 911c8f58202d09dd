//! Per-scan results on disk: a summary as JSON, the suspects as CSV and JSON lines. Names of samples and sources are as they
//! are in JSON; in CSV, what would be a formula has an apostrophe before it, see [`spreadsheet`](crate::spreadsheet).

use std::path::{Path, PathBuf};

use mirrorwatch_checkpoint::{write_atomic, write_atomic_with};
use mirrorwatch_influence::{Labels, Task};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::error::DaemonError;
use crate::evidence::Evidence;
use crate::history::{History, Point, TOGETHER};
use crate::spreadsheet::{Row, write_csv};
use crate::summary::Summary;

/// One suspect, as a line of the CSV and JSON-lines files.
///
/// ```
/// use mirrorwatch_daemon::results::Suspect;
///
/// let suspect = Suspect { index: 7, given: 3, suggested: 5, p_value: 1e-3, ..Suspect::default() };
/// assert_eq!(suspect.suggestion(), Some(5));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// The sample's name, from the task.
    pub id: String,
    /// Its position in the training set.
    pub index: usize,
    /// Given label; 0 for a task without classes.
    pub given: usize,
    /// The label it should most likely carry; the given one for a task without classes, where nothing is suggested.
    pub suggested: u32,
    /// Accumulated score; larger = more suspicious.
    pub score: f32,
    /// Conformal p-value.
    pub p_value: f64,
    /// Estimated chance that the label is wrong; below one half, the sample is more likely hard than wrong.
    pub wrong_probability: f32,
    /// At how many checkpoints it was a suspect.
    pub flagged_checkpoints: u32,
    /// First epoch at which it was a suspect.
    pub first_flagged_epoch: Option<u32>,
    /// First epoch at which the model predicted its given label.
    pub fitted_epoch: Option<u32>,
    /// Where it came from.
    pub source: Option<String>,
}

impl Row for Suspect {
    fn texts(&mut self) -> Vec<&mut String> {
        let id = std::iter::once(&mut self.id);
        id.chain(self.source.as_mut()).collect()
    }
}

impl Row for SampleScore {}

impl Suspect {
    /// The label it should most likely carry; none for a task without classes.
    ///
    /// ```
    /// use mirrorwatch_daemon::results::Suspect;
    ///
    /// // Without classes, label and suggestion are 0.
    /// assert_eq!(Suspect::default().suggestion(), None);
    /// ```
    pub fn suggestion(&self) -> Option<usize> {
        let suggested = self.suggested as usize;
        (suggested != self.given).then_some(suggested)
    }
}

/// One line of the JSON-lines file: a suspect, and how it fared at the checkpoints so far.
///
/// ```
/// use mirrorwatch_daemon::results::{Suspect, SuspectLine};
///
/// let line = SuspectLine { suspect: Suspect { index: 7, ..Suspect::default() }, history: Vec::new() };
/// let json = serde_json::to_value(&line)?;
/// assert_eq!((&json["index"], &json["history"]), (&7.into(), &serde_json::json!([])));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuspectLine {
    /// The suspect, with the columns of the CSV file.
    #[serde(flatten)]
    pub suspect: Suspect,
    /// Its history, in the order of the scans; at most [`MOST`](crate::history::MOST) of them.
    pub history: Vec<Point>,
}

/// [`SuspectLine`] of a suspect that stays where it is.
#[derive(Serialize)]
struct LineOf<'a> {
    #[serde(flatten)]
    suspect: &'a Suspect,
    history: Vec<Point>,
}

/// What every sample scored, for those who want to look closer (`--write-scores`).
///
/// ```
#[doc = include_str!("example_run.txt")]
/// let found = account(&evidence, &labels, levels)?;
/// let scores = mirrorwatch_daemon::results::scores(&labels, &evidence, &found);
/// let wrong = &scores[195];
/// assert_eq!((wrong.index, wrong.given, wrong.suggested, wrong.flagged), (195, 1, 0, true));
/// assert_eq!((wrong.loss, wrong.mean_loss, wrong.mean_margin), (9.0, 9.0, -1.0));
/// assert!(wrong.score > scores[0].score && wrong.p_value < 0.01 && wrong.wrong_probability > 0.9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleScore {
    /// Position in the training set.
    pub index: usize,
    /// Given label.
    pub given: usize,
    /// Accumulated score; larger = more suspicious.
    pub score: f32,
    /// Conformal p-value; 1 for trusted samples and canaries.
    pub p_value: f64,
    /// Estimated chance that the label is wrong; 0 for trusted samples and canaries.
    pub wrong_probability: f32,
    /// Whether it is a suspect.
    pub flagged: bool,
    /// The label it should most likely carry if the given one is wrong.
    pub suggested: u32,
    /// Loss at this checkpoint, within 0.4 %.
    pub loss: f32,
    /// Mean loss over the scanned checkpoints.
    pub mean_loss: f32,
    /// Mean margin over the scanned checkpoints (AUM).
    pub mean_margin: f32,
}

/// The suspects of a scan, most suspicious first.
///
/// ```
#[doc = include_str!("example_task.txt")]
#[doc = include_str!("example_run.txt")]
/// let found = account(&evidence, &labels, levels)?;
/// let suspects = mirrorwatch_daemon::results::suspects(&Line, &labels, &evidence, &found);
/// assert_eq!(suspects.len(), found.suspects);
/// assert_eq!((suspects[0].index, suspects[0].id.as_str()), (190, "190"));
/// assert_eq!(suspects[0].source.as_deref(), Some("bob"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn suspects<T: Task>(
    task: &T,
    labels: &Labels,
    evidence: &Evidence,
    account: &Account,
) -> Vec<Suspect> {
    listed(named(task, account), labels, evidence, account)
}

/// What a task says of a suspect.
pub(crate) struct Named {
    index: usize,
    id: String,
    source: Option<String>,
}

/// What the task says of the suspects, in the order of the training set.
pub(crate) fn named<T: Task>(task: &T, account: &Account) -> Vec<Named> {
    let mut named = Vec::with_capacity(account.suspects);
    for (index, _) in account.flags.iter().enumerate().filter(|(_, f)| **f) {
        named.push(Named {
            index,
            id: task.id(index),
            source: task.source(index),
        });
    }
    named
}

/// [`suspects`] of which the task was asked before.
pub(crate) fn listed(
    named: Vec<Named>,
    labels: &Labels,
    evidence: &Evidence,
    account: &Account,
) -> Vec<Suspect> {
    let Some(channel) = evidence.channels.first() else {
        return Vec::new();
    };
    let mut suspects = Vec::with_capacity(named.len());
    for Named { index, id, source } in named {
        suspects.push(Suspect {
            id,
            index,
            given: labels.train[index],
            suggested: channel.suggested[index],
            score: channel.train[index],
            p_value: account.p_values[index],
            wrong_probability: account.wrong_probability[index],
            flagged_checkpoints: u32::from(evidence.flagged_count[index]),
            first_flagged_epoch: evidence.flagged_epoch.get(index),
            fitted_epoch: evidence.fitted_epoch.get(index),
            source,
        });
    }
    // No two have the same index, so that the order is the same as of a stable sort.
    suspects.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    suspects
}

/// Where the files of one scan are.
///
/// ```
/// use mirrorwatch_daemon::results::Paths;
///
/// let paths = Paths::new("state/runs/mnist".as_ref(), 3, 471);
/// assert!(paths.summary().ends_with("scans/epoch-000003-step-0000000471.json"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    directory: PathBuf,
    stem: String,
}

impl Paths {
    /// The files of the scan of `epoch` and `step` below a run's result directory.
    ///
    /// ```
    /// use mirrorwatch_daemon::results::Paths;
    ///
    /// let paths = Paths::new("state/runs/mnist".as_ref(), 3, 471);
    /// assert!(paths.summary().starts_with("state/runs/mnist/scans"));
    /// ```
    pub fn new(run_directory: &Path, epoch: u64, step: u64) -> Self {
        Self {
            directory: run_directory.join("scans"),
            stem: format!("epoch-{epoch:06}-step-{step:010}"),
        }
    }

    /// The summary.
    ///
    /// ```
    /// # let paths = mirrorwatch_daemon::results::Paths::new("state/runs/mnist".as_ref(), 3, 471);
    /// assert_eq!(paths.summary().extension(), Some("json".as_ref()));
    /// ```
    pub fn summary(&self) -> PathBuf {
        self.directory.join(format!("{}.json", self.stem))
    }

    /// The suspects as CSV.
    ///
    /// ```
    /// # let paths = mirrorwatch_daemon::results::Paths::new("state/runs/mnist".as_ref(), 3, 471);
    /// assert!(paths.suspects_csv().to_string_lossy().ends_with("-0000000471.suspects.csv"));
    /// ```
    pub fn suspects_csv(&self) -> PathBuf {
        self.directory.join(format!("{}.suspects.csv", self.stem))
    }

    /// The suspects as JSON lines.
    ///
    /// ```
    /// # let paths = mirrorwatch_daemon::results::Paths::new("state/runs/mnist".as_ref(), 3, 471);
    /// assert!(paths.suspects_jsonl().to_string_lossy().ends_with("-0000000471.suspects.jsonl"));
    /// ```
    pub fn suspects_jsonl(&self) -> PathBuf {
        self.directory.join(format!("{}.suspects.jsonl", self.stem))
    }

    /// The scores of all samples as CSV.
    ///
    /// ```
    /// # let paths = mirrorwatch_daemon::results::Paths::new("state/runs/mnist".as_ref(), 3, 471);
    /// assert!(paths.scores_csv().to_string_lossy().ends_with("-0000000471.scores.csv"));
    /// ```
    pub fn scores_csv(&self) -> PathBuf {
        self.directory.join(format!("{}.scores.csv", self.stem))
    }
}

/// Writes the results of a scan; the summary comes last, so whoever waits for it finds the rest.
///
/// # Errors
///
/// A file cannot be written.
///
/// ```
#[doc = include_str!("example_summary.txt")]
/// use mirrorwatch_daemon::history::History;
/// use mirrorwatch_daemon::results::{Paths, Suspect, read_suspects, write};
///
/// # let directory = tempfile::tempdir()?;
/// let paths = Paths::new(directory.path(), summary.epoch, summary.step);
/// let suspects = [Suspect { index: 7, ..Suspect::default() }];
/// write(&paths, &summary, &suspects, &History::default(), None)?;
/// assert_eq!(read_suspects(&paths)?, suspects);
/// assert!(paths.summary().exists() && !paths.scores_csv().exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(
    paths: &Paths,
    summary: &Summary,
    suspects: &[Suspect],
    history: &History,
    scores: Option<&[SampleScore]>,
) -> Result<(), DaemonError> {
    std::fs::create_dir_all(&paths.directory).map_err(|error| DaemonError::Write {
        path: paths.directory.clone(),
        message: error.to_string(),
    })?;
    write_suspects(&paths.suspects_csv(), suspects)?;
    write_lines(&paths.suspects_jsonl(), suspects, history)?;
    if let Some(scores) = scores {
        write_csv(&paths.scores_csv(), scores)?;
    }
    write_atomic(paths.summary(), &json_bytes(summary, &paths.summary())?)?;
    Ok(())
}

/// Writes suspects and their histories to one JSON-lines file.
pub(crate) fn write_lines(
    path: &Path,
    suspects: &[Suspect],
    history: &History,
) -> Result<(), DaemonError> {
    Ok(write_atomic_with(path, |file| {
        for suspects in suspects.chunks(TOGETHER) {
            let samples: Vec<usize> = suspects.iter().map(|suspect| suspect.index).collect();
            let histories = history.of_all(&samples);
            for (nth, suspect) in suspects.iter().enumerate() {
                let history = histories.of(nth);
                serde_json::to_writer(&mut *file, &LineOf { suspect, history })?;
                file.write_all(b"\n")?;
            }
        }
        Ok(())
    })?)
}

/// Writes suspects to one CSV file.
///
/// # Errors
///
/// The file cannot be written.
///
/// ```
/// use mirrorwatch_daemon::results::{Suspect, write_suspects};
///
/// # let directory = tempfile::tempdir()?;
/// let path = directory.path().join("suspects.csv");
/// write_suspects(&path, &[Suspect { id: "cat-7".into(), index: 7, ..Suspect::default() }])?;
/// let text = std::fs::read_to_string(&path)?;
/// assert!(text.starts_with("id,index,given,suggested,") && text.contains("\ncat-7,7,0,0,"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_suspects(path: &Path, suspects: &[Suspect]) -> Result<(), DaemonError> {
    write_csv(path, suspects)
}

/// Reads the suspects of a scan back, in their order.
///
/// # Errors
///
/// A file that cannot be read or is no list of suspects.
///
/// ```
/// use mirrorwatch_daemon::results::{Paths, read_suspects};
///
/// # let directory = tempfile::tempdir()?;
/// let none = read_suspects(&Paths::new(directory.path(), 3, 471));
/// assert!(none.is_err_and(|error| error.to_string().contains("suspects.jsonl")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_suspects(paths: &Paths) -> Result<Vec<Suspect>, DaemonError> {
    let path = paths.suspects_jsonl();
    let failed = |message: String| DaemonError::Read {
        path: path.clone(),
        message,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    let mut suspects = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let suspect = serde_json::from_str(line);
        suspects.push(suspect.map_err(|error| failed(format!("line {}: {error}", number + 1)))?);
    }
    Ok(suspects)
}

/// Reads a JSON record whose `schema` must be `known`; `again` says what to do about another one.
///
/// # Errors
///
/// A file that cannot be read, is none, or is of another version.
pub(crate) fn read_record<R: DeserializeOwned>(
    path: &Path,
    schema: fn(&R) -> u32,
    known: u32,
    again: &str,
) -> Result<R, DaemonError> {
    let failed = |message: String| DaemonError::Read {
        path: path.to_path_buf(),
        message,
    };
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let record: R = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    let found = schema(&record);
    if found == known {
        Ok(record)
    } else {
        Err(failed(format!(
            "its schema is {found}, {known} is known; {again} with this version"
        )))
    }
}

/// The scores of all samples.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// let found = account(&evidence, &labels, levels)?;
/// let scores = mirrorwatch_daemon::results::scores(&labels, &evidence, &found);
/// assert_eq!(scores.iter().filter(|score| score.flagged).count(), found.suspects);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn scores(labels: &Labels, evidence: &Evidence, account: &Account) -> Vec<SampleScore> {
    let Some(channel) = evidence.channels.first() else {
        return Vec::new();
    };
    let mut scores = Vec::with_capacity(labels.train.len());
    for (index, &given) in labels.train.iter().enumerate() {
        scores.push(SampleScore {
            index,
            given,
            score: channel.train[index],
            p_value: account.p_values[index],
            wrong_probability: account.wrong_probability[index],
            flagged: account.flags[index],
            suggested: channel.suggested[index],
            loss: evidence.last_loss.get(index).unwrap_or_default(),
            mean_loss: evidence.mean_loss[index],
            mean_margin: evidence.mean_margin[index],
        });
    }
    scores
}

pub(crate) fn json_bytes<R: Serialize>(row: &R, path: &Path) -> Result<Vec<u8>, DaemonError> {
    serde_json::to_vec(row).map_err(|error| DaemonError::Write {
        path: path.to_path_buf(),
        message: error.to_string(),
    })
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
