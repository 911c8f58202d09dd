//! Two processes: the scanner, which scans and serves, and its supervisor, which is small, computes nothing, and starts
//! the scanner again when it dies.
//!
//! A scan runs foreign code: a task's own, a backend's, a driver's. What ends the process, a crash in a library or an
//! allocation of more than there is, ends the scanner. The supervisor owns the socket that listens, so that nobody is
//! refused meanwhile: it answers scrapes with the last count until there is a scanner again. When the supervisor dies,
//! the scanner does, too: service managers see one program.
//!
//! The scanner is this very program with the same arguments, so that it comes to the same task; the supervisor never
//! builds it.

#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod keeping;
#[cfg(unix)]
mod link;
#[cfg(unix)]
mod meanwhile;
pub(crate) mod reporting;

#[cfg(not(unix))]
pub(crate) use elsewhere::{Link, limit_memory};
#[cfg(unix)]
pub(crate) use keeping::{limit_memory, run};
#[cfg(unix)]
pub(crate) use link::Link;
