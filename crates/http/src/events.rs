//! Server-sent events: a page that stays open and is told when something changed.

use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, timeout};

/// Changes that follow each other faster are told as one.
const AT_MOST_EVERY: Duration = Duration::from_millis(250);

/// Longest silence on a stream, so that both ends notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a browser waits before it asks again for a stream that ended.
const RETRY: &str = "retry: 2000\n";

/// Something that changes now and then, and clients that want to know when.
///
/// What it is they ask for themselves: a client that reads slowly misses nothing but the number of
/// changes, and nothing piles up for it.
///
/// ```
/// use mirrorwatch_http::{Changes, Response};
///
/// let changes = Changes::default();
/// let page = Response::events(&changes);
/// assert_eq!(page.header("content-type"), Some("text/event-stream"));
/// changes.notify();
/// assert_eq!(changes.count(), 1);
/// ```
#[derive(Debug, Clone)]
pub struct Changes {
    count: Arc<watch::Sender<u64>>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            count: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Changes {
    /// Tells all streams that something changed.
    ///
    /// ```
    /// let changes = mirrorwatch_http::Changes::default();
    /// changes.clone().notify();
    /// assert_eq!(changes.count(), 1);
    /// ```
    pub fn notify(&self) {
        self.count
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// How often something changed so far.
    ///
    /// ```
    /// let changes = mirrorwatch_http::Changes::default();
    /// assert_eq!(changes.count(), 0);
    /// changes.notify();
    /// changes.notify();
    /// assert_eq!(changes.count(), 2);
    /// ```
    pub fn count(&self) -> u64 {
        *self.count.borrow()
    }

    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

/// What a stream needs while it is open.
pub(crate) struct Stream {
    /// The number of changes.
    pub changes: watch::Receiver<u64>,
    /// Changes when the server stops: the stream ends, and the client asks the next server.
    pub stop: watch::Receiver<bool>,
    /// Time without progress after which a connection is closed.
    pub idle_timeout: Duration,
    /// The place among the open streams.
    pub _permit: OwnedSemaphorePermit,
}

impl Stream {
    /// The stream as a body.
    pub(crate) fn into_body(self) -> UnsyncBoxBody<Bytes, Infallible> {
        UnsyncBoxBody::new(EventBody {
            next: Box::pin(first(self)),
        })
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Stream, Bytes)>> + Send>>;

struct EventBody {
    next: Next,
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((stream, bytes)) = ready!(self.next.as_mut().poll(cx)) else {
            // A future that is done must not be asked again.
            self.next = Box::pin(std::future::pending());
            return Poll::Ready(None);
        };
        self.next = Box::pin(following(stream));
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

/// At once, so that whoever connects after a change, or again, knows the number they are at.
async fn first(mut stream: Stream) -> Option<(Stream, Bytes)> {
    let count = *stream.changes.borrow_and_update();
    Some((stream, Bytes::from(format!("{RETRY}{}", event(count)))))
}

async fn following(mut stream: Stream) -> Option<(Stream, Bytes)> {
    let heartbeat = HEARTBEAT.min(stream.idle_timeout / 2);
    let changed = tokio::select! {
        () = stopped(stream.stop.clone()) => return None,
        changed = timeout(heartbeat, stream.changes.changed()) => changed,
    };
    let bytes = match changed {
        Ok(Ok(())) => {
            sleep(AT_MOST_EVERY).await;
            event(*stream.changes.borrow_and_update())
        }
        // Nobody is left who could tell of a change.
        Ok(Err(_)) => return None,
        Err(_) => String::from(": still here\n\n"),
    };
    Some((stream, Bytes::from(bytes)))
}

/// Returns when the server stops, also if it did before.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error is a server that is gone altogether.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn event(count: u64) -> String {
    format!("event: change\ndata: {count}\n\n")
}
