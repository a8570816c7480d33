//! Objects of ours that lost their label while nobody looked, and that are to go: it is by that label that they are found.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::steady::Agent;
use super::{answer, client, silence, watches};
use crate::k8s;

type Changes = Arc<Mutex<Vec<String>>>;

/// A DaemonSet and a Deployment with that metadata, and no label.
fn start(metadata: &Value) -> (Agent, Changes) {
    let changes = Changes::default();
    let (seen, metadata) = (Arc::clone(&changes), metadata.clone());
    let nothing = Arc::new((Value::Null, Value::Null));
    let api_server = client(move |request: &Request<k8s::Body>| {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let of = path.rsplit('/').next().unwrap_or_default();
        if *request.method() != Method::GET {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(format!("{} {of}", request.method()));
            let patched =
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": of}});
            return (200, Body::from(patched.to_string()));
        }
        let name = match of {
            "daemonsets" => "datadog-agent",
            "deployments" => "datadog-cluster-agent",
            "pods" if !watches(request) => "",
            _ => return answer(request, &nothing, silence),
        };
        if watches(request) {
            return (200, silence());
        }
        let mut object = json!({"metadata": metadata, "spec": {"selector": {}, "template": {}}});
        object["metadata"]["name"] = json!(name);
        let items = if name.is_empty() || query.contains("labelSelector") { json!([]) } else { json!([object]) };
        (200, Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string()))
    });
    let agent = Agent::of(&json!({"agent": {"mode": "disabled"}}), Value::Null, api_server);
    (agent, changes)
}

#[tokio::test(start_paused = true)]
async fn what_is_to_go_gets_its_label_back() {
    let owner = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default", "uid": "u"});
    let (mut agent, changes) = start(&json!({"ownerReferences": [owner]}));
    agent.until("AgentLeftOver").await;
    let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    changes.dedup();
    changes.truncate(2);
    assert_eq!(changes, ["PATCH datadog-agent", "PATCH datadog-cluster-agent"]);
}

/// Somebody may have made it their own: nothing but a trace in its history says that it was ours.
#[tokio::test(start_paused = true)]
async fn what_nobody_owns_is_left_alone() {
    let written = json!([{"manager": "otelgate-controller", "operation": "Apply"}]);
    let (mut agent, changes) = start(&json!({"managedFields": written}));
    agent.until_off().await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(*changes.lock().unwrap_or_else(PoisonError::into_inner), [] as [String; 0]);
}
