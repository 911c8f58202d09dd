//! API documentation.

use super::Step;

/// Fails on any warning of rustdoc: a broken link above all.
pub const STEP: Step = Step {
    name: "doc",
    about: "rustdoc builds without a warning",
    run: |context| {
        let mut command = context.cargo(["doc", "--workspace", "--no-deps"]);
        context.run(command.env("RUSTDOCFLAGS", "-D warnings"))
    },
};
