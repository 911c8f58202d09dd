//! `detection`: goes through the cells, and reports.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mirrorwatch_daemon::refusal::Run;

use crate::cell::{Places, run as run_cell};
use crate::grid::Cell;
use crate::options::{Options, State};
use crate::phases::Phase;
use crate::progress::Progress;
use crate::promises;
use crate::record::{Checkpoint, Record};
use crate::report::{Summary, brief, markdown};
use crate::store::Store;

/// Runs the cells that are not done and writes the report.
///
/// # Errors
///
/// No cell of such a name, results that cannot be written, or a cell that failed.
pub fn run(options: &Options) -> Result<(), String> {
    let cells = options.cells();
    if cells.is_empty() {
        return Err("no cell has such a name; see --list".to_string());
    }
    let store = Store::new(&options.out);
    let directories = options.directories();
    let data = |cell: &Cell| directories.get(cell.dataset.name).copied();
    if options.list {
        for cell in &cells {
            let state = match options.state(&store, cell, data(cell)) {
                State::Done => String::from("done"),
                State::ToDo => String::from("to do"),
                State::Skipped(why) => format!("skipped: {why}"),
            };
            println!("{:<50} {state}", cell.name());
        }
        return Ok(());
    }
    // Fails only when the pool exists already, and it does not yet.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global();
    let progress = Progress::new(cells.len());
    let (mut missing, mut failed) = (Vec::new(), 0);
    for cell in &cells {
        let name = cell.name();
        match options.state(&store, cell, data(cell)) {
            State::Done => progress.end(&format!("{name}: done before")),
            State::Skipped(why) => {
                progress.end(&format!("{name}: skipped: {why}"));
                missing.push(format!("{name}: skipped: {why}"));
            }
            State::ToDo => match one(options, &store, cell, data(cell), &progress) {
                Ok(line) => progress.end(&line),
                Err(why) => {
                    failed += 1;
                    progress.end(&format!("{name}: failed: {why}"));
                    missing.push(format!("{name}: failed: {why}"));
                }
            },
        }
        // After every cell: whoever interrupts finds a report of what is done.
        report(&store, &cells, &missing)?;
    }
    progress.close();
    for path in report(&store, &cells, &missing)? {
        println!("{}", path.display());
    }
    if failed > 0 {
        return Err(format!("{failed} of {} cells failed", cells.len()));
    }
    if options.check {
        return check(&store, &cells);
    }
    Ok(())
}

/// Holds every cell that was run against what is promised.
fn check(store: &Store, cells: &[Cell]) -> Result<(), String> {
    let mut broken = Vec::new();
    for cell in cells {
        match store.load(cell) {
            Some(record) => broken.extend(promises::broken(&record)),
            None => broken.push(format!("{}: it was not run", cell.name())),
        }
    }
    if broken.is_empty() {
        println!("{} cells keep what is promised", cells.len());
        return Ok(());
    }
    Err(format!("promises are broken\n  {}", broken.join("\n  ")))
}

fn one(
    options: &Options,
    store: &Store,
    cell: &Cell,
    data: Option<&Path>,
    progress: &Progress,
) -> Result<String, String> {
    let start = Instant::now();
    let name = cell.name();
    let export = options.export.then(|| store.export(cell));
    let work = store.work(cell);
    let places = Places {
        data,
        work: &work,
        export: export.as_deref(),
    };
    let record = run_cell(cell, &places, &|what| progress.tell(&name, what))?;
    store.save(&record)?;
    Ok(format!(
        "{name}: {:.0} s; {}",
        start.elapsed().as_secs_f64(),
        sentence(&record)
    ))
}

/// What a cell found, in a line.
fn sentence(record: &Record) -> String {
    let Some(last) = record.at(Phase::Memorised) else {
        return String::from("nothing");
    };
    let mut parts = Vec::new();
    for name in ["mirrorwatch", "loss"] {
        if let Some(auroc) = last.ranks.get(name).and_then(|rank| rank.auroc) {
            parts.push(format!("{name} AUROC {auroc:.3}"));
        }
    }
    for count in &last.counts {
        parts.push(format!(
            "{}: {} suspects, {} of {} found, bound {:.3} of {:.3}",
            count.setting.name(),
            count.suspects,
            count.found,
            count.wrong,
            count.lower_bound,
            count.noise_ratio
        ));
    }
    if record.settings.budget.is_some() {
        parts.push(format!(
            "a checkpoint costs {:.2} forward sweeps on average and reads {:.3} of the samples",
            mean(record, |c| c.scan_seconds * c.read / c.base_sweep_seconds),
            mean(record, |c| c.read)
        ));
    }
    let run = Run {
        best_accuracy: 0.0,
        probe_noises: record.checkpoints.iter().map(|c| c.probe_noise).collect(),
    };
    let most = run.probe_noises.iter().copied().fold(0.0, f64::max);
    parts.push(format!(
        "wrong in the probe, at least: {:.3} by two checkpoints, {most:.3} by one",
        run.probe_noise()
    ));
    parts.join("; ")
}

/// The mean of a figure over a cell's checkpoints, those that were left out with 0.
fn mean(record: &Record, of: impl Fn(&Checkpoint) -> f64) -> f64 {
    let sum: f64 = record.checkpoints.iter().map(of).sum();
    sum / (record.checkpoints.len() + record.waited).max(1) as f64
}

/// Writes the report over everything that is there; returns where.
fn report(store: &Store, cells: &[Cell], missing: &[String]) -> Result<Vec<PathBuf>, String> {
    let records = store.all();
    let mut absent = missing.to_vec();
    for cell in cells {
        let name = cell.name();
        let told = missing.iter().any(|m| m.starts_with(&format!("{name}:")));
        if !told && !records.iter().any(|record| record.name == name) {
            absent.push(format!("{name}: not run yet"));
        }
    }
    let summary = Summary::new(&records, absent);
    let json = serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?;
    Ok(vec![
        store.report("detection.json", &json)?,
        store.report("detection.md", &markdown(&summary))?,
        store.report("detection-brief.md", &brief(&summary))?,
    ])
}
