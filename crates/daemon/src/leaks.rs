//! `leaks`: probe samples that the model was trained on, or nearly.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use indicatif::ProgressBar;
use mirrorwatch_checkpoint::write_atomic;
use mirrorwatch_influence::exact::Exact;
use mirrorwatch_influence::leaks::{LeakOptions, Pair, leaks, work};
use mirrorwatch_influence::{Labels, Layers, SweepOptions, Task};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::index;
use serde::{Deserialize, Serialize};

use crate::checkpoints;
use crate::error::DaemonError;
use crate::once::print;
use crate::options::ScanOptions;
use crate::printable::printable;
use crate::results::{json_bytes, read_record};

/// Version of [`LeakRecord`] as JSON.
pub const LEAKS_SCHEMA: u32 = 1;

/// Options of `leaks`.
#[derive(Debug, Clone, Args)]
pub struct LeakArgs {
    /// A run's directory (its newest checkpoint is taken), a manifest, or a burnpack or safetensors file
    pub checkpoint: PathBuf,

    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// Write the JSON to this file, too
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Look at N probe samples, drawn by the seed; 0 = all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub probes: u32,

    /// Stand-out from which a pair counts as the same sample, in [0, 1]
    #[arg(long, value_name = "S", default_value_t = 0.8, value_parser = share)]
    pub threshold: f64,

    /// Random changes of the weights in the prefilter; each costs a sweep of both sets
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub sketches: u32,

    /// Nearest training samples of a probe sample; the last says how near samples are that are no copies
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub candidates: u32,

    /// How many pairs to print
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,

    /// What the computation does
    #[command(flatten)]
    pub scan: ScanOptions,
}

/// What was found at a checkpoint.
///
/// ```
/// # use mirrorwatch_daemon::leaks::{LeakRecord, LeakedPair};
/// # let pair = LeakedPair {
/// #     probe: 27, train: 3, train_id: "3".into(), view: 0, score: 1.0, sketch: 1.0, step: 1.0,
/// #     probe_label: 1, train_label: 1,
/// # };
/// # let record = LeakRecord {
/// #     schema: 1, epoch: 3, step: 471, weights_sha256: String::new(), probes: 500, samples: 200, threshold: 0.8,
/// #     leaked_probes: 1, pairs: vec![pair],
/// # };
/// let json = serde_json::to_value(&record)?;
/// assert_eq!((&json["leaked_probes"], &json["pairs"][0]["train"]), (&1.into(), &3.into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeakRecord {
    /// [`LEAKS_SCHEMA`] when it was written.
    pub schema: u32,
    /// Epoch of the checkpoint.
    pub epoch: u64,
    /// Optimizer step of it.
    pub step: u64,
    /// SHA-256 of its weights; empty for a bare file.
    pub weights_sha256: String,
    /// Probe samples that were looked at.
    pub probes: usize,
    /// Training samples that each was compared with.
    pub samples: usize,
    /// Stand-out from which a pair is listed.
    pub threshold: f64,
    /// Probe samples with at least one pair.
    pub leaked_probes: usize,
    /// All pairs from the threshold on, most alike first.
    pub pairs: Vec<LeakedPair>,
}

/// A probe sample and a training sample that are the same to the model.
///
/// ```
/// # use mirrorwatch_daemon::leaks::{LeakRecord, LeakedPair};
/// # let pair = LeakedPair {
/// #     probe: 27, train: 3, train_id: "3".into(), view: 0, score: 1.0, sketch: 1.0, step: 1.0,
/// #     probe_label: 1, train_label: 1,
/// # };
/// # let record = LeakRecord {
/// #     schema: 1, epoch: 3, step: 471, weights_sha256: String::new(), probes: 500, samples: 200, threshold: 0.8,
/// #     leaked_probes: 1, pairs: vec![pair],
/// # };
/// let leaked = &record.pairs[0];
/// assert!((leaked.probe, leaked.train) == (27, 3) && leaked.score >= record.threshold);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeakedPair {
    /// Position in the probe set.
    pub probe: usize,
    /// Position in the training set.
    pub train: usize,
    /// Name of the training sample, from the task.
    pub train_id: String,
    /// The view of the probe sample that is alike; 0 = the sample as it is.
    pub view: usize,
    /// How far the training sample stands out among those that are near, in [0, 1]; 1 for copies.
    pub score: f64,
    /// How alike random changes of the weights move both, in [-1, 1].
    pub sketch: f64,
    /// How alike a step on the probe sample moves both, in [-1, 1].
    pub step: f64,
    /// Label of the probe sample.
    pub probe_label: usize,
    /// Given label of the training sample.
    pub train_label: usize,
}

/// Looks for leaks and prints them; `false` when there are some.
///
/// # Errors
///
/// Unusable options, data or checkpoint, or a file that cannot be written.
///
/// ```
#[doc = include_str!("example_task.txt")]
/// use clap::Parser;
/// use mirrorwatch_daemon::leaks::{LeakArgs, run};
///
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     args: LeakArgs,
/// }
/// // There is no such checkpoint.
/// assert!(run(&Line, &Cli::parse_from(["my-sidecar", "runs/none"]).args).is_err());
/// ```
pub fn run<T: Task>(task: &T, args: &LeakArgs) -> Result<bool, DaemonError> {
    let config = args.scan.config::<T>()?;
    let labels = Labels::read(task)?;
    let opened = checkpoints::open(&args.checkpoint)?;
    let (epoch, step, sha256) = (opened.epoch, opened.step, opened.sha256.clone());
    let model = opened.model(task, &config.device)?;
    let options = LeakOptions {
        sketches: args.sketches as usize,
        candidates: args.candidates as usize,
        threshold: args.threshold,
        seed: config.seed,
        ..LeakOptions::default()
    };
    let probes = drawn(labels.probe.len(), args.probes as usize, config.seed);
    let bar = ProgressBar::new(work(&labels, probes.len(), &options) as u64);
    let forward = SweepOptions {
        device: &config.device,
        batch_size: config.batch_size,
        progress: &|samples| bar.inc(samples as u64),
        cancel: &AtomicBool::new(false),
    };
    let record = LeakRecord {
        epoch,
        step,
        weights_sha256: sha256,
        ..look(task, &model, &labels, &probes, &options, &forward)?
    };
    bar.finish_and_clear();
    if let Some(path) = &args.out {
        write_atomic(path, &json_bytes(&record, path)?)?;
    }
    print(&if args.json {
        format!("{}\n", serde_json::json!(record))
    } else {
        text(task, &record, args.top)
    });
    Ok(record.pairs.is_empty())
}

/// Where the sidecar keeps what it has found, in the directory of a run's results.
///
/// ```
/// use mirrorwatch_daemon::leaks;
///
/// assert!(leaks::path("state/runs/mnist".as_ref()).ends_with("mnist/leaks.json"));
/// ```
pub fn path(results: &Path) -> PathBuf {
    results.join("leaks.json")
}

/// Looks for `probes` in the training set of a task.
///
/// # Errors
///
/// Samples that cannot be read, or cancellation.
///
/// ```
#[doc = include_str!("example_task.txt")]
/// use std::sync::atomic::AtomicBool;
/// use mirrorwatch_influence::{Labels, SweepOptions, leaks::LeakOptions};
///
/// let device = mirrorwatch_daemon::backend::device("flex")?;
/// let cancel = AtomicBool::new(false);
/// let forward = SweepOptions { device: &device, batch_size: 500, progress: &|_| (), cancel: &cancel };
/// let (model, labels) = (Line.model(&device), Labels::read(&Line)?);
/// let probes = [0, 100, 499];
/// let record = mirrorwatch_daemon::leaks::look(&Line, &model, &labels, &probes, &LeakOptions::default(), &forward)?;
/// assert_eq!((record.probes, record.samples), (3, 200));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn look<T: Task>(
    task: &T,
    model: &T::Model,
    labels: &Labels,
    probes: &[usize],
    options: &LeakOptions,
    forward: &SweepOptions<'_>,
) -> Result<LeakRecord, DaemonError> {
    let quiet = SweepOptions {
        progress: &|_| (),
        ..*forward
    };
    let exact = Exact::new(task, model, labels, Layers::All, &quiet)?;
    let near = leaks(task, model, labels, &exact, probes, options, forward)?;
    let (pairs, leaked_probes) = alike(task, labels, &near);
    Ok(LeakRecord {
        schema: LEAKS_SCHEMA,
        epoch: 0,
        step: 0,
        weights_sha256: String::new(),
        probes: probes.len(),
        samples: labels.train.len(),
        threshold: options.threshold,
        leaked_probes,
        pairs,
    })
}

/// Reads what `--out` has written.
///
/// # Errors
///
/// A file that cannot be read, is none, or is of another version.
///
/// ```
/// # use mirrorwatch_daemon::leaks::{LeakRecord, LeakedPair};
/// # let pair = LeakedPair {
/// #     probe: 27, train: 3, train_id: "3".into(), view: 0, score: 1.0, sketch: 1.0, step: 1.0,
/// #     probe_label: 1, train_label: 1,
/// # };
/// # let record = LeakRecord {
/// #     schema: 1, epoch: 3, step: 471, weights_sha256: String::new(), probes: 500, samples: 200, threshold: 0.8,
/// #     leaked_probes: 1, pairs: vec![pair],
/// # };
/// use mirrorwatch_daemon::leaks;
///
/// # let directory = tempfile::tempdir()?;
/// let path = leaks::path(directory.path());
/// std::fs::write(&path, serde_json::to_string(&record)?)?;
/// assert_eq!(leaks::read(&path)?, record);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: &Path) -> Result<LeakRecord, DaemonError> {
    let schema = |record: &LeakRecord| record.schema;
    read_record(path, schema, LEAKS_SCHEMA, "look for leaks again")
}

/// `amount` of the probe samples, or all of them for 0, ascending.
///
/// ```
/// use mirrorwatch_daemon::leaks::drawn;
///
/// assert_eq!(drawn(3, 0, 7), [0, 1, 2]);
/// let some = drawn(1000, 10, 7);
/// assert!(some.len() == 10 && some.is_sorted() && some == drawn(1000, 10, 7));
/// ```
pub fn drawn(probe: usize, amount: usize, seed: u64) -> Vec<usize> {
    if amount == 0 || amount >= probe {
        return (0..probe).collect();
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut drawn = index::sample(&mut rng, probe, amount).into_vec();
    drawn.sort_unstable();
    drawn
}

/// The pairs from the threshold on, most alike first, and how many probe samples have one.
fn alike<T: Task>(task: &T, labels: &Labels, near: &[Vec<Pair>]) -> (Vec<LeakedPair>, usize) {
    let mut pairs = Vec::new();
    let mut leaked = 0;
    for near in near {
        let before = pairs.len();
        for pair in near {
            let Some(step) = pair.step else { continue };
            pairs.push(LeakedPair {
                probe: pair.probe,
                train: pair.train,
                train_id: task.id(pair.train),
                view: pair.view,
                score: pair.stand_out,
                sketch: pair.sketch,
                step,
                probe_label: labels.probe[pair.probe],
                train_label: labels.train[pair.train],
            });
        }
        leaked += usize::from(pairs.len() > before);
    }
    pairs.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.probe.cmp(&b.probe)));
    (pairs, leaked)
}

fn text<T: Task>(task: &T, record: &LeakRecord, top: usize) -> String {
    let mut text = format!(
        "{} of {} probe samples are in the training set of {} or nearly (stand-out {} and more)\n",
        record.leaked_probes, record.probes, record.samples, record.threshold,
    );
    for pair in record.pairs.iter().take(top) {
        text.push_str(&format!(
            "  probe {:>6} ({})  training {:>8} ({})  stand-out {:.3}  sketch {:.3}  step {:.3}\n",
            pair.probe,
            printable(&task.class_name(pair.probe_label)),
            printable(&pair.train_id),
            printable(&task.class_name(pair.train_label)),
            pair.score,
            pair.sketch,
            pair.step,
        ));
    }
    text
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must be a number from 0 to 1".to_string()),
    }
}
