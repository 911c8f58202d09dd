//! Which groups of samples (sources, annotators, files) went bad between two checkpoints.
//!
//! A sample is *lost* when the model fitted its given label before and does not any more, and *gained*
//! the other way round. Where labels of a group are fed wrong from some time on, while the recorded ones
//! stay as they were, many of its samples are lost at once. Two null models explain lost samples
//! without that, and a group is named only if it contradicts both:
//!
//! - *The model forgets* (a larger step, another phase of training): of the samples that were fitted,
//!   those lost fall on the groups at random within a stratum (given label). Contradicted by
//!   more lost samples than [`groups::excess`] lets expect.
//! - *The group wobbles* (ambiguous samples at the edge of being fitted): each sample that changed is as
//!   likely gained as lost. Contradicted by the sign test, the upper tail of Binomial(lost + gained, ½);
//!   memorising makes gained larger, which is on the safe side.
//!
//! The larger of the two p-values is one for the hypothesis that *either* null model holds
//! (intersection–union test: Berger, *Multiparameter hypothesis testing and acceptance sampling*,
//! Technometrics 24, 1982). Groups are judged together by Holm's procedure. The comparisons of a run are
//! judged at levels that add up to `alpha`, see [`level`], so that the chance to name *any* group at *any*
//! time of a run is at most `alpha` while for each group one of the two null models holds.

use std::collections::BTreeMap;

use crate::StatsError;
use crate::binomial;
use crate::check::same_length;
use crate::groups::{self, Group};

/// How one group changed between two checkpoints.
///
/// ```
/// // Half of the second source's samples were fitted before, and only the others are now.
/// let sources: Vec<usize> = (0..80).map(|i| i / 40).collect();
/// let before: Vec<bool> = (0..80).map(|i| i < 40 || i % 2 == 0).collect();
/// let now: Vec<bool> = (0..80).map(|i| i < 40 || i % 2 == 1).collect();
/// let found = mirrorwatch_stats::onset::changes(&sources, &[0; 80], &before, &now, 0.05)?;
/// // It wobbles: as many were gained as lost.
/// assert_eq!((found[1].group, found[1].lost, found[1].gained), (1, 20, 20));
/// assert!(found[1].expected_lost < 7.0 && found[1].p_value > 0.5 && !found[1].went_bad);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The group's number, as given.
    pub group: usize,
    /// Samples that were fitted before and are not now.
    pub lost: usize,
    /// Samples that are fitted now and were not before.
    pub gained: usize,
    /// Lost samples to expect from its mix of strata among those that were fitted.
    pub expected_lost: f64,
    /// The larger of the p-values of the two null models.
    pub p_value: f64,
    /// Whether the group went bad, after allowing for the number of groups.
    pub went_bad: bool,
}

/// Samples that share a group and a stratum, and how they changed between two checkpoints.
///
/// ```
/// use mirrorwatch_stats::onset::{Count, changes_of_counts};
///
/// // What two processes have counted of one source.
/// let here = Count { group: 2, stratum: 0, fitted: 40, lost: 3, gained: 1 };
/// let there = Count { lost: 2, ..here };
/// let found = changes_of_counts(&[here, there], 0.05)?;
/// assert_eq!((found[0].group, found[0].lost, found[0].gained), (2, 5, 2));
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The group's number.
    pub group: usize,
    /// The stratum's number.
    pub stratum: usize,
    /// Samples that were fitted before.
    pub fitted: usize,
    /// Those of them that are not fitted now.
    pub lost: usize,
    /// Samples that are fitted now and were not before.
    pub gained: usize,
}

/// The level of the `comparison`-th comparison of a run, counted from 1: α / (t (t + 1)).
///
/// These levels add up to `alpha` over however many comparisons there will be (α / t − α / (t + 1),
/// summed), so no number of checkpoints has to be known beforehand.
///
/// ```
/// use mirrorwatch_stats::onset::level;
///
/// assert_eq!(level(0.05, 1), 0.025);
/// let spent: f64 = (1..=99).map(|comparison| level(0.05, comparison)).sum();
/// assert!((spent - 0.05 * 0.99).abs() < 1e-12);
/// ```
pub fn level(alpha: f64, comparison: u32) -> f64 {
    let t = f64::from(comparison.max(1));
    alpha / (t * (t + 1.0))
}

/// Compares which samples are fitted `before` and `now`, group by group.
///
/// `groups`, `strata`: the group and the stratum of each sample. `alpha`: the chance that any group is said
/// to have gone bad though for each one of the two null models holds; [`level`] shares it out
/// among comparisons. The result is in the order of group numbers.
///
/// # Errors
///
/// [`StatsError::LengthMismatch`] if the slices differ in length, [`StatsError::OutOfRange`] unless
/// `alpha` is between 0 and 1.
///
/// ```
/// use mirrorwatch_stats::onset;
///
/// // Of three sources that were fitted, the second loses half of its samples.
/// let sources: Vec<usize> = (0..120).map(|i| i / 40).collect();
/// let now: Vec<bool> = (0..120).map(|i| i / 40 != 1 || i % 2 == 0).collect();
/// let alpha = onset::level(0.05, 1);
/// let found = onset::changes(&sources, &[0; 120], &[true; 120], &now, alpha)?;
/// let bad: Vec<usize> = found.iter().filter(|c| c.went_bad).map(|c| c.group).collect();
/// assert_eq!(bad, [1]);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn changes(
    groups: &[usize],
    strata: &[usize],
    before: &[bool],
    now: &[bool],
    alpha: f64,
) -> Result<Vec<Change>, StatsError> {
    same_length(("groups", groups.len()), ("strata", strata.len()))?;
    same_length(("groups", groups.len()), ("before", before.len()))?;
    same_length(("groups", groups.len()), ("now", now.len()))?;

    let mut counts = Vec::with_capacity(groups.len());
    for (sample, &group) in groups.iter().enumerate() {
        let (before, now) = (before[sample], now[sample]);
        counts.push(Count {
            group,
            stratum: strata[sample],
            fitted: usize::from(before),
            lost: usize::from(before && !now),
            gained: usize::from(now && !before),
        });
    }
    changes_of_counts(&counts, alpha)
}

/// [`changes`] of samples that were counted before, by several processes perhaps: counts of the same group and stratum add
/// up, whatever their order, to the same result as their samples.
///
/// # Errors
///
/// [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1, and where more are lost than were fitted.
///
/// ```
/// use mirrorwatch_stats::onset::{Count, changes, changes_of_counts};
///
/// let (before, now) = ([true, true, false], [false, true, true]);
/// let counts = [(0, 2, 1, 0), (1, 0, 0, 1)];
/// let counts = counts.map(|(group, fitted, lost, gained)| Count { group, stratum: 0, fitted, lost, gained });
/// assert_eq!(changes_of_counts(&counts, 0.05)?, changes(&[0, 0, 1], &[0; 3], &before, &now, 0.05)?);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn changes_of_counts(counts: &[Count], alpha: f64) -> Result<Vec<Change>, StatsError> {
    // Only what was fitted can be lost.
    let mut fitted = Vec::new();
    let mut gained: BTreeMap<usize, usize> = BTreeMap::new();
    for count in counts {
        *gained.entry(count.group).or_default() += count.gained;
        if count.fitted > 0 || count.lost > 0 {
            fitted.push(groups::Count {
                group: count.group,
                stratum: count.stratum,
                samples: count.fitted,
                flagged: count.lost,
            });
        }
    }
    let mut judged: BTreeMap<usize, Group> = BTreeMap::new();
    for group in groups::excess_of_counts(&fitted, alpha)? {
        judged.insert(group.group, group);
    }

    // A group of which nothing was fitted has nothing to lose, but counts among those judged.
    let mut found = Vec::with_capacity(gained.len());
    for (&group, &gained) in &gained {
        let mut judged = judged.remove(&group).unwrap_or(Group {
            group,
            samples: 0,
            flagged: 0,
            expected: 0.0,
            p_value: 1.0,
            stands_out: false,
        });
        let sign = binomial::upper_tail(judged.flagged + gained, judged.flagged, 0.5)?;
        judged.p_value = judged.p_value.max(sign);
        judged.stands_out = false;
        found.push(judged);
    }
    groups::holm(&mut found, alpha);

    let mut changes = Vec::with_capacity(found.len());
    for (judged, (&group, &gained)) in found.iter().zip(&gained) {
        changes.push(Change {
            group,
            lost: judged.flagged,
            gained,
            expected_lost: judged.expected,
            p_value: judged.p_value,
            went_bad: judged.stands_out,
        });
    }
    Ok(changes)
}

#[cfg(test)]
#[path = "onset_tests.rs"]
mod tests;
