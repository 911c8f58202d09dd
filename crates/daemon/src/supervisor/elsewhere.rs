//! Where there are no Unix sockets there is one process.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::DaemonError;

/// Nothing is ever a scanner with a supervisor.
pub(crate) struct Link {
    never: Infallible,
    pub restarts: u64,
    pub asked: Arc<AtomicBool>,
}

impl Link {
    pub(crate) fn begin(&self) {
        match self.never {}
    }

    pub(crate) fn listener(&self) -> std::io::Result<std::net::TcpListener> {
        match self.never {}
    }

    pub(crate) fn ready(&self) {
        match self.never {}
    }

    pub(crate) fn metrics(&self, _: String) {
        match self.never {}
    }

    pub(crate) fn ending(&self) {
        match self.never {}
    }

    pub(crate) fn start_again(&self, _: &str) -> ! {
        match self.never {}
    }
}

/// There is no such limit here.
///
/// # Errors
///
/// There is one wanted.
pub(crate) fn limit_memory(mib: Option<u64>) -> Result<(), DaemonError> {
    match mib {
        None => Ok(()),
        Some(_) => Err(DaemonError::Option(
            "--memory-limit-mib is for Unix: limit the process where it is started".to_string(),
        )),
    }
}
