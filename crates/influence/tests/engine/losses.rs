//! Tasks without classes, and samples without labels.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::data::dataset::{Dataset, InMemDataset};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::{log_softmax, tanh};
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch_influence::exact::Exact;
use mirrorwatch_influence::{
    Estimator, Labels, Layers, Scan, ScanConfig, Set, Task, UNLABELLED, rehearse, scan, sweep,
};
use mirrorwatch_stats::ranking::auroc;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::common::{Sample, Toy, quiet, stack, turn};
use crate::nets::{Net, Smooth};
use crate::weights::values;

/// A number to be told from three.
#[derive(Debug, Clone)]
struct Point {
    x: [f32; 3],
    y: f32,
}

#[derive(Module, Debug)]
struct Curve {
    hidden: Linear,
    out: Linear,
}

impl Curve {
    fn forward(&self, x: Tensor<2>) -> Tensor<1> {
        self.out
            .forward(tanh(self.hidden.forward(x)))
            .squeeze_dim::<1>(1)
    }
}

/// Regression with some targets taken from other samples.
struct Regression {
    train: Vec<Point>,
    probe: Vec<Point>,
    wrong: Vec<bool>,
}

impl Regression {
    fn new(train: usize, probe: usize, noise: f64, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut draw = |count: usize| {
            let mut points = Vec::with_capacity(count);
            for _ in 0..count {
                let x = [0; 3].map(|_| rng.random_range(-1.5..1.5_f32));
                let y = (2.0 * x[0]).sin() + x[1] * x[2] + 0.1 * rng.random_range(-1.0..1.0_f32);
                points.push(Point { x, y });
            }
            points
        };
        let (clean, probe) = (draw(train), draw(probe));
        let (mut train, mut wrong) = (clean.clone(), vec![false; clean.len()]);
        for (point, wrong) in train.iter_mut().zip(&mut wrong) {
            *wrong = rng.random_bool(noise);
            if *wrong {
                point.y = clean[rng.random_range(0..clean.len())].y;
            }
        }
        Self {
            train,
            probe,
            wrong,
        }
    }

    /// A model after some passes of Adam; call it on your [`turn`].
    fn trained(&self, epochs: usize) -> Curve {
        let device = Device::flex();
        device.seed(3);
        let model = self.model(&device);
        values(&model);
        let device = device.autodiff();
        let (mut model, mut optimizer) = (model.train(), AdamConfig::new().init());
        for _ in 0..epochs {
            for chunk in self.train.chunks(32) {
                let batch = self.batch(chunk.to_vec(), &device);
                let gradients = self.losses(&model, &batch).mean().backward();
                let gradients = GradientsParams::from_grads(gradients, &model);
                model = optimizer.step(5e-3, model, gradients);
            }
        }
        model.valid()
    }
}

impl Task for Regression {
    type Model = Curve;
    type Item = Point;
    type Batch = (Tensor<2>, Tensor<1>);

    fn model(&self, device: &Device) -> Curve {
        Curve {
            hidden: LinearConfig::new(3, 48).init(device),
            out: LinearConfig::new(48, 1).init(device),
        }
    }

    fn train(&self) -> Arc<dyn Dataset<Point>> {
        Arc::new(InMemDataset::new(self.train.clone()))
    }

    fn probe(&self) -> Arc<dyn Dataset<Point>> {
        Arc::new(InMemDataset::new(self.probe.clone()))
    }

    fn batch(&self, items: Vec<Point>, device: &Device) -> Self::Batch {
        let x: Vec<f32> = items.iter().flat_map(|p| p.x).collect();
        let y: Vec<f32> = items.iter().map(|p| p.y).collect();
        let count = y.len();
        (
            Tensor::from_data(TensorData::new(x, [count, 3]), device),
            Tensor::from_data(TensorData::new(y, [count]), device),
        )
    }

    fn losses(&self, model: &Curve, (x, y): &Self::Batch) -> Tensor<1> {
        (model.forward(x.clone()) - y.clone()).powf_scalar(2.0)
    }
}

fn config<T: Task>(estimator: &str) -> ScanConfig {
    ScanConfig {
        estimators: vec![Estimator::parse::<T>(estimator).unwrap()],
        folds: 2,
        batch_size: 100,
        seed: 0,
        device: Device::flex(),
    }
}

pub fn scanned<T: Task>(task: &T, model: &T::Model, estimator: &str) -> Scan {
    let labels = Labels::read(task).unwrap();
    let config = config::<T>(estimator);
    scan(
        task,
        model,
        &labels,
        &config,
        &|_| (),
        &AtomicBool::new(false),
    )
    .unwrap()
}

#[test]
fn wrong_targets_of_a_regression_are_found() {
    let _turn = turn();
    for seed in 0..3 {
        let task = Regression::new(600, 200, 0.15, seed);
        let model = task.trained(60);
        for (estimator, least) in [
            ("finetune", 0.9),
            ("shrink-finetune", 0.85),
            ("gradient", 0.6),
        ] {
            let scan = scanned(&task, &model, estimator);
            let found = auroc(&scan.estimates[0].train, &task.wrong).unwrap();
            let plain = auroc(&scan.train_losses, &task.wrong).unwrap();
            println!(
                "seed {seed} {estimator}: AUROC {found:.3}, of the loss {plain:.3}, {:?}",
                scan.estimates[0].choices
            );
            assert!(found > least, "{estimator}: {found}");
            assert_eq!(scan.estimates[0].suggested, vec![0; 600]);
        }
    }
}

#[test]
fn a_model_that_knows_nothing_is_told_from_one_that_does() {
    let _turn = turn();
    let task = Regression::new(300, 200, 0.0, 5);
    let device = Device::flex();
    device.seed(11);
    let fresh = task.model(&device);
    values(&fresh);
    let nothing = scanned(&task, &fresh, "finetune");
    // Two fresh models do better than each other about as often.
    assert!(
        (nothing.probe_accuracy - 0.5).abs() < 0.25,
        "{}",
        nothing.probe_accuracy
    );
    let taught = scanned(&task, &task.trained(60), "finetune");
    assert!(taught.probe_accuracy > 0.9, "{}", taught.probe_accuracy);
    assert_eq!((taught.chance, taught.probe_fitted), (0.5, 0.5));
    // Fitted is what is below the probe's median: most of a training set that was learnt.
    let fitted = taught.train_margins.iter().filter(|m| **m > 0.0).count();
    assert!(fitted > 100, "{fitted}");
    assert_eq!(taught.estimates[0].probe_noise, 0.0);
}

/// A classification that says nothing but its losses.
struct Mute(Toy<Smooth>);

impl Task for Mute {
    type Model = Smooth;
    type Item = Sample;
    type Batch = (Tensor<2>, Tensor<1, Int>);

    fn model(&self, device: &Device) -> Smooth {
        self.0.model(device)
    }

    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        Task::train(&self.0)
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        Task::probe(&self.0)
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Self::Batch {
        let labels: Vec<i64> = items.iter().map(|s| s.label as i64).collect();
        let labels = Tensor::from_data(TensorData::new(labels, [items.len()]), device);
        (stack(&items, device), labels)
    }

    fn losses(&self, model: &Smooth, (x, labels): &Self::Batch) -> Tensor<1> {
        let chosen =
            log_softmax(model.logits(x.clone()), 1).gather(1, labels.clone().unsqueeze_dim(1));
        chosen.neg().squeeze_dim::<1>(1)
    }
}

#[test]
fn losses_of_a_classification_are_its_cross_entropy() {
    let _turn = turn();
    let toy = Toy::<Smooth>::gaussian(80, 40, 2);
    let model = toy.trained(3, 0.05, 1);
    let mute = Mute(Toy::gaussian(80, 40, 2));
    let (with, without) = (Labels::read(&toy).unwrap(), Labels::read(&mute).unwrap());
    assert_eq!((without.classes, without.train.len()), (0, 80));

    let all: Vec<usize> = (0..80).collect();
    let swept = |losses: Vec<f32>| losses;
    let a = swept(
        sweep(&toy, &model, Set::Training, &all, &with.train, &quiet())
            .unwrap()
            .losses,
    );
    let b = swept(
        sweep(&mute, &model, Set::Training, &all, &without.train, &quiet())
            .unwrap()
            .losses,
    );
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    let quiet = quiet();
    let a = Exact::new(&toy, &model, &with, Layers::All, &quiet).unwrap();
    let b = Exact::new(&mute, &model, &without, Layers::All, &quiet).unwrap();
    let own = (
        a.sample(Set::Training, 7, with.train[7]).unwrap(),
        b.sample(Set::Training, 7, 0).unwrap(),
    );
    for (a, b) in [(a.probe(), b.probe()), (&own.0[..], &own.1[..])] {
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

#[test]
fn what_needs_logits_is_refused_in_words() {
    let _turn = turn();
    let task = Regression::new(20, 10, 0.0, 1);
    let model = task.model(&Device::flex());
    let labels = Labels::read(&task).unwrap();
    for estimator in [
        "margin",
        "per-class",
        "inverse-hessian",
        "finetune:counterfactual",
    ] {
        let config = config::<Regression>(estimator);
        let error = scan(
            &task,
            &model,
            &labels,
            &config,
            &|_| (),
            &AtomicBool::new(false),
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("works on logits"), "{error}");
    }
}

/// Says it has classes and has no logits, or the other way round.
struct Half {
    classes: usize,
    wide: bool,
}

impl Task for Half {
    type Model = Linear;
    type Item = usize;
    type Batch = Tensor<2>;

    fn model(&self, device: &Device) -> Linear {
        LinearConfig::new(1, 2).init(device)
    }

    fn train(&self) -> Arc<dyn Dataset<usize>> {
        Arc::new(InMemDataset::new(vec![0, 1, 0, 1]))
    }

    fn probe(&self) -> Arc<dyn Dataset<usize>> {
        Arc::new(InMemDataset::new(vec![0, 1, 0, 1]))
    }

    fn batch(&self, items: Vec<usize>, device: &Device) -> Tensor<2> {
        Tensor::ones([items.len(), 1], device)
    }

    fn label(&self, item: &usize) -> usize {
        *item
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn losses(&self, model: &Linear, batch: &Tensor<2>) -> Tensor<1> {
        if !self.wide {
            return batch.clone().sum_dim(1).squeeze_dim::<1>(1);
        }
        model.forward(batch.clone()).reshape([-1])
    }
}

#[test]
fn a_task_is_tried_before_anything_depends_on_it() {
    let _turn = turn();
    let refused = |classes, wide| {
        let task = Half { classes, wide };
        let labels = Labels::read(&task).unwrap();
        rehearse(&task, &labels, &Device::flex())
            .unwrap_err()
            .to_string()
    };
    assert!(refused(2, true).contains("must implement Task::logits"));
    assert!(refused(0, true).contains("the task's losses have shape [4] for a batch of 2"));
    let constant = std::panic::catch_unwind(|| refused(0, false)).unwrap();
    assert!(
        constant.contains("gradient") || constant.contains("panicked"),
        "{constant}"
    );
    let good = Regression::new(20, 10, 0.0, 1);
    rehearse(&good, &Labels::read(&good).unwrap(), &Device::flex()).unwrap();
}

/// Every third label is missing.
struct Sparse(Toy<Smooth>);

impl Task for Sparse {
    type Model = Smooth;
    type Item = Sample;
    type Batch = Tensor<2>;

    fn model(&self, device: &Device) -> Smooth {
        self.0.model(device)
    }

    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        Task::train(&self.0)
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        Task::probe(&self.0)
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Tensor<2> {
        self.0.batch(items, device)
    }

    fn label(&self, item: &Sample) -> usize {
        // A mark that the labels of the probe do not have.
        if item.x[0] > 50.0 {
            UNLABELLED
        } else {
            item.label
        }
    }

    fn classes(&self) -> usize {
        Task::classes(&self.0)
    }

    fn logits(&self, model: &Smooth, batch: &Tensor<2>) -> Tensor<2> {
        self.0.logits(model, batch)
    }
}

#[test]
fn samples_without_a_label_change_nothing_for_the_others() {
    let _turn = turn();
    let full = Toy::<Smooth>::gaussian(90, 60, 4);
    let model = full.trained(4, 0.05, 1);
    let mut sparse = Toy::<Smooth>::gaussian(90, 60, 4);
    let mut kept = Vec::new();
    for (index, sample) in Arc::get_mut(&mut sparse.train)
        .unwrap()
        .samples
        .iter_mut()
        .enumerate()
    {
        if index % 3 == 0 {
            sample.x[0] = 100.0;
        } else {
            kept.push(index);
        }
    }
    let mut only = Toy::<Smooth>::gaussian(90, 60, 4);
    let samples = kept
        .iter()
        .map(|&i| full.train.samples[i].clone())
        .collect();
    Arc::get_mut(&mut only.train).unwrap().samples = samples;

    let sparse = Sparse(sparse);
    let labels = Labels::read(&sparse).unwrap();
    assert_eq!(
        (labels.unlabelled.len(), labels.labelled()),
        (30, kept.clone())
    );
    let with = scanned(&sparse, &model, "finetune");
    let without = scanned(&only, &model, "finetune");
    let (a, b) = (&with.estimates[0], &without.estimates[0]);
    assert_eq!((&a.probe, &a.probe_mean), (&b.probe, &b.probe_mean));
    for (place, &index) in kept.iter().enumerate() {
        assert_eq!(a.train[index], b.train[place]);
        assert_eq!(a.suggested[index], b.suggested[place]);
        assert_eq!(with.train_margins[index], without.train_margins[place]);
    }
    let lowest = b.train.iter().copied().fold(f32::INFINITY, f32::min);
    assert_eq!((a.train[0], with.train_losses[0]), (lowest, 0.0));
}

#[test]
fn a_probe_sample_without_a_label_is_an_error() {
    let mut toy = Toy::<Smooth>::gaussian(20, 16, 4);
    Arc::get_mut(&mut toy.probe).unwrap().samples[5].x[0] = 100.0;
    let error = Labels::read(&Sparse(toy)).unwrap_err().to_string();
    assert!(error.contains("probe sample 5 has no label"), "{error}");
}
