//! Directions: the weight change v that the probe set asks for.
//!
//! Each direction is one file here and one line in [`all`].

mod finetune;
mod forks;
mod gradient;
mod inverse_hessian;
mod margin;
mod per_class;
mod shrink;
mod step;

use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::error::InfluenceError;
use crate::memory::Change;
use crate::score::{Score, View};
use crate::sweep::{Outputs, SweepOptions, read_items, sweep};
use crate::task::{Labels, Set, Task, dataset};

pub use finetune::Finetune;
pub use forks::Forks;
pub use gradient::Gradient;
pub(crate) use gradient::cross_entropy;
pub use inverse_hessian::InverseHessian;
pub(crate) use margin::objective as margin;
pub use margin::{Margin, MarginLastLayer};
pub use per_class::PerClass;
pub use shrink::ShrinkFinetune;
pub(crate) use step::{lengths, moved};

/// A way to turn probe samples into a weight change θ → θ + v.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, Finetune, Forks, Probe, Step};
/// use mirrorwatch_influence::score::{After, Score};
///
/// /// Fine-tunes, and says so in other words.
/// struct Mine;
///
/// impl<T: Task> Direction<T> for Mine {
///     fn name(&self) -> &'static str {
///         "mine"
///     }
///
///     fn score(&self) -> &'static dyn Score {
///         &After
///     }
///
///     fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError> {
///         let Step { forks, choice, .. } = Finetune.step(probe)?;
///         Ok(Step::new(forks, format!("mine, {choice}")))
///     }
/// }
/// assert!(Mine.step(&probe)?.choice.starts_with("mine, "));
/// # Ok::<(), InfluenceError>(())
/// ```
pub trait Direction<T: Task>: Send + Sync {
    /// The name used in options, logs and results.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// let directions = direction::all::<Line>();
    /// assert_eq!(directions[0].name(), "gradient");
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn name(&self) -> &'static str;

    /// The score that reads this direction best.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// assert_eq!(direction::by_name::<Line>("finetune")?.score().name(), "after");
    /// assert_eq!(direction::by_name::<Line>("margin")?.score().name(), "counterfactual");
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn score(&self) -> &'static dyn Score;

    /// Whether it works on logits, and so only for tasks with classes.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// assert!(!direction::by_name::<Line>("finetune")?.needs_classes());
    /// assert!(direction::by_name::<Line>("margin")?.needs_classes());
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn needs_classes(&self) -> bool {
        false
    }

    /// Makes the fork at θ + v.
    ///
    /// # Errors
    ///
    /// A probe sample that cannot be read, outputs that are not finite, or no gradient at all.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    #[doc = include_str!("../example_probe.txt")]
    /// let step = direction::by_name("gradient")?.step(&probe)?;
    /// let after = sweep(&task, step.forks.of(0), Set::Training, &[0, 1, 2, 3, 4], &labels.train, &options)?;
    /// assert_eq!(arg_max(&after.losses), 2);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    fn step(&self, probe: &Probe<'_, T>) -> Result<Step<T::Model>, InfluenceError>;
}

/// Where θ + v is and how it was chosen.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, Finetune, Forks, Step};
///
/// let Step { forks, choice, .. } = Finetune.step(&probe)?;
/// assert!(matches!(forks, Forks::One(_)));
/// assert!(choice.contains(" steps at 0.02, held-out loss "));
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct Step<M> {
    /// The model at θ + v, or one per class.
    pub forks: Forks<M>,
    /// What was chosen and why, for logs and reports, for example `rho 0.01`.
    pub choice: String,
    /// From where the fork of the run's next checkpoint may start; none where a direction has no use for it.
    pub change: Option<Change>,
    /// Outputs at θ + v of the held-out samples, in their order, where they are known already.
    pub held_out: Option<Outputs>,
}

impl<M> Step<M> {
    /// Forks of which nothing else is known.
    ///
    /// ```
    /// use mirrorwatch_influence::direction::{Forks, Step};
    ///
    /// let step = Step::new(Forks::One("a model"), "rho 0.01".to_string());
    /// assert!(step.change.is_none() && step.held_out.is_none());
    /// ```
    pub fn new(forks: Forks<M>, choice: String) -> Self {
        Self {
            forks,
            choice,
            change: None,
            held_out: None,
        }
    }
}

/// All directions, by name. A new one is a new file and a line here.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// let names: Vec<_> = direction::all::<Line>().iter().map(|direction| direction.name()).collect();
/// assert!(names.contains(&"finetune") && names.contains(&"per-class"));
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn all<T: Task>() -> Vec<Box<dyn Direction<T>>> {
    vec![
        Box::new(Gradient),
        Box::new(Margin),
        Box::new(MarginLastLayer),
        Box::new(Finetune),
        Box::new(ShrinkFinetune),
        Box::new(InverseHessian),
        Box::new(PerClass),
    ]
}

/// Finds a direction by name.
///
/// # Errors
///
/// Lists the known names when there is none of that name.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// assert_eq!(direction::by_name::<Line>("finetune")?.name(), "finetune");
/// let unknown = direction::by_name::<Line>("sideways").err();
/// assert!(matches!(unknown, Some(InfluenceError::Unknown { kind: "direction", .. })));
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn by_name<T: Task>(name: &str) -> Result<Box<dyn Direction<T>>, InfluenceError> {
    let mut known = Vec::new();
    for direction in all::<T>() {
        if direction.name() == name {
            return Ok(direction);
        }
        known.push(direction.name());
    }
    Err(InfluenceError::Unknown {
        kind: "direction",
        name: name.to_string(),
        known: known.join(", "),
    })
}

/// What a direction may see: the model at θ and the probe samples of one fold.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// use mirrorwatch_influence::direction::{Direction, Gradient, Probe};
///
/// let folds = Folds::stratified(&labels.probe, 2, 0);
/// let held_out = folds.held_out(0);
/// let step = Gradient.step(&Probe {
///     task: &task,
///     model: &model,
///     labels: &labels,
///     learnt: &folds.learnt(0),
///     held_out,
///     held_out_before: &sweep(&task, &model, Set::Probe, held_out, &labels.probe, &options)?,
///     device: &device,
///     batch_size: 32,
///     seed: 0,
///     last: None,
///     progress: &|_| (),
///     cancel: &cancel,
/// })?;
/// assert!(step.choice.starts_with("rho "));
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct Probe<'a, T: Task> {
    /// The task.
    pub task: &'a T,
    /// The model at θ, without autodiff. Never changed.
    pub model: &'a T::Model,
    /// All labels.
    pub labels: &'a Labels,
    /// Probe samples to learn from.
    pub learnt: &'a [usize],
    /// Probe samples to choose step length and depth on; never learnt from.
    pub held_out: &'a [usize],
    /// Outputs at θ of the held-out samples, in their order.
    pub held_out_before: &'a Outputs,
    /// The device to compute on, without autodiff.
    pub device: &'a Device,
    /// Samples in a forward batch.
    pub batch_size: usize,
    /// Seed of everything random in the direction (minibatch order).
    pub seed: u64,
    /// The change that this direction made on this fold at the run's last scanned checkpoint.
    pub last: Option<&'a Change>,
    /// Told 0 after each step, as a sign of life.
    pub progress: &'a dyn Fn(usize),
    /// Set from elsewhere to stop.
    pub cancel: &'a AtomicBool,
}

impl<T: Task> Probe<'_, T> {
    /// A probe batch on the autodiff device and its labels as a tensor of shape `[B]`.
    fn batch(&self, indices: &[usize]) -> Result<(T::Batch, Tensor<1, Int>), InfluenceError> {
        let device = self.device.clone().autodiff();
        let data = dataset(self.task, Set::Probe);
        let items = read_items(data.as_ref(), Set::Probe, indices)?;
        let mut labels = Vec::with_capacity(indices.len());
        for &index in indices {
            labels.push(self.labels.probe[index] as i64);
        }
        let count = labels.len();
        let labels = Tensor::from_data(TensorData::new(labels, [count]), &device);
        Ok((self.task.batch(items, &device), labels))
    }

    /// Outputs for the held-out probe samples after a step.
    fn held_out_after(&self, model: &T::Model) -> Result<Outputs, InfluenceError> {
        let (samples, labels) = (self.held_out, &self.labels.probe);
        sweep(self.task, model, Set::Probe, samples, labels, &self.quiet())
    }

    /// The loss of the held-out probe samples after a step.
    fn held_out_loss(&self, model: &T::Model) -> Result<HeldOutLoss, InfluenceError> {
        Ok(HeldOutLoss::of(&self.held_out_after(model)?.losses))
    }

    /// Sweep options that tell nobody.
    fn quiet(&self) -> SweepOptions<'_> {
        SweepOptions {
            device: self.device,
            batch_size: self.batch_size,
            progress: &|_| (),
            cancel: self.cancel,
        }
    }

    /// How well `score` tells right from wrong labels on the held-out probe samples after a step.
    ///
    /// Each held-out sample is scored once under its true label and once under every other
    /// label; the figure is the chance that a wrong label scores above a right one (AUROC). It
    /// needs no noisy label and no training sample, so choosing by it cannot peek at the truth.
    pub(crate) fn judge(
        &self,
        forks: &Forks<T::Model>,
        score: &dyn Score,
    ) -> Result<f64, InfluenceError> {
        let after = |labels: &[usize]| {
            let (options, samples) = (self.quiet(), self.held_out);
            forks.sweep(self.task, Set::Probe, samples, labels, &options)
        };
        let given =
            |labels: &[usize]| -> Vec<usize> { self.held_out.iter().map(|&i| labels[i]).collect() };
        let mut labels = self.labels.probe.clone();
        let (right, right_labels) = (after(&labels)?, given(&labels));
        let right = forks.view(self.held_out_before, &right, &right_labels);
        let mut scores = score.score(&right);
        let mut wrong = vec![false; scores.len()];
        for _ in 1..self.labels.classes {
            for label in &mut labels {
                *label = (*label + 1) % self.labels.classes;
            }
            let elsewhere = if forks.depend_on_labels() {
                Some(after(&labels)?)
            } else {
                None
            };
            let outputs = elsewhere.as_ref().unwrap_or(right.after);
            let labels = given(&labels);
            // Centred where the labels are right, as nearly all those of the training set are: centred on
            // wrong ones alone, a class's own fork would find nothing wrong.
            let view = View::centred_as(&right, self.held_out_before, outputs, &labels);
            scores.extend(score.score(&view));
            wrong.resize(scores.len(), true);
        }
        Ok(mirrorwatch_stats::ranking::auroc(&scores, &wrong).unwrap_or(0.5))
    }
}

/// Mean loss of the held-out probe samples after a step, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
struct HeldOutLoss {
    mean: f64,
    /// Standard error of the mean.
    standard_error: f64,
}

impl std::fmt::Display for HeldOutLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "held-out loss {:.3} ± {:.3}",
            self.mean, self.standard_error
        )
    }
}

impl HeldOutLoss {
    fn of(losses: &[f32]) -> Self {
        let mut running = mirrorwatch_stats::moments::Running::default();
        for &loss in losses {
            running.push(f64::from(loss));
        }
        let count = losses.len().max(1) as f64;
        Self {
            mean: running.mean,
            standard_error: (running.variance().unwrap_or(0.0) / count).sqrt(),
        }
    }
}

/// Back to plain evaluation, without autodiff.
fn settle<M: Module>(model: &M) -> M {
    model.valid()
}
