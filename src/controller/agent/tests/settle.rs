//! What comes together is looked at together: each look goes through the pods of all nodes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::super::start;
use super::api_server;
use crate::controller::Context;
use crate::controller::stack::{Stack, Status, Written};
use crate::controller::status::{Reports, Sink};
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

/// What is told of an Agent with that pod.
struct Told {
    reports: watch::Receiver<Reports>,
    _stack: watch::Sender<Option<Arc<Stack>>>,
    _written: watch::Sender<Arc<Written>>,
    _tasks: Tasks,
}

impl Told {
    fn of(pod: Value, changes: fn() -> Body) -> Self {
        let client = api_server(0, pod, changes);
        let spec = json!({"agent": {"mode": "adopt", "adopt": {"daemonSet": "datadog-agent", "clusterAgent": ""}}});
        let stack = Arc::new(Stack::new("u".to_owned(), 1, &spec));
        let status = Status { uid: "u".to_owned(), generation: 1, status: Value::Null };
        let written = watch::channel(Arc::new(Written::from([("default".to_owned(), status)])));
        let (sink, reports) = Sink::new();
        let stacks = watch::channel(Some(stack));
        let context = Context { stack: stacks.1, status: sink, ..Context::of_nothing(client) };
        let mut tasks = Tasks::default();
        start(&mut tasks, &context, written.1, watch::Sender::default(), watch::Sender::default());
        Self { reports, _stack: stacks.0, _written: written.0, _tasks: tasks }
    }

    fn says(&mut self, text: &str) -> bool {
        format!("{:?}", *self.reports.borrow_and_update()).contains(text)
    }

    /// Until it says so: how many times something is told.
    async fn until(&mut self, text: &str) -> usize {
        let mut told = 0;
        while !self.says(text) {
            let changed = timeout(Duration::from_mins(1), self.reports.changed()).await.expect("it is told");
            changed.expect("the context has the sender");
            told += 1;
        }
        told
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_looked_at_a_few_times_a_second() {
    let told = Told::of(pod(0), changes).until(&format!(" {CHANGES} restarts")).await;
    assert!(told < CHANGES / 10, "{told} times for {CHANGES} changes");
}

#[tokio::test(start_paused = true)]
async fn one_that_crashes_is_told_with_the_command_that_shows_why() {
    Told::of(pod(0), || Body::from_stream(stream::pending::<Result<String, tower::BoxError>>()))
        .until("kubectl logs agent-1 -n datadog -c agent --previous")
        .await;
}

/// A drain, or a rollout, ends it by a signal.
#[tokio::test(start_paused = true)]
async fn one_that_is_about_to_end_isnt_told() {
    fn ends() -> Body {
        let mut pod = pod(1);
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let told = stream::once(async move {
            Ok::<_, tower::BoxError>(format!("{}\n", json!({"type": "MODIFIED", "object": pod})))
        });
        Body::from_stream(told.chain(stream::pending()))
    }
    let mut told = Told::of(pod(0), ends);
    told.until("AgentRollingOut").await;
    sleep(Duration::from_mins(1)).await;
    assert!(told.says("AgentRollingOut"), "{:?}", told.reports.borrow());
}
