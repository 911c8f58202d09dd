//! Debian packages without root: apt with a state of its own, then `dpkg-deb -x`.
//!
//! The machine's package lists may be absent, stale or not ours to write, so none of them is used.
//! Lists and cache live in the store; sources and keys are the machine's. The packages' signatures
//! are checked by apt as always.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Store;

/// Downloads a package and unpacks it into the store; gives its name and version.
pub fn fetch(store: &Store, package: &str) -> Result<String, String> {
    for program in ["apt-get", "dpkg-deb"] {
        if !on_path(program) {
            return Err(format!(
                "{program} is not on this machine (no Debian or Ubuntu?); install {package} and put it on PATH"
            ));
        }
    }
    let apt = Apt::new(store)?;
    println!(
        "fetching the Debian package {package} into {}",
        store.dir.display()
    );
    if !apt.has_lists() {
        apt.update();
    }
    let told = apt.download(package).or_else(|_| {
        // Lists from an earlier call may name a version that is gone by now.
        let update = apt.update();
        apt.download(package)
            .map_err(|why| last_words(&format!("{update}\n{why}"), 2))
    });
    told.map_err(|why| format!("apt-get download {package} fails: {why}; is there a network?"))?;

    let deb = apt.downloaded(package)?;
    run(Command::new("dpkg-deb")
        .arg("-x")
        .arg(&deb)
        .arg(store.root()))
    .map_err(|why| format!("cannot unpack {}: {why}", deb.display()))?;
    let version =
        run(Command::new("dpkg-deb").arg("-f").arg(&deb).arg("Version")).unwrap_or_default();
    Ok(format!("Debian package {package} {}", version.trim()))
}

/// apt-get with its own lists, cache and configuration.
struct Apt {
    config: PathBuf,
    lists: PathBuf,
    debs: PathBuf,
}

impl Apt {
    fn new(store: &Store) -> Result<Self, String> {
        let dir = store.dir.join("apt");
        let apt = Self {
            config: dir.join("apt.conf"),
            lists: dir.join("lists"),
            debs: store.dir.join("debs"),
        };
        let config = configuration(&apt.lists, &dir.join("cache"));
        [
            apt.lists.join("partial"),
            dir.join("cache/archives/partial"),
            apt.debs.clone(),
            store.root(),
        ]
        .iter()
        .try_for_each(fs::create_dir_all)
        .and_then(|()| fs::write(&apt.config, config))
        .map_err(|error| format!("cannot write below {}: {error}", store.dir.display()))?;
        Ok(apt)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command
            .arg("-c")
            .arg(&self.config)
            .env("LC_ALL", "C")
            .current_dir(&self.debs);
        command
    }

    fn has_lists(&self) -> bool {
        let entries = fs::read_dir(&self.lists).into_iter().flatten().flatten();
        entries
            .into_iter()
            .any(|entry| entry.file_name().to_string_lossy().contains("Packages"))
    }

    /// Renews the lists, and gives what apt complained of. That is told only when the download fails
    /// too: apt counts a source it cannot reach as a mere warning, and one broken third-party source
    /// among the machine's as a failure.
    fn update(&self) -> String {
        let output = self.command().arg("update").stdin(Stdio::null()).output();
        output.map_or_else(
            |error| error.to_string(),
            |output| last_words(&String::from_utf8_lossy(&output.stderr), 2),
        )
    }

    fn download(&self, package: &str) -> Result<String, String> {
        for old in self.debs_of(package) {
            fs::remove_file(&old)
                .map_err(|error| format!("cannot remove {}: {error}", old.display()))?;
        }
        run(self.command().args(["download", package]))
    }

    fn downloaded(&self, package: &str) -> Result<PathBuf, String> {
        self.debs_of(package)
            .pop()
            .ok_or_else(|| format!("apt-get left no {package} in {}", self.debs.display()))
    }

    fn debs_of(&self, package: &str) -> Vec<PathBuf> {
        let start = format!("{package}_");
        let entries = fs::read_dir(&self.debs).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&start))
            .map(|entry| entry.path())
            .collect()
    }
}

/// The private configuration. It is read after the machine's own, and so wins.
fn configuration(lists: &Path, cache: &Path) -> String {
    format!(
        "\
Dir::State::lists \"{}\";
Dir::Cache \"{}\";
// The hooks of container images delete from the machine's own cache.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
// As root apt would hand its work to a user who cannot write below the target directory.
APT::Sandbox::User \"root\";
// Half of what an update fetches, and not needed for a download.
Acquire::Languages \"none\";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";
// Without a network, say so soon.
Acquire::Retries \"1\";
Acquire::http::Timeout \"20\";
Acquire::https::Timeout \"20\";
",
        lists.display(),
        cache.display()
    )
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// A command's output, or what it said when it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(last_words(&String::from_utf8_lossy(&output.stderr), 3))
    }
}

/// The last lines, on one: apt's errors are at the end.
fn last_words(text: &str, most: usize) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(most)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_state_is_named_in_the_configuration() {
        let text = configuration(Path::new("/t/lists"), Path::new("/t/cache"));
        assert!(
            text.starts_with("Dir::State::lists \"/t/lists\";\nDir::Cache \"/t/cache\";\n"),
            "{text}"
        );
    }

    #[test]
    fn only_the_end_of_an_error_is_told() {
        assert_eq!(last_words("a\nb\n\nc\n d \n", 3), "b / c / d");
        assert_eq!(last_words("", 3), "");
    }
}
