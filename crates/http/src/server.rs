use crate::accept;
use crate::connection::{Handler, Posts, Shared};
use crate::error::HttpError;
use crate::limits::Limits;
use crate::request::Request;
use crate::response::Response;
use crate::web::WebConfig;
use crate::web::gate::{self, Gate};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;

/// A socket that listens, and what is needed to serve it.
///
/// Between [`Server::bind`] and [`Server::start`] clients can connect; they wait.
///
/// ```
/// use mirrorwatch_http::{Response, Server};
///
/// let server = Server::bind("127.0.0.1:0")?;
/// let url = format!("http://{}/", server.local_addr());
/// let handle = server.start(|request| Response::text(format!("{} {}", request.method, request.path)))?;
/// assert_eq!(ureq::get(&url).call()?.into_body().read_to_string()?, "GET /");
/// drop(handle);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    limits: Limits,
    web: Option<WebConfig>,
    posts: Posts,
}

impl Server {
    /// Opens the listening socket.
    ///
    /// # Arguments
    ///
    /// * `addr` - `host:port`; port 0 takes any free one, see [`Server::local_addr`].
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// assert_ne!(Server::bind("localhost:0")?.local_addr().port(), 0);
    /// assert!(Server::bind("9464").is_err());
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn bind(addr: &str) -> Result<Server, HttpError> {
        let candidates = resolve(addr)?;
        let bound = TcpListener::bind(candidates.as_slice()).and_then(Server::listening);
        bound.map_err(|reason| HttpError::from_bind(addr, reason))
    }

    /// Takes over a socket that listens already, as one that another process has opened.
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let handle = Server::on(listener)?.start(|_| Response::text("hello\n"))?;
    /// assert_eq!(handle.local_addr(), address);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on(listener: TcpListener) -> Result<Server, HttpError> {
        Server::listening(listener).map_err(|reason| HttpError::Start { reason })
    }

    /// The socket once more, for another server: a connection goes to whichever of them takes it first, and waits where
    /// none does.
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// let first = Server::bind("127.0.0.1:0")?;
    /// let (again, url) = (first.share()?, format!("http://{}", first.local_addr()));
    /// drop(first.start(|_| Response::text("first"))?);
    /// let second = Server::on(again)?.start(|_| Response::text("second"))?;
    /// assert_eq!(ureq::get(&url).call()?.into_body().read_to_string()?, "second");
    /// # drop(second);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn share(&self) -> Result<TcpListener, HttpError> {
        let shared = self.listener.try_clone();
        shared.map_err(|reason| HttpError::Start { reason })
    }

    fn listening(listener: TcpListener) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        let local_addr = listener.local_addr()?;
        Ok(Server {
            listener,
            local_addr,
            limits: Limits::default(),
            web: None,
            posts: |_| false,
        })
    }

    /// Replaces the default limits.
    ///
    /// ```
    /// use mirrorwatch_http::{Limits, Response, Server};
    ///
    /// let limits = Limits { max_header_bytes: 10_000, ..Limits::default() };
    /// let server = Server::bind("127.0.0.1:0")?.with_limits(limits);
    /// let url = format!("http://{}/", server.local_addr());
    /// let handle = server.start(|_| Response::text("hello\n"))?;
    /// let refused = ureq::get(&url).header("cookie", "x".repeat(20_000)).call();
    /// assert!(matches!(refused, Err(ureq::Error::StatusCode(431))));
    /// # drop(handle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_limits(mut self, limits: Limits) -> Server {
        self.limits = limits.sane();
        self
    }

    /// Serves as a configuration says: over TLS, to those who may log in.
    ///
    /// ```
    /// use mirrorwatch_http::{Response, Server, WebConfig};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("web.yml");
    /// std::fs::write(&path, "basic_auth_users:\n  ada: $2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n")?;
    /// let server = Server::bind("127.0.0.1:0")?.with_web_config(WebConfig::load(&path)?);
    /// let url = format!("http://{}/", server.local_addr());
    /// let handle = server.start(|_| Response::text("hello\n"))?;
    /// assert!(matches!(ureq::get(&url).call(), Err(ureq::Error::StatusCode(401))));
    /// # drop(handle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_web_config(mut self, config: WebConfig) -> Server {
        self.web = Some(config);
        self
    }

    /// Lets `POST` through to the handler at some paths, with bodies of up to
    /// [`Limits::max_body_bytes`]; without this, there are only pages to read.
    ///
    /// # Arguments
    ///
    /// * `posts` - whether a path, decoded as in [`Request::path`], takes `POST`.
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// let server = Server::bind("127.0.0.1:0")?.with_posts(|path| path == "/notes");
    /// let url = format!("http://{}", server.local_addr());
    /// let handle = server.start(|request| Response::text(format!("{} bytes", request.body().len())))?;
    /// let answer = ureq::post(format!("{url}/notes")).send("{}")?.into_body().read_to_string()?;
    /// assert_eq!(answer, "2 bytes");
    /// let refused = ureq::post(format!("{url}/metrics")).send("{}");
    /// assert!(matches!(refused, Err(ureq::Error::StatusCode(405))));
    /// # drop(handle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_posts(mut self, posts: fn(&str) -> bool) -> Server {
        self.posts = posts;
        self
    }

    /// The address that the server listens on, with the real port.
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// let server = Server::bind("127.0.0.1:0")?;
    /// assert!(server.local_addr().ip().is_loopback());
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Starts to answer, on a thread named `mirrorwatch-http`.
    ///
    /// # Arguments
    ///
    /// * `handler` - makes the page for a request. It may block: it runs on one of
    ///   [`Limits::max_handlers`] further threads. If it panics, the client gets a 500; if it
    ///   takes longer than [`Limits::idle_timeout`], a 503, and it still runs to its end.
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// let server = Server::bind("127.0.0.1:0")?;
    /// let url = format!("http://{}/", server.local_addr());
    /// // A handler that panics costs one answer.
    /// let handle = server.start(|request| match request.query_value("x") {
    ///     Some(x) => Response::text(x),
    ///     None => panic!("no x"),
    /// })?;
    /// assert!(matches!(ureq::get(&url).call(), Err(ureq::Error::StatusCode(500))));
    /// assert_eq!(ureq::get(format!("{url}?x=7")).call()?.into_body().read_to_string()?, "7");
    /// # drop(handle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start<F>(self, handler: F) -> Result<Handle, HttpError>
    where
        F: Fn(&Request) -> Response + Send + Sync + 'static,
    {
        let handler: Arc<Handler> = Arc::new(handler);
        let counters = Arc::new(Counters::default());
        let drain = Arc::new(OnceLock::new());
        let (stop, stopped) = watch::channel(false);
        let (leave, left) = watch::channel(false);
        // The runtime lives and dies on its thread: dropping one inside another, which is where
        // the caller may be, panics.
        let (report, started) = mpsc::sync_channel(1);
        let local_addr = self.local_addr;
        let thread_counters = Arc::clone(&counters);
        let thread_drain = Arc::clone(&drain);
        let serve = move || {
            let (runtime, listener) = match set_up(&self.limits, self.listener) {
                Ok(parts) => parts,
                Err(error) => {
                    let _ = report.send(Err(error));
                    return 0;
                }
            };
            let _ = report.send(Ok(()));
            let permits = Arc::new(Semaphore::new(self.limits.max_handlers));
            let streams = Arc::new(Semaphore::new(self.limits.max_connections.div_ceil(2)));
            let gate = self.web.map(|config| Gate::new(config, &self.limits));
            let shared = Shared {
                handler,
                gate,
                posts: self.posts,
                limits: self.limits,
                counters: thread_counters,
                permits,
                streams,
            };
            let drain = move || thread_drain.get().copied().unwrap_or_default();
            let connections = LocalSet::new();
            let server = accept::run(listener, Rc::new(shared), left, stopped, drain);
            let cut = connections.block_on(&runtime, server);
            drop(connections);
            // A handler that never returns must not keep the process from exiting.
            runtime.shutdown_background();
            cut
        };
        let thread = thread::Builder::new()
            .name("mirrorwatch-http".to_owned())
            .spawn(serve);
        let thread = thread.map_err(|reason| HttpError::Start { reason })?;
        match started.recv() {
            Ok(Ok(())) => Ok(Handle {
                thread: Some(thread),
                leave,
                stop,
                drain,
                counters,
                local_addr,
            }),
            Ok(Err(reason)) => Err(HttpError::Start { reason }),
            Err(_) => Err(HttpError::Start {
                reason: io::Error::other("the thread ended early"),
            }),
        }
    }
}

/// A running server. Dropping it stops the server at once, without waiting for open requests.
///
/// ```
/// # use mirrorwatch_http::{Response, Server};
/// let handle = Server::bind("127.0.0.1:0")?.start(|_| Response::text("hello\n"))?;
/// let address = handle.local_addr();
/// drop(handle);
/// // Nobody listens any more.
/// assert!(std::net::TcpStream::connect(address).is_err());
/// # Ok::<(), mirrorwatch_http::HttpError>(())
/// ```
#[derive(Debug)]
pub struct Handle {
    thread: Option<JoinHandle<usize>>,
    leave: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    /// How long open requests may take once `stop` has changed.
    drain: Arc<OnceLock<Duration>>,
    counters: Arc<Counters>,
    local_addr: SocketAddr,
}

impl Handle {
    /// Stops accepting, lets open requests finish and waits for the server's thread.
    ///
    /// Idle connections and half-sent requests are closed at once. Returns whether every open
    /// request was answered; `false` means that some were cut after `timeout`. A handler that is
    /// still running then keeps its thread until it returns, but nobody waits for it.
    ///
    /// # Arguments
    ///
    /// * `timeout` - how long open requests may still take.
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// use std::time::Duration;
    ///
    /// let handle = Server::bind("127.0.0.1:0")?.start(|_| Response::text("hello\n"))?;
    /// // No request is open that would have to be cut.
    /// assert!(handle.shutdown(Duration::from_secs(5)));
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn shutdown(mut self, timeout: Duration) -> bool {
        self.stop_and_join(timeout) == Some(0)
    }

    /// Leaves the socket to another server that shares it ([`Server::share`]): like [`shutdown`](Handle::shutdown), but
    /// whoever has got in may still say what they want, for as long as `grace`.
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// use std::io::{Read, Write};
    /// use std::time::Duration;
    ///
    /// let server = Server::bind("127.0.0.1:0")?;
    /// let (address, shared) = (server.local_addr(), server.share()?);
    /// let first = server.start(|_| Response::text("first"))?;
    /// let mut client = std::net::TcpStream::connect(address)?;
    /// # while first.stats().open_connections == 0 { std::thread::yield_now(); }
    /// let second = Server::on(shared)?.start(|_| Response::text("second"))?;
    /// let leaving = std::thread::spawn(move || first.hand_over(Duration::from_secs(1), Duration::from_secs(5)));
    /// std::thread::sleep(Duration::from_millis(100));
    /// client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// assert!(answer.ends_with("first"));
    /// assert!(leaving.join().is_ok_and(|all| all));
    /// # drop(second);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hand_over(self, grace: Duration, timeout: Duration) -> bool {
        let _ = self.leave.send(true);
        thread::sleep(grace);
        self.shutdown(timeout)
    }

    /// What the server has done so far.
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// let handle = Server::bind("127.0.0.1:0")?.start(|_| Response::text("hello\n"))?;
    /// ureq::get(format!("http://{}/", handle.local_addr())).call()?;
    /// assert_eq!((handle.stats().requests, handle.stats().rejected_connections), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        Stats {
            requests: self.counters.requests.load(Ordering::Relaxed),
            rejected_connections: self.counters.rejected_connections.load(Ordering::Relaxed),
            displaced_connections: self.counters.displaced_connections.load(Ordering::Relaxed),
            open_connections: self.counters.open_connections.load(Ordering::Relaxed),
        }
    }

    /// The address that the server listens on, with the real port.
    ///
    /// ```
    /// # use mirrorwatch_http::{Response, Server};
    /// let server = Server::bind("127.0.0.1:0")?;
    /// let address = server.local_addr();
    /// assert_eq!(server.start(|_| Response::not_found())?.local_addr(), address);
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns the number of connections that were cut, or `None` if there is nothing to join.
    fn stop_and_join(&mut self, timeout: Duration) -> Option<usize> {
        let thread = self.thread.take()?;
        let _ = self.drain.set(timeout);
        let _ = self.leave.send(true);
        let _ = self.stop.send(true);
        // A handle that its own handler owned may be dropped by the server's thread.
        if thread.thread().id() == thread::current().id() {
            return None;
        }
        thread.join().ok()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Handlers run elsewhere, so that this thread has nothing to be stuck in.
        self.stop_and_join(Duration::ZERO);
    }
}

/// A snapshot of the server's counters.
///
/// ```
/// # use mirrorwatch_http::{Response, Server};
/// let handle = Server::bind("127.0.0.1:0")?.start(|_| Response::text("hello\n"))?;
/// assert_eq!(handle.stats(), mirrorwatch_http::Stats::default());
/// let client = std::net::TcpStream::connect(handle.local_addr())?;
/// while handle.stats().open_connections == 0 {
///     std::thread::yield_now();
/// }
/// assert_eq!(handle.stats().requests, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests with well-formed headers, whatever the answer was.
    pub requests: u64,
    /// Connections refused because [`Limits::max_connections`] were being answered.
    pub rejected_connections: u64,
    /// Connections closed because others wanted their places.
    pub displaced_connections: u64,
    /// Connections open now.
    pub open_connections: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) rejected_connections: AtomicU64,
    pub(crate) displaced_connections: AtomicU64,
    pub(crate) open_connections: AtomicU64,
}

fn set_up(
    limits: &Limits,
    listener: TcpListener,
) -> io::Result<(Runtime, tokio::net::TcpListener)> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_name("mirrorwatch-page")
        // More than there are tasks for, so that no handler waits for a password.
        .max_blocking_threads(limits.max_handlers.saturating_add(gate::THREADS))
        .build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    Ok((runtime, listener))
}

fn resolve(addr: &str) -> Result<Vec<SocketAddr>, HttpError> {
    if let Ok(addr) = addr.parse() {
        return Ok(vec![addr]);
    }
    let not_an_address = || HttpError::NotAnAddress {
        addr: addr.to_owned(),
    };
    let (host, port) = addr.rsplit_once(':').ok_or_else(not_an_address)?;
    let port: u16 = port.parse().map_err(|_| not_an_address())?;
    // A colon left in the host is an IPv6 address without its brackets.
    if host.is_empty() || host.contains(':') {
        return Err(not_an_address());
    }
    match (host, port).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(reason) => Err(HttpError::UnknownHost {
            addr: addr.to_owned(),
            reason,
        }),
    }
}
