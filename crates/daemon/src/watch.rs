//! Watching: file-system events are hints, listings are the truth.

mod events;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, after, bounded, never, select};
use mirrorwatch_checkpoint::list_runs;

use crate::error::DaemonError;
use crate::hub::Hub;
use crate::intake::Intake;
use events::Events;

/// How long events are gathered before one listing answers them all.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// How often a directory is looked for that does not exist yet.
const MISSING: Duration = Duration::from_secs(1);

/// How the root directory is watched.
#[derive(Debug, Clone, Copy)]
pub struct WatchOptions {
    /// List again after this long even when nothing was heard.
    pub rescan: Duration,
    /// Do without file-system events, as on network mounts.
    pub poll: bool,
}

/// Lists the root again and again until `stop` is disconnected.
pub fn run(mut intake: Intake, options: WatchOptions, hub: &Arc<Hub>, stop: &Receiver<()>) {
    let places = Places::of(&intake);
    let (hint, hints) = bounded(1);
    let mut events = Events::new(places.all(), hint);
    loop {
        if !options.poll {
            // Watched before listing: what appears in between causes an event.
            events.renew(&places.directories());
        }
        let again = intake.list();
        hub.beat_watch();
        // What is not there cannot be watched: it may begin, and end, any moment.
        let missing = places.all().iter().any(|place| !place.is_dir());
        let patience = match (again, missing) {
            (true, _) => DEBOUNCE,
            (false, true) => options.rescan.min(MISSING),
            (false, false) => options.rescan,
        };
        let hints = if options.poll { &never() } else { &hints };
        select! {
            recv(hints) -> _ => {
                std::thread::sleep(DEBOUNCE);
                while hints.try_recv().is_ok() {}
            }
            recv(after(patience)) -> _ => {}
            recv(stop) -> _ => return,
        }
    }
}

/// Checks that `root` can be watched at all, creating it if need be.
///
/// # Errors
///
/// It is not a directory and cannot be made one.
pub fn prepare_root(root: &Path) -> Result<(), DaemonError> {
    std::fs::create_dir_all(root).map_err(|error| DaemonError::Watch {
        path: root.to_path_buf(),
        message: error.to_string(),
    })
}

/// What is listed, there or not, as absolute paths: what is above a relative one that does not exist is not known.
struct Places {
    root: PathBuf,
    artifacts: Vec<PathBuf>,
}

impl Places {
    fn of(intake: &Intake) -> Self {
        let absolute =
            |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let artifacts = intake.unhooked.artifacts.iter();
        Self {
            root: absolute(&intake.root),
            artifacts: artifacts.map(|it| absolute(it.directory())).collect(),
        }
    }

    fn all(&self) -> Vec<PathBuf> {
        let artifacts = self.artifacts.iter().cloned();
        std::iter::once(self.root.clone())
            .chain(artifacts)
            .collect()
    }

    /// The directories in which a change may be one of a listing: where a place is not there yet, the nearest one above it.
    fn directories(&self) -> BTreeSet<PathBuf> {
        let mut directories = BTreeSet::new();
        for place in self.all() {
            let there = place.ancestors().find(|path| path.is_dir());
            directories.extend(there.map(Path::to_path_buf));
        }
        // A root that is not there has no runs.
        for run in list_runs(&self.root).unwrap_or_default() {
            directories.insert(self.root.join(run));
        }
        for place in &self.artifacts {
            directories.insert(place.join("checkpoint"));
        }
        directories
    }
}

#[cfg(all(test, unix))]
mod tests;
