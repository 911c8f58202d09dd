//! (c) A whole scan against what users would run instead, with the AUROC that each reaches.

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::data::dataset::Dataset;
use mirrorwatch_influence::exact::{Exact, InverseOptions, LissaOptions, inner};
use mirrorwatch_influence::{Labels, Layers, ScanConfig, Set, SweepOptions, scan};
use mirrorwatch_stats::ranking::auroc;
use quickstart::data::Source;
use serde_json::{Value, json};

use super::data::{Amount, CLASSES, Planted};
use super::nets::{Kind, Net};
use super::pytorch::PyTorch;
use super::ratio::{Contender, Spread, take_turns};
use super::report::Row;
use super::train::{BATCH, Training};
use super::{Found, Part, Suite};
use crate::product::defaults;

/// Times all of them on the same model and samples.
pub const PART: Part = Part {
    name: "methods",
    about: "other methods at the same checkpoint, in scans with the sidecar's defaults; above 1 is slower than a scan",
    run,
};

const PROBE: usize = 1000;
const TRUSTED: usize = 500;
const NOISE: f64 = 0.1;
/// Epochs before the checkpoint.
const EPOCHS: usize = 3;
/// As the documentation of cleanlab has it.
const FOLDS: usize = 5;
/// The rate at which TracIn's checkpoint was trained; a factor of all scores.
const RATE: f64 = 1e-3;
/// Rounds at most: an exact method takes a minute.
const ROUNDS: usize = 3;

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let mut found = Found::default();
    let train = if suite.quick { 600 } else { 20_000 };
    let amount = Amount {
        train,
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
        suite.tell(&format!("methods: {name}"));
        measure(suite, name, *kind, task, &mut pytorch, &mut found)?;
    }
    Ok(found)
}

/// The scores of one go.
type Scores = Vec<f32>;
/// A method of ours.
type Method = fn(&Ours<'_>) -> Result<Scores, String>;

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
    let steps = EPOCHS * task.training.len() / BATCH;
    let model = Training::new(task, &config.device, 0).after(steps)?;
    let reached = RefCell::new(Vec::<(String, Scores)>::new());
    // The last scores of a name are those that count; they are the same in every round.
    let keep = |name: &str, scores: Scores| {
        let mut reached = reached.borrow_mut();
        reached.retain(|(known, _)| known != name);
        reached.push((name.to_string(), scores));
    };
    let ours = Ours {
        task,
        model: &model,
        labels: &labels,
        config: &config,
    };
    let shared = pytorch.as_mut().map(RefCell::new);
    let mut contenders = Vec::new();
    let methods: [(&str, Method); 8] = [
        ("scan", |ours| ours.scan()),
        ("TracIn, all layers, exact", |ours| ours.tracin(Layers::All)),
        ("TracIn, last layer, exact", |ours| {
            ours.tracin(Layers::Last)
        }),
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
    for (name, method) in methods {
        let (ours, keep) = (&ours, &keep);
        contenders.push(Contender::new(name, move || {
            let start = Instant::now();
            let scores = method(ours)?;
            let seconds = start.elapsed().as_secs_f64();
            keep(name, scores);
            Ok(seconds)
        }));
    }
    if let Some(pytorch) = &shared {
        let name = kind.name();
        let weights = {
            let mut pytorch = pytorch.borrow_mut();
            pytorch.take_data(name, kind, task)?;
            pytorch.take_model(name, kind, &model)?;
            pytorch.weights("checkpoint", &model)?
        };
        for (title, mut request) in theirs(suite, name, config.batch_size, &weights) {
            let keep = &keep;
            contenders.push(Contender::new(format!("{title}, PyTorch"), move || {
                let mut pytorch = pytorch.borrow_mut();
                request["out"] = json!(pytorch.path("scores"));
                request["data"] = json!(name);
                let seconds = pytorch.seconds(&request)?;
                keep(&format!("{title}, PyTorch"), pytorch.floats("scores")?);
                Ok(seconds)
            }));
        }
    }
    let rounds = take_turns(suite.rounds.min(ROUNDS), &mut contenders)?;
    drop(contenders);
    for (place, name) in rounds.names.iter().enumerate() {
        let reached = reached.borrow();
        let Some((_, scores)) = reached.iter().find(|(known, _)| known == name) else {
            continue;
        };
        let judged = &labels.trusted.len();
        let area = auroc(&scores[*judged..], &task.wrong[*judged..]).unwrap_or(0.5);
        if place > 0 {
            found.add(Row::ratio(&rounds, place, 0, setting));
        }
        let area = Spread::of(&[area]);
        found.add(Row::figure(
            name,
            setting,
            area,
            "AUROC",
            "wrong labels above right ones",
        ));
    }
    Ok(())
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

/// What our own methods work on.
struct Ours<'a> {
    task: &'a Planted,
    model: &'a Net,
    labels: &'a Labels,
    config: &'a ScanConfig,
}

impl Ours<'_> {
    fn scan(&self) -> Result<Scores, String> {
        let never = AtomicBool::new(false);
        let found = scan(
            self.task,
            self.model,
            self.labels,
            self.config,
            &|_| (),
            &never,
        );
        let mut estimates = found.map_err(|error| error.to_string())?.estimates;
        Ok(estimates.swap_remove(0).train)
    }

    /// −⟨∇ℓ_i, ∇L_P⟩ of every training sample.
    fn tracin(&self, layers: Layers) -> Result<Scores, String> {
        self.each(layers, |exact| Ok(exact.probe().to_vec()))
    }

    /// −⟨∇ℓ_i, (G + λI)⁻¹ ∇L_P⟩, G over all training samples.
    fn inverse(&self, layers: Layers) -> Result<Scores, String> {
        let all: Vec<usize> = (0..self.labels.train.len()).collect();
        self.each(layers, |exact| {
            let solved = exact.inverse_curvature(&all, InverseOptions::default());
            Ok(solved.map_err(|error| error.to_string())?.v)
        })
    }

    /// The same with its own estimate of the product.
    fn lissa(&self, layers: Layers) -> Result<Scores, String> {
        let all: Vec<usize> = (0..self.labels.train.len()).collect();
        self.each(layers, |exact| {
            let found = exact.lissa(&all, LissaOptions::default());
            Ok(found.map_err(|error| error.to_string())?.v)
        })
    }

    /// −⟨∇ℓ_i, v⟩ of every training sample.
    fn each(
        &self,
        layers: Layers,
        v: impl FnOnce(&Exact<'_, Planted>) -> Result<Vec<f32>, String>,
    ) -> Result<Scores, String> {
        self.gradients(layers, v, |gradient, v| -inner(gradient, v))
    }

    /// ‖∇ℓ_i‖² of every training sample.
    fn own(&self) -> Result<Scores, String> {
        self.gradients(Layers::All, |_| Ok(Vec::new()), |g, _| inner(g, g))
    }

    fn gradients(
        &self,
        layers: Layers,
        v: impl FnOnce(&Exact<'_, Planted>) -> Result<Vec<f32>, String>,
        read: impl Fn(&[f32], &[f32]) -> f64,
    ) -> Result<Scores, String> {
        let options = SweepOptions {
            device: &self.config.device,
            batch_size: self.config.batch_size,
            progress: &|_| (),
            cancel: &AtomicBool::new(false),
        };
        let exact = Exact::new(self.task, self.model, self.labels, layers, &options)
            .map_err(|error| error.to_string())?;
        let v = v(&exact)?;
        let mut scores = Vec::with_capacity(self.labels.train.len());
        for (index, &label) in self.labels.train.iter().enumerate() {
            let gradient = exact.sample(Set::Training, index, label);
            let gradient = gradient.map_err(|error| error.to_string())?;
            scores.push(read(&gradient, &v) as f32);
        }
        Ok(scores)
    }
}
