//! What is logged, for tests to look at.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{fmt, registry};

#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    pub fn text(&self) -> String {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(written.clone()).expect("UTF-8")
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that a future has logged.
pub async fn lines_of(future: impl Future) -> Vec<String> {
    let output = Output::default();
    let writer = output.clone();
    let events = fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    future.with_subscriber(registry().with(events)).await;
    output.text().lines().map(str::to_owned).collect()
}
