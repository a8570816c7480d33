//! The ways by which objects reach an API server: dry runs, server-side apply, the raw API, everything in one file.

use otelgate::api::annotation;
use serde_json::{Value, json};

use super::offline::{comparable, differences, injected, parse, status, variable};
use crate::control_plane::webhook::SEEN_BY;
use crate::control_plane::{Webhook, wait_for};

super::on_every_version!(
    a_dry_run_shows_what_a_create_does,
    server_side_apply_can_be_repeated,
    a_namespace_and_its_pods_arrive_in_one_apply,
    fields_that_nobody_knows_are_treated_as_without_the_webhook,
    pods_of_a_manifest_of_others_come_back_as_the_offline_command_says,
);

fn pod(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "app", "image": "shop/app:1"}]},
    })
}

fn a_dry_run_shows_what_a_create_does(webhook: &Webhook<'_>) {
    webhook.make_namespace("dry", Some("enabled"));
    for (name, way) in
        [("created", &["create"][..]), ("applied", &["apply"]), ("applied-by-server", &["apply", "--server-side"])]
    {
        let body = pod("dry", name).to_string();
        let post = |dry: &str| {
            let arguments = [way, &[dry, "-o", "json", "-f", "-"]].concat();
            webhook.plane.kubectl_with(&arguments, &body).json(name)
        };
        let preview = post("--dry-run=server");
        let missing = webhook.plane.kubectl(&["get", "-n", "dry", "pod", name]);
        assert!(!missing.success, "a dry run leaves nothing");
        let made = post("--dry-run=none");
        assert!(status(&made).is_some(), "{name}");
        let found = differences(&comparable(&preview), &comparable(&made));
        assert!(found.is_empty(), "{name}: {}", found.join("; "));
    }
}

/// What the webhook wrote belongs to no applier: applying the same again neither conflicts nor takes it away.
fn server_side_apply_can_be_repeated(webhook: &Webhook<'_>) {
    webhook.make_namespace("serverside", Some("enabled"));
    let body = pod("serverside", "app").to_string();
    let apply = |manager: &str| {
        let manager = format!("--field-manager={manager}");
        let arguments = ["apply", "--server-side", &manager, "-o", "json", "-f", "-"];
        webhook.plane.kubectl_with(&arguments, &body).json("kubectl apply")
    };
    let first = apply("pipeline");
    assert!(status(&first).is_some());
    for manager in ["pipeline", "somebody-else"] {
        let found = differences(&comparable(&apply(manager)), &comparable(&first));
        assert!(found.is_empty(), "{}", found.join("; "));
    }
    let diff = webhook.plane.kubectl_with(&["diff", "--server-side", "-f", "-"], &body);
    assert!(diff.success, "GitOps would report: {}{}", diff.stdout, diff.stderr);
}

/// The pod comes some milliseconds after its namespace, so that no watch can be relied on to know it.
fn a_namespace_and_its_pods_arrive_in_one_apply(webhook: &Webhook<'_>) {
    for round in 0..5 {
        let namespace = format!("together-{round}");
        let labels = json!({SEEN_BY: webhook.name, "otelgate.dev/inject": "enabled"});
        let mut app = pod(&namespace, "app");
        app["spec"]["serviceAccountName"] = json!("app");
        let all = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app", "namespace": namespace}}),
            app,
        ];
        let file: Vec<String> = all.iter().map(Value::to_string).collect();
        webhook.plane.kubectl_with(&["apply", "-f", "-"], &file.join("\n---\n")).expect("kubectl apply");
        let made = webhook.plane.get(&namespace, "pod/app");
        assert_eq!(variable(&made, 0, "OTEL_SERVICE_NAME"), Some("app"), "{made}");
    }
}

/// The API server drops fields that it doesn't know; those that only this program doesn't know are kept by patching
/// nothing else.
fn fields_that_nobody_knows_are_treated_as_without_the_webhook(webhook: &Webhook<'_>) {
    let mut unknown = pod("unknown", "app");
    unknown["spec"]["fieldOfTheFuture"] = json!({"deep": [1, 2, {"x": null}]});
    unknown["spec"]["containers"][0]["alsoNew"] = json!(true);
    unknown["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "b", "new": "field"}]);
    unknown["metadata"]["another"] = json!("one");
    let body = unknown.to_string();
    webhook.plane.make_namespace("unknown", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    let raw = |options: &str| {
        let path = format!("/api/v1/namespaces/unknown/pods?fieldValidation=Ignore{options}");
        webhook.plane.kubectl_with(&["create", "--raw", &path, "-f", "-"], &body).json("a pod")
    };
    let without = comparable(&raw("&dryRun=All"));
    webhook.watch("unknown");
    let mut with = raw("");
    assert!(status(&with).is_some());
    let unchecked = ["create", "--validate=false", "--dry-run=server", "-o", "json", "-f", "-"];
    let mut other = unknown;
    other["metadata"]["name"] = json!("other");
    let by_kubectl = webhook.plane.kubectl_with(&unchecked, &other.to_string()).json("a pod");
    assert!(status(&by_kubectl).is_some());
    // What isn't otelgate's is as without it.
    with["spec"]["containers"][0]["env"].as_array_mut().expect("variables").retain(|entry| entry["name"] == "A");
    with["metadata"].as_object_mut().expect("metadata").retain(|key, _| key != "annotations" && key != "labels");
    let found = differences(&comparable(&with), &without);
    assert!(found.is_empty(), "{}", found.join("; "));
}

/// What a Helm release of several charts looks like. Its workloads' pods are posted as their controllers would, with
/// the offline command's word for their templates.
fn pods_of_a_manifest_of_others_come_back_as_the_offline_command_says(webhook: &Webhook<'_>) {
    let text = include_str!("../../data/third-party.yaml");
    let objects = parse(text);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "platform", "labels": {"otelgate.dev/inject": "enabled"}}});
    let offline = injected(webhook, std::slice::from_ref(&namespace), &objects);
    assert_eq!(offline.len(), objects.len());
    webhook.make_namespace("platform", Some("enabled"));
    // The API server takes all of it, as it is and injected.
    let apply = ["apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-"];
    webhook.plane.kubectl_with(&apply, &super::offline::list_of(&offline).to_string()).expect("injected offline");
    webhook.plane.kubectl_with(&["apply", "--server-side", "-f", "-"], text).expect("kubectl apply");
    let mut templates = 0;
    for (object, offline) in objects.iter().zip(&offline) {
        let Some(template) = template(object) else {
            assert!(differences(object, offline).is_empty(), "{object} has no pod template and was changed");
            continue;
        };
        templates += 1;
        let made = post_as_controller(webhook, object, template);
        let said = self::template(offline).expect("it is still there");
        let name = object["metadata"]["name"].as_str().expect("a name");
        for list in ["containers", "initContainers"] {
            let containers = |of: &Value| of["spec"][list].as_array().cloned().unwrap_or_default();
            assert_eq!(containers(&made).len(), containers(said).len(), "{name}: {list}");
            for (online, offline) in containers(&made).iter().zip(containers(said)) {
                let online = super::workloads::known_offline(&online["env"]);
                let found = differences(&online, &super::workloads::known_offline(&offline["env"]));
                assert!(found.is_empty(), "{name}: {list}: {}", found.join("; "));
            }
        }
        assert_eq!(status(&made).is_some(), status(said).is_some(), "{name}");
        for map in ["annotations", "labels"] {
            let said = said["metadata"][map].as_object().into_iter().flatten();
            // The status digests what only controllers know, too.
            for (key, value) in said.filter(|(key, _)| *key != annotation::STATUS) {
                assert_eq!(&made["metadata"][map][key], value, "{name}: {map}: {key}");
            }
        }
    }
    assert!(templates >= 6, "{templates}");
}

fn template(object: &Value) -> Option<&Value> {
    let spec = &object["spec"];
    let template = match object["kind"].as_str()? {
        "CronJob" => &spec["jobTemplate"]["spec"]["template"],
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => &spec["template"],
        _ => return None,
    };
    Some(template)
}

/// Creates a pod from a template as the controller of its kind does: with an owner, a hash, a generated name.
fn post_as_controller(webhook: &Webhook<'_>, object: &Value, template: &Value) -> Value {
    let name = object["metadata"]["name"].as_str().expect("a name");
    let (kind, api, owner, labels) = match object["kind"].as_str().expect("a kind") {
        "Deployment" => {
            ("ReplicaSet", "apps/v1", format!("{name}-5f6d7c8b9"), json!({"pod-template-hash": "5f6d7c8b9"}))
        }
        "CronJob" => {
            let minute = jiff::Timestamp::now().as_second() / 60;
            ("Job", "batch/v1", format!("{name}-{minute}"), json!({}))
        }
        "Job" => ("Job", "batch/v1", name.to_owned(), json!({})),
        kind => (kind, "apps/v1", name.to_owned(), json!({"controller-revision-hash": "5f6d7c8b9"})),
    };
    let mut pod = template.clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["namespace"] = json!("platform");
    pod["metadata"]["generateName"] = json!(format!("{owner}-"));
    for claim in object["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let volume = json!({"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "claim"}});
        pod["spec"]["volumes"].as_array_mut().expect("volumes").push(volume);
    }
    for (key, value) in labels.as_object().expect("labels") {
        pod["metadata"]["labels"][key] = value.clone();
    }
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": api, "kind": kind, "name": owner, "controller": true,
        "uid": "11111111-1111-4111-8111-111111111111",
    }]);
    let arguments = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    wait_for("its ServiceAccount", || {
        let made = webhook.plane.kubectl_with(&arguments, &pod.to_string());
        (made.success || !made.stderr.contains("error looking up service account")).then_some(made)
    })
    .expect("it is part of the manifest")
    .json(name)
}
