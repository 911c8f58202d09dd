//! The steps of the suite, in the order they run.
//!
//! A new step is one small file with a [`Step`] in it and its line in [`STEPS`].
//!
//! The order: what costs seconds first, then what finds the most mistakes per minute. Clippy and doc
//! share one tree of `check` artefacts, which is *separate* from the tree that the tests link (it holds
//! no machine code), so on a clean clone the dependencies are gone through twice: on two cores clippy's
//! pass takes two and a half minutes, the tests' ten, in which burn-flex alone takes more than four of
//! processor time. One pass cannot serve both; the order only decides which mistakes are told first,
//! and a warning or a type error is told by the cheaper pass.

mod audit;
mod backends;
mod bench;
mod clippy;
mod deny;
mod doc;
mod doctest;
pub mod e2e;
mod fmt;
mod fuzz;
mod guide;
mod hygiene;
mod manifests;
mod package;
mod sbom;
mod tools;
mod unit;
mod wgpu;

use std::time::{Duration, Instant};

use crate::context::Context;
use crate::report::{Outcome, Report};

/// Every step there is.
pub const STEPS: &[Step] = &[
    fmt::STEP,
    hygiene::STEP,
    manifests::STEP,
    tools::STEP,
    deny::STEP,
    audit::STEP,
    sbom::STEP,
    clippy::STEP,
    doc::STEP,
    package::STEP,
    unit::STEP,
    doctest::STEP,
    fuzz::STEP,
    e2e::STEP,
    guide::STEP,
    backends::STEP,
    bench::STEP,
    wgpu::STEP,
];

/// One step of the suite.
pub struct Step {
    /// Its name on the command line and in the table.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Does it. A step that cannot run here says so with [`Outcome::Skipped`].
    pub run: fn(&Context) -> Outcome,
}

/// Runs the steps that `choose` does not refuse. Every step is in the report: one that did not run
/// is there as skipped, with the reason.
pub fn run(
    context: &Context,
    keep_going: bool,
    choose: impl Fn(&str) -> Result<(), &'static str>,
) -> Report {
    run_these(STEPS, context, keep_going, choose)
}

fn run_these(
    steps: &[Step],
    context: &Context,
    keep_going: bool,
    choose: impl Fn(&str) -> Result<(), &'static str>,
) -> Report {
    let mut report = Report::default();
    let mut failed = None;
    for step in steps {
        let started = Instant::now();
        let skipped = choose(step.name)
            .map_err(str::to_owned)
            .and_then(|()| match failed {
                Some(name) if !keep_going => Err(format!("not run, because {name} failed")),
                _ => Ok(()),
            });
        let (outcome, took) = match skipped {
            Err(why) => (Outcome::Skipped(why), Duration::ZERO),
            Ok(()) => {
                println!("\n=== {}: {}", step.name, step.about);
                ((step.run)(context), started.elapsed())
            }
        };
        if let Outcome::Failed(why) = &outcome {
            eprintln!("\n{} failed: {why}", step.name);
            failed.get_or_insert(step.name);
        }
        report.push(step.name, outcome, took);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: &[Step] = &[
        Step {
            name: "good",
            about: "",
            run: |_| Outcome::passed(),
        },
        Step {
            name: "bad",
            about: "",
            run: |_| Outcome::Failed("broken".into()),
        },
        Step {
            name: "after",
            about: "",
            run: |_| Outcome::passed(),
        },
    ];

    fn closing_line(keep_going: bool, left_out: &str) -> String {
        let context = Context::new(false, false).expect("cargo metadata works in a test");
        let choose = |name: &str| {
            if name == left_out {
                Err("left out")
            } else {
                Ok(())
            }
        };
        let text = run_these(TRIAL, &context, keep_going, choose).to_string();
        text.lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_failure_stops_the_run_unless_told_otherwise() {
        assert_eq!(closing_line(false, ""), "1 passed, 1 failed, 1 skipped");
        assert_eq!(closing_line(true, ""), "2 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_step_left_out_is_counted() {
        assert_eq!(closing_line(false, "bad"), "2 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn step_names_are_unique_and_fit_the_table() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(step.name.len() <= 9, "{} is too long", step.name);
            assert!(
                STEPS[..index].iter().all(|other| other.name != step.name),
                "{} is there twice",
                step.name
            );
        }
    }
}
