//! `speed`: how long everything takes, as ratios within one run.
//!
//! A new part is one file and one line in [`PARTS`].

mod beside;
mod client;
mod data;
mod forward;
mod hook;
mod interval;
mod load;
mod memory;
mod methods;
mod nets;
mod publish;
mod pytorch;
mod ratio;
mod report;
mod scan;
mod serving;
mod sidecar;
mod train;
mod under_load;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use mirrorwatch_checkpoint::write_atomic;

pub use memory::{Read, Update, read, update};
use pytorch::PyTorch;
use report::{FORMAT, Report, Row, Section};
pub use sidecar::run as sidecar;

/// The parts of the suite, in the order of its tables.
const PARTS: [&Part; 9] = [
    &scan::PART,
    &forward::PART,
    &methods::PART,
    &hook::PART,
    &beside::PART,
    &publish::PART,
    &memory::PART,
    &serving::PART,
    &under_load::PART,
];

/// What to measure, and how often.
#[derive(Args)]
pub struct Options {
    /// Directory of the IDX files of a real data set (cifar10: 256 features, ten classes); may be repeated
    #[arg(long, value_name = "NAME=DIR", value_parser = crate::options::named_directory)]
    pub data: Vec<(String, PathBuf)>,

    /// Only these parts (scan, forward, methods, hook, beside, publish, memory, serving, load); may be repeated
    #[arg(long, value_name = "NAME")]
    pub part: Vec<String>,

    /// Rounds in which all contenders take turns
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub rounds: usize,

    /// Small sizes: whether everything runs, not how fast
    #[arg(long)]
    pub quick: bool,

    /// Threads to compute with; 0 = one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// A Python with what `crates/bench/python/requirements-speed.txt` names, for what is measured against PyTorch
    #[arg(long, value_name = "FILE", hide = true)]
    pub python: Option<PathBuf>,

    /// Why there is none, as told by who looked for it
    #[arg(long, value_name = "WHY", hide = true)]
    pub no_python: Option<String>,

    /// Directory of all results
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub out: PathBuf,
}

/// A part of the suite.
pub struct Part {
    /// The name in options and results.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// Measures it.
    pub run: fn(&Suite<'_>) -> Result<Found, String>,
}

/// What a part may know.
pub struct Suite<'a> {
    /// Rounds to measure in.
    pub rounds: usize,
    /// Whether small sizes will do.
    pub quick: bool,
    /// Told what is being done.
    pub tell: &'a dyn Fn(&str),
    options: &'a Options,
}

impl Suite<'_> {
    /// Says what is being done.
    pub fn tell(&self, what: &str) {
        (self.tell)(what);
    }

    /// The directory of a real data set, if one was given.
    pub fn data(&self, name: &str) -> Option<&Path> {
        let mut data = self.options.data.iter();
        data.find(|(known, _)| known == name)
            .map(|(_, directory)| directory.as_path())
    }

    /// PyTorch, started; none, and the reason in `found`, where there is no Python for it.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn pytorch(&self, found: &mut Found) -> Result<Option<PyTorch>, String> {
        let Some(python) = &self.options.python else {
            let why = self.options.no_python.as_deref();
            let why = why
                .unwrap_or("start it with `cargo xtask bench speed`, which makes an environment");
            found
                .skipped
                .push(format!("everything against PyTorch: {why}"));
            return Ok(None);
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/speed_worker.py");
        let (pytorch, about) = PyTorch::start(python, &script, rayon::current_num_threads())?;
        self.tell(&format!("beside it: {about}"));
        Ok(Some(pytorch))
    }
}

/// What a part found.
#[derive(Debug, Default)]
pub struct Found {
    rows: Vec<Row>,
    /// What could not be measured, and why.
    pub skipped: Vec<String>,
}

impl Found {
    /// Takes in a figure, and shows it.
    pub fn add(&mut self, row: Row) {
        eprintln!("  {row}");
        self.rows.push(row);
    }
}

/// Runs the parts that are asked for; `speed.json` and `speed.md` keep those of earlier runs beside them.
///
/// # Errors
///
/// No part of such a name, one that failed, or results that cannot be written.
pub fn run(options: &Options) -> Result<(), String> {
    let names = PARTS.map(|part| part.name);
    for name in &options.part {
        if !names.contains(&name.as_str()) {
            return Err(format!(
                "no part is named {name:?}; there are {}",
                names.join(", ")
            ));
        }
    }
    // Fails only when the pool exists already, and it does not yet.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global();
    // What is too small to mean anything is kept apart.
    let stem = if options.quick {
        "speed-quick"
    } else {
        "speed"
    };
    let path = options.out.join(format!("{stem}.json"));
    let mut report = std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| serde_json::from_str::<Report>(&text).ok())
        .filter(|report| report.format == FORMAT)
        .unwrap_or_default();
    report.format = FORMAT;
    let suite = Suite {
        rounds: options.rounds.max(1),
        quick: options.quick,
        tell: &|what| eprintln!("{what}"),
        options,
    };
    for part in PARTS {
        if !options.part.is_empty() && !options.part.iter().any(|name| name == part.name) {
            continue;
        }
        let start = Instant::now();
        let found = (part.run)(&suite).map_err(|why| format!("{}: {why}", part.name))?;
        let section = Section {
            part: part.name.to_string(),
            about: part.about.to_string(),
            rows: found.rows,
            skipped: found.skipped,
            seconds: start.elapsed().as_secs_f64(),
            revision: crate::revision(),
            threads: rayon::current_num_threads(),
        };
        report.put(section, &names);
        // After every part: whoever interrupts keeps what is done.
        write(&options.out, stem, &report)?;
    }
    print!("{}", report.markdown());
    Ok(())
}

fn write(directory: &Path, stem: &str, report: &Report) -> Result<(), String> {
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    let json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
    for (name, text) in [("json", json), ("md", report.markdown())] {
        write_atomic(directory.join(format!("{stem}.{name}")), text.as_bytes())
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
