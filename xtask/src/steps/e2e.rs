//! The end-to-end suite: real processes, a real Prometheus.

use std::path::PathBuf;

use super::Step;
use crate::build;
use crate::context::{Context, E2E_PACKAGE};
use crate::report::Outcome;
use crate::runner::{self, Set};

/// Builds the quickstart, tells the tests where everything is, and runs them.
pub const STEP: Step = Step {
    name: "e2e",
    about: "end-to-end tests over real processes (also the long ones with --long)",
    run,
};

/// The example that the tests start, and the variable that tells them its path.
const EXAMPLE: &str = "quickstart";
const EXAMPLE_VARIABLE: &str = "MIRRORWATCH_QUICKSTART";

/// What tests that go on as long as they are told do in the long run.
const LONG: [(&str, &str); 1] = [("MIRRORWATCH_KILLS_RUNS", "20")];

/// The test that goes on for as long as it is told, and what tells it.
const SOAK: &str = "soak::a_sidecar_under_more_than_it_can_scan_neither_grows_nor_loses_count";
const SOAK_MINUTES: &str = "MIRRORWATCH_SOAK_MINUTES";

/// Runs the soak test alone, for so many minutes.
pub fn soak(context: &Context, minutes: u32) -> Result<bool, String> {
    let example = example(context)?;
    // Not with nextest: it would end a test that goes on for an hour.
    let mut command = context.cargo(["test", "--workspace"]);
    for (package, target) in &context.test_targets {
        if package == E2E_PACKAGE {
            command.args(["--test", target]);
        }
    }
    command.args(["--", "--ignored", "--exact", "--nocapture", SOAK]);
    command.env(EXAMPLE_VARIABLE, example);
    command.env(SOAK_MINUTES, minutes.to_string());
    match context.run(&mut command) {
        Outcome::Failed(why) => Err(why),
        Outcome::Passed(_) | Outcome::Skipped(_) => Ok(true),
    }
}

/// Builds the example.
fn example(context: &Context) -> Result<PathBuf, String> {
    // With `--workspace --tests` rather than `-p`, for the reason given in `runner`: this way the
    // binary is linked from what the unit tests have built.
    let mut build = context.cargo(["build", "--workspace", "--tests", "--bin", EXAMPLE]);
    build::executable(&mut build, EXAMPLE)
}

fn run(context: &Context) -> Outcome {
    // Without this, `cargo test` would be given no target and run everything.
    if context
        .test_targets
        .iter()
        .all(|(package, _)| package != E2E_PACKAGE)
    {
        return Outcome::Skipped(format!("the package {E2E_PACKAGE} has no tests"));
    }
    let example = match example(context) {
        Ok(path) => path,
        Err(why) => return Outcome::Failed(why),
    };
    let without = match tests_without_tools(context) {
        Ok(names) => names,
        Err(why) => return Outcome::Failed(why),
    };

    let mut command = context
        .runner
        .command(context, Set::EndToEnd { without: &without });
    println!("{EXAMPLE_VARIABLE}={}", example.display());
    command.env(EXAMPLE_VARIABLE, example);
    for located in context.tools() {
        for (index, program) in located.tool.programs.iter().enumerate() {
            match &located.state {
                Ok(installed) => command.env(program.variable, &installed.paths[index]),
                Err(_) => command.env_remove(program.variable),
            };
        }
    }
    if context.long {
        command.envs(LONG);
    }
    context.run(&mut command).then(|| {
        let mut note = format!("with {}", context.runner);
        if !without.is_empty() {
            let names = without.join(", ");
            note += &format!(
                "; tests skipped for want of tools: {} ({names})",
                without.len()
            );
        }
        Outcome::Passed(note)
    })
}

/// The tests that cannot run, told one by one with the reason.
fn tests_without_tools(context: &Context) -> Result<Vec<String>, String> {
    let missing: Vec<_> = context
        .tools()
        .iter()
        .filter_map(|located| Some((located.tool.name, located.state.as_ref().err()?)))
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = runner::end_to_end_tests(context)?;
    names.retain(|test| {
        let reason = missing.iter().find(|(tool, _)| needs(test, tool));
        if let Some((tool, why)) = reason {
            println!("skipped: {test}: {tool} is missing: {why}");
        }
        reason.is_some()
    });
    Ok(names)
}

/// Whether a test's name, or that of a module it is in, starts with the tool's.
fn needs(test: &str, tool: &str) -> bool {
    test.split("::").any(|part| {
        part.strip_prefix(tool)
            .is_some_and(|rest| rest.starts_with('_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_name_the_tool_they_need() {
        assert!(needs("prometheus_scrapes_the_sidecar", "prometheus"));
        assert!(needs("rules::prometheus_fires", "prometheus"));
        assert!(!needs("exports_prometheus_text", "prometheus"));
        assert!(!needs("prometheus", "prometheus"));
    }
}
