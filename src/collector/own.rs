//! The telemetry pipeline's own pods: what they write isn't read, or every line that is sent makes another one.

use super::Input;
use crate::api::object;
use crate::api::stack::{Agent, AgentMode};
use crate::config::Document;

/// How the directories of their logs begin: a namespace, `_`, and how the pods' names begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub pods: Vec<String>,
}

// === impl Own ===

impl Own {
    pub fn of(input: &Input<'_>) -> Self {
        let Document { collector, .. } = input.injection;
        let mut names = vec![object::COLLECTOR.to_owned()];
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
            vec![object::AGENT.to_owned(), object::CLUSTER_AGENT.to_owned()]
        }
    }
}
