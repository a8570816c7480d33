//! Generated pods, validated by real API servers: as their users wrote them, injected with configurations of their own,
//! and through the webhook.

use std::time::{SystemTime, UNIX_EPOCH};

use otelgate::api::annotation::{MIRROR, STATUS};
use otelgate::config::Configuration;
use otelgate::inject::status::Status;
use otelgate::inject::{self, Namespace, Pod};
use serde_json::{Value, json};

use super::offline::{comparable, differences, injected, list_of, parse};
use crate::control_plane::Webhook;
use crate::properties::generate::{Case, Setting, valid};
use crate::properties::random::Random;

super::on_every_version!(generated_pods_are_valid_whatever_is_injected);

const CASES: usize = 300;
const NAMESPACE: &str = "generated";

fn generated_pods_are_valid_whatever_is_injected(webhook: &Webhook<'_>) {
    let seed = std::env::var("OTELGATE_SEED").map_or_else(
        |_| SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() * 1_000_000,
        |seed| seed.parse().expect("OTELGATE_SEED is a number"),
    );
    let cases: Vec<Case> = (seed..)
        .map(|seed| valid(&mut Random::new(seed)))
        // A mirror pod may not refer to Secrets, which these do.
        .filter(|case| case.setting.template_of.is_none() && case.original["metadata"]["annotations"][MIRROR].is_null())
        // The offline command refuses a status that it can't read; the webhook has to go on.
        .filter(|case| case.original["metadata"]["annotations"][STATUS].as_str().is_none_or(is_readable))
        .take(CASES)
        .collect();
    webhook.plane.make_namespace(NAMESPACE, &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    let namespace = webhook.plane.get("", "namespace/generated");
    let originals: Vec<Value> = cases.iter().map(|case| in_namespace(&case.original)).collect();
    let again = format!("OTELGATE_SEED={seed} repeats it");

    create(webhook, &originals, "a valid pod is refused without otelgate", &again);
    let own: Vec<Value> = cases.iter().map(|case| in_namespace(&patched(case))).collect();
    let changed = own.iter().zip(&originals).filter(|(own, original)| own != original).count();
    assert!(changed > CASES / 4, "only {changed} of {CASES} pods were injected; {again}");
    create(webhook, &own, "a pod is refused once it is injected", &again);

    // The API server leaves out what is empty before any webhook sees it, and the status says what was there.
    let mut as_seen = originals.clone();
    as_seen.iter_mut().for_each(without_empty);
    let offline = injected(webhook, &[namespace], &as_seen);
    let offline = create(webhook, &offline, "a pod is refused once it is injected offline", &again);
    webhook.watch(NAMESPACE);
    let online = create(webhook, &originals, "a pod is refused with the webhook", &again);
    for ((online, offline), original) in online.iter().zip(&offline).zip(&originals) {
        let found = differences(&comparable(online), &comparable(offline));
        assert!(found.is_empty(), "online is not offline: {}; {again}\n{original}", found.join("; "));
    }
}

fn is_readable(status: &str) -> bool {
    serde_json::from_str::<Status>(status).is_ok()
}

fn in_namespace(pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["metadata"]["namespace"] = json!(NAMESPACE);
    pod
}

/// Takes out what a decision looks at where there is nothing in it.
fn without_empty(pod: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        other => other.is_null(),
    };
    let drop_empty = |object: &mut Value, keys: &[&str]| {
        let fields = object.as_object_mut().expect("an object");
        fields.retain(|key, value| !keys.contains(&key.as_str()) || !is_empty(value));
    };
    drop_empty(&mut pod["metadata"], &["annotations", "labels"]);
    for list in ["/spec/containers", "/spec/initContainers"] {
        for container in pod.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            drop_empty(container, &["env"]);
            for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
                drop_empty(variable, &["value"]);
            }
        }
    }
}

/// The pod with what its own configuration and namespace put into it.
fn patched(case: &Case) -> Value {
    let Setting { document, namespace, now, .. } = &case.setting;
    let configuration = Configuration::try_from(document.clone()).expect("a generated configuration is valid");
    let namespace = Namespace {
        name: namespace.name.as_deref(),
        opt_in: namespace.opt_in.as_deref(),
        left_out: namespace.left_out,
        annotations: namespace.annotations.as_deref(),
    };
    let json = case.original.to_string();
    let pod = Pod::from_json(&json).expect("a generated pod can be read");
    let mut patched = case.original.clone();
    if let inject::Decision::Inject(plan) = inject::decide(&pod, &namespace, &configuration, *now) {
        let patch = serde_json::from_slice::<json_patch::Patch>(&inject::patch::to_json(&plan.operations()));
        json_patch::patch(&mut patched, &patch.expect("operations are a patch")).expect("the patch applies");
    }
    patched
}

#[track_caller]
fn create(webhook: &Webhook<'_>, pods: &[Value], what: &str, again: &str) -> Vec<Value> {
    let arguments = ["create", "--dry-run=server", "--validate=false", "-o", "json", "-f", "-"];
    let outcome = webhook.plane.kubectl_with(&arguments, &list_of(pods).to_string());
    let refusals: Vec<&str> = outcome.stderr.lines().filter(|line| !line.starts_with("Warning: ")).collect();
    assert!(outcome.success, "{what}: {}; {again}", refusals.join("\n"));
    parse(&outcome.stdout)
}
