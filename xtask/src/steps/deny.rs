//! Licences, sources and duplicates of the dependencies.

use std::path::Path;
use std::process::Command;

use super::Step;
use crate::context::Context;
use crate::report::Outcome;
use crate::tools::{self, checkers};

/// Holds `Cargo.lock` against `deny.toml`, and the fuzz targets' own too.
pub const STEP: Step = Step {
    name: "deny",
    about: "licences, sources and duplicates of the dependencies are as in deny.toml",
    run,
};

/// What is checked, of what, with which features: whoever turns on a backend is bound by its licences, but lives with the
/// duplicates that it brings. A rule that nothing needs any more is a mistake, too.
const CHECKS: [(&str, &[&str], &[&str]); 3] = [
    (
        "Cargo.toml",
        &["--all-features"],
        &["licenses", "sources", "-D", "warnings"],
    ),
    ("Cargo.toml", &[], &["bans", "-D", "warnings"]),
    (
        "fuzz/Cargo.toml",
        &["--config", "fuzz/deny.toml"],
        &["licenses", "sources", "-D", "warnings"],
    ),
];

fn run(context: &Context) -> Outcome {
    let located = tools::locate(context, &checkers::TOOL, context.fetch);
    let installed = match located.state {
        Ok(installed) => installed,
        Err(why) => return Outcome::Skipped(why),
    };
    let program = &installed.paths[checkers::DENY];
    let all = CHECKS
        .iter()
        .fold(Outcome::passed(), |outcome, (manifest, options, checks)| {
            outcome.then(|| {
                let manifest = context.root.join(manifest);
                context.run(&mut command(context, program, &manifest, options, checks))
            })
        });
    all.then(|| Outcome::Passed(installed.version.clone()))
}

fn command(
    context: &Context,
    program: &Path,
    manifest: &Path,
    options: &[&str],
    checks: &[&str],
) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(&context.root)
        .args(["--locked", "--manifest-path"])
        .arg(manifest)
        .args(options)
        .arg("check")
        .arg("--hide-inclusion-graph")
        .args(checks);
    crate::context::forget_us(&mut command);
    command
}
