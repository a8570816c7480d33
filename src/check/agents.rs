//! Datadog Agents that are there before otelgate is.

use super::{Objection, Snapshot, Verdict};
use crate::api::stack::AgentMode;
use crate::controller::agent::others::Other;
use crate::words::some_of;

pub fn others(snapshot: &Snapshot) -> Verdict {
    let others: Vec<String> = snapshot.other_agents.as_ref()?.iter().map(Other::told).collect();
    if others.is_empty() {
        return Ok(String::new());
    }
    let some = format!("already there: {}", some_of(&others));
    // What the values of an installation will say isn't known yet.
    if snapshot.stacks.as_ref().is_ok_and(Vec::is_empty) {
        return Ok(format!("{some}; beside it otelgate makes none: agent.mode adopt goes with it, or disabled"));
    }
    match snapshot.spec()?.agent {
        Ok(agent) if matches!(agent.mode, AgentMode::Adopt | AgentMode::Disabled) => Ok(some),
        _ => Err(Objection::fail(
            some,
            "beside it otelgate makes no Agent: remove it, or set agent.mode to adopt where it is in the Collector's \
             namespace, and to disabled where it is elsewhere",
        )),
    }
}
