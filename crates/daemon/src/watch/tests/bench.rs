//! A root that is watched by a thread.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use tempfile::TempDir;

use crate::intake::tests::bench;
use crate::intake::tests::files::model::identify;
use crate::intake::tests::files::place::{Place, Which};
use crate::intake::{Job, Unhooked};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::watch::{WatchOptions, run};

/// Long enough for a machine that does a lot else; a long rescan is far beyond it.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Watching {
    pub root: PathBuf,
    pub metrics: Arc<Metrics>,
    queue: Arc<Queue<Job>>,
    /// Run, step and hash of all that was taken.
    pub taken: BTreeSet<(String, u64, String)>,
    whole: BTreeSet<Which>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _dir: TempDir,
}

impl Watching {
    pub fn start(options: WatchOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut intake = bench::intake(dir.path());
        intake.limit = 10_000;
        // A directory that is missing is looked for every second.
        intake.unhooked = Unhooked::default();
        std::fs::create_dir(&intake.root).unwrap();
        let (stop, stopped) = bounded(0);
        let (root, queue) = (intake.root.clone(), intake.queue.clone());
        let (metrics, hub) = (intake.metrics.clone(), intake.hub.clone());
        let thread = std::thread::spawn(move || run(intake, options, &hub, &stopped));
        let watching = Self {
            root,
            metrics,
            queue,
            taken: BTreeSet::new(),
            whole: BTreeSet::new(),
            stop: Some(stop),
            thread: Some(thread),
            _dir: dir,
        };
        watching.wait(|it| it.metrics.rescans.get() > 0);
        watching
    }

    fn wait(&self, ready: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !ready(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pop(&mut self) -> Option<Job> {
        let job = self.queue.pop(Duration::from_millis(20))?;
        self.queue.done();
        let key = job.spooled.key();
        let new = (key.run.clone(), key.step, key.sha256.clone());
        assert!(self.taken.insert(new), "{key} is taken twice");
        Some(job)
    }

    /// Waits until a run's checkpoint of this step is taken.
    #[track_caller]
    pub fn wait_for(&mut self, (run, step): &(String, u64)) {
        let start = Instant::now();
        while !self.taken.iter().any(|it| (&it.0, it.1) == (run, *step)) {
            assert!(
                start.elapsed() < PATIENCE,
                "{run} step {step} is not taken after {} listings",
                self.metrics.rescans.get()
            );
            self.pop();
        }
    }

    /// Waits for a checkpoint that is whole; whatever else comes is held against what was published.
    #[track_caller]
    pub fn wait_until(&mut self, place: &Place, wanted: impl Fn(&Which) -> bool) {
        let start = Instant::now();
        while !self.whole.iter().any(&wanted) {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.whole);
            if let Some(job) = self.pop() {
                let (which, whole) = identify(&job, place);
                if whole {
                    self.whole.insert(which);
                }
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}
