//! Recorded reviews through the router: what is decided, and what is answered.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use otelgate::admission::Entry;
use otelgate::api::OptIn;
use otelgate::config::Document;
use otelgate::inject::Reason;
use serde_json::{Value, json};

use super::stack::{Stack, admission, recorded, recorded_with};

/// The object of a review, with the answer's patch applied as the API server would.
fn patched(review: &[u8], response: &Value) -> Value {
    let review: Value = serde_json::from_slice(review).expect("JSON");
    let mut object = review["request"]["object"].clone();
    assert_eq!(response["patchType"], "JSONPatch", "{response}");
    let patch = STANDARD.decode(response["patch"].as_str().expect("a string")).expect("base64");
    let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a patch");
    json_patch::patch(&mut object, &patch).expect("the patch applies");
    object
}

fn variable<'v>(object: &'v Value, container: usize, name: &str) -> Option<&'v Value> {
    object["spec"]["containers"][container]["env"].as_array()?.iter().find(|variable| variable["name"] == name)
}

#[tokio::test]
async fn a_deployments_pod_comes_back_observable() {
    let review = recorded("deployment-pod");
    let response = Stack::new().review(Entry::Pod, review.clone()).await;
    assert_eq!(response["uid"], "0a5bb5f6-2f5f-4c93-9a3c-2cf05e1ee001");
    assert_eq!(response.get("warnings"), None);
    let object = patched(&review, &response);
    assert_eq!(variable(&object, 0, "OTEL_SERVICE_NAME").expect("set")["value"], "web");
    assert_eq!(variable(&object, 1, "OTEL_SERVICE_NAME"), None, "istio-proxy is a sidecar");
    assert_eq!(object["metadata"]["labels"]["tags.datadoghq.com/service"], "web");
}

#[tokio::test]
async fn fields_that_nobody_knows_yet_survive() {
    let stack = Stack::new();
    let review = recorded_with("fields-from-the-future", |review| {
        review["request"]["object"]["metadata"]["labels"]["otelgate.dev/inject"] = json!("enabled");
    });
    let object = patched(&review, &stack.review(Entry::Pod, review.clone()).await);
    assert_eq!(object["spec"]["podGroupFromTheFuture"], json!({"name": "gang"}));
    assert_eq!(object["spec"]["containers"][0]["fieldFromTheFuture"], json!({"deep": [1, 2, {"x": 1.5e300}]}));
    assert_eq!(object["metadata"]["annotations"]["example.com/escapes"], "tab\tquote\"back\\slash");
}

#[tokio::test]
async fn the_path_tells_the_namespaces_opt_in() {
    let stack = Stack::new();
    let patch_at = |entry| {
        let stack = &stack;
        async move { stack.review(entry, recorded("cronjob-pod")).await.get("patch").is_some() }
    };
    assert!(patch_at(Entry::Enabled).await);
    assert!(!patch_at(Entry::Observe).await);
    assert!(!patch_at(Entry::Pod).await, "neither label opts it in");
}

#[tokio::test]
async fn the_requests_namespace_counts_not_the_objects() {
    let review = recorded_with("deployment-pod", |review| review["request"]["namespace"] = json!("kube-system"));
    assert_eq!(Stack::new().review(Entry::Pod, review).await.get("patch"), None);
}

#[tokio::test]
async fn nulls_count_as_absent() {
    let review = recorded("null-fields");
    let object = patched(&review, &Stack::new().review(Entry::Enabled, review.clone()).await);
    assert_eq!(variable(&object, 0, "OTEL_SERVICE_NAME").expect("set")["value"], "nulls");
    assert!(variable(&object, 1, "OTEL_SERVICE_NAME").is_some());
}

#[tokio::test]
async fn what_is_not_the_creation_of_a_pod_is_let_through_with_a_warning() {
    let stack = Stack::new();
    let names = ["pod-update", "ephemeral-containers", "pod-delete", "pod-binding", "deployment", "widget"];
    for name in names {
        let response = stack.review(Entry::Pod, recorded(name)).await;
        assert_eq!(response.get("patch"), None, "{name}");
        assert!(response["warnings"][0].as_str().expect("a warning").contains("NotAPod"), "{name}: {response}");
    }
    assert_eq!(stack.metrics.failures(Entry::Pod, Reason::NotAPod), names.len() as u64);
}

#[tokio::test]
async fn every_recorded_review_is_answered_on_every_path() {
    let stack = Stack::new();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/reviews");
    let mut count = 0;
    for file in folder.read_dir().expect("the folder") {
        let name = file.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned();
        let review: Value = serde_json::from_slice(&recorded(&name)).expect("JSON");
        for entry in Entry::ALL {
            let response = stack.review(entry, recorded(&name)).await;
            assert_eq!(response["uid"], review["request"]["uid"], "{name}");
        }
        count += 1;
    }
    assert!(count >= 12, "{count} reviews");
}

#[tokio::test]
async fn dry_runs_are_decided_like_all_others() {
    let response = Stack::new().review(Entry::Pod, recorded("bare-pod-dry-run")).await;
    assert!(response.get("patch").is_some());
}

#[tokio::test]
async fn only_the_probe_is_decided_as_if_the_mode_were_enabled() {
    let stack = Stack::of(admission(Document { mode: OptIn::Disabled, ..Document::default() }));
    let probe = |namespace: &str, dry_run: bool, labelled: bool| {
        recorded_with("bare-pod-dry-run", |review| {
            let request = &mut review["request"];
            request["namespace"] = json!(namespace);
            request["dryRun"] = json!(dry_run);
            if labelled {
                request["object"]["metadata"]["labels"]["otelgate.dev/probe"] = json!("true");
            }
        })
    };
    for (namespace, dry_run, labelled, injected) in [
        ("otelgate", true, true, true),
        ("otelgate", false, true, false),
        ("otelgate", true, false, false),
        ("shop", true, true, false),
    ] {
        let response = stack.review(Entry::Pod, probe(namespace, dry_run, labelled)).await;
        assert_eq!(response.get("patch").is_some(), injected, "{namespace} {dry_run} {labelled}");
    }
}

#[tokio::test]
async fn a_second_call_yields_no_patch() {
    let stack = Stack::new();
    let review = recorded("deployment-pod");
    let object = patched(&review, &stack.review(Entry::Pod, review.clone()).await);
    let again = recorded_with("deployment-pod", |review| review["request"]["object"] = object);
    assert_eq!(stack.review(Entry::Pod, again).await.get("patch"), None);
}
