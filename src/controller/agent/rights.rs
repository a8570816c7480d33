//! Whether the controller may still look at what the Agent's verdict goes by: a right can be taken away at any time, and
//! what was seen before may then be long past.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::api::stack::AgentWay;
use crate::controller::State;
use crate::watch::Health;

/// Between two looks at whether one is missing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How it stands with the watches that count for a way; where there is to be no Agent, nobody need be allowed to look.
#[derive(Clone, Default)]
pub(super) struct Rights(Vec<Arc<Health>>);

// === impl Rights ===

impl Rights {
    pub fn of(state: &State, way: Option<AgentWay>) -> Self {
        let seen = [&state.agent_set, &state.cluster_agent, &state.agent_pods];
        let own = [&state.agent_secrets, &state.cluster_agent_token, &state.datadog_agents, &state.other_agents];
        let healths = match way {
            None | Some(AgentWay::Disabled) => Vec::new(),
            Some(AgentWay::Adopt) => seen.into_iter().chain([&state.agent_service]).collect(),
            Some(AgentWay::Operator | AgentWay::Daemonset) => seen.into_iter().chain(own).collect(),
        };
        Self(healths.into_iter().cloned().collect())
    }

    /// The first of them, and what it is for.
    pub fn missing(&self) -> Option<String> {
        self.0.iter().find_map(|health| health.forbidden().map(|why| format!("{}: {why}", health.what())))
    }

    /// Until that is another one, or none.
    pub async fn until_other(&self, before: Option<&String>) {
        while self.missing().as_ref() == before {
            sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::{self, Status};

    #[test]
    fn each_way_has_its_rights() {
        let state = State::default();
        let counts = |health: &Health| {
            let forbidden = k8s::Error::Api(Status::failure("no", "").with_code(403).boxed());
            health.answered();
            health.failed(&forbidden);
            let ways = [AgentWay::Daemonset, AgentWay::Operator, AgentWay::Adopt, AgentWay::Disabled];
            let missing = ways.map(|way| Rights::of(&state, Some(way)).missing().is_some());
            health.answered();
            assert_eq!(Rights::of(&state, Some(AgentWay::Daemonset)).missing(), None);
            missing
        };
        for health in [&state.agent_set, &state.cluster_agent, &state.agent_pods] {
            assert_eq!(counts(health), [true, true, true, false], "{}", health.what());
        }
        for health in [&state.agent_secrets, &state.cluster_agent_token, &state.datadog_agents, &state.other_agents] {
            assert_eq!(counts(health), [true, true, false, false], "{}", health.what());
        }
        assert_eq!(counts(&state.agent_service), [false, false, true, false], "what is adopted is looked at alone");
        state.agent_pods.failed_because("no answer".to_owned());
        assert_eq!(Rights::of(&state, Some(AgentWay::Adopt)).missing(), None, "which will pass");
    }
}
