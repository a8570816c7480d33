//! The service that a line is of, where neither annotations nor labels of its pod say it: as the webhook works it out.

use serde_json::{Value, json};

use super::ottl;
use crate::collector::part::Part;
use crate::collector::reference::literal;

/// What a pod's workload is called, the first that there is counts.
const WORKLOADS: [&str; 7] = [
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
    "k8s.replicaset.name",
    "k8s.pod.name",
];

/// `environment` is the configuration's.
pub fn service(environment: Option<&str>) -> Part {
    let attribute = |name: &str| format!(r#"resource.attributes["{name}"]"#);
    let set = |name: &str, value: &str| literal(&format!("set({0}, {value}) where {0} == nil", attribute(name)));
    let mut statements: Vec<Value> =
        WORKLOADS.iter().map(|workload| set("service.name", &attribute(workload))).collect();
    statements.push(set("service.version", &attribute("container.image.tag")));
    statements.extend(environment.map(|name| set("deployment.environment.name", &ottl::quoted(name))));
    Part::processor(
        "transform/service",
        json!({"error_mode": "ignore", "log_statements": [{"context": "resource", "statements": statements}]}),
    )
}
