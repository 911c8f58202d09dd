//! What must not be in the repository.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Step;
use crate::context::Context;
use crate::report::Outcome;

/// Lists every file that breaks a rule, and fails when there is one.
pub const STEP: Step = Step {
    name: "hygiene",
    about: "no huge file, private path, unfinished code or overlong source",
    run,
};

/// Large files stay in a repository's history for ever.
const MOST_BYTES: u64 = 6 * 1024 * 1024;
/// A file nobody can hold in mind.
const MOST_LINES: usize = 500;
/// Directories of the machines that the project is made on.
const PRIVATE: [&str; 2] = ["work", "farm"];
/// Macros that stand for code not written yet. Put together here, so as not to find themselves.
const UNFINISHED: [&str; 2] = [concat!("todo", "!("), concat!("unimplemented", "!(")];

/// What would let code past a lint of the workspace that has no exception but one. Put together here, too.
const LINTS: [&str; 2] = [concat!("unsafe", "_code"), concat!("incompatible", "_msrv")];
/// The one file that may call what has no safe name, once.
const AUDITED: &str = "crates/daemon/src/heap.rs";
const BLOCK: &str = concat!("unsafe", " {");

fn run(context: &Context) -> Outcome {
    let files = match files(&context.root) {
        Ok(files) => files,
        Err(why) => return Outcome::Skipped(why),
    };
    let mut problems = Vec::new();
    for name in &files {
        match examine(&context.root.join(name), name) {
            Ok(found) => {
                problems.extend(found.into_iter().map(|problem| format!("{name}{problem}")))
            }
            Err(why) => problems.push(format!("{name}: cannot be read: {why}")),
        }
    }
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        Outcome::Passed(format!("{} files", files.len()))
    } else {
        Outcome::Failed(format!(
            "{} problems in {} files; they are listed above",
            problems.len(),
            files.len()
        ))
    }
}

/// The tracked files, and those a commit of everything would add.
fn files(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ])
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start git: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "not a git work tree: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    // Deleted files are still tracked until the deletion is committed; a link may lead anywhere.
    let is_file =
        |name: &&str| fs::symlink_metadata(root.join(name)).is_ok_and(|meta| meta.is_file());
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .filter(is_file)
        .map(str::to_owned)
        .collect())
}

/// What is wrong with a file, each as the rest of a line that starts with its name.
fn examine(path: &Path, name: &str) -> std::io::Result<Vec<String>> {
    let bytes = fs::metadata(path)?.len();
    if bytes > MOST_BYTES {
        return Ok(vec![format!(
            ": {bytes} bytes, more than {MOST_BYTES}; make it smaller or have it made by code"
        )]);
    }
    let content = fs::read(path)?;
    // As git tells binary files from text.
    if content.iter().take(8000).any(|&byte| byte == 0) {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&content);
    let problems = examine_text(&text, name.ends_with(".rs"));
    Ok(but_for_the_audited(problems, name, &text))
}

/// Without the one exception that one file may make, for one call.
fn but_for_the_audited(mut problems: Vec<String>, name: &str, text: &str) -> Vec<String> {
    let calls = text.matches(BLOCK).count();
    if name == AUDITED
        && calls == 1
        && let Some(at) = problems.iter().position(|it| it.contains(LINTS[0]))
    {
        problems.remove(at);
    }
    problems
}

fn examine_text(text: &str, rust: bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(path) = private_path(line) {
            problems.push(format!(
                ":{number}: names {path}, a path of a private machine; write it another way"
            ));
        }
        if let Some(lint) = LINTS.iter().find(|lint| rust && turns_off(line, lint)) {
            problems.push(format!(
                ":{number}: turns off {lint}, of which there is no exception here; write it another way"
            ));
        }
        for macro_call in UNFINISHED
            .iter()
            .filter(|call| rust && line.contains(**call))
        {
            problems.push(format!(
                ":{number}: {macro_call}…) stands for unfinished code; write it"
            ));
        }
    }
    let lines = text.lines().count();
    if rust && lines > MOST_LINES {
        problems.push(format!(
            ": {lines} lines, more than {MOST_LINES}; divide it"
        ));
    }
    problems
}

/// An attribute that makes an error of the lint anything less, or a line of one that has several.
fn turns_off(line: &str, lint: &str) -> bool {
    let line = line.trim();
    let attribute = line.starts_with('#') || line.starts_with(lint);
    attribute && line.contains(lint) && !line.contains("deny(") && !line.contains("forbid(")
}

/// A private directory's path at the start of a word: `(^|[^A-Za-z0-9_])/(work|farm)/`.
fn private_path(line: &str) -> Option<String> {
    PRIVATE.iter().map(|name| format!("/{name}/")).find(|path| {
        line.match_indices(path.as_str()).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_paths_are_found_at_the_start_of_a_word_only() {
        let [work, farm] = PRIVATE;
        assert!(private_path(&format!("/{work}/main")).is_some());
        assert!(private_path(&format!("see '/{farm}/x' there")).is_some());
        assert!(private_path(&format!("frame/{work}/x and ok_/{farm}/y")).is_none());
        assert!(private_path(&format!("at/{work}/x, then /{work}/y")).is_some());
        assert!(private_path(&format!("the {work}/life balance")).is_none());
    }

    #[test]
    fn attributes_that_turn_off_a_lint_without_exceptions_are_found() {
        for lint in LINTS {
            for word in ["allow", "expect", "warn"] {
                assert!(turns_off(
                    &format!("    #[{word}(dead_code, {lint})]"),
                    lint
                ));
                assert_eq!(
                    examine_text(&format!("#![{word}({lint})]\n"), true).len(),
                    1
                );
            }
            assert!(!turns_off(&format!("#![forbid({lint})]"), lint));
            assert!(!turns_off(&format!("// {lint} is denied"), lint));
            let lines = format!("#[expect(\n    {lint},\n    reason = \"none\"\n)]\n");
            assert_eq!(examine_text(&lines, true).len(), 1);
        }
    }

    #[test]
    fn one_file_may_turn_the_lint_off_once() {
        let once = format!("#[expect({})]\n", LINTS[0]);
        for (text, calls, name, found) in [
            (once.clone(), 1, AUDITED, 0),
            (once.clone(), 2, AUDITED, 1),
            (once.clone(), 0, AUDITED, 1),
            (once.repeat(2), 1, AUDITED, 1),
            (once.clone(), 1, "crates/daemon/src/worker.rs", 1),
            (format!("#[expect({})]\n", LINTS[1]), 1, AUDITED, 1),
        ] {
            let text = text + &format!("{BLOCK} f() }}\n").repeat(calls);
            let problems = but_for_the_audited(examine_text(&text, true), name, &text);
            assert_eq!(problems.len(), found, "{name}: {text}");
        }
    }

    #[test]
    fn unfinished_and_overlong_code_is_found_in_rust_only() {
        let unfinished = format!("fn f() {{\n    {}\"later\")\n}}\n", UNFINISHED[0]);
        let found = examine_text(&unfinished, true);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with(":2: "), "{found:?}");
        assert!(examine_text(&unfinished, false).is_empty());

        assert!(examine_text(&"x\n".repeat(MOST_LINES), true).is_empty());
        assert_eq!(examine_text(&"x\n".repeat(MOST_LINES + 1), true).len(), 1);
        assert!(examine_text(&"x\n".repeat(MOST_LINES + 1), false).is_empty());
    }
}
