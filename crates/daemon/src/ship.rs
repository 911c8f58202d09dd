//! `ship`: sends checkpoints to a store, for sidecars on other machines.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mirrorwatch_checkpoint::{list_checkpoints, list_runs};
use mirrorwatch_shards::{Store, ship::Sender};

use crate::error::DaemonError;

/// What `ship` is told.
#[derive(Debug, Clone, Args)]
pub struct ShipArgs {
    /// The directory that the hook writes to.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub root: PathBuf,

    /// Where to send its checkpoints: a directory, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.
    #[arg(long, value_name = "PLACE")]
    pub to: String,

    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,

    /// End when all runs have finished and everything is sent.
    #[arg(long)]
    pub until_finished: bool,
}

/// Sends until it is stopped, or until all runs have finished where that is asked for.
///
/// # Errors
///
/// A place that cannot be used. Whatever goes wrong later is logged and tried again.
pub fn run(args: &ShipArgs) -> Result<bool, DaemonError> {
    let store = Store::open(&args.to)?;
    let mut sender = Sender::new(&args.root);
    tracing::info!(
        "sending checkpoints from {} to {}",
        args.root.display(),
        args.to
    );
    loop {
        // Asked before: what comes afterwards is sent by the next round.
        let finished = args.until_finished && all_finished(args);
        match sender.send(&store) {
            Ok(0) if finished => return Ok(true),
            Ok(0) => {}
            Ok(count) => tracing::info!("{count} checkpoints sent"),
            Err(error) => tracing::warn!("{error}; trying again"),
        }
        std::thread::sleep(Duration::from_secs(args.every));
    }
}

fn all_finished(args: &ShipArgs) -> bool {
    let runs = list_runs(&args.root).unwrap_or_default();
    let finished = |run: &String| {
        let listing = list_checkpoints(&args.root, run);
        listing.is_ok_and(|l| l.status.is_some_and(|status| status.finished.is_some()))
    };
    !runs.is_empty() && runs.iter().all(finished)
}
