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
    let mut programs = Vec::new();
    let libtorch = libtorch::locate(context, context.fetch);
    if libtorch.is_ok() {
        features.extend(["mirrorwatch-tests/tch", "example-burn-tch/tch"]);
        targets.push("burn-tch");
        programs.extend(["burn-tch-train", "burn-tch-sidecar"]);
    }
    // The step `clippy` does not see what only a feature turns on.
    let mut lints = context.cargo(["clippy", "--workspace", "--features", &features.join(",")]);
    for (kind, names) in [("--test", &targets), ("--bin", &programs)] {
        lints.args(names.iter().flat_map(|name| [kind, name]));
    }
    lints.args(["--", "-D", "warnings"]);
    let mut tests = context.runner.command(
        context,
        Set::With {
            features: &features,
            targets: &targets,
        },
    );
    let note = match libtorch {
        Ok(libtorch) => {
            libtorch.tell(&mut lints);
            libtorch.tell(&mut tests);
            // On nets this small, its threads take ten times as long to meet as to compute.
            tests.env("OMP_NUM_THREADS", "1");
            format!("ndarray; burn-tch with {}", libtorch.about)
        }
        Err(why) => {
            let note = format!("ndarray; burn-tch skipped for want of libtorch: {why}");
            println!("{note}");
            note
        }
    };
    context
        .run(&mut lints)
        .then(|| context.run(&mut tests))
        .then(|| Outcome::Passed(note))
}
