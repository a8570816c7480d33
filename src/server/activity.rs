//! What a connection is doing, so that one that does nothing can be closed: after too long, or to make room.
//!
//! hyper's own timeout doesn't tell a client that is silent between requests, which the API server's pool is for 90 s,
//! from one that sends half a request's head. Nor does hyper tell how far it has read ahead, so this counts along.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Between requests.
    Nothing,
    /// A request has begun to arrive, or a first one is waited for, and the handshake before it.
    Head,
    /// A request is being answered, which has a deadline of its own.
    Request,
}

/// Shared by a connection's parts, all of which run in one task.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    unwanted: Notify,
}

#[derive(Debug)]
struct State {
    doing: Doing,
    since: Instant,
    /// Its place is wanted for another.
    unwanted: bool,
    /// Of the current request, as long as it is known where that began.
    framing: Option<Framing>,
}

/// How much of a request has arrived.
#[derive(Debug, Default)]
struct Framing {
    arrived: u64,
    /// Up to the empty line, once that is there.
    head: Option<u64>,
    /// Nothing but a carriage return since the last line feed.
    at_line_start: bool,
    /// As declared.
    body: Option<u64>,
}

/// A stream that notes when bytes arrive.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    activity: Activity,
}

// === impl Activity ===

impl Activity {
    pub fn new() -> Self {
        let framing = Some(Framing::default());
        let state = State { doing: Doing::Head, since: Instant::now(), unwanted: false, framing };
        Self(Arc::new(Shared { state: Mutex::new(state), unwanted: Notify::new() }))
    }

    /// The handshake is over.
    pub fn head_awaited(&self) {
        self.state().becomes(Doing::Head);
    }

    /// `length` is that of the body, if it is known in advance.
    pub fn request_began(&self, length: Option<u64>) {
        let mut state = self.state();
        if let Some(framing) = &mut state.framing {
            framing.body = length;
        }
        state.unwanted = false;
        state.becomes(Doing::Request);
    }

    pub fn request_ended(&self) {
        let mut state = self.state();
        if state.framing.as_ref().is_some_and(Framing::is_at_the_end) {
            state.framing = Some(Framing::default());
            state.becomes(Doing::Nothing);
        } else {
            // There is a part of the next request already, or there may be, from now on.
            state.framing = None;
            state.becomes(Doing::Head);
        }
    }

    /// Whether it is time to give up on the client.
    pub fn is_stale(&self, header: Duration, idle: Duration) -> bool {
        let state = self.state();
        match state.doing {
            Doing::Nothing => state.since.elapsed() > idle,
            Doing::Head => state.since.elapsed() > header,
            Doing::Request => false,
        }
    }

    /// Since when it has nothing to answer; `None` where it has, or is asked to leave already.
    pub fn waits_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.doing != Doing::Request && !state.unwanted).then_some(state.since)
    }

    /// Asks it to leave, unless it has something to answer by now.
    pub fn ask_to_leave(&self) -> bool {
        let mut state = self.state();
        state.unwanted = state.doing != Doing::Request;
        if state.unwanted {
            self.0.unwanted.notify_one();
        }
        state.unwanted
    }

    /// Until it is asked to leave, and no request has begun since.
    pub async fn unwanted(&self) {
        while !self.state().unwanted {
            self.0.unwanted.notified().await;
        }
    }

    /// Whether a client may wait for it to read a request: between requests none does, unless one is under way unseen.
    pub fn awaits_request(&self) -> bool {
        self.state().doing == Doing::Head
    }

    /// Whether its connection is still there.
    pub fn is_open(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn bytes_arrived(&self, bytes: &[u8]) {
        let mut state = self.state();
        if state.doing == Doing::Nothing {
            state.becomes(Doing::Head);
        }
        if let Some(framing) = &mut state.framing {
            framing.extend(bytes);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn becomes(&mut self, doing: Doing) {
        self.doing = doing;
        self.since = Instant::now();
    }
}

// === impl Framing ===

impl Framing {
    fn extend(&mut self, bytes: &[u8]) {
        if self.head.is_none() {
            for (count, byte) in (1..).zip(bytes) {
                match byte {
                    b'\n' if self.at_line_start => {
                        self.head = Some(self.arrived + count);
                        break;
                    }
                    b'\n' => self.at_line_start = true,
                    b'\r' => {}
                    _ => self.at_line_start = false,
                }
            }
        }
        self.arrived += bytes.len() as u64;
    }

    fn is_at_the_end(&self) -> bool {
        let end = self.head.zip(self.body).and_then(|(head, body)| head.checked_add(body));
        end == Some(self.arrived)
    }
}

// === impl Watched ===

impl<S> Watched<S> {
    pub fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_arrived(&buffer.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;

    fn after(pieces: &[&str], body: Option<u64>) -> Doing {
        let activity = Activity::new();
        for piece in pieces {
            activity.bytes_arrived(piece.as_bytes());
        }
        activity.request_began(body);
        activity.request_ended();
        activity.state().doing
    }

    #[tokio::test]
    async fn what_has_something_to_answer_is_not_asked_to_leave() {
        let activity = Activity::new();
        let mut unwanted = pin!(activity.unwanted());
        assert!(activity.ask_to_leave());
        assert_eq!(activity.waits_since(), None, "it is asked already");
        // Its task reads a request before it gets to hear of that.
        activity.request_began(Some(0));
        assert!(poll!(&mut unwanted).is_pending());
        assert!(!activity.ask_to_leave());
        assert_eq!(activity.waits_since(), None);
        activity.request_ended();
        assert!(poll!(&mut unwanted).is_pending());
        assert!(activity.waits_since().is_some() && activity.ask_to_leave());
        assert!(poll!(&mut unwanted).is_ready());
    }

    #[test]
    fn silence_begins_only_where_a_request_ends() {
        assert_eq!(after(&["POST / HTTP/1.1\r\na: b\r\n\r\n{}"], Some(2)), Doing::Nothing);
        assert_eq!(after(&["POST / HTTP/1.1\na: b\n", "\n", "{", "}"], Some(2)), Doing::Nothing);
        assert_eq!(after(&["GET / HTTP/1.1\r\na: b\r", "\n\r", "\n"], Some(0)), Doing::Nothing);
        for ahead in ["P", "\r\n", "GET / HTTP/1.1\r\n\r\n"] {
            assert_eq!(after(&["POST / HTTP/1.1\r\n\r\n{}", ahead], Some(2)), Doing::Head, "{ahead:?}");
            assert_eq!(after(&[&format!("POST / HTTP/1.1\r\n\r\n{{}}{ahead}")], Some(2)), Doing::Head, "{ahead:?}");
        }
        assert_eq!(after(&["POST / HTTP/1.1\r\n\r\n2\r\n{}\r\n0\r\n\r\n"], None), Doing::Head);
    }
}
