//! Objects of somebody else that have the names of the Collector's: neither taken over nor deleted.

use serde_json::{Value, json};

use super::places::{Cluster, plane, start};

const NAMES: [&str; 5] = [
    "lease/otel-collector-k8s-cluster",
    "networkpolicy/otel-collector",
    "rolebinding/otelgate-collector",
    "service/otel-collector",
    "serviceaccount/otel-collector",
];

/// As people make them by hand.
fn theirs() -> [Value; 2] {
    let metadata = json!({"name": "otel-collector", "namespace": "datadog", "labels": {"app": "otel-collector"}});
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
               "spec": {"selector": {"app": "otel-collector"}, "ports": [{"name": "theirs", "port": 9999}]}}),
    ]
}

/// It is under this name that a Collector is on every node, once its trial on one has passed.
#[test]
fn a_daemon_set_of_somebody_else_is_told_before_anything_is_made() {
    let plane = plane(&["otelgate", "datadog"]);
    let labels = json!({"app": "otel-collector"});
    plane.apply(&[json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "otel-collector", "namespace": "datadog", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "otel-collector", "image": "collector:1"}]},
            },
        },
    })]);
    let theirs = || plane.get("datadog", "daemonset/otel-collector");
    let before = theirs();
    let controller = start(&plane);
    let cluster = Cluster { plane: &plane, controller: &controller };
    cluster.apply(&json!({}));
    cluster.says("CollectorForeign", "DaemonSet otel-collector isn't otelgate's");
    cluster.wait_for("datadog", &[]);
    let made = plane.kubectl(&["get", "configmap", "-n", "datadog", "-l", "otelgate.dev/part=collector", "-o", "name"]);
    assert_eq!(made.expect("kubectl get"), "");
    assert_eq!(theirs(), before);

    plane.kubectl(&["delete", "-n", "datadog", "daemonset/otel-collector"]).expect("kubectl delete");
    cluster.wait_for("datadog", &NAMES);
    cluster.condition("CollectorWithoutNode");
}

#[test]
fn what_isnt_ours_is_neither_taken_over_nor_deleted() {
    let plane = plane(&["otelgate", "datadog"]);
    plane.apply(&theirs());
    let get = |name: &str| plane.get("datadog", name);
    let before = ["serviceaccount/otel-collector", "service/otel-collector"].map(get);
    // Collectors that ran before have made this one.
    let metadata = json!({"name": "otel-collector-k8s-cluster", "namespace": "datadog"});
    let spec = json!({"holderIdentity": "otel-collector-1", "leaseDurationSeconds": 15});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec});
    plane.apply(&[lease]);
    let controller = start(&plane);
    let cluster = Cluster { plane: &plane, controller: &controller };
    cluster.apply(&json!({}));
    cluster.says("CollectorForeign", "ServiceAccount otel-collector isn't otelgate's");
    assert_eq!(["serviceaccount/otel-collector", "service/otel-collector"].map(get), before);
    cluster.wait_for("datadog", &[]);
    let bindings = plane.kubectl(&["get", "clusterrolebinding", "-l", "otelgate.dev/part=collector", "-o", "name"]);
    assert_eq!(bindings.expect("kubectl get"), "", "half of a Collector would help nobody");

    cluster.apply(&json!({"collector": {"mode": "disabled"}}));
    cluster.wait("the condition to go", || {
        let stack = plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("a stack");
        let conditions = stack["status"]["conditions"].as_array()?;
        conditions.iter().all(|one| one["type"] != "CollectorAvailable").then_some(())
    });
    assert_eq!(["serviceaccount/otel-collector", "service/otel-collector"].map(get), before);

    // One after the other they go, and otelgate's come.
    cluster.apply(&json!({}));
    cluster.condition("CollectorForeign");
    plane.kubectl(&["delete", "-n", "datadog", "serviceaccount/otel-collector"]).expect("kubectl delete");
    cluster.says("CollectorForeign", "Service otel-collector isn't otelgate's");
    plane.kubectl(&["delete", "-n", "datadog", "service/otel-collector"]).expect("kubectl delete");
    cluster.wait_for("datadog", &NAMES);
    cluster.condition("CollectorWithoutNode");
    let lease = get("lease/otel-collector-k8s-cluster");
    assert_eq!(lease["metadata"]["ownerReferences"][0]["kind"], "TelemetryStack", "{lease:#}");
    assert_eq!(lease["spec"], spec, "that is its holder's");

    // What otelgate made stays its own, whatever sign of that is taken away, and by whom while nobody looks.
    let bare = json!({"metadata": {"labels": {"otelgate.dev/part": null}, "ownerReferences": null}}).to_string();
    plane.kubectl(&["patch", "-n", "datadog", "service/otel-collector", "--type=merge", "-p", &bare]).expect("a patch");
    cluster.wait_for("datadog", &NAMES);
    let owners = get("service/otel-collector")["metadata"]["ownerReferences"].clone();
    assert_eq!(owners[0]["kind"], "TelemetryStack", "{owners}");
}
