//! What the configuration depends on.

use crate::api::stack::{Agent, Collector, Datadog, Egress, Owners};
use crate::config::Document;

/// The parts of the spec that the Collector's configuration is made from. Nothing else goes into it, so that an equal
/// input is an equal text.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub collector: &'a Collector,
    pub datadog: &'a Datadog,
    pub egress: &'a Egress,
    pub agent: &'a Agent,
    /// For the cluster's name and domain, the Collector's namespace and Service, and who owns the logs.
    pub injection: &'a Document,
}

// === impl Input ===

impl Input<'_> {
    /// What of all data the Collector has, and what it leaves to the Agent.
    #[must_use]
    pub fn owners(&self) -> Owners {
        Owners::of(self.collector, self.agent, self.injection.logs.owner)
    }
}
