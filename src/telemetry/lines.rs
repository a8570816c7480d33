//! One JSON object per event, written once: half of what a log line costs otherwise. There is one for each injected pod.

use std::fmt::{self, Write as _};
use std::io::Write;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::queue::Queue;
use crate::json::{Inside, push_string};

/// Writes events to the queue. Spans aren't looked at.
pub struct Lines(pub Queue);

/// The fields of an event, each behind a comma.
struct Fields<'o>(&'o mut Vec<u8>);

/// Longer than nearly every line.
const USUAL: usize = 1024;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Vec::with_capacity(USUAL);
        let level = event.metadata().level();
        push_value(&mut line, format_args!("{{\"timestamp\":\"{:.6}\",\"level\":\"{level}\"", Timestamp::now()));
        event.record(&mut Fields(&mut line));
        line.extend_from_slice(b",\"target\":");
        push_string(&mut line, event.metadata().target());
        line.extend_from_slice(b"}\n");
        // The queue takes it, or counts it as dropped.
        let _ = (&self.0).write_all(&line);
    }
}

/// As it is formatted.
fn push_value(line: &mut Vec<u8>, value: fmt::Arguments<'_>) {
    line.write_fmt(value).expect("memory takes everything");
}

impl Fields<'_> {
    fn key(&mut self, field: &Field) {
        self.0.push(b',');
        push_string(self.0, field.name());
        self.0.push(b':');
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field);
        self.0.push(b'"');
        // A value that fails to format is cut.
        let _ = write!(Inside(self.0), "{value:?}");
        self.0.push(b'"');
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        push_string(self.0, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        push_value(self.0, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        push_value(self.0, format_args!("{value}"));
    }

    /// Of infinity and the like JSON knows nothing.
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field);
        if value.is_finite() {
            push_value(self.0, format_args!("{value:?}"));
        } else {
            self.0.extend_from_slice(b"null");
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        push_value(self.0, format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tracing::{info, warn};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::registry;

    use super::super::heard::Output;
    use super::*;

    #[test]
    fn a_line_is_an_object_with_every_field_that_is_there() {
        let output = Output::default();
        let (queue, flush) = Queue::to(output.clone(), Arc::default()).expect("a thread");
        tracing::subscriber::with_default(registry().with(Lines(queue)), || {
            info!(
                k8s.pod.name = Some("we\"b"),
                k8s.job.name = None::<&str>,
                error.message = %"a\n\\b",
                seen = ?["x"],
                dry_run = true,
                code.line.number = 7_u32,
                below = -1,
                share = 0.5,
                none = f64::NAN,
                "decided"
            );
            warn!("again");
        });
        drop(flush);
        let lines = output.text();
        let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut first = lines.next().expect("a line");
        let timestamp = first.as_object_mut().expect("an object").remove("timestamp").expect("when it was");
        assert!(timestamp.as_str().expect("a string").parse::<Timestamp>().is_ok(), "{timestamp}");
        assert_eq!(
            first,
            json!({
                "level": "INFO", "target": module_path!(), "message": "decided", "k8s.pod.name": "we\"b",
                "error.message": "a\n\\b", "seen": "[\"x\"]", "dry_run": true, "code.line.number": 7, "below": -1,
                "share": 0.5, "none": null,
            })
        );
        assert_eq!(lines.next().expect("a line")["message"], "again");
        assert_eq!(lines.next(), None);
    }
}
