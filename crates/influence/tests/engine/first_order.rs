//! For a small step, the change of every sample's loss is ⟨∇ℓ_i, v⟩: the sweep replaces a backward
//! pass per sample. The exact values here come from those backward passes.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use burn::optim::GradientsParams;
use burn::tensor::Device;
use mirrorwatch_influence::direction::{
    Direction, Finetune, Gradient, Margin, MarginLastLayer, Probe, ShrinkFinetune, Step,
};
use mirrorwatch_influence::model::fork;
use mirrorwatch_influence::{Labels, Set, sweep};
use mirrorwatch_stats::ranking::pearson;

use crate::common::{Toy, loss, losses, quiet, turn};
use crate::nets::{Conv, Net, Normed, Smooth};
use crate::weights::{Values, dot, length, minus, moved, slopes, values};

/// The step that `direction` takes, learning from probe samples `learnt` and choosing its length on
/// the others.
pub fn step_of<M: Net + 'static>(
    direction: &dyn Direction<Toy<M>>,
    task: &Toy<M>,
    model: &M,
    learnt: &[usize],
) -> Step<M> {
    let labels = Labels::read(task).unwrap();
    let mut held_out: Vec<usize> = (0..labels.probe.len()).collect();
    held_out.retain(|i| !learnt.contains(i));
    let options = quiet();
    let before = sweep(task, model, Set::Probe, &held_out, &labels.probe, &options);
    let step = direction.step(&Probe {
        task,
        model,
        labels: &labels,
        learnt,
        held_out: &held_out,
        held_out_before: &before.unwrap(),
        device: &Device::flex(),
        // Not a divisor of the number of samples: batches of unequal size must weigh right.
        batch_size: 24,
        seed: 0,
        last: None,
        progress: &|_| (),
        cancel: &AtomicBool::new(false),
    });
    step.unwrap()
}

/// Its weight change, for a direction with one for all samples.
pub fn change_of<M: Net + 'static>(
    direction: &dyn Direction<Toy<M>>,
    task: &Toy<M>,
    model: &M,
    learnt: &[usize],
) -> Values {
    minus(step_of(direction, task, model, learnt).forks.of(0), model)
}

/// Half of the probe, all classes in it.
pub fn half(task: &Toy<impl Net>) -> Vec<usize> {
    let all = 0..task.probe.samples.len();
    all.filter(|i| i % 8 < 4).collect()
}

fn agrees<M: Net + 'static>() {
    let _turn = turn();
    let task = Toy::<M>::gaussian(120, 64, 4);
    let model = task.trained(2, 0.02, 4);
    let v = change_of(&Gradient, &task, &model, &half(&task));
    // The same direction, but a step of the length 3e-4 ‖θ‖.
    let scale = 3e-4 * length(&values(&model)) / length(&v);
    let before = losses(&task, &model);
    let after = losses(&task, &moved(&model, &v, scale));
    let delta: Vec<f32> = after.iter().zip(&before).map(|(a, b)| a - b).collect();

    let forked = fork(&model);
    let mut exact = Vec::new();
    for i in 0..task.train.samples.len() {
        let gradients = loss(&forked, &task.train.samples, &[i]).backward();
        let gradients = GradientsParams::from_grads(gradients, &forked);
        exact.push((scale * dot(&slopes(&forked, &gradients), &v)) as f32);
    }
    let agreement = pearson(&delta, &exact).unwrap();
    assert!(agreement > 0.99, "{agreement}");
    // In size, too, not only in shape.
    let (mut largest, mut error) = (0.0f32, 0.0f32);
    for (d, e) in delta.iter().zip(&exact) {
        largest = largest.max(e.abs());
        error = error.max((d - e).abs());
    }
    assert!(error < 0.05 * largest, "{error} of {largest}");
}

#[test]
fn a_small_step_shows_every_inner_product() {
    agrees::<Smooth>();
}

#[test]
fn a_small_step_shows_every_inner_product_with_batchnorm_and_dropout() {
    agrees::<Normed>();
}

#[test]
fn a_small_step_shows_every_inner_product_of_a_convolution() {
    agrees::<Conv>();
}

#[test]
fn gradient_steps_straight_down_and_leaves_buffers_alone() {
    let _turn = turn();
    let task = Toy::<Normed>::gaussian(64, 64, 5);
    let model = task.trained(1, 0.02, 5);
    let learnt = half(&task);
    let v = change_of(&Gradient, &task, &model, &learnt);
    // The whole half in one batch; the step took it in batches of 24 and 8.
    let forked = fork(&model);
    let gradients = loss(&forked, &task.probe.samples, &learnt).backward();
    let slope = slopes(&forked, &GradientsParams::from_grads(gradients, &forked));
    let cosine = dot(&slope, &v) / (length(&slope) * length(&v));
    assert!(cosine < -0.9999, "{cosine}");
    for (path, change) in &v {
        let buffer = path.contains("running");
        assert_eq!(buffer, change.iter().all(|&c| c == 0.0), "{path}");
    }
}

/// The step of the last layer is that layer's part of the whole step, up to its length.
#[test]
fn the_last_layer_alone_moves_and_as_in_the_whole_step() {
    let _turn = turn();
    let task = Toy::<Normed>::gaussian(64, 64, 6);
    let model = task.trained(1, 0.02, 6);
    let whole = change_of(&Margin, &task, &model, &half(&task));
    let last = change_of(&MarginLastLayer, &task, &model, &half(&task));
    let layer = |path: &str| path.rsplit_once('.').unwrap().0.to_string();
    let moving: BTreeSet<String> = last
        .iter()
        .filter(|(_, change)| change.iter().any(|&c| c != 0.0))
        .map(|(path, _)| layer(path))
        .collect();
    assert_eq!(moving.len(), 1, "{moving:?}");
    let mut part = whole.clone();
    part.retain(|path, _| moving.contains(&layer(path)));
    let mut alone = last.clone();
    alone.retain(|path, _| moving.contains(&layer(path)));
    assert!(
        part.len() >= 2 && part.len() < whole.len(),
        "{:?}",
        part.keys()
    );
    let cosine = dot(&part, &alone) / (length(&part) * length(&alone));
    assert!(cosine > 0.9999, "{cosine}");
}

/// Shrinking takes weights to 0.7 of what they were and leaves running statistics alone; then the probe
/// moves them as in a plain fine-tuning.
#[test]
fn shrinking_is_undone_by_no_buffer() {
    let _turn = turn();
    let task = Toy::<Normed>::gaussian(64, 64, 7);
    let model = task.trained(2, 0.02, 7);
    let shrunk = change_of(&ShrinkFinetune, &task, &model, &half(&task));
    let plain = change_of(&Finetune, &task, &model, &half(&task));
    let theta = values(&model);
    let (mut share, mut weights) = (0.0, 0.0);
    for (path, change) in &shrunk {
        if path.contains("running") {
            assert!(change.iter().all(|&c| c == 0.0), "{path}");
            continue;
        }
        for ((c, p), w) in change.iter().zip(&plain[path]).zip(&theta[path]) {
            share += f64::from((c - p) * w);
            weights += f64::from(w * w);
        }
    }
    // Beyond what the probe does, along the weights: 0.7 − 1, give or take what the two paths differ.
    let along = share / weights;
    assert!((-0.35..-0.15).contains(&along), "{along}");
}

/// A step of the usual length destroys a model whose logits are a thousand times as steep; a shorter one is
/// found, and the fork still knows what the model knew.
#[test]
fn a_model_that_the_usual_rate_destroys_is_taught_more_gently() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(120, 200, 8);
    let model = task.trained(6, 0.02, 8);
    let theta = values(&model);
    let labels = Labels::read(&task).unwrap();
    let all: Vec<usize> = (0..labels.probe.len()).collect();
    let accuracy = |model: &Smooth| {
        let outputs = sweep(&task, model, Set::Probe, &all, &labels.probe, &quiet()).unwrap();
        outputs.accuracy(&labels.probe)
    };
    // Steeper by the weights of the head alone.
    let mut steeper = theta.clone();
    for (path, change) in &mut steeper {
        let factor = if path.starts_with("head") { 30.0 } else { 0.0 };
        change.iter_mut().for_each(|w| *w *= factor);
    }
    let steep = moved(&model, &steeper, 1.0);
    assert!(accuracy(&steep) > 0.8, "{}", accuracy(&steep));
    let v = change_of(&Finetune, &task, &steep, &half(&task));
    let taught = moved(&steep, &v, 1.0);
    assert!(accuracy(&taught) > 0.8, "{}", accuracy(&taught));
}
