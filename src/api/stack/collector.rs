//! `spec.collector`: the OpenTelemetry Collector on every node.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Image, Placement, Resources};
use crate::api::object;
use crate::collector::{OLDEST, Version, port};
use crate::config::Selector;

/// The OpenTelemetry Collector on every node. Its namespace and the name of its Service are those that pods are told:
/// `injection.collector`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.image.tag == '' || self.image.tag.matches('^v?[0-9]+[.][0-9]+')",
        "message": "image.tag doesn't begin with the Collector's version, which the names of components follow, such as 0.159.0",
    },
    known_version(),
    {
        "rule": "self.mode != 'managed' || 'memory' in self.resources.limits",
        "message": "resources.limits.memory is missing: GOMEMLIMIT and memory_limiter follow it, such as 1Gi",
    },
    {
        "rule": "['cpu', 'memory'].all(what, !(what in self.resources.requests) || !(what in self.resources.limits) || !isQuantity(string(self.resources.requests[what])) || !isQuantity(string(self.resources.limits[what])) || quantity(string(self.resources.requests[what])).compareTo(quantity(string(self.resources.limits[what]))) <= 0)",
        "message": "resources.requests asks for more cpu or memory than resources.limits allows",
    },
    {
        "rule": "self.mode != 'managed' || !('memory' in self.resources.limits) || !isQuantity(string(self.resources.limits['memory'])) || quantity(string(self.resources.limits['memory'])).compareTo(quantity('128Mi')) >= 0",
        "message": "resources.limits.memory is less than a Collector can run with; at least 128Mi",
    },
]))]
pub struct Collector {
    /// `managed`: the controller keeps one on every node; `adopt`: it watches somebody else's; `disabled`: neither.
    pub mode: CollectorMode,
    /// Its image, which has to contain the components of Datadog. Its tag begins with the Collector's version, 0.146 or
    /// later, because the names of components follow it.
    pub image: Image,
    /// Where it sends: by the `datadog` exporter, to Datadog's own OTLP intake (`otlp`), or to the `agent` of its node.
    pub exporter: Exporter,
    /// What it asks for, and may use. `GOMEMLIMIT` and `memory_limiter` follow the limit of memory.
    pub resources: Resources,
    /// How much is sent at a time.
    pub batch: Batch,
    /// Container logs that it reads from files, where `injection.logs.owner` is the Collector.
    pub logs: CollectorLogs,
    /// Metrics that it reads itself.
    pub metrics: CollectorMetrics,
    /// Where its pods go.
    #[serde(flatten)]
    pub placement: Placement,
    /// Additions to its configuration, by the rules of docs/collector.md. They are checked, and tried on one node,
    /// before every node gets them.
    #[schemars(schema_with = "super::any_object")]
    pub config: Map<String, Value>,
    /// Further variables of its container, which additions may refer to as `${env:NAME}`; no value has `${` in it, or ends
    /// with `$`.
    #[schemars(schema_with = "variables")]
    pub env: BTreeMap<String, String>,
    /// With `adopt`: which pods are Collectors.
    pub adopt: AdoptedCollector,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CollectorMode {
    #[default]
    Managed,
    Adopt,
    Disabled,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Exporter {
    #[default]
    Datadog,
    Otlp,
    Agent,
}

/// How much is sent at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Batch {
    /// Spans, metrics or lines.
    #[schemars(range(min = 1, max = 100_000))]
    pub size: u32,
    /// Seconds after which less is sent.
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: u32,
}

/// Container logs that the Collector reads from files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CollectorLogs {
    /// Whose lines are sent: those of pods that are `optedIn`, or of `all`; in either case not of those that switched
    /// logs off.
    pub scope: LogScope,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LogScope {
    #[default]
    OptedIn,
    All,
}

/// Metrics that the Collector reads itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CollectorMetrics {
    /// Of the cluster's objects, by one of the Collectors.
    pub cluster: bool,
    /// Of the node's pods that are annotated with `prometheus.io/scrape: "true"`.
    pub annotated_pods: bool,
}

/// Which pods are Collectors that somebody else keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AdoptedCollector {
    /// Labels of their pods, in the Collector's namespace.
    pub selector: Selector,
    /// The port of their own metrics.
    #[schemars(range(min = 1))]
    pub metrics_port: u16,
}

/// The Collectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CollectorStatus {
    /// Nodes with one that is ready, of those that should have one, such as `3/3`; `off` where there should be none.
    pub ready: String,
    /// Nodes that have just joined and have none that is ready yet; they aren't counted in `ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joining: Option<i32>,
    /// What runs on every node: the hash of its configuration and of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What is tried on one node first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<CollectorTrial>,
    /// Some of the nodes without, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

/// What is tried on one node first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CollectorTrial {
    /// The hash of its configuration and of its pod.
    pub revision: String,
    /// Where it runs.
    pub node: String,
}

/// One that is never run may have any version.
fn known_version() -> Value {
    let Version { major, minor } = OLDEST;
    let version = "self.image.tag.matches('^v?[0-9]+[.][0-9]+')";
    let numbers = "self.image.tag.find('[0-9]+[.][0-9]+').split('.')";
    let is_known = format!("int(of[0]) > {major} || int(of[0]) == {major} && int(of[1]) >= {minor}");
    json!({
        "rule": format!("self.mode != 'managed' || !{version} || [{numbers}].all(of, {is_known})"),
        "message": format!("image.tag is older than {major}.{minor}, the oldest version whose components are known"),
    })
}

/// Names that can be referred to, and values that the Collector leaves as they are.
fn variables(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 100,
        "additionalProperties": {"type": "string", "maxLength": 32768},
        "x-kubernetes-validations": [
            {
                "rule": "self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]*$'))",
                "message": "a variable's name has letters, digits and _, and begins with no digit",
            },
            {
                "rule": "self.all(name, !self[name].contains('${') && !self[name].endsWith('$'))",
                "message": "a value has ${ in it, or ends with $, which the Collector would replace where its configuration refers to it",
            },
        ],
    })
}

// === defaults ===

impl Default for Collector {
    fn default() -> Self {
        Self {
            mode: CollectorMode::default(),
            image: Image::new("otel/opentelemetry-collector-contrib", COLLECTOR_VERSION),
            exporter: Exporter::default(),
            resources: Resources::new(["200m", "512Mi"], ["500m", "1Gi"]),
            batch: Batch::default(),
            logs: CollectorLogs::default(),
            metrics: CollectorMetrics::default(),
            placement: Placement::default(),
            config: Map::new(),
            env: BTreeMap::new(),
            adopt: AdoptedCollector::default(),
        }
    }
}

/// The release of the Collector that is run by default: the newest whose components' names and keys have all been read.
pub const COLLECTOR_VERSION: &str = "0.159.0";

impl Default for Batch {
    fn default() -> Self {
        Self { size: 2048, timeout_seconds: 5 }
    }
}

impl Default for CollectorMetrics {
    fn default() -> Self {
        Self { cluster: true, annotated_pods: true }
    }
}

impl Default for AdoptedCollector {
    fn default() -> Self {
        let labels = BTreeMap::from([("app".to_owned(), object::COLLECTOR.to_owned())]);
        Self {
            selector: Selector { match_labels: labels, match_expressions: Vec::new() },
            metrics_port: port::METRICS.number,
        }
    }
}
