//! What every `Cargo.toml` keeps to: the oldest compiler, unsafe code denied, and features that are asked for one by one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::Step;
use crate::context::Context;
use crate::report::Outcome;

/// Goes through the packages of the workspace and of the fuzz targets.
pub const STEP: Step = Step {
    name: "manifests",
    about: "one oldest compiler, unsafe code denied, features asked for one by one",
    run,
};

const WORKSPACES: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

/// The oldest compiler, as this very package inherits it.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Where it is told to people and machines, and how.
const TOLD: [(&str, &str, &str); 5] = [
    ("README.md", "need Rust ", " "),
    ("CONTRIBUTING.md", "need Rust ", ". "),
    ("docs/guide/start.md", "need Rust ", " or later"),
    ("docs/guide/migrate.md", "exactly | ", " or later"),
    ("deploy/compose/Dockerfile", "FROM rust:", "-"),
];

/// Dependencies that may be taken with their default features, and what these are.
const DEFAULTS: [(&str, &str); 12] = [
    ("byteorder", "std alone"),
    ("crossbeam-channel", "std alone"),
    ("either", "std alone"),
    ("half", "std alone"),
    ("libfuzzer-sys", "the fuzzer itself"),
    ("regex-syntax", "what one-build is there to turn on"),
    ("serde", "std alone"),
    ("serde_json", "std alone"),
    ("syn", "what one-build is there to turn on"),
    ("tempfile", "names that nobody can guess"),
    ("thiserror", "std alone"),
    ("url", "std alone"),
];

fn run(context: &Context) -> Outcome {
    match look(context) {
        Ok((packages, problems)) if problems.is_empty() => {
            Outcome::Passed(format!("{packages} packages, {}", compiler(context)))
        }
        Ok((_, problems)) => {
            for problem in &problems {
                println!("{problem}");
            }
            Outcome::Failed(format!(
                "{} problems; they are listed above",
                problems.len()
            ))
        }
        Err(why) => Outcome::Failed(why),
    }
}

fn look(context: &Context) -> Result<(usize, Vec<String>), String> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let mut problems = lints_of_workspace(&read(&context.root.join("Cargo.toml"))?);
    let (mut count, mut unneeded) = (0, defaults());
    for workspace in WORKSPACES {
        for package in packages(context, workspace)? {
            count += 1;
            let manifest = package["manifest_path"].as_str().unwrap_or_default();
            let text = read(Path::new(manifest))?;
            problems.extend(problems_of(&package, &text));
            for path in said_untested(&package) {
                problems.extend(silenced(path, &read(Path::new(path))?));
            }
            for name in with_defaults(&package) {
                unneeded.remove(name);
            }
        }
    }
    problems.extend(unneeded.iter().map(|name| {
        format!("nothing takes {name} with its default features any more; take it off the list of this step")
    }));
    for (file, before, after) in TOLD {
        problems.extend(told(file, &read(&context.root.join(file))?, before, after));
    }
    Ok((count, problems))
}

fn packages(context: &Context, manifest: &str) -> Result<Vec<Value>, String> {
    let words = ["metadata", "--no-deps", "--format-version", "1"];
    let output = context
        .cargo(words)
        .args(["--manifest-path", manifest])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cannot read the output of cargo metadata: {error}"))?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

/// What is wrong with one package.
fn problems_of(package: &Value, manifest: &str) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let mut problems = Vec::new();
    if package["rust_version"] != OLDEST {
        problems.push(format!(
            "{name}: its rust-version is {}, that of the others {OLDEST}; inherit it",
            package["rust_version"]
        ));
    }
    let inherits = manifest.contains("[lints]\nworkspace = true\n");
    let own = ["deny", "forbid"].map(|level| format!("[lints.rust]\nunsafe_code = \"{level}\"\n"));
    if !inherits && !own.iter().any(|lint| manifest.contains(lint)) {
        problems.push(format!(
            "{name}: nothing denies unsafe code; add [lints] with workspace = true, or [lints.rust] with unsafe_code"
        ));
    }
    let listed = defaults();
    problems.extend(with_defaults(package).filter(|other| !listed.contains(other)).map(
        |other| {
            format!("{name}: takes {other} with its default features; add default-features = false and those it needs")
        },
    ));
    problems
}

/// The sources of programs whose manifest says that they have no tests: each is built once less, and takes long.
fn said_untested(package: &Value) -> impl Iterator<Item = &str> {
    package["targets"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|target| target["test"] == false && target["kind"][0] == "bin")
        .filter_map(|target| target["src_path"].as_str())
}

/// Tests that would not run: those of the file, or of a module below it, where nobody looks.
fn silenced(path: &str, text: &str) -> Option<String> {
    let module = |line: &str| line.starts_with("mod ") || line.trim_start().starts_with("#[test]");
    text.lines().any(module).then(|| {
        format!("{path}: has tests or modules, but its manifest says test = false; take that away")
    })
}

/// The dependencies from the registry that are taken with their default features.
fn with_defaults(package: &Value) -> impl Iterator<Item = &str> {
    package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| one["uses_default_features"] == true && one["path"].is_null())
        .filter_map(|one| one["name"].as_str())
}

fn defaults() -> BTreeSet<&'static str> {
    DEFAULTS.iter().map(|(name, _)| *name).collect()
}

/// The lints that packages inherit.
fn lints_of_workspace(manifest: &str) -> Vec<String> {
    let asked = ["unsafe_code = \"deny\"\n", "incompatible_msrv = \"warn\"\n"];
    asked
        .iter()
        .filter(|lint| !manifest.contains(**lint))
        .map(|lint| {
            format!(
                "Cargo.toml: the lints of the workspace have no {}",
                lint.trim_end()
            )
        })
        .collect()
}

/// Whether a file tells the oldest compiler, between these words.
fn told(file: &str, text: &str, before: &str, after: &str) -> Option<String> {
    let wanted = format!("{before}{OLDEST}{after}");
    let right =
        text.contains(&wanted) && text.matches(before).count() == text.matches(&wanted).count();
    (!right).then(|| format!("{file}: does not say {wanted:?}, or another version beside it"))
}

/// What compiles here, and whether that shows that the oldest one is enough.
fn compiler(context: &Context) -> String {
    let output = context.cargo(["--version"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = text
        .as_deref()
        .unwrap_or_default()
        .split(' ')
        .nth(1)
        .unwrap_or("?")
        .trim();
    if version.starts_with(&format!("{OLDEST}.")) {
        format!("{version} is the oldest compiler promised")
    } else {
        format!("{OLDEST} is promised, {version} is here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const INHERITS: &str = "[package]\n\n[lints]\nworkspace = true\n";

    fn package(version: &str, dependency: Value) -> Value {
        json!({"name": "a", "rust_version": version, "dependencies": [dependency]})
    }

    #[test]
    fn a_package_of_another_compiler_unsafe_code_or_default_features_is_found() {
        let plain = json!({"name": "tokio", "uses_default_features": false, "path": null});
        let all = json!({"name": "tokio", "uses_default_features": true, "path": null});
        let ours = json!({"name": "b", "uses_default_features": true, "path": "/b"});
        let listed = json!({"name": "serde", "uses_default_features": true, "path": null});
        for fine in [&plain, &ours, &listed] {
            let none: [&str; 0] = [];
            assert_eq!(problems_of(&package(OLDEST, fine.clone()), INHERITS), none);
        }
        let one = |package: Value, manifest: &str, word: &str| {
            let problems = problems_of(&package, manifest);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(word), "{problems:?}");
        };
        one(package("1.80", plain.clone()), INHERITS, "rust-version");
        one(package(OLDEST, all), INHERITS, "tokio");
        one(package(OLDEST, plain.clone()), "[package]\n", "unsafe");
        let own = "[lints.rust]\nunsafe_code = \"forbid\"\n";
        assert!(problems_of(&package(OLDEST, plain.clone()), own).is_empty());
        let allowed = "[lints.rust]\nunsafe_code = \"allow\"\n";
        one(package(OLDEST, plain), allowed, "unsafe");
    }

    #[test]
    fn tests_of_a_program_that_is_said_to_have_none_are_found() {
        let target =
            |kind: &str, test: bool| json!({"kind": [kind], "test": test, "src_path": "a.rs"});
        let untested = |target: Value| said_untested(&json!({"targets": [target]})).count();
        assert_eq!(untested(target("bin", false)), 1);
        assert_eq!(untested(target("bin", true)), 0);
        assert_eq!(untested(target("test", false)), 0);
        assert!(silenced("a.rs", "use b::c;\n\nfn main() {}\n").is_none());
        assert!(silenced("a.rs", "    #[test]\n    fn works() {}\n").is_some());
        assert!(silenced("a.rs", "mod options;\n\nfn main() {}\n").is_some());
    }

    #[test]
    fn another_version_in_the_texts_is_found() {
        let text = |version: &str| format!("You need Rust {version}. And more.\n");
        let problem = |text: &str| told("a.md", text, "need Rust ", ". ");
        assert!(problem(&text(OLDEST)).is_none());
        assert!(problem(&text("1.80")).is_some());
        assert!(problem(&(text(OLDEST) + &text("1.80"))).is_some());
        assert!(problem("nothing").is_some());
    }

    #[test]
    fn lints_that_were_taken_out_of_the_workspace_are_found() {
        let all = "unsafe_code = \"deny\"\nincompatible_msrv = \"warn\"\n";
        assert!(lints_of_workspace(all).is_empty());
        assert_eq!(lints_of_workspace("unsafe_code = \"warn\"\n").len(), 2);
    }
}
