//! Logs: one JSON object or one line of text per event, to standard error.
//!
//! Messages are constant, data is in fields that OpenTelemetry's semantic conventions name. No value of an environment
//! variable, no annotation's body and no Secret is ever a field; a panic's own words are dropped for the same reason.

mod lines;
mod queue;

use std::io::{self, IsTerminal as _};
use std::panic;
use std::sync::Arc;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::metrics::Counter;
use lines::Lines;
pub use queue::Flush;
use queue::Queue;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Starts logging, once per process, until the returned value is dropped. Lines that had to be dropped are counted.
///
/// The level is otelgate's own; libraries are heard from `warn` on, because their lower levels show requests.
pub fn init(format: LogFormat, level: LogLevel, dropped: Arc<Counter>) -> io::Result<Flush> {
    let (queue, flush) = Queue::to(io::stderr(), dropped)?;
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let events = match format {
        LogFormat::Json => Lines(queue).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(queue).boxed(),
    };
    tracing_subscriber::registry().with(events.with_filter(filter(level))).init();
    panic::set_hook(Box::new(log_panic));
    Ok(flush)
}

/// At `warn`, kube's client quotes a body that it can't read, which may be a Secret's; at `error`, it tells each call that
/// failed. Its watches repeat what otelgate tells once.
fn filter(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("kube_client", LevelFilter::OFF)
        .with_target("kube_runtime", LevelFilter::ERROR.min(level))
        .with_target("otelgate", level)
}

/// The place only: the message may quote what was being read.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let (file, line) = info.location().map_or(("unknown", 0), |place| (place.file(), place.line()));
    error!(code.file.path = file, code.line.number = line, "panicked; please report it with this line");
}

#[cfg(test)]
pub use heard::lines_of;

#[cfg(test)]
mod heard;

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn kubes_client_isnt_heard_whatever_the_level() {
        for level in [LevelFilter::ERROR, LevelFilter::INFO, LevelFilter::TRACE] {
            assert!(!filter(level).would_enable("kube_client::client::builder", &Level::ERROR));
            assert!(filter(level).would_enable("otelgate::watch", &Level::ERROR));
            assert!(filter(level).would_enable("hyper", &Level::ERROR));
        }
    }
}
