//! Somebody who applies the rendered chart again and again, as tools of `GitOps` do, sees no difference that they didn't make.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::OTELGATE;
use super::installed::{rendered, wait_until_in_force};
use crate::control_plane::plane::Parts;
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::release::NAMESPACE;
use crate::control_plane::{ControlPlane, Version, wait_for};

const GITOPS: &str = "gitops";
/// What the enforcer of AKS adds to each webhook that lacks it, and takes for a change if somebody takes it away.
const ENFORCED: [(&str, &str, &str); 2] =
    [("control-plane", "NotIn", "true"), ("kubernetes.azure.com/managedby", "NotIn", "aks")];

#[test]
fn a_second_apply_changes_nothing() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    plane.make_namespace(NAMESPACE, &json!({"pod-security.kubernetes.io/enforce": "restricted"}), &json!({}));
    plane.make_namespace("datadog", &json!({"pod-security.kubernetes.io/enforce": "privileged"}), &json!({}));
    let (definitions, objects) = rendered(&plane, &json!({"injection": {"clusterName": "test"}}));
    for manifests in [&definitions, &objects] {
        apply(&plane, manifests);
    }
    wait_until_in_force(&nodes);
    let mut manifests = definitions;
    manifests.extend(objects);
    wait_for("otelgate to write its authority", || {
        let registration = plane.get("", "mutatingwebhookconfiguration/otelgate");
        let mut webhooks = registration["webhooks"].as_array()?.iter();
        webhooks.all(|webhook| webhook["clientConfig"]["caBundle"].is_string()).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}{}", nodes.last_words()));
    let before = read(&plane, &manifests);
    apply(&plane, &manifests);
    for (before, after) in before.iter().zip(&read(&plane, &manifests)) {
        assert_eq!(what_counts(before), what_counts(after), "{}", title(before));
        only_a_ca_bundle_is_otelgates(after);
        if after["kind"] == "MutatingWebhookConfiguration" {
            the_enforcer_has_nothing_to_add(after);
        }
    }
}

/// One apply for all, as a tool would.
#[track_caller]
fn apply(plane: &ControlPlane, manifests: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
    let manager = format!("--field-manager={GITOPS}");
    plane.kubectl_with(&["apply", "--server-side", &manager, "-f", "-"], &list).expect("kubectl apply");
    if manifests.iter().any(|object| object["kind"] == "CustomResourceDefinition") {
        plane.wait_until_served("telemetrystacks.otelgate.dev");
    }
}

/// The objects as the API server has them, in the manifests' order.
fn read(plane: &ControlPlane, manifests: &[Value]) -> Vec<Value> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
    let arguments = ["get", "-f", "-", "-o", "json", "--show-managed-fields"];
    let objects = plane.kubectl_with(&arguments, &list).json("the objects")["items"].take();
    let Value::Array(objects) = objects else { panic!("no list: {objects}") };
    assert_eq!(objects.len(), manifests.len());
    objects
}

/// All of an object but its status: generation and managers are part of it.
fn what_counts(object: &Value) -> Value {
    let mut object = object.clone();
    let fields = object.as_object_mut().expect("an object");
    fields.remove("status");
    let metadata = fields["metadata"].as_object_mut().expect("metadata");
    metadata.remove("resourceVersion");
    let managers = metadata["managedFields"].as_array_mut().expect("managers");
    managers.retain(|entry| entry["subresource"] != "status");
    for entry in managers {
        entry.as_object_mut().expect("an entry").remove("time");
    }
    object
}

fn only_a_ca_bundle_is_otelgates(object: &Value) {
    let managers = object["metadata"]["managedFields"].as_array().expect("managers");
    let own = managers.iter().filter(|entry| {
        let manager = entry["manager"].as_str().unwrap_or_default();
        manager.starts_with("otelgate") && entry["subresource"] != "status"
    });
    for entry in own {
        let mut fields = Vec::new();
        leaves(&entry["fieldsV1"], "", &mut fields);
        for field in fields {
            let of_the_key = field.ends_with("}/f:name");
            assert!(of_the_key || field.ends_with("/f:clientConfig/f:caBundle"), "{}: {field}", title(object));
        }
    }
}

/// Paths of the fields in a `fieldsV1`.
fn leaves(fields: &Value, path: &str, into: &mut Vec<String>) {
    let empty = Map::new();
    for (key, value) in fields.as_object().unwrap_or(&empty).iter().filter(|(key, _)| *key != ".") {
        let path = format!("{path}/{key}");
        if value.as_object().is_some_and(Map::is_empty) {
            into.push(path);
        } else {
            leaves(value, &path, into);
        }
    }
}

fn the_enforcer_has_nothing_to_add(registration: &Value) {
    for webhook in registration["webhooks"].as_array().expect("webhooks") {
        for (key, operator, value) in ENFORCED {
            let expression = json!({"key": key, "operator": operator, "values": [value]});
            let expressions = webhook["namespaceSelector"]["matchExpressions"].as_array().expect("expressions");
            assert!(expressions.contains(&expression), "{} lacks {expression}", webhook["name"]);
        }
    }
}

fn title(object: &Value) -> String {
    format!("{} {}", object["kind"], object["metadata"]["name"])
}
