//! Where Collectors may be: what the API server's admission refuses, and which nodes are asked for one, both by the real
//! controller-manager. Nothing runs on the nodes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::places::{Cluster, plane_of, start};
use crate::control_plane::ControlPlane;
use crate::control_plane::plane::Parts;

const TIME: &str = "2026-01-01T00:00:00Z";

/// A node that is ready, with such labels and taints beside those of Linux.
fn add_node(plane: &ControlPlane, name: &str, os: &str, taints: &Value) {
    plane.apply(&[json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": os, "kubernetes.io/hostname": name}},
        "spec": {"taints": taints},
    })]);
    let room = json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
    let ready = json!({"status": {
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                        "lastHeartbeatTime": TIME, "lastTransitionTime": TIME}],
        "allocatable": room, "capacity": room,
    }});
    plane
        .kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &ready.to_string()])
        .expect("a node's status");
}

#[test]
fn pods_that_are_refused_are_told_of_in_the_api_servers_words() {
    let plane = plane_of(Parts::WithControllers, &["otelgate", "datadog", "crowded"]);
    add_node(&plane, "linux", "linux", &json!([]));
    let label = |level: &str| {
        let label = format!("pod-security.kubernetes.io/enforce={level}");
        plane.kubectl(&["label", "--overwrite", "namespace", "datadog", &label]).expect("kubectl label");
    };
    label("restricted");
    plane.apply(&[
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": "crowded"},
                         "spec": {"hard": {"pods": "0"}}}),
    ]);
    let controller = start(&plane);
    let cluster = Cluster { plane: &plane, controller: &controller };
    cluster.apply(&json!({}));
    cluster.says("CollectorPodRefused", "1 of 1 node: linux (");
    cluster.says("CollectorPodRefused", "is forbidden: violates PodSecurity \"restricted:latest\": ");
    cluster.says("CollectorPodRefused", "hostPath");

    cluster.apply(&json!({"injection": {"collector": {"namespace": "crowded"}}}));
    cluster.says("CollectorPodRefused", "exceeded quota: full, requested: pods=1, used: pods=0, limited: pods=0");

    // What its message says to do is enough.
    cluster.apply(&json!({}));
    cluster.says("CollectorPodRefused", "violates PodSecurity");
    label("privileged");
    cluster.wait("a pod", || (!pods(&plane).is_empty()).then_some(()));
    cluster.wait("the refusal to be over", || {
        let stack = plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("a stack");
        let conditions = stack["status"]["conditions"].as_array()?;
        let of_collector = conditions.iter().find(|one| one["type"] == "CollectorAvailable")?;
        (of_collector["reason"] != "CollectorPodRefused").then_some(())
    });
}

/// The node affinity of the pods, the verdict, and the `DaemonSet` controller.
#[test]
fn all_agree_on_which_nodes_have_a_collector() {
    let plane = plane_of(Parts::Whole, &["otelgate", "datadog"]);
    let taint = |key: &str, effect: &str| json!([{"key": key, "value": "yes", "effect": effect}]);
    add_node(&plane, "plain", "linux", &json!([]));
    add_node(&plane, "windows", "windows", &json!([]));
    add_node(&plane, "dedicated", "linux", &taint("dedicated", "NoSchedule"));
    add_node(&plane, "locked", "linux", &taint("locked", "NoExecute"));
    add_node(&plane, "shunned", "linux", &taint("shunned", "PreferNoSchedule"));
    plane.kubectl(&["cordon", "shunned"]).expect("kubectl cordon");
    let controller = start(&plane);
    let cluster = Cluster { plane: &plane, controller: &controller };
    for (tolerations, expected) in [
        (json!([{"operator": "Exists"}]), &["dedicated", "locked", "plain", "shunned"][..]),
        (json!([{"key": "dedicated", "value": "yes", "effect": "NoSchedule"}]), &["dedicated", "plain", "shunned"]),
    ] {
        let wanted: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        cluster.apply(&json!({"collector": {"tolerations": tolerations}}));
        let ready = format!("{0}/{0}", wanted.len());
        let mut last = Value::Null;
        // Twice as long as others are waited for: one node is tried first, for a while.
        let is_so = || {
            for pod in pods(&plane) {
                run(&plane, &pod);
            }
            last = plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("a stack")["status"].take();
            let set = plane.kubectl(&["get", "-n", "datadog", "daemonset/otel-collector", "-o", "json"]).stdout;
            let set: Value = serde_json::from_str(&set).ok()?;
            let on: BTreeSet<String> = pods(&plane).iter().filter_map(node_of).collect();
            let conditions = last["conditions"].as_array()?;
            let said = conditions.iter().find(|one| one["type"] == "CollectorAvailable")?;
            (said["reason"] == "CollectorOnEveryNode"
                && last["collector"]["ready"] == ready.as_str()
                && set["status"]["desiredNumberScheduled"] == wanted.len()
                && set["status"]["numberMisscheduled"] == 0
                && on == wanted)
                .then_some(())
        };
        cluster.wait(&format!("Collectors on {expected:?}"), is_so);
    }
}

fn pods(plane: &ControlPlane) -> Vec<Value> {
    let list = plane.kubectl(&["get", "pods", "-n", "datadog", "-l", "app=otel-collector", "-o", "json"]).json("pods");
    let mut pods = list["items"].as_array().cloned().unwrap_or_default();
    for pod in pods.iter().filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null()) {
        // No kubelet says that it has ended.
        let name = pod["metadata"]["name"].as_str().expect("a name");
        plane.kubectl(&["delete", "pod", "-n", "datadog", name, "--force", "--grace-period=0"]);
    }
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    pods
}

fn node_of(pod: &Value) -> Option<String> {
    pod["spec"]["nodeName"].as_str().map(ToOwned::to_owned)
}

/// Says that a pod is well, once it has a node.
fn run(plane: &ControlPlane, pod: &Value) {
    if node_of(pod).is_none() || pod["status"]["phase"] == "Running" {
        return;
    }
    let name = pod["metadata"]["name"].as_str().expect("a name");
    let status = json!({"status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": TIME},
                       {"type": "PodScheduled", "status": "True", "lastTransitionTime": TIME}],
        "containerStatuses": [{"name": "otel-collector", "image": "", "imageID": "", "ready": true, "started": true,
                               "restartCount": 0, "state": {"running": {"startedAt": TIME}}}],
    }});
    // It may have gone meanwhile.
    let patch =
        ["patch", "pod", "-n", "datadog", name, "--subresource=status", "--type=merge", "-p", &status.to_string()];
    plane.kubectl(&patch);
}
