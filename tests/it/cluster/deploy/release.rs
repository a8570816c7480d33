//! Values, revisions, and what Helm itself does beside the program.

use serde_json::{Value, json};

use super::person::Person;
use super::{KEY, base64};
use crate::control_plane::ControlPlane;
use crate::control_plane::programs::Helm;

const REGISTRATION: &str = "mutatingwebhookconfiguration/otelgate";

fn values(plane: &ControlPlane, helm: Helm) -> Value {
    plane.helm(helm, &["get", "values", "otelgate", "--namespace", "otelgate", "-o", "json"]).json("helm get values")
}

/// The registration's, as somebody finds them who edits one beside Helm.
fn webhooks_before_an_edit(plane: &ControlPlane) -> Value {
    let before = webhooks(plane);
    assert!(before[0]["clientConfig"]["caBundle"].is_string(), "the controller has written it: {before}");
    let edit = json!([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 9}]).to_string();
    plane.kubectl(&["patch", REGISTRATION, "--type=json", "-p", &edit]).expect("kubectl patch");
    assert_ne!(webhooks(plane), before);
    before
}

fn webhooks(plane: &ControlPlane) -> Value {
    plane.get("", REGISTRATION)["webhooks"].clone()
}

/// What was set once stays until it is set to something else; what was edited beside it is set back.
pub fn values_are_kept(plane: &ControlPlane, person: &Person<'_>) {
    let before = webhooks_before_an_edit(plane);
    let file = plane.network().folder().join("values.yaml");
    std::fs::write(&file, "controller:\n  logLevel: debug\n").expect("a file");
    let told = person.run(&["update", "-f", file.to_str().expect("UTF-8"), "--set", "webhook.logLevel=warn"]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert_eq!(webhooks(plane), before, "with what the controller wrote there");
    let now = values(plane, Helm::Four);
    assert_eq!(now["webhook"], json!({"replicas": 1, "logLevel": "warn"}));
    assert_eq!(now["controller"], json!({"logLevel": "debug"}));
    let deployment = plane.get("otelgate", "deployment/otelgate-webhook");
    assert_eq!(deployment["spec"]["replicas"], 1);
    let told = person.run(&["update", "--set", "webhook.logLevel=info", "-o", "json"]);
    assert_eq!((told.code, &told.json()["ready"]), (Some(0), &json!(true)), "{}", told.stderr);
    assert_eq!(values(plane, Helm::Four)["webhook"], json!({"replicas": 1, "logLevel": "info"}));
    let told = person.run(&["update", "--set", "webhook.replicas=many"]);
    told.assert_fails(2, &["helm template: ", "replicas", "next: correct the values"]);
}

/// Those of the first revision.
fn first() -> Value {
    json!({"webhook": {"replicas": 1}, "collector": {"mode": "disabled"}, "agent": {"mode": "disabled"}})
}

/// After somebody went back by hand, an update goes on from there.
pub fn rollback(plane: &ControlPlane, person: &Person<'_>, helm: Helm) {
    plane.helm(helm, &["rollback", "otelgate", "1", "--namespace", "otelgate"]).expect("helm rollback");
    assert_eq!(values(plane, helm), first());
    let told = person.run(&["update"]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert_eq!(values(plane, helm), first());
}

/// Only where `deploy` made the Secret itself.
pub fn a_key_is_exchanged(plane: &ControlPlane, person: &Person<'_>) {
    let other: String = KEY.chars().rev().collect();
    let told = person.with_key(&other).run(&["update"]);
    assert!(told.stdout.contains("change   Secret datadog/datadog-secret"), "{}{}", told.stdout, told.stderr);
    assert_eq!(plane.get("datadog", "secret/datadog-secret")["data"], json!({"api-key": base64(&other)}));
}
