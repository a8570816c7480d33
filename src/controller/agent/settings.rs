//! What both ways of making an Agent are made from: the spec, checked and put together. Pure.

use crate::api::object;
use crate::api::stack::{
    AGENT_CONTAINERS, Agent, AgentMode, Collector, CollectorMode, Egress, Exporter, KeyReference, Owner, Owners,
};
use crate::config::{Document, Reach};
use crate::controller::collector::Carried;
use crate::controller::injection;
use crate::controller::stack::{Part, Stack};

/// Everything that an Agent's objects depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub namespace: String,
    /// As the Collector has it: with another, hosts would show twice.
    pub cluster_name: Option<String>,
    pub site: String,
    pub key: KeyReference,
    /// Of the Secret with the key; none while there is no such Secret.
    pub key_version: Option<String>,
    pub egress: Egress,
    pub agent: Agent,
    pub owners: Owners,
    pub otlp: Otlp,
    /// The Service that pods are told.
    pub collector_service: String,
}

/// Whom the Agent takes OTLP from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otlp {
    Nobody,
    /// The Collector of its node, which has it from pods.
    Collector,
    /// Pods, as no Collector does.
    Pods {
        host_ports: bool,
    },
}

/// A release of the Agent, as far as the way to run it depends on it. What can't be told counts as the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release(Option<(u32, u32)>);

/// The longest cluster name that the Agent takes.
const LONGEST_CLUSTER_NAME: usize = 80;

// === impl Settings ===

impl Settings {
    /// With otelgate's own namespace, the version of the Secret with the key, and what the Collectors do that run.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn new(stack: &Stack, namespace: &str, key_version: Option<String>, carried: Carried) -> Part<Self> {
        let document = injection::document(&stack.injection, namespace).map_err(|fault| fault.to_string())?;
        let (datadog, egress) = (stack.datadog.clone()?, stack.egress.clone()?);
        let (collector, agent) = (stack.collector.clone()?, stack.agent.clone()?);
        let makes_one = !matches!(agent.mode, AgentMode::Adopt | AgentMode::Disabled);
        if let Some(name) = document.cluster_name.as_deref().filter(|name| makes_one && !is_cluster_name(name)) {
            return Err(format!(
                "spec.injection.clusterName: the Datadog Agent takes no such name as {name:?}; at most \
                 {LONGEST_CLUSTER_NAME} of a to z, 0 to 9, . - and _"
            ));
        }
        if let Some(name) = agent.resources.keys().find(|name| !AGENT_CONTAINERS.contains(&name.as_str())) {
            return Err(format!(
                "spec.agent.resources.{name}: no container of that name; {}",
                AGENT_CONTAINERS.join(", ")
            ));
        }
        let owners = owners(&document, &collector, &agent, carried);
        Ok(Self {
            namespace: document.collector.namespace.clone(),
            site: datadog.site,
            key: datadog.secret,
            key_version,
            egress,
            owners,
            otlp: otlp(&document, &collector, owners, carried),
            collector_service: document.collector.service,
            cluster_name: document.cluster_name,
            agent,
        })
    }

    /// Whether system-probe runs.
    #[must_use]
    pub fn has_system_probe(&self) -> bool {
        self.agent.features.network_monitoring || self.agent.features.cws
    }

    /// Whether the security agent runs.
    #[must_use]
    pub fn has_security_agent(&self) -> bool {
        self.agent.features.cspm || self.agent.features.cws
    }

    /// Whether process checks, or what system-probe sees of the network, need a process agent beside the node agent.
    #[must_use]
    pub fn has_process_agent(&self) -> bool {
        let release = self.release();
        (self.agent.features.processes && !release.runs_process_checks())
            || (self.agent.features.network_monitoring && !release.sends_connections())
    }

    #[must_use]
    pub fn release(&self) -> Release {
        Release::of(self.agent.image.version(&Agent::default().image))
    }

    #[must_use]
    pub fn image(&self) -> String {
        self.agent.image.reference(&Agent::default().image)
    }

    #[must_use]
    pub fn cluster_image(&self) -> String {
        self.agent.cluster_image.reference(&Agent::default().cluster_image)
    }

    #[must_use]
    pub fn agent_has(&self, data: fn(&Owners) -> Owner) -> bool {
        data(&self.owners) == Owner::Agent
    }
}

/// Of ours, those that run have what they have, until the last of them has made way for what the spec asks for.
fn owners(document: &Document, collector: &Collector, agent: &Agent, carried: Carried) -> Owners {
    let asked = Owners::of(collector, agent, document.logs.owner);
    let owners = match collector.mode {
        CollectorMode::Managed => carried.settled.map(|runs| runs.owners(agent)),
        CollectorMode::Adopt => carried.anywhere.map(|runs| runs.beside(asked)),
        CollectorMode::Disabled => carried.anywhere.map(|runs| runs.owners(agent)),
    };
    owners.unwrap_or(asked)
}

/// As long as any Collector sends to the Agent, or is to do so, it listens.
fn otlp(document: &Document, collector: &Collector, owners: Owners, carried: Carried) -> Otlp {
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
    match otlp(document, collector, owners(document, collector, agent, carried), carried) {
        Otlp::Pods { host_ports: false } => Some(document.collector.service.clone()),
        // Where another's Collector sends to is nothing that is known.
        Otlp::Collector if collector.mode != CollectorMode::Adopt => Some(object::AGENT.to_owned()),
        Otlp::Pods { host_ports: true } | Otlp::Collector | Otlp::Nobody => None,
    }
}

/// Labels with dots between them, in lower case.
fn is_cluster_name(name: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_label = |label: &str| {
        let bytes = label.bytes();
        is_end(bytes.clone().next())
            && is_end(bytes.clone().next_back())
            && bytes.clone().all(|byte| is_end(Some(byte)) || byte == b'-' || byte == b'_')
    };
    name.len() <= LONGEST_CLUSTER_NAME && name.split('.').all(is_label)
}

// === impl Release ===

impl Release {
    #[must_use]
    pub fn of(tag: &str) -> Self {
        let mut numbers = tag.split(['.', '-']).map(str::parse::<u32>);
        Self(match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
            _ => None,
        })
    }

    fn is(self, first: (u32, u32)) -> bool {
        self.0.is_none_or(|release| release >= first)
    }

    /// In the node agent, without a process agent.
    #[must_use]
    pub fn runs_process_checks(self) -> bool {
        self.is((7, 60))
    }

    /// `trace-loader` starts the trace agent when there is something to do.
    #[must_use]
    pub fn has_trace_loader(self) -> bool {
        self.is((7, 75))
    }

    /// system-probe sends what it sees of the network by itself.
    #[must_use]
    pub fn sends_connections(self) -> bool {
        self.is((7, 81))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::Carries;
    use serde_json::{Value, json};

    fn settings(spec: &Value) -> Part<Settings> {
        Settings::new(&Stack::new("u".to_owned(), 1, spec), "otelgate", None, Carried::default())
    }

    #[test]
    fn a_name_that_the_agent_would_refuse_is_refused_here() {
        for name in ["prod", "prod-eu1", "a.b_c.d0", "0"] {
            assert!(settings(&json!({"injection": {"clusterName": name}})).is_ok(), "{name}");
        }
        for name in ["Prod", "a..b", "-a", "a-", "a b", &"a".repeat(81)] {
            let spec = json!({"injection": {"clusterName": name}});
            let fault = settings(&spec).expect_err(name);
            assert!(fault.starts_with("spec.injection.clusterName: "), "{fault}");
            let without = json!({"injection": {"clusterName": name}, "agent": {"mode": "disabled"}});
            assert!(settings(&without).is_ok(), "there is no Agent to refuse it");
        }
    }

    #[test]
    fn each_fault_names_its_field() {
        for (spec, expected) in [
            (json!({"agent": {"mode": "off"}}), "spec.agent: unknown variant `off`"),
            (json!({"agent": {"resources": {"agnt": {}}}}), "spec.agent.resources.agnt: no container of that name"),
            (json!({"injection": {"mode": "on"}}), "spec.injection.mode: "),
            (json!({"datadog": {"site": 3}}), "spec.datadog: "),
        ] {
            let fault = settings(&spec).expect_err("a fault");
            assert!(fault.starts_with(expected), "{fault}");
        }
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
            assert_eq!(settings(&spec).expect("valid").otlp, expected, "{spec}");
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
            let stack = Stack::new("u".to_owned(), 1, &spec);
            let found = Settings::new(&stack, "otelgate", None, carried).expect("valid");
            let Owners { container_logs, cluster_state, .. } = found.owners;
            assert_eq!((container_logs, cluster_state, found.otlp), (logs, state, otlp), "{what}: {spec} {carried:?}");
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
            let stack = Stack::new("u".to_owned(), 1, &spec);
            let found = Settings::new(&stack, "otelgate", None, carried).expect("valid");
            assert_eq!(found.owners.host_metadata, expected, "{what}: {spec} {carried:?}");
        }
    }

    #[test]
    fn what_a_release_needs_follows_its_number() {
        let has = |tag: &str, features: Value| {
            let spec = json!({"agent": {"image": {"tag": tag}, "features": features}});
            settings(&spec).expect("valid").has_process_agent()
        };
        let (processes, network) = (json!({}), json!({"processes": false, "networkMonitoring": true}));
        for (tag, for_processes, for_network) in [
            ("7.59.1", true, true),
            ("7.60.0", false, true),
            ("7.80.2-jmx", false, true),
            ("7.81.0", false, false),
            ("latest", false, false),
            ("", false, false),
        ] {
            assert_eq!(has(tag, processes.clone()), for_processes, "{tag}");
            assert_eq!(has(tag, network.clone()), for_network, "{tag}");
        }
    }
}
