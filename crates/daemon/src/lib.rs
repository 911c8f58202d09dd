//! The sidecar: watch → queue → scan → evidence → export.
//!
//! A training process publishes checkpoints with `mirrorwatch-hook`; this daemon picks each one
//! up, scans it with `mirrorwatch-influence`, accumulates evidence for every training sample, and
//! exports counts with their guarantees as Prometheus metrics. It outlives any bad input: whatever
//! goes wrong with a checkpoint costs that checkpoint and is counted.
//!
//! The user's model comes in through the [`Task`] trait alone. A sidecar's `main` is one line:
//!
//! ```no_run
//! # use mirrorwatch_influence::Task;
//! # fn demo(my_task: impl Task) -> std::process::ExitCode {
//! mirrorwatch_daemon::sidecar(my_task)
//! # }
//! ```
//!
//! ```text
//! directory ─► watch ─► intake ─► queue ─► worker ─► evidence ─► account ─► results, state
//!             (notify)  (spool)  (newest   (influence)            (stats)        │
//!                                 wins)                             hub ─► metrics, pages ─► HTTP
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod account;
mod api;
pub mod audit;
pub mod backend;
mod brief;
pub mod budget;
mod checkpoints;
mod claim;
mod cli;
mod client;
pub mod confirm;
mod courtesy;
mod daemon;
mod digest;
mod dividing;
mod drift;
mod ending;
mod error;
pub mod evidence;
pub mod export;
mod forks;
mod heap;
pub mod history;
pub mod hub;
mod intake;
pub mod leaks;
mod live;
pub mod metrics;
pub mod narrow;
#[cfg(test)]
mod nasty;
mod once;
pub mod onset;
mod options;
mod pages;
pub mod part;
pub mod pending;
mod printable;
mod queue;
pub mod refusal;
pub mod report;
pub mod results;
mod review;
mod runs;
mod samples;
mod ship;
pub mod sources;
pub mod spreadsheet;
mod status;
pub mod store;
mod stored;
pub mod summary;
mod supervisor;
mod together;
mod totals;
mod turns;
mod unite;
pub mod verdict;
mod verify;
mod watch;
mod web;
mod when;
mod worker;

pub use cli::{Extra, NoArgs, sidecar, sidecar_and, sidecar_with};
pub use daemon::run;
pub use error::DaemonError;
pub use mirrorwatch_influence::Task;
pub use options::{LogFormat, ScanOptions, WatchArgs};
