//! From evidence to a count: null distribution, p-values, suspects and the noise ratio.

use mirrorwatch_influence::{Estimator, Labels};
use mirrorwatch_stats::shards::{Alone, Exchange, ShardError};
use serde::{Deserialize, Serialize};

use crate::evidence::{Channel, Evidence};

mod deciding;

use deciding::{Deciding, Known};

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

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
