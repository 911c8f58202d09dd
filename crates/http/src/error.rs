use std::io;

/// What can go wrong while a server is set up.
///
/// Once it runs, trouble with a single client is answered with a status or a closed connection
/// and never surfaces here. Each message is one complete sentence for the user; the cause is
/// part of it, so printing the error alone is enough.
///
/// ```
/// use mirrorwatch_http::{HttpError, Request, Server};
///
/// assert!(matches!(Server::bind("9464"), Err(HttpError::NotAnAddress { .. })));
/// let first = Server::bind("127.0.0.1:0")?;
/// let second = Server::bind(&first.local_addr().to_string());
/// assert!(matches!(second, Err(HttpError::AddressInUse { .. })));
/// assert!(matches!(Request::get("metrics"), Err(HttpError::BadTarget { .. })));
/// # Ok::<(), mirrorwatch_http::HttpError>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address to listen on is not of the form `host:port`.
    #[error(
        "cannot listen on {addr:?}: not an address; give host:port, for example 127.0.0.1:9464, \
         with --listen"
    )]
    NotAnAddress {
        /// The address as given.
        addr: String,
    },
    /// The host part of the address does not resolve.
    #[error(
        "cannot listen on {addr}: host name not found ({reason}); give an IP address, for example \
         127.0.0.1:9464, with --listen"
    )]
    UnknownHost {
        /// The address as given.
        addr: String,
        /// What the resolver said.
        reason: io::Error,
    },
    /// Something else listens on the port already.
    #[error(
        "cannot listen on {addr}: address already in use; stop the other process or choose \
         another port with --listen"
    )]
    AddressInUse {
        /// The address as given.
        addr: String,
    },
    /// The system does not let this user listen there.
    #[error(
        "cannot listen on {addr}: permission denied; choose a port from 1024 upwards with --listen"
    )]
    PermissionDenied {
        /// The address as given.
        addr: String,
    },
    /// The IP address belongs to no interface of this machine.
    #[error(
        "cannot listen on {addr}: this machine has no such address; choose one of its own, for \
         example 127.0.0.1, with --listen"
    )]
    NotLocal {
        /// The address as given.
        addr: String,
    },
    /// Any other failure to open the listening socket.
    #[error("cannot listen on {addr}: {reason}; choose another address with --listen")]
    Listen {
        /// The address as given.
        addr: String,
        /// What the system said.
        reason: io::Error,
    },
    /// The server's thread or runtime could not be created.
    #[error(
        "cannot start the http server thread: {reason}; check the limits on threads and open files"
    )]
    Start {
        /// What the system said.
        reason: io::Error,
    },
    /// The handlers for SIGTERM and SIGINT could not be installed.
    #[error("cannot wait for signals: {reason}; check the limits on threads and open files")]
    Signals {
        /// What the system said.
        reason: io::Error,
    },
    /// The file of TLS and users, or one that it names, cannot be used.
    #[error("cannot use the web configuration {place}: {message}")]
    WebConfig {
        /// The file, and the line where there is one to blame.
        place: String,
        /// What is wrong there, and what would be right.
        message: String,
    },
    /// A request target that the server would have answered with 400.
    #[error("cannot parse request target {target:?}: {reason}; give an absolute path")]
    BadTarget {
        /// The target as given.
        target: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
}

impl HttpError {
    /// Sorts a failed bind by what the user can do about it.
    pub(crate) fn from_bind(addr: &str, reason: io::Error) -> HttpError {
        let addr = addr.to_owned();
        match reason.kind() {
            io::ErrorKind::AddrInUse => HttpError::AddressInUse { addr },
            io::ErrorKind::PermissionDenied => HttpError::PermissionDenied { addr },
            io::ErrorKind::AddrNotAvailable => HttpError::NotLocal { addr },
            _ => HttpError::Listen { addr, reason },
        }
    }
}
