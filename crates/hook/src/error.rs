//! What can go wrong while publishing. None of it ever reaches the training loop.

use mirrorwatch_checkpoint::CheckpointError;

/// Why a checkpoint was not published, or why publishing could not start.
///
/// ```
/// use mirrorwatch_hook::{Hook, HookError};
///
/// # let root = tempfile::tempdir()?;
/// let refused = Hook::try_new(root.path(), "").err();
/// assert!(matches!(&refused, Some(HookError::Open(_))));
/// assert!(refused.is_some_and(|e| e.to_string().starts_with("cannot open the run directory: ")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// The run directory could not be created or opened.
    #[error("cannot open the run directory: {0}")]
    Open(#[source] CheckpointError),
    /// The checkpoint could not be written.
    #[error("cannot publish the checkpoint: {0}")]
    Publish(#[source] CheckpointError),
    /// The checkpoint was written, but the run's status or its old checkpoints could not be updated.
    #[error("the checkpoint is published, but tidying up failed: {0}")]
    Tidy(#[source] CheckpointError),
    /// Burn could not turn the parameters into a record.
    #[error("cannot serialise the parameters: {0}")]
    Record(#[source] burn::store::RecordError),
    /// The operating system refused another thread.
    #[error("cannot start the writer thread: {0}")]
    Spawn(#[source] std::io::Error),
    /// The writer thread is gone.
    #[error("the writer thread died")]
    WriterDied,
    /// The checkpoints still waiting at the end were not written in time.
    #[error("the last checkpoints were not written within {} s", .0.as_secs_f64())]
    TimedOut(std::time::Duration),
    /// A parameter has no value yet, and giving it one would draw from the random number generator
    /// that the training uses.
    #[error(
        "parameter `{name}` is not initialised yet, and initialising it would change the training: \
         publish after the first optimizer step"
    )]
    Uninitialized {
        /// Dotted path of the parameter.
        name: String,
    },
    /// A parameter has more dimensions than a checkpoint can hold.
    #[error("parameter `{name}` has rank {rank}, which cannot be published")]
    Rank {
        /// Dotted path of the parameter.
        name: String,
        /// Its number of dimensions.
        rank: usize,
    },
    /// The checkpoint alone takes more of the disk than the run may.
    #[error(
        "a checkpoint takes {bytes} bytes, and the run may take {limit}: allow more, or nothing can be published"
    )]
    Budget {
        /// Bytes of the checkpoint.
        bytes: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// Another training publishes the same run at the same time.
    #[error(
        "another training publishes the run `{run}`, too, and each removes and replaces checkpoints of both: \
         give each training a run name of its own"
    )]
    Shared {
        /// The name of the run.
        run: String,
    },
    /// Something panicked; the panic was contained.
    #[error("panic while {during}: {message}")]
    Panicked {
        /// What was being done.
        during: &'static str,
        /// The panic's message.
        message: String,
    },
}

impl HookError {
    /// One word per kind of trouble, so that each kind is reported once and not at every checkpoint.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Open(error) | Self::Publish(error) | Self::Tidy(error) => match error.reason() {
                // One directory that is gone or no longer ours: read or written, it is the same trouble.
                "vanished" | "io" => "unwritable",
                reason => reason,
            },
            Self::Record(_) => "record",
            Self::Spawn(_) => "spawn",
            Self::WriterDied => "writer",
            Self::TimedOut(_) => "slow",
            Self::Uninitialized { .. } => "uninitialized",
            Self::Rank { .. } => "rank",
            Self::Budget { .. } => "budget",
            Self::Shared { .. } => "shared",
            Self::Panicked { .. } => "panic",
        }
    }

    /// The error for a panic caught while doing `during`.
    pub(crate) fn from_panic(during: &'static str, payload: &(dyn std::any::Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_string());
        Self::Panicked { during, message }
    }
}
