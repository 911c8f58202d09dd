//! The on-disk protocol between a training process, which writes checkpoints, and the sidecar, which
//! reads them. It knows files, not models: weights are opaque bytes.
//!
//! ```text
//! <root>/<run>/run.json                                        how the run is doing
//! <root>/<run>/epoch-000003-step-0000000471-<hash>.bpk         weights
//! <root>/<run>/epoch-000003-step-0000000471.json               manifest: length and hash of the weights
//! ```
//!
//! **The appearance of the manifest is the commit.** Every file is written under a temporary name,
//! synchronised, renamed, and its directory synchronised; the weights are complete before their
//! manifest exists. A reader lists manifests, takes a hard link of the weights into a spool directory
//! of its own, and verifies length and hash of the bytes it then uses. The writer never waits for a
//! reader: it removes old checkpoints when it likes, and what is spooled survives that.
//!
//! ```
//! use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints, list_runs, spool};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! # let root = root.path();
//! // The training process.
//! let mut writer = RunWriter::create(root, "mnist")?.with_keep(3);
//! let snapshot = Snapshot { epoch: 3, step: 471, ..Snapshot::default() };
//! writer.publish(snapshot, b"the weights")?;
//! writer.finish()?;
//!
//! // The sidecar.
//! for run in list_runs(root)? {
//!     for found in list_checkpoints(root, &run)?.manifests {
//!         let spooled = spool(&found, root.join(".spool"), 1 << 30)?;
//!         assert_eq!(spooled.key().run, "mnist");
//!         assert_eq!(spooled.read_verified()?, b"the weights");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Trainings without a hook write files of their own, with no manifest: see [`Artifacts`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod artifacts;
mod atomic;
mod consumed;
mod digest;
mod error;
mod manifest;
mod name;
mod parse;
mod plain;
mod reader;
mod retain;
mod spool;
mod system;
mod writer;

pub use artifacts::{ArtifactFile, Artifacts, Taken, UNHOOKED};
pub use atomic::{
    create_directory, remove_abandoned, remove_temporaries, sync_directory, write_atomic,
    write_atomic_with,
};
pub use consumed::Consumed;
pub use error::CheckpointError;
pub use manifest::{Key, Manifest, Parameter, RunStatus, Snapshot, Weights};
pub use name::{STATUS_FILE, check_run_name};
pub use plain::read_plain;
pub use reader::{Found, Listing, list_checkpoints, list_runs};
pub use spool::{Spooled, spool};
pub use system::{Native, System, SystemFile};
pub use writer::{DEFAULT_KEEP, RunWriter};

/// Version of the protocol that this build writes and reads.
pub const SCHEMA: u32 = 1;

/// The format of weights that the training hook writes, as named in a manifest.
pub const BURNPACK: &str = "burnpack";

/// The other format that is read: of PyTorch and many others.
pub const SAFETENSORS: &str = "safetensors";

/// The largest manifest or status file that is written or read: 1 MiB.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;
