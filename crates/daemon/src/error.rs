//! What can go wrong in the daemon.

use std::path::PathBuf;

use mirrorwatch_checkpoint::CheckpointError;
use mirrorwatch_http::HttpError;
use mirrorwatch_influence::InfluenceError;
use mirrorwatch_shards::ShardsError;
use thiserror::Error;

/// Why the daemon cannot start or go on.
///
/// ```
/// use mirrorwatch_daemon::{DaemonError, backend, export::Export};
///
/// assert!(matches!(Export::read("export.json".as_ref()), Err(DaemonError::Read { .. })));
/// assert!(matches!(backend::device("abacus"), Err(DaemonError::Option(_))));
/// ```
#[derive(Debug, Error)]
pub enum DaemonError {
    /// A checkpoint or a directory of them.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The task's data or a scan.
    #[error(transparent)]
    Influence(#[from] InfluenceError),
    /// The web server.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The state of a run.
    #[error("cannot use the state file {path}: {message}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A result that cannot be written.
    #[error("cannot write {path}: {message}; free space or choose another --state directory")]
    Write {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A result that cannot be read back.
    #[error("cannot read {path}: {message}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A directory that cannot be watched.
    #[error("cannot watch {path}: {message}; choose another directory with --root")]
    Watch {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Where shards meet.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// An option that does not make sense.
    #[error("{0}")]
    Option(String),
}
