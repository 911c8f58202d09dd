//! One sidecar to a state directory: two would write over each other's evidence.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::DaemonError;

/// The file that is locked. It stays: it is the lock on it that means something.
const FILE: &str = "daemon.lock";
/// A sidecar that was killed a moment ago, or ends, is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);

/// Held for as long as a sidecar works; a process that ends, however, lets go of it.
pub(crate) struct Claim {
    _file: File,
}

impl Claim {
    /// Claims a state directory; none where locks do not exist, as on some network mounts.
    ///
    /// # Errors
    ///
    /// Another process has it, or the file cannot be made.
    pub(crate) fn on(state: &Path) -> Result<Option<Self>, DaemonError> {
        Self::within(state, PATIENCE)
    }

    fn within(state: &Path, patience: Duration) -> Result<Option<Self>, DaemonError> {
        let path = state.join(FILE);
        let open = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = open.map_err(|error| DaemonError::Write {
            path,
            message: error.to_string(),
        })?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(TryLockError::WouldBlock) if since.elapsed() < patience => {
                    std::thread::sleep(LOOK);
                }
                Err(TryLockError::WouldBlock) => return Err(taken(state)),
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(
                        "cannot lock {}: {error}; see to it that no other sidecar uses it",
                        state.display()
                    );
                    return Ok(None);
                }
            }
        }
    }
}

fn taken(state: &Path) -> DaemonError {
    let who = std::fs::read_to_string(state.join("daemon.pid"));
    let who = who.unwrap_or_else(|_| "of unknown number".to_string());
    DaemonError::Option(format!(
        "another sidecar, process {}, keeps its evidence in {}; stop it, or give this one another --state",
        who.trim(),
        state.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_sidecar_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let claim = Claim::on(directory.path()).unwrap();
        assert!(claim.is_some());
        std::fs::write(directory.path().join("daemon.pid"), "7").unwrap();
        let refused = Claim::within(directory.path(), Duration::ZERO).err();
        let refused = refused.unwrap().to_string();
        assert!(refused.starts_with("another sidecar, process 7, "));
        // Whoever ends meanwhile is waited for.
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Claim::on(directory.path()));
            std::thread::sleep(Duration::from_millis(100));
            drop(claim);
            waiting.join().unwrap()
        });
        assert!(waiting.unwrap().is_some());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(FILE)).unwrap();
        let refused = Claim::on(directory.path()).err().unwrap().to_string();
        assert!(refused.contains(FILE), "{refused}");
    }
}
