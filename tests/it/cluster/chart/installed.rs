//! What `docs/install.md` and `docs/upgrade-and-remove.md` say to type, word by word, with the real Helm.

use std::path::Path;

use serde_json::{Value, json};

use super::root;
use crate::cluster::by_hand::shell_blocks;
use crate::control_plane::kubectl::Outcome;
use crate::control_plane::plane::{Parts, base64};
use crate::control_plane::programs::Helm;
use crate::control_plane::{ControlPlane, Version, wait_for};

/// Objects that are the whole cluster's, and what else can outlive a namespace.
const OF_THE_CLUSTER: &str = "crds,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,namespaces";

/// In the pages' FILE.
const KEY: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_pages_install_upgrade_and_remove_with_helm_4() {
    the_pages_install_upgrade_and_remove(Helm::Four);
}

#[test]
fn the_pages_install_upgrade_and_remove_with_helm_3() {
    the_pages_install_upgrade_and_remove(Helm::Three);
}

fn the_pages_install_upgrade_and_remove(version: Helm) {
    let plane = ControlPlane::start(Version::Newest, Parts::WithControllers).unwrap_or_else(|error| panic!("{error}"));
    let [install, ready, opt_in, gitops] = &shell_blocks(&root().join("docs/install.md"))[..] else {
        panic!("docs/install.md has other commands than this test knows")
    };
    let [upgrade, rollback, uninstall, rest, notes] = &shell_blocks(&root().join("docs/upgrade-and-remove.md"))[..]
    else {
        panic!("docs/upgrade-and-remove.md has other commands than this test knows")
    };
    plane.kubectl(&["create", "namespace", "shop"]).expect("a namespace");
    wait_for("the API server to have made its own objects", || {
        plane.kubectl(&["get", "-n", "shop", "serviceaccount", "default"]).success.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let before = names(&plane);

    run(&plane, version, install).expect("installing");
    assert_eq!(plane.get("datadog", "secret/datadog-secret")["data"], json!({"api-key": base64(KEY)}));
    say_that_it_is_ready(&plane);
    run(&plane, version, ready).expect("waiting until it is ready");
    run(&plane, version, opt_in).expect("opting in");
    let installed = generations(&plane);
    run(&plane, version, upgrade).expect("upgrading");
    assert_eq!(generations(&plane), installed, "an upgrade to the same changes nothing");
    run(&plane, version, &format!("{upgrade} --set webhook.replicas=3")).expect("upgrading with a value");
    let image =
        plane.get("otelgate", "deployment/otelgate-webhook")["spec"]["template"]["spec"]["containers"][0]["image"]
            .clone();
    assert_eq!(image, format!("REGISTRY/otelgate:{}", env!("CARGO_PKG_VERSION")), "values that were set stay");
    assert_eq!(replicas(&plane), 3);
    run(&plane, version, rollback).expect("rolling back");
    assert_eq!(replicas(&plane), 2);
    run(&plane, version, uninstall).expect("uninstalling");
    let names = ["datadog-cluster-id", "datadog-token", "datadog-leader-election"];
    let left = |name: &str| {
        let metadata = json!({"name": name, "namespace": "datadog"});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"id": "of a Cluster Agent"}})
    };
    plane.apply(&names.map(left));
    run(&plane, version, notes).expect("removing what the Cluster Agent made");
    for name in names {
        assert!(!plane.kubectl(&["get", "-n", "datadog", "configmap", name]).success, "{name}");
    }
    run(&plane, version, rest).expect("removing the rest");
    gone(&plane, &before);

    run(&plane, version, gitops).expect("installing by GitOps");
    let applied = generations(&plane);
    // As a pipeline does it: over and over.
    let last = gitops.find("helm template").expect("it applies what Helm renders");
    run(&plane, version, &gitops[last..]).expect("applying again");
    assert_eq!(generations(&plane), applied);
}

#[track_caller]
fn run(plane: &ControlPlane, version: Helm, script: &str) -> Outcome {
    let helm = version.path().unwrap_or_else(|error| panic!("{error}"));
    let folder = helm.parent().expect("it is in a folder");
    let key = plane.network().folder().join("key");
    std::fs::write(&key, KEY).expect("a file");
    let script = script.replace("=FILE", &format!("={}", key.display()));
    let script = format!("cd '{}'\n{script}", root().display());
    plane.tool(Path::new("bash"), &[folder], &["-euo", "pipefail", "-c", &script], "")
}

/// In place of the controller, which has no node to run on here.
#[track_caller]
fn say_that_it_is_ready(plane: &ControlPlane) {
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Tested", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let status = json!({"status": {"conditions": [condition]}}).to_string();
    let arguments = ["patch", "telemetrystack", "default", "--subresource=status", "--type=merge", "-p", &status];
    plane.kubectl(&arguments).expect("a status");
}

fn replicas(plane: &ControlPlane) -> Value {
    plane.get("otelgate", "deployment/otelgate-webhook")["spec"]["replicas"].clone()
}

/// Generations of everything that the chart brings and whose generation moves with what is asked for.
#[track_caller]
fn generations(plane: &ControlPlane) -> Vec<String> {
    let kinds = "deployments,networkpolicies,poddisruptionbudgets,telemetrystacks,mutatingwebhookconfigurations,crds";
    let path = "{range .items[*]}{.kind}/{.metadata.name} {.metadata.generation}{\"\\n\"}{end}";
    let output = format!("jsonpath={path}");
    let lines = plane.kubectl(&["get", "-n", "otelgate", kinds, "-o", &output]).expect("objects");
    lines.lines().map(str::to_owned).collect()
}

#[track_caller]
fn names(plane: &ControlPlane) -> Vec<String> {
    let lines = plane.kubectl(&["get", OF_THE_CLUSTER, "-o", "name"]).expect("names");
    lines.lines().map(str::to_owned).collect()
}

#[track_caller]
fn gone(plane: &ControlPlane, before: &[String]) {
    wait_for("everything to be gone", || (names(plane) == before).then_some(()))
        .unwrap_or_else(|error| panic!("{error}: {:?}", names(plane)));
}
