//! (c) Scans against what users would run instead, with the AUROC that each reaches.

mod ours;

use std::cell::RefCell;
use std::time::Instant;

use burn::data::dataset::Dataset;
use mirrorwatch_influence::{Layers, Memory};
use mirrorwatch_stats::ranking::auroc;
use quickstart::data::Source;
use serde_json::{Value, json};

use super::data::{Amount, CLASSES, Planted};
use super::nets::Kind;
use super::pytorch::PyTorch;
use super::ratio::{Contender, Rounds, Spread, take_turns, take_turns_at_once};
use super::report::Row;
use super::train::{BATCH, Training};
use super::{Found, Part, Suite};
use crate::product::defaults;
use ours::Ours;

/// Times all of them on the same model and samples.
pub const PART: Part = Part {
    name: "methods",
    about: "other methods at the same checkpoint, in scans with the sidecar's defaults: in a later one, as all but the first of a \
        run are (its forks start from where those of the checkpoint an epoch before went), and in a first one; above 1 is slower \
        than the scan",
    run,
};

const TRAIN: usize = 20_000;
const PROBE: usize = 1000;
const TRUSTED: usize = 500;
const NOISE: f64 = 0.1;
/// Epochs before the checkpoint.
const EPOCHS: usize = 3;
/// As the documentation of cleanlab has it.
const FOLDS: usize = 5;
/// The rate at which TracIn's checkpoint was trained; a factor of all scores.
const RATE: f64 = 1e-3;
/// Methods that take minutes take part in one round of so many.
const ONE_IN: usize = 3;
/// Of so many probe samples it is measured what a step for each of them costs.
const EACH: usize = 20;

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let mut found = Found::default();
    let amount = Amount {
        train: if suite.quick { 600 } else { TRAIN },
        probe: if suite.quick { 200 } else { PROBE },
        trusted: if suite.quick { 100 } else { TRUSTED },
        noise: NOISE,
    };
    let embedded = Source::embedded().map_err(|error| error.to_string())?;
    let mut tasks = vec![(
        "Fashion-MNIST, cnn",
        Kind::Cnn,
        Planted::real(Kind::Cnn, &embedded, amount, 0)?,
    )];
    match suite.data("cifar10") {
        Some(directory) => {
            let source = Source::open(directory).map_err(|error| error.to_string())?;
            tasks.push((
                "CIFAR-10 features, mlp",
                Kind::Mlp,
                Planted::real(Kind::Mlp, &source, amount, 0)?,
            ));
        }
        None => found.skipped.push(
            "CIFAR-10 features: no data; give their directory with --data cifar10=DIR".to_string(),
        ),
    }
    let mut pytorch = suite.pytorch(&mut found)?;
    for (name, kind, task) in &tasks {
        let setting = format!("{name}, N = {}", task.training.len());
        suite.tell(&format!("methods: {setting}"));
        measure(suite, &setting, *kind, task, &mut pytorch, &mut found)?;
    }
    Ok(found)
}

/// The scores of one go.
type Scores = Vec<f32>;
/// A method of ours.
type Method = fn(&Ours<'_>) -> Result<Scores, String>;

/// What all others are measured in, first of every group.
const SCANS: [(&str, Method); 2] = [
    ("a later scan of a run", |ours| ours.scan(ours.memory)),
    ("the first scan of a run", |ours| {
        ours.scan(&Memory::default())
    }),
];
/// Those that take as long as a scan, or a few times that.
const SHORT: [(&str, Method); 2] = [
    ("TracIn, last layer, exact", |ours| {
        ours.tracin(Layers::Last)
    }),
    (
        "TracIn by finite differences, our estimator gradient:delta",
        |ours| ours.differences(),
    ),
];
/// And those that take minutes.
const LONG: [(&str, Method); 6] = [
    ("TracIn, all layers, exact", |ours| ours.tracin(Layers::All)),
    ("self-influence, exact", |ours| ours.own()),
    ("influence functions by CG, all layers", |ours| {
        ours.inverse(Layers::All)
    }),
    ("influence functions by CG, last layer", |ours| {
        ours.inverse(Layers::Last)
    }),
    ("influence functions by LiSSA, all layers", |ours| {
        ours.lissa(Layers::All)
    }),
    ("influence functions by LiSSA, last layer", |ours| {
        ours.lissa(Layers::Last)
    }),
];

fn measure(
    suite: &Suite<'_>,
    setting: &str,
    kind: Kind,
    task: &Planted,
    pytorch: &mut Option<PyTorch>,
    found: &mut Found,
) -> Result<(), String> {
    let labels = task.labels()?;
    let config = defaults::<Planted>()?;
    let epoch = task.training.len() / BATCH;
    let mut training = Training::new(task, &config.device, 0);
    let before = training.after((EPOCHS - 1) * epoch)?;
    let model = training.after(epoch)?;
    let mut ours = Ours {
        task,
        model: &before,
        labels: &labels,
        config: &config,
        memory: &Memory::default(),
    };
    let memory = ours.remembered()?;
    (ours.model, ours.memory) = (&model, &memory);
    let reached = RefCell::new(Vec::<(String, Scores)>::new());
    // The last scores of a name are those that count; they are the same in every round.
    let keep = |name: &str, scores: Scores| {
        let mut reached = reached.borrow_mut();
        reached.retain(|(known, _)| known != name);
        reached.push((name.to_string(), scores));
    };
    let shared = pytorch.as_mut().map(RefCell::new);
    let name = kind.name();
    let (mut short, mut long) = (Vec::new(), Vec::new());
    for (group, methods) in [(&mut short, &SHORT[..]), (&mut long, &LONG[..])] {
        for &(name, method) in SCANS.iter().chain(methods) {
            let (ours, keep) = (&ours, &keep);
            group.push(Contender::new(name, move || {
                let start = Instant::now();
                let scores = method(ours)?;
                let seconds = start.elapsed().as_secs_f64();
                keep(name, scores);
                Ok(seconds)
            }));
        }
    }
    if let Some(pytorch) = &shared {
        let weights = {
            let mut pytorch = pytorch.borrow_mut();
            pytorch.take_data(name, kind, task)?;
            pytorch.take_model(name, kind, &model)?;
            pytorch.weights("checkpoint", &model)?
        };
        for (title, mut request) in theirs(suite, name, config.batch_size, &weights) {
            let group = match request["do"] == "cleanlab" {
                true => &mut long,
                false => &mut short,
            };
            let keep = &keep;
            group.push(Contender::new(format!("{title}, PyTorch"), move || {
                let mut pytorch = pytorch.borrow_mut();
                request["out"] = json!(pytorch.path("scores"));
                request["data"] = json!(name);
                let seconds = pytorch.seconds(&request)?;
                keep(&format!("{title}, PyTorch"), pytorch.floats("scores")?);
                Ok(seconds)
            }));
        }
        short.push(Contender::new(
            format!("Forward-INF as published, a step for each probe sample (extrapolated from {EACH}), PyTorch"),
            || each(&mut pytorch.borrow_mut(), name, config.batch_size, task.probing.len()),
        ));
    }
    let judged = labels.trusted.len();
    let mut told = Vec::new();
    let rounds = [
        take_turns(suite.rounds, &mut short)?,
        take_turns_at_once(suite.rounds.div_ceil(ONE_IN), &mut long)?,
    ];
    drop((short, long));
    for rounds in rounds {
        for place in 0..rounds.names.len() {
            let name = &rounds.names[place];
            times(&rounds, place, setting, found);
            let reached = reached.borrow();
            let scores = reached.iter().find(|(known, _)| known == name);
            if let Some((_, scores)) = scores
                && !told.contains(name)
            {
                let area = auroc(&scores[judged..], &task.wrong[judged..]).unwrap_or(0.5);
                found.add(Row::figure(
                    name,
                    setting,
                    Spread::single(area),
                    "AUROC",
                    "wrong labels above right ones",
                ));
                told.push(name.clone());
            }
        }
    }
    Ok(())
}

/// What a contender took, in both kinds of scans; those in seconds.
fn times(rounds: &Rounds, place: usize, setting: &str, found: &mut Found) {
    if place < SCANS.len() {
        let note = "beside what follows";
        let took = rounds.took(place);
        found.add(Row::figure(&rounds.names[place], setting, took, "s", note));
    }
    for scan in 0..SCANS.len().min(place) {
        found.add(Row::ratio(rounds, place, scan, setting));
    }
}

/// What Forward-INF would take with a step and a sweep for each sample of the probe, as its authors publish it: the sweep
/// before, and as many times that of a few samples as there are.
fn each(pytorch: &mut PyTorch, name: &str, batch: usize, probe: usize) -> Result<f64, String> {
    let out = pytorch.path("each");
    let answer = pytorch.ask(&json!({
        "do": "forward_inf", "model": name, "data": name, "batch": batch, "each": true, "first": EACH, "out": out,
    }))?;
    let field = |field: &str| {
        answer[field]
            .as_f64()
            .ok_or(format!("no {field} in {answer}"))
    };
    let (whole, base) = (field("seconds")?, field("base_seconds")?);
    Ok(base + (whole - base) * probe as f64 / EACH.min(probe) as f64)
}

/// What PyTorch is asked for.
fn theirs(
    suite: &Suite<'_>,
    name: &str,
    batch: usize,
    weights: &std::path::Path,
) -> Vec<(&'static str, Value)> {
    let epochs = if suite.quick { 1 } else { EPOCHS };
    let forward = json!({"do": "forward_inf", "model": name, "batch": batch});
    let mut signed = forward.clone();
    signed["signed"] = json!(true);
    // Captum computes the probe anew for every batch of the training set: few and large ones are its best case.
    let captum = json!({
        "do": "tracin_fast", "model": name, "batch": 5000, "lr": RATE, "checkpoints": [weights],
    });
    let mut own = captum.clone();
    own["self"] = json!(true);
    vec![
        ("Forward-INF as published", forward),
        ("Forward-INF, signed", signed),
        ("Captum's TracInCPFast", captum),
        ("Captum's TracInCPFast, self-influence", own),
        (
            "cleanlab, five-fold",
            json!({
                "do": "cleanlab", "kind": name, "classes": CLASSES, "folds": FOLDS, "epochs": epochs,
                "lr": RATE, "batch": BATCH, "optimizer": "adam",
            }),
        ),
    ]
}
