//! Reads what has arrived in one system call. rustls asks for 4 KiB at a time, which makes half a dozen of one review.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that is read in large pieces.
#[derive(Debug)]
pub struct ReadAhead<S> {
    stream: S,
    /// What was read and not yet asked for; nothing is kept for a connection that is silent.
    ahead: Vec<u8>,
    taken: usize,
}

/// More than most requests, so that one call tells that there is no more.
const PIECE: usize = 32 << 10;

impl<S> ReadAhead<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), taken: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_empty() {
            let mut piece = vec![0; PIECE];
            let mut unread = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut unread))?;
            let length = unread.filled().len();
            piece.truncate(length);
            (this.ahead, this.taken) = (piece, 0);
        }
        let rest = &this.ahead[this.taken..];
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        this.taken += length;
        if this.taken == this.ahead.len() {
            this.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Gives what it holds, and counts how often it was asked.
    struct Counting<'b> {
        bytes: &'b [u8],
        calls: usize,
    }

    impl AsyncRead for Counting<'_> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.calls += 1;
            Pin::new(&mut self.bytes).poll_read(cx, buffer)
        }
    }

    #[tokio::test]
    async fn all_that_is_there_is_read_in_few_calls() {
        let bytes: Vec<u8> = (0..=255).cycle().take(2 * PIECE + 5).collect();
        let mut stream = ReadAhead::new(Counting { bytes: &bytes, calls: 0 });
        let (mut read, mut small) = (Vec::new(), [0; 100]);
        loop {
            let length = stream.read(&mut small).await.expect("memory");
            if length == 0 {
                break;
            }
            read.extend_from_slice(&small[..length]);
        }
        assert!(read == bytes, "every byte, in its order");
        assert_eq!(stream.stream.calls, 4, "three pieces, and the end");
        assert_eq!(stream.ahead.capacity(), 0, "nothing is kept");
    }

    #[tokio::test]
    async fn both_directions_reach_the_stream() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = ReadAhead::new(near);
        far.write_all(b"ping").await.expect("there is room");
        let mut four = [0; 4];
        near.read_exact(&mut four).await.expect("it was written");
        assert_eq!(&four, b"ping");
        near.write_all(b"pong").await.expect("there is room");
        near.shutdown().await.expect("an end");
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.expect("it was written");
        assert_eq!(answer, "pong");
    }
}
