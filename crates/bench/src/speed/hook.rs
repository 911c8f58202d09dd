//! (d) What the hook costs the training that it is in.

mod cpu;
mod latency;

use std::cell::RefCell;
use std::time::Instant;

use mirrorwatch::hook::Stats;
use mirrorwatch::prelude::Hook;

use super::data::{Amount, Planted};
use super::nets::Kind;
use super::ratio::{Contender, Spread, take_turns};
use super::report::Row;
use super::train::{BATCH, Training};
use super::{Found, Part, Suite};
use crate::product::defaults;

/// Trains with and without the hook.
pub const PART: Part = Part {
    name: "hook",
    about: "a training with the hook as it is by default (a checkpoint an epoch, onto a disk) against the same one without, \
        epoch by epoch; and what it adds to the steps that publish, where every fifth does",
    run,
};

/// A pair of epochs says little on a machine that does other things, too: so many in each round.
const PAIRS: usize = 3;

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let settings: &[(Kind, usize)] = match suite.quick {
        true => &[(Kind::Mlp, 2000)],
        false => &[(Kind::Mlp, 20_000), (Kind::Cnn, 8000)],
    };
    let mut found = Found::default();
    for &(kind, train) in settings {
        let amount = Amount {
            train,
            probe: 1,
            trusted: 0,
            noise: 0.0,
        };
        let task = Planted::new(kind, amount, 0);
        epochs(suite, kind, &task, &mut found)?;
        latency::measure(suite, kind, &task, &mut found)?;
    }
    Ok(found)
}

/// Whole epochs, with the hook and without.
fn epochs(suite: &Suite<'_>, kind: Kind, task: &Planted, found: &mut Found) -> Result<(), String> {
    let steps = task.training.labels.len() / BATCH;
    let pairs = PAIRS * suite.rounds;
    let setting = format!("{}, epochs of {steps} steps, {pairs} pairs", kind.name());
    suite.tell(&format!("hook: {setting}"));
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let hook = Hook::new(directory.path(), "hooked");
    let device = defaults::<Planted>()?.device;
    let (mut with, mut without) = (
        Training::new(task, &device, 0),
        Training::new(task, &device, 0),
    );
    // Before that there is nothing to publish: the first step makes the weights.
    with.step()?;
    without.step()?;
    let (mut epoch, mut spent) = (0, Vec::new());
    // What each took of all cores: other programs do not change that.
    let (cpu_with, cpu_without) = (RefCell::default(), RefCell::default());
    let timed = |costs: &RefCell<Vec<f64>>, since: f64| -> Result<(), String> {
        costs.borrow_mut().push(cpu::seconds()? - since);
        Ok(())
    };
    let mut contenders = [
        Contender::new("an epoch with the hook", || {
            let (before, cpu) = (hook.stats(), cpu::seconds()?);
            let start = Instant::now();
            // The end of the epoch before: what is written of it is written while this one is trained.
            hook.on_epoch_end(epoch, epoch * steps, None, &with.model);
            epoch += 1;
            for step in 1..=steps {
                with.step()?;
                hook.on_step(epoch, (epoch - 1) * steps + step, None, &with.model);
            }
            let seconds = start.elapsed().as_secs_f64();
            let after = written(&hook, epoch as u64)?;
            timed(&cpu_with, cpu)?;
            let snapshot = after.snapshot_seconds_total - before.snapshot_seconds_total;
            let write = after.write_seconds_total - before.write_seconds_total;
            spent.push(100.0 * (snapshot + write) / seconds);
            Ok(seconds)
        }),
        Contender::new("one without", || {
            let (start, cpu) = (Instant::now(), cpu::seconds()?);
            for _ in 0..steps {
                without.step()?;
            }
            let seconds = start.elapsed().as_secs_f64();
            timed(&cpu_without, cpu)?;
            Ok(seconds)
        }),
    ];
    let rounds = take_turns(pairs, &mut contenders)?;
    drop(contenders);
    found.add(Row::longer(&rounds, 0, 1, &setting));
    let (with, without) = (cpu_with.into_inner(), cpu_without.into_inner());
    // The first ones warmed up.
    let pairs = with[1..].iter().zip(&without[1..]);
    let more: Vec<f64> = pairs.map(|(a, b)| 100.0 * (a / b - 1.0)).collect();
    found.add(Row::figure(
        "the same, CPU time of the process",
        &setting,
        Spread::of(&more),
        "%",
        "more than: one without; all threads, the writer's among them",
    ));
    found.add(Row::figure(
        "at work: snapshot, and the writer's thread",
        &setting,
        Spread::of(&spent[1..]),
        "%",
        "of the epoch, wall time: with its waits for a disk and for a core more than it takes from the training",
    ));
    Ok(())
}

/// Waits, outside of what is measured, until everything that was taken is on the disk.
///
/// # Errors
///
/// What the hook could not do.
pub fn written(hook: &Hook, published: u64) -> Result<Stats, String> {
    loop {
        let stats = hook.stats();
        if let Some(error) = stats.last_error {
            return Err(format!("the hook could not publish: {error}"));
        }
        if stats.published + stats.dropped >= published {
            return Ok(stats);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
