//! `export`: what to do about a run's suspects, as files that a training or another tool reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use mirrorwatch_checkpoint::write_atomic;
use mirrorwatch_influence::{Labels, Task};
use serde::{Deserialize, Serialize};

use crate::account::Levels;
use crate::audit::{self, Review, Verdict, log};
use crate::confirm;
use crate::error::DaemonError;
use crate::evidence::Evidence;
use crate::options::ScanOptions;
use crate::printable::printable;
use crate::results;
use crate::runs::state_path;
use crate::spreadsheet::{Row, csv_bytes};
use crate::stored::Stored;
use crate::verdict;

mod reviewed;

pub use reviewed::Reviewed;

/// Version of [`Export`] as JSON.
pub const EXPORT_SCHEMA: u32 = 1;

/// Options of `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The run
    pub run: String,

    /// Directory that holds one directory per run
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub root: PathBuf,

    /// Directory for evidence and results [default: ROOT/.mirrorwatch]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Directory to write the files to; made if it does not exist
    #[arg(long, value_name = "DIR", default_value = "export")]
    pub out: PathBuf,

    /// Go by the evidence alone, whatever `review` or the page has noted
    #[arg(long)]
    pub ignore_reviews: bool,

    /// Leave out only those suspects that `confirm` has confirmed: fewer right ones among them, and fewer wrong ones
    #[arg(long)]
    pub confirmed: bool,

    /// What the scans computed, as `watch` was told; --fdr and --alpha may be others
    #[command(flatten)]
    pub scan: ScanOptions,
}

/// What is to be done about a training set: `export.json`, for programs.
///
/// ```
/// use mirrorwatch_daemon::export::Export;
///
/// let export: Export = serde_json::from_str(r#"{"schema": 1, "run": "mnist", "epoch": 3, "step": 471,
///     "fingerprint": "", "samples": 4, "fdr": 0.1,
///     "suspects": [{"index": 1, "id": "1", "given": 0, "suggested": 7, "wrong_probability": 0.9}],
///     "canaries": [{"index": 3, "id": "3", "given": 2, "suggested": 5, "wrong_probability": 1.0}]}"#)?;
/// assert_eq!((export.kept(), export.refusal), (vec![0, 2], None));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// [`EXPORT_SCHEMA`] when it was written.
    pub schema: u32,
    /// The run it is about.
    pub run: String,
    /// Epoch of its last scanned checkpoint.
    pub epoch: u64,
    /// Optimizer step of that.
    pub step: u64,
    /// Of labels, data and settings: the SHA-256 that the evidence is kept under.
    pub fingerprint: String,
    /// Training samples, suspects or not: the length of the data set that it fits.
    pub samples: usize,
    /// False-discovery rate of the suspects.
    pub fdr: f64,
    /// Why nobody is named, if so.
    pub refusal: Option<String>,
    /// What is taken to be wrong: the suspects, most suspicious first, without those that were cleared; then what was
    /// confirmed or relabelled besides. A confirmed label is wrong with chance 1, and so is a relabelled one, whose
    /// `suggested` is the reviewer's.
    pub suspects: Vec<Relabel>,
    /// Samples whose labels were made wrong on purpose, to measure what is found: known to be wrong.
    #[serde(default)]
    pub canaries: Vec<Relabel>,
    /// The reviews that it follows, by position.
    #[serde(default)]
    pub reviews: Vec<Reviewed>,
}

/// A suspect, and the label it should most likely carry.
///
/// ```
/// use mirrorwatch_daemon::export::Relabel;
///
/// let suspect = Relabel { index: 1, suggested: 7, wrong_probability: 0.9, ..Relabel::default() };
/// let json = serde_json::to_value(&suspect)?;
/// assert_eq!((&json["index"], &json["suggested"]), (&1.into(), &7.into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Relabel {
    /// Its position in the training set, from 0.
    pub index: usize,
    /// Its name, from the task.
    pub id: String,
    /// Given label.
    pub given: usize,
    /// The label that most of the evidence speaks for.
    pub suggested: usize,
    /// Estimated chance that the given label is wrong, in [0, 1].
    pub wrong_probability: f32,
}

/// A row of `label_issues.csv`, with cleanlab's columns (`CleanLearning.get_label_issues`): one per training sample.
#[derive(Debug, Clone, Default, Serialize)]
struct LabelIssue {
    is_label_issue: bool,
    /// 1 − the chance that the label is wrong.
    label_quality: f32,
    given_label: usize,
    predicted_label: usize,
}

/// A row of `weights.csv`: what a sample may weigh in a training that keeps all of them.
#[derive(Debug, Clone, Default, Serialize)]
struct Weight {
    index: usize,
    weight: f32,
}

impl Row for Relabel {
    fn texts(&mut self) -> Vec<&mut String> {
        vec![&mut self.id]
    }
}

impl Row for LabelIssue {}

impl Row for Weight {}

impl Export {
    /// Reads `export.json`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is none, or is of another version.
    ///
    /// ```
    /// # use mirrorwatch_daemon::export::Export;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("export.json");
    /// # std::fs::write(&path, r#"{"schema":1,"run":"r","epoch":3,"step":30,"fingerprint":"","samples":3,"fdr":0.1,
    /// #   "suspects":[{"index":1,"id":"1","given":0,"suggested":7,"wrong_probability":0.9}]}"#)?;
    /// let export = Export::read(&path)?;
    /// let wrong: Vec<usize> = export.wrong().map(|sample| sample.index).collect();
    /// assert_eq!((wrong, export.kept()), (vec![1], vec![0, 2]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(path: &Path) -> Result<Self, DaemonError> {
        let export: Self =
            results::read_record(path, |e: &Self| e.schema, EXPORT_SCHEMA, "export again")?;
        // Whoever applies it takes them for positions.
        if let Some(beyond) = export.wrong().find(|s| s.index >= export.samples) {
            let (index, samples) = (beyond.index, export.samples);
            return Err(DaemonError::Read {
                path: path.to_path_buf(),
                message: format!("suspect {index} is none of {samples} samples"),
            });
        }
        Ok(export)
    }

    /// All samples that are taken to be wrong: suspects, what reviewers say is wrong, and canaries.
    ///
    /// ```
    /// # use mirrorwatch_daemon::export::Export;
    /// # let export: Export = serde_json::from_str(r#"{"schema": 1, "run": "mnist", "epoch": 3, "step": 471,
    /// #     "fingerprint": "", "samples": 4, "fdr": 0.1,
    /// #     "suspects": [{"index": 1, "id": "1", "given": 0, "suggested": 7, "wrong_probability": 0.9}],
    /// #     "canaries": [{"index": 3, "id": "3", "given": 2, "suggested": 5, "wrong_probability": 1.0}]}"#)?;
    /// // A suspect and a canary.
    /// assert_eq!(export.wrong().map(|sample| sample.index).collect::<Vec<_>>(), [1, 3]);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn wrong(&self) -> impl Iterator<Item = &Relabel> {
        self.suspects.iter().chain(&self.canaries)
    }

    /// Positions of all samples but the wrong ones, ascending. What was relabelled is not among them: its given label is
    /// wrong.
    ///
    /// ```
    /// # use mirrorwatch_daemon::export::Export;
    /// # let export: Export = serde_json::from_str(r#"{"schema": 1, "run": "mnist", "epoch": 3, "step": 471,
    /// #     "fingerprint": "", "samples": 3, "fdr": 0.1,
    /// #     "suspects": [{"index": 1, "id": "1", "given": 0, "suggested": 7, "wrong_probability": 0.9}]}"#)?;
    /// assert_eq!(export.kept(), [0, 2]);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn kept(&self) -> Vec<usize> {
        let mut keep = vec![true; self.samples];
        for wrong in self.wrong() {
            keep[wrong.index] = false;
        }
        (0..self.samples).filter(|&index| keep[index]).collect()
    }
}

/// Writes the files and prints what they say.
///
/// # Errors
///
/// A run without evidence for this data and these settings, or files that cannot be written.
///
/// ```
#[doc = include_str!("example_task.txt")]
/// use clap::Parser;
/// use mirrorwatch_daemon::export::{ExportArgs, run};
///
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     args: ExportArgs,
/// }
/// // Nothing was scanned of a run with this name.
/// assert!(run(&Line, &Cli::parse_from(["my-sidecar", "none"]).args).is_err());
/// ```
pub fn run<T: Task>(task: &T, args: &ExportArgs) -> Result<(), DaemonError> {
    let labels = Labels::read(task)?;
    let directory = args.state.clone();
    let directory = directory.unwrap_or_else(|| args.root.join(".mirrorwatch"));
    let stored = Stored::load::<T>(&labels, &args.scan, &directory, &args.run)?;
    let reviewed = (!args.ignore_reviews).then_some(directory.as_path());
    let (mut export, mut wrong) = gather(
        task,
        &labels,
        &stored,
        args.scan.levels(),
        &args.run,
        reviewed,
    )?;
    if args.confirmed {
        keep_confirmed(&mut export, &mut wrong, &directory)?;
    }
    write(&args.out, &export, &labels, &wrong)?;
    let (samples, suspects) = (export.samples, export.suspects.len());
    let kept = export.kept().len();
    if let Some(refusal) = &export.refusal {
        println!("no count: {}", printable(refusal));
    }
    println!(
        "{}: {} of {samples} samples are kept, {suspects} are suspects (run {}, epoch {})",
        args.out.display(),
        kept,
        export.run,
        export.epoch,
    );
    if !export.reviews.is_empty() {
        let counts = Verdict::IN_FORCE.map(|verdict| {
            let count = export.reviewed(verdict);
            format!("{count} {}", verdict.name())
        });
        println!("reviewed: {}", counts.join(", "));
    }
    Ok(())
}

/// Takes suspects that the second look has not confirmed off the list.
fn keep_confirmed(export: &mut Export, wrong: &mut [f32], state: &Path) -> Result<(), DaemonError> {
    let results = state_path(state, &export.run);
    let record = confirm::read(results.parent().unwrap_or(state))?;
    let record = record.filter(|record| record.fingerprint == export.fingerprint);
    let Some(record) = record else {
        let run = &export.run;
        return Err(DaemonError::Option(format!(
            "there is no second look at run {run} with this data and these settings; run `confirm {run}` first"
        )));
    };
    let mut confirmed = BTreeSet::new();
    for look in &record.suspects {
        if look.verdict == verdict::Verdict::Confirmed {
            confirmed.insert(look.index);
        }
    }
    // What a person has said counts, whatever gradients say.
    confirmed.extend(export.reviews.iter().map(|review| review.index));
    let kept = |suspect: &Relabel| confirmed.contains(&suspect.index);
    for suspect in export.suspects.iter().filter(|suspect| !kept(suspect)) {
        wrong[suspect.index] = 0.0;
    }
    export.suspects.retain(kept);
    Ok(())
}

/// What is to be done about a run, and the estimated chance that each label is wrong. `reviewed` is the state
/// directory, if reviews are to count.
///
/// # Errors
///
/// No scan yet, statistics that refuse, or reviews that cannot be read.
pub(crate) fn gather<T: Task>(
    task: &T,
    labels: &Labels,
    stored: &Stored,
    levels: Levels,
    run: &str,
    reviewed: Option<&Path>,
) -> Result<(Export, Vec<f32>), DaemonError> {
    let (state, summary) = (&stored.state, stored.summary()?);
    let mut account = stored.account(labels, levels)?;
    for &canary in &labels.canaries {
        account.wrong_probability[canary] = 1.0;
    }
    let suspects = results::suspects(task, labels, &state.evidence, &account);
    let mut export = Export {
        schema: EXPORT_SCHEMA,
        run: run.to_string(),
        epoch: summary.epoch,
        step: summary.step,
        fingerprint: state.fingerprint.clone(),
        samples: labels.train.len(),
        fdr: levels.fdr,
        refusal: summary
            .refusal
            .as_ref()
            .map(|refusal| refusal.message.clone()),
        suspects: suspects
            .into_iter()
            .map(|suspect| Relabel {
                index: suspect.index,
                id: suspect.id,
                given: suspect.given,
                suggested: suspect.suggested as usize,
                wrong_probability: suspect.wrong_probability,
            })
            .collect(),
        canaries: canaries(task, labels, &state.evidence),
        reviews: Vec::new(),
    };
    if let Some(directory) = reviewed {
        let reviews = reviews(task, labels, directory, run)?;
        let suggested = |index| suggestion(labels, &state.evidence, index);
        reviewed::apply(
            &mut export,
            &mut account.wrong_probability,
            reviews,
            suggested,
        );
    }
    Ok((export, account.wrong_probability))
}

/// The reviews of a run that are still of the samples at hand.
pub(crate) fn reviews<T: Task>(
    task: &T,
    labels: &Labels,
    state: &Path,
    run: &str,
) -> Result<BTreeMap<usize, Review>, DaemonError> {
    let path = audit::path(state_path(state, run).parent().unwrap_or(state));
    let log = log::read(&path)?.whole(&path).map_err(|error| {
        DaemonError::Option(format!("{error}; --ignore-reviews exports without reviews"))
    })?;
    let known = |index: usize| Some((*labels.train.get(index)?, task.id(index)));
    Ok(audit::in_force(&log.reviews, known))
}

/// The label that most of the evidence speaks for.
fn suggestion(labels: &Labels, evidence: &Evidence, index: usize) -> usize {
    let channel = evidence.channels.first();
    channel.map_or(labels.train[index], |c| c.suggested[index] as usize)
}

/// The canaries, each with the label that the evidence speaks for.
fn canaries<T: Task>(task: &T, labels: &Labels, evidence: &Evidence) -> Vec<Relabel> {
    let mut canaries = Vec::with_capacity(labels.canaries.len());
    for &index in &labels.canaries {
        canaries.push(Relabel {
            index,
            id: task.id(index),
            given: labels.train[index],
            suggested: suggestion(labels, evidence, index),
            wrong_probability: 1.0,
        });
    }
    canaries
}

/// Writes all files; `export.json` comes last, so whoever waits for it finds the rest.
pub(crate) fn write(
    directory: &Path,
    export: &Export,
    labels: &Labels,
    wrong_probability: &[f32],
) -> Result<(), DaemonError> {
    std::fs::create_dir_all(directory).map_err(|error| DaemonError::Write {
        path: directory.to_path_buf(),
        message: error.to_string(),
    })?;
    let mut issues = Vec::with_capacity(export.samples);
    let mut weights = Vec::with_capacity(export.samples);
    for (index, (&given, &wrong)) in labels.train.iter().zip(wrong_probability).enumerate() {
        issues.push(LabelIssue {
            is_label_issue: false,
            label_quality: 1.0 - wrong,
            given_label: given,
            predicted_label: given,
        });
        weights.push(Weight {
            index,
            weight: 1.0 - wrong,
        });
    }
    for wrong in export.wrong() {
        issues[wrong.index].is_label_issue = true;
        issues[wrong.index].predicted_label = wrong.suggested;
    }
    // With the label that a person gave it, in relabel.csv, it is as good as any.
    for review in &export.reviews {
        if review.verdict == Verdict::Relabelled {
            weights[review.index].weight = 1.0;
        }
    }
    let kept: String = export.kept().iter().map(|i| format!("{i}\n")).collect();
    write_atomic(directory.join("keep.txt"), kept.as_bytes())?;
    let csv = |name: &str| directory.join(name);
    let path = csv("relabel.csv");
    // Without classes there is nothing to put in the place of what is wrong.
    let relabel = export.suspects.iter().filter(|s| s.suggested != s.given);
    let relabel: Vec<Relabel> = relabel.cloned().collect();
    write_atomic(&path, &csv_bytes(&relabel, &path)?)?;
    let path = csv("weights.csv");
    write_atomic(&path, &csv_bytes(&weights, &path)?)?;
    let path = csv("label_issues.csv");
    write_atomic(&path, &csv_bytes(&issues, &path)?)?;
    let path = directory.join("export.json");
    write_atomic(&path, &results::json_bytes(export, &path)?)?;
    Ok(())
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
