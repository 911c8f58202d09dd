//! Means over the seeds of each data set, noise and variant.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::mean::{Mean, median};
use super::overall::Overall;
use crate::datasets::{DATASETS, NOISES};
use crate::labels::BAD_ANNOTATOR;
use crate::phases::Phase;
use crate::record::{Count, Rank, Ranks, Record, Setting};

/// Everything that was measured, in means.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Cells that it is made of.
    pub cells: usize,
    /// Cells of the grid that was asked for that have no result, with the reason.
    pub missing: Vec<String>,
    /// Revisions of the project that the cells were made at.
    pub revisions: Vec<String>,
    /// What the product ran with.
    pub products: Vec<String>,
    /// Over all cells.
    pub overall: Overall,
    /// One entry per data set, noise and variant.
    pub groups: Vec<Group>,
}

/// The cells of all seeds of a data set, noise and variant.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Name that they share.
    pub name: String,
    /// Data set.
    pub dataset: String,
    /// Noise.
    pub noise: String,
    /// What differs from the data set's own numbers.
    pub variant: String,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Training samples.
    pub samples: usize,
    /// Probe samples.
    pub probe: usize,
    /// Trusted samples.
    pub trusted: usize,
    /// Mean wrong labels.
    pub wrong: Option<f64>,
    /// The product's lowest AUROC at any checkpoint from the second on, the worst of all seeds.
    pub lowest_auroc: Option<f64>,
    /// Mean wall time of a cell in seconds.
    pub seconds: Option<f64>,
    /// Means at each phase.
    pub phases: BTreeMap<Phase, At>,
}

/// Means over seeds at a phase.
#[derive(Debug, Clone, Serialize)]
pub struct At {
    /// Epoch.
    pub epoch: Option<f64>,
    /// Training loss.
    pub train_loss: Option<f64>,
    /// Probe accuracy.
    pub probe_accuracy: Option<f64>,
    /// Share of training labels that are fitted.
    pub fitted: Option<f64>,
    /// Every method.
    pub ranks: Ranks,
    /// The product's counts, with and without the trusted set.
    pub counts: BTreeMap<Setting, CountMean>,
}

/// Means over seeds of a count; see [`Count`].
#[derive(Debug, Clone, Default, Serialize)]
pub struct CountMean {
    /// The null distributions that the product chose, `none` where there is no valid one.
    pub nulls: Vec<String>,
    /// Seeds for which the product refused to count.
    pub refused: usize,
    /// Share of wrong labels among the scored samples.
    pub noise_ratio: Option<f64>,
    /// Median number of suspects.
    pub suspects_median: Option<f64>,
    /// Mean number of suspects.
    pub suspects: Option<f64>,
    /// Precision, over seeds with suspects.
    pub precision: Option<f64>,
    /// Recall.
    pub recall: Option<f64>,
    /// False-discovery proportion.
    pub false_discovery_proportion: Option<f64>,
    /// Lower bound.
    pub lower_bound: Option<f64>,
    /// Share of seeds in which it is one.
    pub bound_holds: Option<f64>,
    /// Point estimate.
    pub estimate: Option<f64>,
    /// Smallest number of suspects that could be shown.
    pub min_detectable: Option<f64>,
    /// Share of found wrong labels whose suggested label is right.
    pub suggested_accuracy: Option<f64>,
    /// Share of seeds in which the bad annotator has the largest share of suspects.
    pub bad_annotator_on_top: Option<f64>,
    /// Share of seeds in which the product says that the bad annotator stands out.
    pub bad_annotator_flagged: Option<f64>,
    /// Mean number of annotators it says that of although their labels are right.
    pub wrongly_flagged_annotators: Option<f64>,
}

impl Summary {
    /// Puts records together; `missing` are the cells that should be there and are not.
    pub fn new(records: &[Record], missing: Vec<String>) -> Self {
        let mut by_group: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in records {
            by_group.entry(&record.group).or_default().push(record);
        }
        let distinct = |of: fn(&Record) -> String| -> Vec<String> {
            let all: BTreeSet<String> = records.iter().map(of).collect();
            all.into_iter().filter(|text| !text.is_empty()).collect()
        };
        let mut groups: Vec<Group> = by_group.into_values().map(group).collect();
        groups.sort_by_key(Group::order);
        Self {
            cells: records.len(),
            missing,
            revisions: distinct(|record| record.revision.clone()),
            products: distinct(|record| record.product.clone()),
            overall: Overall::new(records),
            groups,
        }
    }
}

impl Group {
    /// As in the grid; what is no longer in it comes last.
    fn order(&self) -> (usize, String, usize) {
        let dataset = DATASETS
            .iter()
            .position(|dataset| dataset.name == self.dataset);
        let noise = NOISES.iter().position(|n| *n == self.noise);
        (
            dataset.unwrap_or(usize::MAX),
            self.variant.clone(),
            noise.unwrap_or(usize::MAX),
        )
    }
}

fn group(records: Vec<&Record>) -> Group {
    let first = records[0];
    let mut phases = BTreeMap::new();
    for phase in Phase::ALL {
        phases.insert(phase, at(&records, phase));
    }
    let mean = |of: fn(&Record) -> f64| Mean::of(records.iter().map(|r| Some(of(r))));
    Group {
        name: first.group.clone(),
        dataset: first.settings.dataset.clone(),
        noise: first.settings.noise.clone(),
        variant: first.settings.variant.clone(),
        seeds: records.iter().map(|record| record.settings.seed).collect(),
        samples: first.samples,
        probe: first.probe,
        trusted: first.trusted,
        wrong: mean(|record| record.wrong as f64),
        lowest_auroc: records
            .iter()
            .flat_map(|record| record.checkpoints.iter().skip(1))
            .filter_map(|checkpoint| checkpoint.ranks.get("mirrorwatch")?.auroc)
            .min_by(f64::total_cmp),
        seconds: mean(|record| record.seconds.total),
        phases,
    }
}

fn at(records: &[&Record], phase: Phase) -> At {
    let checkpoints: Vec<_> = records.iter().filter_map(|r| r.at(phase)).collect();
    let all: Vec<Ranks> = records.iter().map(|record| record.ranks(phase)).collect();
    let names: BTreeSet<&String> = all.iter().flat_map(|ranks| ranks.keys()).collect();
    let mut ranks = Ranks::new();
    for name in names {
        let of = |pick: fn(&Rank) -> Option<f64>| Mean::of(all.iter().map(|r| pick(r.get(name)?)));
        ranks.insert(
            name.clone(),
            Rank {
                auroc: of(|rank| rank.auroc),
                average_precision: of(|rank| rank.average_precision),
                subset: all.iter().find_map(|ranks| ranks.get(name)?.subset),
            },
        );
    }
    let mut by_setting: BTreeMap<Setting, Vec<&Count>> = BTreeMap::new();
    for count in checkpoints.iter().flat_map(|c| &c.counts) {
        by_setting.entry(count.setting).or_default().push(count);
    }
    At {
        epoch: Mean::of(checkpoints.iter().map(|c| Some(c.epoch as f64))),
        train_loss: Mean::of(checkpoints.iter().map(|c| Some(c.train_loss))),
        probe_accuracy: Mean::of(checkpoints.iter().map(|c| Some(c.probe_accuracy))),
        fitted: Mean::of(checkpoints.iter().map(|c| Some(c.fitted))),
        ranks,
        counts: by_setting
            .into_iter()
            .map(|(setting, counts)| (setting, count(&counts)))
            .collect(),
    }
}

fn count(counts: &[&Count]) -> CountMean {
    let mean = |of: fn(&Count) -> Option<f64>| Mean::of(counts.iter().map(|count| of(count)));
    // With nobody to blame, nobody is rightly on top.
    let blamed = |of: fn(&Count) -> bool| {
        let with = counts
            .iter()
            .filter(|c| c.sources.iter().any(|s| s.wrong > 0));
        Mean::of(with.map(|count| Some(f64::from(u8::from(of(count))))))
    };
    let with_sources = counts.iter().filter(|count| !count.sources.is_empty());
    let nulls: BTreeSet<&String> = counts.iter().map(|count| &count.null).collect();
    CountMean {
        nulls: nulls.into_iter().cloned().collect(),
        refused: counts.iter().filter(|c| c.refused.is_some()).count(),
        noise_ratio: mean(|c| Some(c.noise_ratio)),
        suspects_median: median(counts.iter().map(|c| c.suspects as f64).collect()),
        suspects: mean(|c| Some(c.suspects as f64)),
        precision: mean(|c| c.precision),
        recall: mean(|c| c.recall),
        false_discovery_proportion: mean(|c| Some(c.false_discovery_proportion)),
        lower_bound: mean(|c| Some(c.lower_bound)),
        bound_holds: mean(|c| Some(f64::from(u8::from(c.bound_holds)))),
        estimate: mean(|c| Some(c.estimate)),
        min_detectable: mean(|c| Some(c.min_detectable as f64)),
        suggested_accuracy: mean(|c| c.suggested_accuracy),
        bad_annotator_on_top: blamed(|c| c.top_source == Some(BAD_ANNOTATOR)),
        bad_annotator_flagged: blamed(|c| {
            let mut sources = c.sources.iter();
            sources.any(|s| s.source == BAD_ANNOTATOR && s.flagged)
        }),
        wrongly_flagged_annotators: Mean::of(with_sources.map(|count| {
            let wrongly = count.sources.iter().filter(|s| s.flagged && s.wrong == 0);
            Some(wrongly.count() as f64)
        })),
    }
}
