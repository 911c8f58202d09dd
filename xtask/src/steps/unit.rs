//! Unit and integration tests of the crates.

use super::Step;
use crate::context::Context;
use crate::report::Outcome;
use crate::runner::Set;

/// Runs everything but the end-to-end suite.
pub const STEP: Step = Step {
    name: "unit",
    about: "unit and integration tests of the crates (also the long ones with --long)",
    run,
};

fn run(context: &Context) -> Outcome {
    let note = format!("with {}", context.runner);
    println!("{note}");
    context
        .run(&mut context.runner.command(context, Set::Unit))
        .then(|| Outcome::Passed(note))
}
