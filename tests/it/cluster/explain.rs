//! `otelgate explain` of objects of a cluster. `SNAPSHOTS=overwrite cargo test --test it cluster::explain` writes what
//! it says anew.

use std::collections::BTreeMap;
use std::path::Path;

use otelgate::k8s::MutatingWebhookConfiguration;
use otelgate::registration::{self, Called, Creation};
use serde_json::{Value, json};
use snapbox::{Data, assert_data_eq};

use super::command::{Installed, deployment, installed, settled};
use crate::control_plane::other;
use crate::control_plane::wait_for;

#[track_caller]
fn is_as_recorded(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/explain").join(name);
    assert_data_eq!(settled(text), Data::read_from(&file, None).raw());
}

/// Waits until an object of a cluster's would have another time.
fn wait_for_the_next_second() {
    let now = jiff::Timestamp::now().as_second();
    wait_for("the next second", || (jiff::Timestamp::now().as_second() > now).then_some(())).expect("time goes on");
}

/// A namespace that was opted in late: one workload is older, one younger.
fn shop(installed: &Installed) {
    installed.plane.make_namespace(
        "shop",
        &json!({}),
        &json!({"resource.opentelemetry.io/deployment.environment.name": "prod"}),
    );
    installed.plane.apply(&[deployment("shop", "old", 1)]);
    installed.pods("shop", "app=old", 1);
    wait_for_the_next_second();
    installed.plane.kubectl(&["label", "namespace", "shop", "otelgate.dev/inject=enabled"]).expect("kubectl label");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "seen", "namespace": "shop"},
                     "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    wait_for("the webhook to be called", || {
        let arguments = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let created = installed.plane.kubectl_with(&arguments, &pod.to_string()).json("a pod");
        created["metadata"]["annotations"]["otelgate.dev/status"].is_string().then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", installed.webhook.log()));
    installed.plane.apply(&[deployment("shop", "web", 2)]);
    installed.pods("shop", "app=web", 2);
}

#[test]
fn objects_of_a_cluster_are_explained() {
    let installed = installed();
    shop(installed);
    let old = format!("pod/{}", installed.pods("shop", "app=old", 1)[0]);
    let web = format!("pod/{}", installed.pods("shop", "app=web", 2)[0]);
    let all = ["explain", "-n", "shop", "deploy/web", "deploy/old", &old, &web];
    for (name, columns) in [("all-80.txt", 80), ("all-200.txt", 200)] {
        let said = installed.on_terminal(columns, &all);
        let longest = said.lines().map(|line| line.chars().count()).max();
        assert!(longest.is_some_and(|longest| longest <= columns), "{longest:?}: {said}");
        is_as_recorded(name, &said);
    }
    let json = installed.otelgate(&[&all[..], &["-o", "json"]].concat()).json("otelgate explain");
    is_as_recorded("web.json", &format!("{:#}\n", json[0]));
    let said = |index: usize, pointer: &str| json[index].pointer(pointer).cloned().unwrap_or_default();
    assert_eq!((said(0, "/calls/called"), said(0, "/decision")), (json!("yes"), json!("inject")));
    assert_eq!((said(0, "/pods/total"), said(0, "/pods/counts")), (json!(2), json!({"Injected": 2})));
    assert_eq!(said(1, "/pods/counts"), json!({"RestartPending": 1}));
    assert_eq!(said(2, "/running/coverage"), "RestartPending");
    assert_eq!(said(3, "/running/coverage"), "Injected");
    // What was written is what is said: of the object itself, not only by its own annotation.
    let pod = installed.plane.get("shop", &web);
    let env: Vec<_> = pod["spec"]["containers"][0]["env"].as_array().expect("variables").iter().collect();
    let written = said(3, "/running/written/containers/app");
    assert_eq!(written.as_array().expect("a list").len(), env.len());
    assert!(env.iter().all(|one| written.as_array().expect("a list").contains(&one["name"])), "{written}");
    let yaml = installed.otelgate(&["explain", "-n", "shop", "deploy/web", "-o", "yaml"]).expect("YAML");
    let yaml: Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert_eq!(yaml[0]["configuration"], json[0]["configuration"]);
}

/// A pod that nobody changed, though it was opted in all the time.
#[test]
fn a_pod_that_was_missed_is_told_from_one_that_is_too_old() {
    let installed = installed();
    installed.plane.make_namespace("missed", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    wait_for_the_next_second();
    // As if the webhook hadn't answered: with failurePolicy Ignore such a pod comes out unchanged.
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
                     "metadata": {"name": "web", "namespace": "missed", "labels": {"otelgate.dev/inject": "disabled"}},
                     "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    installed.plane.apply(&[pod]);
    installed.plane.kubectl(&["label", "-n", "missed", "pod/web", "otelgate.dev/inject-"]).expect("kubectl label");
    let said = installed.otelgate(&["explain", "-n", "missed", "pod/web", "-o", "json"]).json("otelgate explain");
    assert_eq!(said[0]["running"]["coverage"], "Missed", "{said:#}");
    let text = installed.otelgate(&["explain", "-n", "missed", "pod/web"]).expect("otelgate explain");
    assert!(
        text.contains("Missed: was opted in when it was created, and the webhook didn't change it; next: "),
        "{text}"
    );
}

#[test]
fn what_may_not_be_read_is_named_and_the_rest_is_told() {
    let installed = installed();
    installed.plane.make_namespace("narrow", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    let rules = json!([{"apiGroups": ["", "apps"], "resources": ["pods", "deployments"], "verbs": ["get"]}]);
    installed.plane.apply(&[
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
               "metadata": {"name": "narrow", "namespace": "narrow"}, "rules": rules}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
               "metadata": {"name": "narrow", "namespace": "narrow"},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "narrow"},
               "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "narrow"}]}),
        deployment("narrow", "web", 1),
    ]);
    installed.pods("narrow", "app=web", 1);
    let outcome = installed.otelgate_as("narrow", "default", &["explain", "-n", "narrow", "deploy/web"]);
    let text = outcome.expect("what is missing is no fault");
    for part in [
        "not allowed to list mutatingwebhookconfigurations.admissionregistration.k8s.io in the whole cluster; next: ask",
        "not allowed to get namespaces in namespace narrow: the namespace is taken as opted in",
        "not allowed to get configmaps in namespace otelgate: the documented defaults are taken instead",
        "not allowed to list pods in namespace narrow: nothing is said of the pods that run",
        "Deployment narrow/web is injected",
        "OTEL_SERVICE_NAME",
    ] {
        assert!(text.contains(part), "{part:?} isn't in {text}");
    }
}

#[test]
fn what_is_not_there_is_named_beside_what_is() {
    let installed = installed();
    installed.plane.make_namespace("partly", &json!({}), &json!({}));
    installed.plane.apply(&[deployment("partly", "web", 0)]);
    let outcome = installed.otelgate(&["explain", "-n", "partly", "deploy/web", "deploy/wbe", "rollout/web"]);
    assert!(!outcome.success);
    assert!(outcome.stdout.contains("Deployment partly/web is left alone"), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("deployment/wbe in namespace partly: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rollout/web in namespace partly: "), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("deploy/web"), "{}", outcome.stderr);
}

/// What selects, of entries of all sorts.
fn entries_of_all_sorts() -> Vec<Value> {
    let expression = |key: &str, operator: &str, values: &[&str]| {
        if values.is_empty() {
            json!({"matchExpressions": [{"key": key, "operator": operator}]})
        } else {
            json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
        }
    };
    let condition = |expression: &str| json!([{"name": "c", "expression": expression}]);
    let own = crate::control_plane::webhook::manifests("registration.yaml").remove(0);
    let mut entries = vec![
        json!({"objectSelector": expression("a", "In", &["1", "2"])}),
        json!({"objectSelector": expression("a", "NotIn", &["1"])}),
        json!({"objectSelector": expression("a", "Exists", &[])}),
        json!({"objectSelector": expression("a", "DoesNotExist", &[])}),
        json!({"objectSelector": {"matchLabels": {"a": "1"}}, "namespaceSelector": {"matchLabels": {"n": "1"}}}),
        json!({"namespaceSelector": expression("n", "NotIn", &["1"])}),
        json!({"matchConditions": condition("'x' in object.metadata.annotations")}),
        json!({"matchConditions": condition("!('x' in object.metadata.annotations)")}),
        json!({"matchConditions": condition("has(object.metadata.annotations) && 'x' in object.metadata.annotations")}),
        json!({"matchConditions": condition("object.metadata.labels['a'] == '1'")}),
        json!({"matchConditions": condition("!(request.namespace == 'agree-1' && object.metadata.labels['a'] == '1')")}),
    ];
    entries.extend(
        own["webhooks"].as_array().expect("entries").iter().map(
            |entry| json!({"objectSelector": entry["objectSelector"], "matchConditions": entry["matchConditions"]}),
        ),
    );
    entries
}

/// Entries with selectors and conditions of all sorts: which of them the API server called is in its own metrics.
#[test]
fn the_evaluator_agrees_with_the_api_server() {
    let plane = installed().plane;
    let mut entries = entries_of_all_sorts();
    other::register(plane, "agree", "agree-1", |_| json!([]));
    let mut registration = plane.get("", "mutatingwebhookconfiguration/agree");
    let template = registration["webhooks"][0].clone();
    for (index, entry) in entries.iter_mut().enumerate() {
        let fields = entry.as_object_mut().expect("an object");
        for field in ["admissionReviewVersions", "clientConfig", "rules", "sideEffects"] {
            fields.insert(field.to_owned(), template[field].clone());
        }
        fields.insert("failurePolicy".to_owned(), json!("Ignore"));
        fields.insert("name".to_owned(), json!(format!("e{index}.agree.example.com")));
        // Nobody else's pods.
        let selector = fields.entry("namespaceSelector").or_insert(json!({}));
        selector["matchLabels"]["agree"] = json!("yes");
    }
    registration["webhooks"] = json!(entries);
    registration["metadata"] = json!({"name": "agree"});
    for (name, labels) in [("agree-1", json!({"agree": "yes", "n": "1"})), ("agree-2", json!({"agree": "yes"}))] {
        plane.make_namespace(name, &labels, &json!({}));
    }
    plane.kubectl_with(&["replace", "-f", "-"], &registration.to_string()).expect("kubectl replace");
    let registrations = [serde_json::from_value::<MutatingWebhookConfiguration>(registration).expect("a registration")];
    let calls = || -> Vec<u64> {
        let metrics = plane.kubectl(&["get", "--raw=/metrics"]).expect("metrics");
        let count = |index| {
            let name = format!("name=\"e{index}.agree.example.com\"");
            let metric = "apiserver_admission_webhook_admission_duration_seconds_count";
            crate::control_plane::plane::sum_of(&metrics, metric, &[&name])
        };
        (0..entries.len()).map(count).collect()
    };
    let create = |namespace: &str, labels: &Value, annotations: &Value| {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "agree", "namespace": namespace, "labels": labels, "annotations": annotations},
            // As a mirror pod has to be.
            "spec": {"nodeName": "node-1", "automountServiceAccountToken": false,
                     "containers": [{"name": "app", "image": "app:1"}]},
        });
        plane.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &pod.to_string()).expect("a pod");
    };
    wait_for("the API server to call the first entry", || {
        create("agree-1", &json!({"a": "1"}), &json!({}));
        (calls()[0] > 0).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let key = "otelgate.dev/inject";
    for namespace in ["agree-1", "agree-2"] {
        for labels in [
            json!({}),
            json!({"a": "1"}),
            json!({"a": "3", key: "enabled"}),
            json!({"a": "", key: "no"}),
            json!({"agent.datadoghq.com/component": "agent"}),
        ] {
            for annotations in [json!({}), json!({"x": "y"}), json!({"kubernetes.io/config.mirror": "m"})] {
                let before = calls();
                create(namespace, &labels, &annotations);
                let after = calls();
                let map = |value: &Value| -> BTreeMap<String, String> {
                    serde_json::from_value(value.clone()).expect("a map of strings")
                };
                let of_namespace = plane.get("", &format!("namespace/{namespace}"));
                let of_namespace = map(&of_namespace["metadata"]["labels"]);
                let (own_labels, own_annotations) = (map(&labels), map(&annotations));
                let creation = Creation {
                    namespace,
                    namespace_labels: Some(&of_namespace),
                    labels: &own_labels,
                    annotations: &own_annotations,
                };
                for (index, entry) in registration::entries(&registrations, creation).iter().enumerate() {
                    let called = if after[index] > before[index] { Called::Yes } else { Called::No };
                    assert_eq!(entry.called(), called, "{namespace} {labels} {annotations}: {}", entries[index]);
                }
            }
        }
    }
}
