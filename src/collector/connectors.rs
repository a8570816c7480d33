//! What makes one kind of data of another, between pipelines.

use serde_json::{Value, json};

use super::names::Version;
use super::part::Part;

/// Beside unified service tagging, by which Datadog's service pages tell hosts, peers, operations and resources apart.
const DIMENSIONS: [&str; 28] = [
    "deployment.environment.name",
    "service.version",
    "container.id",
    "k8s.node.name",
    "k8s.cluster.name",
    "host.id",
    "host.name",
    "cloud.provider",
    "cloud.account.id",
    "azure.resourcegroup.name",
    "server.address",
    "db.namespace",
    "db.system",
    "db.query.text",
    "messaging.system",
    "messaging.operation",
    "messaging.destination.name",
    "rpc.system",
    "rpc.service",
    "rpc.method",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "graphql.operation.type",
    "graphql.operation.name",
    "faas.trigger",
    "operation.name",
    "resource.name",
];

/// Hits, errors and durations of every span, before any is left out; and the spans themselves.
pub fn datadog() -> Part {
    Part::connector(
        "datadog/connector",
        json!({"traces": {
            "compute_stats_by_span_kind": true,
            "compute_top_level_by_span_kind": true,
            "peer_tags_aggregation": true,
        }}),
    )
}

/// The same for Datadog's OTLP intake, which makes its statistics from these metrics. It takes differences alone.
pub fn span_metrics(version: Version) -> Part {
    let dimensions: Vec<Value> = DIMENSIONS.iter().map(|name| json!({"name": name})).collect();
    Part::connector(
        version.name("span_metrics"),
        json!({
            "aggregation_temporality": "AGGREGATION_TEMPORALITY_DELTA",
            "add_resource_attributes": true,
            "histogram": {"exponential": {"max_size": 160}, "unit": "s"},
            "dimensions": dimensions,
        }),
    )
}

/// From the pipeline in which every span is counted to the one in which some may be left out.
pub fn forward() -> Part {
    Part::connector("forward/counted", json!({}))
}
