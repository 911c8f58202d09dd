//! What can be said over all cells: whether the counts are honest, and who ranks best.

use std::collections::BTreeMap;

use serde::Serialize;

use super::mean::Mean;
use crate::datasets::DATASETS;
use crate::phases::Phase;
use crate::record::{Count, Record, Setting, Told};

/// The method whose average precision the product is held against, cell by cell.
pub const RIVAL: &str = "out-of-sample";
const PRODUCT: &str = "mirrorwatch";

/// Over all cells.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overall {
    /// Whether the counts are honest, with and without the trusted set; over all cells.
    pub honesty: BTreeMap<Setting, Honesty>,
    /// Cells that rankings are compared on: those of the full grid without variants, which would count
    /// the same training again; all cells where there is none of these.
    pub ranked_cells: usize,
    /// Mean average precision of every method, over those of them in which something is wrong.
    pub average_precision: BTreeMap<Phase, BTreeMap<String, f64>>,
    /// Share of these cells in which the product's is at least that of the out-of-sample method.
    pub at_least_out_of_sample: BTreeMap<Phase, f64>,
}

/// Whether counts keep what they promise.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Honesty {
    /// Checkpoints that were counted.
    pub checkpoints: usize,
    /// Mean false-discovery proportion over them.
    pub false_discovery_proportion: Option<f64>,
    /// The worst mean over the seeds of a data set, noise and variant, at any checkpoint.
    pub worst_group: Option<f64>,
    /// Share of the checkpoints at which the lower bound is above the truth.
    pub bound_fails: Option<f64>,
    /// Share of the cells whose lower bound is above the truth at the last checkpoint.
    pub bound_fails_at_the_end: Option<f64>,
    /// Suspects at the last checkpoint that are wrong with a chance of .9 or more, as the product says.
    pub sure: Told,
    /// Those that it says are more likely hard than wrong.
    pub hard: Told,
}

impl Overall {
    /// Puts records together.
    pub fn new(records: &[Record]) -> Self {
        let mut overall = Self::default();
        for setting in Setting::ALL {
            let honesty = honesty(records, setting);
            if honesty.checkpoints > 0 {
                overall.honesty.insert(setting, honesty);
            }
        }
        let ranked = ranked(records);
        overall.ranked_cells = ranked.len();
        for phase in Phase::ALL {
            let mut methods: BTreeMap<String, Mean> = BTreeMap::new();
            let mut wins = Mean::default();
            for record in &ranked {
                let ranks = record.ranks(phase);
                let of = |name: &str| ranks.get(name)?.average_precision;
                for (name, rank) in &ranks {
                    if let Some(value) = rank.average_precision {
                        methods.entry(name.clone()).or_default().add(value);
                    }
                }
                if let (Some(ours), Some(theirs)) = (of(PRODUCT), of(RIVAL)) {
                    wins.add(f64::from(u8::from(ours >= theirs)));
                }
            }
            let means = methods
                .into_iter()
                .filter_map(|(name, mean)| Some((name, mean.get()?)))
                .collect();
            overall.average_precision.insert(phase, means);
            if let Some(share) = wins.get() {
                overall.at_least_out_of_sample.insert(phase, share);
            }
        }
        overall
    }
}

fn ranked(records: &[Record]) -> Vec<&Record> {
    let quick = |name: &str| DATASETS.iter().any(|d| d.name == name && d.quick);
    let plain: Vec<&Record> = records
        .iter()
        .filter(|r| r.settings.variant.is_empty() && !quick(&r.settings.dataset))
        .collect();
    if plain.is_empty() {
        records.iter().collect()
    } else {
        plain
    }
}

fn honesty(records: &[Record], setting: Setting) -> Honesty {
    let (mut proportions, mut fails, mut fails_last) =
        (Mean::default(), Mean::default(), Mean::default());
    let mut groups: BTreeMap<(&str, usize), Mean> = BTreeMap::new();
    let failed = |count: &Count| f64::from(u8::from(!count.bound_holds));
    let mut checkpoints = 0;
    let (mut sure, mut hard) = (Told::default(), Told::default());
    for record in records {
        let mut last: Option<&Count> = None;
        for (position, checkpoint) in record.checkpoints.iter().enumerate() {
            for count in checkpoint
                .counts
                .iter()
                .filter(|count| count.setting == setting)
            {
                checkpoints += 1;
                let proportion = count.false_discovery_proportion;
                proportions.add(proportion);
                fails.add(failed(count));
                let group = (record.group.as_str(), position);
                groups.entry(group).or_default().add(proportion);
                last = Some(count);
            }
        }
        if let Some(last) = last {
            fails_last.add(failed(last));
            sure.merge(last.sure.unwrap_or_default());
            hard.merge(last.hard.unwrap_or_default());
        }
    }
    Honesty {
        checkpoints,
        false_discovery_proportion: proportions.get(),
        worst_group: groups
            .into_values()
            .filter_map(Mean::get)
            .max_by(f64::total_cmp),
        bound_fails: fails.get(),
        bound_fails_at_the_end: fails_last.get(),
        sure,
        hard,
    }
}
