//! Reads manifests and status files, believing nothing in them unchecked.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::name::{self, Stem};
use crate::{CheckpointError, MAX_MANIFEST_BYTES, Manifest, RunStatus, SCHEMA, read_plain};

impl Manifest {
    /// Reads a manifest and holds it against its file name.
    pub(crate) fn read(path: &Path, stem: Stem) -> Result<Manifest, CheckpointError> {
        Self::of(path, stem, &read_plain(path, MAX_MANIFEST_BYTES)?)
    }

    /// Reads a manifest that is in memory, and holds it against the name of its file as a listing does.
    ///
    /// # Arguments
    ///
    /// * `path` - the file it came from; only its name matters, and it is named in errors.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Malformed`], [`CheckpointError::Version`], [`CheckpointError::UnsafePath`] if the weights would be
    /// elsewhere, [`CheckpointError::TooLarge`], and [`CheckpointError::Invalid`], also for a name that no manifest has.
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{CheckpointError, Manifest, RunWriter, Snapshot, list_checkpoints};
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let root = root.path();
    /// RunWriter::create(root, "mnist")?.publish(Snapshot::default(), b"weights")?;
    /// let found = list_checkpoints(root, "mnist")?.manifests.remove(0);
    /// let bytes = std::fs::read(&found.path)?;
    /// assert_eq!(Manifest::from_bytes(&found.path, &bytes)?, found.manifest);
    /// let refused = Manifest::from_bytes("epoch-000007-step-0000000000.json", &bytes);
    /// assert!(matches!(refused, Err(CheckpointError::Invalid { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Manifest, CheckpointError> {
        let path = path.as_ref();
        let name = path.file_name().and_then(|name| name.to_str());
        match name.and_then(Stem::of_manifest) {
            Some(stem) => Self::of(path, stem, bytes),
            None => Err(CheckpointError::Invalid {
                path: path.to_path_buf(),
                problem: "no manifest has this name".to_string(),
            }),
        }
    }

    fn of(path: &Path, stem: Stem, bytes: &[u8]) -> Result<Manifest, CheckpointError> {
        let manifest: Manifest = json(path, bytes)?;
        let file = &manifest.weights.file;
        if !name::is_plain(file) {
            let problem = format!("it names the weights file {:?}", name::start_of(file));
            return Err(CheckpointError::unsafe_path(path, problem));
        }
        let invalid = |problem: String| CheckpointError::Invalid {
            path: path.to_path_buf(),
            problem,
        };
        // They are kept for as long as the run is, for every checkpoint anew.
        for (what, text) in [
            ("instance", &manifest.instance),
            ("format", &manifest.weights.format),
            ("weights file", file),
        ] {
            if text.len() > LONGEST_NAME {
                return Err(invalid(format!(
                    "its {what} is a text of {} bytes, more than {LONGEST_NAME}",
                    text.len()
                )));
            }
        }
        if manifest.epoch != stem.epoch || manifest.step != stem.step {
            return Err(invalid(format!(
                "it describes epoch {} step {}",
                manifest.epoch, manifest.step
            )));
        }
        let sha256 = &manifest.weights.sha256;
        if sha256.len() != 64 || !name::is_lower_hex(sha256) {
            let sha256 = name::start_of(sha256);
            return Err(invalid(format!("{sha256:?} is not a sha256 in lower case")));
        }
        Ok(manifest)
    }
}

impl RunStatus {
    pub(crate) fn read(path: &Path) -> Result<RunStatus, CheckpointError> {
        Self::from_bytes(path, &read_plain(path, MAX_MANIFEST_BYTES)?)
    }

    /// Reads a status that is in memory; `path` is named in errors.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Malformed`], [`CheckpointError::Version`] and [`CheckpointError::TooLarge`].
    ///
    /// ```
    /// use mirrorwatch_checkpoint::{RunStatus, RunWriter};
    ///
    /// # let root = tempfile::tempdir()?;
    /// let path = RunWriter::create(root.path(), "mnist")?.directory().join("run.json");
    /// assert_eq!(RunStatus::from_bytes(&path, &std::fs::read(&path)?)?.published, 0);
    /// assert!(RunStatus::from_bytes(&path, b"{}").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<RunStatus, CheckpointError> {
        json(path.as_ref(), bytes)
    }
}

/// The longest names in a manifest, in bytes: those of files have no more.
const LONGEST_NAME: usize = 255;

/// Only this much is certain to be the same in every version.
#[derive(Deserialize)]
struct Versioned {
    schema: u64,
}

/// A small JSON file of this protocol. The version is looked at before the rest, so that a newer
/// file is refused for being newer and not for a field that has changed.
fn json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, CheckpointError> {
    let length = bytes.len() as u64;
    if length > MAX_MANIFEST_BYTES {
        return Err(CheckpointError::TooLarge {
            path: path.to_path_buf(),
            bytes: length,
            limit: MAX_MANIFEST_BYTES,
        });
    }
    let malformed = |error: serde_json::Error| CheckpointError::Malformed {
        path: path.to_path_buf(),
        line: error.line(),
        column: error.column(),
        message: without_position(&error.to_string()),
    };
    let versioned: Versioned = serde_json::from_slice(bytes).map_err(malformed)?;
    if versioned.schema != u64::from(SCHEMA) {
        return Err(CheckpointError::Version {
            path: path.to_path_buf(),
            found: versioned.schema,
            supported: SCHEMA,
        });
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

/// The parser repeats line and column at the end of its message; ours has them already. It also quotes what it has
/// found, however long that is.
fn without_position(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    name::start_of(&message[..end])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const STEM: Stem = Stem {
        epoch: 3,
        step: 471,
    };

    fn json(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut value = serde_json::json!({
            "schema": 1, "run": "r", "instance": "i", "sequence": 1, "epoch": 3, "step": 471,
            "time": 1.5, "train_loss": null,
            "weights": { "file": "w.bpk", "format": "burnpack", "bytes": 1, "sha256": "a".repeat(64) },
            "parameters": [], "of_the_future": { "x": [1] }
        });
        change(&mut value);
        value.to_string()
    }

    fn read(text: &str) -> Result<Manifest, CheckpointError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(STEM.manifest_name());
        fs::write(&path, text).unwrap();
        Manifest::read(&path, STEM)
    }

    /// The message without the directory.
    fn message(text: &str) -> String {
        let message = read(text).unwrap_err().to_string();
        let name = STEM.manifest_name();
        let end = message.find(&name).unwrap() + name.len();
        let start = message[..end].rfind(' ').map_or(0, |at| at + 1);
        format!("{}M{}", &message[..start], &message[end..])
    }

    #[test]
    fn unknown_fields_are_ignored_and_optional_ones_may_lack() {
        let manifest = read(&json(|_| {})).unwrap();
        assert_eq!(manifest.train_loss, None);
        assert!(manifest.tags.is_empty());
    }

    #[test]
    fn another_version_is_refused_before_anything_else_is_looked_at() {
        assert_eq!(
            message(r#"{"schema": 7, "weights": "elsewhere"}"#),
            "unknown manifest version 7 in M: this build reads version 1, upgrade the sidecar"
        );
    }

    #[test]
    fn malformed_json_is_located() {
        assert_eq!(
            message("{\n  \"schema\": 1,\n  oops"),
            "M is malformed at line 3, column 3 (key must be a string): delete it, or publish the checkpoint again"
        );
        assert!(message("").contains("line 1, column 0 (EOF while parsing"));
        assert!(message("{}").contains("(missing field `schema`)"));
        let negative = json(|value| value["sequence"] = serde_json::json!(-1));
        assert!(message(&negative).contains("malformed at line 1"));
    }

    #[test]
    fn weights_outside_the_directory_are_refused() {
        for file in ["../w.bpk", "/etc/passwd", "a/w.bpk", "..", "", "a\\w.bpk"] {
            let error = read(&json(|value| value["weights"]["file"] = file.into())).unwrap_err();
            assert_eq!(error.reason(), "unsafe_path", "{file}");
        }
    }

    #[test]
    fn contents_that_cannot_be_are_refused() {
        let other_step = json(|value| value["step"] = 472.into());
        assert!(message(&other_step).contains("it describes epoch 3 step 472"));
        for hash in ["", "abc", &"A".repeat(64), &"../".repeat(22)[..64]] {
            let error = read(&json(|value| value["weights"]["sha256"] = hash.into())).unwrap_err();
            assert_eq!(error.reason(), "manifest", "{hash}");
        }
    }

    #[test]
    fn a_manifest_without_end_is_not_read_to_it() {
        let error = read(&json(|value| value["run"] = "x".repeat(2 << 20).into())).unwrap_err();
        assert!(
            matches!(error, CheckpointError::TooLarge { bytes, limit, .. } if bytes > 2 * limit)
        );
    }

    #[test]
    #[cfg(unix)]
    fn a_linked_manifest_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join(STEM.manifest_name());
        fs::write(dir.path().join("elsewhere"), json(|_| {})).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        let error = Manifest::read(&path, STEM).unwrap_err();
        assert_eq!(error.reason(), "unsafe_path");
    }
}
