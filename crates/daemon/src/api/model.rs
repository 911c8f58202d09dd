//! What the API answers, as JSON objects. Times are Unix seconds.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::audit::{Review, Verdict};
use crate::history::Point;
use crate::hub::RunView;
use crate::results::Suspect;
use crate::samples::Samples;
use crate::store::ScanNumbers;
use crate::summary::Summary;

/// The sidecar and its runs.
#[derive(Serialize)]
pub struct RunList {
    /// The sidecar.
    pub sidecar: Sidecar,
    /// Its runs by name.
    pub runs: Vec<Run>,
}

/// The sidecar itself.
#[derive(Serialize)]
pub struct Sidecar {
    /// Its version.
    pub version: &'static str,
    /// Whether the directory was listed once.
    pub ready: bool,
    /// What is wrong with it, as `/healthz` says it; null when nothing is.
    pub problem: Option<String>,
    /// Whether there are pictures of training samples; texts and rows come with the samples.
    pub previews: bool,
    /// Whether whoever asks may write reviews.
    pub takes_reviews: bool,
    /// Who asks, where somebody has to log in.
    pub user: Option<String>,
    /// The checkpoint that is being scanned.
    pub scanning: Option<String>,
    /// How long ago the watching loop was last alive.
    pub watch_silence_seconds: f64,
    /// How long ago the scanning loop was last alive.
    pub scan_silence_seconds: f64,
}

/// A run.
#[derive(Serialize)]
pub struct Run {
    /// Its name.
    pub run: String,
    /// `running`, or `finished` when its training said so.
    pub state: &'static str,
    /// When it was last heard of.
    pub updated: Option<f64>,
    /// What went wrong last; null when the last checkpoint was scanned.
    pub last_error: Option<String>,
    /// The current count and its guarantee in words.
    pub in_words: Option<String>,
    /// The reviews that count.
    pub reviews: ReviewCounts,
    /// Probe samples in the training set; null where nobody has looked.
    pub leaks: Option<Leaks>,
    /// Whether there is a report on `/runs/{run}/report`.
    pub report: bool,
    /// The last scan; null when there was none.
    #[serde(serialize_with = "shared")]
    pub summary: Option<Arc<Summary>>,
}

/// What was found when probe samples were looked for in the training set.
#[derive(Serialize)]
pub struct Leaks {
    /// Epoch of the checkpoint that was asked.
    pub epoch: u64,
    /// Probe samples that were looked for.
    pub checked: usize,
    /// Those that were found, or nearly.
    pub leaked: usize,
}

fn shared<S: Serializer>(summary: &Option<Arc<Summary>>, to: S) -> Result<S::Ok, S::Error> {
    summary.as_deref().serialize(to)
}

impl Run {
    /// A run as it is known.
    pub fn new(run: &str, view: &RunView, report: bool) -> Self {
        Self {
            report,
            leaks: view.leaks.as_deref().map(|leaks| Leaks {
                epoch: leaks.epoch,
                checked: leaks.probes,
                leaked: leaks.leaked_probes,
            }),
            run: run.to_string(),
            state: if view.finished { "finished" } else { "running" },
            updated: (view.updated > 0.0).then_some(view.updated),
            last_error: (!view.last_error.is_empty()).then(|| view.last_error.clone()),
            in_words: view.summary.as_deref().map(Summary::sentence),
            reviews: ReviewCounts::new(view),
            summary: view.summary.clone(),
        }
    }
}

/// The scans of a run.
#[derive(Serialize)]
pub struct Curve<'a> {
    /// The run.
    pub run: &'a str,
    /// How many there were.
    pub scans: usize,
    /// In their order; of many, not all.
    pub points: Vec<ScanNumbers>,
}

/// Points of a curve at most: more than anybody sees of one.
const MOST_POINTS: usize = 1000;

/// How many scans there were, and of not too many of them, evenly spread, the numbers; of the first and of the last always.
pub fn curve(scans: &[ScanNumbers]) -> (usize, Vec<ScanNumbers>) {
    let points = match scans.len() {
        few if few <= MOST_POINTS => scans.to_vec(),
        many => (0..MOST_POINTS)
            .map(|nth| scans[nth * (many - 1) / (MOST_POINTS - 1)].clone())
            .collect(),
    };
    (scans.len(), points)
}

/// A part of a run's suspects.
#[derive(Serialize)]
pub struct SuspectList<'a> {
    /// The run.
    pub run: &'a str,
    /// Epoch of the checkpoint at which they were counted.
    pub epoch: Option<u64>,
    /// Optimizer step of that checkpoint.
    pub step: Option<u64>,
    /// All suspects of the run.
    pub total: usize,
    /// Those that match the request.
    pub matching: usize,
    /// How many of the matching ones come before the first in this answer.
    pub offset: usize,
    /// Most suspicious first.
    pub suspects: Vec<SuspectView>,
}

/// A suspect with the names of its classes.
#[derive(Serialize)]
pub struct SuspectView {
    #[serde(flatten)]
    suspect: Suspect,
    given_name: String,
    /// Null for a task without classes.
    suggested_name: Option<String>,
    /// The sample as a text or a table row; null where the task has a picture of it, or nothing to show.
    preview: Option<String>,
    /// What was said of it; null when nothing was.
    review: Option<ReviewView>,
}

impl SuspectView {
    /// A suspect of a run among these samples.
    pub fn new(suspect: &Suspect, view: &RunView, samples: &dyn Samples) -> Self {
        let review = view.reviews.get(&suspect.index);
        Self {
            review: review.map(|review| ReviewView::new(review, samples)),
            suspect: suspect.clone(),
            given_name: samples.class_name(suspect.given),
            suggested_name: suspect.suggestion().map(|class| samples.class_name(class)),
            preview: in_words(samples, suspect.index),
        }
    }
}

/// Letters of a text that are shown; the rest of it is cut off.
const LETTERS: usize = 500;

/// A sample as a text or a table row, cut to a readable length.
pub fn in_words(samples: &dyn Samples, index: usize) -> Option<String> {
    let words = samples.preview(index)?.words()?;
    Some(shortened(words))
}

/// A text of at most [`LETTERS`] letters.
pub fn shortened(text: String) -> String {
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text,
    }
}

/// A training sample.
#[derive(Serialize)]
pub struct Sample<'a> {
    /// The run.
    pub run: &'a str,
    /// Its position in the training set.
    pub index: usize,
    /// Its name.
    pub id: String,
    /// Its given label.
    pub given: usize,
    /// The name of that class.
    pub given_name: String,
    /// The sample as a text or a table row; null where the task has a picture of it, or nothing to show.
    pub preview: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
    /// What is said against it; null when it is no suspect.
    pub suspect: Option<SuspectView>,
    /// What was said of it; null when nothing was.
    pub review: Option<ReviewView>,
    /// How it fared at the checkpoints so far.
    pub history: Vec<Point>,
}

/// How many samples of a run are reviewed, by the verdict that counts.
#[derive(Serialize)]
pub struct ReviewCounts {
    confirmed: usize,
    cleared: usize,
    relabelled: usize,
    /// The number of the last review that counts; null without any.
    last: Option<u64>,
}

impl ReviewCounts {
    fn new(view: &RunView) -> Self {
        let of = |verdict| {
            let reviews = view.reviews.values();
            reviews.filter(|review| review.verdict == verdict).count()
        };
        Self {
            confirmed: of(Verdict::Confirmed),
            cleared: of(Verdict::Cleared),
            relabelled: of(Verdict::Relabelled),
            last: view.reviews.values().map(|review| review.sequence).max(),
        }
    }
}

/// A part of a run's reviews.
#[derive(Serialize)]
pub struct ReviewList<'a> {
    /// The run.
    pub run: &'a str,
    /// All reviews in the log, up to the first line that does not fit.
    pub total: usize,
    /// Samples of which one counts.
    pub in_force: usize,
    /// The first line that does not fit; null when the log is as it was written.
    pub problem: Option<&'a str>,
    /// SHA-256 of the last line that fits; empty without any.
    pub head: &'a str,
    /// How many come before the first in this answer.
    pub offset: usize,
    /// In the order of the log.
    pub reviews: Vec<ReviewView>,
}

/// A review with the names of its classes.
#[derive(Serialize)]
pub struct ReviewView {
    #[serde(flatten)]
    review: Review,
    given_name: String,
    label_name: Option<String>,
}

impl ReviewView {
    /// A review of one of these samples.
    pub fn new(review: &Review, samples: &dyn Samples) -> Self {
        Self {
            given_name: samples.class_name(review.given),
            label_name: review.label.map(|label| samples.class_name(label)),
            review: review.clone(),
        }
    }
}

/// The classes.
#[derive(Serialize)]
pub struct ClassList {
    /// Their names, by number.
    pub classes: Vec<String>,
}
