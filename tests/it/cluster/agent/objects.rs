//! What the controller writes is taken by the API server, word by word.

use serde_json::{Value, json};

use otelgate::controller::agent::{cluster_agent, operator, settings::Settings};
use otelgate::controller::collector::Carried;
use otelgate::controller::stack::Stack;

use crate::control_plane::{ControlPlane, Version, datadog_operator};

pub(super) fn settings(spec: &Value) -> Settings {
    let mut spec = spec.clone();
    spec["injection"]["clusterName"] = json!("prod-eu1");
    let stack = Stack::new("u".to_owned(), 1, &spec);
    Settings::new(&stack, "otelgate", Some("1".to_owned()), Carried::default(), None).expect("valid")
}

/// Few, and together everything that there is to ask for.
fn specs() -> Vec<Value> {
    let all = json!({"apm": true, "processes": true, "networkMonitoring": true, "cspm": true, "cws": true});
    vec![
        json!({}),
        json!({"agent": {"features": all}}),
        json!({"agent": {"features": all, "image": {"tag": "7.58.2"}}}),
        json!({
            "collector": {"mode": "disabled"},
            "injection": {"logs": {"owner": "agent"}, "otlp": {"reach": "node"}},
            "egress": {"proxy": "http://proxy.corp:3128", "noProxy": ["corp"], "caConfigMap": "authorities"},
            "agent": {"image": {"pullSecrets": ["corp"]}, "kubelet": {"tlsVerify": false}, "priorityClassName": "system-node-critical",
                "nodeSelector": {"pool": "general"}, "podLabels": {"team": "sre"}, "podAnnotations": {"a": "b"},
                "maxUnavailable": 1, "resources": {"agent": {"limits": {"memory": "512Mi"}}, "cluster-agent": {}}},
        }),
    ]
}

#[track_caller]
fn is_taken(plane: &ControlPlane, objects: &[Value], namespace: &str) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-"];
    let outcome = plane.kubectl_with(&arguments, &list);
    assert!(outcome.success, "{}", outcome.stderr);
    assert_eq!(outcome.warnings(), Vec::<&str>::new());
}

#[test]
fn the_api_server_takes_the_controllers_own_objects() {
    for version in [Version::Newest, Version::Oldest] {
        let plane = ControlPlane::shared(version);
        plane.make_namespace("agents", &json!({}), &json!({}));
        for spec in specs() {
            let mut objects = cluster_agent::objects(&settings(&spec), Some("1"));
            for object in &mut objects {
                if object["kind"] != "ClusterRoleBinding" {
                    object["metadata"]["namespace"] = json!("agents");
                }
            }
            is_taken(plane, &objects, "agents");
        }
    }
}

#[test]
fn the_operators_definition_takes_each_datadog_agent() {
    let plane = ControlPlane::shared(Version::Oldest);
    datadog_operator::define(plane).unwrap_or_else(|error| panic!("{error}"));
    plane.make_namespace("agents", &json!({}), &json!({}));
    for spec in specs() {
        is_taken(plane, &[operator::datadog_agent(&settings(&spec))], "agents");
    }
}
