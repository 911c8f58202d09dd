//! Every crate that is meant for crates.io can be packaged.

use std::process::Stdio;

use serde_json::Value;

use super::Step;
use crate::context::Context;
use crate::report::Outcome;

/// Packs them without building what was packed: the other steps have built the same files.
pub const STEP: Step = Step {
    name: "package",
    about: "every published crate has what crates.io asks for, and can be packaged",
    run,
};

/// What crates.io asks for or shows, beside name and version.
const ASKED: [&str; 7] = [
    "description",
    "license",
    "repository",
    "keywords",
    "categories",
    "rust_version",
    "edition",
];

fn run(context: &Context) -> Outcome {
    let published = match published(context) {
        Ok(published) => published,
        Err(why) => return Outcome::Failed(why),
    };
    let mut package = context.cargo([
        "package",
        "--no-verify",
        "--allow-dirty",
        "--exclude-lockfile",
    ]);
    for name in &published {
        package.args(["-p", name]);
    }
    match context.run(&mut package) {
        Outcome::Passed(_) => Outcome::Passed(format!("{} crates", published.len())),
        other => other,
    }
}

/// The names of the crates that may be published, all of which say what is asked.
fn published(context: &Context) -> Result<Vec<String>, String> {
    let output = context
        .cargo(["metadata", "--no-deps", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cannot read the output of cargo metadata: {error}"))?;
    let mut names = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        // An empty list of registries is `publish = false`.
        if package["publish"].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let name = package["name"].as_str().unwrap_or_default();
        let silent = |field: &&&str| {
            let value = &package[**field];
            value.is_null() || value.as_array().is_some_and(Vec::is_empty)
        };
        if let Some(field) = ASKED.iter().find(|field| silent(field)) {
            return Err(format!("{name} does not say its {field} in Cargo.toml"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}
