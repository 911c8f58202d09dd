//! What `cargo demo` does, in order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mirrorwatch::checkpoint::list_checkpoints;
use mirrorwatch::prelude::Hook;
use mirrorwatch::stock::{Architecture, IdxTask, StockArgs};

use crate::follow::{self, Follower};
use crate::options::Options;
use crate::report;
use crate::retrain;
use crate::sidecar::{self, Sidecar, metric};
use crate::train::{self, Training};
use quickstart::data::{Files, Source};
use quickstart::noise;

const RUN: &str = "demo";
/// Pairs of classes that the sidecar exports: enough to see which are confused.
const CLASS_PAIRS: usize = 20;

/// The data of a demo, with its truth.
pub struct Labels {
    /// Labels that are trained on.
    pub given: Vec<u32>,
    /// Sorted positions of trusted samples.
    pub trusted: Vec<usize>,
    /// Sorted positions of canaries.
    pub canaries: Vec<usize>,
    /// Both, sorted: what the sidecar is told, so that finding it is no merit.
    pub known: Vec<usize>,
    /// Where they differ from the right ones, as far as anyone knows.
    pub wrong: Vec<bool>,
}

/// Runs the demo; returns whether every checkpoint was dealt with.
///
/// # Errors
///
/// What keeps it from running, in words.
pub fn run(options: &Options) -> Result<bool, String> {
    check_writable("--summary", options.summary.as_deref())?;
    check_writable("--suspects", options.suspects.as_deref())?;
    let source = open_source(options)?;
    if options.retrain {
        retrain::check(source.test_labels.len(), options.probe)?;
    }
    let labels = make_labels(options, &source)?;
    let model = options.model.unwrap_or(match source.train.shape().len() {
        1 => Architecture::Mlp,
        _ => Architecture::Cnn,
    });
    let work = work_directory(options)?;
    let files = source
        .write_to(&work.join("data"), &labels.given)
        .map_err(|e| e.to_string())?;
    let stock = stock_args(options, &source, &labels, &files, model, &work)?;
    let task = IdxTask::open(&stock).map_err(|e| e.to_string())?;

    let how = options.break_source.as_ref();
    let broken = how
        .map(|how| train::broken(&task, how, source.classes, options.epochs, options.seed))
        .transpose()?;

    let mut sidecar = Sidecar::start(&sidecar_arguments(options, &stock, &work), &work)?;
    introduce(options, &source, &labels, &sidecar, &work);

    let mut follower = Follower {
        scans: work.join("state/runs").join(RUN).join("scans"),
        wrong: &labels.wrong,
        known: &labels.known,
        seen: BTreeSet::new(),
        checkpoints: Vec::new(),
        sources: Vec::new(),
        onsets: Vec::new(),
    };
    // Fails only when the pool exists already, and it does not yet.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads())
        .build_global();
    let training = Training {
        task: &task,
        model,
        shape: source.train.shape(),
        classes: source.classes,
        epochs: options.epochs,
        lr: options.lr,
        batch_size: options.batch_size,
        seed: options.seed,
        broken,
    };
    let hook = Hook::new(work.join("runs"), RUN);
    let (result, watched) = std::thread::scope(|scope| {
        let trainer = scope.spawn(|| training.run(&work.join("artifacts"), &hook));
        let watched = watch(&mut follower, &mut sidecar, &work, || trainer.is_finished());
        let result = trainer
            .join()
            .unwrap_or_else(|_| Err("training panicked".to_string()));
        (result, watched)
    });
    let model = result?;
    let (scrape, complete) = watched?;
    let retrained = options.retrain.then(|| {
        let arguments = task_arguments(&stock, &work);
        retrain::run(&training, &model, &arguments, &stock, RUN, &work)
    });
    // What was found is told even if the second training fails.
    let (retrained, failed) = match retrained.transpose() {
        Ok(retrained) => (retrained, None),
        Err(error) => (None, Some(error)),
    };
    report::write(
        options,
        &source,
        &labels,
        &follower,
        &scrape,
        retrained.as_ref(),
        &work.join("suspects.png"),
    )?;
    // Without a scan there is nothing to report; the table says so.
    let page = sidecar::command("report", &[RUN], &task_arguments(&stock, &work));
    let page = page.map(|()| work.join("state/runs").join(RUN).join("report/report.html"));
    if let Ok(page) = page {
        say!("report:   {}", page.display());
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if !options.headless {
        say!(
            "\nthe sidecar goes on serving http://{}/ until you press ctrl-c",
            sidecar.address()
        );
        loop {
            sidecar.check()?;
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    Ok(complete)
}

fn open_source(options: &Options) -> Result<Source, String> {
    let mut source = match &options.data {
        Some(directory) => Source::open(directory),
        None => Source::embedded(),
    }
    .map_err(|e| e.to_string())?;
    if let Some(limit) = options.train_limit {
        source.limit(limit).map_err(|e| e.to_string())?;
    }
    Ok(source)
}

fn make_labels(options: &Options, source: &Source) -> Result<Labels, String> {
    let (truth, base) = match &options.truth {
        Some(path) => (
            source.truth(path).map_err(|e| e.to_string())?,
            source.train_labels.clone(),
        ),
        None => (source.train_labels.clone(), source.train_labels.clone()),
    };
    let mut given = options
        .noise()
        .apply(&base, &source.class_names, options.seed);
    if options.trusted == truth.len() {
        return Err(format!(
            "cannot trust all {} training samples, nothing would be left to judge; give --trusted fewer, or 0 for none",
            truth.len()
        ));
    }
    let trusted = noise::trusted(options.trusted, options.seed, &truth, &mut given)
        .map_err(|e| e.to_string())?;
    let wrong = truth.iter().zip(&given).map(|(t, g)| t != g).collect();
    let canaries = noise::canaries(
        options.canaries,
        options.seed,
        &truth,
        &mut given,
        &trusted,
        source.classes as u32,
    );
    let mut known = [trusted.as_slice(), &canaries].concat();
    known.sort_unstable();
    Ok(Labels {
        given,
        trusted,
        canaries,
        known,
        wrong,
    })
}

/// Says before the training, not after it, that there is no place for the summary.
fn check_writable(flag: &str, path: Option<&Path>) -> Result<(), String> {
    let Some(path) = path else {
        return Ok(());
    };
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if directory.is_dir() && !path.is_dir() {
        return Ok(());
    }
    Err(format!(
        "cannot write {}: it is not a file's name in a directory that exists; choose another one with {flag}",
        path.display()
    ))
}

/// A new directory for everything the demo writes.
fn work_directory(options: &Options) -> Result<PathBuf, String> {
    let work = options.work.clone().unwrap_or_else(|| {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        PathBuf::from("target/demo").join(format!("{seconds}-{}", std::process::id()))
    });
    std::fs::create_dir_all(&work).map_err(|error| {
        format!(
            "cannot make {}: {error}; choose another directory with --work",
            work.display()
        )
    })?;
    // Scans of other labels would be taken for this run's.
    if work.join("runs").join(RUN).exists() || work.join("state").exists() {
        return Err(format!(
            "{} holds an earlier run; choose another directory with --work, or remove it",
            work.display()
        ));
    }
    Ok(work)
}

fn stock_args(
    options: &Options,
    source: &Source,
    labels: &Labels,
    files: &Files,
    model: Architecture,
    work: &Path,
) -> Result<StockArgs, String> {
    Ok(StockArgs {
        // Probe inputs and labels are found beside each other.
        data: files
            .test
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default(),
        inputs: Some(files.train.clone()),
        labels: Some(files.train_labels.clone()),
        model,
        probe: options.probe,
        train_limit: Some(labels.given.len()),
        trusted: write_indices(&labels.trusted, &work.join("data/trusted.txt"))?,
        canaries: write_indices(&labels.canaries, &work.join("data/canaries.txt"))?,
        sources: limited_sources(options, source, &work.join("data/sources.txt"))?,
        classes: Some(source.classes),
        class_names: source.class_names.clone(),
        leak_shift: 2,
    })
}

/// The sources of the samples that are left by `--train-limit`; what the sidecar refuses stays as it is.
fn limited_sources(
    options: &Options,
    source: &Source,
    path: &Path,
) -> Result<Option<PathBuf>, String> {
    let Some(from) = &options.sources else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(from)
        .map_err(|error| format!("cannot read {}: {error}", from.display()))?;
    let lines: Vec<&str> = text.lines().collect();
    let samples = source.train.count();
    if lines.len() != source.available() || lines.len() == samples {
        return Ok(Some(from.clone()));
    }
    std::fs::write(path, lines[..samples].join("\n"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(Some(path.to_path_buf()))
}

/// Writes positions of samples one a line; no file when there are none.
fn write_indices(indices: &[usize], path: &Path) -> Result<Option<PathBuf>, String> {
    if indices.is_empty() {
        return Ok(None);
    }
    let mut text = String::new();
    for index in indices {
        text.push_str(&format!("{index}\n"));
    }
    std::fs::write(path, text)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(Some(path.to_path_buf()))
}

fn sidecar_arguments(options: &Options, stock: &StockArgs, work: &Path) -> Vec<String> {
    let mut arguments = vec!["watch".to_string()];
    arguments.extend(task_arguments(stock, work));
    let mut put = |name: &str, value: String| arguments.extend([name.to_string(), value]);
    put("--listen", options.listen.clone());
    put("--threads", options.threads().to_string());
    put("--class-metrics", CLASS_PAIRS.to_string());
    arguments.push("--write-scores".to_string());
    arguments.push("--exit-on-stdin-close".to_string());
    arguments.extend(options.sidecar.iter().cloned());
    arguments
}

/// What every command of the sidecar is told: the data, and where runs and evidence are.
fn task_arguments(stock: &StockArgs, work: &Path) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut put = |name: &str, value: String| arguments.extend([name.to_string(), value]);
    put("--data", stock.data.display().to_string());
    for (name, path) in [
        ("--inputs", &stock.inputs),
        ("--labels", &stock.labels),
        ("--trusted", &stock.trusted),
        ("--canaries", &stock.canaries),
        ("--sources", &stock.sources),
    ] {
        if let Some(path) = path {
            put(name, path.display().to_string());
        }
    }
    let model = match stock.model {
        Architecture::Mlp => "mlp",
        Architecture::Cnn => "cnn",
    };
    put("--model", model.to_string());
    put("--probe", stock.probe.to_string());
    if let Some(limit) = stock.train_limit {
        put("--train-limit", limit.to_string());
    }
    if let Some(classes) = stock.classes {
        put("--classes", classes.to_string());
    }
    put("--class-names", stock.class_names.join(","));
    put("--root", work.join("runs").display().to_string());
    put("--state", work.join("state").display().to_string());
    arguments
}

fn introduce(options: &Options, source: &Source, labels: &Labels, sidecar: &Sidecar, work: &Path) {
    let wrong = labels.wrong.iter().filter(|w| **w).count();
    say!(
        "{} training samples, {wrong} of them with a wrong label ({}); probe of {}, {} trusted",
        labels.given.len(),
        options.noise(),
        options.probe.min(source.test_labels.len()),
        labels.trusted.len(),
    );
    say!(
        "metrics: http://{}/metrics   files: {}\n",
        sidecar.address(),
        work.display()
    );
    say!("{}", follow::HEAD);
}

/// Prints rows until training has ended and every checkpoint is scanned or counted. Returns the
/// last scrape and whether nothing failed.
fn watch(
    follower: &mut Follower<'_>,
    sidecar: &mut Sidecar,
    work: &Path,
    trained: impl Fn() -> bool,
) -> Result<(String, bool), String> {
    loop {
        let ended = trained();
        let before = follower.checkpoints.len();
        follower.poll()?;
        for checkpoint in &follower.checkpoints[before..] {
            say!("{}", follow::row(checkpoint));
        }
        if ended {
            let scrape = sidecar.scrape()?;
            let published = published(work)?;
            let scanned = metric(&scrape, "mirrorwatch_checkpoints_scanned_total");
            let skipped = metric(&scrape, "mirrorwatch_checkpoints_skipped_total");
            let failed = metric(&scrape, "mirrorwatch_checkpoint_failures_total");
            if scanned + skipped + failed >= published
                && follower.checkpoints.len() as f64 >= scanned
            {
                say!(
                    "\n{published} checkpoints published: {scanned} scanned, {skipped} skipped, {failed} failed"
                );
                return Ok((scrape, failed == 0.0));
            }
        }
        sidecar.check()?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How many checkpoints the hook says that it published.
fn published(work: &Path) -> Result<f64, String> {
    let listing = list_checkpoints(work.join("runs"), RUN).map_err(|e| e.to_string())?;
    Ok(listing.status.map_or(0.0, |status| status.published as f64))
}
