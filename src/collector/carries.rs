//! What Collectors do with each kind of data, by the configuration that they have: those that run may have another one than
//! the spec asks for by now.

use serde_json::Value;

use super::additions::{Names, is_component};
use super::{exporters, receivers};
use crate::api::stack::{Agent, AgentMode, Owner, Owners};
use crate::manifest;

/// What a Collector takes that is the Agent's otherwise, and whether it needs the Agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is of another kind of data")]
pub struct Carries {
    pub container_logs: bool,
    pub prometheus: bool,
    /// It may have to be the one that a Lease chooses.
    pub cluster_state: bool,
    pub host_metadata: bool,
    /// It sends to the Agent of its node.
    pub to_agent: bool,
}

// === impl Carries ===

impl Carries {
    pub const ALL: Self =
        Self { container_logs: true, prometheus: true, cluster_state: true, host_metadata: true, to_agent: true };

    /// `None` for what is no configuration.
    #[must_use]
    pub fn of(configuration: &str) -> Option<Self> {
        let documents = manifest::read(configuration).ok()?;
        let document = &documents.first()?.value;
        let pipelines = document["service"]["pipelines"].as_object()?;
        let uses = |section: &str, meant: &str| {
            let ids = pipelines.values().flat_map(|pipeline| pipeline[section].as_array().into_iter().flatten());
            ids.filter_map(Value::as_str).any(|id| is_component(meant, id, Names::One))
        };
        Some(Self {
            container_logs: uses("receivers", receivers::FILE_LOG),
            prometheus: uses("receivers", receivers::PROMETHEUS),
            cluster_state: uses("receivers", receivers::K8S_CLUSTER),
            host_metadata: uses("exporters", exporters::DATADOG)
                && document["exporters"][exporters::DATADOG]["host_metadata"]["enabled"] == true,
            to_agent: uses("exporters", exporters::AGENT),
        })
    }

    /// What one of two has.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            container_logs: self.container_logs || other.container_logs,
            prometheus: self.prometheus || other.prometheus,
            cluster_state: self.cluster_state || other.cluster_state,
            host_metadata: self.host_metadata || other.host_metadata,
            to_agent: self.to_agent || other.to_agent,
        }
    }

    /// Who has each kind of data while such Collectors run, and no others.
    #[must_use]
    pub fn owners(self, agent: &Agent) -> Owners {
        let of_agent = if agent.mode == AgentMode::Disabled { Owner::Nobody } else { Owner::Agent };
        self.beside(Owners {
            container_logs: of_agent,
            otlp: Owner::Collector,
            prometheus: Owner::Nobody,
            cluster_state: of_agent,
            host_metrics: of_agent,
            host_metadata: of_agent,
        })
    }

    /// The same beside others, who take what of these is the Collector's.
    #[must_use]
    pub fn beside(self, others: Owners) -> Owners {
        let or = |has: bool, other: Owner| if has { Owner::Collector } else { other };
        Owners {
            container_logs: or(self.container_logs, others.container_logs),
            otlp: Owner::Collector,
            prometheus: or(self.prometheus, others.prometheus),
            cluster_state: or(self.cluster_state, others.cluster_state),
            host_metrics: others.host_metrics,
            host_metadata: or(self.host_metadata, others.host_metadata),
        }
    }
}
