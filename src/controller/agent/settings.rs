//! What both ways of making an Agent are made from: the spec, checked and put together. Pure.

use super::share;
use crate::api::stack::{AGENT_CONTAINERS, Agent, AgentMode, Egress, KeyReference, Owner, Owners};
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
    /// With otelgate's own namespace, the version of the Secret with the key, what the Collectors do that run, and who had
    /// each kind of data before.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn new(
        stack: &Stack,
        namespace: &str,
        key_version: Option<String>,
        carried: Carried,
        before: Option<Owners>,
    ) -> Part<Self> {
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
        let owners = share::owners(&document, &collector, &agent, carried, before);
        Ok(Self {
            namespace: document.collector.namespace.clone(),
            site: datadog.site,
            key: datadog.secret,
            key_version,
            egress,
            owners,
            otlp: share::otlp(&document, &collector, owners, carried),
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
    use serde_json::{Value, json};

    fn settings(spec: &Value) -> Part<Settings> {
        Settings::new(&Stack::new("u".to_owned(), 1, spec), "otelgate", None, Carried::default(), None)
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
