//! Stage two: exact gradients on suspects only.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::index;

use super::{Exact, InverseOptions, Products, Solved, inner};
use crate::error::InfluenceError;
use crate::layers::Layers;
use crate::sweep::SweepOptions;
use crate::task::{Labels, Set, Task};

/// How suspects are looked at.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// use mirrorwatch_influence::exact::{Confirm, ConfirmOptions};
///
/// let few = ConfirmOptions { neighbours: 2, ..ConfirmOptions::default() };
/// let mut confirm = Confirm::new(&labels, &[2], &[], few);
/// confirm.add(&task, &model, &options)?;
/// assert_eq!(confirm.finish().suspects[0].opponents.len(), 2);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfirmOptions {
    /// Layers whose gradients are taken.
    pub layers: Layers,
    /// How influence functions are solved for.
    pub inverse: InverseOptions,
    /// Training samples that curvature is measured on, drawn by the seed.
    pub curvature_samples: usize,
    /// Training samples among which proponents are looked for, drawn by the seed.
    pub candidates: usize,
    /// Opponents and proponents of each suspect.
    pub neighbours: usize,
    /// Probe samples that [`StageTwo::support`] is the mean over.
    pub nearest: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for ConfirmOptions {
    /// The last layer, the 10 nearest probe samples, 1,000 samples for curvature, 1,000 candidates, 5 neighbours.
    fn default() -> Self {
        Self {
            layers: Layers::Last,
            inverse: InverseOptions::default(),
            curvature_samples: 1000,
            candidates: 1000,
            neighbours: 5,
            nearest: 10,
            seed: 0,
        }
    }
}

/// What exact gradients say of one training sample, summed over the checkpoints that were looked at.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # use exact::{Confirm, ConfirmOptions};
/// # let mut confirm = Confirm::new(&labels, &[2], &[0, 1], ConfirmOptions::default());
/// # confirm.add(&task, &model, &options)?;
/// # let found = confirm.finish();
/// let suspect = &found.suspects[0];
/// assert!(suspect.index == 2 && suspect.tracin < 0.0 && suspect.cosine < 0.0 && suspect.influence < 0.0);
/// assert!(suspect.self_influence > found.null[0].self_influence);
/// assert!(suspect.support < found.null[0].support);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageTwo {
    /// Position in the training set.
    pub index: usize,
    /// TracInCP: Σ ⟨∇ℓ_i, ∇L_P⟩; negative = training on it makes the probe worse.
    pub tracin: f64,
    /// Mean cosine of ∇ℓ_i and ∇L_P: TracInCP without the sample's own gradient length, which a model that has
    /// memorised it makes small (Hammoudeh and Lowd, "Identifying a Training-Set Attack's Target Using
    /// Renormalized Influence Estimation", CCS 2022).
    pub cosine: f64,
    /// Influence function: Σ ⟨∇ℓ_i, (G + λI)⁻¹ ∇L_P⟩.
    pub influence: f64,
    /// Self-influence: Σ ‖∇ℓ_i‖².
    pub self_influence: f64,
    /// How well clean samples support the label: the mean cosine of ∇ℓ_i with the gradients of the few probe samples
    /// that are most like it, at each checkpoint. A sample that is right has company among them, whatever its loss.
    pub support: f64,
    /// Probe samples with the most negative mean cosine, the most negative first.
    pub opponents: Vec<Neighbour>,
    /// Training samples with the most positive mean cosine, the most positive first.
    pub proponents: Vec<Neighbour>,
}

/// A sample beside a suspect.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # use exact::{Confirm, ConfirmOptions};
/// # let mut confirm = Confirm::new(&labels, &[2], &[0, 1], ConfirmOptions::default());
/// # confirm.add(&task, &model, &options)?;
/// # let found = confirm.finish();
/// // Clean samples above zero speak against the label 0 of a sample that lies there.
/// let opponent = found.suspects[0].opponents[0];
/// assert!(labels.probe[opponent.index] == 1 && opponent.cosine < -0.9);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Position in its set.
    pub index: usize,
    /// Mean cosine of the two gradients over the checkpoints, in [−1, 1].
    pub cosine: f64,
}

/// Gathers what exact gradients say, checkpoint by checkpoint.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// use mirrorwatch_influence::exact::{Confirm, ConfirmOptions};
///
/// let mut confirm = Confirm::new(&labels, &[2], &[0, 1], ConfirmOptions::default());
/// // Once for every checkpoint.
/// confirm.add(&task, &model, &options)?;
/// let found = confirm.finish();
/// assert!(found.suspects[0].support < found.null[0].support.min(found.null[1].support));
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct Confirm<'a> {
    labels: &'a Labels,
    options: ConfirmOptions,
    /// Positions in the training set: suspects first, null samples after them.
    judged: Vec<usize>,
    suspects: usize,
    candidates: Vec<usize>,
    curvature: Vec<usize>,
    sums: Vec<StageTwo>,
    /// Sums of cosines, suspects × probe samples.
    against: Vec<f64>,
    /// Sums of cosines, suspects × candidates.
    support: Vec<f64>,
    checkpoints: usize,
}

/// What was gathered.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # use exact::{Confirm, ConfirmOptions};
/// # let mut confirm = Confirm::new(&labels, &[2], &[0, 1], ConfirmOptions::default());
/// # confirm.add(&task, &model, &options)?;
/// # let found = confirm.finish();
/// assert_eq!((found.checkpoints, found.suspects.len(), found.null.len()), (1, 1, 2));
/// assert!(found.null[0].opponents.is_empty());
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Confirmation {
    /// The suspects, in the order in which they were given.
    pub suspects: Vec<StageTwo>,
    /// Samples that are known to be right, in the order in which they were given; without neighbours.
    pub null: Vec<StageTwo>,
    /// Checkpoints that were looked at.
    pub checkpoints: usize,
}

impl<'a> Confirm<'a> {
    /// Prepares to look at `suspects` and at `null` samples, which are known to be right: positions in the training
    /// set.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// use mirrorwatch_influence::exact::{Confirm, ConfirmOptions};
    ///
    /// let found = Confirm::new(&labels, &[2], &[0, 1], ConfirmOptions::default()).finish();
    /// assert_eq!((found.suspects[0].index, found.null[1].index, found.checkpoints), (2, 1, 0));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn new(
        labels: &'a Labels,
        suspects: &[usize],
        null: &[usize],
        options: ConfirmOptions,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(options.seed);
        let labelled = labels.labelled();
        let count = labelled.len();
        let mut draw = |amount: usize| {
            let drawn = index::sample(&mut rng, count, amount.min(count));
            let mut drawn: Vec<usize> = drawn.into_iter().map(|place| labelled[place]).collect();
            drawn.sort_unstable();
            drawn
        };
        let (candidates, curvature) = (draw(options.candidates), draw(options.curvature_samples));
        let judged: Vec<_> = suspects.iter().chain(null).copied().collect();
        let sums = judged
            .iter()
            .map(|&index| StageTwo {
                index,
                ..StageTwo::default()
            })
            .collect();
        Self {
            labels,
            options,
            suspects: suspects.len(),
            against: vec![0.0; suspects.len() * labels.probe.len()],
            support: vec![0.0; suspects.len() * candidates.len()],
            judged,
            candidates,
            curvature,
            sums,
            checkpoints: 0,
        }
    }

    /// Gradients that one checkpoint takes, for progress bars; more where not all suspects' fit into memory at once.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # use exact::{Confirm, ConfirmOptions};
    /// let confirm = Confirm::new(&labels, &[2], &[0, 1], ConfirmOptions::default());
    /// // Three that are judged, 41 probe samples twice, all 5 training samples as candidates.
    /// assert_eq!(confirm.work(), 3 + 2 * 41 + 5);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn work(&self) -> usize {
        self.judged.len() + 2 * self.labels.probe.len() + self.candidates.len()
    }

    /// Looks at one checkpoint; returns what the solver of influence functions says.
    ///
    /// # Errors
    ///
    /// Samples that cannot be read, gradients that are not finite, or cancellation.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # use exact::{Confirm, ConfirmOptions};
    /// let mut confirm = Confirm::new(&labels, &[2], &[], ConfirmOptions::default());
    /// assert_eq!(confirm.add(&task, &model, &options)?.stopped, "converged");
    /// confirm.add(&task, &model, &options)?;
    /// assert_eq!(confirm.finish().checkpoints, 2);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn add<T: Task>(
        &mut self,
        task: &T,
        model: &T::Model,
        forward: &SweepOptions<'_>,
    ) -> Result<Solved, InfluenceError> {
        let labels = self.labels;
        let exact = Exact::new(task, model, labels, self.options.layers, forward)?;
        let solved = exact.inverse_curvature(&self.curvature, self.options.inverse)?;
        let given = |&index: &usize| (Set::Training, index, labels.train[index]);
        let rows: Vec<_> = self.judged.iter().map(given).collect();
        let mut columns = Vec::with_capacity(labels.probe.len() + self.candidates.len());
        for (index, &label) in labels.probe.iter().enumerate() {
            columns.push((Set::Probe, index, label));
        }
        for &index in &self.candidates {
            columns.push((Set::Training, index, labels.train[index]));
        }
        let probe = exact.probe();
        let length = inner(probe, probe).sqrt();
        let products = exact.pairs(&rows, &columns, &[probe, &solved.v])?;
        for (row, sum) in self.sums.iter_mut().enumerate() {
            let own = products.row_lengths[row];
            let (along_probe, along_solved) = (products.along[row][0], products.along[row][1]);
            sum.tracin += along_probe;
            sum.influence += along_solved;
            sum.self_influence += own * own;
            if own > 0.0 && length > 0.0 {
                sum.cosine += along_probe / (own * length);
            }
        }
        self.note(&products);
        self.checkpoints += 1;
        Ok(solved)
    }

    fn note(&mut self, products: &Products) {
        let (probe, candidates) = (self.labels.probe.len(), self.candidates.len());
        for row in 0..self.judged.len() {
            let cosines: Vec<f64> = (0..probe).map(|j| products.cosine(row, j)).collect();
            if row < self.suspects {
                for (sum, cosine) in self.against[row * probe..].iter_mut().zip(&cosines) {
                    *sum += cosine;
                }
            }
            self.sums[row].support += support(cosines, self.options.nearest);
        }
        for row in 0..self.suspects {
            for column in 0..candidates {
                // A sample supports itself; that says nothing.
                if self.candidates[column] != self.judged[row] {
                    self.support[row * candidates + column] += products.cosine(row, probe + column);
                }
            }
        }
    }

    /// What was gathered.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # use exact::{Confirm, ConfirmOptions};
    /// let mut confirm = Confirm::new(&labels, &[2], &[], ConfirmOptions::default());
    /// confirm.add(&task, &model, &options)?;
    /// let suspect = confirm.finish().suspects.remove(0);
    /// // Training samples that pull as it does: none but itself has a wrong label, and that does not count.
    /// assert!(suspect.tracin < 0.0 && suspect.proponents.iter().all(|other| other.index != 2));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn finish(mut self) -> Confirmation {
        let checkpoints = self.checkpoints.max(1) as f64;
        for sum in &mut self.sums {
            sum.cosine /= checkpoints;
            sum.support /= checkpoints;
        }
        let (probe, candidates) = (self.labels.probe.len(), self.candidates.len());
        let amount = self.options.neighbours;
        for row in 0..self.suspects {
            let against = &self.against[row * probe..][..probe];
            let support = &self.support[row * candidates..][..candidates];
            let sum = &mut self.sums[row];
            sum.opponents = first(against, amount, checkpoints, |cosine| -cosine)
                .map(|(index, cosine)| Neighbour { index, cosine })
                .collect();
            sum.proponents = first(support, amount, checkpoints, |cosine| cosine)
                .map(|(place, cosine)| Neighbour {
                    index: self.candidates[place],
                    cosine,
                })
                .collect();
        }
        let null = self.sums.split_off(self.suspects);
        Confirmation {
            suspects: self.sums,
            null,
            checkpoints: self.checkpoints,
        }
    }
}

/// The mean of the `nearest` largest cosines; 0 without any.
fn support(mut cosines: Vec<f64>, nearest: usize) -> f64 {
    let nearest = nearest.min(cosines.len());
    if nearest == 0 {
        return 0.0;
    }
    cosines.sort_by(|a, b| b.total_cmp(a));
    cosines[..nearest].iter().sum::<f64>() / nearest as f64
}

/// The places with the largest `key` above 0 and their mean cosines, largest first.
fn first(
    sums: &[f64],
    amount: usize,
    checkpoints: f64,
    key: impl Fn(f64) -> f64,
) -> impl Iterator<Item = (usize, f64)> {
    let mut order: Vec<usize> = (0..sums.len()).filter(|&i| key(sums[i]) > 0.0).collect();
    order.sort_by(|&a, &b| key(sums[b]).total_cmp(&key(sums[a])).then(a.cmp(&b)));
    order.truncate(amount);
    let means: Vec<_> = order
        .into_iter()
        .map(|i| (i, sums[i] / checkpoints))
        .collect();
    means.into_iter()
}
