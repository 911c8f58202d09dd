//! What the forward passes of a scan said, before it is told what follows.

use std::time::Instant;

use mirrorwatch_stats::shards::{Alone, Exchange, Tally, merged};

use crate::error::InfluenceError;
use crate::fusion::{self, Before};
use crate::kept::Kept;
use crate::knowledge::Knowledge;
use crate::scan::{Scan, gather, scatter};
use crate::sums::Sums;
use crate::sweep::Outputs;
use crate::task::Labels;

/// What [`read_next`](crate::read_next) has read, of the training samples that this process has.
///
/// Of its own share of them, where they are divided among several: what follows is the same to the last bit as if one
/// process had read them all.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// use mirrorwatch_stats::shards::Alone;
///
/// let config = ScanConfig {
///     estimators: vec![Estimator::parse::<Line>("gradient:after")?],
///     folds: 2,
///     batch_size: 32,
///     seed: 0,
///     device: device.clone(),
/// };
/// let mut memory = Memory::default();
/// let readings = read_next(&task, &model, &labels, &config, &mut memory, &|_| (), &cancel)?;
/// let found = readings.finish(&labels, &Alone)?;
/// let at_once = scan(&task, &model, &labels, &config, &|_| (), &cancel)?;
/// assert_eq!(found.estimates[0].train, at_once.estimates[0].train);
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct Readings {
    pub(crate) sums: Vec<Sums>,
    /// What is kept of the samples that have a label.
    pub(crate) kept: Kept,
    pub(crate) knowledge: Knowledge,
    pub(crate) base_sweep_seconds: f64,
    pub(crate) probe_base: Outputs,
    pub(crate) probe_seconds: f64,
    pub(crate) start: Instant,
}

impl Readings {
    /// What the readings come to, together with those of the other shards, if there are any.
    ///
    /// # Errors
    ///
    /// Outputs that cannot be compared, and parts that cannot be exchanged.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// use mirrorwatch_stats::shards::Alone;
    ///
    /// # let config = ScanConfig {
    /// #     estimators: vec![Estimator::parse::<Line>("gradient:after")?],
    /// #     folds: 2,
    /// #     batch_size: 32,
    /// #     seed: 0,
    /// #     device: device.clone(),
    /// # };
    /// let mut memory = Memory::default();
    /// let readings = read_next(&task, &model, &labels, &config, &mut memory, &|_| (), &cancel)?;
    /// assert_eq!(readings.finish(&labels, &Alone)?.train_losses.len(), labels.train.len());
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn finish(self, labels: &Labels, exchange: &dyn Exchange) -> Result<Scan, InfluenceError> {
        let own = Tally::of_counts([(0, labels.trusted.len() as u64)]);
        let trusted = merged(exchange, "number of trusted samples", Tally::default(), own)?;
        let mut estimates = Vec::new();
        for (sum, told) in self.sums.into_iter().zip(self.kept.estimators) {
            let mut estimate = sum.finish(told, &labels.probe, labels.classes, exchange)?;
            let lowest = estimate.train.iter().copied().fold(f32::INFINITY, f32::min);
            estimate.train = scatter(estimate.train, labels, lowest);
            estimate.suggested = scatter(estimate.suggested, labels, 0);
            estimates.push(estimate);
        }
        let knowledge = self.knowledge;
        let mut scan = Scan {
            train_margins: scatter(self.kept.margins, labels, 0.0),
            train_losses: scatter(self.kept.losses, labels, 0.0),
            probe_loss: self.probe_base.mean_loss(),
            probe_accuracy: knowledge.accuracy,
            chance: knowledge.chance,
            probe_fitted: knowledge.fitted,
            probe_losses: self.probe_base.losses,
            estimates,
            base_sweep_seconds: self.base_sweep_seconds,
            probe_seconds: self.probe_seconds,
            seconds: 0.0,
        };
        scan.fuse_with(labels, trusted.total() > 0, exchange)?;
        scan.seconds = self.start.elapsed().as_secs_f64();
        Ok(scan)
    }
}

impl Scan {
    /// Fuses the loss before the step into estimates of the loss after it, where `labels` has a trusted set
    /// to calibrate them on and the probe shows that the model is as good as its forks.
    ///
    /// [`scan`](crate::scan()) has done so for its own labels; a scan without a trusted set can be fused later for labels
    /// with one, once.
    ///
    /// # Errors
    ///
    /// Scores that cannot be standardised.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// # let config = ScanConfig {
    /// #     estimators: vec![Estimator::parse::<Line>("gradient:after")?],
    /// #     folds: 2,
    /// #     batch_size: 32,
    /// #     seed: 0,
    /// #     device: device.clone(),
    /// # };
    /// let mut scan = scan(&task, &model, &labels, &config, &|_| (), &cancel)?;
    ///
    /// // Somebody has verified two labels since.
    /// let labels = Labels { trusted: vec![0, 3], ..labels };
    /// scan.fuse(&labels)?;
    /// let choices = &scan.estimates[0].choices;
    /// assert!(choices.last().is_some_and(|last| last.starts_with("fused with the loss before the step")));
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn fuse(&mut self, labels: &Labels) -> Result<(), InfluenceError> {
        self.fuse_with(labels, !labels.trusted.is_empty(), &Alone)
    }

    /// [`Scan::fuse`] by what all shards together say; `trusted`: whether any of them has trusted samples.
    pub(crate) fn fuse_with(
        &mut self,
        labels: &Labels,
        trusted: bool,
        exchange: &dyn Exchange,
    ) -> Result<(), InfluenceError> {
        let judged = labels.labelled();
        let losses = gather(&self.train_losses, &judged);
        let base = Before {
            train: &losses,
            probe: &self.probe_losses,
            accuracy: self.probe_accuracy,
        };
        for estimate in &mut self.estimates {
            if trusted && fusion::may_fuse(estimate) {
                estimate.train = gather(&estimate.train, &judged);
                fusion::fuse(estimate, &base, exchange)?;
                let train = std::mem::take(&mut estimate.train);
                let lowest = train.iter().copied().fold(f32::INFINITY, f32::min);
                estimate.train = scatter(train, labels, lowest);
            }
        }
        Ok(())
    }
}
