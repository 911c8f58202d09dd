//! The examples in the documentation.

use super::Step;

/// Compiles and runs them. `cargo test` always: nextest does not know doctests.
pub const STEP: Step = Step {
    name: "doctest",
    about: "the examples in the documentation run",
    run: |context| {
        context.run(&mut context.cargo(["test", "--workspace", "--doc", "--no-fail-fast"]))
    },
};
