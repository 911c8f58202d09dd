//! The hub: what the daemon knows at this moment, shared by its threads, the metrics and the pages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mirrorwatch_http::Changes;

use crate::audit::Review;
use crate::leaks::LeakRecord;
use crate::results::Suspect;
use crate::summary::Summary;

/// What is known of a run.
///
/// ```
/// use mirrorwatch_daemon::hub::RunView;
///
/// let view = RunView { updated: 1_700_000_000.0, ..RunView::default() };
/// assert_eq!(view.last_sign(), Some(1_700_000_000.0));
/// assert!(view.summary.is_none() && view.suspects.is_empty() && !view.finished);
/// ```
#[derive(Debug, Clone, Default)]
pub struct RunView {
    /// Summary of the last scan: the current count.
    pub summary: Option<Arc<Summary>>,
    /// The suspects it counted, most suspicious first.
    pub suspects: Arc<Vec<Suspect>>,
    /// What people say of samples, by position: the reviews that count.
    pub reviews: Arc<BTreeMap<usize, Review>>,
    /// Probe samples that were looked for in the training set; none where nobody has looked.
    pub leaks: Option<Arc<LeakRecord>>,
    /// Whether the training said that it has finished.
    pub finished: bool,
    /// Whether, after that, everything it published was seen.
    pub settled: bool,
    /// When the run was last heard of: Unix seconds of its status file.
    pub updated: f64,
    /// What went wrong last, in words; empty when the last checkpoint was scanned.
    pub last_error: String,
}

impl RunView {
    /// When the run last gave a sign of life, in Unix seconds; none when nothing is known yet.
    ///
    /// ```
    /// use mirrorwatch_daemon::hub::RunView;
    ///
    /// assert_eq!(RunView::default().last_sign(), None);
    /// ```
    pub fn last_sign(&self) -> Option<f64> {
        let scanned = self.summary.as_ref().map_or(0.0, |s| s.scanned_time);
        let last = self.updated.max(scanned);
        (last > 0.0).then_some(last)
    }

    /// Whether this is what the other one is, too: a listing that found nothing new is no news.
    fn is(&self, other: &Self) -> bool {
        let same_summary = match (&self.summary, &other.summary) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let leaks = |view: &Self| view.leaks.as_ref().map(Arc::as_ptr);
        same_summary
            && leaks(self) == leaks(other)
            && Arc::ptr_eq(&self.suspects, &other.suspects)
            && Arc::ptr_eq(&self.reviews, &other.reviews)
            && (self.finished, self.settled, self.updated)
                == (other.finished, other.settled, other.updated)
            && self.last_error == other.last_error
    }

    fn is_shown(&self, horizon: f64) -> bool {
        self.last_sign().is_none_or(|time| time >= horizon)
    }
}

/// Shared state behind one lock, held only to copy in or out.
///
/// ```
/// use mirrorwatch_daemon::hub::Hub;
///
/// let hub = Hub::default();
/// hub.update_run("mnist", |view| view.finished = true);
/// assert!(hub.shown_run("mnist").is_some_and(|view| view.finished));
/// assert_eq!(hub.changes().count(), 1);
/// ```
pub struct Hub {
    state: Mutex<HubState>,
    changes: Changes,
    expire_seconds: f64,
}

#[derive(Debug, Clone)]
struct HubState {
    runs: BTreeMap<String, RunView>,
    /// How often the runs have changed.
    changed: u64,
    listed: bool,
    watch_beat: Instant,
    worker_beat: Instant,
    scanning: Option<String>,
}

impl Default for Hub {
    /// A hub that forgets nothing.
    fn default() -> Self {
        Self::new(f64::INFINITY)
    }
}

impl Hub {
    /// A hub that no longer shows a run `expire_seconds` after its last sign of life, which is a
    /// checkpoint or a scan, whether it said that it has finished or not: a training that was
    /// killed never says so.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::new(3600.0);
    /// hub.update_run("old", |view| view.updated = now() - 7200.0);
    /// hub.update_run("new", |view| view.updated = now());
    /// assert!(hub.shown_run("old").is_none() && hub.shown_run("new").is_some());
    /// ```
    pub fn new(expire_seconds: f64) -> Self {
        let now = Instant::now();
        Self {
            expire_seconds,
            changes: Changes::default(),
            state: Mutex::new(HubState {
                runs: BTreeMap::new(),
                changed: 0,
                listed: false,
                watch_beat: now,
                worker_beat: now,
                scanning: None,
            }),
        }
    }

    // Everything under the lock is replaced whole, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a run, which comes into being if need be.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::default();
    /// hub.update_run("mnist", |view| view.last_error = "no such file".into());
    /// // What changes nothing is no news.
    /// hub.update_run("mnist", |view| view.finished = false);
    /// assert_eq!(hub.changes().count(), 1);
    /// ```
    pub fn update_run(&self, run: &str, change: impl FnOnce(&mut RunView)) {
        self.update(run, true, change);
    }

    /// As [`update_run`](Hub::update_run), but a run that is not known stays so.
    pub(crate) fn update_known(&self, run: &str, change: impl FnOnce(&mut RunView)) {
        self.update(run, false, change);
    }

    fn update(&self, run: &str, create: bool, change: impl FnOnce(&mut RunView)) {
        let mut state = self.lock();
        let before = state.runs.get(run).cloned();
        if before.is_none() && !create {
            return;
        }
        let view = state.runs.entry(run.to_string()).or_default();
        change(view);
        let changed = before.is_none_or(|before| !before.is(view));
        // Under the same lock as the change: whoever sees the one sees the other.
        state.changed += u64::from(changed);
        drop(state);
        if changed {
            self.changes.notify();
        }
    }

    /// Tells of every change of what is shown.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::default();
    /// hub.update_run("mnist", |_| ());
    /// assert_eq!(hub.changes().count(), 1);
    /// ```
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// What is known of one run, if there is one of that name that is worth showing.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::default();
    /// assert!(hub.shown_run("mnist").is_none());
    /// hub.update_run("mnist", |_| ());
    /// assert!(hub.shown_run("mnist").is_some());
    /// ```
    pub fn shown_run(&self, run: &str) -> Option<RunView> {
        let view = self.lock().runs.get(run).cloned()?;
        view.is_shown(self.horizon()).then_some(view)
    }

    /// A copy of all runs by name.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::new(3600.0);
    /// hub.update_run("old", |view| view.updated = 1.0);
    /// assert_eq!((hub.runs().len(), hub.shown_runs().len()), (1, 0));
    /// ```
    pub fn runs(&self) -> BTreeMap<String, RunView> {
        self.lock().runs.clone()
    }

    /// A copy of the runs that are still worth showing.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::default();
    /// hub.update_run("mnist", |_| ());
    /// assert!(hub.shown_runs().contains_key("mnist"));
    /// ```
    pub fn shown_runs(&self) -> BTreeMap<String, RunView> {
        let horizon = self.horizon();
        let mut runs = self.runs();
        runs.retain(|_, view| view.is_shown(horizon));
        runs
    }

    /// What is known of one run, shown or not.
    pub(crate) fn known_run(&self, run: &str) -> Option<RunView> {
        self.lock().runs.get(run).cloned()
    }

    /// The names of runs that are no longer shown.
    pub(crate) fn expired_runs(&self) -> Vec<String> {
        let horizon = self.horizon();
        let state = self.lock();
        let expired = state
            .runs
            .iter()
            .filter(|(_, view)| !view.is_shown(horizon));
        expired.map(|(run, _)| run.clone()).collect()
    }

    /// Forgets a run. Nobody is told: it is not for runs that are shown.
    pub(crate) fn forget_run(&self, run: &str) {
        let mut state = self.lock();
        let forgotten = state.runs.remove(run);
        state.changed += u64::from(forgotten.is_some());
    }

    /// A mark that changes whenever [`shown_runs`](Hub::shown_runs) does, and does not otherwise.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::default();
    /// let before = hub.mark();
    /// assert_eq!(hub.mark(), before);
    /// hub.update_run("mnist", |view| view.finished = true);
    /// assert_ne!(hub.mark(), before);
    /// ```
    pub fn mark(&self) -> Mark {
        let horizon = self.horizon();
        let state = self.lock();
        let shown = state.runs.values().filter(|view| view.is_shown(horizon));
        Mark {
            changed: state.changed,
            shown: shown.count(),
        }
    }

    /// Runs without a sign of life since then are not shown.
    fn horizon(&self) -> f64 {
        now() - self.expire_seconds
    }

    /// Notes that the root directory was listed once.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::default();
    /// hub.set_listed();
    /// assert!(hub.listed());
    /// ```
    pub fn set_listed(&self) {
        self.lock().listed = true;
    }

    /// Whether the root directory was listed once: the daemon is ready.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// assert!(!Hub::default().listed());
    /// ```
    pub fn listed(&self) -> bool {
        self.lock().listed
    }

    /// The watching loop is alive.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::default();
    /// hub.beat_watch();
    /// assert!(hub.silence().0.as_secs() < 60);
    /// ```
    pub fn beat_watch(&self) {
        self.lock().watch_beat = Instant::now();
    }

    /// The scanning loop is alive; `scanning` names what it works on.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let hub = Hub::default();
    /// hub.beat_worker(Some("mnist/epoch 3".into()));
    /// assert_eq!(hub.scanning().as_deref(), Some("mnist/epoch 3"));
    /// hub.beat_worker(None);
    /// assert_eq!((hub.scanning(), hub.changes().count()), (None, 2));
    /// ```
    pub fn beat_worker(&self, scanning: Option<String>) {
        let mut state = self.lock();
        state.worker_beat = Instant::now();
        let changed = state.scanning != scanning;
        state.scanning = scanning;
        drop(state);
        if changed {
            self.changes.notify();
        }
    }

    /// What is being scanned.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// assert_eq!(Hub::default().scanning(), None);
    /// ```
    pub fn scanning(&self) -> Option<String> {
        self.lock().scanning.clone()
    }

    /// How long ago the watching and the scanning loop were last alive.
    ///
    /// ```
    /// # use mirrorwatch_daemon::hub::{Hub, now};
    /// let (watch, worker) = Hub::default().silence();
    /// assert!(watch.as_secs() < 60 && worker.as_secs() < 60);
    /// ```
    pub fn silence(&self) -> (Duration, Duration) {
        let state = self.lock();
        (state.watch_beat.elapsed(), state.worker_beat.elapsed())
    }
}

/// What is shown at some moment, to be compared with another one: see [`Hub::mark`].
///
/// ```
/// # use mirrorwatch_daemon::hub::Hub;
/// assert_eq!(Hub::default().mark(), Hub::default().mark());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    changed: u64,
    /// Of the same runs, those that were heard of last are shown: how many says which.
    shown: usize,
}

/// Unix seconds now.
///
/// ```
/// # use mirrorwatch_daemon::hub::{Hub, now};
/// // After the end of 2023.
/// assert!(now() > 1_704_000_000.0);
/// ```
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_is_told() {
        let hub = Hub::default();
        let told = || hub.changes().count();
        hub.update_run("r", |_| ());
        let first = told();
        hub.update_run("r", |view| view.finished = false);
        assert_eq!(told(), first);
        hub.update_run("r", |view| view.updated = 5.0);
        hub.update_run("r", |view| view.suspects = Arc::default());
        hub.update_run("r", |view| view.last_error = "no space".to_string());
        assert_eq!(told(), first + 3);
    }
}
