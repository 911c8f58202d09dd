//! The product's own count, compared with the truth.

use mirrorwatch_daemon::account::{Account, Levels, account};
use mirrorwatch_daemon::evidence::Evidence;
use mirrorwatch_daemon::refusal::{Run, refusal};
use mirrorwatch_daemon::sources::Sources;
use mirrorwatch_influence::Labels;

use crate::labels::ANNOTATORS;
use crate::product;
use crate::record::{Count, Setting, SourceCount, Told};
use crate::setup::Setup;

/// Counts as the sidecar does.
pub struct Counter<'a> {
    /// The data, with its truth.
    pub setup: &'a Setup,
    /// Levels of the counts.
    pub levels: Levels,
    /// The annotators, where they are to be counted, too.
    pub sources: Option<Sources>,
}

impl Counter<'_> {
    /// Counts with the trusted set, if there is one, by the evidence `trusting`, and without it by
    /// `untrusting`. `run` is what scans have said so far.
    ///
    /// # Errors
    ///
    /// Annotators that cannot be counted.
    pub fn counts(
        &self,
        trusting: &Evidence,
        untrusting: &Evidence,
        run: &Run,
    ) -> Result<Vec<Count>, String> {
        let labels = &self.setup.labels;
        let mut counts = Vec::new();
        if !labels.trusted.is_empty() {
            counts.push(self.count(labels, trusting, run)?);
        }
        counts.push(self.count(&self.setup.untrusted(), untrusting, run)?);
        Ok(counts)
    }

    fn count(&self, labels: &Labels, evidence: &Evidence, run: &Run) -> Result<Count, String> {
        let setup = self.setup;
        let mut account = match account(evidence, labels, self.levels) {
            Ok(account) => account,
            Err(reason) => return Ok(refused(setup, labels, reason)),
        };
        let probe_scores = evidence.channels.first().map_or(&[][..], |c| &c.probe);
        let refusal = refusal(&account, labels, run, probe_scores);
        if refusal.is_some() {
            account.name_nobody();
        }
        let suggested = product::suggested(evidence);
        let mut count = compare(&account, &setup.wrong, &setup.truth, suggested);
        count.setting = setting(labels);
        count.refused = refusal.map(|refusal| refusal.reason);
        if let Some(sources) = &self.sources {
            let wrong = wrong_by_source(&account, &setup.wrong, &setup.annotators);
            let counted = sources.count(labels, &account, self.levels.alpha);
            for source in counted.map_err(|error| error.to_string())? {
                let number = source.source.parse().unwrap_or(ANNOTATORS);
                count.sources.push(SourceCount {
                    source: number,
                    samples: source.samples,
                    suspects: source.suspects,
                    flagged: source.flagged,
                    wrong: wrong.get(number).copied().unwrap_or(0),
                });
            }
            count.top_source = top(&count.sources);
        }
        Ok(count)
    }
}

fn setting(labels: &Labels) -> Setting {
    if labels.trusted.is_empty() {
        Setting::WithoutTrusted
    } else {
        Setting::WithTrusted
    }
}

/// From this chance on, a suspect is as good as wrong.
const SURE: f32 = 0.9;

/// Compares an account with what is wrong.
fn compare(account: &Account, wrong: &[bool], truth: &[usize], suggested: &[u32]) -> Count {
    let (mut all_wrong, mut found, mut corrected) = (0, 0, 0);
    let (mut sure, mut hard) = (Told::default(), Told::default());
    for &sample in &account.scored {
        all_wrong += usize::from(wrong[sample]);
        if account.flags[sample] {
            let chance = account.wrong_probability[sample];
            if chance >= SURE {
                sure.add(wrong[sample]);
            } else if chance < 0.5 {
                hard.add(wrong[sample]);
            }
        }
        if account.flags[sample] && wrong[sample] {
            found += 1;
            corrected += usize::from(suggested.get(sample) == Some(&(truth[sample] as u32)));
        }
    }
    let noise_ratio = share(all_wrong, account.scored.len()).unwrap_or(0.0);
    Count {
        setting: Setting::WithTrusted,
        null: account.null.name().to_string(),
        refused: None,
        null_samples: account.null_samples,
        scored: account.scored.len(),
        wrong: all_wrong,
        noise_ratio,
        suspects: account.suspects,
        found,
        precision: share(found, account.suspects),
        recall: share(found, all_wrong),
        false_discovery_proportion: share(account.suspects - found, account.suspects)
            .unwrap_or(0.0),
        expected_false: account.expected_false,
        lower_bound: account.lower_bound,
        bound_holds: account.lower_bound <= noise_ratio,
        estimate: account.estimate,
        min_detectable: account.min_detectable,
        suggested_accuracy: share(corrected, found),
        sure: Some(sure),
        hard: Some(hard),
        sources: Vec::new(),
        top_source: None,
    }
}

fn refused(setup: &Setup, labels: &Labels, reason: String) -> Count {
    let scored = labels.train.len() - labels.trusted.len();
    // Trusted samples are right, whether they count or not.
    let wrong = setup.wrong.iter().filter(|wrong| **wrong).count();
    Count {
        setting: setting(labels),
        null: "none".to_string(),
        refused: Some(reason),
        null_samples: 0,
        scored,
        wrong,
        noise_ratio: share(wrong, scored).unwrap_or(0.0),
        suspects: 0,
        found: 0,
        precision: None,
        recall: share(0, wrong),
        false_discovery_proportion: 0.0,
        expected_false: 0.0,
        lower_bound: 0.0,
        bound_holds: true,
        estimate: 0.0,
        min_detectable: 0,
        suggested_accuracy: None,
        sure: None,
        hard: None,
        sources: Vec::new(),
        top_source: None,
    }
}

/// Wrong labels of each annotator among the scored samples.
fn wrong_by_source(account: &Account, wrong: &[bool], annotators: &[usize]) -> Vec<usize> {
    let mut counts = vec![0; ANNOTATORS];
    for &sample in account.scored.iter().filter(|&&sample| wrong[sample]) {
        counts[annotators[sample]] += 1;
    }
    counts
}

/// The annotator with the largest share of suspects, if anybody has any.
fn top(sources: &[SourceCount]) -> Option<usize> {
    let share = |count: &SourceCount| share(count.suspects, count.samples).unwrap_or(0.0);
    sources
        .iter()
        .filter(|count| count.suspects > 0)
        .max_by(|a, b| {
            // Of equal shares, the one that more samples speak for.
            let by_share = share(a).total_cmp(&share(b));
            by_share.then(a.suspects.cmp(&b.suspects))
        })
        .map(|count| count.source)
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account of six samples, of which sample 0 is trusted.
    fn by_hand(flags: [bool; 6]) -> Account {
        let labels = Labels {
            trusted: vec![0],
            ..labels()
        };
        let estimators = crate::product::Product::new(&[]).unwrap().config.estimators;
        let levels = Levels {
            fdr: 0.1,
            alpha: 0.05,
            per_class: None,
        };
        let mut account = account(&Evidence::new(&estimators, 6, 2), &labels, levels).unwrap();
        account.suspects = flags.iter().filter(|flag| **flag).count();
        account.flags = flags.to_vec();
        account.lower_bound = 0.5;
        account
    }

    fn labels() -> Labels {
        let mut labels = crate::setup::tests::small().labels;
        labels.train = vec![0, 1, 0, 1, 0, 1];
        labels.probe = vec![0, 1];
        labels
    }

    #[test]
    fn a_small_case_by_hand() {
        let mut account = by_hand([false, true, true, true, false, false]);
        account.wrong_probability = vec![0.0, 0.95, 0.7, 0.4, 0.3, 0.0];
        let wrong = [false, true, true, false, true, false];
        let truth = [0, 0, 1, 0, 1, 0];
        let count = compare(&account, &wrong, &truth, &[0, 0, 2, 0, 0, 0]);
        assert_eq!((count.scored, count.wrong, count.found), (5, 3, 2));
        assert_eq!(count.precision, Some(2.0 / 3.0));
        assert_eq!(count.recall, Some(2.0 / 3.0));
        assert_eq!(count.false_discovery_proportion, 1.0 / 3.0);
        assert_eq!(count.noise_ratio, 0.6);
        assert!(count.bound_holds);
        // Sample 1 is suggested right, sample 2 is not; sample 3 was right all along.
        assert_eq!(count.suggested_accuracy, Some(0.5));
        let told = |suspects, wrong| Some(Told { suspects, wrong });
        assert_eq!((count.sure, count.hard), (told(1, 1), told(1, 0)));
        let by_source = wrong_by_source(&account, &wrong, &[9, 0, 1, 1, 2, 2]);
        assert_eq!(by_source[..3], [1, 1, 1]);
    }

    #[test]
    fn a_bound_above_the_truth_does_not_hold() {
        let count = compare(&by_hand([false; 6]), &[false; 6], &[0; 6], &[0; 6]);
        assert!(!count.bound_holds);
        assert_eq!(count.recall, None);
    }

    #[test]
    fn the_top_source_has_the_largest_share_and_nobody_is_blamed_for_nothing() {
        let source = |source, samples, suspects| SourceCount {
            source,
            samples,
            suspects,
            flagged: false,
            wrong: 0,
        };
        let sources = [source(0, 1, 1), source(1, 2, 2), source(2, 100, 50)];
        assert_eq!(top(&sources), Some(1));
        assert_eq!(top(&[source(0, 10, 0)]), None);
    }
}
