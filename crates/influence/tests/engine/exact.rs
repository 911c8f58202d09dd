//! Exact gradients, against PyTorch 2.9.0 (float64). The script, in essence:
//!
//! ```python
//! W1, b1 = [[.3, -.6, .2], [-.4, .1, .5]], [.1, 0, -.2]      # z = tanh(x W1 + b1) W2 + b2
//! W2, b2 = [[.5, -.25, .1], [.2, .4, -.3], [-.7, .6, .05]], [.05, -.1, 0]
//! X, y = [[1, .5], [-.5, 1.5], [2, -1]], [0, 2, 1]           # training samples
//! P, t = [[.8, -.2], [-1, .6], [.3, 1.2], [1, 1], [0, 1], [-1, 0]], [0, 2, 0, 1, 1, 2]  # probe
//! g = lambda x, y: cat([v.flatten() for v in autograd.grad(cross_entropy(f(x), y), parameters)])
//! G = g(P, t); gi = stack([g(X[i:i+1], y[i:i+1]) for i in range(3)])  # and gp alike from P
//! tracin, self_influence, pairs = gi @ G, (gi * gi).sum(1), gi @ gp.T
//! ```
//!
//! and, for softmax regression z = x W + b, a dense Hessian:
//!
//! ```python
//! H = func.hessian(loss)(theta, X, y); lam = .1 * (g @ H @ g) / (g @ g)
//! v = linalg.solve(H + lam * eye(9), g)                     # g = gradient of the probe's mean loss
//! ```

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use mirrorwatch_influence::exact::{Exact, InverseOptions, LissaOptions, inner};
use mirrorwatch_influence::{Labels, Layers, Set, Task};

use crate::common::{Toy, quiet, turn};
use crate::golden;
use crate::nets::{Conv, Flat, Net, Normed, Smooth, Tiny};

struct Expected {
    tracin: [f64; 3],
    self_influence: [f64; 3],
    pairs: [[f64; 6]; 3],
}

const ALL: Expected = Expected {
    tracin: [0.171_387_74, 0.042_067_41, -0.070_597_28],
    self_influence: [2.222_177_15, 1.970_491_95, 6.546_696_68],
    pairs: [
        [
            1.555_756_53,
            -0.276_777_08,
            1.966_693_98,
            -1.141_442_44,
            -0.759_592_69,
            -0.316_311_88,
        ],
        [
            -0.144_274_83,
            1.422_656_08,
            -0.087_972_28,
            -0.919_480_39,
            -1.085_598_36,
            1.067_074_27,
        ],
        [
            -1.767_049_63,
            -0.095_736_11,
            -0.641_218_07,
            1.886_906_38,
            0.456_042,
            -0.262_528_23,
        ],
    ],
};

const LAST: Expected = Expected {
    tracin: [0.105_213_06, 0.073_320_94, 0.054_176_8],
    self_influence: [0.989_847_34, 1.404_096_71, 2.821_030_36],
    pairs: [
        [
            0.792_799_17,
            -0.259_606_79,
            0.861_823_59,
            -0.245_291_93,
            -0.202_133_78,
            -0.316_311_88,
        ],
        [
            -0.152_784_53,
            1.159_554_32,
            -0.255_340_1,
            -0.584_596_18,
            -0.647_954_94,
            0.921_047_05,
        ],
        [
            -0.522_398_13,
            -0.095_477_59,
            -0.413_791_02,
            1.072_259_75,
            0.456_042,
            -0.171_574_22,
        ],
    ],
};

fn tiny() -> Tiny {
    let device = Device::flex();
    let mut model = Tiny::build(&device, 3);
    let set = |layer: &mut Linear, weight: Vec<[f32; 3]>, bias: [f32; 3]| {
        let rows = weight.len();
        let weight = Tensor::<1>::from_floats(weight.concat().as_slice(), &device);
        layer.weight = Param::from_tensor(weight.reshape([rows, 3]));
        layer.bias = Some(Param::from_tensor(Tensor::from_data(bias, &device)));
    };
    set(
        &mut model.hidden,
        vec![[0.3, -0.6, 0.2], [-0.4, 0.1, 0.5]],
        [0.1, 0.0, -0.2],
    );
    set(
        &mut model.head,
        vec![[0.5, -0.25, 0.1], [0.2, 0.4, -0.3], [-0.7, 0.6, 0.05]],
        [0.05, -0.1, 0.0],
    );
    model
}

fn matches(layers: Layers, expected: &Expected) {
    let _turn = turn();
    let task = golden::task::<Tiny>();
    let labels = Labels::read(&task).unwrap();
    let options = quiet();
    let exact = Exact::new(&task, &tiny(), &labels, layers, &options).unwrap();
    let close = |found: f64, expected: f64, what: &str| {
        assert!(
            (found - expected).abs() < 1e-5 * expected.abs().max(0.1),
            "{what}: {found} {expected}"
        );
    };
    for i in 0..3 {
        let own = exact.sample(Set::Training, i, labels.train[i]).unwrap();
        close(inner(&own, exact.probe()), expected.tracin[i], "tracin");
        close(inner(&own, &own), expected.self_influence[i], "self");
    }
    let rows: Vec<_> = (0..3)
        .map(|i| (Set::Training, i, labels.train[i]))
        .collect();
    let columns: Vec<_> = (0..6).map(|j| (Set::Probe, j, labels.probe[j])).collect();
    let pairs = exact.pairs(&rows, &columns, &[exact.probe()]).unwrap();
    for i in 0..3 {
        let own = expected.self_influence[i].sqrt();
        close(pairs.row_lengths[i], own, "length");
        close(pairs.along[i][0], expected.tracin[i], "along the probe");
        for j in 0..6 {
            close(pairs.value(i, j), expected.pairs[i][j], "pairs");
            let cosine = expected.pairs[i][j] / (own * pairs.column_lengths[j]);
            close(pairs.cosine(i, j), cosine, "cosine");
        }
    }
}

#[test]
fn tracin_matches_pytorch() {
    matches(Layers::All, &ALL);
}

#[test]
fn tracin_of_the_last_layer_matches_pytorch() {
    matches(Layers::Last, &LAST);
}

/// Close to the solution, for what is compared with it.
fn tight() -> InverseOptions {
    InverseOptions {
        residual: 1e-5,
        ..InverseOptions::default()
    }
}

/// The influence function by conjugate gradients, against the dense Hessian: relative error of v and of every
/// sample's influence at most 1e-3.
#[test]
fn influence_functions_match_a_dense_hessian() {
    let _turn = turn();
    let task = golden::task::<Flat>();
    let labels = Labels::read(&task).unwrap();
    let options = quiet();
    let exact = Exact::new(&task, &golden::model(), &labels, Layers::All, &options).unwrap();
    let solved = exact.inverse_curvature(&[0, 1, 2], tight()).unwrap();
    assert_eq!(solved.stopped, "converged");
    assert!(
        solved.residual <= 1e-5 && solved.iterations <= 12,
        "{solved:?}"
    );
    assert!((solved.damping / 0.034_276_291_55 - 1.0).abs() < 1e-3);
    let v = [
        -0.604_690_24,
        -3.068_909_54,
        3.673_599_78,
        -0.289_790_11,
        -2.869_697_59,
        3.159_487_7,
        0.788_139_03,
        3.169_256_51,
        -3.957_395_54,
    ];
    let (mut error, mut length) = (0.0, 0.0);
    for (found, expected) in solved.v.iter().zip(v) {
        error += (f64::from(*found) - expected).powi(2);
        length += expected * expected;
    }
    let relative = (error / length).sqrt();
    println!("relative error of v: {relative:.1e}");
    assert!(relative < 1e-3, "{relative}");
    for (i, expected) in [0.003_828_49, 1.286_989_7, 0.107_084_75]
        .into_iter()
        .enumerate()
    {
        let own = exact.sample(Set::Training, i, labels.train[i]).unwrap();
        let found = inner(&own, &solved.v);
        let scale = inner(&own, &own).sqrt() * length.sqrt();
        assert!(
            (found - expected).abs() < 1e-3 * scale,
            "{found} {expected}"
        );
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    inner(a, b) / (inner(a, a) * inner(b, b)).sqrt()
}

/// With all samples in each minibatch nothing is left to chance, and LiSSA has the limit that conjugate gradients find,
/// which the test above holds against a dense Hessian.
#[test]
fn lissa_over_all_samples_has_the_limit_of_conjugate_gradients() {
    let _turn = turn();
    let task = golden::task::<Flat>();
    let labels = Labels::read(&task).unwrap();
    let options = quiet();
    let exact = Exact::new(&task, &golden::model(), &labels, Layers::All, &options).unwrap();
    let solved = exact.inverse_curvature(&[0, 1, 2], tight()).unwrap();
    let deep = LissaOptions {
        depth: 1500,
        batch: 3,
        repeats: 1,
        ..LissaOptions::default()
    };
    let found = exact.lissa(&[0, 1, 2], deep).unwrap();
    assert_eq!((found.damping, found.steps), (solved.damping, 1500));
    let mut error = Vec::new();
    for (found, expected) in found.v.iter().zip(&solved.v) {
        error.push(found - expected);
    }
    let relative = (inner(&error, &error) / inner(&solved.v, &solved.v)).sqrt();
    println!("relative error of v: {relative:.1e}, scale {}", found.scale);
    assert!(relative < 1e-2, "{relative}");
}

#[test]
fn lissa_over_minibatches_points_where_conjugate_gradients_do() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(60, 32, 5);
    let model = task.trained(2, 0.02, 5);
    let labels = Labels::read(&task).unwrap();
    let options = quiet();
    let exact = Exact::new(&task, &model, &labels, Layers::All, &options).unwrap();
    let all: Vec<usize> = (0..60).collect();
    let solved = exact
        .inverse_curvature(&all, InverseOptions::default())
        .unwrap();
    let small = LissaOptions {
        batch: 16,
        repeats: 4,
        ..LissaOptions::default()
    };
    let found = exact.lissa(&all, small).unwrap();
    let agreement = cosine(&found.v, &solved.v);
    println!("cosine of v: {agreement:.4}");
    assert!(agreement > 0.95, "{agreement}");
    // The same minibatches, the same result; others, another one.
    assert_eq!(exact.lissa(&all, small).unwrap(), found);
    let other = LissaOptions { seed: 1, ..small };
    assert_ne!(exact.lissa(&all, other).unwrap().v, found.v);
}

#[test]
fn a_recursion_that_diverges_says_what_to_do() {
    let _turn = turn();
    let task = golden::task::<Flat>();
    let labels = Labels::read(&task).unwrap();
    let options = quiet();
    let exact = Exact::new(&task, &golden::model(), &labels, Layers::All, &options).unwrap();
    let bold = LissaOptions {
        scale: Some(1e-4),
        ..LissaOptions::default()
    };
    let error = exact.lissa(&[0, 1, 2], bold).unwrap_err().to_string();
    assert!(
        error.contains("diverges with a scale of 1.000e-4; give a larger one"),
        "{error}"
    );
    assert!(exact.lissa(&[], LissaOptions::default()).is_err());
}

/// The mean of the probe's own inner products is its gradient's squared length, whatever the model.
fn adds_up<M: Net + 'static>(layers: Layers) {
    let _turn = turn();
    let task = Toy::<M>::gaussian(40, 32, 31);
    let model = task.trained(1, 0.02, 31);
    let labels = Labels::read(&task).unwrap();
    let options = quiet();
    let exact = Exact::new(&task, &model, &labels, layers, &options).unwrap();
    let mut sum = 0.0;
    for (j, &label) in labels.probe.iter().enumerate() {
        let own = exact.sample(Set::Probe, j, label).unwrap();
        assert_eq!(own.len(), exact.parameters());
        sum += inner(&own, exact.probe());
    }
    let (mean, squared) = (sum / 32.0, inner(exact.probe(), exact.probe()));
    assert!((mean / squared - 1.0).abs() < 1e-3, "{mean} {squared}");
}

#[test]
fn products_with_the_probe_add_up_to_its_squared_length() {
    for layers in [Layers::All, Layers::Last] {
        adds_up::<Smooth>(layers);
        adds_up::<Normed>(layers);
        adds_up::<Conv>(layers);
    }
}

/// Weights, gradients and steps share one layout: a step along the weights is a longer model.
#[test]
fn a_step_along_the_weights_scales_them() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(40, 32, 32);
    let model = task.trained(1, 0.02, 32);
    let labels = Labels::read(&task).unwrap();
    let options = quiet();
    let exact = Exact::new(&task, &model, &labels, Layers::All, &options).unwrap();
    let weights = exact.weights().unwrap();
    assert!((inner(&weights, &weights).sqrt() / exact.weights_length() - 1.0).abs() < 1e-6);
    let doubled = exact.moved(&weights, 1.0);
    let again = Exact::new(&task, &doubled, &labels, Layers::All, &options).unwrap();
    for (w, d) in weights.iter().zip(again.weights().unwrap()) {
        assert!((2.0 * w - d).abs() < 1e-6);
    }
    assert_eq!(task.classes(), labels.classes);
}
