//! The Secret with the key may go, or be replaced by deleting and creating it: Agents that run have the key already.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::steady::Agent;
use super::{set, silence, watches};
use crate::api::annotation::CREDENTIALS;
use crate::api::label;
use crate::k8s::{self, Client};

/// An API server that has Agents made for version 41 of the key, the Cluster Agent's token in version 7, and no key. What
/// is written is told.
fn api_server(operator: bool) -> (Client, mpsc::UnboundedReceiver<Value>) {
    let (tell, written) = mpsc::unbounded_channel();
    let mut daemon_set = set(1);
    daemon_set["metadata"]["labels"] = json!({label::PART: "agent"});
    daemon_set["spec"]["template"] = json!({"metadata": {"annotations": {CREDENTIALS: "41.7"}}});
    let datadog_agent = json!({
        "apiVersion": "datadoghq.com/v2alpha1", "kind": "DatadogAgent",
        "metadata": {"name": "datadog", "labels": {label::PART: "operator"}},
        "spec": {"override": {"nodeAgent": {"annotations": {CREDENTIALS: "41"}}}},
    });
    let there = Arc::new((daemon_set, datadog_agent));
    let service = tower::service_fn(move |request: Request<k8s::Body>| {
        let (tell, there) = (tell.clone(), Arc::clone(&there));
        async move {
            let (is_read, watches) = (*request.method() == Method::GET, watches(&request));
            let uri = request.uri().clone();
            if !is_read {
                let body = request.into_body().collect_bytes().await?;
                let object: Value = serde_json::from_slice(&body)?;
                tell.send(object).ok();
                return Ok::<_, tower::BoxError>(Response::builder().status(200).body(Body::from(body))?);
            }
            let of = uri.path().rsplit('/').next().unwrap_or_default();
            let of_token = uri.query().is_some_and(|query| query.contains("datadog-cluster-agent"));
            let items = match of {
                "daemonsets" if !operator => json!([there.0]),
                "datadogagents" => json!([there.1]),
                "secrets" if of_token => {
                    json!([{"metadata": {"name": "datadog-cluster-agent", "resourceVersion": "7"}}])
                }
                _ => json!([]),
            };
            let served = json!({"name": "datadogagents", "singularName": "", "namespaced": true,
                "kind": "DatadogAgent", "verbs": ["patch"]});
            let (status, body) = match of {
                "apis" => (200, json!({"groups": []})),
                "v2alpha1" if operator => {
                    (200, json!({"groupVersion": "datadoghq.com/v2alpha1", "resources": [served]}))
                }
                "v2alpha1" => (404, json!({"status": "Failure", "message": "", "reason": "NotFound", "code": 404})),
                _ if watches => return Ok(Response::builder().status(200).body(silence())?),
                _ => (200, json!({"metadata": {"resourceVersion": "1"}, "items": items})),
            };
            Ok(Response::builder().status(status).body(Body::from(body.to_string()))?)
        }
    });
    (Client::new(service, "default"), written)
}

#[tokio::test(start_paused = true)]
async fn while_the_key_is_away_agents_stay_as_they_are() {
    for (mode, kind, at, expected) in [
        ("daemonset", "DaemonSet", "/spec/template/metadata/annotations", "41.7"),
        ("daemonset", "Deployment", "/spec/template/metadata/annotations", "41.7"),
        ("operator", "DatadogAgent", "/spec/override/nodeAgent/annotations", "41"),
    ] {
        let (client, mut written) = api_server(mode == "operator");
        let _agent = Agent::by(&json!({"agent": {"mode": mode}}), Value::Null, client);
        let object = loop {
            let object =
                timeout(Duration::from_mins(1), written.recv()).await.expect("it is written").expect("an object");
            if object["kind"] == kind {
                break object;
            }
        };
        assert_eq!(object.pointer(at).expect("annotations")[CREDENTIALS], expected, "{mode}: {kind}");
    }
}
