//! The product with its defaults: what is scanned, at which levels it counts, and by what it ranks.

use clap::Parser;
use mirrorwatch::stock::IdxTask;
use mirrorwatch_daemon::ScanOptions;
use mirrorwatch_daemon::account::Levels;
use mirrorwatch_daemon::evidence::Evidence;
use mirrorwatch_influence::{Estimator, Scan, ScanConfig, Task};

/// Estimators that are measured beside the product's own.
const FURTHER: [&str; 2] = ["gradient", "margin"];

/// The sidecar's options as they are when nobody gives any.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    scan: ScanOptions,
}

/// What a scan of a task computes by the sidecar's defaults.
///
/// # Errors
///
/// An estimator or device that does not exist.
pub fn defaults<T: Task>() -> Result<ScanConfig, String> {
    let options = Defaults::parse_from(["defaults"]).scan;
    options.config::<T>().map_err(|error| error.to_string())
}

/// The levels that counts have by the sidecar's defaults.
pub fn levels() -> Levels {
    Defaults::parse_from(["defaults"]).scan.levels()
}

/// What a scan computes in the benchmark.
pub struct Product {
    /// The product's own estimators, then the further ones.
    pub config: ScanConfig,
    /// How many of them are the product's own.
    pub own: usize,
    /// Levels of its counts.
    pub levels: Levels,
}

impl Product {
    /// The defaults; estimators `also` are measured, too.
    ///
    /// # Errors
    ///
    /// An estimator or device that does not exist.
    pub fn new(also: &[String]) -> Result<Self, String> {
        let options = Defaults::parse_from(["defaults"]).scan;
        let mut config = options
            .config::<IdxTask>()
            .map_err(|error| error.to_string())?;
        let own = config.estimators.len();
        let also = also.iter().map(String::as_str);
        for name in FURTHER.into_iter().chain(also) {
            let estimator = Estimator::parse::<IdxTask>(name).map_err(|error| error.to_string())?;
            if !config.estimators.contains(&estimator) {
                config.estimators.push(estimator);
            }
        }
        Ok(Self {
            config,
            own,
            levels: options.levels(),
        })
    }

    /// The part of a scan that the product would have seen without the further estimators.
    pub fn own(&self, scan: &Scan) -> Scan {
        let mut own = scan.clone();
        own.estimates.truncate(self.own);
        own
    }

    /// In one line, what a result was made with.
    pub fn describe(&self) -> String {
        let mut names = Vec::new();
        for estimator in &self.config.estimators {
            names.push(estimator.to_string());
        }
        let (own, further) = names.split_at(self.own);
        format!(
            "{}; {} folds, q {}, alpha {}; beside it {}",
            own.join(", "),
            self.config.folds,
            self.levels.fdr,
            self.levels.alpha,
            further.join(", ")
        )
    }
}

/// By what the product ranks the training samples.
pub fn ranking(evidence: &Evidence) -> Vec<f32> {
    evidence
        .channels
        .first()
        .map(|channel| channel.train.clone())
        .unwrap_or_default()
}

/// The labels that the product suggests.
pub fn suggested(evidence: &Evidence) -> &[u32] {
    evidence
        .channels
        .first()
        .map_or(&[], |channel| &channel.suggested)
}
