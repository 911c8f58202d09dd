//! Planted wrong labels: are they told from right ones where the truth is known?

use std::sync::atomic::AtomicBool;

use burn::tensor::Device;

use crate::direction::{self, Probe};
use crate::error::InfluenceError;
use crate::estimator::Estimator;
use crate::folds::Folds;
use crate::scan::select;
use crate::score;
use crate::sweep::{SweepOptions, sweep};
use crate::task::{Labels, Set, Task};

/// How well wrong labels were told from right ones.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// use mirrorwatch_influence::verify::planted;
///
/// let estimator = Estimator::parse::<Line>("gradient:after")?;
/// let found = planted(&task, &model, &labels, &estimator, (2, 0), &options)?;
/// assert_eq!((found.estimator.as_str(), found.folds.len()), ("gradient:after", 2));
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Planted {
    /// The estimator that was asked.
    pub estimator: String,
    /// Per probe fold: the chance that a wrong label of a held-out probe sample scores above a right one (AUROC).
    pub folds: Vec<f64>,
}

impl Planted {
    /// The least of all folds.
    ///
    /// ```
    /// use mirrorwatch_influence::verify::Planted;
    ///
    /// let found = Planted { estimator: "finetune:after".into(), folds: vec![0.97, 0.92, 0.95] };
    /// assert_eq!(found.least(), 0.92);
    /// ```
    pub fn least(&self) -> f64 {
        self.folds.iter().copied().fold(1.0, f64::min)
    }
}

/// Steps on all folds of the probe but one, and scores the samples of that one under their own label and under
/// every other one.
///
/// Needs no wrong label and no training sample. A probe whose labels are wrong or shuffled gives .5: what is
/// learnt from one part of it says nothing of the rest.
///
/// # Errors
///
/// An unknown estimator, unreadable samples, or cancellation.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// use mirrorwatch_influence::verify::planted;
///
/// let estimator = Estimator::parse::<Line>("finetune:after")?;
/// let found = planted(&task, &model, &labels, &estimator, (2, 0), &options)?;
/// assert!(found.least() > 0.8);
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn planted<T: Task>(
    task: &T,
    model: &T::Model,
    labels: &Labels,
    estimator: &Estimator,
    (folds, seed): (usize, u64),
    forward: &SweepOptions<'_>,
) -> Result<Planted, InfluenceError> {
    if !labels.has_classes() {
        return Err(InfluenceError::Data(
            "wrong labels can only be made up for a task with classes; measure with canaries instead".to_string(),
        ));
    }
    let direction = direction::by_name::<T>(&estimator.direction)?;
    let score = score::by_name(&estimator.score)?;
    let all: Vec<usize> = (0..labels.probe.len()).collect();
    let before = sweep(task, model, Set::Probe, &all, &labels.probe, forward)?;
    let split = Folds::stratified(&labels.probe, folds, seed);
    let (device, cancel): (&Device, &AtomicBool) = (forward.device, forward.cancel);
    let mut found = Vec::with_capacity(split.count());
    for fold in 0..split.count() {
        let held_out = split.held_out(fold);
        let probe = Probe {
            task,
            model,
            labels,
            learnt: &split.learnt(fold),
            held_out,
            held_out_before: &select(&before, held_out),
            device,
            batch_size: forward.batch_size,
            seed: seed.wrapping_add(fold as u64),
            last: None,
            progress: forward.progress,
            cancel,
        };
        let step = direction.step(&probe)?;
        found.push(probe.judge(&step.forks, score)?);
    }
    Ok(Planted {
        estimator: estimator.to_string(),
        folds: found,
    })
}
