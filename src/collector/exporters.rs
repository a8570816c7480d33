//! Where data goes.

use serde_json::{Value, json};

use super::part::Part;
use super::reference::{escaped, literal, variable};
use super::{Input, variables};
use crate::api::object;
use crate::api::stack::{Exporter, Owner};

pub fn exporter(input: &Input<'_>) -> Part {
    match input.collector.exporter {
        Exporter::Datadog => datadog(input),
        Exporter::Otlp => otlp(input),
        Exporter::Agent => agent(input),
    }
}

/// A host is called by its node and cluster, as the Agent calls it. Only one of them tells Datadog what the host is.
fn datadog(input: &Input<'_>) -> Part {
    let node = variable(variables::NODE_NAME);
    let hostname = match &input.injection.cluster_name {
        Some(cluster) => format!("{node}-{}", escaped(cluster)),
        None => node,
    };
    Part::exporter(
        "datadog",
        json!({
            "hostname": hostname,
            "api": {"key": variable(variables::API_KEY), "site": literal(&input.datadog.site)},
            "host_metadata": {
                "enabled": input.owners().host_metadata == Owner::Collector,
                "hostname_source": "config_or_system",
            },
        }),
    )
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
    let endpoint: Value = literal(&format!("{host}:4317"));
    Part::exporter("otlp_grpc/agent", json!({"endpoint": endpoint, "tls": {"insecure": true}}))
}
