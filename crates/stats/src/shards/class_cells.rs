//! Cells by class.

use std::collections::BTreeMap;

use super::bytes::{Flaw, Reader, put_number};
use super::cells::OTHER_NULL;
use super::error::ShardError;
use super::part::{Body, merge};
use crate::StatsError;
use crate::cells::Cells;
use crate::check::{ascending, count_at_least, no_nan, same_length, some_scores};
use crate::conformal::nulls_by_class;
use crate::fdr::{self, Threshold};

/// [`Cells`] with a null per class: samples of a class that has enough null scores are counted between those, all others
/// between the null scores of all classes.
///
/// For [class-conditional p-values](crate::conformal::class_conditional_p_values). The bound on the noise ratio and the local
/// rates are those of [`Cells`] of all samples, in any case.
///
/// ```
/// use mirrorwatch_stats::shards::ClassCells;
/// use mirrorwatch_stats::{conformal::class_conditional_p_values, fdr};
///
/// let (null, null_classes) = ([0.1, 0.2, 0.3, 5.0, 6.0, 7.0], [0, 0, 0, 1, 1, 1]);
/// let (scores, classes) = ([4.0, 4.5, 0.0, 4.0], [0, 0, 0, 1]);
/// let shard = |part: std::ops::Range<usize>| {
///     ClassCells::count(&null, &null_classes, &scores[part.clone()], &classes[part], 3)
/// };
/// let mut cells = shard(0..1)?;
/// cells.merge(&shard(1..4)?)?;
/// let p = class_conditional_p_values(&null, &null_classes, &scores, &classes, 3)?;
/// let whole = fdr::adaptive_benjamini_hochberg(&p, 6, 0.6)?;
/// let threshold = cells.threshold(0.6)?;
/// assert_eq!((threshold.count, threshold.p_value), (whole.count, whole.threshold));
/// assert_eq!((threshold.count, threshold.p_value), (2, 0.25));
/// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ClassCells {
    /// Samples of classes without a null of their own.
    pooled: Cells,
    /// Those of each class that has one; there is a table even if no sample was counted.
    own: BTreeMap<usize, Cells>,
}

impl ClassCells {
    /// Counts `scores` of samples with the given labels `classes`; the rest as
    /// [`class_conditional_p_values`](crate::conformal::class_conditional_p_values) has it.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ClassCells;
    ///
    /// let cells = ClassCells::count(&[0.1, 0.2, 5.0], &[0, 0, 1], &[0.3, 4.0], &[0, 1], 2)?;
    /// assert_eq!(cells.samples(), 2);
    /// assert!(ClassCells::count(&[0.1], &[0], &[0.3, 4.0], &[0], 2).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn count(
        null: &[f32],
        null_classes: &[usize],
        scores: &[f32],
        classes: &[usize],
        minimum: usize,
    ) -> Result<Self, StatsError> {
        some_scores("null", null)?;
        no_nan("scores", scores)?;
        same_length(("null", null.len()), ("null classes", null_classes.len()))?;
        same_length(("scores", scores.len()), ("classes", classes.len()))?;

        let nulls = nulls_by_class(null, null_classes, minimum);
        let mut of_class: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        let mut others = Vec::new();
        for (&class, &score) in classes.iter().zip(scores) {
            if nulls.contains_key(&class) {
                of_class.entry(class).or_default().push(score);
            } else {
                others.push(score);
            }
        }
        let table = |sorted: &[f32], scores: &[f32]| {
            let cell = |&score: &f32| (score, count_at_least(sorted, score));
            Cells::of(sorted, scores.iter().map(cell))
        };
        let pooled = table(&ascending(null), &others);
        let mut own = BTreeMap::new();
        for (class, sorted) in nulls {
            let cells = table(&sorted, of_class.get(&class).map_or(&[][..], Vec::as_slice));
            own.insert(class, cells);
        }
        Ok(Self { pooled, own })
    }

    /// How many samples were counted.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ClassCells;
    ///
    /// assert_eq!(ClassCells::count(&[0.1], &[0], &[0.3, 4.0], &[0, 1], 1)?.samples(), 2);
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn samples(&self) -> usize {
        self.tables().map(Cells::samples).sum()
    }

    /// The size of the largest null that any sample is compared with; that of all where there are no samples.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ClassCells;
    ///
    /// let resolution = |classes: &[usize]| {
    ///     let cells = ClassCells::count(&[0.1, 0.2, 5.0], &[0, 0, 1], &[0.3], classes, 2)?;
    ///     Ok::<_, mirrorwatch_stats::StatsError>(cells.resolution())
    /// };
    /// assert_eq!((resolution(&[0])?, resolution(&[1])?), (2, 3));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn resolution(&self) -> usize {
        let mut largest = None;
        for table in self.tables() {
            if table.samples() > 0 {
                largest = largest.max(Some(table.null_samples));
            }
        }
        largest.unwrap_or(self.pooled.null_samples)
    }

    /// How many samples have a p-value of at most `p`.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ClassCells;
    ///
    /// let cells = ClassCells::count(&[0.1, 5.0], &[0, 1], &[0.3, 4.0], &[0, 1], 1)?;
    /// assert_eq!((cells.at_most(0.5), cells.at_most(1.0)), (1, 2));
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn at_most(&self, p: f64) -> usize {
        self.tables().map(|table| table.at_most(p)).sum()
    }

    /// From which p-value down samples are suspects, as [`Cells::threshold`]; the share of clean samples is estimated on the grid
    /// of the null of all classes.
    ///
    /// # Errors
    ///
    /// [`StatsError::OutOfRange`] for `q`.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ClassCells;
    ///
    /// let cells = ClassCells::count(&[0.1, 5.0], &[0, 1], &[0.3, 4.0], &[0, 1], 1)?;
    /// assert_eq!(cells.threshold(0.1)?.count, 0);
    /// assert!(cells.threshold(0.0).is_err());
    /// # Ok::<(), mirrorwatch_stats::StatsError>(())
    /// ```
    pub fn threshold(&self, q: f64) -> Result<Threshold, StatsError> {
        let mut counted = Vec::new();
        for table in self.tables() {
            counted.extend(table.p_values());
        }
        // Equal p-values of two nulls stay apart, which changes nothing: the last of them has all of their samples before it.
        counted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        fdr::adaptive_threshold(&counted, self.pooled.null_samples, q)
    }

    fn tables(&self) -> impl Iterator<Item = &Cells> {
        [&self.pooled].into_iter().chain(self.own.values())
    }

    /// Merges, as [`Cells::merge`].
    ///
    /// # Errors
    ///
    /// [`ShardError::Differs`] for another null, other classes or another minimum.
    ///
    /// ```
    /// use mirrorwatch_stats::shards::ClassCells;
    ///
    /// let count = |minimum| ClassCells::count(&[0.1, 5.0], &[0, 1], &[0.3], &[0], minimum);
    /// let mut cells = count(1)?;
    /// cells.merge(&count(1)?)?;
    /// assert_eq!(cells.samples(), 2);
    /// assert!(cells.merge(&count(2)?).is_err());
    /// # Ok::<(), mirrorwatch_stats::shards::ShardError>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<(), ShardError> {
        merge(self, other)
    }
}

impl Body for ClassCells {
    const KIND: u16 = 6;

    fn write(&self, out: &mut Vec<u8>) {
        self.pooled.write(out);
        put_number(out, self.own.len() as u64);
        for (&class, cells) in &self.own {
            put_number(out, class as u64);
            cells.write(out);
        }
    }

    fn read(from: &mut Reader) -> Result<Self, Flaw> {
        let pooled = Cells::read(from)?;
        let mut own = BTreeMap::new();
        for _ in 0..from.length()? {
            let start = from.at;
            let class = from.size()?;
            if own.last_key_value().is_some_and(|(&last, _)| last >= class) {
                return Err(Flaw::Bad(start, "classes are out of order"));
            }
            own.insert(class, Cells::read(from)?);
        }
        Ok(Self { pooled, own })
    }

    fn differs(&self, other: &Self) -> Option<&'static str> {
        let same = self.pooled.differs(&other.pooled).is_none()
            && self.own.keys().eq(other.own.keys())
            && self
                .own
                .values()
                .zip(other.own.values())
                .all(|(a, b)| a.differs(b).is_none());
        (!same).then_some(OTHER_NULL)
    }

    fn join(&mut self, other: &Self) {
        self.pooled.join(&other.pooled);
        for (ours, theirs) in self.own.values_mut().zip(other.own.values()) {
            ours.join(theirs);
        }
    }
}
