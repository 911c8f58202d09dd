//! What the hook adds to single steps.

use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use mirrorwatch::prelude::Hook;

use super::super::data::Planted;
use super::super::interval::{above, within};
use super::super::nets::{Kind, Net};
use super::super::report::Row;
use super::super::train::Training;
use super::super::{Found, Suite};
use super::written;
use crate::product::defaults;

/// Steps in a stretch: something is done after its first one, and the others show what follows from it.
const STEPS: usize = 10;
/// Stretches of the same kind in a row.
const ROW: usize = 10;
/// Rows of each kind in a round.
const ROWS: usize = 25;
/// Everything is done by turns, in this order, so that nothing always comes first.
const TURNS: [Done; 6] = [
    Done::Nothing,
    Done::Hook,
    Done::Copy,
    Done::Copy,
    Done::Hook,
    Done::Nothing,
];

/// What is done after a step.
#[derive(Clone, Copy)]
enum Done {
    Nothing,
    /// The hook is called, and publishes.
    Hook,
    /// All weights are copied.
    Copy,
}

/// Seconds of many stretches of a kind.
#[derive(Default)]
struct Times {
    /// What was done, alone.
    alone: Vec<f64>,
    /// The whole stretch with it.
    stretch: Vec<f64>,
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
    let rows = if suite.quick { 1 } else { ROWS * suite.rounds };
    let setting = format!(
        "{}, {} publishing steps, one in {STEPS}",
        kind.name(),
        ROW * (rows + rows % 2)
    );
    suite.tell(&format!("hook: {setting}"));
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let hook = Hook::new(directory.path(), "steps").every_steps(1);
    let device = defaults::<Planted>()?.device;
    let mut bench = Bench {
        training: Training::new(task, &device, 0),
        hook,
        step: 0,
        times: Default::default(),
    };
    // To warm up.
    for done in TURNS {
        bench.row(done)?;
    }
    bench.times = Default::default();
    for _ in 0..rows.div_ceil(2) {
        for done in TURNS {
            bench.row(done)?;
        }
    }
    let [nothing, hooked, copied] = &bench.times;
    let micros = |of: &[f64]| of.iter().map(|seconds| 1e6 * seconds).collect::<Vec<_>>();
    let alone = [
        ("the hook, where it publishes", &hooked.alone),
        ("a bare copy of the weights", &copied.alone),
    ];
    for (what, times) in alone {
        for (name, share) in [("median", 0.5), ("p99", 0.99), ("max", 1.0)] {
            found.add(Row::figure(
                &format!("{what}, {name}"),
                &setting,
                within(&micros(times), share),
                "µs",
                "on the training's thread, between steps; with its 95 % interval",
            ));
        }
    }
    let stretches = [
        ("publishing", &hooked.stretch),
        ("a bare copy of the weights", &copied.stretch),
    ];
    for (what, times) in stretches {
        for (name, share) in [("median", 0.5), ("p99", 0.99)] {
            found.add(Row::figure(
                &format!("{STEPS} steps with {what}, {name}"),
                &setting,
                above(&micros(times), &micros(&nothing.stretch), share),
                "µs",
                "longer than that of as many steps with nothing; with its 95 % interval",
            ));
        }
    }
    Ok(())
}

struct Bench<'a> {
    training: Training<'a>,
    hook: Hook,
    step: usize,
    /// By what is done.
    times: [Times; 3],
}

impl Bench<'_> {
    /// Some stretches of a kind; what they leave to be written is waited for.
    fn row(&mut self, done: Done) -> Result<(), String> {
        // What was slept before is in nobody's time.
        self.training.step()?;
        let before = self.hook.stats();
        for _ in 0..ROW {
            let start = Instant::now();
            self.training.step()?;
            self.step += 1;
            let begun = Instant::now();
            match done {
                Done::Nothing => {}
                Done::Hook => self.hook.on_step(1, self.step, None, &self.training.model),
                Done::Copy => copy(&self.training.model)?,
            }
            let alone = begun.elapsed().as_secs_f64();
            for _ in 1..STEPS {
                self.training.step()?;
            }
            let times = &mut self.times[done as usize];
            times.alone.push(alone);
            times.stretch.push(start.elapsed().as_secs_f64());
        }
        let taken = self.hook.stats().snapshots - before.snapshots;
        written(&self.hook, before.published + before.dropped + taken)?;
        Ok(())
    }
}

/// Copies all weights of a model.
fn copy(model: &Net) -> Result<(), String> {
    let mut copier = Copier::default();
    model.visit(&mut copier);
    // Looked at, so that nothing of it can be left out.
    std::hint::black_box(&copier.copies);
    match copier.failed {
        Some(error) => Err(format!("cannot copy the weights: {error}")),
        None => Ok(()),
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
