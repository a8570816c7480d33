//! Which pod data is of, and what that pod is.

use serde_json::{Value, json};

use super::scope::{SWITCHES, Switch};
use crate::api::label;
use crate::collector::names::Version;
use crate::collector::part::Part;
use crate::collector::variables;
use crate::config::Identity;

/// Of the pod, its workload and its container, as OpenTelemetry's conventions have them. Not `service.name` and
/// `service.version`: asked for here, they are those of the labels `app.kubernetes.io/…`, against what annotations say.
const METADATA: [&str; 16] = [
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.pod.start_time",
    "k8s.node.name",
    "k8s.deployment.name",
    "k8s.replicaset.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
    "k8s.container.name",
    "container.id",
    "container.image.name",
    "container.image.tag",
    "service.namespace",
];

/// Pods of the own node, which are those whose data comes here. It starts when it knows them.
///
/// What data says of itself stays. Then annotations `resource.opentelemetry.io/…` count, then labels.
pub fn k8s_attributes(version: Version, identity: &Identity) -> Part {
    let associations = json!([
        {"sources": [{"from": "resource_attribute", "name": "k8s.pod.uid"}]},
        {"sources": [{"from": "resource_attribute", "name": "k8s.pod.ip"}]},
        {"sources": [
            {"from": "resource_attribute", "name": "k8s.pod.name"},
            {"from": "resource_attribute", "name": "k8s.namespace.name"},
        ]},
        {"sources": [{"from": "connection"}]},
    ]);
    Part::processor(version.name("k8s_attributes"), settings(&labels(identity), None, &associations))
}

/// For lines of files, whose path tells the pod: with what says whether they are sent.
pub fn k8s_attributes_of_files(version: Version, identity: &Identity) -> Part {
    let [inject, logs] = SWITCHES;
    let switch =
        |switch: &Switch, from: &str| json!({"tag_name": switch.attribute(from), "key": switch.key, "from": from});
    let mut labels = labels(identity);
    labels.extend(["pod", "namespace"].map(|from| switch(&inject, from)));
    let annotations = ["pod", "namespace"].map(|from| switch(&logs, from));
    // The first whose attributes are all there is asked, and no other: by name, where the receiver took the UID away.
    let associations = json!([
        {"sources": [{"from": "resource_attribute", "name": "k8s.pod.uid"}]},
        {"sources": [
            {"from": "resource_attribute", "name": "k8s.pod.name"},
            {"from": "resource_attribute", "name": "k8s.namespace.name"},
        ]},
    ]);
    let id = format!("{}/files", version.name("k8s_attributes"));
    Part::processor(id, settings(&labels, Some(&annotations), &associations))
}

/// Of two that give the same attribute, the later one counts.
fn labels(identity: &Identity) -> Vec<Value> {
    let well_known = [
        ("service.name", label::APP_NAME),
        ("service.name", label::APP_INSTANCE),
        ("service.version", label::APP_VERSION),
    ];
    let tags = [
        ("service.name", label::DATADOG_SERVICE),
        ("service.version", label::DATADOG_VERSION),
        ("deployment.environment.name", label::DATADOG_ENV),
    ];
    let well_known = well_known.into_iter().filter(|_| identity.from_well_known_labels);
    let labels = well_known.chain(tags);
    labels.map(|(attribute, key)| json!({"tag_name": attribute, "key": key, "from": "pod"})).collect()
}

fn settings(labels: &[Value], annotations: Option<&[Value]>, associations: &Value) -> Value {
    let mut extract = json!({"otel_annotations": true, "metadata": METADATA, "labels": labels});
    if let (Value::Object(extract), Some(annotations)) = (&mut extract, annotations) {
        extract.insert("annotations".to_owned(), json!(annotations));
    }
    json!({
        "auth_type": "serviceAccount",
        "wait_for_metadata": true,
        "wait_for_metadata_timeout": "60s",
        "filter": {"node_from_env_var": variables::NODE_NAME},
        "extract": extract,
        "pod_association": associations,
    })
}
