//! `report`: one HTML file about a run that stands for itself, and the lists beside it.

mod chart;
mod page;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use mirrorwatch_checkpoint::write_atomic;
use mirrorwatch_influence::{Labels, Set, Task};
use sha2::{Digest, Sha256};

use crate::api::{png, shortened};
use crate::audit::{self, Review, Verdict, log};
use crate::confirm::{self, ConfirmRecord, NeighbourRecord, SecondLook};
use crate::digest::hex;
use crate::error::DaemonError;
use crate::export::{self, gather};
use crate::hub::now;
use crate::leaks;
use crate::once::print;
use crate::options::ScanOptions;
use crate::results::{self, Suspect, json_bytes};
use crate::runs::state_path;
use crate::store::{Outcome, RunState};
use crate::stored::Stored;
use crate::when::utc;
use page::{Card, CardStageTwo, Neighbour, Report, StageTwo, page};

/// Options of `report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The run
    pub run: String,

    /// Directory that holds one directory per run
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub root: PathBuf,

    /// Directory for evidence and results [default: ROOT/.mirrorwatch]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Directory to write report.html and the lists to; made if it does not exist [default: `report` beside the run's
    /// results, where the sidecar serves it on /runs/RUN/report]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Show the N most suspicious suspects; all are in suspects.csv
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub suspects: usize,

    /// What `leaks --out` has written [default: leaks.json beside the run's results, if it is there]
    #[arg(long, value_name = "FILE")]
    pub leaks: Option<PathBuf>,

    /// What the scans computed, as `watch` was told; --fdr and --alpha may be others
    #[command(flatten)]
    pub scan: ScanOptions,
}

/// Where the sidecar looks for a report, in the directory of a run's results.
///
/// ```
/// use mirrorwatch_daemon::report::served;
///
/// assert!(served("state/runs/mnist".as_ref()).ends_with("mnist/report/report.html"));
/// ```
pub fn served(results: &Path) -> PathBuf {
    results.join("report").join("report.html")
}

/// Gathers what is known of a run and writes it.
///
/// # Errors
///
/// A run without evidence for this data and these settings, records that cannot be read, or files that cannot be
/// written.
///
/// ```
#[doc = include_str!("../example_task.txt")]
/// use clap::Parser;
/// use mirrorwatch_daemon::report::{ReportArgs, run};
///
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     args: ReportArgs,
/// }
/// // Nothing was scanned of a run with this name.
/// assert!(run(&Line, &Cli::parse_from(["my-sidecar", "none"]).args).is_err());
/// ```
pub fn run<T: Task>(task: &T, args: &ReportArgs) -> Result<(), DaemonError> {
    let labels = Labels::read(task)?;
    let directory = args.state.clone();
    let directory = directory.unwrap_or_else(|| args.root.join(".mirrorwatch"));
    let stored = Stored::load::<T>(&labels, &args.scan, &directory, &args.run)?;
    let levels = args.scan.levels();
    let account = stored.account(&labels, levels)?;
    let state = &stored.state;
    let suspects = results::suspects(task, &labels, &state.evidence, &account);
    let state_file = state_path(&directory, &args.run);
    let beside = state_file.parent().unwrap_or(&directory);
    let (exported, wrong) = gather(task, &labels, &stored, levels, &args.run, Some(&directory))?;

    let confirmed = confirm::read(beside)?;
    let confirmed = confirmed.filter(|record| record.fingerprint == state.fingerprint);
    let leaks = match &args.leaks {
        Some(path) => Some(leaks::read(path)?),
        None => {
            let path = leaks::path(beside);
            path.exists().then(|| leaks::read(&path)).transpose()?
        }
    };
    let path = audit::path(beside);
    let log = log::read(&path)?.whole(&path)?;
    let reviews = export::reviews(task, &labels, &directory, &args.run)?;

    let mut summary = stored.summary()?.clone();
    // At the levels of this report, which may be others than the daemon's.
    summary.fdr = levels.fdr;
    summary.alpha = levels.alpha;
    summary.suspects = account.suspects;
    summary.expected_false_suspects = account.expected_false;
    summary.hard_suspects = account.hard_suspects();
    summary.noise_ratio_lower_bound = account.lower_bound;
    summary.noise_ratio_estimate = account.estimate;
    let shown = &suspects[..suspects.len().min(args.suspects)];
    let report = Report {
        run: args.run.clone(),
        written: utc(now()),
        timeline: state
            .ledger
            .scans()
            .iter()
            .map(|s| (s.epoch, s.noise_ratio_lower_bound, s.noise_ratio_estimate))
            .collect(),
        class_names: (0..labels.classes).map(|c| task.class_name(c)).collect(),
        cards: cards(task, &stored, shown, confirmed.as_ref(), &reviews),
        stage_two: confirmed.as_ref().map(stage_two),
        leaks,
        reviews: log.reviews.iter().map(|review| row(task, review)).collect(),
        settings: settings(task, &labels, state, args, &log.head),
        checkpoints: scanned(state),
        summary,
    };
    let out = args.out.clone().unwrap_or_else(|| beside.join("report"));
    // Also makes the directory.
    export::write(&out, &exported, &labels, &wrong)?;
    results::write_suspects(&out.join("suspects.csv"), &suspects)?;
    let lines = out.join("suspects.jsonl");
    results::write_lines(&lines, &suspects, &state.evidence.history)?;
    if let Some(record) = &confirmed {
        let path = out.join("confirm.json");
        write_atomic(&path, &json_bytes(record, &path)?)?;
    }
    if let Some(record) = &report.leaks {
        let path = out.join("leaks.json");
        write_atomic(&path, &json_bytes(record, &path)?)?;
    }
    let path = out.join("report.html");
    let html = page(&report).into_string();
    write_atomic(&path, html.as_bytes())?;
    print(&format!(
        "{}: {} of {} suspects shown, {} KiB; all of them are in suspects.csv beside it\n",
        path.display(),
        report.cards.len(),
        suspects.len(),
        html.len() / 1024,
    ));
    Ok(())
}

fn cards<T: Task>(
    task: &T,
    stored: &Stored,
    suspects: &[Suspect],
    confirmed: Option<&ConfirmRecord>,
    reviews: &BTreeMap<usize, Review>,
) -> Vec<Card> {
    let looks: BTreeMap<usize, &SecondLook> = confirmed
        .iter()
        .flat_map(|record| &record.suspects)
        .map(|look| (look.index, look))
        .collect();
    let mut cards = Vec::with_capacity(suspects.len());
    let samples: Vec<usize> = suspects.iter().map(|suspect| suspect.index).collect();
    let histories = stored.state.evidence.history.of_all(&samples);
    for (nth, suspect) in suspects.iter().enumerate() {
        let history = histories.of(nth);
        cards.push(Card {
            id: suspect.id.clone(),
            given: task.class_name(suspect.given),
            suggested: suspect.suggestion().map(|class| task.class_name(class)),
            wrong_probability: suspect.wrong_probability,
            p_value: suspect.p_value,
            source: suspect.source.clone(),
            fitted_epoch: suspect.fitted_epoch,
            picture: picture(task, Set::Training, suspect.index),
            words: words(task, suspect.index),
            curve: history.iter().map(|point| point.p_value).collect(),
            stage_two: looks.get(&suspect.index).map(|look| second(task, look)),
            review: reviews.get(&suspect.index).map(|r| said(task, r)),
        });
    }
    cards
}

/// What stage two says of a suspect.
fn second<T: Task>(task: &T, look: &SecondLook) -> CardStageTwo {
    let neighbours = |set: Set, records: &[NeighbourRecord]| {
        let mut neighbours = Vec::with_capacity(records.len());
        for one in records {
            neighbours.push(Neighbour {
                id: match set {
                    Set::Training => task.id(one.index),
                    Set::Probe => format!("probe {}", one.index),
                },
                label: task.class_name(one.label),
                cosine: one.cosine,
                picture: picture(task, set, one.index),
            });
        }
        neighbours
    };
    let p_value = look
        .p_value
        .map_or(String::new(), |p| format!(" (p {p:.3})"));
    CardStageTwo {
        verdict: look.verdict.name().to_string(),
        figures: format!(
            "support {:.2}{p_value}, TracIn {:.2e}, influence {:.2e}, self-influence {:.2e}",
            look.support, look.tracin, look.influence, look.self_influence
        ),
        opponents: neighbours(Set::Probe, &look.opponents),
        proponents: neighbours(Set::Training, &look.proponents),
    }
}

/// A picture of a sample as a data URI; none where the task has none.
fn picture<T: Task>(task: &T, set: Set, index: usize) -> Option<String> {
    let data = match set {
        Set::Training => task.train(),
        Set::Probe => task.probe(),
    };
    let preview = task.preview(&data.get(index).ok()?)?;
    let bytes = png(preview.image()?).ok()?;
    Some(format!("data:image/png;base64,{}", STANDARD.encode(bytes)))
}

/// A training sample as a text or table row; none where the task has none.
fn words<T: Task>(task: &T, index: usize) -> Option<String> {
    let preview = task.preview(&task.train().get(index).ok()?)?;
    preview.words().map(shortened)
}

fn said<T: Task>(task: &T, review: &Review) -> String {
    let verdict = match review.label {
        Some(label) => format!("relabelled to {}", task.class_name(label)),
        None => review.verdict.name().to_string(),
    };
    format!("{verdict} by {}, {}", review.who, utc(review.time))
}

fn row<T: Task>(task: &T, review: &Review) -> [String; 5] {
    let verdict = match (review.verdict, review.label) {
        (Verdict::Relabelled, Some(label)) => format!("relabelled to {}", task.class_name(label)),
        (verdict, _) => verdict.name().to_string(),
    };
    [
        utc(review.time),
        format!("{} ({})", review.who, review.by),
        review.id.clone(),
        verdict,
        review.note.clone().unwrap_or_default(),
    ]
}

fn stage_two(record: &ConfirmRecord) -> StageTwo {
    let mut rows = vec![
        ("layers".to_string(), record.layers.clone()),
        (
            "verdicts by".to_string(),
            format!(
                "support of the nearest probe samples, against {} trusted samples: confirmed up to p .05, cleared from p .5 where the first stage has its doubts, too",
                record.null_samples
            ),
        ),
    ];
    if let Some(agreement) = record.agreement {
        rows.push((
            "agreement of the stages".to_string(),
            format!("Spearman {agreement:.2} over the suspects"),
        ));
    }
    for at in &record.checkpoints {
        rows.push((
            format!("epoch {}", at.epoch),
            format!(
                "{} iterations ({}), residual {:.1e}, damping {:.1e}, {}",
                at.iterations, at.stopped, at.residual, at.damping, at.weights_sha256
            ),
        ));
    }
    StageTwo {
        sentence: format!(
            "of {} suspects at epoch {}, {} are confirmed by exact gradients, {} are cleared and {} undecided.",
            record.suspects.len(),
            record.epoch,
            record.confirmed,
            record.cleared,
            record.undecided
        ),
        rows,
    }
}

/// What it takes to do it again.
fn settings<T: Task>(
    task: &T,
    labels: &Labels,
    state: &RunState,
    args: &ReportArgs,
    log_head: &str,
) -> Vec<(&'static str, String)> {
    let summary = state.last.as_ref();
    let last = |pick: fn(&crate::summary::Summary) -> String| summary.map_or(String::new(), pick);
    let mut settings = vec![
        ("mirrorwatch", env!("CARGO_PKG_VERSION").to_string()),
        (
            "estimator",
            last(|s| format!("{}:{}", s.direction, s.score)),
        ),
        ("chosen per fork", last(|s| s.choices.join("; "))),
        ("probe folds", args.scan.folds.to_string()),
        ("seed", args.scan.seed.to_string()),
        ("false-discovery rate", args.scan.fdr.to_string()),
        (
            "chance that the bound is too high",
            args.scan.alpha.to_string(),
        ),
        (
            "samples",
            format!(
                "{} training (of them {} trusted, {} canaries), {} probe, {} classes",
                labels.train.len(),
                labels.trusted.len(),
                labels.canaries.len(),
                labels.probe.len(),
                labels.classes
            ),
        ),
        ("evidence is kept under", state.fingerprint.clone()),
        ("SHA-256 of the given labels", hash(labels.train.iter())),
        ("SHA-256 of the probe's labels", hash(labels.probe.iter())),
    ];
    if let Some(previews) = hash_of_previews(task) {
        settings.push(("SHA-256 of the training samples as shown", previews));
    }
    if !log_head.is_empty() {
        settings.push(("SHA-256 of the last review", log_head.to_string()));
    }
    settings
}

/// Of numbers as 64-bit little-endian integers.
fn hash<'a>(numbers: impl Iterator<Item = &'a usize>) -> String {
    let mut hash = Sha256::new();
    for &number in numbers {
        hash.update((number as u64).to_le_bytes());
    }
    hex(&hash.finalize())
}

/// Of what all training samples show, pixels or words, one after the other; none where one shows nothing.
fn hash_of_previews<T: Task>(task: &T) -> Option<String> {
    let data = task.train();
    let mut hash = Sha256::new();
    for index in 0..data.len() {
        let preview = task.preview(&data.get(index).ok()?)?;
        match preview.image() {
            Some(image) => hash.update(&image.pixels),
            None => hash.update(preview.words()?),
        }
    }
    Some(hex(&hash.finalize()))
}

fn scanned(state: &RunState) -> Vec<(u64, u64, String)> {
    let mut scanned = Vec::new();
    for entry in state.ledger.entries() {
        if entry.outcome == Outcome::Scanned {
            let key = &entry.key;
            scanned.push((key.epoch, key.step, key.sha256.clone()));
        }
    }
    scanned
}
