//! What only some features ask for, deleted, and each field of it edited by hand: of the controller's own Agent, and of a
//! `DatadogAgent`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::edited::Hand;
use super::{KINDS, NAMESPACE, OURS, ask, cluster, exists, is_made_again, says, stack, start_controller};
use crate::control_plane::network::Process;
use crate::control_plane::{ControlPlane, datadog_operator, wait_for};

/// Beside what there is with the features that are on untold.
const FURTHER: [&str; 5] = [
    "ConfigMap/datadog-agent-seccomp",
    "ConfigMap/datadog-agent-cluster-state",
    "ClusterRoleBinding/otelgate-agent-cluster-state",
    "ClusterRoleBinding/otelgate-agent-compliance",
    // In the Collector's place.
    "Service/otel-collector",
];
/// What is another with these features.
const OTHERS: [&str; 2] = ["Deployment/datadog-cluster-agent", "DaemonSet/datadog-agent"];

#[test]
fn each_edited_field_of_what_features_ask_for_is_as_before() {
    let plane = cluster();
    let controller = start_controller(&plane, "controller");
    the_service_that_pods_are_told_stays_the_same(&plane, &controller);
    ask_for_all(&plane, "daemonset");
    says(&plane, &controller, "AgentWithoutNode");
    for name in FURTHER {
        is_made_again(&plane, &controller, name);
    }
    let made = made(&plane);
    for name in FURTHER.iter().chain(&OTHERS) {
        let object = made.get(*name).unwrap_or_else(|| panic!("{name}: {made:#?}; {}", controller.log()));
        let least = if name.starts_with("DaemonSet/") { 200 } else { 1 };
        assert!(edit(&plane, &controller, object) > least, "{name}");
    }
}

#[test]
fn each_edited_field_of_a_datadog_agent_is_as_before() {
    let plane = cluster();
    datadog_operator::define(&plane).unwrap_or_else(|error| panic!("{error}"));
    let controller = start_controller(&plane, "controller");
    ask_for_all(&plane, "operator");
    wait_for("a DatadogAgent", || exists(&plane, "datadogagent/datadog").then_some(()))
        .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    let edits = edit(&plane, &controller, &plane.get(NAMESPACE, "datadogagent/datadog"));
    assert!(edits > 30, "{edits}");
}

/// Others may have been given its address, whoever is behind it. An Agent has it until Collectors that come later have shown
/// what they are worth; there is no node for that.
fn the_service_that_pods_are_told_stays_the_same(plane: &ControlPlane, controller: &Process) {
    let mut first = Value::Null;
    for (mode, part, app) in [
        ("managed", "collector", json!("otel-collector")),
        ("disabled", "agent", Value::Null),
        ("managed", "agent", Value::Null),
    ] {
        ask(plane, mode, &json!({"mode": "daemonset"}));
        says(plane, controller, "AgentWithoutNode");
        let service = wait_for("the Service to be theirs", || {
            let stack = stack(plane);
            let conditions = stack["status"]["conditions"].as_array()?;
            let is_current = |one: &Value| one["observedGeneration"] == stack["metadata"]["generation"];
            let of_collector = conditions.iter().find(|one| one["type"] == "CollectorAvailable");
            let is_told = of_collector.map_or(mode == "disabled", is_current);
            let found = plane.kubectl(&["get", "-n", NAMESPACE, "service/otel-collector", "-o", "json"]).stdout;
            let found: Value = serde_json::from_str(&found).ok()?;
            (is_told && found["metadata"]["labels"]["otelgate.dev/part"] == part).then_some(found)
        })
        .unwrap_or_else(|error| panic!("{mode}: {error}; {}", controller.log()));
        let told = json!([service["metadata"]["uid"], service["spec"]["clusterIP"]]);
        assert_eq!(service["spec"]["selector"]["app"], app, "{mode}: {service:#}");
        if first.is_null() {
            first.clone_from(&told);
        }
        assert_eq!(told, first, "{mode}");
    }
}

fn ask_for_all(plane: &ControlPlane, mode: &str) {
    let features = json!({"apm": true, "processes": true, "networkMonitoring": true, "cspm": true, "cws": true});
    let agent = json!({"mode": mode, "features": features});
    ask(plane, "disabled", &agent);
}

/// By kind and name.
fn made(plane: &ControlPlane) -> BTreeMap<String, Value> {
    let list = plane.kubectl(&["get", KINDS, "-n", NAMESPACE, "-l", OURS, "-o", "json"]).json("objects");
    let named = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"])), object.clone())
    };
    list["items"].as_array().expect("a list").iter().map(named).collect()
}

/// So many fields.
fn edit(plane: &ControlPlane, controller: &Process, object: &Value) -> usize {
    let hand = Hand::on(plane, object);
    let before = hand.object();
    let edits = hand.edits(&before);
    hand.make(&before, &edits, || format!("; {}", controller.log()));
    edits.count()
}
