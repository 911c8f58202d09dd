//! The daemon: threads, their beginning and their end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use mirrorwatch_checkpoint::{remove_abandoned, remove_temporaries, write_atomic};
use mirrorwatch_influence::{Divided, Labels, Task};

use crate::api::guard::Guard;
use crate::audit::desk::Desk;
use crate::claim::Claim;
use crate::dividing;
use crate::ending;
use crate::error::DaemonError;
use crate::hub::Hub;
use crate::intake::{Intake, Job, Unhooked};
use crate::live;
use crate::metrics::{Metrics, STAGES};
use crate::options::{WatchArgs, rehearsed};
use crate::pages::{Pages, takes_posts};
use crate::queue::Queue;
use crate::runs::{Runs, fingerprint};
use crate::samples::TaskSamples;
use crate::sources::Sources;
use crate::supervisor::{Link, reporting};
use crate::watch::{self, WatchOptions};
use crate::web;
use crate::worker::{Apart, Attempts, Worker};

/// Silence of the scanning loop beyond that of a scan, before the daemon is not healthy.
const MORE_PATIENCE: Duration = Duration::from_secs(60);
/// How often the main thread looks whether there is reason to end.
const TICK: Duration = Duration::from_millis(200);
/// How often it looks for reviews that commands have written.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the daemon until a signal or, if so asked, until all runs are finished.
///
/// Returns whether every checkpoint that was taken could be scanned.
///
/// # Errors
///
/// Anything that keeps it from starting: unusable data or options, a port in use, a directory
/// that cannot be written.
///
/// ```no_run
#[doc = include_str!("example_task.txt")]
/// # use clap::Parser;
/// use mirrorwatch_daemon::{WatchArgs, run};
///
/// # #[derive(Parser)]
/// # struct Cli {
/// #     #[command(flatten)]
/// #     watch: WatchArgs,
/// # }
/// let all_was_scanned = run(Line, &Cli::parse().watch)?;
/// assert!(all_was_scanned);
/// # Ok::<(), mirrorwatch_daemon::DaemonError>(())
/// ```
pub fn run<T: Task>(task: T, args: &WatchArgs) -> Result<bool, DaemonError> {
    run_linked(task, args, None)
}

/// Like [`run`], with the link to a supervisor, where there is one.
pub(crate) fn run_linked<T: Task>(
    task: T,
    args: &WatchArgs,
    link: Option<Arc<Link>>,
) -> Result<bool, DaemonError> {
    let config = args.scan.config::<T>()?;
    // Before the data, which may take a while: a mistake in it is told at once.
    let web = web::load(args)?;
    dividing::check(args, &config)?;
    let task = Divided::new(task, args.shard);
    let labels = Arc::new(Labels::read(&task)?);
    rehearsed(&task, &labels, &config)?;
    if args.leak_probes > 0 && !labels.has_classes() {
        return Err(DaemonError::Option(
            "--leak-probes is for tasks with classes: leaks are told by logits".to_string(),
        ));
    }
    let artifacts = args.artifacts()?;
    watch::prepare_root(&args.root)?;
    let state = args.state();
    let spool = state.join("spool");
    let _claim = prepare_state(&state, &spool)?;

    let hub = Arc::new(Hub::new(args.expire_hours * 3600.0));
    let metrics = Arc::new(
        Metrics::with_limits(hub.clone(), args.limits())
            .map_err(|error| DaemonError::Option(error.to_string()))?,
    );
    if let Some(link) = &link {
        metrics.scanner_restarts.inc_by(link.restarts);
    }
    let queue: Arc<Queue<Job>> = Arc::new(Queue::default());
    let evidence = fingerprint(&labels, &config.estimators, config.folds, config.seed);
    let runs = Arc::new(Runs::new(
        &state,
        evidence,
        &config.estimators,
        &labels,
        hub.clone(),
    ));
    let turns = dividing::turns(args, &state, &labels, &config, task.whole())?;
    if let Some(division) = args.shard {
        metrics
            .register_shard(division.index, division.count)
            .map_err(|error| DaemonError::Option(error.to_string()))?;
    }
    let cancel = Arc::new(AtomicBool::new(false));
    let scan_timeout = Duration::from_secs(args.scan_timeout);

    let server = match &link {
        Some(link) => web::adopt(link.listener().map_err(cannot_listen)?, args, web.as_ref())?,
        None => web::bind(args, web.as_ref())?,
    };
    let scheme = web::scheme(web.as_ref());
    let task = Arc::new(task);
    let sources = Sources::read(task.as_ref(), labels.train.len());
    let desk = Arc::new(Desk {
        runs: runs.clone(),
        hub: hub.clone(),
        samples: Arc::new(TaskSamples {
            task: task.clone(),
            labels: labels.clone(),
        }),
        labels: labels.clone(),
        levels: args.scan.levels(),
        seen: std::sync::Mutex::default(),
    });
    let pages = Pages {
        hub: hub.clone(),
        metrics: metrics.clone(),
        runs: runs.clone(),
        desk: desk.clone(),
        guard: Guard {
            when: args.enable_review,
            loopback: web::is_loopback(server.local_addr()),
            web: web.clone(),
        },
        watch_patience: 3 * args.rescan() + Duration::from_secs(30),
        scan_patience: scan_timeout + MORE_PATIENCE,
    };
    let handle = server.with_posts(takes_posts).start(move |request| {
        if let Some(web) = &web {
            let good = web.last_reload_successful();
            pages.metrics.web_config_good.set(good.into());
        }
        pages.answer(request)
    })?;
    let address = handle.local_addr();
    tracing::info!(
        "watching {} ({} training, {} probe, {} trusted samples, {} classes); metrics on {scheme}://{address}/metrics",
        args.root.display(),
        labels.train.len(),
        labels.probe.len(),
        labels.trusted.len(),
        labels.classes
    );
    if let Some(file) = &args.listen_file {
        write_atomic(file, address.to_string().as_bytes())?;
    }

    let worker = Worker {
        sources,
        task,
        labels,
        config,
        levels: args.scan.levels(),
        budget: args.budget,
        consumed_only: args.consumed_only,
        write_scores: args.write_scores,
        leak_probes: args.leak_probes as usize,
        turns,
        queue: queue.clone(),
        runs: runs.clone(),
        metrics: metrics.clone(),
        hub: hub.clone(),
        cancel: cancel.clone(),
        apart: Apart::new(scan_timeout, cancel.clone(), hub.clone()).supervised(link.clone()),
        attempts: Attempts::continued(&state),
        parameters: OnceLock::new(),
        by_itself: link.is_some(),
    };
    let intake = Intake {
        root: args.root.clone(),
        unhooked: Unhooked::new(artifacts, Duration::from_secs(args.artifacts_quiet_seconds)),
        spool,
        limit: dividing::queue_limit(args),
        max_bytes: args.max_checkpoint_bytes(),
        queue: queue.clone(),
        runs: runs.clone(),
        metrics: metrics.clone(),
        hub: hub.clone(),
        taken: std::collections::BTreeMap::new(),
        root_missing: false,
    };
    let watching = WatchOptions {
        rescan: args.rescan(),
        poll: args.poll,
    };
    let (stop, stopped) = bounded::<()>(0);
    let watcher = {
        let hub = hub.clone();
        spawn("mirrorwatch-watch", move || {
            watch::run(intake, watching, &hub, &stopped)
        })?
    };
    let scanner = spawn("mirrorwatch-scan", move || worker.run())?;
    let fetcher = dividing::fetch(args, cancel.clone())?;
    let (dark, darkened) = bounded::<()>(0);
    let view = {
        let (hub, runs) = (hub.clone(), runs.clone());
        spawn("mirrorwatch-view", move || {
            live::follow(&hub, &runs, &darkened)
        })?
    };

    let signalled = match &link {
        Some(link) => {
            link.begin();
            ending::follow_signals(link.asked.clone());
            link.asked.clone()
        }
        None => ending::of(args),
    };
    let reporter = match &link {
        Some(link) => Some(reporting::start(
            link.clone(),
            hub.clone(),
            metrics.clone(),
        )?),
        None => None,
    };
    let linger = Duration::from_secs(args.linger_seconds);
    let mut done_since: Option<Instant> = None;
    let mut looked = Instant::now();
    while !signalled.load(Ordering::Relaxed) {
        if args.until_finished && all_done(&hub, &queue) {
            // Counted from the last time anything changed: a run may be taken up again.
            if done_since.get_or_insert_with(Instant::now).elapsed() >= linger {
                tracing::info!("all runs have finished and everything is scanned");
                break;
            }
        } else {
            done_since = None;
        }
        let silence = hub.silence().1;
        if let Some(link) = &link
            && silence > scan_timeout + MORE_PATIENCE
        {
            link.start_again(&format!("scanning stopped {} s ago", silence.as_secs()));
        }
        if looked.elapsed() >= LOOK {
            desk.look();
            looked = Instant::now();
        }
        std::thread::sleep(TICK);
    }
    cancel.store(true, Ordering::Relaxed);
    queue.close();
    drop(stop);
    let threads = [
        ("watching", Some(watcher)),
        ("scanning", Some(scanner)),
        ("fetching", fetcher),
    ];
    for (name, thread) in threads.into_iter().filter_map(|(name, t)| Some((name, t?))) {
        if thread.join().is_err() {
            tracing::error!("the {name} thread had panicked");
        }
    }
    runs.save_all();
    drop(dark);
    if view.join().is_err() {
        tracing::error!("the viewing thread had panicked");
    }
    handle.shutdown(Duration::from_secs(5));
    drop(reporter);
    Ok(failures(&metrics) == 0)
}

pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, DaemonError> {
    std::thread::Builder::new()
        .name(name.to_string())
        .spawn(work)
        .map_err(|error| DaemonError::Option(format!("cannot start the thread {name}: {error}")))
}

fn cannot_listen(error: std::io::Error) -> DaemonError {
    DaemonError::Option(format!("cannot go on listening: {error}"))
}

fn prepare_state(state: &Path, spool: &Path) -> Result<Option<Claim>, DaemonError> {
    std::fs::create_dir_all(spool).map_err(|error| DaemonError::Write {
        path: state.to_path_buf(),
        message: error.to_string(),
    })?;
    let claim = Claim::on(state)?;
    // Fails now, with a clear message, and not at the first result.
    write_atomic(
        state.join("daemon.pid"),
        std::process::id().to_string().as_bytes(),
    )?;
    match claim.is_some() {
        true => remove_temporaries(spool)?,
        false => remove_abandoned(spool)?,
    };
    Ok(claim)
}

fn all_done(hub: &Hub, queue: &Queue<Job>) -> bool {
    let runs = hub.runs();
    // The queue is looked at last: intake fills it before it calls a run settled.
    !runs.is_empty() && runs.values().all(|view| view.settled) && queue.is_idle()
}

fn failures(metrics: &Metrics) -> u64 {
    let mut failures = 0;
    for stage in STAGES {
        if let Ok(counter) = metrics.failures.get_metric_with_label_values(&[stage]) {
            failures += counter.get();
        }
    }
    failures
}
