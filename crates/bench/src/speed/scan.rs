//! (a) What a scan costs, in units of one bare forward sweep.

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::data::dataset::Dataset;
use burn::tensor::Device;
use mirrorwatch_influence::{Labels, Memory, Scan, ScanConfig, Task, scan_next};

use super::data::{Amount, Planted};
use super::nets::{Kind, Net};
use super::ratio::{Contender, Spread, take_turns};
use super::report::Row;
use super::train::{BATCH, Training};
use super::{Found, Part, Suite};
use crate::product::defaults;

/// Times scans of the product's defaults against a loop that only runs the model forward.
pub const PART: Part = Part {
    name: "scan",
    about: "a scan with the sidecar's defaults, in bare forward sweeps over the same samples on the same backend",
    run,
};

/// Probe and trusted samples, as a user would have them.
const PROBE: usize = 1000;
const TRUSTED: usize = 1000;
/// Share of wrong labels.
const NOISE: f64 = 0.1;

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let sizes: &[(Kind, usize)] = match suite.quick {
        true => &[(Kind::Mlp, 4000)],
        false => &[
            (Kind::Mlp, 20_000),
            (Kind::Mlp, 100_000),
            (Kind::Cnn, 20_000),
        ],
    };
    let mut found = Found::default();
    for &(kind, train) in sizes {
        for trusted in [TRUSTED, 0] {
            measure(suite, kind, train, trusted, &mut found)?;
        }
    }
    Ok(found)
}

fn measure(
    suite: &Suite<'_>,
    kind: Kind,
    train: usize,
    trusted: usize,
    found: &mut Found,
) -> Result<(), String> {
    let setting = format!("{}, N = {train}, {trusted} trusted", kind.name());
    suite.tell(&format!("scan: {setting}"));
    let amount = Amount {
        train,
        probe: PROBE,
        trusted,
        noise: NOISE,
    };
    let task = Planted::new(kind, amount, 0);
    let labels = task.labels()?;
    let config = defaults::<Planted>()?;
    // What a run's checkpoints are apart.
    let epoch = train.min(20_000) / BATCH;
    let mut training = Training::new(&task, &config.device, 0);
    let before = training.after(epoch)?;
    let model = training.after(epoch)?;
    let mut remembered = Memory::default();
    whole(&task, &before, &labels, &config, &mut remembered)?;
    let (firsts, laters) = (RefCell::default(), RefCell::default());
    let scan = |memory: &Memory, costs: &RefCell<Vec<Cost>>| {
        let mut memory = memory.clone();
        let start = Instant::now();
        let scan = whole(&task, &model, &labels, &config, &mut memory)?;
        let seconds = start.elapsed().as_secs_f64();
        costs.borrow_mut().push(Cost {
            probe: scan.probe_seconds,
            whole: seconds,
        });
        Ok(seconds)
    };
    let mut contenders = [
        Contender::new("a later scan of a run", || scan(&remembered, &laters)),
        Contender::new("the first scan of a run", || {
            scan(&Memory::default(), &firsts)
        }),
        Contender::new("one bare forward sweep", || {
            bare(&task, &model, &config.device, config.batch_size)
        }),
    ];
    let rounds = take_turns(suite.rounds, &mut contenders)?;
    drop(contenders);
    let mut later = Vec::new();
    for (nth, costs) in [laters.into_inner(), firsts.into_inner()]
        .iter()
        .enumerate()
    {
        found.add(Row::ratio(&rounds, nth, 2, &setting));
        // The first one warmed up.
        let pairs = costs[1..].iter().zip(&rounds.seconds[2]);
        let (mut shares, mut without) = (Vec::new(), Vec::new());
        for (cost, bare) in pairs {
            shares.push(100.0 * cost.probe / cost.whole);
            without.push((cost.whole - cost.probe) / bare);
            later.push((nth, cost.whole, *bare));
        }
        let row = |what, figures: &[f64], unit, note| {
            Row::figure(what, &setting, Spread::of(figures), unit, note)
        };
        found.add(row(
            "of it, without the probe's own cost",
            &without,
            "×",
            "one bare forward sweep",
        ));
        found.add(row(
            "the probe's own cost",
            &shares,
            "%",
            "of the scan: forks taught, their depth chosen",
        ));
    }
    found.add(amortised(&later, &setting));
    Ok(())
}

/// What a scan took, in seconds.
struct Cost {
    probe: f64,
    whole: f64,
}

/// Checkpoints of a run over which the first scan's price is spread.
const CHECKPOINTS: f64 = 30.0;

/// The mean cost of a scan over a whole run. `costs` has, of each round, which scan it was (0 = a later one), what it
/// took and what a bare sweep did.
fn amortised(costs: &[(usize, f64, f64)], setting: &str) -> Row {
    let of = |which| costs.iter().filter(move |(nth, _, _)| *nth == which);
    let mut means = Vec::new();
    for ((_, later, bare), (_, first, _)) in of(0).zip(of(1)) {
        means.push((first + (CHECKPOINTS - 1.0) * later) / CHECKPOINTS / bare);
    }
    Row::figure(
        "a scan on average over a run of 30",
        setting,
        Spread::of(&means),
        "×",
        "one bare forward sweep",
    )
}

fn whole(
    task: &Planted,
    model: &Net,
    labels: &Labels,
    config: &ScanConfig,
    memory: &mut Memory,
) -> Result<Scan, String> {
    let never = AtomicBool::new(false);
    scan_next(task, model, labels, config, memory, &|_| (), &never)
        .map_err(|error| error.to_string())
}

/// The loop that anybody would write: read, batch, run forward, fetch the logits.
///
/// # Errors
///
/// A sample that cannot be read, or logits that are no floats.
pub fn bare(
    task: &Planted,
    model: &Net,
    device: &Device,
    batch_size: usize,
) -> Result<f64, String> {
    let start = Instant::now();
    let data = task.train();
    let mut sum = 0.0;
    for from in (0..data.len()).step_by(batch_size) {
        let to = (from + batch_size).min(data.len());
        let mut items = Vec::with_capacity(batch_size);
        for index in from..to {
            items.push(data.get(index).map_err(|error| error.to_string())?);
        }
        let logits = task.logits(model, &task.batch(items, device));
        let logits = logits.into_data().try_to_vec::<f32>();
        sum += logits.map_err(|error| format!("{error:?}"))?[0];
    }
    // Looked at, so that nothing of it can be left out.
    std::hint::black_box(sum);
    Ok(start.elapsed().as_secs_f64())
}
