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
        // Without a trusted set, the others name nobody.
        if !estimate.held_out_null {
            suspects.push(Vec::new());
            continue;
        }
        let mut one = scan.clone();
        one.estimates = vec![estimate.clone()];
        let estimators = [estimate.estimator.clone()];
        let mut evidence = Evidence::new(&estimators, labels.train.len(), labels.probe.len());
        evidence.add(&one, 1, &labels).unwrap();
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
pub struct Agreement {
    estimator: String,
    /// The largest difference of scores, and the middle one.
    pub largest: f32,
    median: f32,
    pub rank_correlation: f64,
    /// Whether what was chosen for each fork (learning rate and depth, or length) is the same.
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
        let apart = differences(&a.train, &b.train);
        Self {
            estimator: a.estimator.to_string(),
            largest: apart[apart.len() - 1],
            median: apart[apart.len() / 2],
            rank_correlation: spearman(&a.train, &b.train).unwrap(),
            same_choices: chosen(&a.choices) == chosen(&b.choices),
            suspects_differ: s.iter().zip(t).filter(|(s, t)| s != t).count(),
            suspects: s.iter().filter(|s| **s).count(),
        }
    }
}

impl std::fmt::Display for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:32} within {:.1e} (median {:.1e}), rank correlation {:.6}, {} choices, suspects {}, {} of them others",
            self.estimator,
            self.largest,
            self.median,
            self.rank_correlation,
            match self.same_choices {
                true => "same",
                false => "OTHER",
            },
            self.suspects,
            self.suspects_differ,
        )
    }
}

/// The largest difference of losses at the checkpoint itself, and what each estimator says.
pub fn agreement(one: &Scanned, other: &Scanned) -> (f32, Vec<Agreement>) {
    let losses = differences(&one.scan.train_losses, &other.scan.train_losses);
    let estimators = 0..one.scan.estimates.len();
    let found = estimators.map(|estimator| Agreement::of(one, other, estimator));
    (losses[losses.len() - 1], found.collect())
}

/// What was chosen, without the figures that it was chosen by.
fn chosen(choices: &[String]) -> Vec<&str> {
    let parts = choices.iter().flat_map(|choice| choice.split(", "));
    parts
        .filter(|part| part.contains("rho ") || part.contains(" steps at "))
        .collect()
}

/// Absolute differences, sorted.
fn differences(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len());
    let mut apart: Vec<f32> = a.iter().zip(b).map(|(a, b)| (a - b).abs()).collect();
    apart.sort_unstable_by(f32::total_cmp);
    apart
}
