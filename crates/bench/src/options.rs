//! The command line of `detection`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use mirrorwatch_daemon::budget::Budget;

use crate::datasets::DATASETS;
use crate::export;
use crate::grid::{Cell, Overrides, cells};
use crate::store::Store;

/// What to run, and with which data.
#[derive(Args)]
pub struct Options {
    /// Directory of the IDX files of a data set that is not built in; may be repeated
    ///
    /// Without its directory, a data set is skipped by name.
    #[arg(long, value_name = "NAME=DIR", value_parser = named_directory)]
    pub data: Vec<(String, PathBuf)>,

    /// Seeds of noise, trusted samples, weights and batches
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "0,1,2"
    )]
    pub seeds: Vec<u64>,

    /// Only cells whose name contains this; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,

    /// The small grid, of a few minutes
    #[arg(long)]
    pub quick: bool,

    /// Use the first N training samples of every data set
    #[arg(long, value_name = "N")]
    pub train_limit: Option<usize>,

    /// Probe samples of every data set
    #[arg(long, value_name = "N")]
    pub probe: Option<usize>,

    /// Trusted samples of every data set
    #[arg(long, value_name = "N")]
    pub trusted: Option<usize>,

    /// Epochs of every training
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,

    /// Make labels of the probe wrong, too: `sym:RATE` or `asym:RATE`
    #[arg(long, value_name = "NOISE")]
    pub probe_noise: Option<String>,

    /// Measure this estimator beside the others, `direction` or `direction:score`; may be repeated
    #[arg(long, value_name = "NAME")]
    pub also: Vec<String>,

    /// What a scan may cost, as `watch --budget` takes it; only the product's own estimators are measured then
    #[arg(long, value_name = "BUDGET")]
    pub budget: Option<Budget>,

    /// Run cells again that are done
    #[arg(long)]
    pub force: bool,

    /// Also write logits and out-of-sample probabilities, for `cargo xtask bench cleanlab`
    #[arg(long)]
    pub export: bool,

    /// Fail when a cell breaks a promise: floors that only a mistake in the code goes below
    #[arg(long)]
    pub check: bool,

    /// Name the cells, and whether they are done, and stop
    #[arg(long)]
    pub list: bool,

    /// Why there is no data for a data set, as told by who looked for it
    #[arg(long, value_name = "NAME=WHY", value_parser = named_reason, hide = true)]
    pub unavailable: Vec<(String, String)>,

    /// Threads to compute with; 0 = one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// Directory of all results
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub out: PathBuf,
}

/// What is to be done with a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has a result.
    Done,
    /// It will be run.
    ToDo,
    /// It cannot be run, for this reason.
    Skipped(String),
}

impl Options {
    /// The cells that are asked for.
    pub fn cells(&self) -> Vec<Cell> {
        let overrides = Overrides {
            train: self.train_limit,
            probe: self.probe,
            trusted: self.trusted,
            epochs: self.epochs,
            probe_noise: self.probe_noise.clone(),
            also: self.also.clone(),
            budget: self.budget.map(|budget| budget.to_string()),
        };
        cells(self.quick, &self.seeds, &self.only, &overrides)
    }

    /// The directories of data sets, by name.
    pub fn directories(&self) -> BTreeMap<&str, &Path> {
        let pairs = self.data.iter();
        pairs.map(|(n, d)| (n.as_str(), d.as_path())).collect()
    }

    /// What is to be done with a cell whose data is in this directory.
    pub fn state(&self, store: &Store, cell: &Cell, data: Option<&Path>) -> State {
        let exported = !self.export || export::is_complete(&store.export(cell));
        if !self.force && exported && store.load(cell).is_some() {
            return State::Done;
        }
        let name = cell.dataset.name;
        match data {
            Some(directory) if !directory.is_dir() => State::Skipped(format!(
                "{} is no directory; give another one with --data {name}=DIR",
                directory.display()
            )),
            None if !cell.dataset.embedded => {
                let why = self.unavailable.iter().find(|(n, _)| n == name);
                let why = why.map_or("no data", |(_, why)| why);
                State::Skipped(format!("{why}; give its directory with --data {name}=DIR"))
            }
            _ => State::ToDo,
        }
    }
}

fn named_reason(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("give a name and a reason")?;
    Ok((pair.0.to_string(), pair.1.to_string()))
}

pub fn named_directory(text: &str) -> Result<(String, PathBuf), String> {
    let Some((name, directory)) = text.split_once('=') else {
        return Err("give a name and a directory, NAME=DIR".to_string());
    };
    if DATASETS.iter().any(|d| d.name == name && !d.embedded) {
        return Ok((name.to_string(), PathBuf::from(directory)));
    }
    let known: Vec<&str> = DATASETS
        .iter()
        .filter(|dataset| !dataset.embedded)
        .map(|dataset| dataset.name)
        .collect();
    Err(format!(
        "there is no data set {name:?} that takes a directory: choose one of {}",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::store::tests::empty_record;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        let arguments = ["x"].iter().chain(arguments);
        Cli::try_parse_from(arguments).unwrap().options
    }

    #[test]
    fn a_cell_is_run_once_unless_forced_or_lacking_its_export() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let cell = options(&["--quick"]).cells().remove(0);
        let state = |arguments: &[&str]| options(arguments).state(&store, &cell, None);
        assert_eq!(state(&[]), State::ToDo);
        store.save(&empty_record(&cell)).unwrap();
        assert_eq!(state(&[]), State::Done);
        assert_eq!(state(&["--force"]), State::ToDo);
        assert_eq!(state(&["--export"]), State::ToDo);
        let more = options(&["--quick", "--epochs", "3"]).cells().remove(0);
        assert_eq!(options(&[]).state(&store, &more, None), State::ToDo);
    }

    #[test]
    fn data_that_is_not_there_is_skipped_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let wanted = options(&[
            "--only",
            "tabular_none",
            "--unavailable",
            "tabular=no network",
        ]);
        let cell = wanted.cells().remove(0);
        let State::Skipped(why) = wanted.state(&store, &cell, None) else {
            panic!("it is not there");
        };
        assert!(why.starts_with("no network"), "{why}");
        let nowhere = directory.path().join("nowhere");
        assert!(matches!(
            wanted.state(&store, &cell, Some(&nowhere)),
            State::Skipped(_)
        ));
        let there = Some(directory.path());
        assert_eq!(wanted.state(&store, &cell, there), State::ToDo);
        assert!(named_directory("mnist=x").is_err());
        assert!(named_directory("fashion-mnist=x").is_err());
    }
}
