//! Finding a tool, and keeping what was fetched.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Installed, Located, Tool};
use crate::context::Context;

/// Where fetched tools are kept.
pub struct Store {
    /// `tools` under the target directory: `cargo clean` removes it.
    pub dir: PathBuf,
}

impl Store {
    /// The store of this workspace.
    pub fn of(context: &Context) -> Self {
        Self {
            dir: context.target.join("tools"),
        }
    }

    /// Held while something is fetched: two runs at once (an editor's and a person's) would unpack over each other.
    pub fn lock(&self) -> Result<File, String> {
        let told =
            |error: std::io::Error| format!("cannot write below {}: {error}", self.dir.display());
        fs::create_dir_all(&self.dir).map_err(told)?;
        let lock = File::create(self.dir.join("lock")).map_err(told)?;
        lock.lock().map_err(told)?;
        Ok(lock)
    }

    /// What packages are unpacked into.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    fn stamp(&self, tool: &Tool) -> PathBuf {
        self.dir.join("stamps").join(tool.name)
    }
}

/// Finds a tool, in this order: named by the environment, fetched before, fetched now, on `PATH`.
pub fn locate(context: &Context, tool: &'static Tool, fetch: bool) -> Located {
    let store = Store::of(context);
    let state = from_environment(tool).unwrap_or_else(|| {
        from_store(&store, tool)
            .map_or_else(
                || {
                    if fetch {
                        fetch_now(&store, tool)
                    } else {
                        Err(not_fetched(tool))
                    }
                },
                Ok,
            )
            .or_else(|why| from_path(tool).ok_or(why))
    });
    Located { tool, state }
}

fn not_fetched(tool: &Tool) -> String {
    let all = if tool.by_default { "" } else { " --all" };
    format!("not fetched in this run; cargo xtask tools{all} tells how to get it")
}

/// The programs a person named. A name that leads nowhere is an error: falling back to another
/// version than the one asked for would be worse than not running.
fn from_environment(tool: &Tool) -> Option<Result<Installed, String>> {
    let named: Vec<_> = tool
        .programs
        .iter()
        .map(|program| env::var_os(program.variable))
        .collect();
    if named.iter().all(Option::is_none) {
        return None;
    }
    let mut paths = Vec::new();
    for (program, path) in tool.programs.iter().zip(named) {
        match path.map(PathBuf::from) {
            Some(path) if path.is_file() => paths.push(path),
            Some(path) => {
                let problem = format!(
                    "{} names {}, which is no file",
                    program.variable,
                    path.display()
                );
                return Some(Err(format!("{problem}; correct or unset it")));
            }
            None => {
                return Some(Err(format!(
                    "{} is not set beside the others of {}",
                    program.variable, tool.name
                )));
            }
        }
    }
    Some(Ok(Installed {
        version: "named by the environment".into(),
        paths,
    }))
}

/// The programs fetched before, in the versions that are asked for now. The stamp is written last, so what it
/// vouches for is complete.
fn from_store(store: &Store, tool: &Tool) -> Option<Installed> {
    let version = fs::read_to_string(store.stamp(tool)).ok()?;
    if !(tool.pins)().iter().all(|pin| version.contains(pin)) {
        return None;
    }
    let paths = programs_in(&store.root().join("usr/bin"), tool)?;
    Some(Installed {
        version: version.trim_end().to_owned(),
        paths,
    })
}

fn from_path(tool: &Tool) -> Option<Installed> {
    let path = env::var_os("PATH")?;
    let paths = env::split_paths(&path).find_map(|dir| programs_in(&dir, tool))?;
    let version = paths.first().and_then(|path| version_of(path).ok())?;
    Some(Installed {
        version: format!("{version}, on PATH"),
        paths,
    })
}

fn programs_in(dir: &Path, tool: &Tool) -> Option<Vec<PathBuf>> {
    let file = |name: &str| dir.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let paths: Vec<_> = tool
        .programs
        .iter()
        .map(|program| file(program.name))
        .collect();
    paths.iter().all(|path| path.is_file()).then_some(paths)
}

/// Fetches a tool, runs each of its programs once, and stamps it.
fn fetch_now(store: &Store, tool: &Tool) -> Result<Installed, String> {
    let stamp = store.stamp(tool);
    let told =
        |error: std::io::Error| format!("cannot write below {}: {error}", store.dir.display());
    fs::create_dir_all(stamp.parent().unwrap_or(&store.dir)).map_err(told)?;
    let _lock = store.lock()?;
    if let Some(installed) = from_store(store, tool) {
        return Ok(installed);
    }
    let package = (tool.fetch)(store)?;
    let bin = store.root().join("usr/bin");
    let paths = programs_in(&bin, tool).ok_or_else(|| {
        format!(
            "{package} does not hold the programs of {} in usr/bin",
            tool.name
        )
    })?;
    let mut versions = Vec::new();
    for path in &paths {
        versions.push(version_of(path)?);
    }
    let version = format!("{} ({package})", versions.join("; "));
    fs::write(&stamp, &version).map_err(told)?;
    Ok(Installed { version, paths })
}

/// The first line a program says of its version, which also shows that it runs here.
fn version_of(path: &Path) -> Result<String, String> {
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", path.display()))?;
    // Prometheus before 2.4x told its version on stderr.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    if !output.status.success() {
        return Err(format!(
            "{} --version fails: {line}; a library may be missing, see ldd",
            path.display()
        ));
    }
    Ok(line
        .split(" (branch")
        .next()
        .unwrap_or(line)
        .replace(", version", ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::TOOLS;

    #[test]
    fn what_was_fetched_needs_its_stamp_and_all_its_programs() {
        let dir = env::temp_dir().join(format!("xtask-store-{}", std::process::id()));
        let store = Store { dir: dir.clone() };
        let tool = &TOOLS[0];
        let bin = store.root().join("usr/bin");
        let touch = |path: PathBuf| {
            fs::create_dir_all(path.parent().expect("has a parent")).expect("can create");
            fs::write(path, "1.0\n").expect("can write");
        };
        for program in tool.programs {
            assert!(from_store(&store, tool).is_none());
            touch(bin.join(format!("{}{}", program.name, env::consts::EXE_SUFFIX)));
        }
        assert!(from_store(&store, tool).is_none());
        touch(store.stamp(tool));
        let installed = from_store(&store, tool).expect("is complete now");
        assert_eq!(installed.version, "1.0");
        assert_eq!(installed.paths.len(), tool.programs.len());
        let other = Tool {
            pins: || vec!["2.0".into()],
            ..TOOLS[0]
        };
        assert!(
            from_store(&store, &other).is_none(),
            "fetched in another version"
        );
        fs::remove_dir_all(dir).expect("can remove");
    }

    #[test]
    fn a_tool_not_fetched_says_what_to_do() {
        for tool in TOOLS {
            assert!(not_fetched(tool).contains("cargo xtask tools"));
        }
    }
}
