//! What `/metrics` answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::registry::Registry;

use super::encode::{
    describe, encode_build, encode_counter, encode_gauge, encode_labelled, encode_reloads, encode_used,
};
use super::{BOUNDS, HandshakeFailure, Histogram, Metrics, Refused, definition};
use crate::admission::{Entry, Settings};
use crate::inject::Reason;
use crate::source::Source;
use crate::tls::Identity;

/// What `/metrics` answers, and its content type.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
}

/// What is looked up at each scrape.
pub struct InForce {
    pub settings: Arc<Source<Settings>>,
    pub identity: Arc<Source<Identity>>,
}

struct Scrape {
    metrics: Arc<Metrics>,
    in_force: InForce,
}

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Exposition {
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, in_force: InForce) -> Self {
        Self::of(Scrape { metrics, in_force })
    }

    /// Of a program whose metrics these are.
    #[must_use]
    pub fn of(collector: impl Collector) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(collector));
        Self { registry }
    }

    /// In the text format of OpenMetrics.
    ///
    /// # Errors
    /// Never, as the text goes to memory.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_reviews(&mut encoder)?;
        self.encode_durations(&mut encoder)?;
        self.encode_server(&mut encoder)?;
        self.encode_sources(&mut encoder)?;
        self.encode_namespaces(&mut encoder)?;
        encode_counter(&mut encoder, &definition::LOG_DROPPED, &self.metrics.log_lines_dropped)?;
        encode_build(&mut encoder)
    }
}

impl Scrape {
    fn encode_reviews(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = describe(encoder, &definition::DECISIONS)?;
        for (entry, counters) in Entry::ALL.into_iter().zip(&self.metrics.decisions) {
            for (index, counter) in counters.0.iter().enumerate() {
                let (decision, reason) = match index {
                    0 => ("inject", ""),
                    1 => ("observe", ""),
                    _ => ("skip", Reason::ALL[index - 2].code()),
                };
                let labels = [("decision", decision), ("reason", reason), ("path", entry.as_str())];
                encode_used(&mut family, &labels, counter)?;
            }
        }
        let mut family = describe(encoder, &definition::FAILURES)?;
        for (entry, counters) in Entry::ALL.into_iter().zip(&self.metrics.failures) {
            for (reason, counter) in Reason::ALL.iter().zip(&counters.0) {
                encode_used(&mut family, &[("reason", reason.code()), ("path", entry.as_str())], counter)?;
            }
        }
        let mut family = describe(encoder, &definition::NOTES)?;
        for (reason, counter) in Reason::ALL.iter().zip(&self.metrics.notes.0) {
            encode_used(&mut family, &[("reason", reason.code())], counter)?;
        }
        Ok(())
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = describe(encoder, &definition::DURATION)?;
        for (entry, Histogram { buckets, nanoseconds }) in Entry::ALL.into_iter().zip(&self.metrics.durations) {
            let counts = buckets.iter().map(|bucket| bucket.load(Relaxed));
            let buckets: Vec<(f64, u64)> = BOUNDS.into_iter().zip(counts).collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            let sum = Duration::from_nanos(nanoseconds.load(Relaxed)).as_secs_f64();
            let labels = [("path", entry.as_str())];
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn encode_server(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        encode_gauge(encoder, &definition::CONNECTIONS, &self.metrics.connections)?;
        encode_counter(encoder, &definition::ACCEPTED, &self.metrics.connections_accepted)?;
        let mut family = describe(encoder, &definition::REFUSED)?;
        for (cause, counter) in Refused::ALL.into_iter().zip(&self.metrics.connections_refused.0) {
            encode_labelled(&mut family, &[("cause", cause.as_str())], counter)?;
        }
        let mut family = describe(encoder, &definition::HANDSHAKES)?;
        for (cause, counter) in HandshakeFailure::ALL.into_iter().zip(&self.metrics.handshake_failures.0) {
            encode_labelled(&mut family, &[("cause", cause.as_str())], counter)?;
        }
        Ok(())
    }

    fn encode_sources(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = describe(encoder, &definition::NOT_AFTER)?;
        if let Some(identity) = &*self.in_force.identity.current() {
            family.encode_gauge(&identity.not_after().as_secs())?;
        }
        let certificate = &self.metrics.certificate_reloads;
        encode_reloads(encoder, &definition::CERTIFICATE_RELOADS, &definition::CERTIFICATE_LAST, certificate)?;
        let mut family = describe(encoder, &definition::CONFIGURATION)?;
        if let Some(settings) = &*self.in_force.settings.current() {
            let configuration = settings.configuration();
            family.encode_info(&[("hash", configuration.hash()), ("mode", configuration.mode().as_str())])?;
        }
        let configuration = &self.metrics.configuration_reloads;
        encode_reloads(encoder, &definition::CONFIGURATION_RELOADS, &definition::CONFIGURATION_LAST, configuration)
    }

    fn encode_namespaces(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        encode_gauge(encoder, &definition::NAMESPACES, &self.metrics.namespaces)?;
        encode_gauge(encoder, &definition::NAMESPACES_SYNCED, &self.metrics.namespaces_synced)?;
        encode_counter(encoder, &definition::NAMESPACE_ERRORS, &self.metrics.namespace_watch_errors)
    }
}
