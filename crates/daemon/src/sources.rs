//! Where samples came from, and which sources stand out.

use std::collections::HashMap;

use mirrorwatch_influence::{Labels, Task};
use mirrorwatch_stats::shards::{Exchange, ShardError};
use mirrorwatch_stats::{StatsError, groups};

use crate::account::Account;
use crate::summary::SourceCount;
use crate::together::ByName;

/// The source of each training sample, read from the task once.
///
/// ```
#[doc = include_str!("example_task.txt")]
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::sources::Sources;
///
/// let found = account(&evidence, &labels, levels)?;
/// let counts = Sources::read(&Line, 200).count(&labels, &found, 0.05)?;
/// // All wrong labels are bob's.
/// assert_eq!((counts[0].source.as_str(), counts[0].samples), ("bob", 100));
/// assert!(counts[0].suspects > counts[1].suspects);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    names: Vec<String>,
    /// Position in `names` of each training sample's source; none where the task names none.
    of: Vec<Option<usize>>,
}

impl Sources {
    /// Asks `task` for the source of each of its `samples` training samples.
    ///
    /// ```
    #[doc = include_str!("example_task.txt")]
    /// use mirrorwatch_daemon::sources::Sources;
    ///
    /// assert_ne!(Sources::read(&Line, 200), Sources::read(&Line, 100));
    /// ```
    pub fn read<T: Task>(task: &T, samples: usize) -> Self {
        let mut numbers = HashMap::new();
        let mut sources = Self::default();
        for sample in 0..samples {
            let number = task.source(sample).map(|name| {
                *numbers.entry(name).or_insert_with_key(|name| {
                    sources.names.push(name.clone());
                    sources.names.len() - 1
                })
            });
            sources.of.push(number);
        }
        if sources.names.is_empty() {
            // As large as any of the evidence, and says nothing.
            sources.of = Vec::new();
        }
        sources
    }

    /// The number of a training sample's source; none where the task names none.
    pub(crate) fn number(&self, sample: usize) -> Option<usize> {
        self.of.get(sample).copied().flatten()
    }

    /// Scored samples and suspects of each source, most conspicuous first.
    ///
    /// A source is flagged when it holds more suspects than its mix of given labels lets expect, so
    /// that a source of hard classes is not blamed for them; the chance that any source is flagged
    /// although suspects fall on sources at random is at most `alpha`.
    ///
    /// # Errors
    ///
    /// An `alpha` that is not between 0 and 1.
    ///
    /// ```
    #[doc = include_str!("example_task.txt")]
    #[doc = include_str!("example_run.txt")]
    /// use mirrorwatch_daemon::sources::Sources;
    ///
    /// let found = account(&evidence, &labels, levels)?;
    /// let counts = Sources::read(&Line, 200).count(&labels, &found, 0.05)?;
    /// assert_eq!(counts.iter().map(|count| count.suspects).sum::<usize>(), found.suspects);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count(
        &self,
        labels: &Labels,
        account: &Account,
        alpha: f64,
    ) -> Result<Vec<SourceCount>, StatsError> {
        counted(&self.own(labels, account), alpha)
    }

    /// [`count`](Sources::count) of the samples of all shards.
    ///
    /// # Errors
    ///
    /// As there, and parts that cannot be exchanged.
    pub(crate) fn count_with(
        &self,
        labels: &Labels,
        account: &Account,
        alpha: f64,
        exchange: &dyn Exchange,
    ) -> Result<Vec<SourceCount>, ShardError> {
        let all = self
            .own(labels, account)
            .of_all(exchange, "suspects by source")?;
        Ok(counted(&all, alpha)?)
    }

    /// Scored samples and suspects among this process's samples, by source and given label.
    fn own(&self, labels: &Labels, account: &Account) -> ByName {
        let mut counts: HashMap<(usize, usize), [usize; 3]> = HashMap::new();
        for &sample in &account.scored {
            if let Some(number) = self.number(sample) {
                let count = counts.entry((number, labels.train[sample])).or_default();
                count[0] += 1;
                count[1] += usize::from(account.flags[sample]);
            }
        }
        self.by_name(counts)
    }

    /// Counts by number and class, by name.
    pub(crate) fn by_name(&self, counts: HashMap<(usize, usize), [usize; 3]>) -> ByName {
        let mut named = ByName::default();
        for ((number, class), count) in counts {
            named.add(
                self.names.get(number).map_or("", String::as_str),
                class,
                count,
            );
        }
        named
    }
}

fn counted(all: &ByName, alpha: f64) -> Result<Vec<SourceCount>, StatsError> {
    let (names, numbered) = all.numbered();
    let mut groups = Vec::with_capacity(numbered.len());
    for (group, stratum, [samples, flagged, _]) in numbered {
        groups.push(groups::Count {
            group,
            stratum,
            samples,
            flagged,
        });
    }
    let mut counts = Vec::new();
    for group in groups::excess_of_counts(&groups, alpha)? {
        counts.push(SourceCount {
            source: names[group.group].to_string(),
            samples: group.samples,
            suspects: group.flagged,
            expected_suspects: group.expected,
            p_value: group.p_value,
            flagged: group.stands_out,
        });
    }
    // Of sources that do not stand out, those with most suspects first.
    counts.sort_by(|a, b| {
        let by_p = a.p_value.total_cmp(&b.p_value);
        by_p.then_with(|| b.suspects.cmp(&a.suspects))
    });
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Null;

    impl Sources {
        /// One source per name, of which `of` says who has which.
        pub(crate) fn named(names: &[&str], of: Vec<Option<usize>>) -> Self {
            let names = names.iter().map(ToString::to_string).collect();
            Self { names, of }
        }
    }

    fn account(flags: Vec<bool>, scored: Vec<usize>) -> Account {
        Account {
            null: Null::Trusted,
            null_samples: 1,
            p_values: vec![1.0; flags.len()],
            wrong_probability: vec![0.0; flags.len()],
            suspects: flags.iter().filter(|f| **f).count(),
            expected_false: 0.0,
            min_detectable: 1,
            lower_bound: 0.0,
            estimate: 0.0,
            canaries_found: 0,
            judged: scored.len(),
            threshold: 0.0,
            flags,
            scored,
        }
    }

    #[test]
    fn the_bad_source_comes_first_and_trusted_samples_do_not_count() {
        // Ten sources of 30 samples; of source 7, 18 are suspects, of the others 2. Sample 299 is trusted,
        // sample 0 has no source.
        let sources = Sources {
            names: (0..10).map(|n| format!("annotator {n}")).collect(),
            of: (0..300).map(|i| (i > 0).then_some(i % 10)).collect(),
        };
        let labels = Labels {
            classes: 2,
            train: (0..300).map(|i| (i / 10) % 2).collect(),
            probe: vec![0, 1],
            trusted: vec![299],
            canaries: Vec::new(),
            unlabelled: Vec::new(),
        };
        let suspect = |i: usize| i / 10 < if i % 10 == 7 { 18 } else { 2 };
        let account = account((0..300).map(suspect).collect(), (0..299).collect());
        let counts = sources.count(&labels, &account, 0.05).unwrap();
        assert_eq!(counts.len(), 10);
        assert_eq!(counts[0].source, "annotator 7");
        assert_eq!((counts[0].samples, counts[0].suspects), (30, 18));
        assert!(counts[0].flagged && counts[1..].iter().all(|c| !c.flagged));
        let of = |name: &str| counts.iter().find(|c| c.source == name).unwrap().samples;
        assert_eq!((of("annotator 0"), of("annotator 9")), (29, 29));
    }

    #[test]
    fn a_task_without_sources_has_none_to_show() {
        let labels = Labels {
            classes: 2,
            train: vec![0, 1],
            probe: vec![0, 1],
            trusted: vec![],
            canaries: Vec::new(),
            unlabelled: Vec::new(),
        };
        let counts = Sources::default()
            .count(&labels, &account(vec![true, false], vec![0, 1]), 0.05)
            .unwrap();
        assert!(counts.is_empty());
    }
}
