//! A DaemonSet of ours that lost its label while nobody looked, and that is to go: it is by that label that it is found.

use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::{Method, Request, Response};
use futures::stream;
use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::k8s::{self, Client};

/// What is changed within a minute, where there is one with that metadata and no label.
async fn changes(metadata: &Value) -> Vec<String> {
    let changes = Arc::<Mutex<Vec<String>>>::default();
    let (seen, metadata) = (Arc::clone(&changes), metadata.clone());
    let service = tower::service_fn(move |request: Request<k8s::Body>| {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let of = path.rsplit('/').next().unwrap_or_default();
        let body = if *request.method() != Method::GET {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{} {of}", request.method()));
            let patched =
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": of}});
            Body::from(patched.to_string())
        } else if query.contains("watch=true") {
            Body::from_stream(stream::pending::<Result<String, tower::BoxError>>())
        } else {
            let mut set = json!({"metadata": metadata, "spec": {"selector": {}, "template": {}}});
            set["metadata"]["name"] = json!("otel-collector");
            let is_seen = of == "daemonsets" && !query.contains("labelSelector");
            let items = if is_seen { json!([set]) } else { json!([]) };
            Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string())
        };
        async move { Ok::<_, tower::BoxError>(Response::builder().status(200).body(body).expect("a response")) }
    });
    let stack = Stack::new("u".to_owned(), 1, &json!({"collector": {"mode": "disabled"}}));
    let (_stack, stacks) = watch::channel(Some(Arc::new(stack)));
    let context = Context { stack: stacks, ..Context::of_nothing(Client::new(service, "default")) };
    let runs = Box::pin(run(context, watch::channel(Arc::default()).0, watch::channel(None).0));
    timeout(Duration::from_mins(1), runs).await.expect_err("it never returns");
    changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[tokio::test(start_paused = true)]
async fn what_is_to_go_gets_its_label_back() {
    let owner = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default", "uid": "u"});
    assert_eq!(changes(&json!({"ownerReferences": [owner]})).await, ["PATCH otel-collector"]);
    // Nothing but a trace in its history says that it was ours.
    let written = json!([{"manager": "otelgate-controller", "operation": "Apply"}]);
    assert_eq!(changes(&json!({"managedFields": written})).await, [] as [String; 0]);
}
