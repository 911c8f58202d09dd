//! The small grid of the detection benchmark: whether what is found is still worth finding.

use super::Step;
use crate::bench;
use crate::context::Context;
use crate::report::Outcome;

/// Runs its three cells afresh and fails when one breaks a promise.
pub const STEP: Step = Step {
    name: "bench",
    about: "the small detection grid keeps its promises",
    run,
};

fn run(context: &Context) -> Outcome {
    match bench::quick(context) {
        Ok(true) => Outcome::passed(),
        Ok(false) => Outcome::Failed("a cell failed or broke a promise, see above".to_string()),
        Err(why) => Outcome::Failed(why),
    }
}
