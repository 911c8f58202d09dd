//! Whole epochs, with the hook and without.

use std::time::Instant;

use mirrorwatch::prelude::Hook;

use super::super::data::Planted;
use super::super::interval::within;
use super::super::nets::Kind;
use super::super::ratio::Spread;
use super::super::report::Row;
use super::super::train::{BATCH, Training};
use super::super::{Found, Suite};
use super::{cpu, written};
use crate::product::defaults;

/// Pairs of epochs in each round.
const PAIRS: usize = 12;
/// Steps after which the other training has its turn: the machine is hardly another one by then, and the writer is done
/// with the checkpoint of the first piece.
const PIECE: usize = 40;
/// What the kernel keeps of the name of the hook's thread.
const WRITER: &str = "mirrorwatch-wri";

/// A training whose epochs are measured piece by piece.
struct Measured<'a> {
    training: Training<'a>,
    hook: Option<Hook>,
    epoch: usize,
    /// Wall and CPU time of the epoch so far, in seconds.
    wall: f64,
    cpu: f64,
    /// Checkpoints that were still being written when their piece was over.
    late: usize,
}

impl<'a> Measured<'a> {
    fn new(task: &'a Planted, hook: Option<Hook>) -> Result<Self, String> {
        let mut training = Training::new(task, &defaults::<Planted>()?.device, 0);
        // Before that there is nothing to publish: the first step makes the weights.
        training.step()?;
        Ok(Self {
            training,
            hook,
            epoch: 0,
            wall: 0.0,
            cpu: 0.0,
            late: 0,
        })
    }

    /// Some steps of an epoch; before its first one, the end of the one before is published, so that what is written of
    /// it is written while this one is trained.
    fn piece(&mut self, from: usize, to: usize, steps: usize) -> Result<(), String> {
        let (start, cpu) = (Instant::now(), cpu::seconds()?);
        if let Some(hook) = &self.hook
            && from == 0
        {
            hook.on_epoch_end(self.epoch, self.epoch * steps, None, &self.training.model);
            self.epoch += 1;
        }
        for step in from..to {
            self.training.step()?;
            if let Some(hook) = &self.hook {
                let step = (self.epoch - 1) * steps + step + 1;
                hook.on_step(self.epoch, step, None, &self.training.model);
            }
        }
        self.wall += start.elapsed().as_secs_f64();
        if let Some(hook) = &self.hook {
            let done = hook.stats();
            self.late += usize::from(done.published + done.dropped < self.epoch as u64);
            written(hook, self.epoch as u64)?;
        }
        self.cpu += cpu::seconds()? - cpu;
        Ok(())
    }

    /// Wall and CPU time of the epoch, which is over.
    fn take(&mut self) -> [f64; 2] {
        [
            std::mem::take(&mut self.wall),
            std::mem::take(&mut self.cpu),
        ]
    }
}

/// Measures them.
///
/// # Errors
///
/// A training or a hook that fails.
pub fn measure(
    suite: &Suite<'_>,
    kind: Kind,
    task: &Planted,
    found: &mut Found,
) -> Result<(), String> {
    let steps = task.training.labels.len() / BATCH;
    let pairs = if suite.quick { 2 } else { PAIRS * suite.rounds };
    let setting = format!("{}, epochs of {steps} steps, {pairs} pairs", kind.name());
    suite.tell(&format!("hook: {setting}"));
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let hook = Hook::new(directory.path(), "hooked");
    let mut with = Measured::new(task, Some(hook.clone()))?;
    let mut without = Measured::new(task, None)?;
    let (mut wall, mut cpu, mut added, mut spent, mut takes) =
        (vec![], vec![], vec![], vec![], vec![]);
    let mut worked = 0.0;
    for pair in 0..=pairs {
        let before = hook.stats();
        for from in (0..steps).step_by(PIECE) {
            let to = (from + PIECE).min(steps);
            // Once the one comes first, once the other, in every place of an epoch.
            let (one, other) = match (pair + from / PIECE) % 2 {
                0 => (&mut with, &mut without),
                _ => (&mut without, &mut with),
            };
            one.piece(from, to, steps)?;
            other.piece(from, to, steps)?;
        }
        let ([wall_with, cpu_with], [wall_without, cpu_without]) = (with.take(), without.take());
        let had = cpu::seconds_of(WRITER)?;
        let writer = had - std::mem::replace(&mut worked, had);
        // The first pair warms up.
        if pair > 0 {
            wall.push(100.0 * (wall_with / wall_without - 1.0));
            cpu.push(100.0 * (cpu_with / cpu_without - 1.0));
            added.push(1e3 * (wall_with - wall_without));
            let after = hook.stats();
            let snapshot = after.snapshot_seconds_total - before.snapshot_seconds_total;
            let write = after.write_seconds_total - before.write_seconds_total;
            spent.push([1e3 * write, 1e6 * snapshot]);
            takes.push(100.0 * (writer + snapshot) / wall_without);
        } else {
            with.late = 0;
        }
    }
    let interval = |what: &str, figures: &[f64], unit, note: &str| {
        let note = format!("{note}; median of the pairs, with its 95 % interval");
        Row::figure(what, &setting, within(figures, 0.5), unit, &note)
    };
    let longer = "longer than: one without, in turns of a few steps";
    found.add(interval("an epoch with the hook", &wall, "%", longer));
    found.add(interval("an epoch with the hook", &added, "ms", longer));
    found.add(interval(
        "the same, CPU time of the process",
        &cpu,
        "%",
        "more than: one without; all threads, the writer's among them",
    ));
    found.add(interval(
        "CPU time of the snapshot and of the writer's thread",
        &takes,
        "%",
        "of the epoch's wall time: as much as it can take from the training where every core is needed",
    ));
    let of = |which: usize| Spread::of(&spent.iter().map(|s| s[which]).collect::<Vec<_>>());
    let late = format!(
        "from start to end of a checkpoint, with its waits; {} of {pairs} took longer than the piece that they were measured in",
        with.late
    );
    let (write, snapshot) = (of(0), of(1));
    let writer = "the writer's thread, beside the training";
    found.add(Row::figure(writer, &setting, write, "ms", &late));
    let once = "once an epoch, on the training's thread";
    found.add(Row::figure("a snapshot", &setting, snapshot, "µs", once));
    Ok(())
}
