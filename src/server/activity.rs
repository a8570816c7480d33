//! What a connection is doing, so that one that does nothing for too long can be closed.
//!
//! hyper's own timeout doesn't tell a client that is silent between requests, which the API server's pool is for 90 s,
//! from one that sends half a request's head.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Doing {
    /// Between requests, or before the first.
    Nothing,
    /// A request has begun to arrive.
    Head,
    /// A request is being answered, which has a deadline of its own.
    Request,
}

/// Shared by a connection's parts, all of which run in one task.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    opened: Instant,
    doing: AtomicU8,
    /// Milliseconds after `opened`.
    since: AtomicU64,
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
        Self(Arc::new(Shared {
            opened: Instant::now(),
            doing: AtomicU8::new(Doing::Nothing as u8),
            since: AtomicU64::new(0),
        }))
    }

    pub fn request_began(&self) {
        self.becomes(Doing::Request);
    }

    pub fn request_ended(&self) {
        self.becomes(Doing::Nothing);
    }

    /// Whether it is time to give up on the client.
    pub fn is_stale(&self, header: Duration, idle: Duration) -> bool {
        let Shared { opened, doing, since } = &*self.0;
        let quiet = opened.elapsed().saturating_sub(Duration::from_millis(since.load(Relaxed)));
        match doing.load(Relaxed) {
            doing if doing == Doing::Nothing as u8 => quiet > idle,
            doing if doing == Doing::Head as u8 => quiet > header,
            _ => false,
        }
    }

    fn bytes_arrived(&self) {
        if self.0.doing.load(Relaxed) == Doing::Nothing as u8 {
            self.becomes(Doing::Head);
        }
    }

    fn becomes(&self, doing: Doing) {
        let since = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.since.store(since, Relaxed);
        self.0.doing.store(doing as u8, Relaxed);
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
            self.activity.bytes_arrived();
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
