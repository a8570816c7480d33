//! What is said of the Agent, and when there is nothing to say yet.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Task;
use crate::api::condition::{ConditionType, Holds, Reason};
use crate::controller::agent::present::status;
use crate::controller::agent::settings::Settings;
use crate::controller::agent::verdict::{Said, Sight};
use crate::controller::stack::Stack;
use crate::controller::status::Verdict;

/// How long a look may take before that is told. What was said before stands until then.
const BLIND: Duration = Duration::from_secs(30);

/// Told only where it takes too long.
const NOT_WRITTEN: &str = "what the spec asks for hasn't been written yet";

// === impl Task ===

impl Task {
    pub(super) fn report(&mut self, stack: &Stack, settings: Option<&Settings>, sight: &Sight) -> Holds {
        let said = self.say(sight);
        let waiting = match &said {
            Some(Said::Verdict(reason, _)) => sight.waiting(*reason),
            None | Some(Said::Off | Said::NotYet) => None,
        };
        self.context.state.measured.set_agents_waiting(waiting);
        self.context.status.report(|reports| {
            match &said {
                None | Some(Said::NotYet) => {}
                Some(Said::Off) => reports.switch_off(ConditionType::AgentAvailable),
                Some(Said::Verdict(reason, detail)) => {
                    let namespace = settings.map(|settings| settings.namespace.as_str());
                    let namespace = sight.left.as_ref().map(|left| left.namespace.as_str()).or(namespace);
                    let (pod, container) = sight.place(*reason, Timestamp::now()).unzip();
                    let names = [("NAMESPACE", namespace), ("POD", pod), ("CONTAINER", container)];
                    let names: Vec<_> = names.into_iter().filter_map(|(word, name)| Some((word, name?))).collect();
                    let verdict = Verdict::new(*reason, detail.clone(), stack.generation).naming(&names);
                    reports.say(ConditionType::AgentAvailable, verdict);
                }
            }
            if let Some(status) = status(sight, reports.agent.as_ref()) {
                reports.agent = Some(status);
            }
            if let Some(settings) = settings {
                reports.owners = Some(settings.owners);
            }
        });
        match said {
            Some(Said::Off) => Holds::True,
            Some(Said::Verdict(reason, _)) => reason.holds(),
            None | Some(Said::NotYet) => Holds::Unknown,
        }
    }

    /// Nothing before something was looked at, unless that takes too long.
    fn say(&mut self, sight: &Sight) -> Option<Said> {
        let (reason, detail) = match sight.verdict(Timestamp::now()) {
            Said::NotYet => (Reason::AgentRollingOut, NOT_WRITTEN),
            Said::Verdict(reason, detail) if reason.holds() == Holds::Unknown && detail.is_empty() => (reason, ""),
            said => {
                self.blind_since = None;
                return Some(said);
            }
        };
        let since = *self.blind_since.get_or_insert_with(Instant::now);
        (since.elapsed() >= BLIND).then(|| Said::Verdict(reason, self.failure().unwrap_or_else(|| detail.to_owned())))
    }

    /// Why nothing is seen.
    fn failure(&self) -> Option<String> {
        let state = &self.context.state;
        let healths = [
            &state.agent_set,
            &state.cluster_agent,
            &state.agent_service,
            &state.agent_secrets,
            &state.cluster_agent_token,
            &state.datadog_agents,
            &state.datadog_definition,
            &state.other_agents,
        ];
        healths.iter().find_map(|health| health.failure().map(|why| format!("{}: {why}", health.what())))
    }
}
