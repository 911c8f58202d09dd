//! The scan: estimator = direction × sweep × score, cross-fitted over probe folds.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use mirrorwatch_stats::shards::Alone;

use crate::error::InfluenceError;
use crate::estimator::Estimator;
use crate::folds::Folds;
use crate::kept::{Reader, read_training};
use crate::knowledge::Knowledge;
use crate::memory::Memory;
use crate::readings::Readings;
use crate::score::View;
use crate::sums::Sums;
use crate::sweep::{Outputs, SweepOptions, sweep};
use crate::task::{Labels, Set, Task};
use crate::teach::{Taught, teach};

/// What to compute and how.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// // The second estimator shares the sweeps of the first.
/// let config = ScanConfig {
///     estimators: vec![Estimator::parse::<Line>("gradient:after")?, Estimator::parse::<Line>("gradient:delta")?],
///     folds: 2,
///     batch_size: 32,
///     seed: 0,
///     device: device.clone(),
/// };
/// let scan = scan(&task, &model, &labels, &config, &|_| (), &cancel)?;
/// assert_eq!(scan.estimates.len(), 2);
/// assert_eq!(scan.estimates[0].choices.len(), config.folds);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScanConfig {
    /// Estimators; the first one counts, the others are reported beside it.
    pub estimators: Vec<Estimator>,
    /// Probe folds, so also forks per direction.
    pub folds: usize,
    /// Samples in a forward batch.
    pub batch_size: usize,
    /// Seed of fold assignment and minibatch order; the same for all checkpoints of a run.
    pub seed: u64,
    /// Device to compute on, without autodiff.
    pub device: Device,
}

/// What one estimator says of every sample.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// # let config = ScanConfig {
/// #     estimators: vec![Estimator::parse::<Line>("gradient:after")?],
/// #     folds: 2,
/// #     batch_size: 32,
/// #     seed: 0,
/// #     device: device.clone(),
/// # };
/// let scan = scan(&task, &model, &labels, &config, &|_| (), &cancel)?;
///
/// let estimate = &scan.estimates[0];
/// assert_eq!((arg_max(&estimate.train), estimate.suggested[2]), (2, 1));
/// assert!(estimate.held_out_null && estimate.probe_accuracy > 0.9);
/// assert_eq!((estimate.probe.len(), estimate.probe_mean.len()), (41, 41));
/// assert_eq!((estimate.probe_noise, estimate.estimator.to_string()), (0.0, "gradient:after".into()));
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Estimate {
    /// Which estimator.
    pub estimator: Estimator,
    /// Whether the probe scores may serve as a null distribution for it.
    pub held_out_null: bool,
    /// Mean score over forks of each training sample.
    pub train: Vec<f32>,
    /// Score of each probe sample by the one fork that did not learn from it: spread more than a mean of forks, so
    /// that in the tail it is at least as high as `train`.
    pub probe: Vec<f32>,
    /// What the mean over forks of each probe sample would be, by that fork and what the other forks say of
    /// training samples like it: alike `train` at every height.
    pub probe_mean: Vec<f32>,
    /// The label other than the given one that each training sample should most likely carry.
    pub suggested: Vec<u32>,
    /// Share of probe samples that the fork which did not learn from them classifies right; see
    /// [`Scan::probe_accuracy`] for tasks without classes.
    pub probe_accuracy: f64,
    /// Lower bound on the share of wrong labels in the probe itself, by what the forks which did not learn from
    /// its samples say of them, less what they expect to get wrong (95 % each at three degrees of sureness).
    pub probe_noise: f64,
    /// What was chosen for each fork.
    pub choices: Vec<String>,
}

/// The result of scanning one checkpoint.
///
/// Training samples without a label have the place that their position gives them, and nothing to say: the lowest
/// score, a loss and a margin of 0.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// # let config = ScanConfig {
/// #     estimators: vec![Estimator::parse::<Line>("gradient:after")?],
/// #     folds: 2,
/// #     batch_size: 32,
/// #     seed: 0,
/// #     device: device.clone(),
/// # };
/// let scan = scan(&task, &model, &labels, &config, &|_| (), &cancel)?;
///
/// // The wrong label is not fitted, the others are.
/// let fitted: Vec<bool> = scan.train_margins.iter().map(|&margin| margin > 0.0).collect();
/// assert_eq!(fitted, [true, true, false, true, true]);
/// assert!(scan.train_losses[2] > 3.0);
/// // 41 probe samples, 21 of one class: the model knows more than that.
/// assert!(scan.probe_accuracy > scan.chance && (scan.chance - 21.0 / 41.0).abs() < 1e-9);
/// assert!(scan.base_sweep_seconds <= scan.seconds);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scan {
    /// Loss of each training sample at θ: what training itself sees.
    pub train_losses: Vec<f32>,
    /// z_y − max_{c≠y} z_c of each training sample at θ; positive = fitted. Without classes, by how much its loss is
    /// below the probe's median: a sample that is told better than half of the held-out ones.
    pub train_margins: Vec<f32>,
    /// Loss of each probe sample at θ, in nats or as the task has it.
    pub probe_losses: Vec<f32>,
    /// Their mean.
    pub probe_loss: f64,
    /// Share of probe samples that are classified right at θ. Without classes, of those whose loss is smaller than
    /// that of an untaught model.
    pub probe_accuracy: f64,
    /// The share that a model which knows nothing reaches: that of the probe's most frequent class, or one half
    /// without classes.
    pub chance: f64,
    /// Share of probe samples that are fitted in the sense of `train_margins`.
    pub probe_fitted: f64,
    /// One estimate per configured estimator, in that order.
    pub estimates: Vec<Estimate>,
    /// Wall time of the bare forward sweep over the training set at θ.
    pub base_sweep_seconds: f64,
    /// Wall time of what the probe costs, however many training samples there are: the forks are taught, and their
    /// depths and lengths chosen.
    pub probe_seconds: f64,
    /// Wall time of the whole scan.
    pub seconds: f64,
}

/// Work of a scan in samples to pass forward, for progress bars.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// # let config = ScanConfig {
/// #     estimators: vec![Estimator::parse::<Line>("gradient:after")?],
/// #     folds: 2,
/// #     batch_size: 32,
/// #     seed: 0,
/// #     device: device.clone(),
/// # };
/// // The checkpoint's own sweep, and one for each of two folds.
/// assert_eq!(work(&config, &labels), 3 * 5);
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn work(config: &ScanConfig, labels: &Labels) -> usize {
    let judged = labels.train.len() - labels.unlabelled.len();
    judged * (1 + directions_of(config).len() * config.folds)
}

/// Scans the training set of `task` with `model` at one checkpoint.
///
/// The model is never changed. `progress` is told how many training samples were passed forward;
/// `cancel` stops the scan between batches.
///
/// # Errors
///
/// An unknown estimator or one that does not suit the task, unreadable data, outputs that are not finite, or
/// cancellation.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let config = ScanConfig {
///     estimators: vec![Estimator::parse::<Line>("gradient:after")?],
///     folds: 2,
///     batch_size: 32,
///     seed: 0,
///     device: device.clone(),
/// };
/// let scan = scan(&task, &model, &labels, &config, &|_| (), &cancel)?;
///
/// let scores = &scan.estimates[0].train;
/// assert_eq!(arg_max(scores), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn scan<T: Task>(
    task: &T,
    model: &T::Model,
    labels: &Labels,
    config: &ScanConfig,
    progress: &dyn Fn(usize),
    cancel: &AtomicBool,
) -> Result<Scan, InfluenceError> {
    let mut memory = Memory::default();
    scan_next(task, model, labels, config, &mut memory, progress, cancel)
}

/// As [`scan`], of the next checkpoint of a run: forks start from where `memory` has those of the last one, and are
/// remembered in it.
///
/// A memory of another task or of other labels would let forks have seen the samples that they must not see: keep one
/// for each run, and begin anew whenever labels, folds or seed change. After an error it is what it was.
///
/// # Errors
///
/// As [`scan`].
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let config = ScanConfig {
///     estimators: vec![Estimator::parse::<Line>("finetune:after")?],
///     folds: 2,
///     batch_size: 32,
///     seed: 0,
///     device: device.clone(),
/// };
/// let mut memory = Memory::default();
/// for checkpoint in [&model, &model] {
///     let scan = scan_next(&task, checkpoint, &labels, &config, &mut memory, &|_| (), &cancel)?;
///     assert_eq!(arg_max(&scan.estimates[0].train), 2);
/// }
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn scan_next<T: Task>(
    task: &T,
    model: &T::Model,
    labels: &Labels,
    config: &ScanConfig,
    memory: &mut Memory,
    progress: &dyn Fn(usize),
    cancel: &AtomicBool,
) -> Result<Scan, InfluenceError> {
    // What is remembered is of use only after a scan that was one.
    let mut remembered = memory.clone();
    let readings = read_next(
        task,
        model,
        labels,
        config,
        &mut remembered,
        progress,
        cancel,
    )?;
    let scan = readings.finish(labels, &Alone)?;
    *memory = remembered;
    Ok(scan)
}

/// The first half of [`scan_next`]: everything that takes forward passes. What they say is told by
/// [`Readings::finish`], which a process that has only a part of the samples does together with the others.
///
/// # Errors
///
/// As [`scan`].
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// use mirrorwatch_stats::shards::Alone;
///
/// let config = ScanConfig {
///     estimators: vec![Estimator::parse::<Line>("finetune:after")?],
///     folds: 2,
///     batch_size: 32,
///     seed: 0,
///     device: device.clone(),
/// };
/// let mut memory = Memory::default();
/// let readings = read_next(&task, &model, &labels, &config, &mut memory, &|_| (), &cancel)?;
/// assert_eq!(arg_max(&readings.finish(&labels, &Alone)?.estimates[0].train), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn read_next<T: Task>(
    task: &T,
    model: &T::Model,
    labels: &Labels,
    config: &ScanConfig,
    memory: &mut Memory,
    progress: &dyn Fn(usize),
    cancel: &AtomicBool,
) -> Result<Readings, InfluenceError> {
    let start = Instant::now();
    for estimator in &config.estimators {
        estimator.check::<T>(labels)?;
    }
    let forward = SweepOptions {
        device: &config.device,
        batch_size: config.batch_size,
        progress,
        cancel,
    };
    let quiet = SweepOptions {
        progress: &|_| (),
        ..forward
    };
    let whole_probe: Vec<usize> = (0..labels.probe.len()).collect();
    let sweep_probe =
        |model: &T::Model| sweep(task, model, Set::Probe, &whole_probe, &labels.probe, &quiet);
    let probe_base = sweep_probe(model)?;
    let untaught = match labels.has_classes() {
        true => Vec::new(),
        false => {
            // The same one at every checkpoint, and after a restart.
            config.device.seed(config.seed);
            sweep_probe(&task.model(&config.device))?.losses
        }
    };
    let folds = Folds::stratified(&labels.probe, config.folds, config.seed);
    let on_probe = (&folds, &probe_base);
    let steps = teach(task, model, labels, config, on_probe, memory, &forward)?;
    let mut read = Vec::with_capacity(steps.len());
    let mut remembered = Memory::default();
    for mut taught in steps {
        let after = match taught.step.held_out.take() {
            Some(after) => after,
            None => {
                let (forks, held_out) = (&taught.step.forks, folds.held_out(taught.fold));
                forks.sweep(task, Set::Probe, held_out, &labels.probe, &quiet)?
            }
        };
        if let Some(change) = taught.step.change.take() {
            remembered.keep(&taught.direction, taught.fold, change);
        }
        read.push((taught, after));
    }
    let probe_seconds = start.elapsed().as_secs_f64();

    let knowledge = Knowledge::of(&probe_base, labels, &untaught);
    let mut sums = Vec::new();
    for estimator in &config.estimators {
        sums.push(Sums::new(estimator, labels)?);
    }
    let taught: Vec<&Taught<T::Model>> = read.iter().map(|(taught, _)| taught).collect();
    let reader = Reader::of(&knowledge, &sums, &taught);
    let (kept, centres, base_sweep_seconds) =
        read_training(task, model, labels, &reader, &taught, &forward)?;
    for (place, (taught, held_out_after)) in read.iter().enumerate() {
        let held_out = folds.held_out(taught.fold);
        let held_out_before = select(&probe_base, held_out);
        let held_out_labels = gather(&labels.probe, held_out);
        let probe = View::uncentred(&held_out_before, held_out_after, &held_out_labels);
        let probe = probe.with_centres(centres.get(place));
        for sum in &mut sums {
            if sum.estimator.direction == taught.direction {
                sum.add(&probe, held_out, &untaught, &taught.step.choice);
            }
        }
    }
    *memory = remembered;
    Ok(Readings {
        sums,
        kept,
        knowledge,
        base_sweep_seconds,
        probe_base,
        probe_seconds,
        start,
    })
}

/// The distinct directions of the estimators: two scores of one direction share its sweeps.
pub(crate) fn directions_of(config: &ScanConfig) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for estimator in &config.estimators {
        if !names.contains(&estimator.direction) {
            names.push(estimator.direction.clone());
        }
    }
    names
}

pub(crate) fn select(outputs: &Outputs, samples: &[usize]) -> Outputs {
    let mut selected = Outputs {
        classes: outputs.classes,
        logits: Vec::with_capacity(samples.len() * outputs.classes),
        losses: Vec::with_capacity(samples.len()),
    };
    for &sample in samples {
        selected.logits.extend_from_slice(outputs.row(sample));
        selected.losses.push(outputs.losses[sample]);
    }
    selected
}

/// What `values` say of samples at these positions.
pub(crate) fn gather<V: Copy>(values: &[V], positions: &[usize]) -> Vec<V> {
    positions.iter().map(|&position| values[position]).collect()
}

/// One value for each training sample, from one for each that has a label; the others get `filler`.
pub(crate) fn scatter<V: Copy>(values: Vec<V>, labels: &Labels, filler: V) -> Vec<V> {
    if labels.unlabelled.is_empty() {
        return values;
    }
    let mut all = vec![filler; labels.train.len()];
    for (position, value) in labels.labelled().into_iter().zip(values) {
        all[position] = value;
    }
    all
}
