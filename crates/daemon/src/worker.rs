//! The worker: takes checkpoints from the queue and scans them, one at a time, come what may.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mirrorwatch_checkpoint::Manifest;
use mirrorwatch_influence::{Labels, Memory, Scan, ScanConfig, Task, model, panic_text};
use mirrorwatch_stats::shards::{Alone, Exchange};

use crate::account::{Account, Levels, account_with};
use crate::brief::brief;
use crate::budget::{Budget, Plan};
use crate::error::DaemonError;
use crate::heap::Heap;
use crate::hub::{Hub, now};
use crate::intake::{Job, entry};
use crate::metrics::Metrics;
use crate::onset::{self, Moment};
use crate::pending::Pending;
use crate::queue::Queue;
use crate::refusal::{Run, probe_noise, refusal};
use crate::results::{self, Paths};
use crate::runs::{Runs, SharedState, lock};
use crate::sources::Sources;
use crate::store::Outcome;
use crate::summary::{SUMMARY_SCHEMA, Summary};
use crate::totals::Totals;
use crate::turns::{Turns, agree};

mod apart;
mod attempts;
mod load;
mod parts;
mod reading;
mod shards;

pub use apart::Apart;
pub use attempts::Attempts;
use reading::Read;
use shards::SHARDS;

/// Scans checkpoints of a task.
pub struct Worker<T: Task> {
    /// The task.
    pub task: Arc<T>,
    /// Its labels.
    pub labels: Arc<Labels>,
    /// Where its samples came from.
    pub sources: Sources,
    /// What to compute.
    pub config: ScanConfig,
    /// At which levels to count.
    pub levels: Levels,
    /// What a scan may cost; none where it reads everything.
    pub budget: Option<Budget>,
    /// Whether only what training has consumed is read, where that is known.
    pub consumed_only: bool,
    /// Whether the scores of all samples are written, too.
    pub write_scores: bool,
    /// Probe samples that are looked for in the training set; 0 = none.
    pub leak_probes: usize,
    /// What it shares with the others, where the samples are divided.
    pub turns: Option<Turns>,
    /// Where jobs come from.
    pub queue: Arc<Queue<Job>>,
    /// What is known of runs.
    pub runs: Arc<Runs>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What is shown.
    pub hub: Arc<Hub>,
    /// Set to stop between batches.
    pub cancel: Arc<AtomicBool>,
    /// Where a task's own code runs.
    pub apart: Apart,
    /// How often the process ended while it scanned a checkpoint.
    pub attempts: Attempts,
    /// The parameters of the task's model, once they are known.
    pub parameters: OnceLock<Vec<model::Parameter>>,
    /// Whether nothing else computes in this process, so that its heaps are the worker's to tidy up.
    pub by_itself: bool,
}

/// The stage at which results are written.
const EXPORT: &str = "export";

/// The stage that failed and what went wrong.
type Failure = (&'static str, String);

impl<T: Task> Worker<T> {
    /// Works until `cancel` is set.
    pub fn run(&self) {
        let mut heap = self.by_itself.then(Heap::default);
        while !self.cancel.load(Ordering::Relaxed) {
            self.hub.beat_worker(None);
            let worked = if let Some(turns) = &self.turns {
                self.take_turn(turns)
            } else if let Some(job) = self.queue.pop(Duration::from_secs(1)) {
                let _ = self.handle(&job, &Alone);
                self.queue.done();
                true
            } else {
                false
            };
            match &mut heap {
                Some(heap) if worked => heap.worked(),
                Some(heap) => heap.rests(),
                None => {}
            }
        }
    }

    /// Scans one checkpoint. Whatever goes wrong costs this checkpoint only, and is returned.
    fn handle(&self, job: &Job, exchange: &dyn Exchange) -> Result<(), String> {
        self.metrics.queued.set(self.queue.len() as i64);
        if !self.apart.has_room() {
            return Err("the sidecar ends while scans hang".to_string());
        }
        self.hub.beat_worker(Some(job.spooled.key().to_string()));
        let result = catch_unwind(AssertUnwindSafe(|| {
            let most = match self.turns {
                None => attempts::MOST,
                Some(_) => attempts::MOST_DIVIDED,
            };
            self.attempts
                .begin(&job.run, job.spooled.key(), most)
                .map_err(|message| ("scan", message))?;
            self.process(job, exchange)
        }));
        self.attempts.end(&job.run, job.spooled.key());
        let (stage, message) = match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure,
            Err(panic) => (
                "scan",
                format!("the scan panicked: {}", panic_text(panic.as_ref())),
            ),
        };
        let message = brief(&message);
        // A scan that was told to stop is not a failure; it is done again after the restart.
        if self.cancel.load(Ordering::Relaxed) {
            return Err(message);
        }
        let checkpoint = job.spooled.key().to_string();
        tracing::warn!(
            run = job.run,
            checkpoint,
            stage,
            "checkpoint not scanned: {message}"
        );
        self.metrics.fail(stage);
        let outcome = Outcome::Failed(stage.to_string(), message.clone());
        self.hub.update_run(&job.run, |view| {
            view.last_error = format!("{checkpoint}: {message}")
        });
        // With results that could not be written, evidence and ledger are settled already.
        if stage != EXPORT {
            self.runs.note(&job.run, entry(job, outcome));
            self.runs.save(&job.run);
        }
        Err(message)
    }

    fn process(&self, job: &Job, exchange: &dyn Exchange) -> Result<(), Failure> {
        let manifest = job.spooled.manifest();
        let failed =
            |stage: &'static str| move |error: &dyn std::fmt::Display| (stage, error.to_string());
        let state = self.runs.open(&job.run);
        // Before any work: what is told by shards of different evidence would be wrong.
        let agreed = agree(&lock(&state).evidence, exchange);
        agreed.map_err(|error| failed(SHARDS)(&error))?;
        let plan = self.plan(&lock(&state));
        if plan == Plan::Wait {
            self.leave_out(job);
            return Ok(());
        }
        let part = match self.consumed_only {
            true => self.window(&lock(&state), job),
            false => self.part(&lock(&state), plan),
        };
        let labels = match &part {
            None => self.labels.clone(),
            Some(part) => Arc::new(part.labels(&self.labels)),
        };
        let forks = lock(&state).forks.clone();
        let Read {
            model,
            readings,
            forks,
        } = self.read(job, &labels, forks)?;
        let scanned = readings.finish(&labels, exchange);
        let mut scanned = scanned.map_err(|error| failed("scan")(&error))?;
        self.metrics.scan_seconds.observe(scanned.seconds);

        if let Some(part) = &part {
            part.complete(&mut scanned, &lock(&state).evidence);
        }
        // Evidence is only changed when nothing can fail any more, so that a failure below leaves it as it was.
        let pending = Pending::of_part(
            &lock(&state).evidence,
            &scanned,
            &self.labels,
            part.as_ref(),
            exchange,
        )
        .map_err(|error| failed("account")(&error))?;
        for estimate in &mut scanned.estimates {
            // They are in the evidence to be, and large.
            estimate.train = Vec::new();
            estimate.suggested = Vec::new();
        }
        let mut account = account_with(&pending.channels, &self.labels, self.levels, exchange)
            .map_err(|error| failed("account")(&error))?;
        let refusal = refusal(
            &account,
            &self.labels,
            &so_far(&state, &scanned),
            pending.probe(),
        );
        if refusal.is_some() {
            account.name_nobody();
        }
        let moment = Moment {
            epoch: manifest.epoch,
            step: manifest.step,
            margins: &scanned.train_margins,
        };
        let onset = onset::compare_with(
            &lock(&state),
            moment,
            &self.sources,
            (&self.labels, &account.scored),
            self.levels.alpha,
            exchange,
        )
        .map_err(|error| failed("account")(&error))?;
        let sources = self
            .sources
            .count_with(&self.labels, &account, self.levels.alpha, exchange)
            .map_err(|error| failed("account")(&error))?;
        let read = labels.train.len() - labels.unlabelled.len();
        let own = Totals::of(
            &self.labels,
            &account,
            &pending.channels,
            &scanned.train_margins,
            read,
        );
        // The last that can fail on account of others: from here on all shards go on alike.
        if self.turns.is_some() {
            self.attempts.give(&job.run, job.spooled.key());
        }
        let totals = own
            .of_all(exchange)
            .map_err(|error| failed("account")(&error))?;
        let estimate = scanned.estimates.first();
        let summary = Summary {
            schema: SUMMARY_SCHEMA,
            run: job.run.clone(),
            epoch: manifest.epoch,
            step: manifest.step,
            weights_sha256: manifest.weights.sha256.clone(),
            checkpoint_time: manifest.time,
            scanned_time: now(),
            train_loss: manifest.train_loss,
            valid_loss: manifest.valid_loss,
            learning_rate: manifest.learning_rate,
            consumed_samples: manifest.consumed.as_ref().map(|c| c.samples),
            tags: manifest.tags.clone(),
            samples: totals.samples,
            scored_samples: account.judged,
            probe: self.labels.probe.len(),
            classes: self.labels.classes,
            direction: estimate.map_or_else(String::new, |e| e.estimator.direction.clone()),
            score: estimate.map_or_else(String::new, |e| e.estimator.score.clone()),
            choices: estimate.map_or_else(Vec::new, |e| e.choices.clone()),
            checkpoints: pending.checkpoints,
            null: account.null,
            null_samples: account.null_samples,
            fdr: self.levels.fdr,
            alpha: self.levels.alpha,
            suspects: account.suspects,
            expected_false_suspects: account.expected_false,
            min_detectable_suspects: account.min_detectable,
            canaries: totals.canaries,
            canaries_found: account.canaries_found,
            memorised_suspects: totals.memorised,
            hard_suspects: totals.hard,
            noise_ratio_lower_bound: account.lower_bound,
            noise_ratio_estimate: account.estimate,
            probe_loss: scanned.probe_loss,
            probe_accuracy: scanned.probe_accuracy,
            probe_noise_lower_bound: probe_noise(&scanned),
            class_pairs: totals.class_pairs(self.task.as_ref()),
            refusal,
            sources,
            onset,
            scan_seconds: scanned.seconds,
            base_sweep_seconds: scanned.base_sweep_seconds,
            probe_seconds: scanned.probe_seconds,
            read_samples: totals.read,
            shard: self.own_share(&account),
        };
        let look = self.leak_probes > 0
            && summary.refusal.is_none()
            && pending.checkpoints.is_power_of_two();
        let kept = self.keep(job, (pending, scanned, forks), &account, summary);
        // After the count is out: it does not wait for this, and does not fail with it.
        if look
            && kept.is_ok()
            && let Err(problem) = self.look_for_leaks(job, model)
            && !self.cancel.load(Ordering::Relaxed)
        {
            tracing::warn!(run = job.run, "could not look for leaks: {problem}");
        }
        kept.map_err(|error| failed(EXPORT)(&error))
    }

    /// Changes the evidence, writes the results, then the state, then shows the count.
    fn keep(
        &self,
        job: &Job,
        (pending, scanned, forks): (Pending, Scan, Memory),
        account: &Account,
        summary: Summary,
    ) -> Result<(), DaemonError> {
        // Asked before anything is changed: it is the task's own code.
        let named = results::named(self.task.as_ref(), account);
        let state = self.runs.open(&job.run);
        let (epoch, step) = (summary.epoch, summary.step);
        let (suspects, history, scores) = {
            let mut state = lock(&state);
            let evidence = &mut state.evidence;
            evidence.take(pending, scanned.train_losses, scanned.train_margins, epoch);
            evidence.note_flags(&account.flags, epoch);
            evidence.note_history(&account.p_values, epoch, step);
            let scores = self
                .write_scores
                .then(|| results::scores(&self.labels, evidence, account));
            (
                results::listed(named, &self.labels, evidence, account),
                // Shared, not copied.
                evidence.history.clone(),
                scores,
            )
        };
        let directory = self.runs.directory(&job.run);
        let paths = Paths::new(&directory, summary.epoch, summary.step);
        // Results before the state on disk: whoever is killed in between scans this checkpoint again, if it is still
        // there, and writes them again, while evidence counted twice could not be taken back. Nobody else writes the
        // state before this thread has ended.
        let written = results::write(&paths, &summary, &suspects, &history, scores.as_deref());
        drop((history, scores));
        let outcome = match &written {
            Ok(()) => Outcome::Scanned,
            Err(error) => Outcome::Failed(EXPORT.to_string(), error.to_string()),
        };
        {
            let mut state = lock(&state);
            state.forks = forks;
            state.push_scan(entry(job, outcome), summary.clone());
        }
        self.runs.save(&job.run);
        self.hub.update_run(&job.run, |view| {
            view.summary = Some(Arc::new(summary.clone()));
            view.suspects = Arc::new(suspects);
            view.last_error.clear();
        });
        if written.is_ok() {
            // Last: whoever sees this count finds all that it stands for. Without results it is a
            // failure, and not counted twice.
            self.metrics.scanned.inc();
        }
        onset::warn(&job.run, &summary.onset);
        tracing::info!(
            run = job.run,
            epoch = summary.epoch,
            step = summary.step,
            seconds = format!("{:.1}", summary.scan_seconds),
            chosen = summary.choices.join("; "),
            "{}",
            summary.sentence()
        );
        written
    }
}

/// The parameters that a manifest describes.
pub(crate) fn described(manifest: &Manifest) -> Vec<model::Parameter> {
    let mut described = Vec::with_capacity(manifest.parameters.len());
    for parameter in &manifest.parameters {
        described.push(model::Parameter {
            name: parameter.name.clone(),
            shape: parameter.shape.clone(),
            dtype: parameter.dtype.clone(),
        });
    }
    described
}

/// A run so far, this scan included.
fn so_far(state: &SharedState, scanned: &Scan) -> Run {
    let state = lock(state);
    let scans = state.ledger.scans().iter();
    scans.fold(Run::new(scanned), |run, scan| {
        run.and(scan.probe_accuracy, scan.probe_noise_lower_bound)
    })
}
