//! What a Collector says of itself, read from its metrics whatever its version calls them.
//!
//! Counters are called `otelcol_receiver_accepted_spans`, `otelcol_receiver_accepted_spans_total` or
//! `otelcol_receiver_accepted_spans__spans__total`, by version and by how their reader is configured.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Sub};

use super::exposition::Sample;

/// One reading: what was counted since the Collector started, and how full its queues are now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub counts: Counts,
    /// The one that is fullest.
    pub queue: Option<Queue>,
    /// Seconds since the Collector started.
    pub uptime: Option<f64>,
}

/// What only grows, until the Collector starts again.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// In the order of [`Signal::ALL`].
    pub flows: [Flow; Signal::ALL.len()],
    /// What the `datadog` exporter does behind the back of the counters above: it takes data as sent when it has only
    /// handed it over to these, one for traces and one for their statistics.
    pub writers: [Writer; WRITERS.len()],
}

/// Spans, metric points or log records.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    pub accepted: f64,
    /// By receivers, whoever is at fault.
    pub refused: f64,
    /// By the memory limiter, which receivers count as well.
    pub limited: f64,
    /// Into processors, and out of them: the difference was dropped on purpose.
    pub incoming: f64,
    pub outgoing: f64,
    pub sent: f64,
    /// Given up by exporters, or not even taken into their queue.
    pub failed: f64,
}

/// In payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Writer {
    pub sent: f64,
    /// Refused by the intake, or dropped.
    pub failed: f64,
    pub retried: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    pub exporter: String,
    pub size: f64,
    pub capacity: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// Takes samples, one after the other.
#[derive(Debug, Default)]
pub struct Reader {
    counts: Counts,
    queues: BTreeMap<(String, String), (f64, f64)>,
    uptime: Option<f64>,
    is_collector: bool,
}

const PREFIX: &str = "otelcol_";
const DATADOG: &str = "datadog_trace_agent_";
const WRITERS: [&str; 2] = ["trace_writer_", "stats_writer_"];

/// The name of one of the Collector's own, whatever its version makes of it: `receiver_accepted_spans`.
#[must_use]
pub fn own(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX).map(without_form)
}

fn without_form(name: &str) -> &str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    name.split("__").next().unwrap_or(name)
}

/// What a receiver or an exporter did, and to what: of `accepted_spans`.
#[must_use]
pub fn verb(of: &str) -> Option<(&str, Signal)> {
    let items = ["spans", "metric_points", "log_records"];
    items.into_iter().find_map(|items| Some((of.strip_suffix(items)?.strip_suffix('_')?, Signal::of_items(items)?)))
}

// === impl Signal ===

impl Signal {
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// By the last words of a counter's name.
    fn of_items(items: &str) -> Option<Self> {
        match items {
            "spans" => Some(Self::Traces),
            "metric_points" => Some(Self::Metrics),
            "log_records" => Some(Self::Logs),
            _ => None,
        }
    }

    /// As labels have it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.as_str() == name)
    }
}

// === impl Reader ===

impl Reader {
    pub fn take(&mut self, sample: &Sample<'_>) {
        let (name, of_collector) = match sample.name.strip_prefix(PREFIX) {
            Some(name) => (name, true),
            None => (sample.name, false),
        };
        self.is_collector |= of_collector;
        let name = without_form(name);
        // Elsewhere, NaN would be contagious.
        if !sample.value.is_finite() {
            return;
        }
        if let Some(rest) = name.strip_prefix(DATADOG) {
            self.take_writer(rest, sample.value);
        } else if of_collector {
            self.take_own(name, sample);
        }
    }

    fn take_own(&mut self, name: &str, sample: &Sample<'_>) {
        let value = sample.value;
        if let Some((kind, of)) =
            name.split_once('_').filter(|(kind, _)| ["receiver", "processor", "exporter"].contains(kind))
        {
            match (kind, of) {
                ("processor", "incoming_items" | "outgoing_items") => {
                    if let Some(signal) = Signal::named(sample.label("otel_signal")) {
                        let flow = &mut self.counts.flows[signal as usize];
                        if of == "incoming_items" { flow.incoming += value } else { flow.outgoing += value }
                    }
                }
                ("exporter", "queue_size" | "queue_capacity") => {
                    let key = (sample.label("exporter").to_owned(), sample.label("data_type").to_owned());
                    let (size, capacity) = self.queues.entry(key).or_default();
                    if of == "queue_size" { *size += value } else { *capacity += value }
                }
                _ => self.take_flow(kind, of, value),
            }
        } else if name.starts_with("process_uptime") {
            self.uptime = Some(value);
        }
    }

    /// `accepted_spans` of a receiver, and the like.
    fn take_flow(&mut self, kind: &str, of: &str, value: f64) {
        let Some((verb, signal)) = verb(of) else { return };
        let flow = &mut self.counts.flows[signal as usize];
        match (kind, verb) {
            ("receiver", "accepted") => flow.accepted += value,
            ("receiver", "refused" | "failed") => flow.refused += value,
            ("processor", "refused" | "memory_limiter_refused") => flow.limited += value,
            ("exporter", "sent") => flow.sent += value,
            ("exporter", "send_failed" | "enqueue_failed") => flow.failed += value,
            _ => {}
        }
    }

    /// `trace_writer_errors`, and the like.
    fn take_writer(&mut self, name: &str, value: f64) {
        for (writer, prefix) in self.counts.writers.iter_mut().zip(WRITERS) {
            match name.strip_prefix(prefix) {
                Some("payloads") => writer.sent += value,
                Some("errors" | "dropped") => writer.failed += value,
                Some("retries") => writer.retried += value,
                _ => {}
            }
        }
    }

    /// `None` when nothing of it was a Collector's.
    #[must_use]
    pub fn finish(self) -> Option<Reading> {
        let queues = self.queues.into_iter().filter(|(_, (_, capacity))| *capacity > 0.0);
        let queues = queues.map(|((exporter, _), (size, capacity))| Queue { exporter, size, capacity });
        let queue = queues.max_by(|one, other| one.fullness().total_cmp(&other.fullness()));
        self.is_collector.then_some(Reading { counts: self.counts, queue, uptime: self.uptime })
    }
}

// === impl Queue ===

impl Queue {
    /// From 0 to 1.
    #[must_use]
    pub fn fullness(&self) -> f64 {
        self.size / self.capacity
    }
}

// === impl Reading ===

impl Reading {
    /// What came since another reading of the same Collector. One that started again in between counts from nothing.
    #[must_use]
    pub fn since(&self, before: &Self) -> Counts {
        let restarted = matches!((before.uptime, self.uptime), (Some(before), Some(now)) if now < before)
            || self.counts.is_behind(&before.counts);
        if restarted { self.counts } else { self.counts - before.counts }
    }
}

// === impl Counts ===

impl Counts {
    /// Whether a counter went back.
    fn is_behind(&self, before: &Self) -> bool {
        let flows = self.flows.iter().zip(&before.flows);
        let mut flows = flows.flat_map(|(now, before)| now.numbers().into_iter().zip(before.numbers()));
        let writers = self.writers.iter().zip(&before.writers);
        let mut writers = writers.flat_map(|(now, before)| now.numbers().into_iter().zip(before.numbers()));
        flows.any(|(now, before)| now < before) || writers.any(|(now, before)| now < before)
    }

    fn with(self, other: Self, join: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            flows: std::array::from_fn(|at| {
                let (one, other) = (self.flows[at].numbers(), other.flows[at].numbers());
                Flow::of(std::array::from_fn(|at| join(one[at], other[at])))
            }),
            writers: std::array::from_fn(|at| {
                let (one, other) = (self.writers[at].numbers(), other.writers[at].numbers());
                Writer::of(std::array::from_fn(|at| join(one[at], other[at])))
            }),
        }
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        self.with(before, |now, before| now - before)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, further: Self) {
        *self = self.with(further, |sum, further| sum + further);
    }
}

// === impl Writer ===

impl Writer {
    fn numbers(&self) -> [f64; 3] {
        let Self { sent, failed, retried } = *self;
        [sent, failed, retried]
    }

    fn of([sent, failed, retried]: [f64; 3]) -> Self {
        Self { sent, failed, retried }
    }
}

// === impl Flow ===

impl Flow {
    fn numbers(&self) -> [f64; 7] {
        let Self { accepted, refused, limited, incoming, outgoing, sent, failed } = *self;
        [accepted, refused, limited, incoming, outgoing, sent, failed]
    }

    fn of([accepted, refused, limited, incoming, outgoing, sent, failed]: [f64; 7]) -> Self {
        Self { accepted, refused, limited, incoming, outgoing, sent, failed }
    }

    /// Of what was accepted, that which nobody dropped on purpose.
    #[must_use]
    pub fn left_to_send(&self) -> f64 {
        (self.accepted - (self.incoming - self.outgoing - self.limited).max(0.0)).max(0.0)
    }

    /// Whoever counted it.
    #[must_use]
    pub fn turned_away(&self) -> f64 {
        self.refused.max(self.limited)
    }
}
