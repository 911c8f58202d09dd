//! Options of the sidecar's command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mirrorwatch_checkpoint::Artifacts;
use mirrorwatch_influence::{Division, Estimator, Labels, ScanConfig, Task, rehearse, score};

use crate::account::{Levels, no_null};
use crate::backend;
use crate::budget::Budget;
use crate::courtesy;
use crate::error::DaemonError;
use crate::metrics::Limits;

mod parse;

use parse::{above_zero, division, open_unit, up_to_half};

/// What a scan computes, and on what.
#[derive(Debug, Clone, Args)]
pub struct ScanOptions {
    /// Estimator as DIRECTION or DIRECTION:SCORE; may be repeated, the first one counts
    ///
    /// Directions: gradient, margin, margin-last-layer, finetune, shrink-finetune, inverse-hessian, per-class. Scores:
    /// after, delta, counterfactual, counterfactual-relative. Only `after` is valid without a trusted set.
    #[arg(long = "estimator", value_name = "NAME", default_values_t = [String::from("finetune")])]
    pub estimators: Vec<String>,

    /// Probe folds: forks per direction, no fork judges what it learnt from
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=20))]
    pub folds: u32,

    /// False-discovery rate of the suspects
    #[arg(long, value_name = "Q", default_value_t = 0.1, value_parser = open_unit)]
    pub fdr: f64,

    /// Chance that the lower bound is too high
    #[arg(long, value_name = "ALPHA", default_value_t = 0.05, value_parser = up_to_half)]
    pub alpha: f64,

    /// Judge a sample by null samples of its own given label where there are at least N; 0 = one null for all
    ///
    /// Keeps hard classes from being over-reported, and needs a larger null: with 100 null samples of a
    /// class nobody is named until about a tenth of all samples can be.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub per_class_null: u32,

    /// Samples in a forward batch
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: u32,

    /// Seed of folds and minibatch order; evidence of another seed is not continued
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Device to compute on: flex, ndarray, tch, tch:cuda, tch:cuda:N, tch:mps or wgpu
    ///
    /// A build has those whose cargo features (flex, ndarray, tch, wgpu) were turned on; another one is refused
    /// with a list of what there is.
    #[arg(long, value_name = "NAME", default_value = backend::default_name())]
    pub device: String,

    /// Threads to compute with; 0 = one per core, and one for every two cores where `watch` runs beside a training.
    /// libtorch has its own: set OMP_NUM_THREADS for it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// Nice value to compute at, so that the training beside it comes first; 0 = as started
    ///
    /// A process that is nicer already stays so. Where there is nothing else to compute, nothing gets slower.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i32).range(0..=i64::from(courtesy::MOST)))]
    pub nice: i32,
}

impl ScanOptions {
    /// Checks the options and turns them into a configuration.
    ///
    /// # Errors
    ///
    /// An estimator or device that does not exist.
    ///
    /// ```
    #[doc = include_str!("example_task.txt")]
    /// # use clap::Parser;
    /// # use mirrorwatch_daemon::ScanOptions;
    /// # #[derive(Parser)]
    /// # struct Cli {
    /// #     #[command(flatten)]
    /// #     args: ScanOptions,
    /// # }
    /// let options = Cli::parse_from(["my-sidecar", "--estimator", "margin", "--folds", "4"]).args;
    /// let config = options.config::<Line>()?;
    /// assert_eq!((config.estimators[0].to_string(), config.folds), ("margin:counterfactual".to_string(), 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn config<T: Task>(&self) -> Result<ScanConfig, DaemonError> {
        Ok(ScanConfig {
            estimators: self.estimators::<T>()?,
            folds: self.folds as usize,
            batch_size: self.batch_size as usize,
            seed: self.seed,
            device: backend::device(&self.device)?,
        })
    }

    /// The estimators, each once.
    ///
    /// # Errors
    ///
    /// An unknown one.
    pub(crate) fn estimators<T: Task>(&self) -> Result<Vec<Estimator>, DaemonError> {
        let mut estimators = Vec::new();
        for name in &self.estimators {
            let estimator = Estimator::parse::<T>(name)?;
            if !estimators.contains(&estimator) {
                estimators.push(estimator);
            }
        }
        Ok(estimators)
    }

    /// The levels to count at.
    ///
    /// ```
    /// # use clap::Parser;
    /// # use mirrorwatch_daemon::ScanOptions;
    /// # #[derive(Parser)]
    /// # struct Cli {
    /// #     #[command(flatten)]
    /// #     args: ScanOptions,
    /// # }
    /// let levels = Cli::parse_from(["my-sidecar", "--fdr", "0.2"]).args.levels();
    /// assert_eq!((levels.fdr, levels.alpha, levels.per_class), (0.2, 0.05, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn levels(&self) -> Levels {
        Levels {
            fdr: self.fdr,
            alpha: self.alpha,
            per_class: (self.per_class_null > 0).then_some(self.per_class_null as usize),
        }
    }
}

/// Checks that the estimators suit the task, and tries the task on two samples.
///
/// # Errors
///
/// What is wrong, before anything is waited for.
pub fn rehearsed<T: Task>(
    task: &T,
    labels: &Labels,
    config: &ScanConfig,
) -> Result<(), DaemonError> {
    for estimator in &config.estimators {
        estimator.check::<T>(labels)?;
    }
    if let Some(first) = config.estimators.first()
        && labels.trusted.is_empty()
        && !score::by_name(&first.score)?.held_out_null()
    {
        return Err(DaemonError::Option(no_null(first)));
    }
    Ok(rehearse(task, labels, &config.device)?)
}

/// How the daemon watches and serves.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Directory that holds one directory per run; made if it does not exist
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub root: PathBuf,

    /// Watch a training that has no hook: the artifact directory of Burn's own learner, or any other with checkpoints
    /// in it; may be repeated
    ///
    /// Checkpoints are looked for in DIR and in DIR/checkpoint. The run is named NAME, or after the directory. The
    /// training has to keep checkpoints (`with_default_checkpointers`); they are taken before it deletes them.
    #[arg(long = "artifacts", value_name = "[NAME=]DIR")]
    pub artifacts: Vec<String>,

    /// File names of checkpoints in --artifacts, without extension (.bpk or .safetensors)
    #[arg(long, value_name = "PATTERN", default_value = "model-{epoch}")]
    pub artifacts_pattern: String,

    /// A run of --artifacts counts as finished when no checkpoint came for this long: nothing else tells
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub artifacts_quiet_seconds: u64,

    /// Directory for evidence and results [default: ROOT/.mirrorwatch]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Address of /metrics and the pages; one that is not loopback needs --web.config.file
    #[arg(
        long = "web.listen-address",
        visible_alias = "listen",
        value_name = "ADDR",
        default_value = "127.0.0.1:9464"
    )]
    pub listen: String,

    /// File with TLS, users and headers, as Prometheus exporters have it; read again when it changes
    ///
    /// The format is docs/web-configuration.md of prometheus/exporter-toolkit; `promtool check web-config` checks
    /// it. Only HTTP/1.1 is served, and TLS from 1.2.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config: Option<PathBuf>,

    /// Let everybody read who reaches an address that is not loopback
    #[arg(long = "web.allow-insecure")]
    pub allow_insecure: bool,

    /// When reviews are taken over HTTP
    ///
    /// `auto`: from who logged in, and on a loopback address from whoever opens the page at an address or as
    /// localhost. Without a value: `always`.
    #[arg(
        long = "web.enable-review",
        value_name = "WHEN",
        default_value = "auto",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always"
    )]
    pub enable_review: Reviewing,

    /// Write the address that is really listened on to this file (useful with port 0)
    #[arg(long, value_name = "FILE")]
    pub listen_file: Option<PathBuf>,

    /// What a scan may cost: a share of a forward sweep over the training set (0.5), or seconds (20s) [default: no limit]
    ///
    /// The first scan of a run reads everything. Later ones read as many samples as the budget allows: half of them in
    /// turn, so that everyone is looked at again, and half where it is undecided whether they are suspects. Where it
    /// allows too few, a checkpoint is left out and its share saved. Counts stay valid; with less read, fewer suspects
    /// are named and the bound is lower.
    #[arg(long, value_name = "BUDGET")]
    pub budget: Option<Budget>,

    /// Read only the samples that training has consumed since the last scan, where its hook says which (`Hook::consumed`).
    ///
    /// For data that comes as a stream, or that a run takes days to go through once. The others keep what they have, as
    /// under a budget. Where it is not known what was consumed, everything is read.
    #[arg(long, conflicts_with_all = ["budget", "shard"])]
    pub consumed_only: bool,

    /// Give a scan up that gives no sign of life for this long, and go on with the next checkpoint
    ///
    /// Each batch of samples is a sign of life. For a task that waits for a disk or a device that does not answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    pub scan_timeout: u64,

    /// Let the process that scans have this much memory of its own, in MiB [default: no limit]
    ///
    /// A scan that asks for more ends that process, which is started again; a checkpoint that does so five times is given
    /// up. Files that are mapped are not counted, stacks are: 2 MiB a thread.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    pub memory_limit_mib: Option<u64>,

    /// Scan in the process that serves metrics: what ends a scan by a crash ends both
    ///
    /// Without it, a small process keeps the address, answers while the one that scans is being started again, and
    /// starts it.
    #[arg(long)]
    pub single_process: bool,

    /// Waiting checkpoints of a live run before the oldest gives way to the newest
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub queue: u32,

    /// List the directory again after this long even when nothing was heard
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub rescan_seconds: u64,

    /// Do without file-system events (network mounts): list every 2 s or --rescan-seconds if less
    #[arg(long)]
    pub poll: bool,

    /// Largest weights file that is read, or fetched, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 16 * 1024)]
    pub max_checkpoint_mib: u64,

    /// Forget a run's metrics after this many hours without a sign of life from its training
    #[arg(long, value_name = "HOURS", default_value_t = 24.0, value_parser = above_zero)]
    pub expire_hours: f64,

    /// Export suspects by given and suggested class, the N largest pairs; 0 = none
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub class_metrics: u32,

    /// Export suspects by source, the N most conspicuous sources; 0 = none
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub source_metrics: u32,

    /// Look for N probe samples in the training set, at the 1st, 2nd, 4th, 8th … scanned checkpoint; 0 = never
    ///
    /// Costs nine sweeps of the training set each time, where a scan costs three.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub leak_probes: u32,

    /// Be shard I of N, counted from 0: judge only this shard's samples, together with the others.
    ///
    /// All shards watch the same checkpoints, take the same options and meet at the place that --meet names. Counts are
    /// those of all, lists those of the shard; `mirrorwatch unite` puts lists and evidence together. Each needs a
    /// --state of its own. See docs/sharding.md.
    #[arg(long, value_name = "I/N", value_parser = division, requires = "meet")]
    pub shard: Option<Division>,

    /// Where shards meet: a directory that all of them share, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX. Empty at first.
    #[arg(long, value_name = "PLACE", requires = "shard")]
    pub meet: Option<String>,

    /// Fetch checkpoints from this place into --root, where `mirrorwatch ship` has put them.
    ///
    /// A directory, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.
    #[arg(long, value_name = "PLACE")]
    pub fetch: Option<String>,

    /// Write the scores of all samples beside the suspects
    #[arg(long)]
    pub write_scores: bool,

    /// Exit when all runs have finished and everything is scanned; 1 if a checkpoint failed
    #[arg(long)]
    pub until_finished: bool,

    /// With --until-finished, serve the last count for this long before exiting, so that Prometheus sees it
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        requires = "until_finished"
    )]
    pub linger_seconds: u64,

    /// Exit when standard input closes, as it does when the process that started this one ends
    #[arg(long)]
    pub exit_on_stdin_close: bool,

    /// What the log looks like
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// What the computation does
    #[command(flatten)]
    pub scan: ScanOptions,
}

impl WatchArgs {
    /// Where evidence and results are kept.
    ///
    /// ```
    /// # use clap::Parser;
    /// # use mirrorwatch_daemon::WatchArgs;
    /// # #[derive(Parser)]
    /// # struct Cli {
    /// #     #[command(flatten)]
    /// #     args: WatchArgs,
    /// # }
    /// let args = Cli::parse_from(["my-sidecar", "--root", "trainings"]).args;
    /// assert!(args.state().ends_with("trainings/.mirrorwatch"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn state(&self) -> PathBuf {
        self.state
            .clone()
            .unwrap_or_else(|| self.root.join(".mirrorwatch"))
    }

    /// The directories of trainings without a hook.
    ///
    /// # Errors
    ///
    /// A name that cannot be a run's, the same one twice, or a pattern that recognises nothing.
    ///
    /// ```
    /// # use clap::Parser;
    /// # use mirrorwatch_daemon::WatchArgs;
    /// # #[derive(Parser)]
    /// # struct Cli {
    /// #     #[command(flatten)]
    /// #     args: WatchArgs,
    /// # }
    /// let args = Cli::parse_from(["my-sidecar", "--artifacts", "mnist=out/7"]).args;
    /// assert_eq!(args.artifacts()?[0].run(), "mnist");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn artifacts(&self) -> Result<Vec<Artifacts>, DaemonError> {
        let mut all: Vec<Artifacts> = Vec::with_capacity(self.artifacts.len());
        for text in &self.artifacts {
            let (name, directory) = match text.split_once('=') {
                Some((name, directory)) => (Some(name), directory),
                None => (None, text.as_str()),
            };
            let artifacts = Artifacts::new(directory, name, &self.artifacts_pattern)?;
            if all.iter().any(|other| other.run() == artifacts.run()) {
                return Err(DaemonError::Option(format!(
                    "two --artifacts are the run {}; name one of them NAME={directory}",
                    artifacts.run()
                )));
            }
            all.push(artifacts);
        }
        Ok(all)
    }

    /// How many series may have labels that come from data.
    ///
    /// ```
    /// # use clap::Parser;
    /// # use mirrorwatch_daemon::WatchArgs;
    /// # #[derive(Parser)]
    /// # struct Cli {
    /// #     #[command(flatten)]
    /// #     args: WatchArgs,
    /// # }
    /// let limits = Cli::parse_from(["my-sidecar", "--class-metrics", "20"]).args.limits();
    /// assert_eq!((limits.class_pairs, limits.sources), (20, 50));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limits(&self) -> Limits {
        Limits {
            class_pairs: self.class_metrics as usize,
            sources: self.source_metrics as usize,
            follows: self.shard.is_some_and(|division| division.index > 0),
        }
    }

    /// How long to wait between two listings.
    ///
    /// ```
    /// # use clap::Parser;
    /// # use mirrorwatch_daemon::WatchArgs;
    /// # #[derive(Parser)]
    /// # struct Cli {
    /// #     #[command(flatten)]
    /// #     args: WatchArgs,
    /// # }
    /// let seconds = |more: &[&str]| Cli::parse_from([&["my-sidecar"], more].concat()).args.rescan().as_secs();
    /// assert_eq!((seconds(&[]), seconds(&["--poll"])), (30, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rescan(&self) -> Duration {
        let seconds = if self.poll {
            self.rescan_seconds.min(2)
        } else {
            self.rescan_seconds
        };
        Duration::from_secs(seconds)
    }

    /// The largest weights that are read.
    pub(crate) fn max_checkpoint_bytes(&self) -> u64 {
        self.max_checkpoint_mib.saturating_mul(1 << 20)
    }
}

/// When reviews are taken over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reviewing {
    /// Where it is known who writes, or only this machine can.
    Auto,
    /// From everybody who may read.
    Always,
    /// From nobody.
    Never,
}

/// How log lines are written.
///
/// ```
/// use clap::ValueEnum;
/// use mirrorwatch_daemon::LogFormat;
///
/// assert_eq!(LogFormat::from_str("json", false), Ok(LogFormat::Json));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
