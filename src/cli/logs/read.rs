//! Lines of a stream, and of several in the order of time.

use std::io;
use std::pin::Pin;

use futures::AsyncBufReadExt as _;
use futures::io::AsyncBufRead;

use super::{Line, Origin};

/// What is kept of one line; the rest of a longer one is skipped.
const LONGEST: usize = 64 * 1024;

/// The lines of a log.
pub struct Lines(Pin<Box<dyn AsyncBufRead + Send>>);

/// Several logs, merged: each is in the order of time itself.
#[derive(Default)]
pub struct Merged {
    logs: Vec<Log>,
}

struct Log {
    origin: Origin,
    lines: Lines,
    /// The next line.
    head: Option<io::Result<Line>>,
    /// Whether `head` was looked for.
    started: bool,
}

// === impl Lines ===

impl Lines {
    pub fn of(stream: impl AsyncBufRead + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// `None` at the end.
    ///
    /// # Errors
    /// When the stream breaks off.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut raw = Vec::new();
        let mut any = false;
        loop {
            let chunk = self.0.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(any.then(|| Line::parse(&raw)));
            }
            any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            raw.extend_from_slice(&part[..part.len().min(LONGEST - raw.len())]);
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.0.as_mut().consume(used);
            if end.is_some() {
                return Ok(Some(Line::parse(&raw)));
            }
        }
    }
}

// === impl Merged ===

impl Merged {
    pub fn add(&mut self, origin: Origin, lines: Lines) {
        self.logs.push(Log { origin, lines, head: None, started: false });
    }

    /// The earliest line of those that are left, or that one of the logs breaks off.
    pub async fn next(&mut self) -> Option<(Origin, io::Result<Line>)> {
        for log in self.logs.iter_mut().filter(|log| !log.started) {
            log.advance().await;
        }
        // A line without a time is told at once, and so is a fault.
        let time = |log: &Log| log.head.as_ref().and_then(|head| head.as_ref().ok()).and_then(|line| line.time);
        let waiting = self.logs.iter_mut().filter(|log| log.head.is_some());
        let next = waiting.min_by_key(|log| time(log))?;
        let head = next.head.take()?;
        next.started = head.is_err();
        Some((next.origin.clone(), head))
    }
}

impl Log {
    async fn advance(&mut self) {
        self.started = true;
        self.head = self.lines.next().await.transpose();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(pod: &str) -> Origin {
        let text = pod.to_owned();
        Origin {
            namespace: text.clone(),
            pod: text.clone(),
            uid: text.clone(),
            node: None,
            component: text.clone(),
            container: text,
            is_one_of_several: false,
        }
    }

    async fn all(logs: &[(&str, &'static str)]) -> Vec<String> {
        let mut merged = Merged::default();
        for (pod, text) in logs {
            merged.add(origin(pod), Lines::of(text.as_bytes()));
        }
        let mut told = Vec::new();
        while let Some((origin, line)) = merged.next().await {
            told.push(format!("{} {}", origin.pod, line.expect("a line").text));
        }
        told
    }

    #[tokio::test]
    async fn logs_are_merged_by_time() {
        let told = all(&[
            ("a", "2026-11-02T09:00:01Z 1\n2026-11-02T09:00:03.000000002Z 4\n2026-11-02T09:00:03.000000002Z 5\n"),
            ("b", "2026-11-02T09:00:02Z 2\n2026-11-02T09:00:03.000000001Z 3\n2026-11-02T09:00:09Z 6"),
            ("c", ""),
        ])
        .await;
        assert_eq!(told, ["a 1", "b 2", "b 3", "a 4", "a 5", "b 6"]);
    }

    #[tokio::test]
    async fn a_line_of_any_length_is_cut() {
        let text = format!("2026-11-02T09:00:01Z {}\n2026-11-02T09:00:02Z next\n", "x".repeat(LONGEST * 3));
        let mut lines = Lines::of(futures::io::Cursor::new(text));
        let long = lines.next().await.expect("readable").expect("a line");
        assert_eq!(long.text.len(), LONGEST - "2026-11-02T09:00:01Z ".len());
        assert_eq!(lines.next().await.expect("readable").expect("a line").text, "next");
        assert_eq!(lines.next().await.expect("readable"), None);
    }

    /// What breaks off is told, and the others go on.
    #[tokio::test]
    async fn a_fault_is_told_once() {
        struct Broken;
        impl futures::io::AsyncRead for Broken {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &mut [u8],
            ) -> std::task::Poll<io::Result<usize>> {
                std::task::Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
        }
        let mut merged = Merged::default();
        merged.add(origin("a"), Lines::of(futures::io::BufReader::new(Broken)));
        merged.add(origin("b"), Lines::of(&b"2026-11-02T09:00:01Z 1\n"[..]));
        let first = merged.next().await.expect("a fault");
        assert!(first.0.pod == "a" && first.1.is_err());
        assert_eq!(merged.next().await.expect("a line").0.pod, "b");
        assert!(merged.next().await.is_none());
    }
}
