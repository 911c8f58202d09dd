//! `scan`: one checkpoint, one shot.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use indicatif::ProgressBar;
use mirrorwatch_influence::{Labels, Task, scan, work};

use crate::account::account;
use crate::checkpoints;
use crate::error::DaemonError;
use crate::evidence::Evidence;
use crate::options::{ScanOptions, rehearsed};
use crate::printable::printable;
use crate::refusal::{Run, probe_noise, refusal};
use crate::results;

/// Options of `scan`.
#[derive(Debug, Clone, Args)]
pub struct OnceArgs {
    /// A run's directory (its newest checkpoint is taken), a manifest, or a burnpack or safetensors file
    pub checkpoint: PathBuf,

    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// Write the suspects to this CSV file
    #[arg(long, value_name = "FILE")]
    pub suspects: Option<PathBuf>,

    /// How many suspects to print
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,

    /// What the computation does
    #[command(flatten)]
    pub scan: ScanOptions,
}

/// Scans one checkpoint and prints what it says.
///
/// # Errors
///
/// Unusable options, data or checkpoint, or results that cannot be written.
pub fn run<T: Task>(task: &T, args: &OnceArgs) -> Result<(), DaemonError> {
    let config = args.scan.config::<T>()?;
    let labels = Labels::read(task)?;
    rehearsed(task, &labels, &config)?;
    let opened = checkpoints::open(&args.checkpoint)?;
    let epoch = opened.epoch;
    let model = opened.model(task, &config.device)?;
    let bar = ProgressBar::new(work(&config, &labels) as u64);
    let scanned = scan(
        task,
        &model,
        &labels,
        &config,
        &|samples| bar.inc(samples as u64),
        &AtomicBool::new(false),
    )?;
    bar.finish_and_clear();
    let mut evidence = Evidence::new(&config.estimators, labels.train.len(), labels.probe.len());
    evidence
        .add(&scanned, epoch, &labels)
        .map_err(|error| DaemonError::Option(error.to_string()))?;
    let mut account =
        account(&evidence, &labels, args.scan.levels()).map_err(DaemonError::Option)?;
    let probe_scores = evidence.channels.first().map_or(&[][..], |c| &c.probe);
    let refusal = refusal(&account, &labels, &Run::new(&scanned), probe_scores);
    if refusal.is_some() {
        account.name_nobody();
    }
    evidence.note_flags(&account.flags, epoch);
    let suspects = results::suspects(task, &labels, &evidence, &account);
    if let Some(path) = &args.suspects {
        results::write_suspects(path, &suspects)?;
    }
    let choices = scanned.estimates.first().map_or(&[][..], |e| &e.choices);
    let found = serde_json::json!({
        "epoch": epoch,
        "scored_samples": account.scored.len(),
        "suspects": account.suspects,
        "expected_false_suspects": account.expected_false,
        "hard_suspects": account.hard_suspects(),
        "min_detectable_suspects": account.min_detectable,
        "refusal": refusal,
        "noise_ratio_lower_bound": account.lower_bound,
        "noise_ratio_estimate": account.estimate,
        "null": account.null,
        "null_samples": account.null_samples,
        "estimator": config.estimators.first().map(ToString::to_string),
        "choices": choices,
        "probe_loss": scanned.probe_loss,
        "probe_accuracy": scanned.probe_accuracy,
        "probe_noise_lower_bound": probe_noise(&scanned),
        "scan_seconds": scanned.seconds,
        "base_sweep_seconds": scanned.base_sweep_seconds,
    });
    let mut text = String::new();
    if args.json {
        text.push_str(&found.to_string());
        text.push('\n');
    } else {
        if let Some(refusal) = &refusal {
            text.push_str(&format!("no count: {}\n", refusal.message));
        } else {
            text.push_str(&format!(
                "{} of {} labels are suspicious (at most {:.0} of them expected to be right)\n",
                account.suspects,
                account.scored.len(),
                account.expected_false,
            ));
        }
        text.push_str(&format!(
            "at least {:.1} % are wrong with {:.0} % confidence, best estimate {:.1} %\n{} null of {} samples; {}\n",
            100.0 * account.lower_bound,
            100.0 * (1.0 - args.scan.alpha),
            100.0 * account.estimate,
            account.null.name(),
            account.null_samples,
            choices.join("; "),
        ));
        for suspect in suspects.iter().take(args.top) {
            let labels = match suspect.suggestion() {
                Some(suggested) => format!(
                    "{} -> {}  ",
                    printable(&task.class_name(suspect.given)),
                    printable(&task.class_name(suggested))
                ),
                None => String::new(),
            };
            text.push_str(&format!(
                "  {:>10}  {labels}score {:.2}  p {:.4}  wrong {:.0} %\n",
                printable(&suspect.id),
                suspect.score,
                suspect.p_value,
                100.0 * suspect.wrong_probability,
            ));
        }
    }
    print(&text);
    Ok(())
}

/// Prints what a command was asked for.
pub fn print(text: &str) {
    // A closed pipe (as with `| head`) is no error of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
