//! Watching: file-system events are hints, listings are the truth.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::error::DaemonError;
use crate::hub::Hub;
use crate::intake::Intake;

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
    let mut places = vec![(intake.root.clone(), Armed::default())];
    for artifacts in &intake.unhooked.artifacts {
        let directory = artifacts.directory();
        // What is above a relative path that does not exist is only known of an absolute one.
        let place = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
        places.push((place, Armed::default()));
    }
    let (hint, hints) = bounded(1);
    loop {
        if !options.poll {
            // Armed before listing: what appears in between causes an event.
            for (place, armed) in &mut places {
                armed.renew(place, &hint);
            }
        }
        let again = intake.list();
        hub.beat_watch();
        // What is not there cannot be watched: it may begin, and end, any moment.
        let missing = places.iter().any(|(place, _)| !place.is_dir());
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

/// A watcher and the identity of the directory it watches.
#[derive(Default)]
struct Armed {
    watcher: Option<RecommendedWatcher>,
    identity: Option<(u64, u64)>,
    warned: bool,
}

impl Armed {
    /// Arms the watcher anew when the directory is another one than before: a watch on a
    /// directory that was removed and made again goes silently dead.
    ///
    /// Where there is no directory yet, the nearest one above is watched for it to appear.
    fn renew(&mut self, root: &Path, hint: &Sender<()>) {
        let (root, depth) = match root.ancestors().find(|place| place.is_dir()) {
            Some(there) if there == root => (root, RecursiveMode::Recursive),
            Some(above) => (above, RecursiveMode::NonRecursive),
            None => (root, RecursiveMode::Recursive),
        };
        let identity = identity(root);
        if self.watcher.is_some() && identity == self.identity {
            return;
        }
        self.identity = identity;
        self.watcher = None;
        if identity.is_none() {
            return;
        }
        match arm(root, depth, hint.clone()) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.warned = false;
            }
            Err(error) => {
                if !self.warned {
                    tracing::warn!(
                        "cannot watch {} by events, listing it regularly instead: {error}",
                        root.display()
                    );
                }
                self.warned = true;
            }
        }
    }
}

fn arm(root: &Path, depth: RecursiveMode, hint: Sender<()>) -> notify::Result<RecommendedWatcher> {
    let prefix = root.to_path_buf();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if is_hint(&prefix, &event) {
            // A full channel means that a listing is due anyway.
            let _ = hint.try_send(());
        }
    })?;
    watcher.watch(root, depth)?;
    Ok(watcher)
}

/// Whether an event calls for a listing.
fn is_hint(root: &Path, event: &notify::Result<notify::Event>) -> bool {
    let event = match event {
        Ok(event) => event,
        Err(_) => return true,
    };
    if event.need_rescan() {
        return true;
    }
    // Temporaries of the protocol and the daemon's own state below the root begin with a dot.
    let ours = |path: &PathBuf| {
        path.strip_prefix(root).is_ok_and(|inside| {
            inside
                .components()
                .any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
        })
    };
    match event.kind {
        EventKind::Access(_) => false,
        _ => event.paths.is_empty() || !event.paths.iter().all(ours),
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|_| (0, 0))
}
