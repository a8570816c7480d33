//! Metrics: plain atomics that the request path adds to, and one table that says what each is.
//!
//! Every label has a closed set of values (enums of this program), so that no user can make a series. The table is what
//! `/metrics` and the reference page in `docs/` are written from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::admission::Entry;
use crate::inject::{Decision, Reason};

mod encode;
mod exposition;

pub(crate) use encode::{describe, encode_build, encode_counter, encode_labelled};
pub use exposition::{CONTENT_TYPE, Exposition, InForce};

/// What is known of a metric before it has a value.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// As it is queried.
    pub name: &'static str,
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A counter for each value of an enum, by its position there.
#[derive(Debug)]
struct Counters<const N: usize>([Counter; N]);

/// A number that is what it is now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// How long something took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    nanoseconds: AtomicU64,
}

/// How often a [`crate::source::Source`] was read again, and with what result.
#[derive(Debug, Default)]
pub struct Reloads {
    successes: Counter,
    failures: Counter,
    /// 1 while the newest contents are in force.
    last: Gauge,
}

/// Why a connection was closed before a request was read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many connections as are allowed: a further one, or one that made room for it.
    Limit,
    /// There is no usable certificate yet.
    NoCertificate,
}

/// Why a TLS handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    Timeout,
    /// The client went away.
    Closed,
    /// The two sides couldn't agree, or one didn't trust the other.
    Tls,
}

/// Everything that is counted. One per process, shared.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By path, then `inject`, `observe`, and a skip's reason.
    decisions: [Counters<{ 2 + REASONS }>; Entry::ALL.len()],
    failures: [Counters<REASONS>; Entry::ALL.len()],
    notes: Counters<REASONS>,
    durations: [Histogram; Entry::ALL.len()],
    pub connections: Gauge,
    pub connections_accepted: Counter,
    connections_refused: Counters<{ Refused::ALL.len() }>,
    handshake_failures: Counters<{ HandshakeFailure::ALL.len() }>,
    pub certificate_reloads: Arc<Reloads>,
    pub configuration_reloads: Arc<Reloads>,
    pub namespaces: Gauge,
    pub namespaces_synced: Gauge,
    pub namespace_watch_errors: Counter,
    pub log_lines_dropped: Arc<Counter>,
}

/// Upper bounds of the buckets, in seconds: from what a decision costs to the API server's longest timeout.
const BOUNDS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, f64::INFINITY];
const REASONS: usize = Reason::ALL.len();

/// The metrics of a program, as constants and as a list.
macro_rules! definitions {
    ($($id:ident = $name:literal, $kind:literal, [$($label:literal),*], $help:literal;)+) => {
        $(pub const $id: Definition = Definition { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)+
        pub const ALL: &[Definition] = &[$($id),+];
    };
}
pub(crate) use definitions;

pub(crate) mod definition {
    use super::Definition;

    definitions! {
        DECISIONS = "otelgate_decisions_total", "counter", ["decision", "reason", "path"],
            "Reviews that were decided: inject, observe, or skip with its reason";
        FAILURES = "otelgate_failures_total", "counter", ["reason", "path"],
            "Reviews that could not be decided; the pods were created unchanged";
        NOTES = "otelgate_notes_total", "counter", ["reason"],
            "Remarks on decided reviews, such as an option with an illegal value";
        DURATION = "otelgate_request_duration_seconds", "histogram", ["path"],
            "Time from a request's headers to its answer";
        CONNECTIONS = "otelgate_connections", "gauge", [],
            "Open connections of the webhook port";
        ACCEPTED = "otelgate_connections_accepted_total", "counter", [],
            "Connections that were accepted on the webhook port";
        REFUSED = "otelgate_connections_refused_total", "counter", ["cause"],
            "Connections that were closed before a request, but for those idle between two: limit, or no_certificate";
        HANDSHAKES = "otelgate_handshake_failures_total", "counter", ["cause"],
            "TLS handshakes that failed: timeout, closed by the client, or tls";
        NOT_AFTER = "otelgate_certificate_expiry_timestamp_seconds", "gauge", [],
            "When the certificate in force expires, in seconds since 1970";
        CERTIFICATE_RELOADS = "otelgate_certificate_reloads_total", "counter", ["outcome"],
            "New certificates that took effect (success) or were refused (failure)";
        CERTIFICATE_LAST = "otelgate_certificate_last_reload_successful", "gauge", [],
            "1 while the newest certificate is the one in force, 0 while it was refused";
        CONFIGURATION = "otelgate_configuration_info", "info", ["hash", "mode"],
            "The configuration in force";
        CONFIGURATION_RELOADS = "otelgate_configuration_reloads_total", "counter", ["outcome"],
            "New configurations that took effect (success) or were refused (failure)";
        CONFIGURATION_LAST = "otelgate_configuration_last_reload_successful", "gauge", [],
            "1 while the newest configuration is the one in force, 0 while it was refused";
        NAMESPACES = "otelgate_namespaces", "gauge", [],
            "Namespaces that are known";
        NAMESPACES_SYNCED = "otelgate_namespaces_synced", "gauge", [],
            "1 once every namespace was listed";
        NAMESPACE_ERRORS = "otelgate_namespace_watch_errors_total", "counter", [],
            "Failures of the watch of namespaces";
        LOG_DROPPED = "otelgate_log_lines_dropped_total", "counter", [],
            "Log lines that were dropped because nobody read the ones before";
        BUILD = "otelgate_build_info", "info", ["version"],
            "The version that runs";
    }
}

/// Every metric, in the order of the reference page.
#[must_use]
pub fn reference() -> &'static [Definition] {
    definition::ALL
}

// === impl Counter, Gauge, Histogram, Reloads ===

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Gauge {
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn decrement(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len() - 1);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Reloads {
    pub fn succeeded(&self) {
        self.successes.add(1);
        self.in_order();
    }

    pub fn failed(&self) {
        self.failures.add(1);
        self.last.set(0);
    }

    /// The newest contents are the ones in force.
    pub fn in_order(&self) {
        self.last.set(1);
    }

    #[must_use]
    pub fn successes(&self) -> u64 {
        self.successes.get()
    }

    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.get()
    }

    #[must_use]
    pub fn is_in_order(&self) -> bool {
        self.last.get() == 1
    }
}

impl Refused {
    pub const ALL: [Self; 2] = [Self::Limit, Self::NoCertificate];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::NoCertificate => "no_certificate",
        }
    }
}

impl HandshakeFailure {
    pub const ALL: [Self; 3] = [Self::Timeout, Self::Closed, Self::Tls];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Tls => "tls",
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Counts a decision and its notes.
    pub fn decided(&self, path: Entry, decision: &Decision<'_>) {
        let (outcome, notes) = match decision {
            Decision::Inject(plan) => (0, &plan.notes),
            Decision::Observe(plan) => (1, &plan.notes),
            Decision::Skip { reason, notes } => (2 + *reason as usize, notes),
        };
        self.decisions[path as usize].0[outcome].add(1);
        for note in notes {
            self.notes.0[note.reason as usize].add(1);
        }
    }

    pub fn failed(&self, path: Entry, reason: Reason) {
        self.failures[path as usize].0[reason as usize].add(1);
    }

    #[must_use]
    pub fn failures(&self, path: Entry, reason: Reason) -> u64 {
        self.failures[path as usize].0[reason as usize].get()
    }

    pub fn answered(&self, path: Entry, took: Duration) {
        self.durations[path as usize].observe(took);
    }

    pub fn refused(&self, cause: Refused) {
        self.connections_refused.0[cause as usize].add(1);
    }

    #[must_use]
    pub fn refusals(&self, cause: Refused) -> u64 {
        self.connections_refused.0[cause as usize].get()
    }

    #[must_use]
    pub fn handshake_failures(&self, cause: HandshakeFailure) -> u64 {
        self.handshake_failures.0[cause as usize].get()
    }

    pub fn handshake_failed(&self, cause: HandshakeFailure) {
        self.handshake_failures.0[cause as usize].add(1);
    }
}
