//! The hypothesis itself: train → test against test → train, group by group.

use mirrorwatch_stats::bootstrap::{Interval, interval};
use mirrorwatch_stats::ranking::{pearson, spearman};
use rand::rngs::StdRng;
use rand::seq::{SliceRandom, index};
use rand::{RngExt, SeedableRng};

use super::retrain::{RetrainOptions, retrain};
use crate::error::InfluenceError;
use crate::exact::{Exact, inner};
use crate::sweep::{SweepOptions, sweep};
use crate::task::{Labels, Set, Task};

/// What groups are made of and how they are measured.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// use mirrorwatch_influence::verify::{MirrorOptions, RetrainOptions, mirror_work};
///
/// let mirrored = MirrorOptions {
///     samples: 5,
///     groups: 3,
///     targets: 2,
///     retrain: RetrainOptions { epochs: 1, rate: 0.01, ..RetrainOptions::default() },
///     length: 1e-3,
///     seed: 0,
/// };
/// // One training with all samples, and one without each group.
/// assert_eq!(mirror_work(&labels, &mirrored), 5 * 4);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MirrorOptions {
    /// Training samples that the short trainings see.
    pub samples: usize,
    /// Groups of training samples; a short training for each, and one without any left out.
    pub groups: usize,
    /// Most classes that probe samples are grouped by; the largest are taken.
    pub targets: usize,
    /// The short trainings.
    pub retrain: RetrainOptions,
    /// Length of the step on a group of probe samples, as a share of the weights' length; from the linear range.
    pub length: f64,
    /// Seed of the draws.
    pub seed: u64,
}

/// The two influences of a group of training samples and a group of probe samples on each other.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// # use verify::{MirrorOptions, RetrainOptions, mirror};
/// # let mirrored = MirrorOptions {
/// #     samples: 5,
/// #     groups: 3,
/// #     targets: 2,
/// #     retrain: RetrainOptions { epochs: 1, rate: 0.01, ..RetrainOptions::default() },
/// #     length: 1e-3,
/// #     seed: 0,
/// # };
/// let found = mirror(&task, (&model, &model), &labels, &exact, &mirrored, &options)?;
///
/// let pair = found.pairs[0];
/// assert!(pair.group < 3 && pair.class < 2);
/// assert!(pair.train_to_test.is_finite() && pair.test_to_train != 0.0);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Influence {
    /// Which group of training samples.
    pub group: usize,
    /// The class of the probe samples.
    pub class: usize,
    /// By how much their mean loss (nats) is higher when training goes without the group; positive = it helps.
    pub train_to_test: f64,
    /// By how much the summed loss (nats) of the group falls along a step on them; positive = it is helped.
    pub test_to_train: f64,
}

/// What was found over all pairs.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// # use verify::{MirrorOptions, RetrainOptions, mirror};
/// # let mirrored = MirrorOptions {
/// #     samples: 5,
/// #     groups: 3,
/// #     targets: 2,
/// #     retrain: RetrainOptions { epochs: 1, rate: 0.01, ..RetrainOptions::default() },
/// #     length: 1e-3,
/// #     seed: 0,
/// # };
/// let found = mirror(&task, (&model, &model), &labels, &exact, &mirrored, &options)?;
///
/// assert_eq!((found.group_sizes.len(), found.pairs.len()), (3, 3 * 2));
/// assert!(found.pearson.is_none_or(|r| r.abs() <= 1.0) && found.spearman.is_none_or(|r| r.abs() <= 1.0));
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// Training samples in each group.
    pub group_sizes: Vec<usize>,
    /// Every pair of a group and a class.
    pub pairs: Vec<Influence>,
    /// Pearson's correlation over the groups, the mean over the classes; none when one side is constant.
    pub pearson: Option<f64>,
    /// Its 95 % interval, over groups drawn again.
    pub pearson_interval: Option<Interval>,
    /// Spearman's rank correlation, likewise.
    pub spearman: Option<f64>,
    /// Its 95 % interval.
    pub spearman_interval: Option<Interval>,
}

/// Work of [`mirror`] in samples passed, for progress bars.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # use verify::{MirrorOptions, RetrainOptions, mirror_work};
/// # let mirrored = MirrorOptions {
/// #     samples: 5,
/// #     groups: 3,
/// #     targets: 2,
/// #     retrain: RetrainOptions { epochs: 1, rate: 0.01, ..RetrainOptions::default() },
/// #     length: 1e-3,
/// #     seed: 0,
/// # };
/// assert_eq!(mirror_work(&labels, &mirrored), 5 * (1 + 3));
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn mirror_work(labels: &Labels, options: &MirrorOptions) -> usize {
    let labelled = labels.train.len() - labels.unlabelled.len();
    options.samples.min(labelled) * options.retrain.epochs * (options.groups + 1)
}

/// Measures the influence of groups of training samples on the probe by short trainings from `start` without them,
/// and that of the probe on the groups by a step and a sweep at the checkpoint that `exact` and `model` hold.
///
/// Two of three groups are half of one class's samples, the third is drawn from all of them. `start` may be the model
/// at the checkpoint or a fresh one. Every short training sees the same samples in the same batches, so that they
/// differ by the group alone; what remains is that a training amplifies small differences, the more the longer
/// and the faster it learns.
///
/// # Errors
///
/// A sample that cannot be read, outputs that are not finite, or cancellation.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// use mirrorwatch_influence::verify::{MirrorOptions, RetrainOptions, mirror};
///
/// let mirrored = MirrorOptions {
///     samples: 5,
///     groups: 3,
///     targets: 2,
///     retrain: RetrainOptions { epochs: 1, rate: 0.01, ..RetrainOptions::default() },
///     length: 1e-3,
///     seed: 0,
/// };
/// let found = mirror(&task, (&model, &model), &labels, &exact, &mirrored, &options)?;
/// // Every pair of a group of training samples and a class of the probe.
/// assert_eq!(found.pairs.len(), 3 * 2);
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn mirror<T: Task>(
    task: &T,
    (start, model): (&T::Model, &T::Model),
    labels: &Labels,
    exact: &Exact<'_, T>,
    options: &MirrorOptions,
    forward: &SweepOptions<'_>,
) -> Result<Mirror, InfluenceError> {
    let mut rng = StdRng::seed_from_u64(options.seed);
    let labelled = labels.labelled();
    let amount = options.samples.min(labelled.len());
    let drawn = index::sample(&mut rng, labelled.len(), amount);
    let samples: Vec<usize> = drawn.into_iter().map(|place| labelled[place]).collect();
    let classes = largest(labels, options.targets);
    let groups = draw_groups(labels, &samples, &classes, options.groups, &mut rng);
    let quiet = SweepOptions {
        progress: &|_| (),
        ..*forward
    };

    let targets: Vec<Vec<usize>> = classes
        .iter()
        .map(|&class| of_class(&labels.probe, class))
        .collect();
    let losses = |model: &T::Model| -> Result<Vec<f64>, InfluenceError> {
        let mut losses = Vec::with_capacity(targets.len());
        for target in &targets {
            let outputs = sweep(task, model, Set::Probe, target, &labels.probe, &quiet)?;
            losses.push(outputs.mean_loss());
        }
        Ok(losses)
    };
    let trained = |left_out: &[bool]| {
        retrain(
            task,
            start,
            labels,
            (&samples, left_out),
            options.retrain,
            forward,
        )
    };
    let with_all = losses(&trained(&vec![false; amount])?)?;
    let mut train_to_test = Vec::with_capacity(groups.len());
    for group in &groups {
        let mut left_out = vec![false; amount];
        for &place in group {
            left_out[place] = true;
        }
        train_to_test.push(losses(&trained(&left_out)?)?);
    }

    // One length for the mean target; the others keep their proportion, as a gradient step has it.
    let mut gradients = Vec::with_capacity(targets.len());
    let mut mean_length = 0.0;
    for target in &targets {
        let gradient = exact.mean(Set::Probe, target, &labels.probe)?;
        mean_length += inner(&gradient, &gradient).sqrt() / targets.len() as f64;
        gradients.push(gradient);
    }
    let scale = if mean_length > 0.0 {
        options.length * exact.weights_length() / mean_length
    } else {
        0.0
    };
    let run = |model: &T::Model| sweep(task, model, Set::Training, &samples, &labels.train, &quiet);
    let before = run(model)?;
    let mut pairs = Vec::with_capacity(groups.len() * targets.len());
    for (target, gradient) in gradients.iter().enumerate() {
        let after = run(&exact.moved(gradient, -scale))?;
        for (number, group) in groups.iter().enumerate() {
            let fall = |&place: &usize| f64::from(before.losses[place] - after.losses[place]);
            pairs.push(Influence {
                group: number,
                class: classes[target],
                train_to_test: train_to_test[number][target] - with_all[target],
                test_to_train: group.iter().map(fall).sum(),
            });
        }
    }
    let again = |correlation: Correlation, rng: &mut StdRng| {
        interval(groups.len(), DRAWS, 0.95, rng, |drawn| {
            let mut chosen = Vec::with_capacity(pairs.len());
            for &group in drawn {
                chosen.extend(pairs.iter().filter(|p| p.group == group).copied());
            }
            over_classes(&chosen, &classes, correlation)
        })
    };
    Ok(Mirror {
        group_sizes: groups.iter().map(Vec::len).collect(),
        pearson: over_classes(&pairs, &classes, pearson),
        pearson_interval: again(pearson, &mut rng),
        spearman: over_classes(&pairs, &classes, spearman),
        spearman_interval: again(spearman, &mut rng),
        pairs,
    })
}

/// A correlation of two variables of the same samples.
type Correlation = fn(&[f32], &[f32]) -> Option<f64>;

/// Draws of the bootstrap.
const DRAWS: usize = 1000;

/// The mean over classes of the correlation over groups; none when no class has one.
///
/// Class by class, because an influence ranks training samples for a given test sample: how much the probe's
/// classes teach, compared with each other, is not what it is used for.
fn over_classes(pairs: &[Influence], classes: &[usize], correlation: Correlation) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for &class in classes {
        let own = pairs.iter().filter(|pair| pair.class == class);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for pair in own {
            one.push(pair.train_to_test as f32);
            other.push(pair.test_to_train as f32);
        }
        if let Some(r) = correlation(&one, &other) {
            sum += r;
            count += 1;
        }
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// The classes with the most probe samples, the largest first; without classes, the one that all are of.
fn largest(labels: &Labels, most: usize) -> Vec<usize> {
    let all = labels.classes.max(1);
    let mut counts = vec![0usize; all];
    for &label in &labels.probe {
        counts[label] += 1;
    }
    let mut classes: Vec<usize> = (0..all).filter(|&c| counts[c] > 0).collect();
    classes.sort_by_key(|&class| (std::cmp::Reverse(counts[class]), class));
    classes.truncate(most.max(1));
    classes
}

fn of_class(labels: &[usize], class: usize) -> Vec<usize> {
    (0..labels.len()).filter(|&i| labels[i] == class).collect()
}

/// Groups as places in `samples`.
fn draw_groups(
    labels: &Labels,
    samples: &[usize],
    classes: &[usize],
    amount: usize,
    rng: &mut StdRng,
) -> Vec<Vec<usize>> {
    let mut by_class = vec![Vec::new(); labels.classes.max(1)];
    for (place, &sample) in samples.iter().enumerate() {
        by_class[labels.train[sample]].push(place);
    }
    let mut groups = Vec::with_capacity(amount);
    let mut next = 0;
    while groups.len() < amount {
        let class = classes[next % classes.len()];
        let half = (by_class[class].len() / 2).max(1);
        let mut pool: Vec<usize> = if groups.len() % 3 == 2 {
            (0..samples.len()).collect()
        } else {
            next += 1;
            by_class[class].clone()
        };
        // A class may be missing from the training samples that were drawn.
        if pool.is_empty() {
            pool = vec![rng.random_range(0..samples.len())];
        }
        let size = half.min(pool.len());
        let (drawn, _) = pool.partial_shuffle(rng, size);
        groups.push(drawn.to_vec());
    }
    groups
}
