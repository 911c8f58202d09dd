//! What the hook adds to single steps.

use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use mirrorwatch::prelude::Hook;

use super::super::data::Planted;
use super::super::nets::{Kind, Net};
use super::super::ratio::{Spread, quantile};
use super::super::report::Row;
use super::super::train::Training;
use super::super::{Found, Suite};
use crate::product::defaults;

/// Each of so many steps publishes where latency is measured.
const EVERY: usize = 5;
/// Steps that publish in each round of that.
const PUBLISHING: usize = 100;

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

/// Some of the times of a round.
type Of = fn(&Times) -> &[f64];

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
    let times: [(&str, &str, Of); 4] = [
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
