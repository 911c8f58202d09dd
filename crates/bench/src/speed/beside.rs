//! (e) What a sidecar on the same cores costs the training that it watches.

use std::cell::RefCell;
use std::time::Instant;

use mirrorwatch::prelude::Hook;

use super::client::metric;
use super::data::{Amount, Planted};
use super::nets::Kind;
use super::ratio::{Contender, Spread, take_turns};
use super::report::Row;
use super::sidecar::Sidecar;
use super::train::{BATCH, Training};
use super::{Found, Part, Suite};
use crate::product::defaults;

/// Trains with and without a sidecar beside it.
pub const PART: Part = Part {
    name: "beside",
    about: "a training that publishes epochs while a sidecar scans them on the same cores, against the same training \
        that nobody watches; epochs are shorter than scans here, so that the sidecar never rests",
    run,
};

const PROBE: usize = 1000;
const TRUSTED: usize = 1000;
const NOISE: f64 = 0.1;
/// Rounds at most: each waits for the scans that are still going on.
const ROUNDS: usize = 5;
/// The sidecars that are compared: what they are called, and their options.
const SIDECARS: [(&str, &[&str]); 3] = [
    ("with a sidecar", &[]),
    // The default is one for every two cores.
    ("with a sidecar of two threads", &["--threads", "2"]),
    ("with a sidecar that is not nicer", &["--nice", "0"]),
];

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let settings: &[(Kind, usize, usize)] = match suite.quick {
        true => &[(Kind::Mlp, 2000, 2)],
        false => &[(Kind::Mlp, 20_000, 6), (Kind::Cnn, 8000, 3)],
    };
    let mut found = Found::default();
    for &(kind, train, epochs) in settings {
        measure(suite, kind, train, epochs, &mut found)?;
    }
    Ok(found)
}

/// What the sidecars did while they were measured.
#[derive(Default)]
struct Work {
    cpu_seconds: Vec<f64>,
    scan_seconds: Vec<f64>,
}

fn measure(
    suite: &Suite<'_>,
    kind: Kind,
    train: usize,
    epochs: usize,
    found: &mut Found,
) -> Result<(), String> {
    let setting = format!(
        "{}, N = {train}, {epochs} epochs, {PROBE} probe, {TRUSTED} trusted",
        kind.name()
    );
    suite.tell(&format!("beside: {setting}"));
    let amount = Amount {
        train,
        probe: PROBE,
        trusted: TRUSTED,
        noise: NOISE,
    };
    let task = Planted::new(kind, amount, 0);
    let nobody = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut alone = Trained::new(&task, epochs, &Hook::new(nobody.path(), "run"))?;
    let work: Vec<RefCell<Work>> = SIDECARS.iter().map(|_| RefCell::default()).collect();
    let mut contenders = vec![Contender::new("that nobody watches", || {
        let seconds = alone.go()?;
        alone.written()?;
        Ok(seconds)
    })];
    for ((name, options), work) in SIDECARS.into_iter().zip(&work) {
        let mut sidecar = Sidecar::start(kind, amount, options)?;
        let hook = Hook::new(sidecar.root(), "run");
        let mut watched = Trained::new(&task, epochs, &hook)?;
        contenders.push(Contender::new(name, move || {
            let before = (sidecar.cpu_seconds()?, sidecar.scrape()?);
            let seconds = watched.go()?;
            // Not measured; the others are to be alone.
            sidecar.settled(watched.written()?)?;
            let after = sidecar.scrape()?;
            let more = |name| metric(&after, name) - metric(&before.1, name);
            let scans = more("mirrorwatch_checkpoints_scanned_total").max(1.0);
            let mut work = work.borrow_mut();
            work.cpu_seconds
                .push((sidecar.cpu_seconds()? - before.0) / scans);
            work.scan_seconds
                .push(more("mirrorwatch_scan_duration_seconds_sum") / scans);
            Ok(seconds)
        }));
    }
    let rounds = take_turns(suite.rounds.min(ROUNDS), &mut contenders)?;
    drop(contenders);
    for (nth, work) in work.iter().enumerate() {
        let work = work.borrow();
        found.add(Row::longer(&rounds, nth + 1, 0, &setting));
        for (what, figures, note) in [
            (
                "CPU time a scanned checkpoint",
                &work.cpu_seconds,
                "all that the process did: watching, scan, results, serving",
            ),
            (
                "a scan beside the training",
                &work.scan_seconds,
                "wall time, from loaded weights to scores",
            ),
        ] {
            let what = format!("{}: {what}", rounds.names[nth + 1]);
            // The first one warmed up.
            let figure = Spread::of(&figures[1..]);
            found.add(Row::figure(&what, &setting, figure, "s", note));
        }
    }
    Ok(())
}

/// A training that goes on by some epochs at a time, each of which is published.
struct Trained<'a> {
    training: Training<'a>,
    hook: Hook,
    epochs: usize,
    steps: usize,
    epoch: usize,
}

impl<'a> Trained<'a> {
    fn new(task: &'a Planted, epochs: usize, hook: &Hook) -> Result<Self, String> {
        let mut training = Training::new(task, &defaults::<Planted>()?.device, 0);
        // Before that there is nothing to publish: the first step makes the weights.
        training.step()?;
        Ok(Self {
            training,
            hook: hook.clone(),
            epochs,
            steps: task.training.labels.len() / BATCH,
            epoch: 0,
        })
    }

    /// Some more epochs; the first checkpoint comes at once, so that there is something to scan all the while.
    fn go(&mut self) -> Result<f64, String> {
        let start = Instant::now();
        for _ in 0..self.epochs {
            self.epoch += 1;
            let step = self.epoch * self.steps;
            self.hook
                .on_epoch_end(self.epoch, step, None, &self.training.model);
            for _ in 0..self.steps {
                self.training.step()?;
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// Waits until everything is published, and tells how much that is.
    fn written(&self) -> Result<u64, String> {
        let published = super::hook::written(&self.hook, self.epoch as u64)?;
        Ok(published.published)
    }
}
