//! Metrics that the node's pods offer.

use serde_json::{Value, json};

use crate::collector::part::Part;
use crate::collector::reference::{literal, variable};
use crate::collector::variables;

pub const PROMETHEUS: &str = "prometheus";

/// Pods of the own node that are annotated with `prometheus.io/scrape: "true"`; `prometheus.io/port`, `path` and
/// `scheme` say where. Each other node's Collector has its own, so that none is read twice.
pub fn prometheus() -> Part {
    let own_node = format!("spec.nodeName={}", variable(variables::NODE_NAME));
    Part::receiver(
        PROMETHEUS,
        json!({"config": {"scrape_configs": [{
            "job_name": "annotated-pods",
            "scrape_interval": "30s",
            "kubernetes_sd_configs": [{"role": "pod", "selectors": [{"role": "pod", "field": own_node}]}],
            "relabel_configs": relabelling(),
        }]}}),
    )
}

/// `job` becomes the `service.name` of what is read: the workload's, or what the pod says otherwise.
fn relabelling() -> Vec<Value> {
    const ANNOTATION: &str = "__meta_kubernetes_pod_annotation_";
    let annotation = |name: &str| format!("{ANNOTATION}{name}");
    let replace = |source: &[String], regex: &str, target: &str, replacement: &str| {
        json!({
            "action": "replace",
            "source_labels": source,
            "regex": literal(regex),
            "target_label": target,
            "replacement": literal(replacement),
        })
    };
    let port = annotation("prometheus_io_port");
    let address = ["__meta_kubernetes_pod_ip".to_owned(), port];
    let owner = ["kind", "name"].map(|what| format!("__meta_kubernetes_pod_controller_{what}"));
    vec![
        json!({"action": "keep", "source_labels": [annotation("prometheus_io_scrape")], "regex": "true"}),
        json!({"action": "keep", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Running"}),
        json!({"action": "drop", "source_labels": ["__meta_kubernetes_pod_container_init"], "regex": "true"}),
        replace(&[annotation("prometheus_io_scheme")], "(https?)", "__scheme__", "$1"),
        replace(&[annotation("prometheus_io_path")], "(.+)", "__metrics_path__", "$1"),
        replace(&address, "([0-9.]+);([0-9]+)", "__address__", "$1:$2"),
        replace(&address, "(.*:.*);([0-9]+)", "__address__", "[$1]:$2"),
        replace(&["__meta_kubernetes_pod_name".to_owned()], "(.+)", "job", "$1"),
        replace(&owner, "[^;]+;(.+)", "job", "$1"),
        replace(&owner, "ReplicaSet;(.+)-[a-z0-9]+", "job", "$1"),
        replace(&["__meta_kubernetes_pod_label_tags_datadoghq_com_service".to_owned()], "(.+)", "job", "$1"),
        replace(&[annotation("resource_opentelemetry_io_service_name")], "(.+)", "job", "$1"),
    ]
}
