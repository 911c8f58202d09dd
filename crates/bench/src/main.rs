//! How well mirrorwatch finds wrong labels, beside other methods, over a grid of data sets, noises and
//! seeds.
//!
//! ```text
//! grid ─► cell: data + noise ─► training ─► scan, evidence, account (the product's own, its defaults)
//!                                  │                     └─► figures ─► target/bench/detection/cells
//!                                  └─► other methods ──────────┘               └─► detection.json, .md
//! ```
//!
//! `cargo xtask bench detection` builds and runs it. Cells that are done are not done again, so it may be
//! interrupted at any time.
//!
//! A new method is a function below [`methods`] and a line there; a new data set or noise is a line in
//! [`datasets`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cell;
mod count;
mod datasets;
mod deal;
mod detection;
mod digits;
mod export;
mod grid;
mod labels;
mod leaks;
mod methods;
mod options;
mod phases;
mod product;
mod progress;
mod promises;
mod record;
mod report;
mod second;
mod setup;
mod speed;
mod store;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measure how well wrong labels are found.
#[derive(Parser)]
#[command(name = "mirrorwatch-bench", bin_name = "cargo xtask bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the grid of data sets, noises and seeds, and put all results into tables
    Detection(Box<options::Options>),
    /// What the second look, `confirm`, adds to the suspects of the given cells
    Confirm(Box<options::Options>),
    /// Plant copies of probe samples in a training set and look for them
    Leaks(leaks::LeakBench),
    /// How long scans and everything around them take, as ratios measured side by side
    Speed(speed::Options),
    /// Take one scan of made-up scores in, and tell what it took: a step of the part `memory` of `speed`
    #[command(hide = true)]
    Update(speed::Update),
    /// Scan samples that are on disk, and tell what it took: a step of the same part
    #[command(hide = true)]
    Read(speed::Read),
    /// Turn scikit-learn's digits.csv.gz into the IDX files of the data set `tabular`
    #[command(hide = true)]
    Digits {
        /// The file sklearn/datasets/data/digits.csv.gz
        csv: PathBuf,
        /// Where to put the IDX files
        directory: PathBuf,
    },
}

/// The project's revision, as the xtask tells it; empty where it does not.
fn revision() -> String {
    std::env::var("MIRRORWATCH_BENCH_REVISION").unwrap_or_default()
}

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments
        .get(1)
        .is_some_and(|argument| argument == "sidecar")
    {
        arguments.remove(1);
        return speed::sidecar(arguments);
    }
    let result = match Cli::parse().command {
        Command::Detection(options) => detection::run(&options),
        Command::Confirm(options) => second::run(&options),
        Command::Leaks(options) => leaks::run(&options),
        Command::Speed(options) => speed::run(&options),
        Command::Update(options) => speed::update(&options),
        Command::Read(options) => speed::read(&options),
        Command::Digits { csv, directory } => digits::convert(&csv, &directory),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
