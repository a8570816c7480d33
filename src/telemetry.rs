//! Logs: one JSON object or one line of text per event, to standard error.
//!
//! Messages are constant, data is in fields that OpenTelemetry's semantic conventions name. No value of an environment
//! variable, no annotation's body and no Secret is ever a field; a panic's own words are dropped for the same reason.

use std::io;
use std::panic;

use clap::ValueEnum;
use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Starts logging, once per process.
///
/// The level is otelgate's own; libraries are heard from `warn` on, because their lower levels show requests.
pub fn init(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new().with_default(LevelFilter::WARN.min(level)).with_target("otelgate", level);
    let events = match format {
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(io::stderr)
            .boxed(),
        LogFormat::Text => {
            fmt::layer().with_ansi(io::IsTerminal::is_terminal(&io::stderr())).with_writer(io::stderr).boxed()
        }
    };
    tracing_subscriber::registry().with(events.with_filter(filter)).init();
    panic::set_hook(Box::new(log_panic));
}

/// The place only: the message may quote what was being read.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let (file, line) = info.location().map_or(("unknown", 0), |place| (place.file(), place.line()));
    error!(code.file.path = file, code.line.number = line, "panicked; please report it with this line");
}
