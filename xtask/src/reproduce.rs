//! Whether a program comes out the same, byte for byte, wherever it is built.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::build;
use crate::context::Context;
use crate::report::Outcome;

/// Directories that differ in name and in length: either would show in a program that remembers where it was built.
const PLACES: [&str; 2] = ["one", "another-place"];
/// What a program may remember instead of them.
const SOURCES: &str = "/mirrorwatch";
/// What it may remember of where dependencies are unpacked.
const DEPENDENCIES: &str = "/cargo";

/// Builds a program from two clones of the last commit, each from nothing, and compares; true when they are equal.
pub fn twice(context: &Context, program: &str) -> Result<bool, String> {
    let mut built = Vec::new();
    for place in PLACES {
        let directory = context.target.join("reproduce").join(place);
        built.push(build_in(context, &directory, program)?);
    }
    let read =
        |path: &PathBuf| fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    let (one, other) = (read(&built[0])?, read(&built[1])?);
    for path in &built {
        println!("{}", path.display());
    }
    Ok(match difference(&one, &other) {
        None => {
            println!("{program}: {} bytes, the same in both", one.len());
            true
        }
        Some(how) => {
            println!("{program}: {how}");
            false
        }
    })
}

fn build_in(context: &Context, directory: &Path, program: &str) -> Result<PathBuf, String> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .map_err(|error| format!("cannot remove {}: {error}", directory.display()))?;
    }
    let mut clone = std::process::Command::new("git");
    clone.args(["clone", "--quiet", "--no-hardlinks"]);
    clone.arg(&context.root).arg(directory);
    if let Outcome::Failed(why) = context.run(&mut clone) {
        return Err(why);
    }
    let mut command = context.cargo(["build", "--release", "--locked", "--package", program]);
    command
        .args(["--bin", program])
        .current_dir(directory)
        .env("CARGO_TARGET_DIR", directory.join("target"))
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            flags(directory, &cargo_home()).join("\u{1f}"),
        );
    build::executable(&mut command, program)
}

/// What makes the compiler forget where it is.
fn flags(directory: &Path, home: &Path) -> [String; 2] {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    [remap(directory, SOURCES), remap(home, DEPENDENCIES)]
}

fn cargo_home() -> PathBuf {
    let named = env::var_os("CARGO_HOME").map(PathBuf::from);
    let usual = || env::home_dir().unwrap_or_default().join(".cargo");
    named.unwrap_or_else(usual)
}

/// How two programs differ, if they do.
fn difference(one: &[u8], other: &[u8]) -> Option<String> {
    if one.len() != other.len() {
        return Some(format!("{} bytes here, {} there", one.len(), other.len()));
    }
    let differ = one.iter().zip(other).filter(|(a, b)| a != b).count();
    let first = one.iter().zip(other).position(|(a, b)| a != b)?;
    Some(format!(
        "{differ} of {} bytes differ, the first at {first}",
        one.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_the_same_or_it_is_told_how_they_differ() {
        assert_eq!(difference(b"abcd", b"abcd"), None);
        let told = difference(b"abcd", b"aXcY").expect("they differ");
        assert_eq!(told, "2 of 4 bytes differ, the first at 1");
        let told = difference(b"abcd", b"abc").expect("they differ");
        assert_eq!(told, "4 bytes here, 3 there");
    }

    #[test]
    fn the_compiler_is_told_to_forget_both_places() {
        let flags = flags(Path::new("/somewhere/a"), Path::new("/home/me/.cargo"));
        assert_eq!(
            flags,
            [
                "--remap-path-prefix=/somewhere/a=/mirrorwatch",
                "--remap-path-prefix=/home/me/.cargo=/cargo"
            ]
        );
    }
}
