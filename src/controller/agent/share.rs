//! What is the Agent's beside Collectors, by the spec, those that run, and who had it before. Pure.

use super::settings::Otlp;
use crate::api::object;
use crate::api::stack::{Agent, AgentMode, Collector, CollectorMode, Exporter, Owner, Owners};
use crate::config::{Document, LogOwner, Reach};
use crate::controller::collector::Carried;

/// Of ours, those that run have what they have, until the last of them has made way for what the spec asks for. Before there
/// are any, so has an Agent.
pub fn owners(
    document: &Document,
    collector: &Collector,
    agent: &Agent,
    carried: Carried,
    before: Option<Owners>,
) -> Owners {
    let asked = Owners::of(collector, agent, document.logs.owner);
    let owners = match collector.mode {
        CollectorMode::Managed => {
            let runs = carried.settled.map(|runs| runs.owners(agent));
            runs.or_else(|| before.map(|before| kept(before, asked, document, collector, agent)))
        }
        CollectorMode::Adopt => carried.anywhere.map(|runs| runs.beside(asked)),
        CollectorMode::Disabled => carried.anywhere.map(|runs| runs.owners(agent)),
    };
    owners.unwrap_or(asked)
}

/// What an Agent of ours has that was there before the first Collector, as far as it would have it without one.
fn kept(before: Owners, asked: Owners, document: &Document, collector: &Collector, agent: &Agent) -> Owners {
    if matches!(agent.mode, AgentMode::Adopt | AgentMode::Disabled) {
        return asked;
    }
    let without = Collector { mode: CollectorMode::Disabled, ..collector.clone() };
    let alone = Owners::of(&without, agent, LogOwner::Agent);
    let keep = |of: fn(&Owners) -> Owner| {
        if of(&before) == Owner::Agent && of(&alone) == Owner::Agent { Owner::Agent } else { of(&asked) }
    };
    Owners {
        container_logs: keep(|owners| owners.container_logs),
        // On a node whose ports the Agent has, no trial could begin.
        otlp: if document.otlp.reach == Reach::Node { asked.otlp } else { keep(|owners| owners.otlp) },
        prometheus: keep(|owners| owners.prometheus),
        cluster_state: keep(|owners| owners.cluster_state),
        ..asked
    }
}

/// As long as any Collector sends to the Agent, or is to do so, it listens.
pub fn otlp(document: &Document, collector: &Collector, owners: Owners, carried: Carried) -> Otlp {
    let sends = match collector.mode {
        CollectorMode::Managed | CollectorMode::Adopt => collector.exporter == Exporter::Agent || carried.to_agent(),
        CollectorMode::Disabled => carried.to_agent(),
    };
    match owners.otlp {
        Owner::Agent => Otlp::Pods { host_ports: document.otlp.reach == Reach::Node },
        Owner::Collector if sends => Otlp::Collector,
        Owner::Collector | Owner::Nobody => Otlp::Nobody,
    }
}

/// The Service by which somebody else's Agent is told what there is to take, which is theirs to make.
#[must_use]
pub fn service_of(document: &Document, collector: &Collector, agent: &Agent, carried: Carried) -> Option<String> {
    if agent.mode != AgentMode::Adopt {
        return None;
    }
    match otlp(document, collector, owners(document, collector, agent, carried, None), carried) {
        Otlp::Pods { host_ports: false } => Some(document.collector.service.clone()),
        // Where another's Collector sends to is nothing that is known.
        Otlp::Collector if collector.mode != CollectorMode::Adopt => Some(object::AGENT.to_owned()),
        Otlp::Pods { host_ports: true } | Otlp::Collector | Otlp::Nobody => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;
    use crate::collector::Carries;
    use crate::controller::injection;
    use crate::controller::stack::Stack;
    use serde_json::{Value, json};

    fn settings(spec: &Value) -> Settings {
        beside(spec, Carried::default(), None)
    }

    fn beside(spec: &Value, carried: Carried, before: Option<Owners>) -> Settings {
        Settings::new(&Stack::new("u".to_owned(), 1, spec), "otelgate", None, carried, before).expect("valid")
    }

    #[test]
    fn otlp_comes_from_whoever_owns_it() {
        for (spec, expected) in [
            (json!({}), Otlp::Nobody),
            (json!({"collector": {"exporter": "agent"}}), Otlp::Collector),
            (json!({"collector": {"mode": "disabled"}}), Otlp::Pods { host_ports: false }),
            (
                json!({"collector": {"mode": "disabled"}, "injection": {"otlp": {"reach": "node"}}}),
                Otlp::Pods { host_ports: true },
            ),
            (json!({"collector": {"mode": "disabled"}, "agent": {"features": {"apm": false}}}), Otlp::Nobody),
        ] {
            assert_eq!(settings(&spec).otlp, expected, "{spec}");
        }
    }

    #[test]
    fn an_adopted_agent_is_reached_by_a_service_that_somebody_makes() {
        for (spec, expected) in [
            (json!({"collector": {"mode": "disabled"}}), Some("otel-collector")),
            (json!({"collector": {"mode": "disabled"}, "injection": {"collector": {"service": "otlp"}}}), Some("otlp")),
            (json!({"collector": {"exporter": "agent"}}), Some("datadog-agent")),
            (json!({"collector": {"mode": "adopt", "exporter": "agent"}}), None),
            (json!({"collector": {"mode": "disabled"}, "injection": {"otlp": {"reach": "node"}}}), None),
            (json!({}), None),
        ] {
            for (mode, is_adopted) in [("adopt", true), ("operator", false), ("disabled", false)] {
                let mut spec = spec.clone();
                spec["agent"]["mode"] = json!(mode);
                let stack = Stack::new("u".to_owned(), 1, &spec);
                let document = injection::document(&stack.injection, "otelgate").expect("valid");
                let (collector, agent) = (stack.collector.expect("valid"), stack.agent.expect("valid"));
                let found = service_of(&document, &collector, &agent, Carried::default());
                assert_eq!(found.as_deref(), expected.filter(|_| is_adopted), "{spec}");
            }
        }
    }

    /// From an edit until its rollout has reached the last node, and for ever where it is taken back, nobody else has what
    /// Collectors that run have, and whoever they send to listens. What they begin to take isn't the Agent's from the
    /// rollout's begin.
    #[test]
    fn what_collectors_have_that_run_is_theirs_until_others_have_taken_their_place() {
        // As most are that run, and what an edit has made of them.
        let usual = Carries { container_logs: true, prometheus: true, cluster_state: true, ..Carries::default() };
        let to_agent = Carries { to_agent: true, ..usual };
        let (without_logs, without_cluster) =
            (Carries { container_logs: false, ..usual }, Carries { cluster_state: false, ..usual });
        let settled = |one: Carries| Carried { settled: Some(one), anywhere: Some(one) };
        let on_trial = |one: Carries| Carried { anywhere: Some(one), ..Carried::default() };
        let trial_left = Carried { anywhere: Some(to_agent), ..settled(usual) };
        let (all, before) = (settled(Carries::ALL), Carried::default());
        let of_agent = |spec: &str| json!({"injection": {"logs": {"owner": spec}}});
        let cluster = |on: bool| json!({"collector": {"metrics": {"cluster": on}}});
        let exporter = |name: &str| json!({"collector": {"exporter": name}});
        let off = json!({"collector": {"mode": "disabled"}, "injection": {"logs": {"owner": "agent"}, "otlp": {"reach": "node"}}});
        let adopted = json!({"collector": {"mode": "adopt", "metrics": {"cluster": false}}, "injection": {"logs": {"owner": "agent"}}});
        let (collector, agent) = (Owner::Collector, Owner::Agent);
        for (what, spec, carried, logs, state, otlp) in [
            ("first rollout", of_agent("agent"), before, agent, collector, Otlp::Nobody),
            ("first rollout", of_agent("collector"), before, collector, collector, Otlp::Nobody),
            ("first rollout", cluster(false), before, collector, agent, Otlp::Nobody),
            ("first rollout", exporter("agent"), before, collector, collector, Otlp::Collector),
            ("trial, rollout, or taken back", of_agent("agent"), settled(usual), collector, collector, Otlp::Nobody),
            ("rolled out", of_agent("agent"), settled(without_logs), agent, collector, Otlp::Nobody),
            ("trial, or taken back", of_agent("collector"), settled(without_logs), agent, collector, Otlp::Nobody),
            ("rollout", of_agent("collector"), settled(usual), collector, collector, Otlp::Nobody),
            ("trial, rollout, or taken back", cluster(false), settled(usual), collector, collector, Otlp::Nobody),
            ("rolled out", cluster(false), settled(without_cluster), collector, agent, Otlp::Nobody),
            ("trial, or taken back", cluster(true), settled(without_cluster), collector, agent, Otlp::Nobody),
            (
                "trial, rollout, or taken back",
                exporter("datadog"),
                settled(to_agent),
                collector,
                collector,
                Otlp::Collector,
            ),
            ("a trial is left", exporter("datadog"), trial_left, collector, collector, Otlp::Collector),
            ("rolled out", exporter("datadog"), settled(usual), collector, collector, Otlp::Nobody),
            ("trial, or taken back", exporter("agent"), settled(usual), collector, collector, Otlp::Collector),
            ("ours go for another's", adopted.clone(), settled(usual), collector, collector, Otlp::Nobody),
            ("ours go for another's", adopted.clone(), settled(without_logs), agent, collector, Otlp::Nobody),
            ("ours go for another's", adopted.clone(), on_trial(to_agent), collector, collector, Otlp::Collector),
            ("another's alone", adopted, before, agent, agent, Otlp::Nobody),
            ("on their way out", off.clone(), settled(usual), collector, collector, Otlp::Nobody),
            ("on their way out", off.clone(), settled(without_logs), agent, collector, Otlp::Nobody),
            ("on their way out", off.clone(), trial_left, collector, collector, Otlp::Collector),
            ("a first trial's, on its way out", off.clone(), on_trial(usual), collector, collector, Otlp::Nobody),
            ("nobody knows what, on its way out", off.clone(), all, collector, collector, Otlp::Collector),
            ("gone", off, before, agent, agent, Otlp::Pods { host_ports: true }),
        ] {
            let found = beside(&spec, carried, None);
            let Owners { container_logs, cluster_state, .. } = found.owners;
            assert_eq!((container_logs, cluster_state, found.otlp), (logs, state, otlp), "{what}: {spec} {carried:?}");
        }
    }

    /// Its trial may fail, and then nobody else would ever have it.
    #[test]
    fn an_agent_has_what_it_had_until_the_first_rollout_has_passed_its_trial() {
        let usual = Carries { container_logs: true, prometheus: true, cluster_state: true, ..Carries::default() };
        let nobody = Carried::default();
        let on_trial = Carried { anywhere: Some(usual), ..Carried::default() };
        let passed = Carried { settled: Some(usual), anywhere: Some(usual) };
        let had = |spec: &Value| settings(spec).owners;
        let alone = had(&json!({"collector": {"mode": "disabled"}, "injection": {"logs": {"owner": "agent"}}}));
        let (managed, none) = (had(&json!({})), had(&json!({"agent": {"mode": "disabled"}})));
        let of_agent = |change: Value| json!({"agent": change});
        let on_nodes = json!({"injection": {"otlp": {"reach": "node"}}});
        let (collector, agent) = (Owner::Collector, Owner::Agent);
        let pods = Otlp::Pods { host_ports: false };
        for (what, spec, carried, before, data, otlp) in [
            ("at the edit", json!({}), nobody, Some(alone), [agent; 4], pods),
            ("on trial, or failed", json!({}), on_trial, Some(alone), [agent; 4], pods),
            ("passed", json!({}), passed, Some(alone), [collector; 4], Otlp::Nobody),
            ("its record has gone", json!({}), nobody, Some(managed), [collector; 4], Otlp::Nobody),
            ("both are new", json!({}), nobody, None, [collector; 4], Otlp::Nobody),
            ("the Agent is new", json!({}), nobody, Some(none), [collector; 4], Otlp::Nobody),
            (
                "it can't have it any more",
                of_agent(json!({"features": {"apm": false}})),
                nobody,
                Some(alone),
                [agent, collector, agent, agent],
                Otlp::Nobody,
            ),
            ("it goes", of_agent(json!({"mode": "disabled"})), nobody, Some(alone), [collector; 4], Otlp::Nobody),
            ("it has ports of nodes", on_nodes, nobody, Some(alone), [agent, collector, agent, agent], Otlp::Nobody),
        ] {
            let found = beside(&spec, carried, before);
            let Owners { container_logs, otlp: of_otlp, prometheus, cluster_state, .. } = found.owners;
            assert_eq!(([container_logs, of_otlp, prometheus, cluster_state], found.otlp), (data, otlp), "{what}");
        }
    }

    /// A Collector that came before the Agent tells of hosts until its rollout to one that doesn't has reached its node.
    #[test]
    fn hosts_are_told_of_by_one() {
        let tells = Carries { host_metadata: true, ..Carries::default() };
        let runs = |one: Carries| Carried { settled: Some(one), anywhere: Some(one) };
        let on_trial = Carried { settled: Some(Carries::default()), anywhere: Some(tells) };
        let (before, silent) = (Carried::default(), runs(Carries::default()));
        let of = |agent: &str, collector: &str| json!({"agent": {"mode": agent}, "collector": {"mode": collector}});
        for (what, spec, carried, expected) in [
            ("first rollout", of("daemonset", "managed"), before, Owner::Agent),
            ("first rollout", of("disabled", "managed"), before, Owner::Collector),
            ("the Agent is new", of("daemonset", "managed"), runs(tells), Owner::Collector),
            ("the Agent is new", of("operator", "managed"), runs(tells), Owner::Collector),
            ("rolled out", of("daemonset", "managed"), silent, Owner::Agent),
            ("the Agent is to go, taken back", of("daemonset", "managed"), on_trial, Owner::Agent),
            ("the Agent goes", of("disabled", "managed"), silent, Owner::Nobody),
            ("the Agent has gone", of("disabled", "managed"), runs(tells), Owner::Collector),
            ("on its way out", of("daemonset", "disabled"), runs(tells), Owner::Collector),
            ("gone", of("daemonset", "disabled"), before, Owner::Agent),
        ] {
            let found = beside(&spec, carried, None);
            assert_eq!(found.owners.host_metadata, expected, "{what}: {spec} {carried:?}");
        }
    }
}
