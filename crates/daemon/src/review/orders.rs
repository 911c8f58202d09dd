//! From the words of a command line to samples and labels.

use std::collections::{BTreeSet, HashMap};

use mirrorwatch_influence::{Labels, Task};

use super::ReviewArgs;
use crate::audit::Verdict;
use crate::error::DaemonError;

/// What is said of one sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    /// Its position in the training set.
    pub(super) index: usize,
    /// What is said of its given label.
    pub(super) verdict: Verdict,
    /// The right one, if that is said, too.
    pub(super) label: Option<usize>,
}

/// All that is said, in the order of the options.
///
/// # Errors
///
/// A sample or class that does not exist or is not meant for certain, and a sample of which two things are said.
pub(super) fn orders<T: Task>(
    task: &T,
    labels: &Labels,
    args: &ReviewArgs,
) -> Result<Vec<Order>, DaemonError> {
    let samples = Names::new(task, labels.train.len());
    let mut orders = Vec::new();
    for (named, verdict) in [
        (&args.confirm, Verdict::Confirmed),
        (&args.clear, Verdict::Cleared),
        (&args.withdraw, Verdict::Withdrawn),
    ] {
        for name in named {
            orders.push(Order {
                index: samples.index(name)?,
                verdict,
                label: None,
            });
        }
    }
    for pair in &args.relabel {
        // The last one: an id is more likely to have one in it than the name of a class.
        let (name, class) = pair.rsplit_once('=').ok_or_else(|| {
            DaemonError::Option(format!(
                "--relabel {pair} has no label; give it as ID=LABEL"
            ))
        })?;
        let index = samples.index(name)?;
        let label = label(task, labels, class)?;
        if label == labels.train[index] {
            return Err(DaemonError::Option(format!(
                "--relabel {pair} names the label that was given; if it is right, say so with --clear {name}"
            )));
        }
        orders.push(Order {
            index,
            verdict: Verdict::Relabelled,
            label: Some(label),
        });
    }
    let mut seen = BTreeSet::new();
    match orders.iter().find(|order| !seen.insert(order.index)) {
        None => Ok(orders),
        Some(twice) => Err(DaemonError::Option(format!(
            "sample {} is named twice; say one thing of it",
            task.id(twice.index)
        ))),
    }
}

/// Positions by the names of samples.
struct Names {
    /// With the number of samples of that name.
    positions: HashMap<String, (usize, usize)>,
    samples: usize,
}

impl Names {
    fn new<T: Task>(task: &T, samples: usize) -> Self {
        let mut positions = HashMap::with_capacity(samples);
        for index in 0..samples {
            positions.entry(task.id(index)).or_insert((index, 0)).1 += 1;
        }
        Self { positions, samples }
    }

    fn index(&self, name: &str) -> Result<usize, DaemonError> {
        match self.positions.get(name) {
            Some(&(index, 1)) => return Ok(index),
            Some(&(_, count)) => {
                return Err(DaemonError::Option(format!(
                    "{count} samples have the id {name}; name one by its position, as #INDEX"
                )));
            }
            None => {}
        }
        let position = name.strip_prefix('#').and_then(|text| text.parse().ok());
        position
            .filter(|&index| index < self.samples)
            .ok_or_else(|| {
                DaemonError::Option(format!(
                    "there is no sample {name}; give the id of one, or its position from #0 to #{}",
                    self.samples.saturating_sub(1)
                ))
            })
    }
}

/// A class by its name or number.
fn label<T: Task>(task: &T, labels: &Labels, text: &str) -> Result<usize, DaemonError> {
    if !labels.has_classes() {
        return Err(DaemonError::Option(
            "this task has no classes, so nothing can be relabelled; confirm or clear instead"
                .to_string(),
        ));
    }
    let mut named = (0..labels.classes).filter(|&class| task.class_name(class) == text);
    if let (Some(class), None) = (named.next(), named.next()) {
        return Ok(class);
    }
    let number = text.parse().ok().filter(|&class| class < labels.classes);
    number.ok_or_else(|| {
        DaemonError::Option(format!(
            "there is no class {text}; give the name of one, or its number from 0 to {}",
            labels.classes - 1
        ))
    })
}
