//! The cluster's name on what doesn't say it.

use serde_json::json;

use super::ottl;
use crate::collector::part::Part;
use crate::collector::reference::literal;

/// Before `resource_detection`: the name that is configured is the one that the Agent has too, and hosts are called by
/// node and cluster.
pub fn cluster_name(name: &str) -> Part {
    let attribute = r#"resource.attributes["k8s.cluster.name"]"#;
    let set = literal(&format!("set({attribute}, {}) where {attribute} == nil", ottl::quoted(name)));
    Part::processor(
        "transform/cluster_name",
        json!({
            "error_mode": "ignore",
            "trace_statements": [{"context": "resource", "statements": [set]}],
            "metric_statements": [{"context": "resource", "statements": [set]}],
            "log_statements": [{"context": "resource", "statements": [set]}],
        }),
    )
}
