//! A Deployment that was injected offline and committed, and the pod that comes of it.

use serde_json::{Value, json};

use super::{Case, app, case, with_env};
use crate::config::{Document, Protocol, Reach, Temporality};
use crate::inject::{Workload, undo};

fn template(container: Value) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container, {"name": "proxy", "image": "nginx:1"}]}})
}

/// As `otelgate inject` writes it: no ReplicaSet is there yet, and perhaps nothing names the namespace.
fn injected_offline(template: &Value, namespace: Option<&'static str>) -> Value {
    let deployment = Workload::Deployment { name: "web".into(), replica_set: None };
    let offline = Case { template_of: Some(deployment), ..case(template.clone()).namespace(namespace) };
    offline.decide().pod
}

/// As the ReplicaSet's controller makes it.
fn made_of(template: &Value) -> Value {
    let mut pod = template.clone();
    let metadata = &mut pod["metadata"];
    metadata["generateName"] = "web-5d9f7c-".into();
    metadata["namespace"] = "shop".into();
    metadata["labels"]["pod-template-hash"] = "5d9f7c".into();
    metadata["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9f7c", "controller": true}]);
    pod
}

/// The pod without the order of variables that don't refer to each other, and without the status, which tells where
/// values come from.
fn meant(pod: &Value) -> Value {
    let mut pod = pod.clone();
    for container in pod["spec"]["containers"].as_array_mut().unwrap() {
        container["env"].as_array_mut().unwrap().sort_by_key(|variable| variable["name"].to_string());
    }
    pod["metadata"]["annotations"].as_object_mut().unwrap().shift_remove("otelgate.dev/status").unwrap();
    pod
}

fn the_same(_: &mut Document) {}

fn another(document: &mut Document) {
    document.otlp.protocol = Protocol::Grpc;
    document.otlp.reach = Reach::Node;
    document.otlp.metrics_temporality = Temporality::Unset;
    document.environment = Some("prod".into());
}

#[test]
fn a_committed_template_makes_the_pod_that_its_original_would() {
    let attributes = |value: Value| with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": value}]));
    for container in [app(), with_env(json!([])), attributes(json!("a=1")), attributes(json!(null))] {
        for namespace in [Some("shop"), None] {
            for configure in [the_same as fn(&mut Document), another] {
                let original = template(container.clone());
                let committed = injected_offline(&original, namespace);
                let online = |pod: &Value| {
                    case(made_of(pod)).on_namespace("resource.opentelemetry.io/team", "pay").configure(configure)
                };
                let of_original = online(&original).decide();
                let mut of_committed = online(&committed).decide();
                assert_eq!(meant(&of_committed.pod), meant(&of_original.pod));
                assert_ne!(of_committed.attribute("k8s.replicaset.name"), None);
                assert!(!committed.to_string().contains("k8s.replicaset.name="), "only its controller knows that");

                let again = Case { pod: of_committed.pod.clone(), ..online(&committed) };
                assert_eq!(again.decide().operations, [] as [Value; 0]);
                let undone = undo(&mut of_committed.pod).unwrap();
                assert!(undone.kept.is_empty(), "{:?}", undone.kept);
                assert_eq!(of_committed.pod, made_of(&original));
            }
        }
    }
}
