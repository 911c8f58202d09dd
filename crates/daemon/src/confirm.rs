//! `confirm`: the slow second look at a run's suspects, by exact gradients.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use mirrorwatch_checkpoint::write_atomic;
use mirrorwatch_influence::exact::{
    Confirm, ConfirmOptions, InverseOptions, Neighbour, Solved, StageTwo,
};
use mirrorwatch_influence::{Labels, Layers, SweepOptions, Task};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::checkpoints::{self, Opened};
use crate::error::DaemonError;
use crate::once::print;
use crate::options::ScanOptions;
use crate::results::{json_bytes, read_record};
use crate::runs::state_path;
use crate::spreadsheet::{self, csv_bytes};
use crate::stored::Stored;
use crate::verdict::{Verdict, verdicts};

/// Version of [`ConfirmRecord`] as JSON.
pub const CONFIRM_SCHEMA: u32 = 1;

/// Options of `confirm`.
#[derive(Debug, Clone, Args)]
pub struct ConfirmArgs {
    /// The run
    pub run: String,

    /// Directory that holds one directory per run
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub root: PathBuf,

    /// Directory for evidence and results [default: ROOT/.mirrorwatch]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Look at the N most suspicious suspects; 0 = all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub suspects: u32,

    /// Look at the N newest checkpoints that the run has kept; 0 = all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub checkpoints: u32,

    /// Layers whose gradients are taken
    #[arg(long, value_name = "LAYERS", default_value = "last")]
    pub layers: Depth,

    /// Damping of influence functions, as a share of the curvature along the probe's gradient
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub damping: f64,

    /// Most conjugate-gradient iterations
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub iterations: u32,

    /// Training samples among which proponents are looked for
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub candidates: u32,

    /// Trusted samples that verdicts are calibrated on, at most
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub null: u32,

    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// What the scans computed, as `watch` was told; --fdr may be another
    #[command(flatten)]
    pub scan: ScanOptions,
}

/// Which layers.
///
/// ```
/// use clap::ValueEnum;
/// use mirrorwatch_daemon::confirm::Depth;
///
/// assert_eq!(Depth::from_str("full", false), Ok(Depth::Full));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Depth {
    /// The last one: finds as much on all data sets that were measured.
    Last,
    /// All layers: a hundred times the memory and the time.
    Full,
}

impl Depth {
    fn layers(self) -> (Layers, &'static str) {
        match self {
            Depth::Full => (Layers::All, "full"),
            Depth::Last => (Layers::Last, "last"),
        }
    }
}

/// `confirm.json`: what the second look has found.
///
/// ```
/// use mirrorwatch_daemon::confirm::ConfirmRecord;
///
/// let record: ConfirmRecord = serde_json::from_str(r#"{"schema": 1, "run": "mnist", "fingerprint": "", "epoch": 3,
///     "step": 471, "layers": "last", "null_samples": 80, "confirmed": 0, "cleared": 0, "undecided": 0,
///     "suspects": [], "checkpoints": [{"epoch": 3, "step": 471, "weights_sha256": "", "iterations": 9,
///     "residual": 8e-4, "damping": 0.02, "stopped": "converged"}]}"#)?;
/// assert_eq!((record.agreement, record.checkpoints[0].stopped.as_str()), (None, "converged"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfirmRecord {
    /// [`CONFIRM_SCHEMA`] when it was written.
    pub schema: u32,
    /// The run.
    pub run: String,
    /// What the evidence is kept under, by which the suspects were chosen.
    pub fingerprint: String,
    /// The scan whose suspects were looked at: its epoch.
    pub epoch: u64,
    /// Its step.
    pub step: u64,
    /// `full` or `last`.
    pub layers: String,
    /// Trusted samples that verdicts are calibrated on; without any, all are undecided.
    pub null_samples: usize,
    /// Checkpoints whose gradients were taken.
    pub checkpoints: Vec<LookedAt>,
    /// Suspects by verdict.
    pub confirmed: usize,
    /// Suspects that look like clean samples to exact gradients.
    pub cleared: usize,
    /// The others.
    pub undecided: usize,
    /// Spearman's correlation of the stages over the suspects.
    pub agreement: Option<f64>,
    /// The suspects, by both stages together; the worst first.
    pub suspects: Vec<SecondLook>,
}

/// A checkpoint, and what the solver of influence functions says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LookedAt {
    /// Epoch.
    pub epoch: u64,
    /// Step.
    pub step: u64,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// Conjugate-gradient iterations.
    pub iterations: usize,
    /// Relative residual it ended with.
    pub residual: f64,
    /// λ.
    pub damping: f64,
    /// `converged`, `limit` or `curvature`.
    pub stopped: String,
}

/// The second look at a suspect.
///
/// ```
/// use mirrorwatch_daemon::{confirm::SecondLook, verdict::Verdict};
///
/// let look: SecondLook = serde_json::from_str(r#"{"index": 7, "id": "7", "given": 3, "suggested": 5,
///     "verdict": "confirmed", "p_value": 0.01, "score": 1.2, "tracin": -4.0, "cosine": -0.3, "influence": -9.0,
///     "self_influence": 8.0, "support": 0.1, "opponents": [{"index": 2, "label": 5, "cosine": -0.9}],
///     "proponents": []}"#)?;
/// assert_eq!((look.verdict, look.opponents[0].label), (Verdict::Confirmed, 5));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecondLook {
    /// Position in the training set.
    pub index: usize,
    /// Name, from the task.
    pub id: String,
    /// Given label.
    pub given: usize,
    /// Suggested label.
    pub suggested: usize,
    /// What comes of it.
    pub verdict: Verdict,
    /// Chance that a clean sample would look at least as bad to exact gradients; none without trusted samples.
    pub p_value: Option<f64>,
    /// Both stages together: the mean of their normal scores over the suspects; larger = worse.
    pub score: f32,
    /// TracInCP: Σ ⟨∇ℓ_i, ∇L_P⟩ over the checkpoints.
    pub tracin: f64,
    /// Mean cosine of the two gradients.
    pub cosine: f64,
    /// Influence function.
    pub influence: f64,
    /// Self-influence.
    pub self_influence: f64,
    /// Mean cosine with the ten probe samples that support the label most: what verdicts are made by.
    pub support: f64,
    /// Probe samples that speak most against the label.
    pub opponents: Vec<NeighbourRecord>,
    /// Training samples that support it most.
    pub proponents: Vec<NeighbourRecord>,
}

/// A sample beside a suspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighbourRecord {
    /// Position in its set.
    pub index: usize,
    /// Its label.
    pub label: usize,
    /// Mean cosine of the two gradients.
    pub cosine: f64,
}

/// A row of `confirm.csv`.
#[derive(Debug, Clone, Default, Serialize)]
struct Row {
    index: usize,
    id: String,
    given: usize,
    suggested: usize,
    verdict: String,
    p_value: Option<f64>,
    score: f32,
    tracin: f64,
    cosine: f64,
    influence: f64,
    self_influence: f64,
    support: f64,
}

impl spreadsheet::Row for Row {
    fn texts(&mut self) -> Vec<&mut String> {
        vec![&mut self.id]
    }
}

/// Looks, writes `confirm.json` and `confirm.csv` beside the run's results, and prints what they say.
///
/// # Errors
///
/// A run without evidence for this data and these settings, no checkpoint left, or files that cannot be written.
pub fn run<T: Task>(task: &T, args: &ConfirmArgs) -> Result<(), DaemonError> {
    let config = args.scan.config::<T>()?;
    let labels = Labels::read(task)?;
    if !labels.has_classes() {
        return Err(DaemonError::Option(
            "the second look compares labels, and this task has none; `review` is for what people find"
                .to_string(),
        ));
    }
    let directory = args.state.clone();
    let directory = directory.unwrap_or_else(|| args.root.join(".mirrorwatch"));
    let stored = Stored::load::<T>(&labels, &args.scan, &directory, &args.run)?;
    let (state, summary) = (&stored.state, stored.summary()?);
    let account = stored.account(&labels, args.scan.levels())?;
    let Some(channel) = state.evidence.channels.first() else {
        return Err(DaemonError::Option(format!(
            "there are no scores of run {}; let `watch` scan a checkpoint first",
            args.run
        )));
    };
    let suspects = most_suspicious(&account, &channel.train, args.suspects as usize);
    // Drawn at random already; the first are as good as any.
    let null = &labels.trusted[..labels.trusted.len().min(args.null as usize)];

    let run = args.root.join(&args.run);
    let mut found = checkpoints::list(&run)?;
    if args.checkpoints > 0 {
        let surplus = found.len().saturating_sub(args.checkpoints as usize);
        found.drain(..surplus);
    }
    if found.is_empty() {
        return Err(DaemonError::Option(format!(
            "{} holds no checkpoint any more; keep more of them with the hook's `keep`",
            run.display()
        )));
    }
    let (layers, layers_name) = args.layers.layers();
    let options = ConfirmOptions {
        layers,
        inverse: InverseOptions {
            damping: args.damping,
            iterations: args.iterations as usize,
            ..InverseOptions::default()
        },
        candidates: args.candidates as usize,
        seed: config.seed,
        ..ConfirmOptions::default()
    };
    let mut confirm = Confirm::new(&labels, &suspects, null, options);
    let bar = ProgressBar::new((confirm.work() * found.len()) as u64);
    let forward = SweepOptions {
        device: &config.device,
        batch_size: config.batch_size,
        progress: &|samples| bar.inc(samples as u64),
        cancel: &AtomicBool::new(false),
    };
    let mut looked_at = Vec::with_capacity(found.len());
    for found in &found {
        let opened = match checkpoints::read(found) {
            Ok(opened) => opened,
            // Retention may have come since the listing.
            Err(error) => {
                tracing::warn!("checkpoint left out: {error}");
                continue;
            }
        };
        let at = (opened.epoch, opened.step, opened.sha256.clone());
        let model = Opened::model(opened, task, &config.device)?;
        looked_at.push(record_of(at, &confirm.add(task, &model, &forward)?));
    }
    bar.finish_and_clear();
    if looked_at.is_empty() {
        return Err(DaemonError::Option(format!(
            "no checkpoint of {} could be read",
            run.display()
        )));
    }
    let confirmation = confirm.finish();
    let stage_one: Vec<f32> = suspects.iter().map(|&i| channel.train[i]).collect();
    let chances: Vec<f32> = suspects
        .iter()
        .map(|&i| account.wrong_probability[i])
        .collect();
    let found = verdicts(&confirmation, (&stage_one, &chances));
    let mut looks = Vec::with_capacity(suspects.len());
    for (place, stage_two) in confirmation.suspects.iter().enumerate() {
        let verdict = found.suspects[place];
        looks.push(SecondLook {
            id: task.id(stage_two.index),
            given: labels.train[stage_two.index],
            suggested: channel.suggested[stage_two.index] as usize,
            verdict: verdict.verdict,
            p_value: verdict.p_value,
            score: found.fused[place],
            ..look(stage_two, &labels)
        });
    }
    looks.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    let count = |verdict: Verdict| looks.iter().filter(|l| l.verdict == verdict).count();
    let record = ConfirmRecord {
        schema: CONFIRM_SCHEMA,
        run: args.run.clone(),
        fingerprint: state.fingerprint.clone(),
        epoch: summary.epoch,
        step: summary.step,
        layers: layers_name.to_string(),
        null_samples: confirmation.null.len(),
        checkpoints: looked_at,
        confirmed: count(Verdict::Confirmed),
        cleared: count(Verdict::Cleared),
        undecided: count(Verdict::Undecided),
        agreement: mirrorwatch_stats::ranking::spearman(&stage_one, &found.scores),
        suspects: looks,
    };
    let path = state_path(&directory, &args.run);
    let results = path.parent().unwrap_or(&directory);
    write(results, &record)?;
    print(&if args.json {
        format!("{}\n", serde_json::json!(record))
    } else {
        text(results, &record)
    });
    Ok(())
}

/// Reads `confirm.json` of a run's result directory; none when there is none.
///
/// # Errors
///
/// A file that cannot be read or is of another version.
///
/// ```
/// assert_eq!(mirrorwatch_daemon::confirm::read("nowhere".as_ref())?, None);
/// # Ok::<(), mirrorwatch_daemon::DaemonError>(())
/// ```
pub fn read(results: &Path) -> Result<Option<ConfirmRecord>, DaemonError> {
    let path = results.join("confirm.json");
    if !path.exists() {
        return Ok(None);
    }
    let schema = |record: &ConfirmRecord| record.schema;
    read_record(&path, schema, CONFIRM_SCHEMA, "confirm again").map(Some)
}

/// The suspects, most suspicious first; at most `amount`, unless that is 0.
fn most_suspicious(account: &Account, scores: &[f32], amount: usize) -> Vec<usize> {
    let mut suspects: Vec<usize> = (0..account.flags.len())
        .filter(|&i| account.flags[i])
        .collect();
    suspects.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    if amount > 0 {
        suspects.truncate(amount);
    }
    suspects
}

fn record_of((epoch, step, sha256): (u64, u64, String), solved: &Solved) -> LookedAt {
    LookedAt {
        epoch,
        step,
        weights_sha256: sha256,
        iterations: solved.iterations,
        residual: solved.residual,
        damping: solved.damping,
        stopped: solved.stopped.to_string(),
    }
}

fn look(found: &StageTwo, labels: &Labels) -> SecondLook {
    let records = |neighbours: &[Neighbour], labels: &[usize]| {
        let mut records = Vec::with_capacity(neighbours.len());
        for neighbour in neighbours {
            records.push(NeighbourRecord {
                index: neighbour.index,
                label: labels[neighbour.index],
                cosine: neighbour.cosine,
            });
        }
        records
    };
    SecondLook {
        index: found.index,
        id: String::new(),
        given: 0,
        suggested: 0,
        verdict: Verdict::Undecided,
        p_value: None,
        score: 0.0,
        tracin: found.tracin,
        cosine: found.cosine,
        influence: found.influence,
        self_influence: found.self_influence,
        support: found.support,
        opponents: records(&found.opponents, &labels.probe),
        proponents: records(&found.proponents, &labels.train),
    }
}

fn write(results: &Path, record: &ConfirmRecord) -> Result<(), DaemonError> {
    let mut rows = Vec::with_capacity(record.suspects.len());
    for look in &record.suspects {
        rows.push(Row {
            index: look.index,
            id: look.id.clone(),
            given: look.given,
            suggested: look.suggested,
            verdict: look.verdict.name().to_string(),
            p_value: look.p_value,
            score: look.score,
            tracin: look.tracin,
            cosine: look.cosine,
            influence: look.influence,
            self_influence: look.self_influence,
            support: look.support,
        });
    }
    let path = results.join("confirm.csv");
    write_atomic(&path, &csv_bytes(&rows, &path)?)?;
    let path = results.join("confirm.json");
    write_atomic(&path, &json_bytes(record, &path)?)?;
    Ok(())
}

fn text(results: &Path, record: &ConfirmRecord) -> String {
    let mut text = format!(
        "{} suspects: {} confirmed, {} cleared, {} undecided ({} layers, {} checkpoints, {} trusted samples)\n",
        record.suspects.len(),
        record.confirmed,
        record.cleared,
        record.undecided,
        record.layers,
        record.checkpoints.len(),
        record.null_samples,
    );
    if record.null_samples == 0 {
        text.push_str("no verdict without a trusted set: nothing says what exact gradients of a clean training sample look like\n");
    }
    for at in &record.checkpoints {
        text.push_str(&format!(
            "  epoch {}: influence functions by {} iterations ({}), residual {:.1e}, damping {:.1e}\n",
            at.epoch, at.iterations, at.stopped, at.residual, at.damping,
        ));
    }
    text.push_str(&format!(
        "{}: every suspect with its opponents and proponents\n",
        results.join("confirm.json").display()
    ));
    text
}
