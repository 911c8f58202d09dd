//! `inverse-hessian` against Gauss-Newton matrices built from exact Jacobians, a backward pass per
//! sample and class.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use mirrorwatch_influence::direction::{Gradient, InverseHessian};
use mirrorwatch_influence::model::fork;
use mirrorwatch_influence::{Labels, Set, sweep};

use crate::common::{CLASSES, Sample, Toy, loss, quiet, stack, turn};
use crate::first_order::{change_of, half, step_of};
use crate::nets::{Conv, Flat, Net, Normed, Smooth};
use crate::weights::{Values, bits, dot, length, minus, slopes, values};

/// ∇z_k of a training sample for each class k.
fn jacobian<M: Net>(forked: &M, sample: &Sample) -> Vec<Values> {
    let device = Device::flex().autodiff();
    let mut rows = Vec::new();
    for class in 0..CLASSES {
        let logits = forked.logits(stack(std::slice::from_ref(sample), &device));
        let gradients = logits.narrow(1, class, 1).sum().backward();
        let gradients = GradientsParams::from_grads(gradients, forked);
        rows.push(slopes(forked, &gradients));
    }
    rows
}

fn add(sum: &mut Values, scale: f64, values: &Values) {
    for (path, row) in sum {
        for (s, v) in row.iter_mut().zip(&values[path]) {
            *s += (scale * f64::from(*v)) as f32;
        }
    }
}

/// G u = mean_i Jᵢᵀ (diag pᵢ − pᵢ pᵢᵀ) Jᵢ u.
fn product<M: Net + 'static>(
    task: &Toy<M>,
    model: &M,
    jacobians: &[Vec<Values>],
    u: &Values,
) -> Values {
    let labels = Labels::read(task).unwrap();
    let all: Vec<usize> = (0..labels.train.len()).collect();
    let outputs = sweep(task, model, Set::Training, &all, &labels.train, &quiet()).unwrap();
    let mut image = u.clone();
    image.values_mut().for_each(|row| row.fill(0.0));
    for (sample, rows) in jacobians.iter().enumerate() {
        let total: f64 = outputs.row(sample).iter().map(|z| f64::from(z.exp())).sum();
        let p = outputs
            .row(sample)
            .iter()
            .map(|z| f64::from(z.exp()) / total);
        let p: Vec<f64> = p.collect();
        let forward: Vec<f64> = rows.iter().map(|row| dot(row, u)).collect();
        let mean: f64 = p.iter().zip(&forward).map(|(p, f)| p * f).sum();
        for (k, row) in rows.iter().enumerate() {
            let pull = p[k] * (forward[k] - mean);
            add(&mut image, pull / jacobians.len() as f64, row);
        }
    }
    image
}

/// (G + λI) v must be the gradient again, up to length: λ is 0.1 gᵀGg / gᵀg.
fn solves_the_exact_system<M: Net + 'static>() {
    let _turn = turn();
    let task = Toy::<M>::gaussian(48, 64, 21);
    let model = task.trained(3, 0.02, 21);
    let learnt = half(&task);
    let v = change_of(&InverseHessian, &task, &model, &learnt);
    for (path, change) in &v {
        let buffer = path.contains("running");
        assert_eq!(buffer, change.iter().all(|&c| c == 0.0), "{path}");
    }
    let forked = fork(&model);
    let gradients = loss(&forked, &task.probe.samples, &learnt).backward();
    let g = slopes(&forked, &GradientsParams::from_grads(gradients, &forked));
    let samples = task.train.samples.iter();
    let jacobians: Vec<_> = samples.map(|s| jacobian(&forked, s)).collect();
    let curvature = dot(&g, &product(&task, &model, &jacobians, &g)) / dot(&g, &g);
    let mut image = product(&task, &model, &jacobians, &v);
    add(&mut image, 0.1 * curvature, &v);
    let cosine = |a: &Values, b: &Values| dot(a, b) / (length(a) * length(b));
    let solved = -cosine(&image, &g);
    assert!(solved > 0.997, "{solved}");
    // Which the gradient itself does not do, so the figure above means something.
    let mut plain = product(&task, &model, &jacobians, &g);
    add(&mut plain, 0.1 * curvature, &g);
    assert!(cosine(&plain, &g) < 0.99, "{}", cosine(&plain, &g));
}

#[test]
fn inverse_hessian_solves_the_exact_system() {
    solves_the_exact_system::<Smooth>();
}

#[test]
fn inverse_hessian_solves_the_exact_system_with_batchnorm_and_dropout() {
    solves_the_exact_system::<Normed>();
}

#[test]
fn inverse_hessian_solves_the_exact_system_of_a_convolution() {
    solves_the_exact_system::<Conv>();
}

/// The curvature is that of the training set, but no label of it is looked at.
#[test]
fn no_training_label_bends_the_direction() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(64, 64, 22);
    let model = task.trained(2, 0.02, 22);
    let mut samples = task.train.samples.clone();
    for sample in &mut samples {
        sample.label = (sample.label + 1) % CLASSES;
    }
    let shifted = Toy::of(samples, task.probe.samples.clone(), CLASSES);
    let learnt = half(&task);
    let [one, other] = [&task, &shifted].map(|task| {
        let step = step_of(&InverseHessian, task, &model, &learnt);
        (bits(step.forks.of(0)), step.choice)
    });
    assert_eq!(one, other);
    // Other inputs do bend it.
    let elsewhere = Toy::<Smooth>::gaussian(64, 64, 23).train.samples.clone();
    let elsewhere = Toy::of(elsewhere, task.probe.samples.clone(), CLASSES);
    let step = step_of(&InverseHessian, &elsewhere, &model, &learnt);
    assert_ne!(one.0, bits(step.forks.of(0)));
}

/// Two classes at x = ±1 that the model tells apart with probability 1 in single precision.
fn sure(probe: &[(f32, usize)]) -> (Toy<Flat>, Flat) {
    let samples = |rows: &[(f32, usize)]| {
        let sample = |&(x, label): &(f32, usize)| Sample {
            x: vec![x, 0.0],
            label,
        };
        rows.iter().map(sample).collect::<Vec<_>>()
    };
    let train = samples(&[(1.0, 0), (-1.0, 1), (1.0, 0), (-1.0, 1)]);
    let task = Toy::of(train, samples(probe), 2);
    let device = Device::flex();
    let mut model = Flat::build(&device, 2);
    let weight = Tensor::from_data([[100.0, -100.0], [0.0, 0.0]], &device);
    model.head.weight = Param::from_tensor(weight);
    model.head.bias = Some(Param::from_tensor(Tensor::from_data([0.0, 0.0], &device)));
    (task, model)
}

#[test]
fn without_a_gradient_there_is_no_step() {
    let _turn = turn();
    let (task, model) = sure(&[(1.0, 0), (-1.0, 1), (1.0, 0), (-1.0, 1)]);
    let step = step_of(&InverseHessian, &task, &model, &[0, 1]);
    assert_eq!(bits(step.forks.of(0)), bits(&model));
    assert!(step.choice.starts_with("0 iterations, "), "{}", step.choice);
}

#[test]
fn without_curvature_it_is_the_gradient() {
    let _turn = turn();
    // Near the boundary the probe still teaches; the training samples are all far from it.
    let (task, model) = sure(&[(0.001, 0), (-0.002, 1), (1.0, 0), (-1.0, 1)]);
    let step = step_of(&InverseHessian, &task, &model, &[0, 1]);
    assert!(
        step.choice.contains("0 iterations to where curvature ends"),
        "{}",
        step.choice
    );
    let v = minus(step.forks.of(0), &model);
    let plain = change_of(&Gradient, &task, &model, &[0, 1]);
    let cosine = dot(&v, &plain) / (length(&v) * length(&plain));
    assert!(cosine > 0.9999, "{cosine}");
    assert!(length(&v) > 1e-4 * length(&values(&model)));
}
