//! `verify`: does mirrored influence hold for this task, at this checkpoint?

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use mirrorwatch_influence::exact::Exact;
use mirrorwatch_influence::verify::{
    FirstOrder, LENGTHS, Mirror, MirrorOptions, RetrainOptions, first_order, mirror, mirror_work,
    planted,
};
use mirrorwatch_influence::{Labels, Layers, SweepOptions, Task};
use mirrorwatch_stats::bootstrap::Interval;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::index;
use serde::Serialize;

use crate::checkpoints;
use crate::error::DaemonError;
use crate::once::print;
use crate::options::ScanOptions;

/// Version of [`Verdict`] as JSON.
const SCHEMA: u32 = 1;

/// Group correlation from which the hypothesis counts as holding; its interval must lie above [`LEAST_GROUPS`].
const GROUPS: f64 = 0.8;
/// Lower end that the interval of the group correlation must reach.
const LEAST_GROUPS: f64 = 0.5;
/// How often a planted wrong label must score above a right one, in every fold.
const PLANTED: f64 = 0.8;

/// Options of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A run's directory (its newest checkpoint is taken), a manifest, or a burnpack or safetensors file
    pub checkpoint: PathBuf,

    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// Training samples whose forward change is compared with their gradient
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(3..))]
    pub samples: u32,

    /// Groups of training samples that are left out of a short training each
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(4..))]
    pub groups: u32,

    /// Training samples that the short trainings see
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub retrain_samples: u32,

    /// Passes of a short training
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub retrain_epochs: u32,

    /// Learning rate of the short trainings (Adam)
    #[arg(long, value_name = "RATE", default_value_t = 3e-4)]
    pub retrain_rate: f64,

    /// Where the short trainings start
    #[arg(long, value_name = "START", default_value = "checkpoint")]
    pub retrain_from: Start,

    /// What the computation does; the first --estimator is the one whose planted labels are looked at
    #[command(flatten)]
    pub scan: ScanOptions,
}

/// Where short trainings start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Start {
    /// At the checkpoint: what would the group's absence change from here on?
    Checkpoint,
    /// At a fresh model, which has seen no sample; takes more passes.
    Fresh,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Verdict {
    schema: u32,
    epoch: u64,
    step: u64,
    weights_sha256: String,
    /// Whether all parts hold.
    holds: bool,
    first_order: FirstOrderRecord,
    groups: GroupsRecord,
    /// Null for a task without classes, for which no wrong label can be made up.
    planted: Option<PlantedRecord>,
}

#[derive(Debug, Serialize)]
struct FirstOrderRecord {
    holds: bool,
    samples: usize,
    /// Step lengths as shares of the weights' length.
    lengths: Vec<LengthRecord>,
    /// The linear range, both ends in it.
    range: Option<[f64; 2]>,
    /// The length of that range at which agreement is best.
    chosen: Option<f64>,
}

#[derive(Debug, Serialize)]
struct LengthRecord {
    length: f64,
    pearson: Option<f64>,
    spearman: Option<f64>,
    slope: Option<f64>,
    linear: bool,
}

#[derive(Debug, Serialize)]
struct GroupsRecord {
    holds: bool,
    groups: usize,
    samples_per_group: Vec<usize>,
    pearson: Option<f64>,
    /// 95 %.
    pearson_interval: Option<[f64; 2]>,
    spearman: Option<f64>,
    spearman_interval: Option<[f64; 2]>,
    pairs: Vec<PairRecord>,
}

#[derive(Debug, Serialize)]
struct PairRecord {
    group: usize,
    class: usize,
    train_to_test: f64,
    test_to_train: f64,
}

#[derive(Debug, Serialize)]
struct PlantedRecord {
    holds: bool,
    estimator: String,
    /// AUROC per probe fold.
    auroc: Vec<f64>,
}

/// Verifies and prints the verdict; `false` when the hypothesis does not hold.
///
/// # Errors
///
/// Unusable options, data or checkpoint.
pub fn run<T: Task>(task: &T, args: &VerifyArgs) -> Result<bool, DaemonError> {
    let config = args.scan.config::<T>()?;
    let labels = Labels::read(task)?;
    let opened = checkpoints::open(&args.checkpoint)?;
    let (epoch, step, sha256) = (opened.epoch, opened.step, opened.sha256.clone());
    let model = opened.model(task, &config.device)?;
    let mut options = MirrorOptions {
        samples: args.retrain_samples as usize,
        groups: args.groups as usize,
        targets: 10,
        retrain: RetrainOptions {
            epochs: args.retrain_epochs as usize,
            rate: args.retrain_rate,
            seed: config.seed,
            ..RetrainOptions::default()
        },
        length: LENGTHS[0],
        seed: config.seed,
    };
    let bar = ProgressBar::new(mirror_work(&labels, &options) as u64);
    let cancel = AtomicBool::new(false);
    let quiet = SweepOptions {
        device: &config.device,
        batch_size: config.batch_size,
        progress: &|_| (),
        cancel: &cancel,
    };
    let exact = Exact::new(task, &model, &labels, Layers::All, &quiet)?;
    let first = first_order(
        task,
        &model,
        &labels,
        &exact,
        &drawn(&labels, args.samples as usize, config.seed),
        &quiet,
    )?;
    options.length = first.chosen().map_or(LENGTHS[2], |at| at.length);
    let start = match args.retrain_from {
        Start::Fresh => {
            config.device.seed(config.seed);
            task.model(&config.device)
        }
        Start::Checkpoint => model.clone(),
    };
    let told = SweepOptions {
        progress: &|samples| bar.inc(samples as u64),
        ..quiet
    };
    let mirrored = mirror(task, (&start, &model), &labels, &exact, &options, &told)?;
    bar.finish_and_clear();
    let estimator = &config.estimators[0];
    let folds = (config.folds, config.seed);
    let planted = match labels.has_classes() {
        true => Some(planted(task, &model, &labels, estimator, folds, &quiet)?),
        false => None,
    };

    let verdict = Verdict {
        schema: SCHEMA,
        epoch,
        step,
        weights_sha256: sha256,
        holds: false,
        first_order: first_order_record(&first),
        groups: groups_record(&mirrored),
        planted: planted.map(|planted| PlantedRecord {
            holds: planted.least() >= PLANTED,
            estimator: planted.estimator.clone(),
            auroc: planted.folds,
        }),
    };
    let planted = verdict.planted.as_ref().is_none_or(|p| p.holds);
    let holds = verdict.first_order.holds && verdict.groups.holds && planted;
    let verdict = Verdict { holds, ..verdict };
    print(&if args.json {
        format!("{}\n", serde_json::json!(verdict))
    } else {
        text(&verdict)
    });
    Ok(holds)
}

/// Training samples that have a label, drawn without replacement.
fn drawn(labels: &Labels, amount: usize, seed: u64) -> Vec<usize> {
    let mut rng = StdRng::seed_from_u64(seed);
    let labelled = labels.labelled();
    let drawn = index::sample(&mut rng, labelled.len(), amount.min(labelled.len()));
    let mut samples: Vec<usize> = drawn.into_iter().map(|place| labelled[place]).collect();
    samples.sort_unstable();
    samples
}

fn first_order_record(found: &FirstOrder) -> FirstOrderRecord {
    let mut lengths = Vec::with_capacity(found.lengths.len());
    for at in &found.lengths {
        lengths.push(LengthRecord {
            length: at.length,
            pearson: at.pearson,
            spearman: at.spearman,
            slope: at.slope,
            linear: at.is_linear(),
        });
    }
    let range = found.linear_range();
    FirstOrderRecord {
        holds: range.is_some(),
        samples: found.samples,
        lengths,
        range: range.map(|range| [range[0].length, range[range.len() - 1].length]),
        chosen: found.chosen().map(|at| at.length),
    }
}

fn groups_record(found: &Mirror) -> GroupsRecord {
    let ends = |interval: Option<Interval>| interval.map(|i| [i.low, i.high]);
    let mut pairs = Vec::with_capacity(found.pairs.len());
    for pair in &found.pairs {
        pairs.push(PairRecord {
            group: pair.group,
            class: pair.class,
            train_to_test: pair.train_to_test,
            test_to_train: pair.test_to_train,
        });
    }
    GroupsRecord {
        holds: found.pearson.is_some_and(|r| r >= GROUPS)
            && found
                .pearson_interval
                .is_some_and(|i| i.low >= LEAST_GROUPS),
        groups: found.group_sizes.len(),
        samples_per_group: found.group_sizes.clone(),
        pearson: found.pearson,
        pearson_interval: ends(found.pearson_interval),
        spearman: found.spearman,
        spearman_interval: ends(found.spearman_interval),
        pairs,
    }
}

/// The verdict for people.
fn text(verdict: &Verdict) -> String {
    let word = |holds: bool| if holds { "holds" } else { "FAILS" };
    let number = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.3}"));
    let ends = |ends: Option<[f64; 2]>| {
        ends.map_or("-".to_string(), |[low, high]| {
            format!("{low:.2} to {high:.2}")
        })
    };
    let mut text = String::new();
    let first = &verdict.first_order;
    text.push_str(&format!(
        "1 first order: {}\n  change of the loss along a step against exact gradients, {} training samples\n  {:>8}  {:>8}  {:>8}  {:>8}\n",
        word(first.holds),
        first.samples,
        "length",
        "pearson",
        "spearman",
        "slope",
    ));
    for at in &first.lengths {
        text.push_str(&format!(
            "  {:>8.0e}  {:>8}  {:>8}  {:>8}{}\n",
            at.length,
            number(at.pearson),
            number(at.spearman),
            number(at.slope),
            if at.linear { "  linear" } else { "" },
        ));
    }
    let groups = &verdict.groups;
    text.push_str(&format!(
        "2 mirrored influence: {}\n  {} groups left out of a short training against a step on each of the probe's classes, {} pairs; mean over classes\n  pearson {} (95 %: {}), spearman {} (95 %: {})\n",
        word(groups.holds),
        groups.groups,
        groups.pairs.len(),
        number(groups.pearson),
        ends(groups.pearson_interval),
        number(groups.spearman),
        ends(groups.spearman_interval),
    ));
    text.push_str(&match &verdict.planted {
        Some(planted) => {
            let folds: Vec<String> = planted.auroc.iter().map(|f| format!("{f:.3}")).collect();
            format!(
                "3 planted wrong labels: {}\n  told from right ones on held-out probe samples by {}: auroc {} ({PLANTED} is needed in every fold)\n",
                word(planted.holds),
                planted.estimator,
                folds.join(", "),
            )
        }
        None => "3 planted wrong labels: not asked\n  none can be made up for a task without classes; plant some yourself and name them as canaries\n".to_string(),
    });
    text.push_str(if verdict.holds {
        "yes: mirrored influence holds for this task at this checkpoint\n"
    } else if verdict.planted.as_ref().is_some_and(|p| !p.holds) {
        "no: what one part of the probe teaches does not fit the rest of it; check the probe's labels, or take a later checkpoint\n"
    } else if !verdict.first_order.holds {
        "no: forward changes are not what gradients say at any step length; the model may not be smooth here or may compute in low precision\n"
    } else {
        "no: groups that matter to the probe are not clearly those that the probe matters to; a model that has memorised hardly answers to what it lacks: take an earlier checkpoint, or --retrain-from fresh with more --retrain-epochs. Counts keep their guarantee, which is the null's\n"
    });
    text
}
