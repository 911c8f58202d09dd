//! The bill of materials of the shipped program.

use std::fs::File;
use std::process::Command;

use super::Step;
use crate::context::Context;
use crate::report::Outcome;
use crate::sbom;
use crate::tools::{self, cyclonedx};

/// Writes it, and holds it against the official schema where that can be had.
pub const STEP: Step = Step {
    name: "sbom",
    about: "the bill of materials can be made, and is valid CycloneDX",
    run,
};

fn run(context: &Context) -> Outcome {
    let path = sbom::place(context);
    let count = match sbom::write(context, sbom::TARGET, &path) {
        Ok(count) => count,
        Err(why) => return Outcome::Failed(why),
    };
    let note = format!("{count} components");
    let located = tools::locate(context, &cyclonedx::TOOL, context.fetch);
    let validator = match &located.state {
        Ok(installed) => &installed.paths[0],
        Err(why) => return Outcome::Skipped(format!("{note}, not validated: {why}")),
    };
    let bill = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return Outcome::Failed(format!("cannot read {}: {error}", path.display())),
    };
    context
        .run(Command::new(validator).stdin(bill))
        .then(|| Outcome::Passed(note))
}
