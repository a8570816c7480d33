//! The Datadog Agent through a real API server and a real controller-manager, and with the real Datadog Operator.
//!
//! The Agent itself isn't there: its images come from a registry. Nodes are objects, and a test says how the pods are.

mod edited;
mod left;
mod objects;
mod operator;
mod own;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use crate::control_plane::network::{ADDRESS, Process};
use crate::control_plane::plane::Parts;
use crate::control_plane::{ControlPlane, SOON, Version, wait_for, wait_within};

const NAMESPACE: &str = "datadog";
/// Of the controller's second port.
const PORT: u16 = 18_080;
/// Of everything that an Agent may take, whoever makes it.
const KINDS: &str = "daemonsets,deployments,services,serviceaccounts,secrets,configmaps,leases,roles,rolebindings,\
                     clusterroles,clusterrolebindings,networkpolicies,poddisruptionbudgets";
/// On what the controller makes by itself.
const OURS: &str = "otelgate.dev/part=agent";

/// A cluster with the definition of the `TelemetryStack`, its namespaces and the key, and no node.
#[track_caller]
fn cluster() -> ControlPlane {
    let plane = ControlPlane::start(Version::Newest, Parts::WithControllers).unwrap_or_else(|error| panic!("{error}"));
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/crds/telemetrystacks.yaml");
    let file = definition.display().to_string();
    plane.kubectl(&["apply", "--server-side", "-f", &file]).expect("the CRD");
    plane.wait_until_served("telemetrystacks.otelgate.dev");
    plane.make_namespace("otelgate", &json!({}), &json!({}));
    plane.make_namespace(NAMESPACE, &json!({}), &json!({}));
    plane.apply(&[key("0123")]);
    plane
}

fn key(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "datadog-secret", "namespace": NAMESPACE},
        "stringData": {"api-key": value}})
}

#[track_caller]
fn start_controller(plane: &ControlPlane, name: &str) -> Process {
    let admin = plane.network().folder().join("admin.conf");
    let arguments = [
        "controller".to_owned(),
        format!("--admin-listen={ADDRESS}:{PORT}"),
        format!("--kubeconfig={}", admin.display()),
        format!("--identity={name}"),
    ];
    plane.network().start(name, Path::new(OTELGATE), arguments).expect("otelgate controller")
}

/// With this under `spec.agent`; the Collector is another's business.
#[track_caller]
fn ask_for(plane: &ControlPlane, agent: &Value) {
    ask(plane, "adopt", agent);
}

/// And with the Collector's mode.
#[track_caller]
fn ask(plane: &ControlPlane, collector: &str, agent: &Value) {
    apply_stack(plane, &json!({"collector": {"mode": collector}, "agent": agent}));
}

/// With what every stack here has.
#[track_caller]
fn apply_stack(plane: &ControlPlane, spec: &Value) {
    let mut spec = spec.clone();
    spec["injection"]["clusterName"] = json!("prod-eu1");
    spec["agent"]["tolerations"] = json!([{"operator": "Exists"}]);
    plane.apply(&[json!({
        "apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "default"}, "spec": spec,
    })]);
}

fn stack(plane: &ControlPlane) -> Value {
    plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("the TelemetryStack")
}

/// Waits until the condition says that of the newest spec, and gives its message.
#[track_caller]
fn says(plane: &ControlPlane, controller: &Process, expected: &str) -> String {
    let mut last = Value::Null;
    // Longer than the operator is given.
    for _ in 0..2 {
        let found = wait_for(expected, || {
            let stack = stack(plane);
            let conditions = stack["status"]["conditions"].as_array().cloned().unwrap_or_default();
            last = conditions.into_iter().find(|one| one["type"] == "AgentAvailable").unwrap_or_default();
            let current = last["observedGeneration"] == stack["metadata"]["generation"];
            (current && last["reason"] == expected).then(|| last["message"].as_str().unwrap_or_default().to_owned())
        });
        if let Ok(message) = found {
            return message;
        }
    }
    panic!("waited for {expected}: {last:#}; {}", controller.log());
}

/// Waits until the message begins like that as well.
#[track_caller]
fn says_so(plane: &ControlPlane, controller: &Process, expected: &str, words: &str) {
    let mut last = String::new();
    wait_for(words, || {
        last = says(plane, controller, expected);
        last.starts_with(words).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {last}; {}", controller.log()));
}

/// Has so many Agents be well, and the Cluster Agent too where all are: whatever is rolled out meanwhile.
#[track_caller]
fn run_until(plane: &ControlPlane, controller: &Process, ready: usize, nodes: usize) {
    let mut last = Value::Null;
    wait_for("Agents to be ready", || {
        let mut well = 0;
        for pod in found(plane, "agent") {
            if is_ready(&pod) || (well < ready && run(plane, &pod)) {
                well += 1;
            }
        }
        if ready == nodes {
            found(plane, "cluster-agent").iter().filter(|pod| !is_ready(pod)).for_each(|pod| {
                run(plane, pod);
            });
        }
        last = stack(plane)["status"]["agent"].clone();
        (last["nodes"] == format!("{ready}/{nodes}")).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {last:#}; {}", controller.log()));
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// Waits until something of the status is so.
#[track_caller]
fn status(plane: &ControlPlane, controller: &Process, pointer: &str, expected: &Value) {
    let mut last = Value::Null;
    wait_for(pointer, || {
        last = stack(plane)["status"].clone();
        (last.pointer(pointer) == Some(expected)).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {expected}, not {last:#}; {}", controller.log()));
}

#[track_caller]
fn add_nodes(plane: &ControlPlane, names: &[&str]) {
    let node = |name: &&str| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
            "kubernetes.io/os": "linux", "kubernetes.io/hostname": name}}})
    };
    plane.apply(&names.iter().map(node).collect::<Vec<_>>());
    for name in names {
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "", "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}, "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"}}});
        plane
            .kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &ready.to_string()])
            .expect("a node's status");
    }
}

/// The pods of a component that aren't about to end, by name.
fn found(plane: &ControlPlane, component: &str) -> Vec<Value> {
    let label = format!("agent.datadoghq.com/component={component}");
    let list = plane.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", &label, "-o", "json"]).json("pods");
    let mut pods = list["items"].as_array().cloned().unwrap_or_default();
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    pods.sort_by_key(|pod| pod["metadata"]["name"].as_str().map(ToOwned::to_owned));
    pods
}

/// The pods of a component, once there are so many.
#[track_caller]
fn pods(plane: &ControlPlane, component: &str, count: usize) -> Vec<Value> {
    let mut last = Vec::new();
    wait_for("pods", || {
        last = found(plane, component);
        (last.len() == count).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {count} of {component}, not {}", last.len()));
    last
}

/// Says how a pod is: each of its containers in this state.
/// False for one that has gone.
fn be(plane: &ControlPlane, pod: &Value, ready: bool, state: &Value) -> bool {
    let containers = pod["spec"]["containers"].as_array().expect("containers");
    let status = |container: &Value| {
        let mut status = state.clone();
        status["name"] = container["name"].clone();
        status["image"] = container["image"].clone();
        status["imageID"] = json!("");
        for (field, untold) in [("ready", json!(ready)), ("started", json!(ready)), ("restartCount", json!(0))] {
            if status[field].is_null() {
                status[field] = untold;
            }
        }
        status
    };
    let holds = if ready { "True" } else { "False" };
    let now = "2026-01-01T00:00:00Z";
    let patch = json!({"status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": holds, "lastTransitionTime": now},
                       {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}],
        "containerStatuses": containers.iter().map(status).collect::<Vec<_>>(),
    }});
    let name = pod["metadata"]["name"].as_str().expect("a name");
    let patch = patch.to_string();
    let arguments = ["patch", "pod", "-n", NAMESPACE, name, "--subresource=status", "--type=merge", "-p", &patch];
    plane.kubectl(&arguments).success
}

/// Well.
fn run(plane: &ControlPlane, pod: &Value) -> bool {
    be(plane, pod, true, &json!({"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}))
}

/// Whether there is such an object.
fn exists(plane: &ControlPlane, object: &str) -> bool {
    plane.kubectl(&["get", "-n", NAMESPACE, object]).success
}

/// Kinds and names of what has that label, wherever it is.
#[track_caller]
fn labelled(plane: &ControlPlane, label: &str) -> BTreeSet<String> {
    plane.kubectl(&["get", KINDS, "-A", "-l", label, "-o", "name"]).names("kubectl get")
}

/// Waits until these have that label, and nothing else has.
#[track_caller]
fn wait_until_labelled(plane: &ControlPlane, maker: &Process, label: &str, expected: &[&str]) {
    let expected: BTreeSet<_> = expected.iter().map(|&name| name.to_owned()).collect();
    let mut last = BTreeSet::new();
    wait_for(label, || {
        last = labelled(plane, label);
        (last == expected).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {expected:?}, not {last:?}; {}", maker.log()));
}

/// Deletes it, and waits until there is another of its name.
#[track_caller]
fn is_made_again(plane: &ControlPlane, controller: &Process, object: &str) {
    let before = plane.get(NAMESPACE, object)["metadata"]["uid"].clone();
    plane.kubectl(&["delete", "-n", NAMESPACE, object, "--wait=false"]).expect("kubectl delete");
    wait_within(SOON, "it to be back", || {
        let now = plane.kubectl(&["get", "-n", NAMESPACE, object, "-o", "jsonpath={.metadata.uid}"]).stdout;
        (!now.is_empty() && before != now).then_some(())
    })
    .unwrap_or_else(|error| panic!("{object}: {error}; {}", controller.log()));
}

#[track_caller]
fn wait_until_gone(plane: &ControlPlane, controller: &Process, object: &str) {
    wait_for("it to go", || (!exists(plane, object)).then_some(()))
        .unwrap_or_else(|error| panic!("{object}: {error}; {}", controller.log()));
}

/// A file for kubectl.
fn write(plane: &ControlPlane, name: &str, text: &str) -> String {
    let path = plane.network().folder().join(name);
    fs::write(&path, text).expect("a file");
    path.display().to_string()
}
