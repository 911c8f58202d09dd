//! What `watch` does otherwise where samples are divided among several sidecars, or checkpoints come from a store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mirrorwatch_influence::score::{self, Score};
use mirrorwatch_influence::{Labels, ScanConfig};
use mirrorwatch_shards::{Store, ship::Fetcher};

use crate::daemon::spawn;
use crate::error::DaemonError;
use crate::options::WatchArgs;
use crate::turns::{Turns, common};

/// Checkpoints that may wait for a shard that does not choose which one is next.
const FOLLOWING: usize = 64;
/// Between two looks for checkpoints in a store.
const LOOK: Duration = Duration::from_secs(2);

/// Makes sure that the options go together.
///
/// # Errors
///
/// Says which do not, and what to do.
pub(crate) fn check(args: &WatchArgs, config: &ScanConfig) -> Result<(), DaemonError> {
    if args.shard.is_none() {
        return Ok(());
    }
    let refused = |what: &str| {
        Err(DaemonError::Option(format!(
            "--shard does not go with {what}"
        )))
    };
    if args.budget.is_some() {
        return refused(
            "--budget: a shard that leaves a checkpoint out would keep the others waiting; start more shards",
        );
    }
    if args.leak_probes > 0 {
        return refused(
            "--leak-probes: leaks are looked for in the whole training set; use `leaks`",
        );
    }
    for estimator in &config.estimators {
        // The others are centred by means over the training set, which a shard does not have.
        if estimator.score != score::After.name() {
            return refused(&format!(
                "the estimator {estimator}: its score looks at other samples; choose one that ends in :after"
            ));
        }
    }
    Ok(())
}

/// The shard's seat, if there is one.
///
/// # Errors
///
/// A place to meet that cannot be used.
pub(crate) fn turns(
    args: &WatchArgs,
    state: &Path,
    labels: &Labels,
    config: &ScanConfig,
    whole: usize,
) -> Result<Option<Turns>, DaemonError> {
    let (Some(division), Some(place)) = (args.shard, &args.meet) else {
        return Ok(None);
    };
    let run = common(labels, config, args.scan.levels(), whole);
    tracing::info!(
        "shard {} of {}: {} of {whole} training samples; meeting the others at {place}",
        division.index,
        division.count,
        labels.train.len()
    );
    Turns::open(place, division, state, run, whole).map(Some)
}

/// How many checkpoints of a run may wait.
pub(crate) fn queue_limit(args: &WatchArgs) -> usize {
    match args.shard {
        // It scans what the first shard says, however far it is behind.
        Some(division) if division.index > 0 => FOLLOWING,
        _ => args.queue as usize,
    }
}

/// Fetches checkpoints until `cancel` is set, where that is asked for.
///
/// # Errors
///
/// A place that cannot be used.
pub(crate) fn fetch(
    args: &WatchArgs,
    cancel: Arc<AtomicBool>,
) -> Result<Option<JoinHandle<()>>, DaemonError> {
    let Some(place) = &args.fetch else {
        return Ok(None);
    };
    let store = Store::open(place)?;
    let mut fetcher = Fetcher::new(&args.root).with_max_bytes(args.max_checkpoint_bytes());
    let thread = spawn("mirrorwatch-fetch", move || {
        let mut said = String::new();
        while !cancel.load(Ordering::Relaxed) {
            let problem = match fetcher.fetch(&store) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            };
            if problem != said {
                match problem.as_str() {
                    "" => tracing::info!("checkpoints are fetched again"),
                    problem => tracing::warn!("{problem}; trying again"),
                }
                said = problem;
            }
            std::thread::sleep(LOOK);
        }
    })?;
    Ok(Some(thread))
}
