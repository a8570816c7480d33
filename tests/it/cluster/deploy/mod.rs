//! `otelgate deploy`, `update` and `cleanup` with the real Helm, and pods that are real processes.

mod documented;
mod failures;
pub(super) mod person;
mod release;
mod removal;

use std::path::Path;

use serde_json::json;

use super::OTELGATE;
use crate::control_plane::plane::{Parts, base64};
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::{ControlPlane, Version, wait_for};
use person::{Person, listing};

/// A key that isn't one of anybody's.
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn whole() -> ControlPlane {
    ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn from_nothing_to_nothing_with_helm_4() {
    from_nothing_to_nothing(Helm::Four);
}

#[test]
fn from_nothing_to_nothing_with_helm_3() {
    from_nothing_to_nothing(Helm::Three);
}

fn from_nothing_to_nothing(helm: Helm) {
    let plane = whole();
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let person = Person::new(&plane, Some(helm));
    let before = listing::settled(&plane);

    person.golden(&["deploy", "--dry-run"], "plan.txt");
    listing::assert_same(&before, &listing::now(&plane), "a dry run changes nothing");

    let line_end = format!("{KEY}\n");
    let set = ["deploy", "--set", "webhook.replicas=1", "--timeout=4m"];
    let told = person.with_key(&line_end).run(&set);
    assert_eq!(told.code, Some(0), "{}{}{}", told.stdout, told.stderr, nodes.last_words());
    assert!(told.stderr.contains("a line end around the key in DD_API_KEY are taken away"), "{}", told.stderr);
    assert!(told.stdout.contains("ready    Deployment otelgate-webhook: 1 of 1 available\n"), "{}", told.stdout);
    assert!(told.stdout.contains("is ready; next: otelgate check"), "{}", told.stdout);
    assert!(!told.stdout.contains('\u{1b}'), "a pipe gets neither colours nor cursor movements");
    what_deploy_made(&plane);
    nothing_tells_the_key(&nodes, &person, &told);

    let again = person.with_key(KEY).run(&["deploy", "-o", "json"]);
    let report = again.json();
    assert_eq!(report["ready"], true, "{report}");
    let actions: Vec<_> = report["steps"].as_array().expect("steps").iter().map(|step| &step["action"]).collect();
    assert_eq!(actions, ["keep", "keep", "keep", "keep", "upgrade"], "{report}");

    release::values_are_kept(&plane, &person);
    release::rollback(&plane, &person, helm);
    release::a_key_is_exchanged(&plane, &person);
    removal::asks_first(&plane, &person);
    removal::takes_no_for_an_answer(&plane, &person);
    person.golden(&["cleanup", "--dry-run"], "cleanup.txt");
    collector_and_agent(&plane);
    let told = person.run(&["cleanup", "--yes", "--timeout=4m"]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("kubectl get pods --all-namespaces -l otelgate.dev/config"), "{}", told.stdout);
    listing::wait_for_same(&before, &plane, &told.stdout);
    let told = person.run(&["cleanup", "--yes"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "Nothing of otelgate is in this cluster.\n"));
}

/// What the controller makes goes with the rest, whether it ever became ready or not.
fn collector_and_agent(plane: &ControlPlane) {
    let spec = json!({"collector": {"mode": "managed"}, "agent": {"mode": "daemonset"}});
    let patch = json!({"spec": spec}).to_string();
    plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch]).expect("kubectl patch");
    for object in ["daemonset/datadog-agent", "deployment/datadog-cluster-agent", "configmap/otel-collector-config"] {
        let there = || plane.kubectl(&["get", "-n", "datadog", object]).success.then_some(());
        wait_for(object, there).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn what_deploy_made(plane: &ControlPlane) {
    for (name, level) in [("otelgate", "restricted"), ("datadog", "privileged")] {
        let labels = &plane.get("", &format!("namespace/{name}"))["metadata"]["labels"];
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], level);
        assert_eq!(labels["otelgate.dev/created-by"], "deploy");
    }
    let secret = plane.get("datadog", "secret/datadog-secret");
    assert_eq!(secret["data"], json!({"api-key": base64(KEY)}), "without the line end");
    let managers =
        plane.kubectl(&["get", "crd", "telemetrystacks.otelgate.dev", "-o", "json", "--show-managed-fields"]);
    let managers = managers.json("the definition")["metadata"]["managedFields"].clone();
    let applied = |entry: &serde_json::Value| entry["manager"] == "otelgate-cli" && entry["operation"] == "Apply";
    assert!(managers.as_array().expect("managers").iter().any(applied), "{managers}");
}

/// Neither Helm's arguments and environment, nor its record, nor any object but the one Secret, nor what was printed or
/// logged, nor a bundle for a bug report.
fn nothing_tells_the_key(nodes: &ProcessNodes<'_>, person: &Person<'_>, told: &person::Told) {
    let calls = person.calls_of_helm();
    assert!(calls.contains("upgrade\n--install\n"), "{calls}");
    let encoded = base64(KEY);
    let log = |component| {
        let labels = format!("app.kubernetes.io/component={component}");
        let log = nodes.replicas("otelgate", &labels, 1)[0].log();
        assert!(log.contains("\"level\":"), "{component} logs nothing: {log}");
        log
    };
    for (what, text) in [
        ("helm's arguments and environment", calls),
        ("standard output", told.stdout.clone()),
        ("standard error", told.stderr.clone()),
        ("the release's records", person.release_records("otelgate")),
        ("the webhook's log", log("webhook")),
        ("the controller's log", log("controller")),
        ("the bundle", person.with_key(KEY).bundle()),
    ] {
        assert!(!text.contains(KEY) && !text.contains(&encoded), "{what} have the key: {text}");
    }
    let everything = listing::everything(nodes.plane);
    assert!(!everything.contains(KEY));
    assert_eq!(everything.matches(&encoded).count(), 1, "the Secret's, and no other object's");
}
