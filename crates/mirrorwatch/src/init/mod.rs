//! `mirrorwatch init`: adds a sidecar, a Prometheus configuration and alert rules to an existing Burn project.
//!
//! It reads the project's sources for a model, a batcher, and the items and batches that one knows, and writes a
//! sidecar with these types in it. What it cannot know (where the data are, what is held out) is marked and says so when
//! the sidecar is started. The result compiles before anything is filled in.

mod project;
mod sidecar;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use mirrorwatch_daemon::Extra;
use thiserror::Error;

use project::Project;

/// The command, for programs that have it.
pub const COMMAND: Extra = Extra {
    command: || InitArgs::command().name("init"),
    run: |matches| match InitArgs::from_arg_matches(matches) {
        Ok(args) => match init(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(2)
            }
        },
        Err(error) => {
            let _ = error.print();
            ExitCode::from(2)
        }
    },
};

/// Add a sidecar to an existing Burn project: its `main`, a Prometheus configuration, alert rules
///
/// Nothing that exists is changed but Cargo.toml, which gets a dependency. What is written compiles as it is, and says
/// what is still to be filled in.
#[derive(Debug, Clone, Parser)]
#[command(name = "init")]
pub struct InitArgs {
    /// Directory of the project
    #[arg(default_value = ".")]
    pub project: PathBuf,

    #[command(flatten)]
    options: InitOptions,
}

/// Options of `init`.
#[derive(Debug, Clone, Args)]
pub struct InitOptions {
    /// Name of the sidecar's program
    #[arg(long, value_name = "NAME", default_value = "sidecar")]
    pub name: String,

    /// Depend on mirrorwatch at this path instead of crates.io
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,

    /// Write files again that exist already
    #[arg(long)]
    pub force: bool,

    /// Do not compile what was written
    #[arg(long)]
    pub no_check: bool,
}

/// Why a project cannot be extended.
///
/// ```
/// use clap::Parser;
/// use mirrorwatch::init::{InitArgs, InitError, init};
///
/// # let directory = tempfile::tempdir()?;
/// # let project = directory.path().display().to_string();
/// // An empty directory is no project.
/// let refused = init(&InitArgs::parse_from(["init", &project, "--no-check"]));
/// assert!(matches!(refused, Err(InitError::Project { path, .. }) if path.ends_with("Cargo.toml")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
pub enum InitError {
    /// There is no project, or not one of Burn's.
    #[error("{} {problem}", .path.display())]
    Project {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {source}", .path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was written does not compile.
    #[error("the project does not compile with its sidecar; see above: {0}")]
    Check(String),
}

/// The rules that the project ships, as they are.
const RULES: &str = include_str!("../../templates/rules.yml");

const PROMETHEUS: &str = "\
# Scrapes the sidecar on its default address and evaluates the rules beside this file:
#   prometheus --config.file=mirrorwatch/prometheus.yml
global:
  scrape_interval: 15s
  evaluation_interval: 15s

rule_files:
  - mirrorwatch.rules.yml

scrape_configs:
  # The rules find the sidecar by this job name.
  - job_name: mirrorwatch
    static_configs:
      - targets:
          - 127.0.0.1:9464
";

/// Adds what is missing to a project, and tells what it did and what comes next.
///
/// # Errors
///
/// [`InitError`]; files that were written before stay.
///
/// ```
/// use clap::Parser;
/// use mirrorwatch::init::{InitArgs, init};
///
/// # let directory = tempfile::tempdir()?;
/// # let project = directory.path();
/// # std::fs::create_dir(project.join("src"))?;
/// std::fs::write(project.join("Cargo.toml"), "[package]\nname = \"my-net\"\n[dependencies]\nburn = \"0.22\"\n")?;
/// std::fs::write(project.join("src/lib.rs"), "")?;
/// init(&InitArgs::parse_from(["init", &project.display().to_string(), "--no-check"]))?;
/// assert!(project.join("src/bin/sidecar.rs").exists());
/// assert!(std::fs::read_to_string(project.join("Cargo.toml"))?.contains("mirrorwatch = "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn init(args: &InitArgs) -> Result<(), InitError> {
    let options = &args.options;
    let project = Project::read(&args.project)?;
    project::check_name(&options.name)?;
    let found = project.found();
    let main = format!("src/bin/{}.rs", options.name);
    let files = [
        (
            main.as_str(),
            sidecar::source(&project, &found, &options.name),
        ),
        ("mirrorwatch/prometheus.yml", PROMETHEUS.to_string()),
        ("mirrorwatch/mirrorwatch.rules.yml", RULES.to_string()),
    ];
    // Before anything is written: all or nothing.
    for (name, _) in &files {
        let path = args.project.join(name);
        if path.exists() && !options.force {
            return Err(InitError::Project {
                path,
                problem:
                    "is there already; --force writes it again, --name chooses another program"
                        .to_string(),
            });
        }
    }
    for (name, text) in &files {
        write(&args.project.join(name), text)?;
        println!("wrote {name}");
    }
    if let Some(manifest) = project.with_dependency(options.path.as_deref())? {
        write(&args.project.join("Cargo.toml"), &manifest)?;
        println!("added mirrorwatch to Cargo.toml");
    }
    for line in found.words() {
        println!("{line}");
    }
    if !options.no_check {
        check(&args.project, &options.name)?;
    }
    println!(
        "\nNow:\n  1. in the training:  let hook = mirrorwatch::hook::Hook::new(\"runs\", \"{}\");  and  .mirrorwatch(&hook)  before .launch(..)\n  2. fill in what is marked `todo!` in {main}\n  3. cargo run --bin {} -- watch --root runs",
        project.package(),
        options.name
    );
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), InitError> {
    let failed = |source| InitError::File {
        doing: "write",
        path: path.to_path_buf(),
        source,
    };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

/// Compiles the sidecar, as far as it takes to know that it can be.
fn check(project: &Path, name: &str) -> Result<(), InitError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["check", "--bin", name])
        .current_dir(project)
        .status()
        .map_err(|error| InitError::Check(format!("cannot start cargo: {error}")))?;
    match status.success() {
        true => Ok(()),
        false => Err(InitError::Check(format!("cargo ended with {status}"))),
    }
}

#[cfg(test)]
mod tests;
