//! The configuration file as it is written: types whose doc comments and defaults are the reference page.
//!
//! Nothing here is checked beyond its type; [`super::Configuration`] is what a checked document becomes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{absent, forms};
use crate::api::{OptIn, label, object, otel};

/// Version of the configuration file.
pub const API_VERSION: &str = "otelgate.dev/v1alpha1";
pub const KIND: &str = "InjectionConfiguration";

/// What otelgate puts into pods, and into which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// Always `otelgate.dev/v1alpha1`.
    pub api_version: String,
    /// Always `InjectionConfiguration`.
    pub kind: String,
    /// Caps every opt-in: `enabled`, `observe` (decide and report, change nothing) or `disabled`.
    #[serde(default = "default_mode", deserialize_with = "absent::mode")]
    pub mode: OptIn,
    /// Value of `k8s.cluster.name`; not set when absent. Datadog adds it to the names of hosts only where it begins with a
    /// letter and has nothing but lowercase letters, digits and hyphens, at most 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "forms::cluster_name")]
    pub cluster_name: Option<String>,
    /// The cluster's DNS domain.
    #[serde(default = "default_cluster_domain", deserialize_with = "absent::cluster_domain")]
    #[schemars(schema_with = "forms::cluster_domain")]
    pub cluster_domain: String,
    /// Value of `deployment.environment.name` where neither pod nor namespace says otherwise; not set when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "forms::environment")]
    pub environment: Option<String>,
    /// Where and how containers send.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub otlp: Otlp,
    /// Where the Collector is.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub collector: Collector,
    /// How a service's name and version are found.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub identity: Identity,
    /// `OTEL_PROPAGATORS`; not set when empty.
    #[serde(default, deserialize_with = "absent::or_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "forms::propagators")]
    pub propagators: Vec<String>,
    /// `OTEL_TRACES_SAMPLER` and its argument; not set when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<Sampler>,
    /// Container logs that are read from files.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub logs: Logs,
    /// Further variables, set by the same rules as otelgate's own; but none that it computes, and none of `DD_SERVICE`, `DD_ENV`
    /// and `DD_VERSION`, which would contradict those.
    #[serde(default, deserialize_with = "absent::or_default", skip_serializing_if = "Vec::is_empty")]
    // The API server refuses what its rules on the entries of a list without an end might cost.
    #[schemars(length(max = 500))]
    pub env: Vec<Variable>,
    /// Pods that are never touched, whatever their labels: the telemetry pipeline's own. By default those of the Collector in
    /// the Collector's namespace, wherever that is.
    #[serde(default = "default_exclude", deserialize_with = "absent::exclude")]
    #[schemars(length(max = 1000))]
    pub exclude: Vec<Exclusion>,
}

/// Where and how containers send.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Otlp {
    /// An http or https URL to send to; the Collector's Service, or the node, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "forms::endpoint")]
    pub endpoint: Option<String>,
    /// `grpc`, `http/protobuf` or `http/json`. An endpoint on port 4317 or 4318 has the protocol of its port.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub protocol: Protocol,
    /// `service`: by the Collector's Service; `node`: by host port and the node's address.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub reach: Reach,
    /// With `reach: node`, `IPv6` puts the address in brackets.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub ip_family: IpFamily,
    /// `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`; Datadog wants `delta`. `unset` leaves it to the SDK.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub metrics_temporality: Temporality,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    #[serde(rename = "grpc")]
    Grpc,
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    #[serde(rename = "http/json")]
    HttpJson,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    #[default]
    Service,
    Node,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    #[default]
    IPv4,
    IPv6,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    #[default]
    Delta,
    Cumulative,
    LowMemory,
    Unset,
}

/// Where the Collector is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Collector {
    /// The Service's namespace.
    #[serde(default = "default_collector_namespace", deserialize_with = "absent::collector_namespace")]
    #[schemars(schema_with = "forms::collector_namespace")]
    pub namespace: String,
    /// The Service's name.
    #[serde(default = "default_collector_service", deserialize_with = "absent::collector_service")]
    #[schemars(schema_with = "forms::collector_service")]
    pub service: String,
    /// The Service's IP address, for pods that can't resolve cluster names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "forms::collector_address")]
    pub address: Option<String>,
}

/// How a service's name and version are found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// Whether `app.kubernetes.io/instance`, `name` and `version` count. Off, because Helm gives every Deployment of a
    /// release the same.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub from_well_known_labels: bool,
}

/// `OTEL_TRACES_SAMPLER` and its argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sampler {
    /// One of the specification's names, such as `parentbased_traceidratio`.
    #[schemars(extend("enum" = otel::SAMPLERS))]
    pub name: String,
    /// `OTEL_TRACES_SAMPLER_ARG`, such as `"0.1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arg: Option<String>,
}

/// Container logs that are read from files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Logs {
    /// `enabled` or `disabled`: whether an opted-in pod's logs are collected where nothing else is said.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub collection: Collection,
    /// Who reads the files, `collector` or `agent`: exactly one, or every line arrives twice.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub owner: LogOwner,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Collection {
    #[default]
    Enabled,
    Disabled,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogOwner {
    #[default]
    Collector,
    Agent,
}

/// A further variable: a literal, or a field of the pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.value) != has(self.valueFrom)",
    "message": "one of value and valueFrom has to be there, and not both",
}]))]
pub struct Variable {
    /// The variable's name.
    #[schemars(schema_with = "forms::variable_name")]
    pub name: String,
    /// A literal; taken as it is written, `$` included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A field of the pod, instead of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueFrom {
    /// A field of the pod, as in a container's `env`.
    pub field_ref: FieldRef,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldRef {
    /// Such as `status.podIP`, or `metadata.labels['team']`.
    #[schemars(schema_with = "forms::field_path")]
    pub field_path: String,
}

/// Pods that are never touched: those of the namespace (of any, when absent) that the selector matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.__namespace__) || (has(self.selector) && \
             ((has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0) || \
             (has(self.selector.matchExpressions) && size(self.selector.matchExpressions) > 0)))",
    "message": "without a namespace or a requirement, every pod would be excluded: write mode: disabled for that",
}]))]
pub struct Exclusion {
    /// The namespace, by its whole name; any, when absent, and then the selector has a requirement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "forms::excluded_namespace")]
    pub namespace: Option<String>,
    /// A label selector; every pod of the namespace, when absent.
    #[serde(default, deserialize_with = "absent::or_default")]
    pub selector: Selector,
}

/// A Kubernetes label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Labels that must all be there.
    #[serde(default, deserialize_with = "absent::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that must all hold.
    #[serde(default, deserialize_with = "absent::or_default", skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// One requirement of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
    "message": "In and NotIn take values; Exists and DoesNotExist take none",
}]))]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: Operator,
    /// For `In` and `NotIn`.
    #[serde(default, deserialize_with = "absent::or_default", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

// === impl Document ===

impl Default for Document {
    fn default() -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            mode: default_mode(),
            cluster_name: None,
            cluster_domain: default_cluster_domain(),
            environment: None,
            otlp: Otlp::default(),
            collector: Collector::default(),
            identity: Identity::default(),
            propagators: Vec::new(),
            sampler: None,
            logs: Logs::default(),
            env: Vec::new(),
            exclude: default_exclude(),
        }
    }
}

// === impl Selector ===

impl Selector {
    /// Of an object; nothing for what isn't one.
    #[must_use]
    pub fn read(json: &Value) -> Option<Self> {
        Self::deserialize(json).ok()
    }

    /// Whether it matches every object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// As the API server takes it in a query: `app=web,tier in (a,b),!old`.
    #[must_use]
    pub fn query(&self) -> String {
        let labels = self.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let expressions = self.match_expressions.iter().map(|Requirement { key, operator, values }| match operator {
            Operator::In => format!("{key} in ({})", values.join(",")),
            Operator::NotIn => format!("{key} notin ({})", values.join(",")),
            Operator::Exists => key.clone(),
            Operator::DoesNotExist => format!("!{key}"),
        });
        labels.chain(expressions).collect::<Vec<_>>().join(",")
    }
}

// === impl Collector ===

impl Default for Collector {
    fn default() -> Self {
        Self { namespace: default_collector_namespace(), service: default_collector_service(), address: None }
    }
}

// === impl Protocol ===

impl Protocol {
    pub const ALL: [Self; 3] = [Self::Grpc, Self::HttpProtobuf, Self::HttpJson];

    /// As in `OTEL_EXPORTER_OTLP_PROTOCOL`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
        }
    }

    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == value)
    }

    /// The port that OTLP has for it.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::HttpProtobuf | Self::HttpJson => 4318,
        }
    }
}

pub(super) fn default_mode() -> OptIn {
    OptIn::Enabled
}

pub(super) fn default_cluster_domain() -> String {
    "cluster.local".to_owned()
}

pub(super) fn default_collector_namespace() -> String {
    "datadog".to_owned()
}

pub(super) fn default_collector_service() -> String {
    object::COLLECTOR.to_owned()
}

/// The pipeline's own pods, where it is by default. Where `collector.namespace` is written, they are there:
/// [`super::parse`] sees to that.
pub(super) fn default_exclude() -> Vec<Exclusion> {
    own_pods(object::NAMESPACE, &default_collector_namespace())
}

/// The pipeline's own pods, where otelgate and the Collector are in these namespaces: their resource attributes would be
/// stamped on everybody's data.
#[must_use]
pub fn own_pods(otelgate: &str, collector: &str) -> Vec<Exclusion> {
    let labelled = |key: &str, value: &str| Selector {
        match_labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        match_expressions: Vec::new(),
    };
    vec![
        Exclusion { namespace: Some(otelgate.to_owned()), selector: labelled(label::APP_NAME, object::APP) },
        Exclusion { namespace: Some(collector.to_owned()), selector: labelled("app", object::COLLECTOR) },
        Exclusion {
            namespace: None,
            selector: Selector {
                match_labels: BTreeMap::new(),
                match_expressions: vec![Requirement {
                    key: label::AGENT_COMPONENT.to_owned(),
                    operator: Operator::Exists,
                    values: Vec::new(),
                }],
            },
        },
    ]
}
