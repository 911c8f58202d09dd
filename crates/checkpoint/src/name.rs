//! The names of runs and of the files inside them.

use std::fmt;
use std::path::{Component, Path};

use crate::CheckpointError;

/// Longest name of a run, in bytes.
const MAX_RUN_NAME: usize = 128;

/// Digits of a weights file's hash that its name carries.
const HASH_DIGITS: usize = 12;

/// Characters of somebody else's text that a message shows.
const SHOWN: usize = 100;

/// Name of the file with a run's status, in its directory.
pub const STATUS_FILE: &str = "run.json";

/// Makes sure that a name can be that of a run: 1 to 128 of `A-Z a-z 0-9 . _ -`, not starting with
/// a dot. Such a name is one path component and needs no quoting in a metric's label.
///
/// # Errors
///
/// [`CheckpointError::RunName`] says what is wrong with it.
///
/// ```
/// use mirrorwatch_checkpoint::check_run_name;
///
/// assert!(check_run_name("resnet-18_lr0.1").is_ok());
/// let refused = check_run_name("../etc").map_err(|error| error.to_string());
/// assert!(refused.is_err_and(|text| text.starts_with(r#""../etc" cannot name a run"#)));
/// ```
pub fn check_run_name(name: &str) -> Result<(), CheckpointError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_RUN_NAME {
        "it is too long"
    } else if name.starts_with('.') {
        "it starts with a dot"
    } else if !name.chars().all(allowed) {
        "it holds a character that is not allowed"
    } else {
        return Ok(());
    };
    Err(CheckpointError::RunName {
        name: name.to_owned(),
        problem,
    })
}

/// What the names of a checkpoint's files start with: `epoch-000003-step-0000000471`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stem {
    pub(crate) epoch: u64,
    pub(crate) step: u64,
}

impl Stem {
    /// Reads a stem; only the one spelling that [`Stem`] itself writes counts.
    fn parse(text: &str) -> Option<Stem> {
        let (epoch, step) = text.strip_prefix("epoch-")?.split_once("-step-")?;
        let stem = Stem {
            epoch: epoch.parse().ok()?,
            step: step.parse().ok()?,
        };
        (stem.to_string() == text).then_some(stem)
    }

    /// The stem in the file name of a manifest.
    pub(crate) fn of_manifest(file_name: &str) -> Option<Stem> {
        Stem::parse(file_name.strip_suffix(".json")?)
    }

    /// The stem in the file name of weights, with or without a hash.
    pub(crate) fn of_weights(file_name: &str) -> Option<Stem> {
        let base = file_name.strip_suffix(".bpk")?;
        if let Some(stem) = Stem::parse(base) {
            return Some(stem);
        }
        let (stem, hash) = base.rsplit_once('-')?;
        (hash.len() == HASH_DIGITS && is_lower_hex(hash)).then(|| Stem::parse(stem))?
    }

    pub(crate) fn manifest_name(self) -> String {
        format!("{self}.json")
    }

    /// Weights carry their hash in the name: publishing other content for the same step makes a new
    /// file, and whoever holds the old manifest never reads the new bytes by mistake.
    pub(crate) fn weights_name(self, sha256: &str) -> String {
        format!("{self}-{}.bpk", short_hash(sha256))
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch-{:06}-step-{:010}", self.epoch, self.step)
    }
}

/// The part of a hash that is enough for people and file names.
pub(crate) fn short_hash(sha256: &str) -> &str {
    sha256.get(..HASH_DIGITS).unwrap_or(sha256)
}

/// As much of a text as a message needs to show.
pub(crate) fn start_of(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(crate) fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a name is that of a file in the same directory, on every system.
pub(crate) fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let one = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(_)), None)
    );
    one && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_names() {
        for name in ["a", "mnist-2026.11_23", "-x", &"r".repeat(128)] {
            assert!(check_run_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            ".a",
            "..",
            "a/b",
            "a b",
            "ä",
            "a\n",
            "a\\b",
            &"r".repeat(129),
        ] {
            let error = check_run_name(name).unwrap_err();
            assert_eq!(error.reason(), "run_name", "{name}");
        }
        assert_eq!(
            check_run_name("../x").unwrap_err().to_string(),
            "\"../x\" cannot name a run, it starts with a dot: use 1 to 128 letters, digits, dots, dashes and underscores, not starting with a dot"
        );
    }

    #[test]
    fn stems_are_read_back_in_one_spelling_only() {
        let stem = Stem {
            epoch: 3,
            step: 471,
        };
        assert_eq!(stem.to_string(), "epoch-000003-step-0000000471");
        assert_eq!(Stem::of_manifest(&stem.manifest_name()), Some(stem));
        let weights = stem.weights_name(&"ab".repeat(32));
        assert_eq!(weights, "epoch-000003-step-0000000471-abababababab.bpk");
        assert_eq!(Stem::of_weights(&weights), Some(stem));
        assert_eq!(
            Stem::of_weights("epoch-000003-step-0000000471.bpk"),
            Some(stem)
        );
        let large = Stem {
            epoch: u64::MAX,
            step: u64::MAX,
        };
        assert_eq!(Stem::of_manifest(&large.manifest_name()), Some(large));
        for name in [
            "epoch-3-step-471.json",
            "epoch-000003-step-0000000471.json.bak",
            "epoch-+00003-step-0000000471.json",
            "epoch-000003-step-00000000471.json",
            "run.json",
            ".json",
        ] {
            assert_eq!(Stem::of_manifest(name), None, "{name}");
        }
        for name in [
            "epoch-000003-step-0000000471-ABABABABABAB.bpk",
            "epoch-000003-step-0000000471-abab.bpk",
            "epoch-000003-step-0000000471-abababababab.json",
            "mine.bpk",
        ] {
            assert_eq!(Stem::of_weights(name), None, "{name}");
        }
    }

    #[test]
    fn plain_names() {
        assert!(is_plain("a.bpk"));
        assert!(is_plain("..a"));
        for name in [
            "", ".", "..", "a/b", "/a", "../a", "a/", "./a", "a\\b", "C:a", "a\0",
        ] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
