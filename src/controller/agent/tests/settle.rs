//! What comes together is looked at together: each look goes through the pods of all nodes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::super::start;
use super::api_server;
use crate::controller::Context;
use crate::controller::stack::{Stack, Status, Written};
use crate::controller::status::Sink;
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

/// Its pod is another every few milliseconds.
fn changes() -> Body {
    Body::from_stream(stream::unfold(1, |at| async move {
        if at > CHANGES {
            return std::future::pending().await;
        }
        sleep(APART).await;
        let change = json!({"type": "MODIFIED", "object": pod(at)});
        Some((Ok::<_, tower::BoxError>(format!("{change}\n")), at + 1))
    }))
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_looked_at_a_few_times_a_second() {
    let client = api_server(0, pod(0), changes);
    let spec = json!({"agent": {"mode": "adopt", "adopt": {"daemonSet": "datadog-agent", "clusterAgent": ""}}});
    let stack = Arc::new(Stack::new("u".to_owned(), 1, &spec));
    let status = Status { uid: "u".to_owned(), generation: 1, status: Value::Null };
    let (_written, written) = watch::channel(Arc::new(Written::from([("default".to_owned(), status)])));
    let (sink, mut reports) = Sink::new();
    let (_stack, stacks) = watch::channel(Some(stack));
    let context = Context { stack: stacks, status: sink, ..Context::of_nothing(client) };
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
