//! The methods that are compared: each gives one number per training sample, larger = more suspicious.
//!
//! A new method is a function in a file here and one line in the table of its kind.

mod dynamics;
mod out_of_sample;
mod probe_lr;
mod tracin;

use std::collections::BTreeMap;

use mirrorwatch::stock::Net;
use mirrorwatch_daemon::evidence::Evidence;
use mirrorwatch_influence::Scan;
use mirrorwatch_stats::ranking::{auroc, average_precision};

pub use out_of_sample::{FOLDS, OutOfSample};

use crate::grid::Settings;
use crate::phases::Phase;
use crate::record::{Rank, Ranks};
use crate::setup::Setup;

/// What a method says.
pub struct Scored {
    /// Name of the method.
    pub name: String,
    /// One score per training sample, or per sample of the subset.
    pub scores: Vec<f32>,
    /// Training indices of the scores, where not all samples have one.
    pub subset: Option<Vec<usize>>,
}

impl Scored {
    /// Scores of all training samples.
    pub fn new(name: impl Into<String>, scores: Vec<f32>) -> Self {
        Self {
            name: name.into(),
            scores,
            subset: None,
        }
    }

    /// How well the scores rank wrong labels above right ones, trusted samples left out.
    fn rank(&self, setup: &Setup) -> Rank {
        let (mut scores, mut wrong) = (Vec::new(), Vec::new());
        let mut add = |sample: usize, score: f32| {
            if setup.labels.trusted.binary_search(&sample).is_err() {
                scores.push(score);
                wrong.push(setup.wrong[sample]);
            }
        };
        for (position, &score) in self.scores.iter().enumerate() {
            match &self.subset {
                None => add(position, score),
                Some(subset) => add(subset[position], score),
            }
        }
        Rank {
            auroc: auroc(&scores, &wrong),
            average_precision: average_precision(&scores, &wrong),
            subset: self.subset.as_ref().map(Vec::len),
        }
    }
}

/// A checkpoint that was scanned just now.
pub struct Moment<'a> {
    /// Its scan, with all estimators.
    pub scan: &'a Scan,
    /// Evidence of the product's own estimators.
    pub product: &'a Evidence,
    /// Evidence of all estimators.
    pub all: &'a Evidence,
}

/// A training that has ended.
pub struct Trained<'a> {
    /// Its data.
    pub setup: &'a Setup,
    /// Its settings.
    pub settings: &'a Settings,
    /// The checkpoint of each phase: its epoch and its model. Two phases may share one.
    pub models: Vec<(Phase, usize, &'a Net)>,
    /// The margins of the training samples at each scanned checkpoint, with its epoch.
    pub margins: &'a [(usize, Vec<f32>)],
    /// Outputs of models that have not seen the sample.
    pub out_of_sample: &'a OutOfSample,
}

/// Methods with a score at each scanned checkpoint.
const AT_CHECKPOINTS: &[fn(&Moment<'_>) -> Vec<Scored>] = &[
    dynamics::mirrorwatch,
    dynamics::estimators,
    dynamics::running_evidence,
    dynamics::loss,
    dynamics::cumulative_loss,
    dynamics::aum,
];

/// Methods with one score for the whole training.
const ONCE: &[Once] = &[
    out_of_sample::self_confidence,
    out_of_sample::normalised_margin,
    probe_lr::probe_lr,
];

/// A function that gives such scores.
type Once = fn(&Trained<'_>) -> Result<Vec<Scored>, String>;

/// Methods that are too slow for every checkpoint.
const SLOW: &[Slow] = &[tracin::tracin];

/// A function that gives scores at some phases.
type Slow = fn(&Trained<'_>) -> Result<AtPhases, String>;

/// What a method says at some phases.
type AtPhases = Vec<(Phase, Vec<Scored>)>;

/// Every method's figures at a checkpoint.
pub fn at_checkpoint(setup: &Setup, moment: &Moment<'_>) -> Ranks {
    let mut ranks = Ranks::new();
    for method in AT_CHECKPOINTS {
        add(&mut ranks, setup, method(moment));
    }
    ranks
}

/// Figures of the methods with one score for the whole training.
///
/// # Errors
///
/// A method that could not be computed.
pub fn once(trained: &Trained<'_>) -> Result<Ranks, String> {
    let mut ranks = Ranks::new();
    for method in ONCE {
        add(&mut ranks, trained.setup, method(trained)?);
    }
    Ok(ranks)
}

/// Figures of the slow methods at each phase.
///
/// # Errors
///
/// A method that could not be computed.
pub fn slow(trained: &Trained<'_>) -> Result<BTreeMap<Phase, Ranks>, String> {
    let mut all = BTreeMap::new();
    for method in SLOW {
        for (phase, scored) in method(trained)? {
            add(all.entry(phase).or_default(), trained.setup, scored);
        }
    }
    Ok(all)
}

fn add(ranks: &mut Ranks, setup: &Setup, scored: Vec<Scored>) {
    for scored in scored {
        ranks.insert(scored.name.clone(), scored.rank(setup));
    }
}
