//! Data leakage: probe or test samples that the model was trained on, or nearly.
//!
//! Two samples are the same to a model if every change of its weights changes their logits alike. Such
//! pairs are found with forward passes (after Ko et al., "The Mirrored Influence Hypothesis", CVPR 2024, where the
//! training sample that a step on a test sample moves most is its duplicate):
//!
//! 1. **Sketch.** A few random changes of the weights, the same for all samples; what they do to the K logits is a
//!    random projection of a sample's Jacobian (Johnson and Lindenstrauss; Park et al., "TRAK", ICML 2023, do it to
//!    gradients). One sweep of both sets per change finds each probe sample's nearest training samples.
//! 2. **Stand-out.** A copy is not only near, it is nearer by far than the next nearest: 1 − d / d', with d = 1 −
//!    cosine its distance and d' that of the last candidate (after the ratio test of Lowe, "Distinctive Image Features
//!    from Scale-Invariant Keypoints", IJCV 2004). 1 for a copy, about 0 for one of many like it.
//! 3. **Per-sample direction,** for the pairs that stand out: does a step on the probe sample itself, up the margin of
//!    its label, move the training sample's logits as it moves its own, beyond what it does to training samples in
//!    general? A single step mostly says what class a sample is of, and so it does not rank: of 100 noisy, shifted
//!    copies among 10,000 images the sketch puts 99 first, the step 65 to 95.
//!
//! No label of a training sample is looked at: a leaked sample with another label is found, too.
//!
//! A model is invariant to what it was trained to be invariant to, and to nothing else: to one that was trained without
//! augmentation, a copy that is shifted by two pixels is no more alike than another sample of its class. What else is
//! to count as the same sample, the task says by its [`views`](crate::Task::views).

use burn::tensor::{Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::error::InfluenceError;
use crate::exact::{Exact, inner};
use crate::sweep::{SweepOptions, logits_of, read_items};
use crate::task::{Labels, Set, Task, dataset};

mod sketch;

use sketch::{Near, Sketch, nearest};

/// How leaked samples are looked for.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// use mirrorwatch_influence::leaks::{LeakOptions, leaks};
///
/// let two = LeakOptions { candidates: 2, ..LeakOptions::default() };
/// let found = leaks(&task, &model, &labels, &exact, &[27], &two, &options)?;
/// assert_eq!(found[0].len(), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeakOptions {
    /// Random changes of the weights in the sketch; each costs a sweep of both sets, and twice 4 K bytes of memory a
    /// sample for K classes.
    pub sketches: usize,
    /// Nearest training samples of a probe sample; the last one says how near samples are that are no copies.
    pub candidates: usize,
    /// Stand-out from which a pair is looked at closely and counts.
    pub threshold: f64,
    /// Length of all steps as a share of the weights' length.
    pub length: f64,
    /// Seed of the sketch.
    pub seed: u64,
}

impl Default for LeakOptions {
    /// 16 changes, 10 candidates, threshold .8, length 1e-3.
    fn default() -> Self {
        Self {
            sketches: 16,
            candidates: 10,
            threshold: 0.8,
            length: 1e-3,
            seed: 0,
        }
    }
}

/// A probe sample and a training sample.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// # use leaks::{LeakOptions, leaks};
/// let found = leaks(&task, &model, &labels, &exact, &[27], &LeakOptions::default(), &options)?;
/// // The probe sample at .7 and the training sample at .7.
/// let pair = found[0][0];
/// assert_eq!((pair.probe, pair.train, pair.view), (27, 3, 0));
/// assert!(pair.sketch > 0.999 && pair.stand_out == 1.0 && pair.step > Some(0.99));
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Position in the probe set.
    pub probe: usize,
    /// Position in the training set.
    pub train: usize,
    /// Which view of the probe sample is like it; 0 = the sample as it is.
    pub view: usize,
    /// How alike random changes of the weights move both, in [−1, 1]; 1 for copies.
    pub sketch: f64,
    /// How far it stands out from the other candidates, in [0, 1]; 1 for copies.
    pub stand_out: f64,
    /// How alike a step on the probe sample moves both, in [−1, 1]; only for pairs from the threshold on.
    pub step: Option<f64>,
}

/// Work of [`leaks`] in samples passed, for progress bars; more with views.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// use mirrorwatch_influence::leaks::LeakOptions;
///
/// // The checkpoint's own sweep and 16 more, over 5 training samples and 3 of the probe.
/// assert_eq!(leaks::work(&labels, 3, &LeakOptions::default()), 17 * 8);
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn work(labels: &Labels, probes: usize, options: &LeakOptions) -> usize {
    (options.sketches + 1) * (labels.train.len() + probes)
}

/// Training samples that the general effect of a step is measured on.
const GENERAL: usize = 64;

/// The nearest training samples of each of `probes`, nearest first.
///
/// # Errors
///
/// A sample that cannot be read, outputs that are not finite, or cancellation.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// use mirrorwatch_influence::leaks::{LeakOptions, leaks};
///
/// let found = leaks(&task, &model, &labels, &exact, &[27, 5], &LeakOptions::default(), &options)?;
/// let leaked: Vec<usize> = found.iter().filter(|pairs| pairs[0].step.is_some()).map(|pairs| pairs[0].train).collect();
/// assert_eq!(leaked[0], 3);
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn leaks<T: Task>(
    task: &T,
    model: &T::Model,
    labels: &Labels,
    exact: &Exact<'_, T>,
    probes: &[usize],
    options: &LeakOptions,
    forward: &SweepOptions<'_>,
) -> Result<Vec<Vec<Pair>>, InfluenceError> {
    if !labels.has_classes() {
        return Err(InfluenceError::Data(
            "leaks are told by logits, and this task has none; compare the inputs instead"
                .to_string(),
        ));
    }
    let train: Vec<usize> = (0..labels.train.len()).collect();
    let run = |model: &T::Model| -> Result<(Vec<f32>, Vec<f32>), InfluenceError> {
        Ok((
            outputs(task, model, Set::Training, &train, forward)?,
            outputs(task, model, Set::Probe, probes, forward)?,
        ))
    };
    let before = run(model)?;
    let width = options.sketches * labels.classes;
    let mut sketch = Sketch::new(labels.classes, width, before.0.len(), before.1.len());
    let weights = exact.weights()?;
    let mut rng = StdRng::seed_from_u64(options.seed);
    for nth in 0..options.sketches {
        // In proportion to each weight, so that a rescaling that leaves the model as it is leaves the sketch, too.
        let change: Vec<f32> = weights
            .iter()
            .map(|w| if rng.random_bool(0.5) { *w } else { -w })
            .collect();
        let after = run(&exact.moved(&change, options.length))?;
        sketch.note(nth, &before, &after);
    }
    sketch.standardise();
    let views = count_views(task, probes)?;
    let near = nearest(&sketch, &views, options.candidates, forward)?;

    // Spread over the training set.
    let step = (train.len() / GENERAL).max(1);
    let general: Vec<usize> = train.iter().copied().step_by(step).take(GENERAL).collect();
    let mut all = Vec::with_capacity(probes.len());
    for (&probe, near) in probes.iter().zip(near) {
        let mut pairs = Vec::with_capacity(near.len());
        let last = near.last().map_or(1.0, |near| near.cosine);
        for one in near {
            let stand_out = stand_out(one.cosine, last);
            let step = if stand_out >= options.threshold {
                let label = labels.probe[probe];
                let moved = step_on(task, (probe, one.view, label), exact, options)?;
                let moved = Moved::new(task, model, moved, &general, forward)?;
                Some(alike(task, model, &moved, (probe, one), forward)?)
            } else {
                None
            };
            pairs.push(Pair {
                probe,
                train: one.train,
                view: one.view,
                sketch: one.cosine,
                stand_out,
                step,
            });
        }
        all.push(pairs);
    }
    Ok(all)
}

/// How far a candidate at this cosine stands out from one at `last`.
fn stand_out(cosine: f64, last: f64) -> f64 {
    // What single precision cannot tell from a copy is one.
    if cosine > 1.0 - SAME {
        1.0
    } else {
        (1.0 - (1.0 - cosine) / (1.0 - last).max(SAME)).clamp(0.0, 1.0)
    }
}

/// Distance of two rows that differ by rounding alone.
const SAME: f64 = 1e-4;

/// A model after a step on one view of a probe sample.
struct Moved<M> {
    model: M,
    /// What the step does to training samples in general.
    general: Vec<f64>,
}

impl<M> Moved<M> {
    fn new<T: Task<Model = M>>(
        task: &T,
        before: &M,
        model: M,
        general: &[usize],
        forward: &SweepOptions<'_>,
    ) -> Result<Self, InfluenceError> {
        let run = |model: &M| outputs(task, model, Set::Training, general, forward);
        let (before, after) = (run(before)?, run(&model)?);
        let mut mean = vec![0.0; task.classes()];
        for (before, after) in before
            .chunks(task.classes())
            .zip(after.chunks(task.classes()))
        {
            for (sum, change) in mean.iter_mut().zip(change(before, after)) {
                *sum += change / general.len() as f64;
            }
        }
        Ok(Self {
            model,
            general: mean,
        })
    }
}

/// The model after a step that widens the margin of one view of a probe sample.
fn step_on<T: Task>(
    task: &T,
    (probe, view, label): (usize, usize, usize),
    exact: &Exact<'_, T>,
    options: &LeakOptions,
) -> Result<T::Model, InfluenceError> {
    let own = exact.margin(item_of(task, probe, view)?, label)?;
    let length = inner(&own, &own).sqrt();
    let scale = if length > 0.0 {
        options.length * exact.weights_length() / length
    } else {
        0.0
    };
    Ok(exact.moved(&own, -scale))
}

/// How alike the step moves a training sample and the probe sample that it was taken on.
fn alike<T: Task>(
    task: &T,
    before: &T::Model,
    moved: &Moved<T::Model>,
    (probe, near): (usize, Near),
    forward: &SweepOptions<'_>,
) -> Result<f64, InfluenceError> {
    let data = dataset(task, Set::Training);
    let mut items = read_items(data.as_ref(), Set::Training, &[near.train])?;
    items.push(item_of(task, probe, near.view)?);
    let batch = task.batch(items, forward.device);
    let old = logits_of(task, before, &batch, 2)?;
    let new = logits_of(task, &moved.model, &batch, 2)?;
    let classes = task.classes();
    let beyond = |nth: usize| {
        let range = nth * classes..(nth + 1) * classes;
        let mut beyond = change(&old[range.clone()], &new[range]);
        for (value, general) in beyond.iter_mut().zip(&moved.general) {
            *value -= general;
        }
        beyond
    };
    Ok(similarity(&beyond(0), &beyond(1)))
}

/// A probe sample in one of its views; 0 = as it is.
fn item_of<T: Task>(task: &T, probe: usize, view: usize) -> Result<T::Item, InfluenceError> {
    let mut items = read_items(dataset(task, Set::Probe).as_ref(), Set::Probe, &[probe])?;
    let item = items.remove(0);
    if view == 0 {
        return Ok(item);
    }
    let mut views = task.views(&item);
    if view > views.len() {
        return Err(InfluenceError::Data(format!(
            "the task gives {} views of probe sample {probe}, and gave {view} before; views must not change",
            views.len()
        )));
    }
    Ok(views.swap_remove(view - 1))
}

/// Views of each probe sample, itself among them.
fn count_views<T: Task>(task: &T, probes: &[usize]) -> Result<Vec<usize>, InfluenceError> {
    let mut counts = Vec::with_capacity(probes.len());
    for &probe in probes {
        counts.push(1 + task.views(&item_of(task, probe, 0)?).len());
    }
    Ok(counts)
}

/// Logits of samples, those of the probe in all their views.
fn outputs<T: Task>(
    task: &T,
    model: &T::Model,
    set: Set,
    samples: &[usize],
    forward: &SweepOptions<'_>,
) -> Result<Vec<f32>, InfluenceError> {
    let data = dataset(task, set);
    let mut logits = Vec::with_capacity(samples.len() * task.classes());
    let mut waiting = Vec::new();
    let run = |items: Vec<T::Item>| {
        let count = items.len();
        logits_of(task, model, &task.batch(items, forward.device), count)
    };
    let size = forward.batch_size.max(1);
    for &sample in samples {
        let item = read_items(data.as_ref(), set, &[sample])?.remove(0);
        let views = match set {
            Set::Training => Vec::new(),
            Set::Probe => task.views(&item),
        };
        waiting.push(item);
        waiting.extend(views);
        (forward.progress)(1);
        if waiting.len() >= size {
            if forward.cancel.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(InfluenceError::Cancelled);
            }
            logits.extend(run(std::mem::take(&mut waiting))?);
        }
    }
    if !waiting.is_empty() {
        logits.extend(run(waiting)?);
    }
    match logits.iter().position(|z| !z.is_finite()) {
        None => Ok(logits),
        Some(_) => Err(InfluenceError::Outputs(format!(
            "the model's output for a {} sample is not finite; training has diverged or the sample is damaged",
            set.name()
        ))),
    }
}

/// The change of K logits, less its mean: what all logits do together changes no probability.
fn change(before: &[f32], after: &[f32]) -> Vec<f64> {
    let mut change = Vec::with_capacity(before.len());
    for (before, after) in before.iter().zip(after) {
        change.push(f64::from(after - before));
    }
    let mean = change.iter().sum::<f64>() / change.len().max(1) as f64;
    for value in &mut change {
        *value -= mean;
    }
    change
}

/// ⟨a, b⟩ / max(‖a‖², ‖b‖²): 1 only where both are the same, in direction and in size.
fn similarity(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let size = dot(a, a).max(dot(b, b));
    if size > 0.0 { dot(a, b) / size } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stands_out_and_one_of_many_does_not() {
        assert_eq!(stand_out(1.0, 0.9), 1.0);
        // Even among copies.
        assert_eq!(stand_out(0.999_95, 0.999_95), 1.0);
        assert!((stand_out(0.97, 0.85) - 0.8).abs() < 1e-12);
        assert_eq!(stand_out(0.85, 0.85), 0.0);
        assert_eq!(stand_out(-1.0, -1.0), 0.0);
    }

    #[test]
    fn only_the_same_change_is_alike() {
        assert_eq!(similarity(&[1.0, -1.0], &[1.0, -1.0]), 1.0);
        assert_eq!(similarity(&[1.0, -1.0], &[2.0, -2.0]), 0.5);
        assert_eq!(similarity(&[1.0, -1.0], &[-1.0, 1.0]), -1.0);
        assert_eq!(similarity(&[0.0, 0.0], &[0.0, 0.0]), 0.0);
        assert_eq!(change(&[1.0, 2.0], &[2.0, 5.0]), [-1.0, 1.0]);
    }
}
