//! `spec.agent`: the Datadog Agent on every node, and its Cluster Agent.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Image, Placement, Resources};
use crate::api::form::{Form, dns_name, schemas};

/// The Datadog Agent on every node, and its Cluster Agent, in the Collector's namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = requests_within_limits()))]
pub struct Agent {
    /// `operator`: the Datadog Operator makes it from a `DatadogAgent` that the controller keeps; `daemonset`: the
    /// controller makes it; `auto`: the first where the operator's definition is served, else the second, decided once;
    /// `adopt`: it watches somebody else's; `disabled`: neither.
    pub mode: AgentMode,
    /// The Agent's image.
    pub image: Image,
    /// The Cluster Agent's image.
    pub cluster_image: Image,
    /// What it looks at. What the Collector has already is left to it.
    pub features: Features,
    /// How it asks the kubelet of its node.
    pub kubelet: Kubelet,
    /// What its containers ask for, and may use, by the container's name: `agent`, `trace-agent`, `process-agent`,
    /// `system-probe`, `security-agent`, and `cluster-agent`.
    #[schemars(extend("maxProperties" = 20, "x-kubernetes-validations" = [known_containers()]))]
    pub resources: BTreeMap<String, Resources>,
    /// Where its pods go.
    #[serde(flatten)]
    pub placement: Placement,
    /// With `adopt`: which objects are the Agent's.
    pub adopt: AdoptedAgent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AgentMode {
    #[default]
    Auto,
    Operator,
    Daemonset,
    Adopt,
    Disabled,
}

/// What the Agent looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Features {
    /// Traces of Datadog's own libraries, and OTLP where no Collector takes it.
    pub apm: bool,
    /// Network performance monitoring.
    pub network_monitoring: bool,
    /// Cloud security posture.
    pub cspm: bool,
    /// Cloud workload security.
    pub cws: bool,
    /// Live processes.
    pub processes: bool,
}

/// How the Agent asks the kubelet of its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Kubelet {
    /// Whether the kubelet's certificate has to be of the cluster's authority. Kubeadm's kubelets sign their own, unless
    /// they have `serverTLSBootstrap`: with these, set it to false.
    pub tls_verify: bool,
}

/// How the Agent comes about in this cluster, and what it has to do with the Collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// What `agent.mode` came to; with `auto` it stays what it was decided to be.
    pub mode: AgentWay,
    /// Nodes with an Agent that is ready, of those that should have one, such as `3/3`; `off` where there is none.
    pub nodes: String,
    /// Replicas of the Cluster Agent that are ready, of those that there should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_agent: Option<String>,
    /// The versions of `DatadogAgent` that the API server has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operator_versions: Vec<String>,
}

/// How the Agent comes about, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AgentWay {
    Operator,
    Daemonset,
    Adopt,
    Disabled,
}

/// The Agent that somebody else keeps, in the Collector's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AdoptedAgent {
    /// The DaemonSet's name.
    #[schemars(schema_with = "daemon_set_name")]
    pub daemon_set: String,
    /// The Cluster Agent's Deployment; none is looked for when empty.
    #[schemars(schema_with = "deployment_name")]
    pub cluster_agent: String,
}

const DAEMON_SET_NAME: Form<'static> = dns_name!("adopt.daemonSet isn't the name of a DaemonSet");

const DEPLOYMENT_NAME: Form<'static> = dns_name!("adopt.clusterAgent isn't the name of a Deployment", or_empty);

schemas! {
    daemon_set_name: DAEMON_SET_NAME.schema();
    deployment_name: DEPLOYMENT_NAME.schema();
}

/// Containers whose resources can be told.
pub const AGENT_CONTAINERS: [&str; 6] =
    ["agent", "trace-agent", "process-agent", "system-probe", "security-agent", "cluster-agent"];

fn known_containers() -> Value {
    let names: Vec<_> = AGENT_CONTAINERS.iter().map(|name| format!("'{name}'")).collect();
    json!({
        "rule": format!("self.all(name, name in [{}])", names.join(", ")),
        "message": format!("no container of that name; {}", AGENT_CONTAINERS.join(", ")),
    })
}

/// One rule for each container: API servers before 1.31 reckon with amounts as long as a request, and a rule for all of
/// them would cost too much.
fn requests_within_limits() -> Value {
    let rule = |name: &str| {
        let of = |which: &str| format!("self.resources['{name}'].{which}");
        let (requests, limits) = (of("requests"), of("limits"));
        let amount = |of: &str| format!("string({of}[what])");
        let (asked, most) = (amount(&requests), amount(&limits));
        let both = format!("what in {requests} && what in {limits} && isQuantity({asked}) && isQuantity({most})");
        let within = format!("quantity({asked}).compareTo(quantity({most})) <= 0");
        json!({
            "rule": format!("!('{name}' in self.resources) || ['cpu', 'memory'].all(what, !({both}) || {within})"),
            "message": format!("resources.{name}.requests asks for more cpu or memory than its limits allow"),
        })
    };
    AGENT_CONTAINERS.map(rule).into()
}

// === defaults ===

impl Default for Agent {
    fn default() -> Self {
        Self {
            mode: AgentMode::default(),
            image: Image::new("datadog/agent", AGENT_VERSION),
            cluster_image: Image::new("datadog/cluster-agent", AGENT_VERSION),
            features: Features::default(),
            kubelet: Kubelet::default(),
            resources: BTreeMap::new(),
            placement: Placement::default(),
            adopt: AdoptedAgent::default(),
        }
    }
}

/// The release of the Agent and the Cluster Agent that is run by default.
pub const AGENT_VERSION: &str = "7.84.1";

impl Default for Features {
    fn default() -> Self {
        Self { apm: true, network_monitoring: false, cspm: false, cws: false, processes: true }
    }
}

impl Default for Kubelet {
    fn default() -> Self {
        Self { tls_verify: true }
    }
}

impl Default for AdoptedAgent {
    fn default() -> Self {
        Self { daemon_set: "datadog-agent".to_owned(), cluster_agent: "datadog-cluster-agent".to_owned() }
    }
}
