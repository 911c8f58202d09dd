//! From scores to a count, of one process or of all shards.

use mirrorwatch_stats::noise_ratio::NoiseBound;
use mirrorwatch_stats::shards::{
    self, Cells, ClassCells, Exchange, Ruler, ShardError, Tally, merged,
};
use mirrorwatch_stats::{StatsError, conformal, fdr};

use super::{Account, Levels, Null};

/// Samples by their scores and labels: those with verified labels, or those that are judged.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub scores: Vec<f32>,
    /// Empty where one null serves all classes: nobody asks then.
    pub classes: Vec<usize>,
}

impl Known {
    /// Conformal p-values of `others`, each compared with those of its own given label.
    fn p_values_by_class(&self, others: &Known, minimum: usize) -> Result<Vec<f64>, StatsError> {
        conformal::class_conditional_p_values(
            &self.scores,
            &self.classes,
            &others.scores,
            &others.classes,
            minimum,
        )
    }

    /// Those of all shards.
    pub fn of_all(self, exchange: &dyn Exchange) -> Result<Self, ShardError> {
        let own = match self.classes.is_empty() {
            true => shards::Null::of(&self.scores, &vec![0; self.scores.len()])?,
            false => shards::Null::of(&self.scores, &self.classes)?,
        };
        let all = merged(
            exchange,
            "scores of trusted samples",
            shards::Null::default(),
            own,
        )?;
        Ok(Self {
            scores: all.scores().to_vec(),
            classes: all.classes().to_vec(),
        })
    }

    /// Whether the scores of `other` reach as high as these, within one standard error, at the
    /// thresholds that a fifth and a tenth of these reach.
    ///
    /// A held-out set is on the safe side only if it does: one without hard samples would let every
    /// hard training sample look wrong.
    pub fn is_reached_by(&self, other: &Known) -> bool {
        let (n, m) = (self.scores.len(), other.scores.len());
        let mut sorted = self.scores.clone();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        for part in [5, 10] {
            let Some(&threshold) = sorted.get((n / part).saturating_sub(1)) else {
                return false;
            };
            let share = |known: &Known, of: usize| {
                let reach = known.scores.iter().filter(|s| **s >= threshold).count();
                reach as f64 / of.max(1) as f64
            };
            let (ours, theirs) = (share(self, n), share(other, m));
            let error = (ours * (1.0 - ours) * (1.0 / n as f64 + 1.0 / m.max(1) as f64)).sqrt();
            if theirs < ours - error {
                return false;
            }
        }
        true
    }

    pub fn extend(&mut self, other: &Known) {
        self.scores.extend_from_slice(&other.scores);
        self.classes.extend_from_slice(&other.classes);
    }
}

/// By what the count is taken.
pub(super) struct Deciding<'a> {
    pub levels: Levels,
    pub exchange: &'a dyn Exchange,
}

impl Deciding<'_> {
    /// How many judged samples lie between which null scores, of all shards.
    fn cells(&self, ruler: &Ruler, scores: &[f32]) -> Result<Cells, ShardError> {
        merged(
            self.exchange,
            "cells",
            ruler.count(&[])?,
            ruler.count(scores)?,
        )
    }

    pub fn bound(&self, null: &[f32], judged: &Known) -> Result<NoiseBound, ShardError> {
        let cells = self.cells(&Ruler::new(null)?, &judged.scores)?;
        Ok(cells.lower_bound(self.levels.alpha)?)
    }

    /// The same by class, where each class has a null of its own.
    fn class_cells(
        &self,
        known: &Known,
        judged: &Known,
        minimum: usize,
    ) -> Result<ClassCells, ShardError> {
        let of = |scores: &[f32], classes: &[usize]| {
            ClassCells::count(&known.scores, &known.classes, scores, classes, minimum)
        };
        merged(
            self.exchange,
            "cells by class",
            of(&[], &[])?,
            of(&judged.scores, &judged.classes)?,
        )
    }

    pub fn count(
        &self,
        (null, known): (Null, &Known),
        scored: Vec<usize>,
        judged: &Known,
        samples: usize,
        bound: &NoiseBound,
    ) -> Result<Account, ShardError> {
        let (fdr, null_samples) = (self.levels.fdr, known.scores.len());
        let ruler = Ruler::new(&known.scores)?;
        let cells = self.cells(&ruler, &judged.scores)?;
        // The same for all samples of a cell, so that none has to keep them.
        let p_of: Vec<f64> = (0..=null_samples).map(|cell| cells.p_value(cell)).collect();
        let (threshold, resolution, by_class) = match self.levels.per_class {
            None => (cells.threshold(fdr)?, null_samples, None),
            Some(minimum) => {
                let cells = self.class_cells(known, judged, minimum)?;
                let p = known.p_values_by_class(judged, minimum)?;
                (cells.threshold(fdr)?, cells.resolution(), Some(p))
            }
        };
        let right_of = cells.false_discovery_rates(threshold.clean_share)?;
        let mut p_values = vec![1.0; samples];
        let mut wrong_probability = vec![0.0; samples];
        let mut flags = vec![false; samples];
        for (position, &sample) in scored.iter().enumerate() {
            let cell = ruler.cell(judged.scores[position]);
            let p = by_class.as_ref().map_or(p_of[cell], |p| p[position]);
            p_values[sample] = p;
            wrong_probability[sample] = (1.0 - right_of[cell]) as f32;
            flags[sample] = threshold.selects(p);
        }
        let judged = cells.samples();
        Ok(Account {
            null,
            null_samples,
            judged,
            p_values,
            wrong_probability,
            flags,
            suspects: threshold.count,
            threshold: threshold.p_value,
            expected_false: threshold.expected_false,
            min_detectable: fdr::min_detectable(judged, resolution, fdr, threshold.clean_share),
            lower_bound: bound.ratio,
            estimate: bound.estimate,
            canaries_found: 0,
            scored,
        })
    }

    /// Canaries whose p-value is at most the largest of a suspect. They take no part in the selection, so
    /// that planting them changes no count.
    pub fn canaries_found(
        &self,
        account: &Account,
        null: &Known,
        canaries: &Known,
    ) -> Result<usize, ShardError> {
        let p = match self.levels.per_class {
            None => conformal::p_values(&null.scores, &canaries.scores),
            Some(minimum) => null.p_values_by_class(canaries, minimum),
        };
        let found = |p: &&f64| account.suspects > 0 && **p <= account.threshold;
        let own = p?.iter().filter(found).count() as u64;
        let own = Tally::of_counts([(0, own)]);
        let all = merged(
            self.exchange,
            "number of canaries found",
            Tally::default(),
            own,
        )?;
        Ok(all.total() as usize)
    }
}
