//! From evidence to a count: null distribution, p-values, suspects and the noise ratio.

use mirrorwatch_influence::{Estimator, Labels};
use mirrorwatch_stats::noise_ratio::NoiseBound;
use mirrorwatch_stats::shards::{
    self, Alone, Cells, ClassCells, Exchange, Ruler, ShardError, Tally, merged,
};
use mirrorwatch_stats::{StatsError, conformal, fdr};
use serde::{Deserialize, Serialize};

use crate::evidence::{Channel, Evidence};

/// Where the null distribution came from; each has its own guarantee.
///
/// ```
/// use mirrorwatch_daemon::account::Null;
///
/// assert_eq!([Null::Trusted, Null::HeldOut, Null::Pooled].map(Null::name), ["trusted", "held-out", "pooled"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Null {
    /// Training samples with verified labels, trained on like the rest: valid in every phase.
    Trusted,
    /// The cross-fitted probe: valid, but loses power as the model memorises.
    HeldOut,
    /// Both together, where the trusted set alone is too small to show as few wrong labels as there
    /// seem to be, and the held-out samples look no easier than the trusted ones: on the safe side
    /// like the held-out null, with the resolution of both.
    Pooled,
}

impl Null {
    /// The name in results and labels.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_daemon::account::Null::HeldOut.name(), "held-out");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Null::Trusted => "trusted",
            Null::HeldOut => "held-out",
            Null::Pooled => "pooled",
        }
    }
}

/// The level of everything that is counted.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// // More suspects may be named where a third of them may be right.
/// let lax = account(&evidence, &labels, Levels { fdr: 0.3, ..levels })?;
/// assert!(lax.suspects >= account(&evidence, &labels, levels)?.suspects);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// False-discovery rate q of the suspects.
    pub fdr: f64,
    /// 1 − confidence of the lower bound.
    pub alpha: f64,
    /// Compare a sample with null samples of its own given label only, where there are at least this
    /// many; none for one null for all.
    pub per_class: Option<usize>,
}

/// Samples by their scores and labels: those with verified labels, or those that are judged.
#[derive(Debug, Clone, Default)]
struct Known {
    scores: Vec<f32>,
    /// Empty where one null serves all classes: nobody asks then.
    classes: Vec<usize>,
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
    fn of_all(self, exchange: &dyn Exchange) -> Result<Self, ShardError> {
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
    fn is_reached_by(&self, other: &Known) -> bool {
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

    fn extend(&mut self, other: &Known) {
        self.scores.extend_from_slice(&other.scores);
        self.classes.extend_from_slice(&other.classes);
    }
}

/// What can be said of the labels after a scan.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// let found = account(&evidence, &labels, levels)?;
/// assert_eq!((found.null, found.null_samples, found.scored.len()), (Null::HeldOut, 500, 200));
/// assert!(found.flags[190..].iter().all(|flag| *flag) && found.suspects >= 10);
/// assert!(found.p_values[195] < 0.01 && found.wrong_probability[195] > 0.9);
/// assert!(found.lower_bound > 0.0 && found.lower_bound <= found.estimate);
/// assert!(found.min_detectable < 10 && found.expected_false <= 0.1 * found.suspects as f64 + 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Account {
    /// Which null distribution was used.
    pub null: Null,
    /// Samples in the null distribution.
    pub null_samples: usize,
    /// Training samples that were judged: all but trusted ones, canaries and those without a label. Of this shard,
    /// where samples are divided, as are all lists here.
    pub scored: Vec<usize>,
    /// How many were judged, in all shards together, as are all counts here.
    pub judged: usize,
    /// Conformal p-value of each training sample; 1 for trusted ones and canaries.
    pub p_values: Vec<f64>,
    /// Estimated chance that the label of each training sample is wrong; 0 for trusted ones and canaries.
    /// It tells the suspects apart: those near the end of the list are about as likely right and hard.
    pub wrong_probability: Vec<f32>,
    /// Which training samples are suspects.
    pub flags: Vec<bool>,
    /// Number of suspects.
    pub suspects: usize,
    /// The p-value up to which samples are suspects, if there are any.
    pub threshold: f64,
    /// Expected false suspects among them, at most.
    pub expected_false: f64,
    /// The smallest number of suspects that this null can show.
    pub min_detectable: usize,
    /// Lower bound on the share of wrong labels among the scored samples.
    pub lower_bound: f64,
    /// Point estimate of that share.
    pub estimate: f64,
    /// Canaries that would be suspects if they were judged like the others.
    pub canaries_found: usize,
}

impl Account {
    /// Takes all suspects back: for a reason that lies outside the statistics.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// let mut found = account(&evidence, &labels, levels)?;
    /// found.name_nobody();
    /// assert!(found.suspects == 0 && !found.flags.contains(&true));
    /// // What the statistics say of the whole stays.
    /// assert!(found.lower_bound > 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name_nobody(&mut self) {
        self.flags.fill(false);
        self.suspects = 0;
        self.expected_false = 0.0;
        self.canaries_found = 0;
    }

    /// Suspects whose label is more likely right, on a hard sample, than wrong.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// let mut found = account(&evidence, &labels, levels)?;
    /// found.flags = vec![true, true, true];
    /// found.wrong_probability = vec![0.9, 0.4, 0.5];
    /// assert_eq!(found.hard_suspects(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hard_suspects(&self) -> usize {
        let suspects = self.flags.iter().zip(&self.wrong_probability);
        suspects.filter(|(flag, p)| **flag && **p < 0.5).count()
    }
}

/// Counts the suspects by the first channel of `evidence`.
///
/// # Errors
///
/// In words, when there is no valid null distribution for the estimator or the statistics refuse.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// assert_eq!(account(&evidence, &labels, levels)?.null, Null::HeldOut);
/// // With verified labels among the training samples, they are the null.
/// let trusted = Labels { trusted: (0..100).collect(), ..labels };
/// let found = account(&evidence, &trusted, levels)?;
/// assert!(found.null != Null::HeldOut && found.scored.len() == 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn account(evidence: &Evidence, labels: &Labels, levels: Levels) -> Result<Account, String> {
    account_of(&evidence.channels, labels, levels)
}

/// [`account`] by the first of these channels, which need not be of any evidence yet.
///
/// # Errors
///
/// As there.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::account::account_of;
///
/// let found = account_of(&evidence.channels, &labels, levels)?;
/// assert_eq!(found.flags, account(&evidence, &labels, levels)?.flags);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn account_of(
    channels: &[Channel],
    labels: &Labels,
    levels: Levels,
) -> Result<Account, String> {
    account_with(channels, labels, levels, &Alone)
}

/// [`account_of`] by what all shards together say: the counts are those of all, lists are of this one's samples.
///
/// # Errors
///
/// As there, and parts that cannot be exchanged.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::account::account_with;
/// use mirrorwatch_stats::shards::Alone;
///
/// let found = account_with(&evidence.channels, &labels, levels, &Alone)?;
/// assert_eq!((found.flags.len(), found.judged), (200, 200));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn account_with(
    channels: &[Channel],
    labels: &Labels,
    levels: Levels,
    exchange: &dyn Exchange,
) -> Result<Account, String> {
    let Some(channel) = channels.first() else {
        return Err("no estimator is configured; name one with --estimator".to_string());
    };
    let words = |error: ShardError| error.to_string();
    let by_class = levels.per_class.is_some();
    let pick = |samples: &[usize]| Known {
        scores: samples.iter().map(|&i| channel.train[i]).collect(),
        classes: match by_class {
            true => samples.iter().map(|&i| labels.train[i]).collect(),
            false => Vec::new(),
        },
    };
    let trusted = pick(&labels.trusted).of_all(exchange).map_err(words)?;
    let null = choose_null(!trusted.scores.is_empty(), channel.held_out_null)
        .ok_or_else(|| no_null(&channel.estimator))?;
    let held_out = Known {
        scores: channel.probe.clone(),
        classes: match by_class {
            true => labels.probe.clone(),
            false => Vec::new(),
        },
    };
    let mut known = match null {
        Null::Trusted => trusted,
        Null::HeldOut | Null::Pooled => held_out.clone(),
    };
    // Suspects are named in the tail, where a held-out sample's own fork reads it on the safe side; the bound is
    // taken wherever it is largest, so that its null must match at every height. (The estimated share of right labels,
    // which naming adapts to, looks at the middle; measured, the caution of the tail outweighs that by far.)
    let bounding = match null {
        Null::Trusted => &known.scores,
        Null::HeldOut | Null::Pooled => &channel.probe_mean,
    };
    let scored = scored_samples(labels);
    let judged = pick(&scored);
    let deciding = Deciding { levels, exchange };
    let bound = deciding.bound(bounding, &judged).map_err(words)?;
    let (samples, canaries) = (labels.train.len(), pick(&labels.canaries));
    let mut account = deciding
        .count((null, &known), scored, &judged, samples, &bound)
        .map_err(words)?;
    if null == Null::Trusted
        && channel.held_out_null
        && lacks_resolution(&account)
        && known.is_reached_by(&held_out)
    {
        known.extend(&held_out);
        // Never both at once: they are large.
        let scored = std::mem::take(&mut account.scored);
        drop(account);
        // The bound and the estimate stay with the trusted null, which is exact.
        let pooled = (Null::Pooled, &known);
        account = deciding
            .count(pooled, scored, &judged, samples, &bound)
            .map_err(words)?;
    }
    account.canaries_found = deciding
        .canaries_found(&account, &known, &canaries)
        .map_err(words)?;
    Ok(account)
}

/// Why an estimator whose score held-out samples say nothing of cannot count without a trusted set.
pub(crate) fn no_null(estimator: &Estimator) -> String {
    format!(
        "the estimator {estimator} has no valid null distribution without a trusted set; add trusted samples or use finetune:after"
    )
}

/// A null needs to resolve this many times finer than the number of wrong labels there seem to be.
/// With less, one or two null samples in the tail decide between everything and nothing.
///
/// Chosen among 2, 3 and 5 on four runs thinned to .5 to 20 % noise, with 200, 500 and 1,000 trusted samples drawn 60
/// times each: 2 gives the best recall of the three in 45 of 48 cases, and a mean false-discovery proportion of at
/// most .104 in all. The pooled null alone gives up .1 to .3 of recall from 5 % noise on; the
/// trusted one alone names hardly anything below.
const RESOLUTION: f64 = 2.0;

/// Whether there seem to be too few wrong labels for this null to name them. It looks at the size of the
/// null and at the estimated number of wrong labels, never at how many another null would name.
fn lacks_resolution(account: &Account) -> bool {
    let wrong = account.estimate * account.judged as f64;
    wrong < RESOLUTION * account.min_detectable as f64
}

fn choose_null(trusted: bool, held_out_valid: bool) -> Option<Null> {
    if trusted {
        Some(Null::Trusted)
    } else if held_out_valid {
        Some(Null::HeldOut)
    } else {
        None
    }
}

/// All training samples that have a label and are neither trusted nor canaries.
fn scored_samples(labels: &Labels) -> Vec<usize> {
    let mut judged = vec![true; labels.train.len()];
    for &known in [&labels.trusted, &labels.canaries, &labels.unlabelled]
        .into_iter()
        .flatten()
    {
        judged[known] = false;
    }
    (0..judged.len()).filter(|&sample| judged[sample]).collect()
}

/// By what the count is taken.
struct Deciding<'a> {
    levels: Levels,
    exchange: &'a dyn Exchange,
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

    fn bound(&self, null: &[f32], judged: &Known) -> Result<NoiseBound, ShardError> {
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

    fn count(
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
    fn canaries_found(
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

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
