//! One cell, from its data to its record.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mirrorwatch::stock::Net;
use mirrorwatch_daemon::budget::{Budget, Cost, Plan};
use mirrorwatch_daemon::evidence::Evidence;
use mirrorwatch_daemon::part;
use mirrorwatch_daemon::refusal::{Run, probe_noise};
use mirrorwatch_daemon::sources::Sources;
use mirrorwatch_influence::{Memory, scan_next};

use crate::count::Counter;
use crate::export;
use crate::grid::Cell;
use crate::methods::{self, Moment, OutOfSample, Trained};
use crate::phases::{Phase, is_scanned};
use crate::product::Product;
use crate::record::{Checkpoint, FORMAT, Record, Seconds};
use crate::setup::Setup;
use crate::train::Trainer;

/// Noises for which every annotator's count is of interest: one to blame, and nobody to blame.
const WITH_SOURCES: [&str; 2] = ["none", "annotator:"];

/// Where a cell finds its data and puts what it writes.
pub struct Places<'a> {
    /// Directory of the data set; none where it is built in.
    pub data: Option<&'a Path>,
    /// Directory for files that are needed meanwhile.
    pub work: &'a Path,
    /// Directory for outputs and labels, for other programs; none where they are not wanted.
    pub export: Option<&'a Path>,
}

/// What is known of a training after its last epoch.
pub struct Watched {
    checkpoints: Vec<Checkpoint>,
    /// The model at each of them.
    pub models: Vec<Net>,
    /// The product's evidence at the end, with the trusted set.
    pub evidence: Evidence,
    /// The margins of the training samples at each of them, with its epoch.
    margins: Vec<(usize, Vec<f32>)>,
    /// Checkpoints that were left out to keep to the budget.
    waited: usize,
    seconds: Seconds,
}

/// Runs a cell; `tell` is told what is being done.
///
/// # Errors
///
/// What kept it from its end, in words.
pub fn run(cell: &Cell, places: &Places<'_>, tell: &dyn Fn(&str)) -> Result<Record, String> {
    let start = Instant::now();
    tell("data");
    let setup = Setup::new(cell, places.data, places.work)?;
    let product = Product::new(&cell.settings.also)?;
    let mut watched = watch(cell, &setup, &product, tell)?;
    let accuracies: Vec<f64> = watched
        .checkpoints
        .iter()
        .map(|checkpoint| checkpoint.probe_accuracy)
        .collect();
    let phases: Vec<(Phase, usize)> = Phase::ALL
        .map(|phase| (phase, phase.checkpoint(&accuracies)))
        .to_vec();

    tell("out-of-sample");
    let after = Instant::now();
    let best = watched.checkpoints[Phase::Best.checkpoint(&accuracies)].epoch;
    let out_of_sample = OutOfSample::new(&setup, &cell.settings, best)?;
    watched.seconds.out_of_sample = after.elapsed().as_secs_f64();
    tell("slow methods");
    let after = Instant::now();
    let trained = Trained {
        setup: &setup,
        settings: &cell.settings,
        models: phases
            .iter()
            .map(|&(phase, position)| {
                let epoch = watched.checkpoints[position].epoch;
                (phase, epoch, &watched.models[position])
            })
            .collect(),
        margins: &watched.margins,
        out_of_sample: &out_of_sample,
    };
    let once = methods::once(&trained)?;
    let slow = methods::slow(&trained)?;
    if let Some(directory) = places.export {
        export::write(directory, &trained)?;
    }
    watched.seconds.after = after.elapsed().as_secs_f64();
    watched.seconds.total = start.elapsed().as_secs_f64();
    Ok(Record {
        format: FORMAT,
        settings: cell.settings.clone(),
        name: cell.name(),
        group: cell.group(),
        revision: crate::revision(),
        product: product.describe(),
        threads: rayon::current_num_threads(),
        samples: setup.wrong.len(),
        wrong: setup.wrong.iter().filter(|wrong| **wrong).count(),
        probe: setup.labels.probe.len(),
        trusted: setup.labels.trusted.len(),
        classes: setup.labels.classes,
        checkpoints: watched.checkpoints,
        waited: watched.waited,
        phases: phases.into_iter().collect(),
        once,
        slow,
        seconds: watched.seconds,
    })
}

/// Trains, and scans as the sidecar would.
///
/// # Errors
///
/// What kept it from its end, in words.
pub fn watch(
    cell: &Cell,
    setup: &Setup,
    product: &Product,
    tell: &dyn Fn(&str),
) -> Result<Watched, String> {
    let settings = &cell.settings;
    let (samples, probe) = (setup.labels.train.len(), setup.labels.probe.len());
    let own = || Evidence::new(&product.config.estimators[..product.own], samples, probe);
    let budget = settings.budget.as_deref().map(str::parse::<Budget>);
    let budget = budget.transpose()?;
    let mut config = product.config.clone();
    if budget.is_some() {
        // What others cost is not the product's.
        config.estimators.truncate(product.own);
    }
    let (mut costs, mut waited) = (Vec::<Cost>::new(), 0);
    // Where nobody has verified anything, the product scans and weighs as if there were no trusted set.
    let (mut trusting, mut untrusting) = (own(), own());
    let untrusted = setup.untrusted();
    let mut all = Evidence::new(&config.estimators, samples, probe);
    let counter = Counter {
        setup,
        levels: product.levels,
        sources: WITH_SOURCES
            .iter()
            .any(|noise| settings.noise.starts_with(noise))
            .then(|| Sources::read(&setup.task, samples)),
    };
    let mut run: Option<Run> = None;
    let mut memory = Memory::default();
    let mut watched = Watched {
        checkpoints: Vec::new(),
        models: Vec::new(),
        evidence: trusting.clone(),
        margins: Vec::new(),
        waited: 0,
        seconds: Seconds::default(),
    };
    let mut trainer = Trainer::new(&setup.task, (0..samples).collect(), settings, settings.seed);
    for epoch in 1..=settings.epochs {
        tell(&format!("epoch {epoch} of {}", settings.epochs));
        let start = Instant::now();
        let train_loss = trainer.epoch()?;
        watched.seconds.training += start.elapsed().as_secs_f64();
        if !is_scanned(epoch, settings.epochs) {
            continue;
        }
        let model = trainer.model();
        let plan = budget.map(|budget| budget.plan(&costs, waited, samples));
        if plan == Some(Plan::Wait) {
            waited += 1;
            continue;
        }
        let part = plan.and_then(|plan| {
            let last = watched.checkpoints.last()?.counts.first()?;
            let wrong = (last.estimate * last.scored as f64) as usize;
            let wrong = wrong.max(last.suspects);
            match plan {
                Plan::Wait => None,
                Plan::Read(read) => {
                    part::choose(&trusting, &setup.labels, read, wrong, config.seed)
                }
            }
        });
        let part = part.as_ref();
        let partly = part.map(|part| part.labels(&untrusted));
        let trusted = part.map(|part| part.labels(&setup.labels));
        let labels = partly.as_ref().unwrap_or(&untrusted);
        let read = labels.train.len() - labels.unlabelled.len();
        let scanned = scan_next(
            &setup.task,
            &model,
            labels,
            &config,
            &mut memory,
            &|_| (),
            &AtomicBool::new(false),
        )
        .map_err(|error| error.to_string())?;
        watched.seconds.scans += scanned.seconds;
        let so_far = match run.take() {
            Some(run) => run.and(scanned.probe_accuracy, probe_noise(&scanned)),
            None => Run::new(&scanned),
        };
        let bare = product.own(&scanned);
        let mut fused = bare.clone();
        fused
            .fuse(trusted.as_ref().unwrap_or(&setup.labels))
            .map_err(|error| error.to_string())?;
        for (evidence, scan) in [
            (&mut trusting, &fused),
            (&mut untrusting, &bare),
            (&mut all, &scanned),
        ] {
            evidence
                .add_part(scan, epoch as u64, &setup.labels, part)
                .map_err(|error| error.to_string())?;
        }
        let moment = Moment {
            scan: &scanned,
            product: &trusting,
            all: &all,
        };
        let fitted = scanned.train_margins.iter().filter(|m| **m > 0.0).count();
        watched.checkpoints.push(Checkpoint {
            epoch,
            train_loss,
            probe_loss: scanned.probe_loss,
            probe_accuracy: scanned.probe_accuracy,
            fitted: fitted as f64 / read.max(1) as f64,
            probe_noise: probe_noise(&scanned),
            scan_seconds: scanned.seconds,
            base_sweep_seconds: scanned.base_sweep_seconds,
            read: read as f64 / samples.max(1) as f64,
            choices: fused
                .estimates
                .iter()
                .chain(&scanned.estimates[product.own..])
                .map(|e| (e.estimator.to_string(), e.choices.clone()))
                .collect(),
            ranks: methods::at_checkpoint(setup, &moment),
            counts: counter.counts(&trusting, &untrusting, run.insert(so_far))?,
        });
        costs.push(Cost {
            seconds: scanned.seconds,
            probe_seconds: scanned.probe_seconds,
            base_sweep_seconds: scanned.base_sweep_seconds,
            read,
        });
        watched.models.push(model);
        watched.margins.push((epoch, scanned.train_margins));
    }
    if watched.checkpoints.is_empty() {
        return Err("there is nothing to measure without an epoch".to_string());
    }
    watched.waited = waited;
    watched.evidence = trusting;
    Ok(watched)
}

#[cfg(test)]
#[path = "cell_tests.rs"]
mod tests;
