//! A Collector whose namespace and Service get other names, without nodes: what was made goes where it's told, and nothing
//! stays behind.

use std::path::Path;

use serde_json::{Value, json};

use super::super::OTELGATE;
use super::super::installed::rendered;
use crate::control_plane::network::{ADDRESS, Process};
use crate::control_plane::plane::Parts;
use crate::control_plane::{ControlPlane, Version, wait_for};

const OF_NAMESPACE: &str = "serviceaccounts,services,leases,networkpolicies,rolebindings,daemonsets,configmaps";
const PART: &str = "otelgate.dev/part=collector";

#[test]
fn what_is_told_to_be_elsewhere_moves() {
    let plane = plane(&["otelgate", "datadog", "observability"]);
    let controller = start(&plane);
    let cluster = Cluster { plane: &plane, controller: &controller };
    cluster.apply(&json!({}));
    let expected = [
        "lease/otel-collector-k8s-cluster",
        "networkpolicy/otel-collector",
        "rolebinding/otelgate-collector",
        "service/otel-collector",
        "serviceaccount/otel-collector",
    ];
    cluster.wait_for("datadog", &expected);
    cluster.condition("CollectorWithoutNode");
    let binding = cluster.binding();

    let moved = json!({"injection": {"collector": {"namespace": "observability", "service": "gateway"}}});
    cluster.apply(&moved);
    let expected = expected.map(|name| match name.split('/').next() {
        Some("service") => "service/gateway",
        Some("lease") => "lease/gateway-k8s-cluster",
        _ => name,
    });
    cluster.wait_for("observability", &expected);
    cluster.wait_for("datadog", &[]);
    let now = cluster.wait("the binding to follow", || {
        let now = cluster.binding();
        (now["subjects"][0]["namespace"] == "observability").then_some(now)
    });
    assert_eq!(now["metadata"]["uid"], binding["metadata"]["uid"], "it never went");

    what_was_left_behind_goes(&cluster);
    what_was_left_behind_is_told_where_none_is_wanted(&cluster);
    cluster.apply(&moved);
    cluster.wait_for("observability", &expected);

    nothing_goes_before_something_comes(&cluster, &moved, &expected);

    // Without the cluster's metrics, nobody has to be chosen to read them.
    let mut without = moved.clone();
    without["collector"] = json!({"metrics": {"cluster": false}});
    cluster.apply(&without);
    let expected = ["networkpolicy/otel-collector", "service/gateway", "serviceaccount/otel-collector"];
    cluster.wait_for("observability", &expected);

    // Somebody else's in its place is left alone.
    let labels = json!({"app": "theirs"});
    plane.apply(&[json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "theirs", "namespace": "observability", "labels": labels},
        "spec": {"selector": labels, "ports": [{"port": 4318}]},
    })]);
    let theirs = plane.get("observability", "service/theirs");
    let with_mode = |mode: &str| {
        let mut spec = moved.clone();
        spec["collector"] = json!({"mode": mode, "adopt": {"selector": {"matchLabels": labels}}});
        spec
    };
    cluster.apply(&with_mode("adopt"));
    nothing_is_left(&cluster);
    assert_eq!(plane.get("observability", "service/theirs"), theirs);
    cluster.apply(&without);
    cluster.wait_for("observability", &expected);

    cluster.apply(&with_mode("disabled"));
    nothing_is_left(&cluster);
}

fn nothing_is_left(cluster: &Cluster<'_>) {
    cluster.wait_for("observability", &[]);
    cluster.wait("the binding to go", || {
        let found = cluster.plane.kubectl(&["get", "clusterrolebinding", "-l", PART, "-o", "name"]);
        found.names("kubectl get").is_empty().then_some(())
    });
}

fn pod_left_in(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "left", "namespace": namespace, "labels": {"otelgate.dev/rollout": "stable"}},
        "spec": {"nodeName": "a", "containers": [{"name": "otel-collector", "image": "collector:1"}]},
    })
}

/// A controller that has moved and lost its memory knows the former place by the pods that still run there. There is no
/// garbage collector here: they stay until the test deletes them.
fn what_was_left_behind_goes(cluster: &Cluster<'_>) {
    let stack = cluster.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("a stack");
    let owner = json!([{"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default",
                        "uid": stack["metadata"]["uid"]}]);
    let map = |name: &str, owner: &Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "former",
               "labels": {"otelgate.dev/part": "collector"}, "ownerReferences": owner}})
    };
    cluster.plane.make_namespace("former", &json!({}), &json!({}));
    cluster.plane.apply(&[map("ours", &owner), map("somebody-elses", &json!([])), pod_left_in("former")]);
    // It looks when it is told another namespace.
    let elsewhere = json!({"injection": {"collector": {"namespace": "datadog", "service": "gateway"}}});
    let back = json!({"injection": {"collector": {"namespace": "observability", "service": "gateway"}}});
    cluster.apply(&elsewhere);
    cluster.condition("CollectorLeftBehind");
    cluster.wait("what is ours to go", || {
        let maps = cluster.plane.kubectl(&["get", "configmap", "-n", "former", "-l", PART, "-o", "name"]);
        (maps.expect("kubectl get").trim() == "configmap/somebody-elses").then_some(())
    });
    cluster.plane.kubectl(&["delete", "pod", "left", "-n", "former", "--force", "--grace-period=0"]).expect("kubectl");
    cluster.condition("CollectorWithoutNode");
    cluster.apply(&back);
}

/// One that runs, whoever keeps it there, while the spec wants none at all.
fn what_was_left_behind_is_told_where_none_is_wanted(cluster: &Cluster<'_>) {
    cluster.plane.apply(&[pod_left_in("former")]);
    // It looks when it is told another namespace.
    cluster.apply(&json!({"collector": {"mode": "disabled"}, "injection": {"collector": {"service": "gateway"}}}));
    cluster.says("CollectorLeftBehind", "1 pod in namespace former");
    cluster.plane.kubectl(&["delete", "pod", "left", "-n", "former", "--force", "--grace-period=0"]).expect("kubectl");
    cluster.wait("the condition to go", || {
        let stack = cluster.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("a stack");
        let conditions = stack["status"]["conditions"].as_array()?;
        conditions.iter().all(|one| one["type"] != "CollectorAvailable").then_some(())
    });
}

/// As long as nothing is begun in the next place, for a fault, say, what runs in the one before isn't left behind.
fn nothing_goes_before_something_comes(cluster: &Cluster<'_>, spec: &Value, expected: &[&str]) {
    let mut runs = pod_left_in("observability");
    runs["metadata"]["name"] = "runs".into();
    cluster.plane.apply(&[runs]);
    let uid = || cluster.plane.get("observability", "service/gateway")["metadata"]["uid"].clone();
    let before = uid();
    let mut moved = spec.clone();
    moved["injection"]["collector"]["namespace"] = "datadog".into();
    moved["collector"] = json!({"config": {"processors": {"batch": {"timeout": "1s"}}}});
    cluster.apply(&moved);
    cluster.says("CollectorSpecInvalid", "spec.collector.config.processors.batch");
    cluster.wait_for("observability", expected);
    cluster.wait_for("datadog", &[]);
    cluster.apply(spec);
    cluster.condition("CollectorWithoutNode");
    cluster.wait_for("observability", expected);
    assert_eq!(uid(), before, "it never went");
    let arguments = ["delete", "pod", "runs", "-n", "observability", "--force", "--grace-period=0"];
    cluster.plane.kubectl(&arguments).expect("kubectl");
}

/// One with those namespaces, and what a `TelemetryStack` takes.
pub fn plane(namespaces: &[&str]) -> ControlPlane {
    plane_of(Parts::ApiServer, namespaces)
}

pub fn plane_of(parts: Parts, namespaces: &[&str]) -> ControlPlane {
    let plane = ControlPlane::start(Version::Newest, parts).unwrap_or_else(|error| panic!("{error}"));
    for namespace in namespaces {
        plane.make_namespace(namespace, &json!({}), &json!({}));
    }
    let (definitions, _) = rendered(&plane, &json!({}));
    plane.apply(&definitions);
    plane.wait_until_served("telemetrystacks.otelgate.dev");
    plane
}

/// The controller, outside.
pub fn start(plane: &ControlPlane) -> Process {
    let kubeconfig = plane.network().folder().join("admin.conf");
    let arguments = [
        "controller".to_owned(),
        format!("--admin-listen={ADDRESS}:18080"),
        format!("--kubeconfig={}", kubeconfig.display()),
        "--identity=alone".to_owned(),
    ];
    plane.network().start("controller", Path::new(OTELGATE), arguments).expect("otelgate controller")
}

pub struct Cluster<'p> {
    pub plane: &'p ControlPlane,
    pub controller: &'p Process,
}

impl Cluster<'_> {
    pub fn apply(&self, spec: &Value) {
        let mut spec = spec.clone();
        spec["agent"] = json!({"mode": "disabled"});
        self.plane.apply(&[json!({
            "apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "default"}, "spec": spec,
        })]);
    }

    fn binding(&self) -> Value {
        self.plane.get("otelgate", "clusterrolebinding/otelgate-collector")
    }

    #[track_caller]
    pub fn wait<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        wait_for(what, ask).unwrap_or_else(|error| panic!("{error}; {}", self.controller.log()))
    }

    /// Until those and no others are of the Collector in the namespace.
    #[track_caller]
    pub fn wait_for(&self, namespace: &str, expected: &[&str]) {
        self.wait(&format!("{expected:?} in {namespace}"), || {
            let names = self.plane.kubectl(&["get", OF_NAMESPACE, "-n", namespace, "-l", PART, "-o", "name"]);
            let mut names = names.names("kubectl get");
            // A revision that nothing runs yet.
            names.retain(|name| !name.starts_with("configmap/"));
            names.iter().map(String::as_str).eq(expected.iter().copied()).then_some(())
        });
    }

    #[track_caller]
    pub fn condition(&self, reason: &str) {
        self.says(reason, "");
    }

    /// Until the condition has that reason, and those words.
    #[track_caller]
    pub fn says(&self, reason: &str, words: &str) {
        let is_it = |one: &Value| {
            let message = one["message"].as_str().unwrap_or_default();
            one["type"] == "CollectorAvailable" && one["reason"] == reason && message.contains(words)
        };
        let mut conditions = Value::Null;
        let said = wait_for(&format!("{reason}: {words}"), || {
            let mut stack = self.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("a stack");
            conditions = stack["status"]["conditions"].take();
            conditions.as_array()?.iter().any(is_it).then_some(())
        });
        said.unwrap_or_else(|error| panic!("{error}; {}; it says {conditions:#}", self.controller.log()));
    }
}
