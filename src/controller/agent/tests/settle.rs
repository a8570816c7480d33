//! What comes together is looked at together: each look goes through the pods of all nodes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::super::start;
use crate::controller::Context;
use crate::controller::stack::{Stack, Status, Written};
use crate::controller::status::Sink;
use crate::k8s::{self, Client};
use crate::tasks::Tasks;

/// Changes of pods in a rollout, and how far they are apart.
const CHANGES: usize = 400;
const APART: Duration = Duration::from_millis(10);

fn pod(restarts: usize) -> Value {
    json!({
        "metadata": {"name": "agent-1", "namespace": "datadog", "resourceVersion": (restarts + 1).to_string()},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "containerStatuses": [{"name": "agent", "restartCount": restarts,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 1}}}]},
    })
}

fn daemon_set() -> Value {
    json!({
        "metadata": {"name": "datadog-agent", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": {}},
        "status": {"observedGeneration": 1, "desiredNumberScheduled": 1, "currentNumberScheduled": 1,
            "numberReady": 0, "numberMisscheduled": 0, "updatedNumberScheduled": 1},
    })
}

/// There is a DaemonSet whose pod is another every few milliseconds.
fn answer(path: &str, watches: bool) -> (u16, Body) {
    let list =
        |items: Value| (200, Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string()));
    let of = path.rsplit('/').next().unwrap_or_default();
    match (of, watches) {
        ("apis", _) => (200, Body::from(json!({"groups": []}).to_string())),
        ("v2alpha1", _) => {
            let unknown = json!({"status": "Failure", "message": "", "reason": "NotFound", "code": 404});
            (404, Body::from(unknown.to_string()))
        }
        ("pods", true) => {
            let changes = stream::unfold(1, |at| async move {
                if at > CHANGES {
                    return std::future::pending().await;
                }
                sleep(APART).await;
                let change = json!({"type": "MODIFIED", "object": pod(at)});
                Some((Ok::<_, tower::BoxError>(format!("{change}\n")), at + 1))
            });
            (200, Body::from_stream(changes))
        }
        (_, true) => (200, Body::from_stream(stream::pending::<Result<String, tower::BoxError>>())),
        ("pods", false) => list(json!([pod(0)])),
        ("daemonsets", false) => list(json!([daemon_set()])),
        (_, false) => list(json!([])),
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_looked_at_a_few_times_a_second() {
    let service = tower::service_fn(|request: Request<k8s::Body>| async move {
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let (status, body) = answer(request.uri().path(), watches);
        Ok::<_, tower::BoxError>(Response::builder().status(status).body(body).expect("a response"))
    });
    let spec = json!({"agent": {"mode": "adopt", "adopt": {"daemonSet": "datadog-agent", "clusterAgent": ""}}});
    let stack = Arc::new(Stack::new("u".to_owned(), 1, &spec));
    let status = Status { uid: "u".to_owned(), generation: 1, status: Value::Null };
    let (_written, written) = watch::channel(Arc::new(Written::from([("default".to_owned(), status)])));
    let (sink, mut reports) = Sink::new();
    let (_stack, stacks) = watch::channel(Some(stack));
    let context = Context { stack: stacks, status: sink, ..Context::of_nothing(Client::new(service, "default")) };
    let mut tasks = Tasks::default();
    start(&mut tasks, &context, written);
    let last = format!(" {CHANGES} restarts");
    let mut told = 0;
    while !format!("{:?}", *reports.borrow_and_update()).contains(&last) {
        let changed = timeout(Duration::from_mins(1), reports.changed()).await.expect("the last one is told");
        changed.expect("the context has the sender");
        told += 1;
    }
    assert!(told < CHANGES / 10, "{told} times for {CHANGES} changes");
}
