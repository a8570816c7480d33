//! `otelgate check` and `otelgate status` against an installed chart: faults are planted into it one at a time.

mod faults;
mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::OTELGATE;
use super::installed::wait_until_in_force;
use crate::control_plane::kubectl::Outcome;
use crate::control_plane::plane::{Parts, base64};
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::Release;
use crate::control_plane::{ControlPlane, Version, wait_for};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// One cluster for all of it: installing takes longer than a check.
#[test]
fn an_installed_chart_is_checked_and_shown() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let nobody = nobody(&plane);
    the_way_is_clear_before_it(&plane, &nobody);

    surroundings(&plane);
    a_key_that_is_none_is_found_before_it(&plane);
    let release = Release::install(&nodes, Helm::Four, &json!({"injection": {"clusterName": "test"}}));
    wait_until_in_force(&nodes);
    settles(&plane, &[]);
    a_missing_right_never_passes(&plane, &nobody);
    terminal::tables_fit(&plane);
    pods_are_counted(&plane);
    a_watch_shows_it_again(&plane);
    faults::each_is_found_alone(&plane);
    release.uninstall();
}

fn admin(plane: &ControlPlane) -> PathBuf {
    plane.kubectl_environment().1.to_owned()
}

/// A user who is known, and may do nothing.
fn nobody(plane: &ControlPlane) -> PathBuf {
    plane.kubeconfig_for("nobody", "nobody", None).unwrap_or_else(|error| panic!("{error}"))
}

fn otelgate(plane: &ControlPlane, kubeconfig: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(OTELGATE);
    command.args(arguments).env("KUBECONFIG", kubeconfig);
    plane.network().inside(|| Outcome::of(&mut command, ""))
}

/// The report, whatever its exit code.
#[track_caller]
fn report(plane: &ControlPlane, kubeconfig: &Path, arguments: &[&str]) -> Value {
    let outcome = otelgate(plane, kubeconfig, &[&["check", "-o", "json"], arguments].concat());
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    let all_passed = report["failed"] == 0 && report["unknown"] == 0;
    assert_eq!(outcome.success, all_passed, "{outcome:?}");
    report
}

/// Names of the checks that fail, with what they found.
fn failed(report: &Value) -> Vec<(String, String)> {
    let checks = report["checks"].as_array().expect("checks").iter().filter(|one| one["result"] == "fail");
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    checks
        .map(|one| {
            assert_ne!(one["nextStep"], Value::Null, "{one}");
            (text(one, "check"), text(one, "found"))
        })
        .collect()
}

/// Waits until exactly these checks fail; controllers and caches take their time.
#[track_caller]
fn settles(plane: &ControlPlane, expected: &[(&str, &str)]) {
    let kubeconfig = admin(plane);
    let mut last = Value::Null;
    wait_for("the faults that are planted, and no others", || {
        last = report(plane, &kubeconfig, &[]);
        let failed = failed(&last);
        let matches = failed.len() == expected.len()
            && failed
                .iter()
                .zip(expected)
                .all(|((name, found), (check, words))| name == check && found.contains(words));
        matches.then_some(())
    })
    .unwrap_or_else(|error| panic!("{expected:?}: {error}: {:#?}", failed(&last)));
}

fn the_way_is_clear_before_it(plane: &ControlPlane, nobody: &Path) {
    let before = report(plane, &admin(plane), &["--pre"]);
    assert_eq!((&before["failed"], &before["unknown"]), (&json!(0), &json!(0)), "{before:#}");
    let before = report(plane, nobody, &["--pre"]);
    let failed = failed(&before);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].0, "install-rights");
    assert!(failed[0].1.contains("create customresourcedefinitions.apiextensions.k8s.io"), "{failed:?}");
}

/// What the pods send to, whom they belong to, and the key.
fn surroundings(plane: &ControlPlane) {
    plane.make_namespace("datadog", &json!({"pod-security.kubernetes.io/enforce": "privileged"}), &json!({}));
    plane.make_namespace("shop", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    plane.apply(&[
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "otel-collector", "namespace": "datadog"},
               "spec": {"selector": {"app": "otel-collector"},
                        "ports": [{"name": "grpc", "port": 4317}, {"name": "http", "port": 4318}]}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "datadog-secret", "namespace": "datadog"},
               "data": {"api-key": base64(KEY)}}),
    ]);
}

/// Afterwards nobody sends with it here.
fn a_key_that_is_none_is_found_before_it(plane: &ControlPlane) {
    let write = |data: &Value| {
        plane.apply(&[json!({"apiVersion": "v1", "kind": "Secret", "data": data,
                             "metadata": {"name": "datadog-secret", "namespace": "datadog"}})]);
    };
    for (data, words) in [
        (json!({"api_key": base64(KEY)}), "its keys are: api_key"),
        (json!({"api-key": base64(&format!("{KEY}\n"))}), "a newline"),
    ] {
        write(&data);
        let failed = failed(&report(plane, &admin(plane), &["--pre"]));
        assert!(
            matches!(&failed[..], [(check, found)] if check == "credentials" && found.contains(words)),
            "{failed:?}"
        );
    }
    write(&json!({"api-key": base64(KEY)}));
}

fn a_missing_right_never_passes(plane: &ControlPlane, nobody: &Path) {
    let report = report(plane, nobody, &[]);
    assert_eq!(report["failed"], 0, "{report:#}");
    let unknown = report["checks"].as_array().expect("checks").iter().filter(|one| one["result"] == "unknown");
    let words: Vec<&str> = unknown.filter_map(|one| one["found"].as_str()).collect();
    for right in [
        "not allowed to list mutatingwebhookconfigurations.admissionregistration.k8s.io in the whole cluster",
        "not allowed to get secrets in namespace otelgate",
        "not allowed to create pods in namespace otelgate",
    ] {
        assert!(words.contains(&right), "{right} is missing in {words:#?}");
    }
    let outcome = otelgate(plane, nobody, &["check"]);
    assert!(!outcome.success && outcome.stderr.is_empty(), "{outcome:?}");
    let status = otelgate(plane, nobody, &["status"]).expect("otelgate status");
    assert!(status.starts_with("mode           unknown\n"), "{status}");
    assert!(status.contains("not allowed to list deployments.apps in namespace otelgate"), "{status}");
    // The key stays where it is.
    assert!(!otelgate(plane, &admin(plane), &["check", "-o", "yaml"]).stdout.contains(KEY));
}

/// Pods of a workload: injected, outdated by a change of the configuration, and started before they were opted in.
fn pods_are_counted(plane: &ControlPlane) {
    plane.make_namespace("late", &json!({}), &json!({}));
    plane.make_namespace("watched", &json!({"otelgate.dev/inject": "observe"}), &json!({}));
    for (namespace, replicas) in [("shop", 3), ("late", 2), ("watched", 1)] {
        plane.apply(&[deployment(namespace, replicas)]);
        let rollout = ["rollout", "status", "-n", namespace, "deployment/web", "--timeout=1m"];
        plane.kubectl(&rollout).expect("kubectl rollout status");
    }
    plane.kubectl(&["label", "namespace", "late", "otelgate.dev/inject=enabled"]).expect("kubectl label");
    shows(plane, "shop", &json!({"Injected": 3}));
    shows(plane, "late", &json!({"RestartPending": 2}));
    shows(plane, "watched", &json!({"NotExpected": 1}));

    let change = |name: &str| {
        let patch = json!({"spec": {"injection": {"clusterName": name}}}).to_string();
        plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch]).expect("kubectl patch");
    };
    change("another");
    shows(plane, "shop", &json!({"Outdated": 3}));
    let text = otelgate(plane, &admin(plane), &["status"]).expect("otelgate status");
    assert!(text.starts_with("mode           enabled\n"), "{text}");
    assert!(text.contains("Deployment/web") && text.contains("3 of 3"), "{text}");
    change("test");
    shows(plane, "shop", &json!({"Injected": 3}));
    plane.kubectl(&["delete", "namespace", "late", "watched", "--wait=false"]).expect("kubectl delete");
    settles(plane, &[]);
}

fn deployment(namespace: &str, replicas: u32) -> Value {
    let labels = json!({"app": "web"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "shop/app:1"}]},
        }},
    })
}

fn a_watch_shows_it_again(plane: &ControlPlane) {
    let mut command = Command::new(OTELGATE);
    command
        .args(["status", "--watch", "-o", "json", "-n", "shop"])
        .env("KUBECONFIG", admin(plane))
        .stdout(Stdio::piped());
    let mut child = plane.network().inside(|| command.spawn()).expect("otelgate status");
    let output = child.stdout.take().expect("it is piped");
    let shown = serde_json::Deserializer::from_reader(output).into_iter::<Value>().take(2);
    let shown: Vec<Value> = shown.map(|one| one.expect("JSON")).collect();
    child.kill().expect("it still runs");
    child.wait().expect("it was started here");
    assert_eq!(shown.len(), 2);
    let names: Vec<&Value> =
        shown[1]["namespaces"].as_array().expect("a list").iter().map(|one| &one["namespace"]).collect();
    assert_eq!(names, ["shop"]);
}

/// Waits until a namespace's pods are counted so: the controller and the webhook follow in a moment.
#[track_caller]
fn shows(plane: &ControlPlane, namespace: &str, coverage: &Value) {
    let mut last = Value::Null;
    wait_for("the pods to be counted", || {
        last = otelgate(plane, &admin(plane), &["status", "-o", "json"]).json("otelgate status");
        let covered = last["namespaces"].as_array()?.iter().find(|one| one["namespace"] == namespace)?;
        (covered["coverage"] == *coverage).then_some(())
    })
    .unwrap_or_else(|error| panic!("{namespace}: {error}: {last:#}"));
}
