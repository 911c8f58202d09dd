//! The backends that are not the default: trained on one, scanned on another.

use super::Step;
use crate::context::Context;
use crate::report::Outcome;
use crate::runner::Set;
use crate::tools::libtorch;

/// Compares them, and runs the example of burn-tch. Without a libtorch, ndarray only.
///
/// This builds the upper half of Burn a second time, with all backends in it: the package
/// `mirrorwatch-one-build` sees to it that it is not the whole.
pub const STEP: Step = Step {
    name: "backends",
    about: "the same scores on every backend",
    run,
};

fn run(context: &Context) -> Outcome {
    let mut features = vec!["mirrorwatch-tests/ndarray"];
    let mut targets = vec!["backends"];
    let libtorch = libtorch::locate(context, context.fetch);
    if libtorch.is_ok() {
        features.extend(["mirrorwatch-tests/tch", "example-burn-tch/tch"]);
        targets.push("burn-tch");
    }
    let mut command = context.runner.command(
        context,
        Set::With {
            features: &features,
            targets: &targets,
        },
    );
    let note = match libtorch {
        Ok(libtorch) => {
            libtorch.tell(&mut command);
            // On nets this small, its threads take ten times as long to meet as to compute.
            command.env("OMP_NUM_THREADS", "1");
            format!("ndarray; burn-tch with {}", libtorch.about)
        }
        Err(why) => {
            let note = format!("ndarray; burn-tch skipped for want of libtorch: {why}");
            println!("{note}");
            note
        }
    };
    context.run(&mut command).then(|| Outcome::Passed(note))
}
