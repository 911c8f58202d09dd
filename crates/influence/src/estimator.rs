//! Estimators by name.

use crate::direction;
use crate::error::InfluenceError;
use crate::score;
use crate::task::{Labels, Task};

/// A direction and the score that reads it, for example `finetune:after`.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let estimator = Estimator::parse::<Line>("finetune:after")?;
/// assert_eq!((estimator.direction.as_str(), estimator.score.as_str()), ("finetune", "after"));
/// assert_eq!(estimator.to_string(), "finetune:after");
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimator {
    /// Name of the direction.
    pub direction: String,
    /// Name of the score.
    pub score: String,
}

impl Estimator {
    /// Reads `direction` or `direction:score`; without a score the direction's own is taken.
    ///
    /// # Errors
    ///
    /// A direction or score that does not exist, listing those that do.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(Estimator::parse::<Line>("margin")?.to_string(), "margin:counterfactual");
    /// let unknown = Estimator::parse::<Line>("margin:loudness").map_err(|error| error.to_string());
    /// assert!(unknown.is_err_and(|text| text.starts_with("unknown score \"loudness\": choose one of after")));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn parse<T: Task>(text: &str) -> Result<Self, InfluenceError> {
        let (direction, score) = match text.split_once(':') {
            Some((direction, score)) => (direction, Some(score)),
            None => (text, None),
        };
        let found = direction::by_name::<T>(direction)?;
        let score = match score {
            Some(name) => score::by_name(name)?,
            None => found.score(),
        };
        Ok(Self {
            direction: direction.to_string(),
            score: score.name().to_string(),
        })
    }

    /// Checks that it can be used for a task with these labels.
    ///
    /// # Errors
    ///
    /// A direction or score that does not exist, or works on logits where there are none.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// let margin = Estimator::parse::<Line>("margin")?;
    /// assert!(margin.check::<Line>(&labels).is_ok());
    /// // A task that has losses instead of classes has no margins.
    /// let without = Labels { classes: 0, ..labels };
    /// assert!(margin.check::<Line>(&without).is_err());
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn check<T: Task>(&self, labels: &Labels) -> Result<(), InfluenceError> {
        let direction = direction::by_name::<T>(&self.direction)?.needs_classes();
        let score = score::by_name(&self.score)?.needs_classes();
        if (direction || score) && !labels.has_classes() {
            return Err(InfluenceError::Data(format!(
                "the estimator {self} works on logits, and this task has losses instead; choose finetune, shrink-finetune or gradient with after or delta"
            )));
        }
        Ok(())
    }
}

impl std::fmt::Display for Estimator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.direction, self.score)
    }
}
