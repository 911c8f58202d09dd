//! `cargo xtask`: the one place that knows how the project is tested and what its tests need.
//!
//! `cargo xtask test` runs the whole suite as named, timed steps (the table is in [`steps`]);
//! `cargo xtask tools` fetches the real components the end-to-end tests talk to (the table is in
//! [`tools`]). CI calls nothing else, so what passes here passes there. `cargo xtask bench` measures how
//! well wrong labels are found.

mod bench;
mod build;
mod context;
mod report;
mod reproduce;
mod runner;
mod sbom;
mod steps;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::context::Context;

/// Test mirrorwatch and fetch what its tests need.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "\
Everyday use:
  cargo xtask test                         the whole suite, as CI runs it
  cargo xtask test --list                  the steps and what each does
  cargo xtask test --only fmt,clippy       some steps
  cargo xtask test --skip e2e --keep-going all the others, even after a failure
  cargo xtask soak --minutes 60            a sidecar under more than it can scan
  cargo xtask tools                        fetch Prometheus and promtool now
  cargo xtask libtorch cargo run …         a command with a libtorch for burn-tch
  cargo xtask bench detection --quick      how well wrong labels are found, in two minutes"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the test suite, step by step
    ///
    /// Stops at the first step that fails, prints a table of every step, and closes with a line
    /// 'N passed, N failed, N skipped' counted over steps. A step or test that cannot run on this
    /// machine is skipped by name, with the reason. Exits with 1 when a step failed.
    Test(TestOptions),

    /// Fetch the components the end-to-end tests talk to
    ///
    /// Debian packages are fetched with a private apt state and unpacked under the target
    /// directory, in 'tools': no root, and nothing on the machine is changed. A second call finds
    /// them there; to fetch afresh, delete that directory. Elsewhere, install the programs yourself:
    /// those on PATH, or named by the environment variables shown, are used. Exits with 1 when a
    /// tool that was asked for is missing.
    Tools {
        /// Also the tools that only some tests need
        #[arg(long)]
        all: bool,
    },

    /// Give a sidecar more than it can scan, and see that it neither grows nor loses count
    ///
    /// One test of the end-to-end suite, of which the long run has ten minutes: runs that come, go and come again,
    /// checkpoints faster than they are scanned, bad ones among them, scrapes, pages, exports and reviews. Memory,
    /// descriptors, threads and what is on disk are measured every five seconds. Exits with 1 when they grow.
    Soak {
        /// How long
        #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
    },

    /// Prepare a libtorch for burn-tch, and run a command with it
    ///
    /// Fetches the CPU half of PyTorch's libtorch 2.9 from PyPI into the target directory, in
    /// 'tools/libtorch', on first use. Without a command, prints what a shell has to export. What
    /// LIBTORCH or LIBTORCH_USE_PYTORCH names is used instead.
    Libtorch(Passed),

    /// Write down what the shipped program consists of
    ///
    /// A CycloneDX bill of materials of `mirrorwatch` with its default features: names, versions, licences, checksums and
    /// who needs whom. It is the same on every machine.
    Sbom {
        /// Where to, instead of 'sbom/mirrorwatch.cdx.json' in the target directory
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,

        /// What the program is built for
        #[arg(long, value_name = "TRIPLE", default_value = sbom::TARGET)]
        target: String,
    },

    /// Build a program twice, in two places, and compare it byte for byte
    ///
    /// From clones of the last commit, each from nothing: of 'mirrorwatch' that takes twice as long as its first build.
    Reproduce {
        /// Which; its package has the same name
        #[arg(value_name = "PROGRAM", default_value = "mirrorwatch")]
        program: String,
    },

    /// Measure how well wrong labels are found
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// The grid of data sets, noises and seeds; see 'cargo xtask bench detection --help'
    ///
    /// Builds the program and starts it with the given arguments; its data set 'tabular' is fetched.
    /// Results are in the target directory, in 'bench'.
    #[command(disable_help_flag = true)]
    Detection(Passed),

    /// What the second look, 'confirm', adds to the suspects of cells; takes the arguments of 'detection'
    #[command(disable_help_flag = true)]
    Confirm(Passed),

    /// Copies of probe samples planted in a training set, and how many of them 'leaks' finds
    #[command(disable_help_flag = true)]
    Leaks(Passed),

    /// How long scans, and what users would run instead, take, as ratios measured side by side
    ///
    /// Builds the program with every backend there is a library for. Parts that PyTorch takes part in need a Python
    /// environment of 6 GB in the target directory, made on first use: '--part scan' does without.
    #[command(disable_help_flag = true)]
    Speed(Passed),

    /// cleanlab and AUM on the outputs that 'detection --export' has written, side by side
    ///
    /// Runs in a Python environment of its own in the target directory, made on first use.
    #[command(disable_help_flag = true)]
    Cleanlab(Passed),
}

/// Arguments that are passed on.
#[derive(Args)]
struct Passed {
    #[arg(
        value_name = "ARGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<String>,
}

/// How to run the suite.
#[derive(Args)]
struct TestOptions {
    /// Run only these steps (several: repeat it, or separate them with commas)
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = step_names())]
    only: Vec<String>,

    /// Leave these steps out; 'tools' also stops e2e from fetching anything
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = step_names())]
    skip: Vec<String>,

    /// Go on after a step that failed
    #[arg(long)]
    keep_going: bool,

    /// Also run the long tests, the ones that are ignored otherwise
    #[arg(long)]
    long: bool,

    /// Name the steps and stop
    #[arg(long)]
    list: bool,
}

fn step_names() -> PossibleValuesParser {
    PossibleValuesParser::new(steps::STEPS.iter().map(|step| step.name))
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test(options) => test(&options),
        Command::Tools { all } => fetch_tools(all),
        Command::Soak { minutes } => {
            Context::new(false, true).and_then(|context| steps::e2e::soak(&context, minutes))
        }
        Command::Libtorch(words) => Context::new(false, true)
            .and_then(|context| tools::libtorch::with(&context, &words.arguments)),
        Command::Sbom { output, target } => write_bill(output, &target),
        Command::Reproduce { program } => {
            Context::new(false, false).and_then(|context| reproduce::twice(&context, &program))
        }
        Command::Bench(what) => benchmark(&what),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the chosen steps; true when none failed.
fn test(options: &TestOptions) -> Result<bool, String> {
    if options.list {
        for step in steps::STEPS {
            println!("{:<9} {}", step.name, step.about);
        }
        return Ok(true);
    }
    let fetch = !options.skip.iter().any(|name| name == "tools");
    let context = Context::new(options.long, fetch)?;
    let report = steps::run(&context, options.keep_going, |name| {
        let among = |names: &[String]| names.iter().any(|other| other == name);
        if among(&options.skip) {
            Err("left out with --skip")
        } else if !options.only.is_empty() && !among(&options.only) {
            Err("left out with --only")
        } else {
            Ok(())
        }
    });
    println!("\n{report}");
    Ok(report.failed() == 0)
}

/// Runs a benchmark; true when it passed.
fn benchmark(what: &Bench) -> Result<bool, String> {
    let context = Context::new(false, true)?;
    match what {
        Bench::Detection(passed) => bench::detection(&context, "detection", &passed.arguments),
        Bench::Confirm(passed) => bench::detection(&context, "confirm", &passed.arguments),
        Bench::Leaks(passed) => bench::leaks(&context, &passed.arguments),
        Bench::Speed(passed) => bench::speed(&context, &passed.arguments),
        Bench::Cleanlab(passed) => bench::cleanlab(&context, &passed.arguments),
    }
}

/// Writes the bill of materials, and says where.
fn write_bill(output: Option<PathBuf>, target: &str) -> Result<bool, String> {
    let context = Context::new(false, false)?;
    let path = output.unwrap_or_else(|| sbom::place(&context));
    let count = sbom::write(&context, target, &path)?;
    println!("{}: {count} components", path.display());
    Ok(true)
}

/// Fetches and shows the tools; true when all that were asked for are there.
fn fetch_tools(all: bool) -> Result<bool, String> {
    let context = Context::new(false, true)?;
    let mut complete = true;
    for tool in tools::TOOLS.iter().filter(|tool| all || tool.by_default) {
        let found = tools::locate(&context, tool, true);
        println!("{found}");
        complete &= found.state.is_ok();
    }
    Ok(complete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_of_benchmarks_are_passed_on() {
        let parsed = Cli::try_parse_from(["x", "bench", "detection", "--only", "a", "--help"]);
        let Ok(Cli {
            command: Command::Bench(Bench::Detection(passed)),
        }) = parsed
        else {
            panic!("the command line was refused");
        };
        assert_eq!(passed.arguments, ["--only", "a", "--help"]);
    }

    #[test]
    fn steps_are_given_by_comma_or_repetition_and_unknown_ones_refused() {
        let parsed = Cli::try_parse_from(["x", "test", "--skip", "fmt,doc", "--skip", "e2e"]);
        let Ok(Cli {
            command: Command::Test(options),
        }) = parsed
        else {
            panic!("the command line was refused");
        };
        assert_eq!(options.skip, ["fmt", "doc", "e2e"]);
        assert!(Cli::try_parse_from(["x", "test", "--only", "nonsense"]).is_err());
    }
}
