//! Formatting.

use super::Step;

/// Fails on code that rustfmt would change.
pub const STEP: Step = Step {
    name: "fmt",
    about: "rustfmt has nothing to change",
    run: |context| context.run(&mut context.cargo(["fmt", "--all", "--check"])),
};
