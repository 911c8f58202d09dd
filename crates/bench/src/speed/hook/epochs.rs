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

/// Pairs in each round.
const PAIRS: usize = 6;
/// Steps after which the other training has its turn: the machine is hardly another one by then, and the writer is done
/// with the checkpoint of the first piece.
const PIECE: usize = 40;
/// What the kernel keeps of the name of the hook's thread.
const WRITER: &str = "mirrorwatch-wri";

/// A hook in the epoch that it is in.
struct Hooked {
    hook: Hook,
    epoch: usize,
    /// Checkpoints that were still being written when their piece was over.
    late: usize,
}

/// Wall and CPU time, in seconds.
#[derive(Default, Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

/// Some steps of an epoch. Before its first one, the hook publishes the end of the one before, so that what is written of it
/// is written while this one is trained.
fn piece(
    training: &mut Training<'_>,
    mut hooked: Option<&mut Hooked>,
    (from, to, steps): (usize, usize, usize),
    took: &mut Took,
) -> Result<(), String> {
    let (start, cpu) = (Instant::now(), cpu::seconds()?);
    if let Some(Hooked { hook, epoch, .. }) = hooked.as_deref_mut()
        && from == 0
    {
        hook.on_epoch_end(*epoch, *epoch * steps, None, &training.model);
        *epoch += 1;
    }
    for step in from..to {
        training.step()?;
        if let Some(Hooked { hook, epoch, .. }) = hooked.as_deref() {
            hook.on_step(
                *epoch,
                (epoch - 1) * steps + step + 1,
                None,
                &training.model,
            );
        }
    }
    took.wall += start.elapsed().as_secs_f64();
    if let Some(Hooked { hook, epoch, late }) = hooked {
        let done = hook.stats();
        *late += usize::from(done.published + done.dropped < *epoch as u64);
        written(hook, *epoch as u64)?;
    }
    took.cpu += cpu::seconds()? - cpu;
    Ok(())
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
    let pairs = if suite.quick { 1 } else { PAIRS * suite.rounds };
    let setting = format!(
        "{}, epochs of {steps} steps, {pairs} pairs of two",
        kind.name()
    );
    suite.tell(&format!("hook: {setting}"));
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut hooked = Hooked {
        hook: Hook::new(directory.path(), "hooked"),
        epoch: 0,
        late: 0,
    };
    let device = defaults::<Planted>()?.device;
    let mut trainings = [
        Training::new(task, &device, 0),
        Training::new(task, &device, 0),
    ];
    for training in &mut trainings {
        // Before that there is nothing to publish: the first step makes the weights.
        training.step()?;
    }
    let (mut wall, mut cpu, mut added) = (vec![], vec![], vec![]);
    let (mut spent, mut takes, mut worked) = (vec![], vec![], 0.0);
    for pair in 0..=pairs {
        let before = hooked.hook.stats();
        let (mut with, mut without) = (Took::default(), Took::default());
        // Once the one training has the hook, once the other: where its memory lies alone makes one of them faster, by
        // more than the hook takes.
        for swapped in [false, true] {
            let [one, other] = &mut trainings;
            let (its, bare) = if swapped { (other, one) } else { (one, other) };
            for from in (0..steps).step_by(PIECE) {
                let place = (from, (from + PIECE).min(steps), steps);
                // Once the one comes first, once the other, in every place of an epoch.
                match (pair + from / PIECE) % 2 {
                    0 => {
                        piece(its, Some(&mut hooked), place, &mut with)?;
                        piece(bare, None, place, &mut without)?;
                    }
                    _ => {
                        piece(bare, None, place, &mut without)?;
                        piece(its, Some(&mut hooked), place, &mut with)?;
                    }
                }
            }
        }
        let had = cpu::seconds_of(WRITER)?;
        let writer = had - std::mem::replace(&mut worked, had);
        // The first pair warms up.
        if pair == 0 {
            hooked.late = 0;
            continue;
        }
        wall.push(100.0 * (with.wall / without.wall - 1.0));
        cpu.push(100.0 * (with.cpu / without.cpu - 1.0));
        added.push(1e3 * (with.wall - without.wall) / 2.0);
        let after = hooked.hook.stats();
        let snapshot = after.snapshot_seconds_total - before.snapshot_seconds_total;
        let write = after.write_seconds_total - before.write_seconds_total;
        spent.push([1e3 * write / 2.0, 1e6 * snapshot / 2.0]);
        takes.push(100.0 * (writer + snapshot) / without.wall);
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
        "from start to end of a checkpoint, with its waits; {} of {} took longer than the piece that they were measured in",
        hooked.late,
        2 * pairs
    );
    let (write, snapshot) = (of(0), of(1));
    let writer = "the writer's thread, beside the training";
    found.add(Row::figure(writer, &setting, write, "ms", &late));
    let once = "once an epoch, on the training's thread";
    found.add(Row::figure("a snapshot", &setting, snapshot, "µs", once));
    Ok(())
}
