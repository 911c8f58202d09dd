//! The models a direction asks for, and which sample is read at which of them.

use crate::error::InfluenceError;
use crate::score::View;
use crate::sweep::{Outputs, SweepOptions, sweep};
use crate::task::{Set, Task};

/// Models at θ + v, without autodiff.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
#[doc = include_str!("../example_probe.txt")]
/// use mirrorwatch_influence::direction::{Direction, Forks, Gradient, PerClass};
///
/// assert!(matches!(Gradient.step(&probe)?.forks, Forks::One(_)));
/// let per_class = PerClass.step(&probe)?.forks;
/// assert!(matches!(per_class, Forks::PerClass(models) if models.len() == 2));
/// # Ok::<(), InfluenceError>(())
/// ```
pub enum Forks<M> {
    /// One model, at which every sample is read.
    One(M),
    /// A model at θ + v_c for each class c: a sample is read at that of its own label.
    PerClass(Vec<M>),
}

impl<M> Forks<M> {
    /// The model at which samples that are labelled `class` are read.
    ///
    /// ```
    /// use mirrorwatch_influence::direction::Forks;
    ///
    /// let forks = Forks::PerClass(vec!["taught class 0", "taught class 1"]);
    /// assert_eq!(forks.of(1), &"taught class 1");
    /// assert_eq!(Forks::One("taught all").of(1), &"taught all");
    /// ```
    pub fn of(&self, class: usize) -> &M {
        match self {
            Forks::One(model) => model,
            Forks::PerClass(models) => &models[class],
        }
    }

    /// Whether it depends on a sample's label where it is read.
    pub(crate) fn depend_on_labels(&self) -> bool {
        matches!(self, Forks::PerClass(_))
    }

    /// Outputs before and after the step, put side by side for the scores.
    pub(crate) fn view<'a>(
        &self,
        before: &'a Outputs,
        after: &'a Outputs,
        labels: &'a [usize],
    ) -> View<'a> {
        match self {
            Forks::One(_) => View::new(before, after, labels),
            Forks::PerClass(_) => View::per_class(before, after, labels),
        }
    }

    /// As [`sweep`], each sample at the model of its label: one pass per sample, however many models
    /// there are.
    pub(crate) fn sweep<T: Task<Model = M>>(
        &self,
        task: &T,
        set: Set,
        indices: &[usize],
        labels: &[usize],
        options: &SweepOptions<'_>,
    ) -> Result<Outputs, InfluenceError> {
        let models = match self {
            Forks::One(model) => return sweep(task, model, set, indices, labels, options),
            Forks::PerClass(models) => models,
        };
        let classes = task.classes();
        let mut outputs = Outputs {
            classes,
            logits: vec![0.0; indices.len() * classes],
            losses: vec![0.0; indices.len()],
        };
        for (class, model) in models.iter().enumerate() {
            let (mut positions, mut members) = (Vec::new(), Vec::new());
            for (position, &index) in indices.iter().enumerate() {
                if labels[index] == class {
                    positions.push(position);
                    members.push(index);
                }
            }
            let part = sweep(task, model, set, &members, labels, options)?;
            for (row, position) in positions.into_iter().enumerate() {
                outputs.logits[position * classes..][..classes].copy_from_slice(part.row(row));
                outputs.losses[position] = part.losses[row];
            }
        }
        Ok(outputs)
    }
}
