//! Events of the directories that listings look into.
//!
//! Each directory is watched by itself: a recursive watch follows links out of the root, goes into all that others keep
//! beside checkpoints, and stays deaf in directories whose creation it did not hear of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event};

/// A directory, whatever its name is: device and inode.
type Identity = (u64, u64);

/// The watcher, and what is surely watched by it.
pub(super) struct Events {
    pub(super) shared: Arc<Shared>,
    watcher: Option<RecommendedWatcher>,
    warned: bool,
}

/// What the watcher's thread knows and changes.
pub(super) struct Shared {
    /// Absolute paths of what is listed, there or not.
    places: Vec<PathBuf>,
    /// Directories whose watch is alive. One that was removed or renamed is dropped: a directory that is made again in
    /// its place may get the same inode.
    watched: Mutex<BTreeMap<PathBuf, Identity>>,
    /// Events were lost, and with them maybe the end of a watch.
    pub(super) lost: AtomicBool,
    hint: Sender<()>,
}

impl Events {
    /// Tells `hint` of changes in what is watched for the sake of these places.
    pub(super) fn new(places: Vec<PathBuf>, hint: Sender<()>) -> Self {
        Self {
            shared: Arc::new(Shared {
                places,
                watched: Mutex::default(),
                lost: AtomicBool::new(false),
                hint,
            }),
            watcher: None,
            warned: false,
        }
    }

    /// Watches these directories and no others. Where that fails, the next listing tries again.
    pub(super) fn renew(&mut self, wanted: &BTreeSet<PathBuf>) {
        if self.shared.lost.swap(false, Ordering::Relaxed) {
            tracing::info!("events of the file system were lost, everything is watched anew");
            self.watcher = None;
            self.shared.watched().clear();
        }
        match self.watch(wanted) {
            Ok(()) => self.warned = false,
            Err(error) => {
                if !self.warned {
                    tracing::warn!(
                        "cannot watch by events, listing regularly instead: {error}; on Linux the limits are \
                         fs.inotify.max_user_watches and fs.inotify.max_user_instances"
                    );
                }
                self.warned = true;
            }
        }
    }

    fn watch(&mut self, wanted: &BTreeSet<PathBuf>) -> notify::Result<()> {
        let mut fresh = BTreeMap::new();
        for path in wanted {
            fresh.extend(identity(path).map(|identity| (path.clone(), identity)));
        }
        let mut stale = BTreeSet::new();
        self.shared.watched().retain(|path, identity| {
            let alive = fresh.get(path) == Some(identity);
            if alive {
                fresh.remove(path);
            } else {
                stale.insert(path.clone());
            }
            alive
        });
        if fresh.is_empty() && stale.is_empty() {
            return Ok(());
        }
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none => none.insert(start(self.shared.clone())?),
        };
        let mut paths = watcher.paths_mut();
        // A watch that follows a directory to where it was moved would never end.
        stale.extend(fresh.keys().cloned());
        for path in &stale {
            // Most have ended by themselves, or were never there.
            let _ = paths.remove(path);
        }
        let mut result = Ok(());
        for (path, identity) in fresh {
            // First, so that an event can take it back.
            self.shared.watched().insert(path.clone(), identity);
            let Err(error) = paths.add(&path, RecursiveMode::NonRecursive) else {
                continue;
            };
            self.shared.watched().remove(&path);
            if path.is_dir() {
                let no_more = matches!(error.kind, ErrorKind::MaxFilesWatch);
                result = result.and(Err(error));
                if no_more {
                    break;
                }
            }
        }
        paths.commit().and(result)
    }
}

impl Shared {
    // Each change is a whole one, so poison means nothing.
    pub(super) fn watched(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Identity>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, event: &notify::Result<Event>) {
        if self.is_hint(event) {
            // A full channel means that a listing is due anyway.
            let _ = self.hint.try_send(());
        }
    }

    /// Whether an event calls for a listing.
    fn is_hint(&self, event: &notify::Result<Event>) -> bool {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => {
                self.lost.store(true, Ordering::Relaxed);
                return true;
            }
        };
        match event.kind {
            EventKind::Access(_) => return false,
            EventKind::Remove(_) | EventKind::Modify(event::ModifyKind::Name(_)) => {
                let mut watched = self.watched();
                for path in &event.paths {
                    watched.remove(path);
                }
            }
            _ => {}
        }
        event.paths.is_empty() || !event.paths.iter().all(|path| self.is_ours(path))
    }

    /// Temporaries of the protocol and the daemon's own state begin with a dot; what leads to a place may do so, too.
    fn is_ours(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with('.')
            && !self.places.iter().any(|place| place.starts_with(path))
    }
}

fn start(shared: Arc<Shared>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event| shared.hear(&event))
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    path.is_dir().then_some((0, 0))
}
