//! First-order agreement: forward changes of the loss against exact inner products.

use mirrorwatch_stats::ranking::{pearson, spearman};

use crate::error::InfluenceError;
use crate::exact::{Exact, inner};
use crate::sweep::{SweepOptions, sweep};
use crate::task::{Labels, Set, Task};

/// Step lengths ‖v‖ / ‖θ‖ that are tried, ascending.
///
/// Below, single precision rounds the changes away; above, no model is in its linear range.
pub const LENGTHS: [f64; 8] = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2];

/// Correlation from which a length counts as linear.
const PEARSON: f64 = 0.99;
/// How far the slope of a linear length may be from 1.
const SLOPE: f64 = 0.1;

/// Agreement at one step length.
///
/// ```
/// use mirrorwatch_influence::verify::AtLength;
///
/// let at = AtLength { length: 1e-3, pearson: Some(0.999), spearman: Some(0.99), slope: Some(1.02) };
/// assert!(at.is_linear());
/// assert!(!AtLength { slope: Some(1.5), ..at }.is_linear());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtLength {
    /// ‖v‖ / ‖θ‖.
    pub length: f64,
    /// Pearson's correlation of Δℓ_i and ⟨∇ℓ_i, v⟩; none where one of them is constant or not finite.
    pub pearson: Option<f64>,
    /// Spearman's rank correlation of the two.
    pub spearman: Option<f64>,
    /// Slope of Δℓ_i on ⟨∇ℓ_i, v⟩ through the origin: 1 where the step is linear.
    pub slope: Option<f64>,
}

impl AtLength {
    /// Whether the change of the loss is what the gradients say: correlation ≥ .99, slope within .1 of 1.
    ///
    /// ```
    /// # use mirrorwatch_influence::verify::{AtLength, FirstOrder};
    /// let at = AtLength { length: 1e-3, pearson: Some(0.98), spearman: None, slope: Some(1.0) };
    /// assert!(!at.is_linear());
    /// assert!(AtLength { pearson: Some(0.99), ..at }.is_linear());
    /// ```
    pub fn is_linear(&self) -> bool {
        self.pearson.is_some_and(|r| r >= PEARSON)
            && self.slope.is_some_and(|slope| (slope - 1.0).abs() <= SLOPE)
    }
}

/// What was found over all lengths.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// use mirrorwatch_influence::verify::{LENGTHS, first_order};
///
/// let found = first_order(&task, &model, &labels, &exact, &[0, 1, 2, 3, 4], &options)?;
/// assert_eq!((found.samples, found.lengths.len()), (5, LENGTHS.len()));
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FirstOrder {
    /// Training samples that it was measured on.
    pub samples: usize,
    /// In the order of [`LENGTHS`].
    pub lengths: Vec<AtLength>,
}

impl FirstOrder {
    /// The longest run of linear lengths; none when no length is linear.
    ///
    /// ```
    /// # use mirrorwatch_influence::verify::{AtLength, FirstOrder};
    /// let at = |length, pearson| AtLength { length, pearson: Some(pearson), spearman: None, slope: Some(1.0) };
    /// let found = FirstOrder { samples: 9, lengths: vec![at(1e-4, 0.7), at(1e-3, 0.992), at(1e-2, 0.999), at(3e-2, 0.8)] };
    /// let range = found.linear_range().map(|range| (range[0].length, range[1].length));
    /// assert_eq!(range, Some((1e-3, 1e-2)));
    /// ```
    pub fn linear_range(&self) -> Option<&[AtLength]> {
        let mut best: &[AtLength] = &[];
        for stretch in self.lengths.split(|at| !at.is_linear()) {
            if stretch.len() > best.len() {
                best = stretch;
            }
        }
        (!best.is_empty()).then_some(best)
    }

    /// The length of the linear range at which the two agree best.
    ///
    /// ```
    /// # use mirrorwatch_influence::verify::{AtLength, FirstOrder};
    /// let at = |length, pearson| AtLength { length, pearson: Some(pearson), spearman: None, slope: Some(1.0) };
    /// let found = FirstOrder { samples: 9, lengths: vec![at(1e-4, 0.7), at(1e-3, 0.992), at(1e-2, 0.999), at(3e-2, 0.8)] };
    /// assert_eq!(found.chosen().map(|at| at.length), Some(1e-2));
    /// ```
    pub fn chosen(&self) -> Option<AtLength> {
        let mut best: Option<AtLength> = None;
        for at in self.linear_range()? {
            if best.is_none_or(|best| at.pearson > best.pearson) {
                best = Some(*at);
            }
        }
        best
    }
}

/// Steps down the probe's gradient by several lengths and compares Δℓ_i with ⟨∇ℓ_i, v⟩ for training `samples`.
///
/// Costs a backward pass per sample, and a forward pass per sample and length.
///
/// # Errors
///
/// A sample that cannot be read, a vanished gradient, or cancellation.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// use mirrorwatch_influence::verify::first_order;
///
/// let found = first_order(&task, &model, &labels, &exact, &[0, 1, 2, 3, 4], &options)?;
/// // At some length the losses change as the gradients say.
/// assert!(found.chosen().is_some_and(|at| at.is_linear()));
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn first_order<T: Task>(
    task: &T,
    model: &T::Model,
    labels: &Labels,
    exact: &Exact<'_, T>,
    samples: &[usize],
    forward: &SweepOptions<'_>,
) -> Result<FirstOrder, InfluenceError> {
    let gradient = exact.probe();
    let length = inner(gradient, gradient).sqrt();
    if length == 0.0 {
        return Err(InfluenceError::Outputs(
            "the probe's gradient vanishes at this checkpoint, so no step can be taken; try an earlier one".to_string(),
        ));
    }
    let mut products = Vec::with_capacity(samples.len());
    for &sample in samples {
        let own = exact.sample(Set::Training, sample, labels.train[sample])?;
        products.push(-inner(&own, gradient) / length);
    }
    let run = |model: &T::Model| sweep(task, model, Set::Training, samples, &labels.train, forward);
    let before = run(model)?;
    let mut lengths = Vec::with_capacity(LENGTHS.len());
    for share in LENGTHS {
        let step = share * exact.weights_length();
        let expected: Vec<f32> = products.iter().map(|p| (step * p) as f32).collect();
        let after = match run(&exact.moved(gradient, -step / length)) {
            Ok(after) => after,
            // A step too long may overflow; that only means it is not linear.
            Err(InfluenceError::Outputs(_)) => {
                lengths.push(AtLength {
                    length: share,
                    pearson: None,
                    spearman: None,
                    slope: None,
                });
                continue;
            }
            Err(error) => return Err(error),
        };
        let changes = after.losses.iter().zip(&before.losses);
        let changes: Vec<f32> = changes.map(|(after, before)| after - before).collect();
        lengths.push(AtLength {
            length: share,
            pearson: pearson(&changes, &expected),
            spearman: spearman(&changes, &expected),
            slope: slope(&changes, &expected),
        });
    }
    Ok(FirstOrder {
        samples: samples.len(),
        lengths,
    })
}

/// Least squares through the origin.
fn slope(y: &[f32], x: &[f32]) -> Option<f64> {
    let squared = inner(x, x);
    (squared > 0.0).then(|| inner(y, x) / squared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(length: f64, pearson: f64, slope: f64) -> AtLength {
        AtLength {
            length,
            pearson: Some(pearson),
            spearman: None,
            slope: Some(slope),
        }
    }

    #[test]
    fn the_range_is_the_longest_stretch_and_the_choice_its_best() {
        let found = FirstOrder {
            samples: 3,
            lengths: vec![
                at(1e-5, 0.995, 1.0),
                at(1e-4, 0.9, 1.0),
                at(1e-3, 0.992, 0.95),
                at(3e-3, 0.999, 1.05),
                at(1e-2, 0.999, 1.2),
            ],
        };
        let lengths: Vec<f64> = found
            .linear_range()
            .unwrap()
            .iter()
            .map(|at| at.length)
            .collect();
        assert_eq!(lengths, [1e-3, 3e-3]);
        assert_eq!(found.chosen().unwrap().length, 3e-3);
    }

    #[test]
    fn without_a_linear_length_there_is_no_range() {
        let found = FirstOrder {
            samples: 3,
            lengths: vec![at(1e-5, 0.5, 1.0), at(1e-4, 0.999, 2.0)],
        };
        assert_eq!((found.linear_range(), found.chosen()), (None, None));
    }
}
