//! [`Labels`]: the labels of a task, read once and checked.

use super::{Set, Task, UNLABELLED, dataset};
use crate::divided::Division;
use crate::error::InfluenceError;
use crate::rehearse::contained;

/// The labels of a task, read once and checked.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// assert_eq!((labels.classes, &labels.train[..]), (2, &[0, 0, 0, 1, 1][..]));
/// assert_eq!((labels.probe.len(), labels.probe[0], labels.probe[40]), (41, 0, 1));
/// assert!(labels.trusted.is_empty() && labels.canaries.is_empty() && labels.unlabelled.is_empty());
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Labels {
    /// Number of classes K; 0 for a task that has losses instead.
    pub classes: usize,
    /// Given label of each training sample; 0 for all without classes, and for those without a label.
    pub train: Vec<usize>,
    /// Label of each probe sample.
    pub probe: Vec<usize>,
    /// Sorted indices of trusted training samples, without repetition.
    pub trusted: Vec<usize>,
    /// Sorted indices of canaries among the training samples, without repetition; none is trusted.
    pub canaries: Vec<usize>,
    /// Sorted indices of training samples without a label: they are not judged.
    pub unlabelled: Vec<usize>,
}

impl Labels {
    /// Reads all labels of `task` and checks that a scan can work with them.
    ///
    /// # Errors
    ///
    /// An empty set, a label out of range, a class without a probe sample, a trusted index or a
    /// canary out of range, named twice or both at once, or a dataset that cannot be read.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    /// // Verified and wrong on purpose at once cannot be.
    /// fn trusted(&self) -> Vec<usize> {
    ///     vec![0, 2]
    /// }
    ///
    /// fn canaries(&self) -> Vec<usize> {
    ///     vec![2]
    /// }
    /// # }
    /// # fn main() {
    ///
    /// let refused = Labels::read(&Line).map_err(|error| error.to_string());
    /// assert!(refused.is_err_and(|text| text.starts_with("training sample 2 is trusted and a canary")));
    /// # }
    /// ```
    pub fn read<T: Task>(task: &T) -> Result<Self, InfluenceError> {
        contained("its labels were read", || Self::of(task))
    }

    fn of<T: Task>(task: &T) -> Result<Self, InfluenceError> {
        let classes = task.classes();
        if classes == 1 {
            return Err(InfluenceError::Data(
                "the task has 1 class; a wrong label needs at least 2, and a task that is no classification has 0"
                    .to_string(),
            ));
        }
        let (train, unlabelled) = read_labels(task, Set::Training, classes)?;
        let (probe, _) = read_labels(task, Set::Probe, classes)?;
        check_probe_classes(task, &train, &unlabelled, &probe)?;
        let trusted = check_indices("trusted set", task.trusted(), train.len())?;
        let canaries = check_indices("canaries", task.canaries(), train.len())?;
        if let Some(both) = canaries.iter().find(|i| trusted.binary_search(i).is_ok()) {
            return Err(InfluenceError::Data(format!(
                "training sample {both} is trusted and a canary; a label cannot be verified and wrong on purpose, remove it from one of the two"
            )));
        }
        for (set, indices) in [("trusted set", &trusted), ("canaries", &canaries)] {
            if let Some(both) = indices.iter().find(|i| unlabelled.binary_search(i).is_ok()) {
                return Err(InfluenceError::Data(format!(
                    "training sample {both} of the {set} has no label; remove it there, or give it one"
                )));
            }
        }
        if trusted.len() + canaries.len() + unlabelled.len() >= train.len() {
            return Err(InfluenceError::Data(format!(
                "all {} training samples are trusted, canaries or without a label; nothing is left to judge, name fewer",
                train.len()
            )));
        }
        Ok(Self {
            classes,
            train,
            probe,
            trusted,
            canaries,
            unlabelled,
        })
    }

    /// Whether the task is a classification.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// assert!(labels.has_classes());
    /// assert!(!Labels { classes: 0, ..labels }.has_classes());
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn has_classes(&self) -> bool {
        self.classes > 0
    }

    /// Positions of the training samples that have a label, ascending.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// let labels = Labels { unlabelled: vec![1, 3], ..labels };
    /// assert_eq!(labels.labelled(), [0, 2, 4]);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn labelled(&self) -> Vec<usize> {
        let mut unlabelled = self.unlabelled.iter().peekable();
        let mut labelled = Vec::with_capacity(self.train.len() - self.unlabelled.len());
        for sample in 0..self.train.len() {
            if unlabelled.next_if(|&&next| next == sample).is_none() {
                labelled.push(sample);
            }
        }
        labelled
    }

    /// Those of a share of the training samples, as [`Divided`](crate::Divided) numbers them.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// let division = Division { index: 1, count: 2 };
    /// let share = labels.share(division);
    /// assert_eq!(share.train, Labels::read(&Divided::new(Line, Some(division)))?.train);
    /// assert_eq!(share.probe, labels.probe);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn share(&self, division: Division) -> Self {
        let own = division.own(self.train.len());
        let indices = |positions: &[usize]| -> Vec<usize> {
            positions
                .iter()
                .filter_map(|position| own.binary_search(position).ok())
                .collect()
        };
        Self {
            classes: self.classes,
            train: own.iter().map(|&position| self.train[position]).collect(),
            probe: self.probe.clone(),
            trusted: indices(&self.trusted),
            canaries: indices(&self.canaries),
            unlabelled: indices(&self.unlabelled),
        }
    }
}

/// The labels of a set, 0 where there is none, and the positions of those.
fn read_labels<T: Task>(
    task: &T,
    set: Set,
    classes: usize,
) -> Result<(Vec<usize>, Vec<usize>), InfluenceError> {
    let data = dataset(task, set);
    if data.is_empty() {
        return Err(InfluenceError::Data(format!(
            "the {} set is empty; nothing can be scanned without it",
            set.name()
        )));
    }
    let mut labels = Vec::with_capacity(data.len());
    let mut unlabelled = Vec::new();
    for index in 0..data.len() {
        let item = data.get(index).map_err(|error| InfluenceError::Read {
            set: set.name(),
            index,
            message: error.to_string(),
        })?;
        let label = task.label(&item);
        if label == UNLABELLED {
            if set == Set::Probe {
                return Err(InfluenceError::Data(format!(
                    "probe sample {index} has no label; the probe teaches what is right, remove it there"
                )));
            }
            unlabelled.push(index);
            labels.push(0);
            continue;
        }
        if classes == 0 {
            labels.push(0);
            continue;
        }
        if label >= classes {
            return Err(InfluenceError::Data(format!(
                "label {label} of {} sample {index} is out of range; the task has {classes} classes, 0 to {}",
                set.name(),
                classes - 1
            )));
        }
        labels.push(label);
    }
    Ok((labels, unlabelled))
}

fn check_probe_classes<T: Task>(
    task: &T,
    train: &[usize],
    unlabelled: &[usize],
    probe: &[usize],
) -> Result<(), InfluenceError> {
    if task.classes() == 0 {
        // Two, so that each of two folds holds one.
        return match probe.len() {
            0 | 1 => Err(InfluenceError::Data(
                "the probe set has 1 sample; add clean ones, a few hundred do".to_string(),
            )),
            _ => Ok(()),
        };
    }
    let mut in_probe = vec![0usize; task.classes()];
    for &label in probe {
        in_probe[label] += 1;
    }
    let mut in_train = vec![0usize; task.classes()];
    for &label in train {
        in_train[label] += 1;
    }
    // They stand as class 0.
    in_train[0] -= unlabelled.len();
    for class in 0..task.classes() {
        // Two, so that each of two folds holds one.
        if in_train[class] > 0 && in_probe[class] < 2 {
            return Err(InfluenceError::Data(format!(
                "class {class} ({}) has {} training samples but {} in the probe set; add clean samples of it to the probe, at least 2",
                task.class_name(class),
                in_train[class],
                in_probe[class]
            )));
        }
    }
    Ok(())
}

/// Sorts indices of training samples and checks that they exist and are named once.
fn check_indices(
    set: &str,
    mut indices: Vec<usize>,
    samples: usize,
) -> Result<Vec<usize>, InfluenceError> {
    indices.sort_unstable();
    for pair in indices.windows(2) {
        if pair[0] == pair[1] {
            return Err(InfluenceError::Data(format!(
                "training sample {} is named twice in the {set}; name each once",
                pair[0]
            )));
        }
    }
    match indices.last() {
        Some(&last) if last >= samples => Err(InfluenceError::Data(format!(
            "sample {last} of the {set} does not exist; there are {samples} training samples, 0 to {}",
            samples - 1
        ))),
        _ => Ok(indices),
    }
}
