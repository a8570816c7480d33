//! What is taken away, what stays, and what else might have happened before.

use std::path::Path;

use serde_json::json;

use super::person::{ALONE, Person, listing};
use super::{KEY, OTELGATE, whole};
use crate::control_plane::ControlPlane;
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::chart;
use crate::control_plane::wait_for;

/// Where nobody can be asked, nothing is done without `--yes`.
pub fn asks_first(plane: &ControlPlane, person: &Person<'_>) {
    let before = with_no_pod_on_its_way(plane);
    let told = person.run(&["cleanup"]);
    told.assert_fails(64, &["nobody can be asked here", "next: give --yes"]);
    assert!(told.stdout.contains("Secret otelgate/otelgate-ca"), "{}", told.stdout);
    listing::assert_same(&before, &listing::now(plane), "nothing is removed without an answer");
}

/// A replica that was replaced takes its time to end, for whatever reason it goes.
fn with_no_pod_on_its_way(plane: &ControlPlane) -> listing::Listing {
    wait_for("replaced pods to be gone", || {
        let pods = plane.kubectl(&["get", "pods", "--all-namespaces", "-o", "json"]).json("pods");
        let pods = pods["items"].as_array().expect("a list");
        pods.iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_null()).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    listing::now(plane)
}

/// On a terminal there is somebody to ask, and no is the answer to nothing.
pub fn takes_no_for_an_answer(plane: &ControlPlane, person: &Person<'_>) {
    let before = with_no_pod_on_its_way(plane);
    for answer in ["n\n", "\n"] {
        let told = person.on_a_terminal("cleanup", answer);
        assert!(told.stdout.contains("Remove all of this? [y/N] "), "{}", told.stdout);
        assert!(told.stdout.contains("Nothing was removed."), "{}", told.stdout);
        assert_eq!(told.code, Some(1));
    }
    listing::assert_same(&before, &listing::now(plane), "nothing is removed after a no");
}

/// By plain Helm, over an older definition, and away again by Helm; then the rest, without a Helm.
#[test]
fn what_helm_installed_is_updated_and_what_it_leaves_is_removed() {
    let plane = whole();
    let _nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let before = listing::settled(&plane);
    let old = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "telemetrystacks.otelgate.dev"},
        "spec": {"group": "otelgate.dev", "scope": "Cluster",
                 "names": {"kind": "TelemetryStack", "plural": "telemetrystacks", "singular": "telemetrystack",
                           "listKind": "TelemetryStackList"},
                 "versions": [{"name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                               "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                                   "spec": {"type": "object", "properties": {"gone": {"type": "string"}},
                                            "x-kubernetes-preserve-unknown-fields": true},
                                   "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}]},
    });
    plane.kubectl_with(&["create", "-f", "-"], &old.to_string()).expect("kubectl create");
    let chart = chart();
    let chart = chart.to_str().expect("UTF-8");
    let install = [
        "install",
        "gate",
        chart,
        "--namespace",
        "otelgate",
        "--create-namespace",
        "--set=webhook.replicas=1",
        "--skip-crds",
    ];
    plane.kubectl(&["create", "namespace", "datadog"]).expect("kubectl create");
    plane.helm(Helm::Four, &[&install[..], &ALONE].concat()).expect("helm install");

    let person = Person::new(&plane, Some(Helm::Four));
    let told = person.run(&["update", "--timeout=4m"]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("-v1alpha1.spec.gone"), "{}", told.stdout);
    assert!(told.stdout.contains("upgrade  Helm release otelgate/gate"), "{}", told.stdout);
    assert!(told.stdout.contains("kubectl label namespace otelgate --overwrite"), "{}", told.stdout);
    let served = plane.get("", "crd/telemetrystacks.otelgate.dev");
    let spec = &served["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert!(spec["gone"].is_null() && spec["injection"].is_object(), "{spec}");

    let namespace =
        |plane: &ControlPlane| plane.kubectl(&["get", "secrets,configmaps", "-n", "otelgate", "-o", "name"]).stdout;
    assert!(namespace(&plane).contains("secret/otelgate-ca"));
    plane.helm(Helm::Four, &["uninstall", "gate", "--namespace", "otelgate"]).expect("helm uninstall");
    // By the garbage collector: everything that has the TelemetryStack as its owner.
    wait_for("everything that is owned to be gone", || {
        let left = namespace(&plane);
        (!left.contains("otelgate-") && !left.contains("sh.helm")).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", namespace(&plane)));
    assert!(!plane.kubectl(&["get", "telemetrystacks", "-o", "name"]).stdout.contains("default"));

    let alone = Person::new(&plane, None);
    let told = alone.run(&["cleanup", "--yes", "--timeout=4m"]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    plane
        .kubectl(&["delete", "namespace", "otelgate", "datadog"])
        .expect("neither was made by otelgate, and both stay");
    listing::wait_for_same(&before, &plane, &told.stdout);
}

/// Without Helm, with a release in the middle of being made, and with things of others in between.
#[test]
fn what_is_half_there_is_removed_without_helm_and_what_is_foreign_stays() {
    let plane = whole();
    let _nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let before = listing::settled(&plane);
    let person = Person::new(&plane, Some(Helm::Three)).with_key(KEY);
    let told = person.run(&["deploy", "--set=webhook.replicas=1", "--timeout=4m"]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    for name in ["deployment/otelgate-webhook", "service/otelgate-webhook", "serviceaccount/otelgate-controller"] {
        plane.kubectl(&["delete", "-n", "otelgate", name]).expect("kubectl delete");
    }
    let foreign =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "namespace": "datadog"}});
    plane.apply(&[foreign]);

    let alone = Person::new(&plane, None);
    let told = alone.run(&["cleanup", "--yes", "--timeout=4m", "-o", "json"]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    let report = told.json();
    assert_eq!(report["leave"][0]["object"], "Namespace datadog", "{report}");
    assert_eq!(report["leave"][0]["why"], "ConfigMap mine in it isn't otelgate's", "{report}");
    assert!(told.stderr.contains("its records in Secrets and ConfigMaps are deleted without it"), "{}", told.stderr);
    plane.get("datadog", "configmap/mine");
    assert!(!plane.kubectl(&["get", "-n", "datadog", "secret/datadog-secret"]).success);
    plane.kubectl(&["delete", "-n", "datadog", "configmap/mine"]).expect("kubectl delete");
    // What Collectors and Cluster Agents make for themselves.
    let metadata = |name: &str| json!({"name": name, "namespace": "datadog"});
    let lease =
        |name: &str| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata(name)});
    let notes = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name)});
    plane.apply(&[
        lease("otel-collector-k8s-cluster"),
        lease("datadog-leader-election"),
        notes("datadog-cluster-id"),
        notes("datadogtoken"),
        notes("datadog-token"),
        notes("datadog-leader-election"),
    ]);
    let told = alone.run(&["cleanup", "--yes"]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    listing::wait_for_same(&before, &plane, &told.stdout);
}
