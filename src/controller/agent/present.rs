//! What was seen of the Agent, as the verdict and the status take it: whose each object is depends on what is asked for.
//! Pure.

use super::mode::{Present, Served, VERSION};
use super::observe::{DatadogAgent, Maker};
use super::others::{Found, Other, Search};
use super::verdict::Sight;
use super::watches::Seen;
use crate::api::stack::{AgentStatus, AgentWay};

/// In numbers; those that are known stand for what hasn't been looked at.
pub(super) fn status(sight: &Sight, known: Option<&AgentStatus>) -> Option<AgentStatus> {
    let mode = sight.way?;
    let nodes = sight.count().or_else(|| known.map(|known| known.nodes.clone()));
    let replicas = sight.cluster_agent.as_ref().map(|one| format!("{}/{}", one.ready, one.desired));
    let replicas = if sight.looked { replicas } else { known.and_then(|known| known.cluster_agent.clone()) };
    Some(AgentStatus {
        mode,
        nodes: nodes.unwrap_or_else(|| "0/0".to_owned()),
        cluster_agent: replicas.filter(|_| mode != AgentWay::Disabled),
        operator_versions: match &sight.served {
            Some(Served::Yes) => vec![VERSION.to_owned()],
            Some(Served::Others(versions)) => versions.clone(),
            Some(Served::No) => Vec::new(),
            None => known.map(|known| known.operator_versions.clone()).unwrap_or_default(),
        },
    })
}

/// What was seen, as the verdict takes it.
pub(super) fn fill(sight: &mut Sight, seen: &Seen, way: AgentWay) {
    sight.nodes = seen.nodes.clone().flatten();
    sight.cluster_agent = seen.cluster_agent.clone().flatten();
    sight.pods = seen.pods.to_vec();
    let wanted = seen.at.as_ref().and_then(|place| place.service.clone());
    let is_looked_for = wanted.is_none() || seen.service.is_some();
    sight.no_service = wanted.filter(|_| seen.service == Some(false));
    let agents = seen.datadog_agents.clone().unwrap_or_default();
    // What is wanted gets its label back, and so does what is to go; of anything else without one, nobody can say that.
    let gets_it_back = |maker: Maker, wanted: AgentWay| match maker {
        Maker::OwnedAlone => way == wanted || way == AgentWay::Disabled,
        Maker::WrittenAlone => way == wanted,
        Maker::Controller | Maker::Operator | Maker::SomebodyElse => false,
    };
    let is_ours =
        |agent: &&DatadogAgent| agent.maker == Maker::Controller || gets_it_back(agent.maker, AgentWay::Operator);
    sight.datadog_agent = agents.iter().find(is_ours).cloned();
    let stranger = agents.iter().find(|agent| !is_ours(agent)).map(|agent| format!("DatadogAgent {}", agent.name));
    let nodes = sight.nodes.as_ref().map(|nodes| (nodes.maker, format!("DaemonSet {}", nodes.name)));
    let replicas = sight.cluster_agent.as_ref().map(|one| (one.maker, format!("Deployment {}", one.name)));
    let workloads: Vec<_> = [nodes, replicas].into_iter().flatten().collect();
    let find = |is: &dyn Fn(Maker) -> bool| workloads.iter().find(|(one, _)| is(*one)).map(|(_, name)| name.clone());
    let stripped = find(&|maker| {
        matches!(maker, Maker::OwnedAlone | Maker::WrittenAlone) && !gets_it_back(maker, AgentWay::Daemonset)
    });
    let is_to_go = |maker| way == AgentWay::Disabled && gets_it_back(maker, AgentWay::Daemonset);
    sight.present = Present {
        own: find(&|maker| maker == Maker::Controller || is_to_go(maker)).is_some(),
        of_operator: sight.datadog_agent.is_some()
            || (stranger.is_none() && find(&|maker| maker == Maker::Operator).is_some()),
        foreign: if way == AgentWay::Adopt {
            None
        } else {
            stranger.or(stripped).or_else(|| find(&|maker| maker == Maker::SomebodyElse))
        },
    };
    sight.looked = seen.nodes.is_some()
        && seen.cluster_agent.is_some()
        && seen.key_version.is_some()
        && seen.token.is_some()
        && is_looked_for
        && seen.datadog_agents.is_some();
}

/// Where to look for Agents of others, once it is known what is there by its name: where one of ours is to be.
pub(super) fn search(sight: &Sight, namespace: &str) -> Option<Search> {
    let is_to_be = matches!(sight.way, Some(AgentWay::Operator | AgentWay::Daemonset));
    let Present { own, of_operator, foreign } = &sight.present;
    if !is_to_be || !sight.looked || foreign.is_some() {
        return None;
    }
    Some(if *own || *of_operator { Search::Beside(namespace.to_owned()) } else { Search::Everywhere })
}

/// None of ours is made before that is known. One that runs isn't taken away for another's that came later: that is told.
pub(super) fn fill_others(sight: &mut Sight, search: &Search, found: Option<&Found>) {
    let others = found.filter(|found| found.search == *search).map(|found| &found.others);
    let first = others.and_then(|others| others.first()).map(Other::told);
    match search {
        Search::Everywhere => {
            sight.looked = others.is_some();
            sight.present.foreign = first;
        }
        Search::Beside(_) => {
            sight.unsearched = others.is_none();
            sight.beside = first;
        }
    }
}
