//! What is in the cluster, as long and as full as it is in a real one.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::cluster::{OfNode, TELEMETRY};
use super::daemon_sets::Runs;

/// A Deployment's pod with three containers and thirty variables, as long as such a pod is; one that was missed has no hash.
pub fn pod(index: usize, namespace: &str, hash: Option<&str>, version: u64, whole: bool) -> String {
    static TEMPLATES: LazyLock<[String; 4]> =
        LazyLock::new(|| [(false, false), (false, true), (true, false), (true, true)].map(template_of_pod));
    let template = &TEMPLATES[2 * usize::from(hash.is_some()) + usize::from(whole)];
    let (index, version) = (format!("{index:06}"), version.to_string());
    let words =
        [("index", &*index), ("namespace", namespace), ("version", &version), ("hash", hash.unwrap_or_default())];
    filled(template, &words)
}

fn template_of_pod((marked, whole): (bool, bool)) -> String {
    let mut labels = json!({"app": "web", "pod-template-hash": "5d9f7c6b8"});
    let mut annotations = json!({"cni.projectcalico.org/podIP": "10.128.12.34/32"});
    if marked {
        labels["otelgate.dev/config"] = json!("@hash@");
        annotations["otelgate.dev/status"] = json!(status("@hash@"));
    }
    let metadata = json!({
        "name": "web-5d9f7c6b8-@index@", "generateName": "web-5d9f7c6b8-", "namespace": "@namespace@",
        "uid": "6f0c2b7e-0000-4000-8000-000000@index@", "resourceVersion": "@version@",
        "creationTimestamp": if marked { "2026-03-01T10:00:00Z" } else { "2026-11-01T10:00:00Z" },
        "labels": labels, "annotations": annotations,
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9f7c6b8",
            "uid": "6f0c2b7e-0000-4000-a000-000000000001", "controller": true, "blockOwnerDeletion": true}],
        "managedFields": managed(),
    });
    let mut pod = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
    if whole {
        pod["kind"] = json!("Pod");
        pod["apiVersion"] = json!("v1");
        let env: Vec<Value> = (0..30)
            .map(|number| json!({"name": format!("VARIABLE_{number}"), "value": "a value of some length"}))
            .collect();
        let container = |name: &str| json!({"name": name, "image": "registry.example.com/shop/web:1.2.3", "env": env});
        pod["spec"] = json!({"containers": [container("app"), container("proxy"), container("cache")]});
        pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    }
    pod.to_string()
}

/// A text in which each word between two `@` is replaced: where nothing is optimised, to make a hundred thousand objects one
/// by one takes minutes.
fn filled(template: &str, words: &[(&str, &str)]) -> String {
    let piece = |(at, piece)| match words.iter().find(|(word, _)| at % 2 == 1 && *word == piece) {
        Some((_, value)) => *value,
        None => piece,
    };
    template.split('@').enumerate().map(piece).collect()
}

pub fn pod_name(index: usize) -> String {
    format!("web-5d9f7c6b8-{index:06}")
}

pub fn namespace_name(index: usize) -> String {
    format!("team-{index:04}")
}

pub fn namespace(index: usize) -> Value {
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {
        "name": namespace_name(index), "uid": format!("6f0c2b7e-0000-4000-b000-{index:012}"), "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T10:00:00Z", "labels": {"otelgate.dev/inject": "enabled"},
        "managedFields": [{"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T10:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {"f:otelgate.dev/inject": {}}}}}],
    }})
}

pub fn node(index: usize) -> String {
    static TEMPLATE: LazyLock<String> = LazyLock::new(|| {
        let node = json!({"kind": "Node", "apiVersion": "v1", "metadata": {
            "name": "node-@index@", "uid": "6f0c2b7e-0000-4000-c000-00000000@index@", "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T10:00:00Z",
            "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}, "managedFields": managed(),
        }, "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        node.to_string()
    });
    filled(&TEMPLATE, &[("index", &format!("{index:04}"))])
}

/// A pod of a `DaemonSet`, as long as such a pod is, its metrics on this machine.
pub fn pod_of_node(of: OfNode, node: usize, runs: &Runs, version: u64) -> String {
    static TEMPLATES: LazyLock<[String; 2]> =
        LazyLock::new(|| [OfNode::Collector, OfNode::Agent].map(template_of_pod_of_node));
    let template = &TEMPLATES[usize::from(of == OfNode::Agent)];
    let (node, version) = (format!("{node:04}"), version.to_string());
    let generation = runs.generation.to_string();
    let uid = format!("{:03}-00000000{node}", runs.generation);
    let words = [
        ("node", &*node),
        ("version", &version),
        ("generation", &generation),
        ("uid", &uid),
        ("rollout", &runs.rollout),
        ("revision", &runs.revision),
    ];
    filled(template, &words)
}

fn template_of_pod_of_node(of: OfNode) -> String {
    let (key, value) = of.label();
    let env: Vec<Value> = (0..20)
        .map(|number| json!({"name": format!("VARIABLE_{number}"), "value": "a value of some length"}))
        .collect();
    let volumes: Vec<Value> = (0..8)
        .map(|number| json!({"name": format!("volume-{number}"), "hostPath": {"path": format!("/var/lib/{number}")}}))
        .collect();
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": format!("{value}-@node@-@generation@"), "namespace": TELEMETRY, "resourceVersion": "@version@",
            "uid": "6f0c2b7e-0000-4000-d@uid@", "creationTimestamp": "2026-03-01T10:00:00Z",
            "labels": {key: value, "app.kubernetes.io/name": value, "controller-revision-hash": "5d9f7c6b@generation@",
                "otelgate.dev/rollout": "@rollout@", "otelgate.dev/revision": "@revision@"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": value,
                "uid": "6f0c2b7e-0000-4000-a000-000000000002", "controller": true, "blockOwnerDeletion": true}],
            "managedFields": managed(),
        },
        "spec": {
            "nodeName": "node-@node@", "volumes": volumes,
            "containers": [{"name": value, "image": "registry.example.com/telemetry/of-a-node:1.2.3", "env": env}],
        },
        "status": {
            "phase": "Running", "podIP": "127.0.0.1",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"},
            ],
            "containerStatuses": [{"name": value, "image": "registry.example.com/telemetry/of-a-node:1.2.3", "imageID": "",
                "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-03-01T10:00:00Z"}}}],
        },
    });
    pod.to_string()
}

/// What an injected pod's status annotation is like.
fn status(hash: &str) -> String {
    let names = [
        "OTEL_SERVICE_NAME",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTELGATE_POD_NAME",
        "OTELGATE_POD_UID",
        "OTELGATE_NODE_NAME",
    ];
    let set: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!("0a1b2c3d"))).collect();
    let container = json!({"was": "filled", "set": set});
    json!({"version": "0.1.0", "decision": "inject", "config": hash,
        "containers": {"app": container, "proxy": container, "cache": container}})
    .to_string()
}

/// What the controllers and the kubelet leave on a pod of that size.
fn managed() -> Value {
    let env: serde_json::Map<String, Value> = (0..30)
        .map(|number| (format!("k:{{\"name\":\"VARIABLE_{number}\"}}"), json!({".": {}, "f:name": {}, "f:value": {}})))
        .collect();
    let container =
        json!({".": {}, "f:env": env, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {}});
    json!([
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-03-01T10:00:00Z",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": container, "k:{\"name\":\"proxy\"}": container, "k:{\"name\":\"cache\"}": container}}}},
        {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-03-01T10:00:05Z", "subresource": "status",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {"f:conditions": {"k:{\"type\":\"Ready\"}": {".": {}, "f:status": {}}}}}},
    ])
}
