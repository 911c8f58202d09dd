//! (b) Forward sweeps and training steps, against PyTorch's.

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::data::dataset::Dataset;
use burn::module::Module;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch_daemon::backend;
use mirrorwatch_influence::{Set, SweepOptions, model as weights, sweep};
use serde_json::json;

use super::data::{Amount, Planted, Rows};
use super::nets::{Kind, Net};
use super::pytorch::PyTorch;
use super::ratio::{Contender, take_turns};
use super::report::Row;
use super::train::Training;
use super::{Found, Part, Suite};

/// Times both on every backend of this build.
pub const PART: Part = Part {
    name: "forward",
    about: "a forward sweep and training steps, in those of PyTorch eager with the same model, weights, samples, batches and threads; below 1 is faster",
    run,
};

/// Samples in a batch of a sweep, and of a step.
const SWEEP_BATCH: usize = 500;
const STEP_BATCH: usize = 64;
const STEPS: usize = 20;
const RATE: f64 = 0.01;
const MOMENTUM: f64 = 0.9;
/// The largest difference of logits that adding up in another order makes.
const SAME: f32 = 1e-3;
/// Backends to look for in this build. Not ndarray: the profile of this workspace leaves it without optimisation, as the
/// suite only has to show that it computes the same.
const BACKENDS: [&str; 2] = ["flex", "tch"];

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let mut found = Found::default();
    let Some(pytorch) = suite.pytorch(&mut found)? else {
        return Ok(found);
    };
    let pytorch = RefCell::new(pytorch);
    let mut devices = Vec::new();
    for name in BACKENDS {
        match backend::device(name) {
            Ok(device) => devices.push((name, device)),
            Err(error) => found.skipped.push(format!("{name}: {error}")),
        }
    }
    found.skipped.push(
        "ndarray: built without optimisation in this workspace's profile; its figures would say nothing"
            .to_string(),
    );
    for kind in [Kind::Mlp, Kind::Cnn, Kind::ResNet] {
        suite.tell(&format!("forward: {}", kind.name()));
        measure(suite, kind, &devices, &pytorch, &mut found)?;
    }
    Ok(found)
}

fn measure(
    suite: &Suite<'_>,
    kind: Kind,
    devices: &[(&'static str, Device)],
    pytorch: &RefCell<PyTorch>,
    found: &mut Found,
) -> Result<(), String> {
    let train = match (suite.quick, kind) {
        (true, _) => 1000,
        (false, Kind::Mlp) => 20_000,
        (false, Kind::Cnn) => 10_000,
        (false, Kind::ResNet) => 2000,
    };
    let amount = Amount {
        train,
        probe: 100,
        trusted: 0,
        noise: 0.0,
    };
    let task = Planted::new(kind, amount, 0);
    let first = Training::new(&task, &Device::flex(), 0).after(STEPS)?;
    let name = kind.name();
    {
        let mut pytorch = pytorch.borrow_mut();
        pytorch.take_data(name, kind, &task)?;
        pytorch.take_model(name, kind, &first)?;
    }
    let record = first.clone().into_record().into_bytes();
    let record = record.map_err(|error| error.to_string())?.to_vec();
    let mut models = Vec::new();
    for (backend, device) in devices {
        let model = weights::load(&task, &[], record.clone(), device);
        let model = model.map_err(|error| format!("{backend}: {error}"))?;
        models.push((
            *backend,
            device,
            Inputs::of(&task.training, kind, device),
            model,
        ));
    }
    same_logits(kind, &models, &mut pytorch.borrow_mut())?;

    let (mut sweeps, mut steps) = (Vec::new(), Vec::new());
    for (backend, device, inputs, model) in &models {
        sweeps.push(Contender::new(
            format!("forward sweep on {backend}"),
            || inputs.sweep(model).map(|(seconds, _)| seconds),
        ));
        sweeps.push(Contender::new(
            format!("a scan's own sweep on {backend}"),
            || scans_sweep(&task, model, device),
        ));
        let training = Inputs::of(&task.training, kind, &(*device).clone().autodiff());
        steps.push(Contender::new(
            format!("{STEPS} training steps on {backend}"),
            move || training.steps(model),
        ));
    }
    sweeps.push(Contender::new("PyTorch eager", || {
        let request = json!({"do": "forward", "model": name, "data": name, "batch": SWEEP_BATCH});
        pytorch.borrow_mut().seconds(&request)
    }));
    steps.push(Contender::new("PyTorch eager", || {
        pytorch.borrow_mut().seconds(&json!({
            "do": "train_steps", "model": name, "data": name, "batch": STEP_BATCH,
            "steps": STEPS, "lr": RATE, "momentum": MOMENTUM,
        }))
    }));
    for contenders in [&mut sweeps, &mut steps] {
        let rounds = take_turns(suite.rounds, contenders)?;
        let theirs = rounds.names.len() - 1;
        for ours in 0..theirs {
            found.add(Row::ratio(&rounds, ours, theirs, name));
        }
    }
    Ok(())
}

/// Whether all compute the same thing; else a comparison of their speed would say nothing.
fn same_logits(
    kind: Kind,
    models: &[(&'static str, &Device, Inputs, Net)],
    pytorch: &mut PyTorch,
) -> Result<(), String> {
    let name = kind.name();
    let out = format!("{name}-logits");
    pytorch.ask(&json!({
        "do": "logits", "model": name, "data": name, "batch": SWEEP_BATCH,
        "out": pytorch.path(&out),
    }))?;
    let theirs = pytorch.floats(&out)?;
    for (backend, _, inputs, model) in models {
        let (_, ours) = inputs.sweep(model)?;
        let differences = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        let largest = differences.fold(0.0, f32::max);
        if ours.len() != theirs.len() || largest > SAME {
            return Err(format!(
                "{name} on {backend}: logits differ from PyTorch's by {largest}; that is another model"
            ));
        }
    }
    Ok(())
}

/// The sweep that scans are made of: samples are read from the dataset and put together, as many batches at a time as
/// the device has workers, and losses are taken as well. Its seconds.
fn scans_sweep(task: &Planted, model: &Net, device: &Device) -> Result<f64, String> {
    let rows = &task.training;
    let all: Vec<usize> = (0..rows.len()).collect();
    let never = AtomicBool::new(false);
    let options = SweepOptions {
        device,
        batch_size: SWEEP_BATCH,
        progress: &|_| (),
        cancel: &never,
    };
    let start = Instant::now();
    let outputs = sweep(task, model, Set::Training, &all, &rows.labels, &options);
    std::hint::black_box(outputs.map_err(|error| error.to_string())?);
    Ok(start.elapsed().as_secs_f64())
}

/// Samples on a device, as PyTorch has them: in one tensor.
struct Inputs {
    values: Tensor<2>,
    labels: Tensor<1, Int>,
    count: usize,
}

impl Inputs {
    fn of(rows: &Rows, kind: Kind, device: &Device) -> Self {
        let count = rows.len();
        let labels: Vec<i64> = rows.labels.iter().map(|label| *label as i64).collect();
        let values = TensorData::new(rows.values.clone(), [count, kind.width()]);
        Self {
            values: Tensor::from_data(values, device),
            labels: Tensor::from_data(TensorData::new(labels, [count]), device),
            count,
        }
    }

    /// One forward sweep: its seconds, and the logits.
    fn sweep(&self, model: &Net) -> Result<(f64, Vec<f32>), String> {
        let start = Instant::now();
        let mut logits = Vec::with_capacity(self.count * super::data::CLASSES);
        for from in (0..self.count).step_by(SWEEP_BATCH) {
            let size = SWEEP_BATCH.min(self.count - from);
            let output = model.forward(self.values.clone().narrow(0, from, size));
            let output = output.into_data().try_to_vec::<f32>();
            logits.extend(output.map_err(|error| format!("{error:?}"))?);
        }
        Ok((start.elapsed().as_secs_f64(), logits))
    }

    /// Steps of SGD with momentum on consecutive batches.
    fn steps(&self, model: &Net) -> Result<f64, String> {
        let momentum = MomentumConfig::new().with_momentum(MOMENTUM);
        let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
        let mut model = model.clone().train();
        let start = Instant::now();
        let mut last = 0.0;
        for step in 0..STEPS {
            let from = step * STEP_BATCH % (self.count - STEP_BATCH + 1);
            let values = self.values.clone().narrow(0, from, STEP_BATCH);
            let labels = self.labels.clone().narrow(0, from, STEP_BATCH);
            let logits = log_softmax(model.forward(values), 1);
            let loss = logits.gather(1, labels.unsqueeze_dim(1)).mean().neg();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(RATE, model, gradients);
            last = loss.into_scalar::<f64>();
        }
        std::hint::black_box(last);
        Ok(start.elapsed().as_secs_f64())
    }
}
