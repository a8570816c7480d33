//! The telemetry pipeline's own pods: what they write isn't read, or every line that is sent makes another one.

use crate::api::stack::{Agent, AgentMode};
use crate::config::Document;

use super::Input;

/// How the directories of their logs begin: a namespace, `_`, and how the pods' names begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub pods: Vec<String>,
}

/// Names that the Agent and the Cluster Agent have where it isn't said otherwise.
const AGENT: &str = "datadog-agent";
const CLUSTER_AGENT: &str = "datadog-cluster-agent";

// === impl Own ===

impl Own {
    pub fn of(input: &Input<'_>) -> Self {
        let Document { collector, .. } = input.injection;
        let mut names = vec![collector.service.clone()];
        names.extend(agents(input.agent));
        let pods = names.iter().filter(|name| !name.is_empty()).map(|name| format!("{}_{name}-*", collector.namespace));
        Self { pods: pods.collect() }
    }
}

fn agents(agent: &Agent) -> Vec<String> {
    match agent.mode {
        AgentMode::Disabled => Vec::new(),
        AgentMode::Adopt => vec![agent.adopt.daemon_set.clone(), agent.adopt.cluster_agent.clone()],
        AgentMode::Auto | AgentMode::Operator | AgentMode::Daemonset => {
            vec![AGENT.to_owned(), CLUSTER_AGENT.to_owned()]
        }
    }
}
