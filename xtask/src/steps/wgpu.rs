//! The backend that no machine of ours can run.

use super::Step;
use crate::context::Context;
use crate::report::Outcome;

/// Compiles the facade with it and nothing else: that the names it takes from Burn are there is all that can be said.
pub const STEP: Step = Step {
    name: "wgpu",
    about: "the backend wgpu compiles (with --long)",
    run,
};

fn run(context: &Context) -> Outcome {
    if !context.long {
        return Outcome::Skipped(
            "left to --long: its 400 crates take five minutes to check".to_owned(),
        );
    }
    let package = ["check", "--package", "mirrorwatch"];
    let features = ["--no-default-features", "--features", "wgpu"];
    context.run(&mut context.cargo(package.into_iter().chain(features)))
}
