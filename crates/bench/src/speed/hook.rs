//! (d) What the hook costs the training that it is in.

use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use mirrorwatch::hook::Stats;
use mirrorwatch::prelude::Hook;

use super::data::{Amount, Planted};
use super::nets::{Kind, Net};
use super::ratio::{Contender, Spread, quantile, take_turns};
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
/// Each of so many steps publishes where latency is measured.
const EVERY: usize = 5;
/// Steps that publish in each round of that.
const PUBLISHING: usize = 100;

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
        latency(suite, kind, &task, &mut found)?;
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
    let mut contenders = [
        Contender::new("an epoch with the hook", || {
            let before = hook.stats();
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
            let snapshot = after.snapshot_seconds_total - before.snapshot_seconds_total;
            let write = after.write_seconds_total - before.write_seconds_total;
            spent.push(100.0 * (snapshot + write) / seconds);
            Ok(seconds)
        }),
        Contender::new("one without", || {
            let start = Instant::now();
            for _ in 0..steps {
                without.step()?;
            }
            Ok(start.elapsed().as_secs_f64())
        }),
    ];
    let rounds = take_turns(pairs, &mut contenders)?;
    drop(contenders);
    found.add(Row::longer(&rounds, 0, 1, &setting));
    found.add(Row::figure(
        "at work: snapshot, and the writer's thread",
        &setting,
        Spread::of(&spent[1..]),
        "%",
        "of the epoch; all that there is to slow it down, where every core has something to do",
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

/// Seconds of steps and of what is done at them, over one round.
#[derive(Default)]
struct Times {
    /// The hook, at a step that publishes.
    publishing: Vec<f64>,
    /// The hook, at any other.
    idle: Vec<f64>,
    /// Copying all weights.
    copying: Vec<f64>,
    /// By how much longer the step after a publishing one takes than the one before it did.
    after: Vec<f64>,
}

fn latency(suite: &Suite<'_>, kind: Kind, task: &Planted, found: &mut Found) -> Result<(), String> {
    let publishing = if suite.quick { 10 } else { PUBLISHING };
    let setting = format!(
        "{}, {publishing} publishing steps in each of {} rounds",
        kind.name(),
        suite.rounds
    );
    suite.tell(&format!("hook: {setting}"));
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let hook = Hook::new(directory.path(), "steps").every_steps(EVERY);
    let device = defaults::<Planted>()?.device;
    let mut training = Training::new(task, &device, 0);
    let mut step = 0;
    let mut rounds = Vec::new();
    // One to warm up.
    for _ in 0..=suite.rounds {
        rounds.push(timed(&mut training, &hook, &mut step, publishing)?);
    }
    rounds.remove(0);
    if let Some(error) = hook.stats().last_error {
        return Err(format!("the hook could not publish: {error}"));
    }
    let times: [(&str, &str, fn(&Times) -> &[f64]); 4] = [
        (
            "the hook at a step that publishes",
            "on the training's thread",
            |t| &t.publishing,
        ),
        (
            "a bare copy of the weights",
            "all parameters into memory of their own, between other steps of the same training",
            |t| &t.copying,
        ),
        (
            "the hook at a step that does not",
            "on the training's thread",
            |t| &t.idle,
        ),
        (
            "the step after a publishing one",
            "longer than the one before it: new memory for the weights, and the writer beside it",
            |t| &t.after,
        ),
    ];
    for (what, note, of) in times {
        for (name, share) in [("median", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let micros = |times: &Times| 1e6 * quantile(of(times), share);
            let figures: Vec<f64> = rounds.iter().map(micros).collect();
            let what = format!("{what}, {name}");
            found.add(Row::figure(
                &what,
                &setting,
                Spread::of(&figures),
                "µs",
                note,
            ));
        }
    }
    let p99 = |values: &[f64]| quantile(values, 0.99);
    let ratios = rounds.iter().map(|t| p99(&t.publishing) / p99(&t.copying));
    found.add(Row::figure(
        "the hook at a step that publishes, p99",
        &setting,
        Spread::of(&ratios.collect::<Vec<_>>()),
        "×",
        "p99 of a bare copy of the weights",
    ));
    Ok(())
}

/// Trains until so many steps have published.
fn timed(
    training: &mut Training<'_>,
    hook: &Hook,
    step: &mut usize,
    publishing: usize,
) -> Result<Times, String> {
    let mut times = Times::default();
    let mut before = None;
    for _ in 0..publishing * EVERY {
        let start = Instant::now();
        training.step()?;
        let trained = start.elapsed().as_secs_f64();
        *step += 1;
        let start = Instant::now();
        hook.on_step(1, *step, None, &training.model);
        let hooked = start.elapsed().as_secs_f64();
        match *step % EVERY {
            0 => times.publishing.push(hooked),
            _ => times.idle.push(hooked),
        }
        match *step % EVERY {
            1 => times
                .after
                .extend(before.map(|before: f64| trained - before)),
            // Far from where the hook publishes.
            2 => times.copying.push(copy(&training.model)?),
            left if left == EVERY - 1 => before = Some(trained),
            _ => {}
        }
    }
    Ok(times)
}

/// Copies all weights of a model, and tells what that took.
fn copy(model: &Net) -> Result<f64, String> {
    let start = Instant::now();
    let mut copier = Copier::default();
    model.visit(&mut copier);
    let seconds = start.elapsed().as_secs_f64();
    // Looked at, so that nothing of it can be left out.
    std::hint::black_box(&copier.copies);
    match copier.failed {
        Some(error) => Err(format!("cannot copy the weights: {error}")),
        None => Ok(seconds),
    }
}

#[derive(Default)]
struct Copier {
    copies: Vec<Vec<f32>>,
    failed: Option<String>,
}

impl ModuleVisitor for Copier {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match param.val().into_data().try_to_vec::<f32>() {
            Ok(copy) => self.copies.push(copy),
            Err(error) => self.failed = Some(format!("{error:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_copy_has_every_weight() {
        let model = Net::new(Kind::Mlp, 10, &Device::flex()).unwrap();
        let mut copier = Copier::default();
        model.visit(&mut copier);
        // 256 → 512 → 512 → 10 with biases.
        let weights = 256 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10;
        let copied: usize = copier.copies.iter().map(Vec::len).sum();
        assert_eq!((copied, copier.failed), (weights, None));
    }
}
