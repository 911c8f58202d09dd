//! What runs a task's own code: it may panic or hang, and costs one checkpoint.

use std::sync::Arc;

use mirrorwatch_checkpoint::write_atomic;
use mirrorwatch_influence::leaks::LeakOptions;
use mirrorwatch_influence::{Labels, Memory, Readings, SweepOptions, Task, read_next, work};

use super::load::loaded;
use super::{Failure, Worker, described};
use crate::intake::Job;
use crate::leaks::{self, LeakRecord};
use crate::live;
use crate::results::json_bytes;

/// Random changes of the weights when leaks are looked for while training runs: half of what the command takes.
const LEAK_SKETCHES: usize = 8;

/// What was read of a checkpoint, by a thread that may be left behind.
pub(super) struct Read<M> {
    /// The checkpoint's model.
    pub model: M,
    /// What was read.
    pub readings: Readings,
    /// The forks, to be continued.
    pub forks: Memory,
}

impl<T: Task> Worker<T> {
    /// Loads the model and reads what it and its forks say, where nothing that the task does can hurt the daemon.
    pub(super) fn read(
        &self,
        job: &Job,
        labels: &Arc<Labels>,
        mut forks: Memory,
    ) -> Result<Read<T::Model>, Failure> {
        let manifest = job.spooled.manifest();
        let bytes = self.weights(job)?;
        let (format, parameters) = (manifest.weights.format.clone(), described(manifest));
        let checkpoint = job.spooled.key().to_string();
        let bar = live::scan_bar(work(&self.config, labels), &checkpoint);
        let (task, config, labels) = (self.task.clone(), self.config.clone(), labels.clone());
        let drawn = bar.clone();
        let read = self.apart.run(&checkpoint, move |life| {
            let model = loaded(task.as_ref(), &format, &parameters, bytes, &config.device)?;
            let progress = |samples: usize| {
                drawn.inc(samples as u64);
                life.beat();
            };
            let (forked, stop) = (&mut forks, &life.stop);
            let read = read_next(
                task.as_ref(),
                &model,
                &labels,
                &config,
                forked,
                &progress,
                stop,
            );
            let readings = read.map_err(|error| ("scan", error.to_string()))?;
            Ok(Read {
                model,
                readings,
                forks,
            })
        });
        bar.finish_and_clear();
        match read {
            Ok(read) => read,
            Err(lost) => Err(lost.failure("scan")),
        }
    }

    /// Looks for some probe samples in the training set, and keeps and shows what is found.
    pub(super) fn look_for_leaks(&self, job: &Job, model: T::Model) -> Result<(), String> {
        let options = LeakOptions {
            sketches: LEAK_SKETCHES,
            seed: self.config.seed,
            ..LeakOptions::default()
        };
        let probes = leaks::drawn(self.labels.probe.len(), self.leak_probes, self.config.seed);
        let manifest = job.spooled.manifest();
        let (task, config, labels) = (self.task.clone(), self.config.clone(), self.labels.clone());
        let looked = self.apart.run(&job.spooled.key().to_string(), move |life| {
            let forward = SweepOptions {
                device: &config.device,
                batch_size: config.batch_size,
                progress: &|_| life.beat(),
                cancel: &life.stop,
            };
            leaks::look(task.as_ref(), &model, &labels, &probes, &options, &forward)
        });
        let found = match looked {
            Ok(found) => found.map_err(|error| error.to_string())?,
            Err(lost) => return Err(lost.failure("leaks").1),
        };
        let record = LeakRecord {
            epoch: manifest.epoch,
            step: manifest.step,
            weights_sha256: manifest.weights.sha256.clone(),
            ..found
        };
        let path = leaks::path(&self.runs.directory(&job.run));
        let bytes = json_bytes(&record, &path).map_err(|error| error.to_string())?;
        write_atomic(&path, &bytes).map_err(|error| error.to_string())?;
        if record.leaked_probes > 0 {
            tracing::warn!(
                run = job.run,
                "{} of {} probe samples are in the training set, or nearly: the probe is not held out; see {}",
                record.leaked_probes,
                record.probes,
                path.display()
            );
        }
        self.hub
            .update_run(&job.run, |view| view.leaks = Some(Arc::new(record)));
        Ok(())
    }
}
