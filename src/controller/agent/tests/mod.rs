//! What an Agent is made of, for each mode and feature, and what is said of one that isn't well.

mod goldens;
mod key;
mod others;
mod rights;
mod settle;
mod steady;
mod stripped;
mod token;
mod verdicts;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use futures::stream;
use serde_json::{Value, json};

use crate::k8s::{self, Client};

/// An API server that has a DaemonSet with one pod, and nothing else. Its watches are silent, but for that of pods.
fn api_server(ready: i32, pod: Value, changes: fn() -> Body) -> Client {
    let there = Arc::new((set(ready), pod));
    client(move |request| answer(request.uri().path(), watches(request), &there, changes))
}

/// An API server by its answers.
fn client(answer: impl Fn(&Request<k8s::Body>) -> (u16, Body) + Clone + Send + 'static) -> Client {
    let service = tower::service_fn(move |request: Request<k8s::Body>| {
        let (status, body) = answer(&request);
        let answer = Response::builder().status(status).body(body);
        async move { Ok::<_, tower::BoxError>(answer.expect("a response")) }
    });
    Client::new(service, "default")
}

fn set(ready: i32) -> Value {
    json!({
        "metadata": {"name": "datadog-agent", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": {}},
        "status": {"observedGeneration": 1, "desiredNumberScheduled": 1, "currentNumberScheduled": 1,
            "numberReady": ready, "numberMisscheduled": 0, "updatedNumberScheduled": 1},
    })
}

fn watches(request: &Request<k8s::Body>) -> bool {
    request.uri().query().is_some_and(|query| query.contains("watch=true"))
}

fn answer(path: &str, watches: bool, (set, pod): &(Value, Value), changes: fn() -> Body) -> (u16, Body) {
    let list =
        |items: &[&Value]| (200, Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string()));
    match (path.rsplit('/').next().unwrap_or_default(), watches) {
        ("apis", _) => (200, Body::from(json!({"groups": []}).to_string())),
        ("v2alpha1", _) => {
            let unknown = json!({"status": "Failure", "message": "", "reason": "NotFound", "code": 404});
            (404, Body::from(unknown.to_string()))
        }
        ("pods", true) => (200, changes()),
        (_, true) => (200, silence()),
        ("pods", false) => list(&[pod]),
        ("daemonsets", false) => list(&[set]),
        (_, false) => list(&[]),
    }
}

fn silence() -> Body {
    Body::from_stream(stream::pending::<Result<String, tower::BoxError>>())
}
