//! A run on disk with an intake before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mirrorwatch_checkpoint::{Artifacts, RunWriter, Snapshot, remove_abandoned};
use mirrorwatch_influence::Labels;
use tempfile::TempDir;

use crate::hub::Hub;
use crate::intake::{Intake, Unhooked, entry};
use crate::metrics::{Metrics, SKIP_REASONS, STAGES};
use crate::queue::Queue;
use crate::runs::Runs;
use crate::store::Outcome;

const LIMIT: usize = 2;

/// A sidecar's half without a model: what is popped counts as scanned.
pub struct Bench {
    dir: TempDir,
    pub intake: Intake,
    pub scanned: Vec<u64>,
}

pub fn intake(dir: &Path) -> Intake {
    let hub = Arc::new(Hub::new(3600.0));
    let labels = Labels {
        classes: 2,
        train: vec![0, 1],
        probe: vec![0, 0, 1, 1],
        trusted: Vec::new(),
        canaries: Vec::new(),
        unlabelled: Vec::new(),
    };
    let state = dir.join("state");
    Intake {
        root: dir.join("runs"),
        unhooked: Unhooked::new(
            vec![Artifacts::new(dir.join("artifacts"), None, "model-{epoch}").unwrap()],
            Duration::ZERO,
        ),
        spool: state.join("spool"),
        limit: LIMIT,
        max_bytes: 1000,
        queue: Arc::new(Queue::default()),
        runs: Arc::new(Runs::new(
            &state,
            "f".to_string(),
            &[],
            &labels,
            hub.clone(),
        )),
        metrics: Arc::new(Metrics::new(hub.clone()).unwrap()),
        hub,
        taken: BTreeMap::new(),
        root_missing: false,
    }
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            intake: intake(dir.path()),
            dir,
            scanned: Vec::new(),
        }
    }

    pub fn writer(&self, keep: usize) -> RunWriter {
        let writer = RunWriter::create(self.intake.root.clone(), "r");
        writer.unwrap().with_keep(keep)
    }

    /// Takes the oldest job as the worker does.
    pub fn pop(&mut self) -> bool {
        let Some(job) = self.intake.queue.pop(Duration::ZERO) else {
            return false;
        };
        self.scanned.push(job.spooled.manifest().step);
        self.intake.runs.note("r", entry(&job, Outcome::Scanned));
        fs::create_dir_all(self.intake.runs.directory("r")).unwrap();
        self.intake.runs.save("r");
        self.intake.queue.done();
        true
    }

    /// The process ends and another one starts; its counters begin at zero.
    pub fn restart(&mut self) {
        self.intake = intake(self.dir.path());
        let _ = remove_abandoned(&self.intake.spool);
    }

    pub fn seen(&self) -> u64 {
        self.intake.metrics.seen.get()
    }

    pub fn skipped(&self, reason: &str) -> u64 {
        let counters = &self.intake.metrics.skipped;
        counters
            .get_metric_with_label_values(&[reason])
            .unwrap()
            .get()
    }

    pub fn failed(&self, stage: &str) -> u64 {
        let counters = &self.intake.metrics.failures;
        counters
            .get_metric_with_label_values(&[stage])
            .unwrap()
            .get()
    }

    /// All that did not end in a scan.
    pub fn lost(&self) -> u64 {
        let skipped: u64 = SKIP_REASONS.iter().map(|r| self.skipped(r)).sum();
        skipped + STAGES.iter().map(|s| self.failed(s)).sum::<u64>()
    }
}

pub fn publish(writer: &mut RunWriter, step: u64) {
    let snapshot = Snapshot {
        epoch: step / 4,
        step,
        ..Snapshot::default()
    };
    writer.publish(snapshot, &step.to_le_bytes()).unwrap();
}

/// The newest file of a run with this ending.
pub fn newest(writer: &RunWriter, ending: &str) -> PathBuf {
    let mut files = Vec::new();
    for entry in fs::read_dir(writer.directory()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("epoch-") && name.ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    files.pop().unwrap()
}
