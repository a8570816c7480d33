//! What was said of an Agent that runs stays said: while another place is looked at, and while the spec has a fault.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::start;
use crate::controller::Context;
use crate::controller::stack::{Stack, Status, Written};
use crate::controller::status::{Reports, Sink};
use crate::k8s::{self, Client};
use crate::tasks::Tasks;

/// There is a DaemonSet, and its one pod is ready.
pub(super) fn answer(path: &str, watches: bool) -> (u16, Body) {
    let list =
        |items: Value| (200, Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string()));
    let of = path.rsplit('/').next().unwrap_or_default();
    match (of, watches) {
        ("apis", _) => (200, Body::from(json!({"groups": []}).to_string())),
        ("v2alpha1", _) => {
            let unknown = json!({"status": "Failure", "message": "", "reason": "NotFound", "code": 404});
            (404, Body::from(unknown.to_string()))
        }
        (_, true) => (200, Body::from_stream(stream::pending::<Result<String, tower::BoxError>>())),
        ("pods", false) => list(json!([{
            "metadata": {"name": "agent-1", "namespace": "datadog", "resourceVersion": "1"},
            "spec": {"nodeName": "node-1"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }])),
        ("daemonsets", false) => list(json!([{
            "metadata": {"name": "datadog-agent", "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": {}},
            "status": {"observedGeneration": 1, "desiredNumberScheduled": 1, "currentNumberScheduled": 1,
                "numberReady": 1, "numberMisscheduled": 0, "updatedNumberScheduled": 1},
        }])),
        (_, false) => list(json!([])),
    }
}

pub(super) fn spec(change: &Value) -> Value {
    let mut spec = json!({"agent": {"mode": "adopt", "adopt": {"daemonSet": "datadog-agent", "clusterAgent": ""}}});
    for (part, value) in change.as_object().expect("parts") {
        spec[part] = value.clone();
    }
    spec
}

/// As it is told of.
pub(super) struct Agent {
    stack: watch::Sender<Option<Arc<Stack>>>,
    reports: watch::Receiver<Reports>,
    generation: i64,
    _written: watch::Sender<Arc<Written>>,
    _tasks: Tasks,
}

impl Agent {
    /// With what a leader before has left.
    fn start(spec: &Value, status: Value) -> Self {
        Self::of(spec, status, |request| answer(request.uri().path(), watches(request)))
    }

    /// With the API server's answers.
    pub fn of(
        spec: &Value,
        status: Value,
        answer: impl Fn(&Request<k8s::Body>) -> (u16, Body) + Clone + Send + 'static,
    ) -> Self {
        let service = tower::service_fn(move |request: Request<k8s::Body>| {
            let (status, body) = answer(&request);
            async move { Ok::<_, tower::BoxError>(Response::builder().status(status).body(body).expect("a response")) }
        });
        let status = Status { uid: "u".to_owned(), generation: 1, status };
        let (kept, written) = watch::channel(Arc::new(Written::from([("default".to_owned(), status)])));
        let (sink, reports) = Sink::new();
        let (stack, stacks) = watch::channel(Some(Arc::new(Stack::new("u".to_owned(), 1, spec))));
        let context = Context { stack: stacks, status: sink, ..Context::of_nothing(Client::new(service, "default")) };
        let mut tasks = Tasks::default();
        start(&mut tasks, &context, written);
        Self { stack, reports, generation: 1, _written: kept, _tasks: tasks }
    }

    fn ask_for(&mut self, spec: &Value) {
        self.generation += 1;
        self.stack.send_replace(Some(Arc::new(Stack::new("u".to_owned(), self.generation, spec))));
    }

    /// Everything that is reported until that is said of the newest spec.
    pub async fn until(&mut self, reason: &str) -> Vec<Reports> {
        let generation = format!("generation: {}", self.generation);
        let mut all = Vec::new();
        loop {
            let now = self.reports.borrow_and_update().clone();
            let told = format!("{now:?}");
            all.push(now);
            if told.contains(reason) && told.contains(&generation) {
                return all;
            }
            let changed = timeout(Duration::from_mins(1), self.reports.changed()).await.expect("it is said");
            changed.expect("the context has the sender");
        }
    }
}

impl Agent {
    pub async fn until_off(&mut self) {
        let off = self.reports.wait_for(|reports| format!("{reports:?}").contains("AgentAvailable: Off"));
        timeout(Duration::from_mins(1), off).await.expect("it is said").expect("the context has the sender");
    }
}

pub(super) fn watches(request: &Request<k8s::Body>) -> bool {
    request.uri().query().is_some_and(|query| query.contains("watch=true"))
}

fn nodes(reports: &[Reports]) -> Vec<&str> {
    let mut nodes: Vec<_> =
        reports.iter().filter_map(|one| one.agent.as_ref()).map(|agent| agent.nodes.as_str()).collect();
    nodes.dedup();
    nodes
}

#[tokio::test(start_paused = true)]
async fn another_place_is_looked_at_before_anything_is_said_of_it() {
    let mut agent = Agent::start(&spec(&json!({})), Value::Null);
    agent.until("AgentReady").await;
    agent.ask_for(&spec(&json!({"datadog": {"secret": {"name": "another"}}})));
    let reports = agent.until("AgentReady").await;
    assert_eq!(nodes(&reports), ["1/1"]);
    for one in &reports {
        assert!(!format!("{one:?}").contains("NotLookedAt"), "{one:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_spec_changes_no_number() {
    let mut agent = Agent::start(&spec(&json!({})), Value::Null);
    agent.until("AgentReady").await;
    agent.ask_for(&spec(&json!({"agent": {"mode": 7}})));
    assert_eq!(nodes(&agent.until("AgentUnusable").await), ["1/1"]);
    // Nor has the next leader where to look.
    let status = json!({"agent": {"mode": "adopt", "nodes": "3/3", "clusterAgent": "2/2"}});
    let mut agent = Agent::start(&spec(&json!({"agent": {"mode": 7}})), status);
    let reports = agent.until("AgentUnusable").await;
    assert_eq!(nodes(&reports), ["3/3"]);
    let last = reports.last().and_then(|one| one.agent.clone()).expect("it is told");
    assert_eq!(last.cluster_agent.as_deref(), Some("2/2"));
}
