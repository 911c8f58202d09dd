//! The time a connection has left.
//!
//! Hyper's own header timeout starts as soon as it waits for a request, so it would close an idle
//! keep-alive connection after the header timeout, and it has none for a response that nobody
//! reads. This module replaces it: the socket tells the clock what moves.
//!
//! ```text
//! accepted ──> Head ──service called──> Handling ──response ready──> Quiet
//!               ^                          ^                           │
//!               └────────── bytes of the next request come in ─────────┘
//! ```

use crate::limits::{Limits, after};
use crate::places::Place;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// Longest wait for the client to take note of a refusal, see [`Timed::poll_shutdown`].
const LINGER: Duration = Duration::from_secs(2);

/// Most bytes to throw away in that time.
const LINGER_BYTES: usize = 1024 * 1024;

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// A request's headers are coming in.
    Head,
    /// The service has the request; it keeps its own time.
    Handling,
    /// A response is going out, or nothing is happening.
    Quiet,
    /// The response is out, the rest of the request is thrown away.
    Lingering,
}

#[derive(Clone, Copy)]
struct State {
    phase: Phase,
    deadline: Option<Instant>,
    linger: bool,
    discarded: usize,
    /// Something has come in.
    heard: bool,
    /// A response has begun.
    answered: bool,
}

/// Shared by the socket, the service and the task of one connection, which all run on one thread.
#[derive(Clone)]
pub(crate) struct Clock {
    state: Rc<Cell<State>>,
    place: Rc<Place>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Clock {
    pub(crate) fn new(limits: &Limits, place: Rc<Place>) -> Clock {
        // A connection that sends nothing at all has no more time than one that sends slowly.
        let state = State {
            phase: Phase::Head,
            deadline: Some(after(limits.header_timeout)),
            linger: false,
            discarded: 0,
            heard: false,
            answered: false,
        };
        Clock {
            state: Rc::new(Cell::new(state)),
            place,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
        }
    }

    /// The service has taken a request, of which the body may still be on its way.
    pub(crate) fn handling(&self) {
        self.enter(Phase::Handling, None);
        self.place.waits();
    }

    /// The client has done its part.
    pub(crate) fn working(&self) {
        self.place.works();
    }

    /// The service has returned its response.
    ///
    /// # Arguments
    ///
    /// * `linger` - part of the request may still be unread when the connection closes.
    pub(crate) fn responding(&self, linger: bool) {
        self.enter(Phase::Quiet, Some(self.idle_timeout));
        self.place.waits();
        if linger {
            self.linger();
        }
    }

    /// Whether a request is coming in that is not complete yet.
    pub(crate) fn in_head(&self) -> bool {
        self.state.get().phase == Phase::Head
    }

    /// Whether nothing has been said yet, so that a refusal would not stand in the middle of a response.
    pub(crate) fn unanswered(&self) -> bool {
        let state = self.state.get();
        !state.answered && matches!(state.phase, Phase::Head | Phase::Handling)
    }

    /// Whether a first request has begun to come in.
    pub(crate) fn heard(&self) -> bool {
        self.state.get().heard
    }

    /// Returns when the connection is out of time.
    ///
    /// Must be polled by the task that polls the connection, after it: that is what makes a
    /// deadline that has moved forward count at once.
    pub(crate) async fn expired(&self) {
        let mut sleep = pin!(sleep_until(after(self.idle_timeout)));
        poll_fn(|cx| {
            let Some(deadline) = self.state.get().deadline else {
                return Poll::Pending;
            };
            if sleep.deadline() != deadline {
                sleep.as_mut().reset(deadline);
            }
            sleep.as_mut().poll(cx)
        })
        .await;
    }

    fn enter(&self, phase: Phase, timeout: Option<Duration>) {
        let state = self.state.get();
        self.state.set(State {
            phase,
            deadline: timeout.map(after),
            ..state
        });
    }

    fn linger(&self) {
        let state = self.state.get();
        self.state.set(State {
            linger: true,
            ..state
        });
    }

    fn bytes_read(&self) {
        // Only the first bytes of a request set the deadline; later ones must not extend it. Bytes
        // that come in while an earlier request is handled do not count as a first byte: if no
        // more follow, the idle timeout ends the wait.
        let state = self.state.get();
        self.state.set(State {
            heard: true,
            ..state
        });
        if state.phase == Phase::Quiet {
            self.enter(Phase::Head, Some(self.header_timeout));
            self.place.waits();
        }
    }

    fn bytes_written(&self) {
        let state = self.state.get();
        self.state.set(State {
            answered: true,
            ..state
        });
        match state.phase {
            Phase::Quiet => {
                self.enter(Phase::Quiet, Some(self.idle_timeout));
                self.place.waits();
            }
            Phase::Head => {
                self.place.waits();
                // Either hyper answers a malformed request by itself, so that the rest of it
                // stays unread, or a client pipelines while its response goes out.
                self.enter(Phase::Quiet, Some(self.idle_timeout));
                self.linger();
            }
            Phase::Handling | Phase::Lingering => {}
        }
    }
}

/// A socket that tells its clock what moves.
pub(crate) struct Timed<S> {
    socket: S,
    clock: Clock,
}

impl<S> Timed<S> {
    pub(crate) fn new(socket: S, clock: Clock) -> Timed<S> {
        Timed { socket, clock }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.clock.bytes_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.clock.bytes_written();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices))?;
        self.clock.bytes_written();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Closes the sending side and, after a refusal, reads on for a moment.
    ///
    /// Closing a socket that has unread bytes resets the connection, and the reset can overtake
    /// the response that says what was wrong with them.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.clock.state.get().phase != Phase::Lingering {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            if !self.clock.state.get().linger {
                return Poll::Ready(Ok(()));
            }
            self.clock.enter(Phase::Lingering, Some(LINGER));
        }
        let mut space = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            // An error here means that the client is gone, which is as good as its goodbye.
            let result = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
            let mut state = self.clock.state.get();
            state.discarded += buffer.filled().len();
            self.clock.state.set(state);
            if result.is_err() || buffer.filled().is_empty() || state.discarded > LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
