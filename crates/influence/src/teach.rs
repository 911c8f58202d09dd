//! Forks: one for each direction and fold of the probe, side by side.

use crate::crew::{side_by_side, workers_on};
use crate::direction::{self, Probe, Step};
use crate::error::InfluenceError;
use crate::folds::Folds;
use crate::memory::Memory;
use crate::scan::{ScanConfig, directions_of, select};
use crate::sweep::{Outputs, SweepOptions};
use crate::task::{Labels, Task};

/// Forks of one direction that were taught all of the probe but one fold.
pub(crate) struct Taught<M> {
    /// The direction's name.
    pub direction: String,
    /// The fold that it has not seen.
    pub fold: usize,
    /// The models, and what is known of them.
    pub step: Step<M>,
}

/// Teaches the forks of every direction and fold, as many at a time as the device has workers.
pub(crate) fn teach<T: Task>(
    task: &T,
    model: &T::Model,
    labels: &Labels,
    config: &ScanConfig,
    (folds, probe_base): (&Folds, &Outputs),
    memory: &Memory,
    options: &SweepOptions<'_>,
) -> Result<Vec<Taught<T::Model>>, InfluenceError> {
    let mut jobs = Vec::new();
    for direction in directions_of(config) {
        for fold in 0..folds.count() {
            jobs.push((direction.clone(), fold));
        }
    }
    let workers = workers_on(&config.device).min(jobs.len()).max(1);
    let tools = vec![(model.clone(), config.device.clone()); workers];
    let mut taught: Vec<Option<Taught<T::Model>>> = Vec::new();
    taught.resize_with(jobs.len(), || None);
    let cancel = options.cancel;
    side_by_side(
        tools,
        jobs.len(),
        options.progress,
        |(model, device), job, tell| {
            let (name, fold) = &jobs[job];
            let held_out = folds.held_out(*fold);
            direction::by_name::<T>(name)?.step(&Probe {
                task,
                model,
                labels,
                learnt: &folds.learnt(*fold),
                held_out,
                held_out_before: &select(probe_base, held_out),
                device,
                batch_size: config.batch_size,
                seed: config.seed.wrapping_add(*fold as u64),
                last: memory.of(name, *fold),
                progress: tell,
                cancel,
            })
        },
        |job, step| {
            let (direction, fold) = jobs[job].clone();
            taught[job] = Some(Taught {
                direction,
                fold,
                step,
            });
        },
    )?;
    Ok(taught.into_iter().flatten().collect())
}
