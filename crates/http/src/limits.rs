use std::time::Duration;
use tokio::time::Instant;

/// How much a client may ask of the server, in connections, bytes and time.
///
/// The defaults suit a page that Prometheus and a few people read:
///
/// ```
/// use mirrorwatch_http::Limits;
/// use std::time::Duration;
///
/// let limits = Limits { header_timeout: Duration::from_secs(2), ..Limits::default() };
/// assert_eq!(limits.max_connections, 64);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at the same time. A further one takes the place of the one that has been waited for longest, or
    /// gets a 503 where all are being answered. At least 1.
    pub max_connections: usize,
    /// Handlers running at the same time, each on its own thread; further requests wait. At
    /// least 1.
    pub max_handlers: usize,
    /// Time from the first byte of a request, or from the accept for the first request of a
    /// connection, to the end of its headers.
    pub header_timeout: Duration,
    /// Time without progress after which a request is given up: an open connection with no
    /// request, a response that nobody reads, a request body or a handler that takes too long.
    pub idle_timeout: Duration,
    /// Size of the request line and headers together; beyond it the answer is 431.
    pub max_header_bytes: usize,
    /// Size of a request body, which is thrown away unless it comes with a `POST` that is let in; beyond
    /// it the answer is 413.
    pub max_body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 64,
            max_handlers: 4,
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            max_header_bytes: 16 * 1024,
            max_body_bytes: 64 * 1024,
        }
    }
}

impl Limits {
    /// The same limits with every count large enough for the server to answer at all.
    pub(crate) fn sane(mut self) -> Limits {
        self.max_connections = self.max_connections.max(1);
        self.max_handlers = self.max_handlers.max(1);
        self
    }
}

/// The instant `wait` from now, or one so far away that it never comes: adding a `Duration::MAX`
/// to an instant would panic.
pub(crate) fn after(wait: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    Instant::now() + wait.min(NEVER)
}
