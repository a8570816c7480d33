//! What was said of an Agent that runs stays said: while another place is looked at, and while the spec has a fault.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::super::start;
use super::{client, set, silence, watches};
use crate::api::stack::Owner;
use crate::collector::Carries;
use crate::controller::Context;
use crate::controller::collector::Carried;
use crate::controller::stack::{Stack, Status, Written};
use crate::controller::status::{Reports, Sink};
use crate::k8s::{self, Client};
use crate::tasks::Tasks;

fn pod() -> Value {
    json!({
        "metadata": {"name": "agent-1", "namespace": "datadog", "resourceVersion": "1"},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// There is a DaemonSet, and its one pod is ready.
pub(super) fn answer(path: &str, watches: bool) -> (u16, Body) {
    super::answer(path, watches, &(set(1), pod()), silence)
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
        Self::by(spec, status, client(answer))
    }

    /// By way of that client.
    pub fn by(spec: &Value, status: Value, client: Client) -> Self {
        Self::within(spec, status, Context::of_nothing(client))
    }

    fn within(spec: &Value, status: Value, context: Context) -> Self {
        let status = Status { uid: "u".to_owned(), generation: 1, status };
        let (kept, written) = watch::channel(Arc::new(Written::from([("default".to_owned(), status)])));
        let (sink, reports) = Sink::new();
        let (stack, stacks) = watch::channel(Some(Arc::new(Stack::new("u".to_owned(), 1, spec))));
        let context = Context { stack: stacks, status: sink, ..context };
        let mut tasks = Tasks::default();
        start(&mut tasks, &context, written, watch::Sender::default(), watch::Sender::default());
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

/// It is looked for, and what nobody made is told.
#[tokio::test(start_paused = true)]
async fn an_adopted_agent_that_nothing_leads_to_isnt_ready() {
    let mut agent = Agent::start(&spec(&json!({"collector": {"mode": "disabled"}})), Value::Null);
    agent.until("AgentServiceMissing").await;
    agent.ask_for(&spec(&json!({})));
    agent.until("AgentReady").await;
}

/// Of those that another leader has switched off it isn't known at first whether there still are any.
#[tokio::test(start_paused = true)]
async fn what_collectors_have_that_are_to_go_isnt_the_agents_before_they_have_gone() {
    let runs = Some(Carries { container_logs: true, ..Carries::default() });
    let (carried, seen) = watch::channel(None);
    let client = client(|request| answer(request.uri().path(), watches(request)));
    let context = Context { carried: seen, ..Context::of_nothing(client) };
    let off = spec(&json!({"collector": {"mode": "disabled"}, "injection": {"otlp": {"reach": "node"}}}));
    let mut agent = Agent::within(&off, Value::Null, context);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(agent.reports.borrow().owners, None, "nobody knows yet");
    for (told, expected) in [
        (Carried { settled: runs, anywhere: runs }, Owner::Collector),
        (Carried { settled: None, anywhere: runs }, Owner::Collector),
        (Carried::default(), Owner::Agent),
    ] {
        carried.send_replace(Some(told));
        sleep(Duration::from_secs(1)).await;
        let owners = agent.reports.borrow_and_update().owners.expect("they are told");
        assert_eq!(owners.otlp, expected, "{told:?}");
    }
}

/// As a leader before has left it.
#[tokio::test(start_paused = true)]
async fn what_an_agent_has_isnt_the_collectors_before_its_first_trial_has_passed() {
    let runs = Some(Carries { container_logs: true, ..Carries::default() });
    let (carried, seen) = watch::channel(Some(Carried::default()));
    let client = client(|request| answer(request.uri().path(), watches(request)));
    let context = Context { carried: seen, ..Context::of_nothing(client) };
    let had = json!({"containerLogs": "agent", "otlp": "agent", "prometheus": "agent", "clusterState": "agent",
                     "hostMetrics": "agent", "hostMetadata": "agent"});
    let status = json!({"agent": {"mode": "daemonset", "nodes": "1/1"}, "owners": had});
    let agent = Agent::within(&spec(&json!({"agent": {"mode": "daemonset"}})), status, context);
    for (told, expected) in [
        (Carried::default(), Owner::Agent),
        (Carried { settled: None, anywhere: runs }, Owner::Agent),
        (Carried { settled: runs, anywhere: runs }, Owner::Collector),
        (Carried::default(), Owner::Collector),
    ] {
        carried.send_replace(Some(told));
        sleep(Duration::from_secs(1)).await;
        let owners = agent.reports.borrow().owners.expect("they are told");
        assert_eq!((owners.container_logs, owners.otlp), (expected, expected), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_spec_changes_no_number() {
    let mut agent = Agent::start(&spec(&json!({})), Value::Null);
    agent.until("AgentReady").await;
    agent.ask_for(&spec(&json!({"agent": {"mode": 7}})));
    assert_eq!(nodes(&agent.until("AgentSpecInvalid").await), ["1/1"]);
    // Nor has the next leader where to look.
    let status = json!({"agent": {"mode": "adopt", "nodes": "3/3", "clusterAgent": "2/2"}});
    let mut agent = Agent::start(&spec(&json!({"agent": {"mode": 7}})), status);
    let reports = agent.until("AgentSpecInvalid").await;
    assert_eq!(nodes(&reports), ["3/3"]);
    let last = reports.last().and_then(|one| one.agent.clone()).expect("it is told");
    assert_eq!(last.cluster_agent.as_deref(), Some("2/2"));
}
