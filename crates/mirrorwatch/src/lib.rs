//! Live label-noise alerting for models trained with Burn.
//!
//! This is the crate to depend on; it re-exports the others:
//!
//! - [`hook`]: publishes checkpoints from the training loop, one added line;
//! - [`Task`] and [`sidecar`]: the sidecar's `main` is one line;
//! - [`cleaned`]: training again without the suspects;
//! - [`init`]: adds a sidecar to an existing project;
//! - [`stock`]: a ready-made task over IDX files;
//! - [`influence`], [`stats`], [`checkpoint`]: the parts, for those who build their own.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use mirrorwatch::prelude::*;
//! # use mirrorwatch::stock::{IdxTask as MyTask, StockArgs};
//! # fn my_task() -> MyTask { panic!("yours") }
//!
//! fn main() -> ExitCode {
//!     mirrorwatch::sidecar(my_task())
//! }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cleaned;
pub mod init;
pub mod stock;

pub use mirrorwatch_checkpoint as checkpoint;
pub use mirrorwatch_daemon as daemon;
pub use mirrorwatch_daemon::{sidecar, sidecar_with};
pub use mirrorwatch_hook as hook;
pub use mirrorwatch_idx as idx;
pub use mirrorwatch_influence as influence;
pub use mirrorwatch_influence::Task;
pub use mirrorwatch_stats as stats;

/// What a training program and a sidecar usually need.
pub mod prelude {
    pub use mirrorwatch_daemon::{sidecar, sidecar_with};
    pub use mirrorwatch_hook::{Hook, MirrorwatchExt};
    pub use mirrorwatch_influence::{Preview, Task};
}
