//! Forks on disk: what the last scan of a run leaves for the next one, across restarts.
//!
//! They are written before the state that they belong to and carry its number of checkpoints in their name, so that
//! whoever is killed in between finds the forks of the state that is there. Without them nothing is lost but time: the
//! next scan teaches its forks from the beginning.

use std::path::{Path, PathBuf};

use mirrorwatch_checkpoint::write_atomic;
use mirrorwatch_influence::Memory;
use sha2::{Digest, Sha256};

use crate::error::DaemonError;

/// Where the forks are kept that belong to evidence of so many checkpoints.
fn path(directory: &Path, checkpoints: u32) -> PathBuf {
    directory.join(format!("forks-{checkpoints}.bin"))
}

/// Writes the forks that belong to evidence of so many checkpoints, unless they are there.
///
/// # Errors
///
/// The file cannot be written.
pub(crate) fn save(
    directory: &Path,
    checkpoints: u32,
    fingerprint: &str,
    forks: &Memory,
) -> Result<(), DaemonError> {
    let path = path(directory, checkpoints);
    if forks.is_empty() || path.exists() {
        return Ok(());
    }
    let mut bytes = forks.to_bytes();
    bytes.extend(digest(&bytes, fingerprint));
    Ok(write_atomic(&path, &bytes)?)
}

/// Reads the forks that belong to evidence of so many checkpoints; none where there are none.
///
/// # Errors
///
/// They cannot be read, are damaged, or belong to other data or settings.
pub(crate) fn load(
    directory: &Path,
    checkpoints: u32,
    fingerprint: &str,
) -> Result<Memory, DaemonError> {
    let path = path(directory, checkpoints);
    let problem = |message: String| DaemonError::State {
        path: path.clone(),
        message,
    };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Memory::default()),
        Err(error) => return Err(problem(error.to_string())),
    };
    let (content, told) = bytes.split_at(bytes.len().saturating_sub(32));
    if digest(content, fingerprint) != told {
        return Err(problem(
            "it is damaged, or of other data or settings".to_string(),
        ));
    }
    Memory::from_bytes(content).map_err(|error| problem(error.to_string()))
}

/// Takes all forks away but those of so many checkpoints; those of a run that starts afresh with none.
pub(crate) fn forget_others(directory: &Path, checkpoints: Option<u32>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    let kept = checkpoints.map(|checkpoints| path(directory, checkpoints));
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let number = name
            .strip_prefix("forks-")
            .and_then(|rest| rest.strip_suffix(".bin"));
        let ours = number.is_some_and(|number| number.parse::<u32>().is_ok());
        if ours && kept.as_ref() != Some(&entry.path()) {
            // One that stays is only a file too many, and goes next time.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn digest(content: &[u8], fingerprint: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(content);
    hash.update(fingerprint.as_bytes());
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two forks of two and no weights, as [`Memory::to_bytes`] writes them.
    fn forks() -> Memory {
        let mut bytes = b"MWFORKS1\x02\0\0\0".to_vec();
        for (fold, values) in [(0u32, vec![0x3f80u16, 0xbf00]), (1, vec![])] {
            bytes.extend(8u32.to_le_bytes());
            bytes.extend(b"finetune");
            bytes.extend(fold.to_le_bytes());
            bytes.extend(30u64.to_le_bytes());
            bytes.extend((values.len() as u64).to_le_bytes());
            for value in values {
                bytes.extend(value.to_le_bytes());
            }
        }
        Memory::from_bytes(&bytes).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            names.push(entry.unwrap().file_name().into_string().unwrap());
        }
        names.sort();
        names
    }

    #[test]
    fn forks_come_back_for_their_own_state_only() {
        let root = tempfile::tempdir().unwrap();
        save(root.path(), 3, "mine", &forks()).unwrap();
        assert_eq!(load(root.path(), 3, "mine").unwrap(), forks());
        assert!(load(root.path(), 2, "mine").unwrap().is_empty());
        let other = load(root.path(), 3, "other").map_err(|error| error.to_string());
        assert!(other.is_err_and(|text| text.contains("forks-3.bin")));
    }

    #[test]
    fn damaged_forks_are_refused() {
        let root = tempfile::tempdir().unwrap();
        save(root.path(), 3, "mine", &forks()).unwrap();
        let path = path(root.path(), 3);
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(load(root.path(), 3, "mine").is_err(), "{at}");
            std::fs::write(&path, &bytes[..at]).unwrap();
            assert!(load(root.path(), 3, "mine").is_err(), "{at}");
        }
    }

    #[test]
    fn only_the_forks_of_the_state_stay() {
        let root = tempfile::tempdir().unwrap();
        for checkpoints in [1, 2, 12] {
            save(root.path(), checkpoints, "mine", &forks()).unwrap();
        }
        for other in ["state.bin", "forks-.bin", "forks-2.bin.aside"] {
            std::fs::write(root.path().join(other), "").unwrap();
        }
        forget_others(root.path(), Some(2));
        assert_eq!(
            names(root.path()),
            [
                "forks-.bin",
                "forks-2.bin",
                "forks-2.bin.aside",
                "state.bin"
            ]
        );
        forget_others(root.path(), None);
        assert_eq!(names(root.path()).len(), 3);
        // A directory that is not there has none.
        forget_others(&root.path().join("nowhere"), None);
    }
}
