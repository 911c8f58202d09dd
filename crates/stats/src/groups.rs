//! Which groups of samples (sources, annotators, files) hold more suspects than chance would put there.
//!
//! Suspects are not spread evenly: some classes are harder than others, and a source may hold more of
//! them. So each group is compared with what its own mix of strata (given labels, say) lets expect. If
//! flags fall on the samples of each stratum at random, the flags of a group are a sum of independent
//! hypergeometric counts, each of which is a sum of independent Bernoulli variables (Vatutin and
//! Mikhailov, *Limit theorems for the number of empty cells*, Theory of Probability and its
//! Applications 27, 1982). Hoeffding (*On the distribution of the number of successes in independent
//! trials*, Annals of Mathematical Statistics 27, 1956) bounds the tail of such a sum, from one above its
//! mean on, by that of a binomial with the same mean. That bound is the p-value: never too small,
//! and close where the group is a small part of the whole. Several groups are judged by Holm's
//! procedure (*A simple sequentially rejective multiple test procedure*, Scandinavian Journal of
//! Statistics 6, 1979), so that the chance to accuse *any* group wrongly is at most `alpha`.

use std::collections::BTreeMap;

use crate::StatsError;
use crate::binomial;
use crate::check::{same_length, within};

/// The flags of one group against what chance lets expect.
///
/// ```
/// // Class 1 is hard: half of its 100 samples are flagged, none of class 0. Source 1 has only class 1.
/// let strata: Vec<usize> = (0..200).map(|i| i / 100).collect();
/// let sources: Vec<usize> = (0..200).map(|i| i / 150).collect();
/// let flagged: Vec<bool> = (0..200).map(|i| i >= 100 && i % 2 == 0).collect();
/// let found = mirrorwatch_stats::groups::excess(&sources, &strata, &flagged, 0.05)?;
/// // Which is why it has no more flags than are to be expected.
/// assert_eq!((found[1].group, found[1].samples, found[1].flagged), (1, 50, 25));
/// assert_eq!((found[1].expected, found[1].p_value, found[1].stands_out), (25.0, 1.0, false));
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The group's number, as given.
    pub group: usize,
    /// Samples in it.
    pub samples: usize,
    /// Flagged samples in it.
    pub flagged: usize,
    /// Flagged samples to expect in it from its mix of strata.
    pub expected: f64,
    /// Bound on the chance of so many flags or more.
    pub p_value: f64,
    /// Whether the group stands out after allowing for the number of groups.
    pub stands_out: bool,
}

/// Samples that share a group and a stratum, and how many of them are flagged.
///
/// ```
/// use mirrorwatch_stats::groups::{Count, excess_of_counts};
///
/// // What two processes have counted of one source, one after the other.
/// let here = Count { group: 3, stratum: 0, samples: 10, flagged: 1 };
/// let there = Count { samples: 30, flagged: 2, ..here };
/// let found = excess_of_counts(&[here, there], 0.05)?;
/// assert_eq!((found[0].group, found[0].samples, found[0].flagged), (3, 40, 3));
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The group's number.
    pub group: usize,
    /// The stratum's number.
    pub stratum: usize,
    /// Samples of this group in this stratum.
    pub samples: usize,
    /// How many of them are flagged.
    pub flagged: usize,
}

/// Compares the flags of every group with those that its mix of strata lets expect.
///
/// `groups`, `strata`, `flagged`: the group, the stratum and the flag of each sample. `alpha`: the chance
/// that any group is said to stand out though flags fell at random within strata. The result is in
/// the order of group numbers.
///
/// # Errors
///
/// [`StatsError::LengthMismatch`] if the slices differ in length, [`StatsError::OutOfRange`] unless
/// `alpha` is between 0 and 1.
///
/// ```
/// // Three sources with 40 samples of one class each; half of the second one's are flagged.
/// let sources: Vec<usize> = (0..120).map(|i| i / 40).collect();
/// let flagged: Vec<bool> = (0..120).map(|i| i / 40 == 1 && i % 2 == 0).collect();
/// let found = mirrorwatch_stats::groups::excess(&sources, &[0; 120], &flagged, 0.05)?;
/// assert!(found[1].stands_out && found[1].p_value < 1e-4);
/// assert!(!found[0].stands_out && !found[2].stands_out);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn excess(
    groups: &[usize],
    strata: &[usize],
    flagged: &[bool],
    alpha: f64,
) -> Result<Vec<Group>, StatsError> {
    same_length(("groups", groups.len()), ("strata", strata.len()))?;
    same_length(("groups", groups.len()), ("flags", flagged.len()))?;
    let mut counts = Vec::with_capacity(groups.len());
    for ((&group, &stratum), &flag) in groups.iter().zip(strata).zip(flagged) {
        counts.push(Count {
            group,
            stratum,
            samples: 1,
            flagged: usize::from(flag),
        });
    }
    excess_of_counts(&counts, alpha)
}

/// [`excess`] of samples that were counted before, by several processes perhaps: counts of the same group and
/// stratum add up, whatever their order, to the same result as their samples.
///
/// # Errors
///
/// [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1, and for more flags than samples.
///
/// ```
/// use mirrorwatch_stats::groups::{Count, excess, excess_of_counts};
///
/// let (sources, flagged) = ([0, 0, 1, 1, 1], [false, false, true, true, false]);
/// let counts = [(0, 2, 0), (1, 1, 1), (1, 2, 1)];
/// let counts = counts.map(|(group, samples, flagged)| Count { group, stratum: 0, samples, flagged });
/// assert_eq!(excess_of_counts(&counts, 0.05)?, excess(&sources, &[0; 5], &flagged, 0.05)?);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn excess_of_counts(counts: &[Count], alpha: f64) -> Result<Vec<Group>, StatsError> {
    within(
        alpha > 0.0 && alpha < 1.0,
        "alpha",
        alpha,
        "between 0 and 1",
    )?;

    // Per stratum, and per group and stratum: samples and flags.
    let mut totals: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let mut parts: BTreeMap<usize, BTreeMap<usize, (usize, usize)>> = BTreeMap::new();
    for count in counts {
        within(
            count.flagged <= count.samples,
            "the number of flagged samples",
            count.flagged as f64,
            "at most that of samples",
        )?;
        let part = parts.entry(count.group).or_default();
        for (samples, hits) in [
            totals.entry(count.stratum).or_default(),
            part.entry(count.stratum).or_default(),
        ] {
            *samples += count.samples;
            *hits += count.flagged;
        }
    }

    let mut found = Vec::with_capacity(parts.len());
    for (group, part) in parts {
        let (mut samples, mut flagged) = (0, 0);
        let mut expected = 0.0;
        for (stratum, (count, hits)) in part {
            let (all, all_hits) = totals.get(&stratum).copied().unwrap_or((1, 0));
            samples += count;
            flagged += hits;
            // An entry without samples may be the only one of its stratum.
            expected += count as f64 * all_hits as f64 / all.max(1) as f64;
        }
        found.push(Group {
            group,
            samples,
            flagged,
            expected,
            p_value: tail(samples, flagged, expected),
            stands_out: false,
        });
    }
    holm(&mut found, alpha);
    Ok(found)
}

/// Hoeffding's bound on P(X ≥ `flagged`) for a sum of independent Bernoulli variables with mean
/// `expected`; 1 where it does not hold, below one above the mean.
fn tail(samples: usize, flagged: usize, expected: f64) -> f64 {
    if (flagged as f64) < expected + 1.0 {
        return 1.0;
    }
    binomial::upper_tail(samples, flagged, (expected / samples as f64).min(1.0)).unwrap_or(1.0)
}

/// Marks the groups that stand out at `alpha` by their p-values.
pub(crate) fn holm(groups: &mut [Group], alpha: f64) {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|&a, &b| groups[a].p_value.total_cmp(&groups[b].p_value));
    for (rank, &index) in order.iter().enumerate() {
        let left = (groups.len() - rank) as f64;
        if groups[index].p_value * left > alpha {
            return;
        }
        groups[index].stands_out = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Group `g` of `sizes.len()` with `flags[g]` flagged samples, all in one stratum.
    fn laid_out(sizes: &[usize], flags: &[usize]) -> (Vec<usize>, Vec<bool>) {
        let (mut groups, mut flagged) = (Vec::new(), Vec::new());
        for (group, (&size, &hits)) in sizes.iter().zip(flags).enumerate() {
            for sample in 0..size {
                groups.push(group);
                flagged.push(sample < hits);
            }
        }
        (groups, flagged)
    }

    /// scipy 1.17.1: `binom.sf(14, 30, 0.2)`; exact for one stratum, `hypergeom.sf(14, 100, 20, 30)`,
    /// is 3.7641e-06, so the bound is a safe one.
    #[test]
    fn one_stratum_matches_scipy() {
        let (groups, flagged) = laid_out(&[30, 40, 30], &[15, 4, 1]);
        let found = excess(&groups, &[0; 100], &flagged, 0.05).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].samples, found[0].flagged), (30, 15));
        assert!((found[0].expected - 6.0).abs() < 1e-12);
        assert!(
            (found[0].p_value / 2.312_256_116_677_225_4e-4 - 1.0).abs() < 1e-9,
            "{}",
            found[0].p_value
        );
        assert!(found[0].stands_out);
        assert!(found[1].p_value == 1.0 && !found[1].stands_out);
    }

    /// A group of the hard class only has as many flags as its class, and does not stand out; judged
    /// without strata it would.
    #[test]
    fn a_hard_class_is_no_bad_source() {
        let (mut groups, mut strata, mut flagged) = (Vec::new(), Vec::new(), Vec::new());
        for sample in 0..400 {
            let hard = sample < 200;
            groups.push(usize::from(!hard || sample % 2 == 0));
            strata.push(usize::from(hard));
            flagged.push(hard && sample % 5 < 2);
        }
        let found = excess(&groups, &strata, &flagged, 0.05).unwrap();
        assert!(!found[0].stands_out, "{found:?}");
        let found = excess(&groups, &[0; 400], &flagged, 0.05).unwrap();
        assert!(found[0].stands_out, "{found:?}");
    }

    #[test]
    fn nothing_flagged_accuses_nobody() {
        let (groups, flagged) = laid_out(&[10, 10], &[0, 0]);
        for group in excess(&groups, &[0; 20], &flagged, 0.05).unwrap() {
            assert_eq!((group.p_value, group.stands_out), (1.0, false));
        }
        assert!(excess(&[], &[], &[], 0.05).unwrap().is_empty());
        assert!(excess(&[0], &[], &[], 0.05).is_err());
        assert!(excess(&[0], &[0], &[true], 1.0).is_err());
    }

    /// Holm by hand at 0.05 with p = 0.01, 0.02, 0.04, 1: 0.01·4 passes, 0.02·3 does not, and with it
    /// fails 0.04, though 0.04·1 alone would pass.
    #[test]
    fn counts_add_up() {
        let (groups, flagged) = laid_out(&[30, 40, 30], &[15, 4, 1]);
        let whole = excess(&groups, &[0; 100], &flagged, 0.05).unwrap();
        let count = |group, samples, flagged| Count {
            group,
            stratum: 0,
            samples,
            flagged,
        };
        // In pieces, in another order, one of them empty.
        let counts = [
            count(2, 30, 1),
            count(0, 10, 9),
            count(1, 40, 4),
            count(1, 0, 0),
            count(0, 20, 6),
        ];
        assert_eq!(excess_of_counts(&counts, 0.05).unwrap(), whole);
        assert!(excess_of_counts(&[count(0, 1, 2)], 0.05).is_err());
        assert!(excess_of_counts(&counts, 0.0).is_err());
        let nobody = excess_of_counts(&[count(0, 0, 0)], 0.05).unwrap();
        assert_eq!((nobody[0].samples, nobody[0].p_value), (0, 1.0));
    }

    #[test]
    fn holm_stops_at_the_first_failure() {
        let group = |p_value| Group {
            group: 0,
            samples: 1,
            flagged: 0,
            expected: 0.0,
            p_value,
            stands_out: false,
        };
        let mut groups = [0.04, 1.0, 0.01, 0.02].map(group);
        holm(&mut groups, 0.05);
        assert_eq!(groups.map(|g| g.stands_out), [false, false, true, false]);
    }

    proptest! {
        /// Flags that fall at random within strata accuse somebody in at most about `alpha` of cases.
        #[test]
        fn random_flags_seldom_accuse(seed in 0u64..1000) {
            // 40 shuffles of one case by a small generator; the bound is on all shuffles together.
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = move |below: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % below as u64) as usize
            };
            let strata: Vec<usize> = (0..300).map(|i| i % 3).collect();
            let groups: Vec<usize> = (0..300).map(|i| (i * i) % 5).collect();
            let mut accused = 0;
            for _ in 0..40 {
                let mut flagged: Vec<bool> = (0..300).map(|i| i % 3 == 0 && i < 90 || i < 10).collect();
                for i in (3..300).rev() {
                    // Swap within the stratum.
                    let j = i % 3 + 3 * next(i / 3 + 1);
                    flagged.swap(i, j);
                }
                let found = excess(&groups, &strata, &flagged, 0.05).unwrap();
                accused += usize::from(found.iter().any(|g| g.stands_out));
            }
            // Binomial(40, 0.05): more than 9 has probability 2e-5 (scipy 1.17.1, binom.sf(9, 40, .05)).
            prop_assert!(accused <= 9, "{accused} of 40");
        }
    }
}
