//! Where data goes.

use serde_json::{Map, Value, json};

use super::part::Part;
use super::reference::{literal, variable};
use super::{Input, port, variables};
use crate::api::object;
use crate::api::stack::{Exporter, Owner};

/// The exporter's type, which is its name too.
pub const DATADOG: &str = "datadog";
/// The one that leads to the Agent of the own node.
pub const AGENT: &str = "otlp_grpc/agent";

pub fn exporter(input: &Input<'_>) -> Part {
    match input.collector.exporter {
        Exporter::Datadog => datadog(input),
        Exporter::Otlp => otlp(input),
        Exporter::Agent => agent(input),
    }
}

/// A host is called by its node and cluster, as the Agent calls it. Only one of them tells Datadog what the host is.
fn datadog(input: &Input<'_>) -> Part {
    Part::exporter(
        DATADOG,
        json!({
            "hostname": hostname(input),
            "api": {"key": variable(variables::API_KEY), "site": literal(&input.datadog.site)},
            "host_metadata": {
                "enabled": input.owners().host_metadata == Owner::Collector,
                "hostname_source": "config_or_system",
            },
        }),
    )
}

fn hostname(input: &Input<'_>) -> String {
    let node = variable(variables::NODE_NAME);
    match &input.injection.cluster_name {
        Some(cluster) if names_hosts(cluster) => format!("{node}-{cluster}"),
        Some(_) | None => node,
    }
}

/// Of the same type as ours, one that users add calls hosts as ours does, and doesn't tell what they are.
pub fn complete(document: &mut Map<String, Value>, input: &Input<'_>) {
    let all = document.get_mut("exporters").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, exporter) in all.filter(|(id, _)| id.split('/').next() == Some(DATADOG)) {
        if exporter.is_null() {
            *exporter = json!({});
        }
        let Some(fields) = exporter.as_object_mut() else { continue };
        fields.entry("hostname").or_insert_with(|| hostname(input).into());
        let host_metadata = fields.entry("host_metadata").or_insert_with(|| json!({}));
        if host_metadata.is_null() {
            *host_metadata = json!({});
        }
        if let Some(fields) = host_metadata.as_object_mut() {
            fields.entry("enabled").or_insert(Value::Bool(false));
        }
    }
}

/// Whether Datadog calls hosts by that name of a cluster: with another one the exporter ends at once, and the Agent
/// leaves it out. <https://docs.datadoghq.com/containers/guide/kubernetes-cluster-name-detection/>
fn names_hosts(cluster: &str) -> bool {
    cluster.len() <= 80
        && cluster.starts_with(|c: char| c.is_ascii_lowercase())
        && !cluster.ends_with('-')
        && cluster.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Datadog's own OTLP intake, which leaves the host list to the Agent.
fn otlp(input: &Input<'_>) -> Part {
    let metrics = json!({"resource_attributes_as_tags": true}).to_string();
    Part::exporter(
        "otlp_http",
        json!({
            "endpoint": literal(&format!("https://otlp.{}", input.datadog.site)),
            "headers": {
                "dd-api-key": variable(variables::API_KEY),
                "dd-otel-metric-config": literal(&metrics),
            },
        }),
    )
}

/// The Agent of the own node: its Service leads to no other one.
fn agent(input: &Input<'_>) -> Part {
    let injection = input.injection;
    let host = format!("{}.{}.svc.{}", object::AGENT, injection.collector.namespace, injection.cluster_domain);
    let endpoint: Value = literal(&format!("{host}:{}", port::GRPC.number));
    Part::exporter(AGENT, json!({"endpoint": endpoint, "tls": {"insecure": true}}))
}

#[cfg(test)]
mod tests {
    use super::names_hosts;

    #[test]
    fn hosts_are_called_by_what_datadog_takes() {
        for name in ["a", "east-1", &"a".repeat(80)] {
            assert!(names_hosts(name), "{name}");
        }
        for name in ["", "1", "East", "prod_east", "east-", "-east", "a.b", "é", "a b", &"a".repeat(81)] {
            assert!(!names_hosts(name), "{name}");
        }
    }
}
