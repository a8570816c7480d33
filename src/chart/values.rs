//! What an installation can be told. Doc comments are what the schema, the chart's `values.yaml` and the reference say;
//! `Default` is what the chart does by default.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::{object, stack};
use crate::config::{Document, IpFamily};
use crate::k8s::{Affinity, IntOrString, Quantity, ResourceRequirements, Toleration, TopologySpreadConstraint};
use crate::telemetry::LogLevel;

/// Values of the chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Values {
    /// The image of webhook and controller.
    pub image: Image,
    /// Which addresses webhook and controller listen on: `IPv4`, or `IPv6` where pods have no others. The default of
    /// `injection.otlp.ipFamily`.
    pub ip_family: IpFamily,
    /// The admission webhook.
    pub webhook: Webhook,
    /// The controller, which keeps the webhook's configuration and certificate.
    pub controller: Controller,
    /// What webhook and controller may connect to, and be connected from.
    pub network_policy: NetworkPolicy,
    /// Metrics, alerts and dashboards; docs/monitoring.md says what is watched. The objects are those of the Prometheus
    /// Operator and of the Datadog Operator, whose resource definitions the cluster has to have.
    pub monitoring: Monitoring,
    /// Namespaces besides the release's own, which Helm makes by `--create-namespace`.
    pub namespaces: Namespaces,
    /// Where telemetry goes, and with which key; the chart never has the key itself.
    pub datadog: stack::Datadog,
    /// What Collector, Agent and controller go through to Datadog.
    pub egress: stack::Egress,
    /// What is put into pods, and into which: the fields of the configuration, as its reference has them.
    #[schemars(schema_with = "injection")]
    pub injection: Map<String, Value>,
    /// The webhook's certificate.
    pub certificates: Certificates,
    /// The OpenTelemetry Collector on every node. Its namespace and the name of its Service are those that pods are told:
    /// `injection.collector`.
    pub collector: stack::Collector,
    /// The Datadog Agent on every node, and its Cluster Agent, in the Collector's namespace.
    pub agent: stack::Agent,
    /// Which pods are evicted, one at a time for each workload, so that they come back as they should be.
    pub repair: stack::Repair,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Host of the registry, with its port or a path if it has one; left out of the image's name when empty.
    #[schemars(regex(pattern = r"^([A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*)?$"))]
    pub registry: String,
    /// The image's path within the registry.
    #[schemars(regex(pattern = r"^[a-z0-9]+([._/-]+[a-z0-9]+)*$"))]
    pub repository: String,
    /// The chart's `appVersion` when empty.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.-]{0,128}$"))]
    pub tag: String,
    /// Such as `sha256:…`; counts instead of the tag.
    #[schemars(regex(pattern = r"^(sha256:[0-9a-f]{64})?$"))]
    pub digest: String,
    /// When nodes pull it.
    pub pull_policy: PullPolicy,
    /// Secrets with the registry's credentials, in the release's namespace.
    pub pull_secrets: Vec<PullSecret>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullSecret {
    /// The Secret's name.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Pods of the webhook. With one, pods that are created while it restarts are missed.
    #[schemars(range(min = 1))]
    pub replicas: u32,
    /// The port that the API server calls. The firewall of GKE's private clusters has to let it through; 10250 is open by default.
    #[schemars(range(min = 1024))]
    pub port: u16,
    /// The plain port for health, metrics and status.
    #[schemars(range(min = 1024))]
    pub admin_port: u16,
    /// Use the nodes' network, where the API server can't reach pods (EKS with another network plugin than Amazon's).
    /// Takes a namespace whose pod security is `privileged`, and ports that are free on the nodes.
    pub host_network: bool,
    #[serde(flatten)]
    pub pods: Pods,
    /// How many pods a drain of nodes may take at once.
    pub pod_disruption_budget: PodDisruptionBudget,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Controller {
    /// Without it, the ConfigMap `otelgate-injection` and the Secret `otelgate-webhook-tls` are written by hand,
    /// `certificates` has no effect, and `injection` has to be left out.
    pub enabled: bool,
    /// Pods of the controller. One is active; more take over sooner.
    #[schemars(range(min = 1))]
    pub replicas: u32,
    /// The plain port for health and metrics.
    #[schemars(range(min = 1024))]
    pub admin_port: u16,
    #[serde(flatten)]
    pub pods: Pods,
}

/// What pods of both are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// What is logged.
    pub log_level: LogLevel,
    /// What a pod asks for, and may use. No limit for CPU by default: throttled, it would be late.
    pub resources: ResourceRequirements,
    /// Labels of the nodes that pods may run on.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that pods may run on all the same.
    pub tolerations: Vec<Toleration>,
    /// Which nodes pods should run on.
    pub affinity: Affinity,
    /// How pods are spread; over nodes and zones, as far as that can be had, when empty.
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Such as `system-cluster-critical`; none when empty.
    pub priority_class_name: String,
    /// Further labels of pods.
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of pods.
    pub pod_annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodDisruptionBudget {
    /// Whether there is one.
    pub enabled: bool,
    /// A number of pods, or a percentage.
    pub max_unavailable: IntOrString,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether there are any. Network plugins that know none ignore them.
    pub enabled: bool,
    /// The API server, which both connect to.
    pub api_server: ApiServer,
    /// Names of namespaces whose pods may read metrics.
    pub monitoring_namespaces: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiServer {
    /// Its addresses, such as `10.0.0.1/32`; any when empty.
    pub cidrs: Vec<String>,
    /// Its ports, behind the Service `kubernetes`: `kubectl get endpointslices -l kubernetes.io/service-name=kubernetes`.
    pub ports: Vec<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Has Prometheus read the metrics of webhook, controller and Collectors.
    pub pod_monitor: PodMonitor,
    /// Alerts on them.
    pub prometheus_rule: PrometheusRule,
    /// The same in Datadog.
    pub datadog: InDatadog,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitor {
    /// Whether there is one.
    pub enabled: bool,
    /// How often metrics are read.
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h)$"))]
    pub interval: String,
    /// Further labels, by which Prometheus finds it.
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRule {
    /// Whether there is one.
    pub enabled: bool,
    /// Further labels, by which Prometheus finds it.
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InDatadog {
    /// Whether the Collector of each node reads the metrics of webhook, controller and Collectors, and sends them to
    /// Datadog, which bills them as custom metrics.
    pub metrics: bool,
    /// A dashboard of what is sent.
    pub dashboard: Dashboard,
    /// Alerts on it.
    pub monitors: Monitors,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// Whether there is a `DatadogDashboard`.
    pub enabled: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitors {
    /// Whether there is a `DatadogMonitor` for each.
    pub enabled: bool,
    /// Who is told, such as `@slack-platform`; nobody when empty.
    pub notify: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Namespaces {
    /// The Collector's namespace, `injection.collector.namespace`.
    pub datadog: Created,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    /// Whether the chart makes it, with the pod security that host paths need. It stays when the release goes.
    pub create: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Certificates {
    #[serde(flatten)]
    pub stack: stack::Certificates,
    /// With `certManager`: what the chart asks cert-manager for.
    pub cert_manager: CertManager,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertManager {
    /// Whether the chart makes a Certificate; otherwise something else has the Secret written.
    pub create: bool,
    /// Who signs it; an authority that is made for it when the name is empty.
    pub issuer_ref: IssuerReference,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerReference {
    /// The issuer's name.
    pub name: String,
    /// `Issuer`, `ClusterIssuer`, or a kind of another group.
    pub kind: String,
    /// The issuer's API group.
    pub group: String,
}

// === defaults ===

impl Default for Image {
    fn default() -> Self {
        Self {
            registry: String::new(),
            repository: object::APP.to_owned(),
            tag: String::new(),
            digest: String::new(),
            pull_policy: PullPolicy::default(),
            pull_secrets: Vec::new(),
        }
    }
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            replicas: 2,
            port: 8443,
            admin_port: 8080,
            host_network: false,
            pods: Pods::with_resources("50m", "32Mi", "192Mi"),
            pod_disruption_budget: PodDisruptionBudget { enabled: true, max_unavailable: IntOrString::Int(1) },
        }
    }
}

impl Default for Controller {
    fn default() -> Self {
        Self { enabled: true, replicas: 1, admin_port: 8080, pods: Pods::with_resources("20m", "64Mi", "256Mi") }
    }
}

impl Pods {
    fn with_resources(cpu: &str, memory: &str, memory_limit: &str) -> Self {
        let amounts = |amounts: &[(&str, &str)]| {
            let amounts = amounts.iter().map(|(what, amount)| ((*what).to_owned(), Quantity((*amount).to_owned())));
            Some(amounts.collect::<BTreeMap<_, _>>())
        };
        Self {
            log_level: LogLevel::default(),
            resources: ResourceRequirements {
                requests: amounts(&[("cpu", cpu), ("memory", memory)]),
                limits: amounts(&[("memory", memory_limit)]),
                ..ResourceRequirements::default()
            },
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: Affinity::default(),
            topology_spread_constraints: Vec::new(),
            priority_class_name: String::new(),
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
        }
    }
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self { enabled: true, api_server: ApiServer::default(), monitoring_namespaces: Vec::new() }
    }
}

impl Default for ApiServer {
    /// The ports of every common distribution: 443 and 6443 of most, 8443 of minikube, 16443 of `MicroK8s`.
    fn default() -> Self {
        Self { cidrs: Vec::new(), ports: vec![443, 6443, 8443, 16443] }
    }
}

impl Default for PodMonitor {
    fn default() -> Self {
        Self { enabled: false, interval: "30s".to_owned(), labels: BTreeMap::new() }
    }
}

impl Default for CertManager {
    fn default() -> Self {
        Self { create: true, issuer_ref: IssuerReference::default() }
    }
}

impl Default for IssuerReference {
    fn default() -> Self {
        Self { name: String::new(), kind: "Issuer".to_owned(), group: "cert-manager.io".to_owned() }
    }
}

/// That of the configuration file, without its envelope.
fn injection(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Document::json_schema(generator);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.retain(|field, _| field != "apiVersion" && field != "kind");
    }
    schema.remove("required");
    schema
}
