//! Reads manifests and status files, believing nothing in them unchecked.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::name::{self, Stem};
use crate::{CheckpointError, MAX_MANIFEST_BYTES, Manifest, RunStatus, SCHEMA};

impl Manifest {
    /// Reads a manifest and holds it against its file name.
    pub(crate) fn read(path: &Path, stem: Stem) -> Result<Manifest, CheckpointError> {
        let manifest: Manifest = read_json(path)?;
        if !name::is_plain(&manifest.weights.file) {
            let problem = format!("it names the weights file {:?}", manifest.weights.file);
            return Err(CheckpointError::unsafe_path(path, problem));
        }
        let invalid = |problem: String| CheckpointError::Invalid {
            path: path.to_path_buf(),
            problem,
        };
        if manifest.epoch != stem.epoch || manifest.step != stem.step {
            return Err(invalid(format!(
                "it describes epoch {} step {}",
                manifest.epoch, manifest.step
            )));
        }
        let sha256 = &manifest.weights.sha256;
        if sha256.len() != 64 || !name::is_lower_hex(sha256) {
            return Err(invalid(format!("{sha256:?} is not a sha256 in lower case")));
        }
        Ok(manifest)
    }
}

impl RunStatus {
    pub(crate) fn read(path: &Path) -> Result<RunStatus, CheckpointError> {
        read_json(path)
    }
}

/// Only this much is certain to be the same in every version.
#[derive(Deserialize)]
struct Versioned {
    schema: u64,
}

/// Reads a small JSON file of this protocol. The version is looked at before the rest, so that a newer
/// file is refused for being newer and not for a field that has changed.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CheckpointError> {
    let bytes = read_small(path)?;
    let malformed = |error: serde_json::Error| CheckpointError::Malformed {
        path: path.to_path_buf(),
        line: error.line(),
        column: error.column(),
        message: without_position(&error.to_string()),
    };
    let versioned: Versioned = serde_json::from_slice(&bytes).map_err(malformed)?;
    if versioned.schema != u64::from(SCHEMA) {
        return Err(CheckpointError::Version {
            path: path.to_path_buf(),
            found: versioned.schema,
            supported: SCHEMA,
        });
    }
    serde_json::from_slice(&bytes).map_err(malformed)
}

/// Reads a plain file of at most [`MAX_MANIFEST_BYTES`].
fn read_small(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let failed = |source| CheckpointError::reading(path, source);
    // Also keeps a named pipe from blocking the reader for ever.
    if !fs::symlink_metadata(path).map_err(failed)?.is_file() {
        return Err(CheckpointError::unsafe_path(path, "it is not a plain file"));
    }
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(CheckpointError::TooLarge {
            path: path.to_path_buf(),
            bytes: bytes.len() as u64,
            limit: MAX_MANIFEST_BYTES,
        });
    }
    Ok(bytes)
}

/// The parser repeats line and column at the end of its message; ours has them already.
fn without_position(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
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
            matches!(error, CheckpointError::TooLarge { bytes, limit, .. } if bytes == limit + 1)
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
