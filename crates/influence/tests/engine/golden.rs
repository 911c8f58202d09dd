//! Softmax regression, three samples, against numpy 2.4.6 (float64). The script, in essence:
//!
//! ```python
//! W = [[.5, -.25, .1], [.2, .4, -.3]]; b = [.05, -.1, 0]     # z = x W + b
//! X = [[1, .5], [-.5, 1.5], [2, -1]]; y = [0, 2, 1]          # training samples
//! P = [[.8, -.2], [-1, .6], [.3, 1.2]]; t = [0, 2, 0]        # learnt probe samples
//! D = (softmax(P @ W + b) - I[t]) / 3        # gradient; margin: D = (1/3 - I[t]) / 3
//! gW, gb = P.T @ D, D.sum(0); n = sqrt((gW**2).sum() + (gb**2).sum())
//! uW, ub = -gW / n, -gb / n                  # the unit step
//! s = .05 * sqrt((W**2).sum() + (b**2).sum())
//! z0, z1 = X @ W + b, X @ (W + s * uW) + (b + s * ub)
//! d = z1 - z0; c = d - d.mean(0)             # centred changes
//! after = ce(z1, y); delta = after - ce(z0, y)
//! counterfactual = [max(c[i, k] for k != y[i]) - c[i, y[i]] for i in range(3)]
//! relative = counterfactual / abs(c).mean(1)
//! ```
//!
//! and for `inverse-hessian`, whose matrix is that of the training samples and here the Hessian itself,
//!
//! ```python
//! g = concatenate([gW.ravel(), gb]); p = softmax(X @ W + b)
//! J = [hstack([kron(x, I), I]) for x in X]   # ∂z / ∂(W, b), 3 × 9
//! G = sum(j.T @ (diag(q) - outer(q, q)) @ j for j, q in zip(J, p)) / 3
//! v = -solve(G + .1 * (g @ G @ g) / (g @ g) * eye(9), g)
//! ```

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use mirrorwatch_influence::direction::{Direction, Gradient, InverseHessian, Margin};
use mirrorwatch_influence::score::{self, View};
use mirrorwatch_influence::{Labels, Set, sweep};

use crate::common::{Sample, Toy, quiet, turn};
use crate::first_order::change_of;
use crate::nets::{Flat, Net};
use crate::weights::{Values, length, moved, values};

struct Expected {
    weight: [f64; 6],
    bias: [f64; 3],
    /// By name of the score.
    scores: [(&'static str, [f64; 3]); 4],
}

const GRADIENT: Expected = Expected {
    weight: [
        0.394_824_76,
        0.103_729_09,
        -0.498_553_85,
        0.198_957_08,
        -0.327_175_22,
        0.128_218_14,
    ],
    bias: [0.405_502_59, -0.498_624_39, 0.093_121_8],
    scores: [
        ("after", [0.640_258_45, 1.742_967_45, 2.476_726_11]),
        ("delta", [-0.025_473_48, -0.032_380_69, 0.005_115_08]),
        (
            "counterfactual",
            [-0.005_383_96, -0.043_822_95, -0.014_305_28],
        ),
        (
            "counterfactual-relative",
            [-2.064_465_22, -2.042_134_79, -0.721_292_25],
        ),
    ],
};

const MARGIN: Expected = Expected {
    weight: [
        0.491_320_23,
        -0.015_353_76,
        -0.475_966_47,
        0.214_952_6,
        -0.245_660_11,
        0.030_707_51,
    ],
    bias: [0.460_612_72, -0.460_612_72, 0.0],
    scores: [
        ("after", [0.635_755_68, 1.755_955_17, 2.492_741_28]),
        ("delta", [-0.029_976_25, -0.019_392_98, 0.021_130_25]),
        (
            "counterfactual",
            [-0.006_372_56, -0.037_021_54, -0.000_910_37],
        ),
        (
            "counterfactual-relative",
            [-2.054_347_83, -2.095_419_85, -0.057_939_91],
        ),
    ],
};

const INVERSE_HESSIAN: Expected = Expected {
    weight: [
        0.178_775_73,
        0.291_603_18,
        -0.470_378_91,
        0.154_129_61,
        0.162_584_43,
        -0.316_714_05,
    ],
    bias: [-0.008_844_57, -0.501_114_93, 0.509_959_49],
    scores: [
        ("after", [0.658_644_22, 1.759_857_8, 2.476_966_04]),
        ("delta", [-0.007_087_71, -0.015_490_35, 0.005_355]),
        (
            "counterfactual",
            [0.000_799_02, -0.012_499_77, -0.004_757_6],
        ),
        (
            "counterfactual-relative",
            [0.231_133_31, -1.840_838_7, -1.427_293_73],
        ),
    ],
};

fn samples(rows: &[([f32; 2], usize)]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (x, label) in rows {
        samples.push(Sample {
            x: x.to_vec(),
            label: *label,
        });
    }
    samples
}

pub fn task<M: Net>() -> Toy<M> {
    let train = samples(&[([1.0, 0.5], 0), ([-0.5, 1.5], 2), ([2.0, -1.0], 1)]);
    // The first three are learnt from; the others only choose the length, which is not used here,
    // and see to it that every class has two.
    let probe = samples(&[
        ([0.8, -0.2], 0),
        ([-1.0, 0.6], 2),
        ([0.3, 1.2], 0),
        ([1.0, 1.0], 1),
        ([0.0, 1.0], 1),
        ([-1.0, 0.0], 2),
    ]);
    Toy::of(train, probe, 3)
}

pub fn model() -> Flat {
    let device = Device::flex();
    let mut model = Flat::build(&device, 3);
    let weight = Tensor::from_data([[0.5, -0.25, 0.1], [0.2, 0.4, -0.3]], &device);
    model.head.weight = Param::from_tensor(weight);
    model.head.bias = Some(Param::from_tensor(Tensor::from_data(
        [0.05, -0.1, 0.0],
        &device,
    )));
    model
}

fn close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!(
            (f64::from(*f) - e).abs() < tolerance,
            "{what}: {found:?} {expected:?}"
        );
    }
}

fn matches(direction: &dyn Direction<Toy<Flat>>, expected: &Expected) {
    let _turn = turn();
    let task = task::<Flat>();
    let model = model();
    let v = change_of(direction, &task, &model, &[0, 1, 2]);
    let size = length(&v);
    // Whatever length was chosen, the direction is this one.
    let unit = |path: &str| -> Vec<f32> { v[path].iter().map(|x| x / size as f32).collect() };
    close(&unit("head.weight"), &expected.weight, 2e-3, "weight");
    close(&unit("head.bias"), &expected.bias, 2e-3, "bias");

    // The scores for the exact step, so that rounding in v plays no part.
    let mut exact = Values::new();
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
    exact.insert("head.weight".to_string(), narrow(&expected.weight));
    exact.insert("head.bias".to_string(), narrow(&expected.bias));
    let after = moved(&model, &exact, 0.05 * length(&values(&model)));
    let labels = Labels::read(&task).unwrap();
    let outputs = |model: &Flat| {
        let (all, given) = ([0, 1, 2], &labels.train);
        sweep(&task, model, Set::Training, &all, given, &quiet()).unwrap()
    };
    let (before, after) = (outputs(&model), outputs(&after));
    let view = View::new(&before, &after, &labels.train);
    for (name, scores) in &expected.scores {
        let found = score::by_name(name).unwrap().score(&view);
        // Relative scores divide by changes of about 0.02.
        let tolerance = if name.ends_with("relative") {
            1e-4
        } else {
            2e-6
        };
        close(&found, scores, tolerance, name);
    }
}

#[test]
fn gradient_matches_numpy() {
    matches(&Gradient, &GRADIENT);
}

#[test]
fn margin_matches_numpy() {
    matches(&Margin, &MARGIN);
}

#[test]
fn inverse_hessian_matches_numpy() {
    matches(&InverseHessian, &INVERSE_HESSIAN);
}

/// The default support is the log-probability after the step: numpy, log_softmax(z1) of the
/// gradient step, by hand from `after`: log p_y = −after.
#[test]
fn support_of_the_given_label_is_minus_its_loss() {
    let _turn = turn();
    let task = task::<Flat>();
    let model = model();
    let labels = Labels::read(&task).unwrap();
    let all = [0, 1, 2];
    let outputs = sweep(&task, &model, Set::Training, &all, &labels.train, &quiet());
    let outputs = outputs.unwrap();
    let view = View::new(&outputs, &outputs, &labels.train);
    let mut support = vec![0.0; 9];
    score::by_name("after")
        .unwrap()
        .support(&view, &mut support);
    for (sample, &label) in labels.train.iter().enumerate() {
        let found = support[3 * sample + label];
        assert!((found + outputs.losses[sample]).abs() < 1e-6);
        let total: f32 = support[3 * sample..][..3].iter().map(|s| s.exp()).sum();
        assert!((total - 1.0).abs() < 1e-5);
    }
}
