//! The guide's project compiles as it stands, and so does what `mirrorwatch init` writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Step;
use crate::build;
use crate::context::Context;
use crate::report::Outcome;

/// Writes the guide's project as a reader would, and another one that gets its sidecar from `init`; checks both.
pub const STEP: Step = Step {
    name: "guide",
    about: "the guide's project and one after `init` compile",
    run,
};

fn run(context: &Context) -> Outcome {
    let place = match prepare(context) {
        Ok(place) => place,
        Err(why) => return Outcome::Failed(why),
    };
    for project in PROJECTS {
        let mut check = context.cargo(["check", "--offline", "--bins", "--quiet"]);
        check.current_dir(place.join(project));
        // The dependencies are those of the other steps.
        check.env("CARGO_TARGET_DIR", &context.target);
        let outcome = context.run(&mut check);
        if let Outcome::Failed(_) = outcome {
            return outcome;
        }
    }
    Outcome::passed()
}

/// What has the subcommand `init`.
const PROGRAM: &str = "mirrorwatch";

/// The guide's, and the one that `init` extends.
const PROJECTS: [&str; 2] = ["my-training", "existing"];

/// Where the profile begins, which is the last that is in a manifest.
const PROFILE: &str = "[profile.dev]";

/// Both projects, below the target directory.
fn prepare(context: &Context) -> Result<PathBuf, String> {
    let place = context.target.join("guide");
    let _ = fs::remove_dir_all(&place);
    let guide = context.root.join("docs/guide");
    let mut files = Vec::new();
    for entry in fs::read_dir(&guide).map_err(|error| format!("{}: {error}", guide.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|e| e == "md") {
            let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            files.extend(
                files_of(&text)
                    .into_iter()
                    .map(|(n, t)| (n.to_owned(), t.to_owned())),
            );
        }
    }
    if files.len() < 4 {
        return Err(format!(
            "the guide shows {} files; are they marked as before?",
            files.len()
        ));
    }
    for (name, text) in &files {
        write(&place.join("my-training").join(name), text)?;
    }
    // Where a reader has the clone.
    link(&context.root, &place.join("mirrorwatch"))?;

    let existing = context.root.join("examples/existing");
    copy(&existing, &place.join("existing"))?;
    let manifest = place.join("existing/Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(|error| error.to_string())?;
    write(
        &manifest,
        &text.replace("../../crates", "../mirrorwatch/crates"),
    )?;
    // As the end-to-end suite builds its example: linked from what the tests have built.
    let mut build = context.cargo(["build", "--workspace", "--tests", "--bin", PROGRAM]);
    let program = build::executable(&mut build, PROGRAM)?;
    let made = Command::new(&program)
        .args(["init", "existing", "--no-check", "--path"])
        .arg("../mirrorwatch/crates/mirrorwatch")
        .current_dir(&place)
        .status()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if !made.success() {
        return Err(format!("`mirrorwatch init` ended with {made}"));
    }

    let root = fs::read_to_string(context.root.join("Cargo.toml")).map_err(|e| e.to_string())?;
    // The same profile in place of its own, or everything would be gone through once more.
    let profile = root.find(PROFILE).map_or("", |at| &root[at..]);
    for project in PROJECTS {
        let manifest = place.join(project).join("Cargo.toml");
        let text = fs::read_to_string(&manifest).map_err(|error| error.to_string())?;
        let text = text.find(PROFILE).map_or(&text[..], |at| &text[..at]);
        // Not part of the workspace that the target directory is in.
        write(&manifest, &format!("{text}\n[workspace]\n\n{profile}"))?;
        let lock = place.join(project).join("Cargo.lock");
        fs::copy(context.root.join("Cargo.lock"), lock).map_err(|error| error.to_string())?;
    }
    Ok(place)
}

/// The files that a chapter shows: a line with the name in backticks and a colon, an empty one, and a block.
fn files_of(text: &str) -> Vec<(&str, &str)> {
    let mut files = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("`:\n\n```") {
        let name = rest[..at]
            .rsplit('\n')
            .next()
            .and_then(|line| line.strip_prefix('`'));
        let block = &rest[at + "`:\n\n```".len()..];
        let start = block.find('\n').map_or(block.len(), |end| end + 1);
        let Some(end) = block[start..].find("\n```") else {
            break;
        };
        if let Some(name) = name {
            files.push((name, &block[start..=start + end]));
        }
        rest = &block[start + end + 4..];
    }
    files
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A directory with all that is in it, but for tests.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot copy {}: {error}", from.display());
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().filter(|name| *name != "tests") else {
            continue;
        };
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn link(original: &Path, at: &Path) -> Result<(), String> {
    std::os::unix::fs::symlink(original, at).map_err(|e| format!("{}: {e}", at.display()))
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> Result<(), String> {
    Err("this step needs symbolic links".to_owned())
}

#[cfg(test)]
mod tests {
    use super::files_of;

    #[test]
    fn files_are_told_from_other_blocks() {
        let text = "a\n\n```console\n$ x\n```\n\n`src/a.rs`:\n\n```rust\nfn a() {}\n\nfn b() {}\n```\n\nb `c`:\n\n```text\nno\n```\n`d.yml`:\n\n```yaml\ne: 1\n```\n";
        assert_eq!(
            files_of(text),
            [
                ("src/a.rs", "fn a() {}\n\nfn b() {}\n"),
                ("d.yml", "e: 1\n")
            ]
        );
    }
}
