//! Lints.

use super::Step;

/// Fails on any warning of the compiler or of clippy, in tests and examples too.
pub const STEP: Step = Step {
    name: "clippy",
    about: "no warning from rustc or clippy",
    run: |context| {
        context.run(&mut context.cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    },
};
