//! The components the end-to-end tests talk to.

use super::Step;
use crate::context::Context;
use crate::report::Outcome;
use crate::tools::Installed;

/// Fetches them. A machine that cannot get them skips this step, and with it the tests that need
/// them: that is no fault of the code under test.
pub const STEP: Step = Step {
    name: "tools",
    about: "fetch the components of the end-to-end tests",
    run,
};

fn run(context: &Context) -> Outcome {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for located in context.tools() {
        println!("{located}");
        let name = located.tool.name;
        match &located.state {
            Ok(Installed { version, .. }) => there.push(version.clone()),
            Err(why) if located.tool.by_default => missing.push(format!("{name}: {why}")),
            Err(_) => {}
        }
    }
    if missing.is_empty() {
        Outcome::Passed(there.join(", "))
    } else {
        Outcome::Skipped(missing.join(", "))
    }
}
