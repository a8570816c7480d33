//! What the controller counts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::State;
use crate::api::condition::{ConditionType, Holds};
use crate::metrics::{self, Counter, Definition};

pub(crate) mod definition {
    use super::Definition;
    use crate::metrics::definitions;

    definitions! {
        LEADER = "otelgate_controller_leader", "gauge", [],
            "1 while this controller is the one that acts";
        CONDITION = "otelgate_controller_condition", "gauge", ["type"],
            "1 while the condition of the TelemetryStack holds; only the leader has it";
        FAILURES = "otelgate_controller_failures_total", "counter", ["object"],
            "Calls of the API server that failed, by what they were about";
        WRITES = "otelgate_controller_writes_total", "counter", ["object"],
            "Writes to the API server, by what was written";
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
    pub const ALL: [Self; 5] =
        [Self::Configuration, Self::Status, Self::Authority, Self::Certificate, Self::Registration];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Status => "status",
            Self::Authority => "authority",
            Self::Certificate => "certificate",
            Self::Registration => "registration",
        }
    }
}

impl Writes {
    pub fn add(&self, write: Write) {
        self.0[write as usize].add(1);
    }
}

// === impl Scrape ===

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let leads = self.state.leads.load(Relaxed);
        metrics::describe(encoder, &definition::LEADER)?.encode_gauge(&u64::from(leads))?;
        let mut family = metrics::describe(encoder, &definition::CONDITION)?;
        for (condition, holds) in self.state.conditions() {
            let labels = [("type", ConditionType::as_str(condition))];
            family.encode_family(&labels)?.encode_gauge(&u64::from(holds == Holds::True))?;
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
        metrics::encode_counter(encoder, &metrics::definition::LOG_DROPPED, &self.log_lines_dropped)?;
        metrics::encode_build(encoder)
    }
}
