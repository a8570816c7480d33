//! Log lines on their way out, so that a reader that is slow or stuck never holds up a review.
//!
//! A thread of its own writes them in batches. When too many wait, new ones are dropped and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::metrics::Counter;

/// Takes whole lines, and never waits.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

/// Lets the last lines out when dropped.
#[must_use = "dropped at once, it ends the log"]
pub struct Flush(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    changed: Condvar,
    dropped: Arc<Counter>,
}

#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
    /// Nothing more will come.
    ended: bool,
    /// Everything was written.
    written: bool,
}

/// Some 2,500 lines.
const MAX_WAITING: usize = 1 << 20;
/// How long a first line waits for others: under load, one system call serves many.
const GATHER: Duration = Duration::from_millis(20);
/// For the last lines, should nobody read them.
const LAST: Duration = Duration::from_secs(1);

// === impl Queue ===

impl Queue {
    /// Starts the thread that writes.
    pub fn to(output: impl Write + Send + 'static, dropped: Arc<Counter>) -> io::Result<(Self, Flush)> {
        let shared = Arc::new(Shared { lines: Mutex::default(), changed: Condvar::new(), dropped });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_to(output))?;
        Ok((Self(Arc::clone(&shared)), Flush(shared)))
    }
}

impl<'q> MakeWriter<'q> for Queue {
    type Writer = &'q Queue;

    fn make_writer(&'q self) -> Self::Writer {
        self
    }
}

impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock();
        if lines.waiting.len() + line.len() > MAX_WAITING {
            self.0.dropped.add(1);
            return Ok(line.len());
        }
        let first = lines.waiting.is_empty();
        lines.waiting.extend_from_slice(line);
        drop(lines);
        if first {
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        // No code under the lock can panic half-way.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut lines = self.lock();
            while lines.waiting.is_empty() {
                if lines.ended {
                    lines.written = true;
                    self.changed.notify_all();
                    return;
                }
                lines = self.changed.wait(lines).unwrap_or_else(PoisonError::into_inner);
            }
            let gathered = self.changed.wait_timeout_while(lines, GATHER, |lines| !lines.ended);
            std::mem::swap(&mut batch, &mut gathered.unwrap_or_else(PoisonError::into_inner).0.waiting);
            // Nobody is left to tell when standard error is closed.
            let _ = output.write_all(&batch);
            batch.clear();
            batch.shrink_to(MAX_WAITING / 16);
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let mut lines = self.0.lock();
        lines.ended = true;
        self.0.changed.notify_all();
        // Whether or not they were read, the process ends.
        let _ = self.0.changed.wait_timeout_while(lines, LAST, |lines| !lines.written);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Passes on what is written, once it may.
    struct Gate {
        open: mpsc::Receiver<()>,
        passed: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The test is over when this fails.
            let _ = self.open.recv();
            let _ = self.passed.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_no_time() {
        let (opener, open) = mpsc::channel();
        let (passed, passing) = mpsc::channel();
        let dropped = Arc::new(Counter::default());
        let (queue, flush) = Queue::to(Gate { open, passed }, Arc::clone(&dropped)).expect("a thread");
        let line = [b'x'; 1024];
        let count = 4 * MAX_WAITING / line.len();
        for _ in 0..count {
            (&queue).write_all(&line).expect("never fails");
        }
        drop(opener);
        drop(flush);
        let written: usize = passing.iter().map(|batch| batch.len()).sum();
        assert!(dropped.get() > 0);
        assert_eq!(written + usize::try_from(dropped.get()).expect("few") * line.len(), count * line.len());
    }

    #[test]
    fn the_last_lines_are_written() {
        let (opener, open) = mpsc::channel();
        let (passed, passing) = mpsc::channel();
        drop(opener);
        let (queue, flush) = Queue::to(Gate { open, passed }, Arc::default()).expect("a thread");
        (&queue).write_all(b"one\n").expect("never fails");
        (&queue).write_all(b"two\n").expect("never fails");
        drop(flush);
        drop(queue);
        assert_eq!(passing.iter().collect::<Vec<_>>().concat(), b"one\ntwo\n");
    }
}
