//! One connection: its requests, its time, and the way to the handler.

use crate::accept::BUSY;
use crate::body;
use crate::clock::{Clock, Timed};
use crate::events::Stream;
use crate::limits::Limits;
use crate::places::Place;
use crate::request::{Method, Request};
use crate::response::{Response, WireBody};
use crate::server::Counters;
use crate::web::gate::{self, Gate};
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::any::Any;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Hyper panics on a smaller buffer.
const SMALLEST_BUFFER: usize = 8192;

/// What the caller of [`crate::Server::start`] gives.
pub(crate) type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// Whether a path takes `POST`.
pub(crate) type Posts = fn(&str) -> bool;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) handler: Arc<Handler>,
    pub(crate) posts: Posts,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    /// One for each handler that may run. A permit travels with its handler and not with the
    /// request, so that handlers whose clients have gone still count.
    pub(crate) permits: Arc<Semaphore>,
    /// One for each stream of events that may be open.
    pub(crate) streams: Arc<Semaphore>,
    /// Who may ask, if not everybody.
    pub(crate) gate: Option<Gate>,
}

/// An answer, and whether the connection must end with it.
struct Answer {
    response: Response,
    close: bool,
    /// A place among the open streams, for a response that is one.
    place: Option<OwnedSemaphorePermit>,
}

impl Answer {
    fn keep(response: Response) -> Answer {
        Answer {
            response,
            close: false,
            place: None,
        }
    }

    /// For refusals that leave part of the request unread.
    fn close(status: u16, text: &str) -> Answer {
        Answer {
            response: Response::text(text).with_status(status),
            close: true,
            place: None,
        }
    }
}

/// The answer to a request whose head is not there in time.
const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain\r\n\
    content-length: 22\r\nconnection: close\r\n\r\nrequest took too long\n";

/// Serves a connection until it ends, its time is up, its place is another one's or the server stops.
///
/// # Arguments
///
/// * `socket` - the transport; anything that reads and writes.
/// * `place` - the one it has taken.
/// * `stop` - changes when the server begins to stop.
pub(crate) async fn serve<S>(
    socket: S,
    remote: SocketAddr,
    shared: Rc<Shared>,
    place: Rc<Place>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let clock = Clock::new(&shared.limits, Rc::clone(&place));
    let limits = &shared.limits;
    let io = TokioIo::new(Timed::new(socket, clock.clone()));
    let stopped = stop.clone();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let shared = Rc::clone(&shared);
        let clock = clock.clone();
        let stop = stopped.clone();
        async move {
            clock.handling();
            shared.counters.requests.fetch_add(1, Ordering::Relaxed);
            // It may have come with a length, too, of which hyper says nothing: where somebody in between has gone by
            // that one, what follows is not what it seems (RFC 9112, 6.1).
            let chunked = request.headers().contains_key(TRANSFER_ENCODING);
            let mut pass = gate::pass(shared.gate.as_ref(), remote, request.headers()).await;
            let mut answer = match pass.refusal.take() {
                Some(response) => Answer {
                    response,
                    close: !request.body().is_end_stream(),
                    place: None,
                },
                None => answer(&shared, &clock, remote, pass.user.take(), request).await,
            };
            answer.close |= chunked;
            clock.responding(answer.close);
            let changes = answer.response.listens_to();
            let stream = changes.zip(answer.place).map(|(changes, permit)| Stream {
                changes,
                stop,
                idle_timeout: shared.limits.idle_timeout,
                _permit: permit,
            });
            let mut wire = answer.response.into_wire(answer.close, stream);
            pass.decorate(wire.headers_mut());
            Ok::<hyper::Response<WireBody>, Infallible>(wire)
        }
    });
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        // `printf ... | nc` closes its sending side right after the request.
        .half_close(true)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(limits.max_header_bytes.max(SMALLEST_BUFFER))
        .serve_connection(io, service);

    let mut expired = pin!(clock.expired());
    let mut lost = pin!(place.lost());
    let mut stopping = false;
    let refusal = loop {
        tokio::select! {
            // The clock is to be asked after the connection, see `Clock::expired`.
            biased;
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%remote, %error, "connection ended");
                }
                return;
            }
            () = expired.as_mut() => {
                tracing::debug!(%remote, "connection closed: out of time");
                break clock.heard().then_some(LATE);
            }
            () = lost.as_mut() => {
                tracing::debug!(%remote, "connection closed: another one has its place");
                break Some(BUSY);
            }
            _ = stop.changed(), if !stopping => {
                // A client that is still sending headers gets no answer: a slow one could hold
                // up the exit for the whole header timeout.
                if clock.in_head() {
                    return;
                }
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Some(refusal) = refusal.filter(|_| clock.unanswered()) {
        say(connection.into_parts().io.into_inner(), refusal).await;
    }
}

/// Tries to say why a connection is closed, without waiting for anything: its place is needed.
async fn say<S: AsyncWrite + Unpin>(mut socket: S, refusal: &[u8]) {
    poll_fn(|context| {
        let _ = Pin::new(&mut socket).poll_write(context, refusal);
        let _ = Pin::new(&mut socket).poll_flush(context);
        let _ = Pin::new(&mut socket).poll_shutdown(context);
        Poll::Ready(())
    })
    .await;
}

/// Decides what a request gets.
async fn answer(
    shared: &Shared,
    clock: &Clock,
    remote: SocketAddr,
    user: Option<String>,
    request: hyper::Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    // Which of them counts is nothing to guess at.
    if head.headers.get_all(HOST).iter().count() > 1 {
        return Answer::close(400, "more than one host\n");
    }
    let method = match head.method {
        hyper::Method::GET => Some(Method::Get),
        hyper::Method::HEAD => Some(Method::Head),
        hyper::Method::POST => Some(Method::Post),
        _ => None,
    };
    let (path, query) = (head.uri.path(), head.uri.query());
    let parsed = Request::from_parts(
        method.unwrap_or(Method::Get),
        path,
        query,
        head.headers,
        remote,
    );
    let posts = parsed
        .as_ref()
        .is_ok_and(|request| (shared.posts)(&request.path));
    // A path that is none is told as such, whatever is asked of it.
    let known = |&method: &Method| method != Method::Post || posts || parsed.is_err();
    let Some(method) = method.filter(known) else {
        let allowed = if posts {
            "GET, HEAD, POST"
        } else {
            "GET, HEAD"
        };
        let response = Response::text(format!("method not allowed; use {allowed}\n"))
            .with_status(405)
            .with_header("allow", allowed);
        return Answer {
            response,
            close: !body.is_end_stream(),
            place: None,
        };
    };
    let body = match body::read(&shared.limits, body, posts && method == Method::Post).await {
        Ok(body) => body,
        Err((status, text)) => return Answer::close(status, text),
    };
    match parsed {
        Ok(mut request) => {
            request.body = body;
            request.user = user;
            clock.working();
            in_its_place(shared, method, run_handler(shared, request).await)
        }
        Err(reason) => Answer::keep(Response::text(format!("{reason}\n")).with_status(400)),
    }
}

/// Gives a stream of events its place, or refuses it: those that stay must not take the places of those
/// that come and go.
fn in_its_place(shared: &Shared, method: Method, response: Response) -> Answer {
    let mut answer = Answer::keep(response);
    if method == Method::Get && answer.response.listens_to().is_some() {
        match Arc::clone(&shared.streams).try_acquire_owned() {
            Ok(place) => answer.place = Some(place),
            Err(_) => {
                answer.response = Response::text("too many open streams\n")
                    .with_status(503)
                    .with_header("retry-after", "30");
            }
        }
    }
    answer
}

/// Runs the handler on a thread of its own: rendering many metrics may take long, and on the
/// server's only thread it would hold up the health check.
async fn run_handler(shared: &Shared, request: Request) -> Response {
    let handler = Arc::clone(&shared.handler);
    let permits = Arc::clone(&shared.permits);
    let (method, path) = (request.method, request.path.clone());
    let run = async {
        let Ok(permit) = permits.acquire_owned().await else {
            // The semaphore is never closed.
            return Response::internal_error();
        };
        let task = spawn_blocking(move || {
            let _permit = permit;
            handler(&request)
        });
        match task.await {
            Ok(response) => response,
            Err(error) => {
                let message = match error.try_into_panic() {
                    Ok(panic) => panic_message(panic.as_ref()),
                    Err(error) => error.to_string(),
                };
                tracing::error!(%method, path, message, "the handler of a page panicked");
                Response::internal_error()
            }
        }
    };
    match timeout(shared.limits.idle_timeout, run).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(%method, path, "the handler of a page took too long");
            Response::text("the page is not ready in time\n").with_status(503)
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    match panic.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => "panic without a message".to_owned(),
    }
}
