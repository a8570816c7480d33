//! Other webhooks, which change a pod after otelgate has seen it.

use serde_json::{Value, json};

use super::offline::{comparable, differences, inject, list_of, parse, variable};
use crate::control_plane::{Webhook, other, wait_for};

super::on_every_version!(what_a_later_webhook_adds_is_injected_too);

/// Adds a container at the end, and a variable in front of what there is in the first one.
fn add_a_container_and_a_variable(_: &Value) -> Value {
    json!([
        {"op": "add", "path": "/spec/containers/-", "value": {"name": "late", "image": "late:2"}},
        {"op": "add", "path": "/spec/containers/0/env/0", "value": {"name": "ADDED", "value": "by another"}},
    ])
}

/// The API server asks a second time (`reinvocationPolicy: IfNeeded`), and the pod comes back as if otelgate had seen
/// all of it at once.
fn what_a_later_webhook_adds_is_injected_too(webhook: &Webhook<'_>) {
    const NAMESPACE: &str = "others";
    webhook.plane.make_namespace(NAMESPACE, &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    webhook.watch(NAMESPACE);
    // After "otelgate-…" in the alphabet.
    other::register(webhook.plane, "zz-another", NAMESPACE, add_a_container_and_a_variable);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "app", "image": "shop/app:1", "env": [{"name": "A", "value": "b"}]}]},
    });
    let made = wait_for("the other webhook to be called", || {
        let arguments = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let made = webhook.plane.kubectl_with(&arguments, &pod.to_string());
        let made = made.success.then(|| serde_json::from_str::<Value>(&made.stdout).expect("a pod"))?;
        (variable(&made, 0, "ADDED").is_some()).then_some(made)
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(made["spec"]["containers"][1]["name"], "late");
    for container in 0..2 {
        assert!(variable(&made, container, "OTEL_RESOURCE_ATTRIBUTES").is_some(), "{made}");
    }
    let namespace = webhook.plane.get("", "namespace/others");
    let both = |pod: &Value| list_of(&[namespace.clone(), pod.clone()]).to_string();
    let without = parse(&inject(webhook, &["--undo", "--quiet"], &both(&made)).expect("otelgate inject")).remove(1);
    let mut expected = pod;
    expected["spec"]["containers"][0]["env"] =
        json!([{"name": "ADDED", "value": "by another"}, {"name": "A", "value": "b"}]);
    assert_eq!(without["spec"]["containers"][0]["env"], expected["spec"]["containers"][0]["env"]);
    let at_once = parse(&inject(webhook, &["--quiet"], &both(&without)).expect("otelgate inject")).remove(1);
    let sorted = |pod: &Value| {
        let mut pod = comparable(pod);
        for container in pod["spec"]["containers"].as_array_mut().expect("containers") {
            let env = container["env"].as_array_mut().expect("variables");
            env.sort_by_key(|entry| entry["name"].to_string());
        }
        pod
    };
    let found = differences(&sorted(&made), &sorted(&at_once));
    assert!(found.is_empty(), "{}", found.join("; "));
}
