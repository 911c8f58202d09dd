//! How far two scans of the same checkpoint agree.

use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use mirrorwatch::Task;
use mirrorwatch::daemon::account::{Levels, account};
use mirrorwatch::daemon::evidence::Evidence;
use mirrorwatch::influence::{Estimator, Labels, Scan, ScanConfig, model, scan};
use mirrorwatch::stats::ranking::spearman;

/// A scan, and for each estimator whom it names.
pub struct Scanned {
    scan: Scan,
    suspects: Vec<Vec<bool>>,
}

/// Scans a record on `device` with the estimators of these names, seed 0 and two folds.
pub fn scanned<T: Task>(task: &T, record: &[u8], device: &Device, names: &[&str]) -> Scanned {
    let labels = Labels::read(task).unwrap();
    let model = model::load(task, &[], record.to_vec(), device).unwrap();
    let parsed = names
        .iter()
        .map(|name| Estimator::parse::<T>(name).unwrap());
    let config = ScanConfig {
        estimators: parsed.collect(),
        folds: 2,
        batch_size: 500,
        seed: 0,
        device: device.clone(),
    };
    let scan = scan(
        task,
        &model,
        &labels,
        &config,
        &|_| (),
        &AtomicBool::new(false),
    )
    .unwrap();
    let mut suspects = Vec::new();
    for estimate in &scan.estimates {
        let mut one = scan.clone();
        one.estimates = vec![estimate.clone()];
        let estimators = [estimate.estimator.clone()];
        let mut evidence = Evidence::new(&estimators, labels.train.len(), labels.probe.len());
        evidence.add(&one, 1, labels.classes).unwrap();
        let levels = Levels {
            fdr: 0.1,
            alpha: 0.05,
            per_class: None,
        };
        suspects.push(account(&evidence, &labels, levels).unwrap().flags);
    }
    Scanned { scan, suspects }
}

/// How far the scores of one estimator agree, over all training samples.
#[derive(Debug)]
pub struct Agreement {
    pub estimator: String,
    /// The largest difference of scores.
    pub largest: f32,
    /// The same, in standard deviations of the scores.
    pub largest_relative: f32,
    pub rank_correlation: f64,
    /// Whether what was chosen for each fork (learning rate, depth) is the same.
    pub same_choices: bool,
    /// Samples that one of the two names and the other does not.
    pub suspects_differ: usize,
    pub suspects: usize,
}

impl Agreement {
    fn of(one: &Scanned, other: &Scanned, estimator: usize) -> Self {
        let (a, b) = (
            &one.scan.estimates[estimator],
            &other.scan.estimates[estimator],
        );
        let (s, t) = (&one.suspects[estimator], &other.suspects[estimator]);
        let largest = largest_difference(&a.train, &b.train);
        Self {
            estimator: a.estimator.to_string(),
            largest,
            largest_relative: largest / deviation(&a.train),
            rank_correlation: spearman(&a.train, &b.train).unwrap(),
            same_choices: chosen(&a.choices) == chosen(&b.choices),
            suspects_differ: s.iter().zip(t).filter(|(s, t)| s != t).count(),
            suspects: s.iter().filter(|s| **s).count(),
        }
    }
}

/// The largest difference of losses at the checkpoint itself, and what each estimator says.
pub fn agreement(one: &Scanned, other: &Scanned) -> (f32, Vec<Agreement>) {
    let losses = largest_difference(&one.scan.train_losses, &other.scan.train_losses);
    let estimators = 0..one.scan.estimates.len();
    (
        losses,
        estimators
            .map(|estimator| Agreement::of(one, other, estimator))
            .collect(),
    )
}

/// What was chosen, without the loss that it was chosen for.
fn chosen(choices: &[String]) -> Vec<&str> {
    choices
        .iter()
        .map(|choice| {
            choice
                .split_once(',')
                .map_or(choice.as_str(), |(choice, _)| choice)
        })
        .collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

fn deviation(values: &[f32]) -> f32 {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let squares = values.iter().map(|v| (v - mean) * (v - mean));
    (squares.sum::<f32>() / count).sqrt()
}
