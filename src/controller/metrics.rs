//! What the controller counts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::State;
use super::health::{Items, KeyOutcome, ProbeOutcome, Signal};
use crate::api::condition::Holds;
use crate::metrics::{self, Counter, Definition};

pub(crate) mod definition {
    use super::Definition;
    use crate::metrics::definitions;

    definitions! {
        LEADER = "otelgate_controller_leader", "gauge", [],
            "1 while this controller is the one that acts";
        CONDITION = "otelgate_controller_condition", "gauge", ["type"],
            "1 while the condition of the TelemetryStack holds, 0 while it doesn't, and no series while that isn't known; only the leader has it";
        REASON = "otelgate_controller_condition_reason", "gauge", ["type", "reason"],
            "1 for the reason of each condition that doesn't hold; only the leader has it";
        PODS = "otelgate_controller_pods", "gauge", ["coverage"],
            "Opted-in pods by what they carry: Injected, Missed, RestartPending or Outdated; only the leader has it";
        FAILURES = "otelgate_controller_failures_total", "counter", ["object"],
            "Calls of the API server that failed, by what they were about";
        WRITES = "otelgate_controller_writes_total", "counter", ["object"],
            "Writes to the API server, by what was written";
        EVENTS_LOST = "otelgate_controller_events_lost_total", "counter", [],
            "Events that couldn't be written";
        PROBES = "otelgate_controller_probes_total", "counter", ["outcome"],
            "Pods that were tried in a dry run: with the webhook's mark, unmarked, let_through by it, refused by others, or unanswered";
        KEYS = "otelgate_controller_key_validations_total", "counter", ["outcome"],
            "Answers of Datadog to whether it accepts the API key: accepted, refused, or unanswered";
        COLLECTORS = "otelgate_controller_collectors", "gauge", ["state"],
            "Collectors by what was measured of them; only the leader has it";
        ROLLOUT = "otelgate_controller_collector_rollout_nodes", "gauge", [],
            "Nodes that wait for a rollout of the Collector; no series while none goes on, or while something else is wrong; only the leader has it";
        MISSING = "otelgate_controller_collector_missing_nodes", "gauge", [],
            "Nodes that should have a Collector and have none that is ready; no series while nobody looks; only the leader has it";
        AGENT_ROLLOUT = "otelgate_controller_agent_rollout_nodes", "gauge", [],
            "Nodes that wait for a rollout of the Datadog Agent; no series while none goes on, or while something else is wrong; only the leader has it";
        SCRAPES = "otelgate_controller_collector_scrapes_total", "counter", ["outcome"],
            "Readings of Collectors' own metrics";
        ITEMS = "otelgate_controller_collector_items_total", "counter", ["signal", "outcome"],
            "Spans, metric points and log records that Collectors accepted, refused, sent, or failed to send, since this controller leads";
    }
}

/// Every metric that only the controller has, in the order of the reference page.
#[must_use]
pub fn reference() -> &'static [Definition] {
    definition::ALL
}

/// What the controller writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Configuration,
    Status,
    Authority,
    Certificate,
    Registration,
    Collector,
    Agent,
    Event,
    /// Of pods.
    Eviction,
    /// What a repair remembers.
    Repair,
}

/// How often.
#[derive(Debug, Default)]
pub struct Writes([Counter; Write::ALL.len()]);

/// What `/metrics` of the controller looks up.
#[derive(Debug)]
pub struct Scrape {
    pub state: Arc<State>,
    pub log_lines_dropped: Arc<Counter>,
}

// === impl Write ===

impl Write {
    pub const ALL: [Self; 10] = [
        Self::Configuration,
        Self::Status,
        Self::Authority,
        Self::Certificate,
        Self::Registration,
        Self::Collector,
        Self::Agent,
        Self::Event,
        Self::Eviction,
        Self::Repair,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Status => "status",
            Self::Authority => "authority",
            Self::Certificate => "certificate",
            Self::Registration => "registration",
            Self::Collector => "collector",
            Self::Event => "event",
            Self::Eviction => "eviction",
            Self::Repair => "repair",
            Self::Agent => "agent",
        }
    }
}

impl Writes {
    pub fn add(&self, write: Write) {
        self.0[write as usize].add(1);
    }

    #[cfg(test)]
    pub fn of(&self, write: Write) -> u64 {
        self.0[write as usize].get()
    }
}

// === impl Scrape ===

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let leads = self.state.leads.load(Relaxed);
        metrics::describe(encoder, &definition::LEADER)?.encode_gauge(&u64::from(leads))?;
        let mut family = metrics::describe(encoder, &definition::CONDITION)?;
        let conditions = self.state.conditions();
        for (condition, reason) in &conditions {
            let value: u64 = match reason.holds() {
                Holds::True => 1,
                Holds::False => 0,
                // Alerts take 0 for a fault.
                Holds::Unknown => continue,
            };
            family.encode_family(&[("type", condition.as_str())])?.encode_gauge(&value)?;
        }
        let mut family = metrics::describe(encoder, &definition::REASON)?;
        for (condition, reason) in conditions.iter().filter(|(_, reason)| reason.holds() == Holds::False) {
            let labels = [("type", condition.as_str()), ("reason", reason.code())];
            family.encode_family(&labels)?.encode_gauge(&1_u64)?;
        }
        let mut family = metrics::describe(encoder, &definition::PODS)?;
        for (coverage, pods) in self.state.coverage.counts().into_iter().flatten() {
            family.encode_family(&[("coverage", coverage)])?.encode_gauge(&pods)?;
        }
        let mut family = metrics::describe(encoder, &definition::FAILURES)?;
        for health in self.state.healths() {
            let labels = [("object", health.what())];
            family
                .encode_family(&labels)?
                .encode_counter::<prometheus_client::encoding::NoLabelSet, u64, f64>(&health.failures(), None)?;
        }
        let mut family = metrics::describe(encoder, &definition::WRITES)?;
        for (write, counter) in Write::ALL.into_iter().zip(&self.state.writes.0) {
            metrics::encode_labelled(&mut family, &[("object", write.as_str())], counter)?;
        }
        self.encode_health(encoder)?;
        metrics::encode_counter(encoder, &metrics::definition::LOG_DROPPED, &self.log_lines_dropped)?;
        metrics::encode_build(encoder)
    }
}

impl Scrape {
    fn encode_health(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let measured = &self.state.measured;
        metrics::encode_counter(encoder, &definition::EVENTS_LOST, &measured.events_lost)?;
        let mut family = metrics::describe(encoder, &definition::PROBES)?;
        for outcome in ProbeOutcome::ALL {
            metrics::encode_labelled(&mut family, &[("outcome", outcome.as_str())], measured.probes(outcome))?;
        }
        let mut family = metrics::describe(encoder, &definition::KEYS)?;
        for outcome in KeyOutcome::ALL {
            metrics::encode_labelled(&mut family, &[("outcome", outcome.as_str())], measured.validations(outcome))?;
        }
        let mut family = metrics::describe(encoder, &definition::COLLECTORS)?;
        for (state, count) in measured.collectors().into_iter().flatten() {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            family.encode_family(&[("state", state.as_str())])?.encode_gauge(&count)?;
        }
        let nodes = measured.nodes();
        for (definition, nodes) in [
            (&definition::ROLLOUT, nodes.collector.and_then(|collector| collector.waiting)),
            (&definition::MISSING, nodes.collector.map(|collector| collector.missing)),
            (&definition::AGENT_ROLLOUT, nodes.agents_waiting),
        ] {
            if let Some(nodes) = nodes {
                metrics::describe(encoder, definition)?.encode_gauge(&nodes)?;
            }
        }
        let mut family = metrics::describe(encoder, &definition::SCRAPES)?;
        for (outcome, counter) in measured.scrapes() {
            metrics::encode_labelled(&mut family, &[("outcome", outcome)], counter)?;
        }
        let mut family = metrics::describe(encoder, &definition::ITEMS)?;
        for signal in Signal::ALL {
            for items in Items::ALL {
                let labels = [("signal", signal.as_str()), ("outcome", items.as_str())];
                metrics::encode_labelled(&mut family, &labels, measured.items_of(signal, items))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::{ConditionType, Reason};
    use crate::metrics::Exposition;

    #[test]
    fn a_condition_that_isnt_known_has_no_series() {
        let state = Arc::new(State::default());
        let conditions = [
            (ConditionType::CertificateReady, Reason::Trusted),
            (ConditionType::WebhookReachable, Reason::ProbeUnanswered),
            (ConditionType::CollectorAvailable, Reason::CollectorRolledBack),
            (ConditionType::Ready, Reason::CollectorRolledBack),
        ];
        state.set_conditions(conditions.into_iter());
        let text = Exposition::of(Scrape { state, log_lines_dropped: Arc::default() }).text().expect("text");
        let series = text.lines().filter(|line| line.starts_with("otelgate_controller_condition"));
        let expected = [
            r#"otelgate_controller_condition{type="CertificateReady"} 1"#,
            r#"otelgate_controller_condition{type="CollectorAvailable"} 0"#,
            r#"otelgate_controller_condition{type="Ready"} 0"#,
            r#"otelgate_controller_condition_reason{type="CollectorAvailable",reason="CollectorRolledBack"} 1"#,
            r#"otelgate_controller_condition_reason{type="Ready",reason="CollectorRolledBack"} 1"#,
        ];
        assert_eq!(series.collect::<Vec<_>>(), expected);
    }
}
