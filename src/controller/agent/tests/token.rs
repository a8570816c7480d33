//! The Cluster Agent's token, where the API server takes no Secret, or keeps the one that is to go.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use super::steady::{Agent, answer};
use super::{set, watches};
use crate::api::label;
use crate::k8s;

/// What the controller has made.
fn ours(mut object: Value) -> Value {
    let owner = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default", "uid": "u"});
    object["metadata"]["labels"] = json!({label::PART: "agent"});
    object["metadata"]["ownerReferences"] = json!([owner]);
    object
}

fn secret() -> Value {
    let made =
        json!([{"manager": "otelgate-controller", "operation": "Update", "fieldsV1": {"f:data": {"f:token": {}}}}]);
    ours(json!({"metadata": {"name": "datadog-cluster-agent", "uid": "s", "managedFields": made}}))
}

/// With that DaemonSet and that Secret, and no other write than these may be.
fn start(mode: &str, set: Option<&Value>, secret: Option<&Value>) -> Agent {
    let (set, secret) = (set.cloned(), secret.cloned());
    Agent::of(&json!({"agent": {"mode": mode}}), Value::Null, move |request: &Request<k8s::Body>| {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        if *request.method() != Method::GET {
            let why = "exceeded quota: secrets";
            let refused = json!({"status": "Failure", "message": why, "reason": "Forbidden", "code": 403});
            return (403, Body::from(refused.to_string()));
        }
        let found = match path.rsplit('/').next().unwrap_or_default() {
            _ if watches(request) => return answer(path, true),
            "daemonsets" => set.as_ref(),
            "secrets" => secret.as_ref().filter(|_| query.contains("datadog-cluster-agent")),
            "deployments" | "pods" => None,
            _ => return answer(path, false),
        };
        let items: Vec<_> = found.into_iter().collect();
        (200, Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string()))
    })
}

/// Whoever waits for it would look for the cause anywhere else.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_told() {
    let (runs, there) = (ours(set(1)), secret());
    for (mode, set, secret) in
        [("daemonset", None, None), ("daemonset", Some(&runs), None), ("disabled", None, Some(&there))]
    {
        let mut agent = start(mode, set, secret);
        let told = agent.until("Secret datadog-cluster-agent: ").await;
        let told = format!("{:?}", told.last());
        assert!(told.contains("AgentNotWritten") && told.contains("exceeded quota"), "{mode}: {told}");
    }
}
