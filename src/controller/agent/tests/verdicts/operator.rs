//! What is said where the Datadog Operator, or somebody else, keeps the Agent.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::mode::Served;
use super::super::super::observe::{DatadogAgent, Maker, Nodes};
use super::super::super::verdict::{PATIENCE, Sight};
use super::{check, nodes, of_operator, told, well};
use crate::api::condition::Reason;
use crate::api::stack::{AgentMode, AgentWay};

#[test]
fn what_the_operator_does_not_do() {
    let object = || of_operator().datadog_agent.expect("one");
    let failing = DatadogAgent { faults: vec!["DatadogAgentReconcileError: x".to_owned()], ..object() };
    let no_status = DatadogAgent { has_status: false, ..object() };
    let late = Some(PATIENCE + Duration::from_secs(1));
    check(vec![
        (Sight { served: Some(Served::No), ..of_operator() }, Reason::OperatorMissing, ""),
        (
            Sight { served: Some(Served::Others(vec!["v3".to_owned()])), ..of_operator() },
            Reason::OperatorOutdated,
            "DatadogAgent is served as v3 only, not as v2alpha1",
        ),
        (
            Sight { datadog_agent: Some(failing), ..of_operator() },
            Reason::OperatorFailing,
            "DatadogAgent datadog: DatadogAgentReconcileError: x",
        ),
        (
            Sight { behind: Some(Duration::ZERO), ..of_operator() },
            Reason::AgentRollingOut,
            "the Datadog Operator has yet to act on DatadogAgent datadog",
        ),
        (
            Sight { behind: late, datadog_agent: Some(no_status), nodes: None, ..of_operator() },
            Reason::OperatorSilent,
            "DatadogAgent datadog has no status",
        ),
        (
            Sight { behind: late, ..of_operator() },
            Reason::OperatorSilent,
            "DatadogAgent datadog was changed, and its DaemonSet wasn't",
        ),
    ]);
}

/// Whoever keeps the Agent may well have none, or call it otherwise; all of it would be lost in silence.
#[test]
fn what_leads_to_an_adopted_agent_is_told() {
    let adopted = |service: &str| Sight { way: Some(AgentWay::Adopt), no_service: Some(service.to_owned()), ..well() };
    check(vec![
        (adopted("otel-collector"), Reason::AgentServiceMissing, "pods are told to send to Service otel-collector"),
        (adopted("datadog-agent"), Reason::AgentServiceMissing, "the Collector sends to Service datadog-agent"),
        (
            Sight { nodes: Some(Nodes { updated: 1, ..nodes(3, 3) }), ..adopted("otel-collector") },
            Reason::AgentRollingOut,
            "DaemonSet datadog-agent: 3 of 3 nodes are ready, 1 have the newest version",
        ),
    ]);
}

/// What the operator calls running.
#[test]
fn one_of_a_hundred_and_none_of_none_are_not_well() {
    let few = Sight { nodes: Some(nodes(100, 1)), pods: Vec::new(), ..of_operator() };
    assert_eq!(told(&few).0, Reason::AgentRollingOut);
    assert_eq!(few.count().as_deref(), Some("1/100"));
    let none = Sight { nodes: Some(nodes(0, 0)), pods: Vec::new(), ..of_operator() };
    assert_eq!(told(&none).0, Reason::AgentWithoutNode);
}

#[test]
fn a_definition_that_comes_later_is_only_reported() {
    let appeared = Sight { asked: AgentMode::Auto, served: Some(Served::Yes), ..well() };
    let (reason, detail) = told(&appeared);
    assert_eq!(reason, Reason::AgentReady);
    assert!(detail.contains("set agent.mode to operator"), "{detail}");
    let asked_for = Sight { served: Some(Served::Yes), ..well() };
    assert_eq!(told(&asked_for), (Reason::AgentReady, String::new()));
}

#[test]
fn a_token_in_a_status_is_not_kept() {
    let found = serde_json::from_value(json!({
        "apiVersion": "datadoghq.com/v2alpha1", "kind": "DatadogAgent", "metadata": {"name": "datadog"},
        "status": {"clusterAgent": {"generatedToken": "hunter2"}, "conditions": [
            {"type": "ClusterAgentReconcile", "status": "True", "message": "fine"},
            {"type": "DatadogAgentReconcileError", "status": "False", "message": "was"},
            {"type": "OverrideReconcileConflict", "status": "True", "message": "two"}]},
    }))
    .expect("an object");
    let seen = DatadogAgent::of(&found);
    assert!(!format!("{seen:?}").contains("hunter2"));
    assert_eq!((seen.has_status, seen.faults), (true, vec!["OverrideReconcileConflict: two".to_owned()]));
}

/// The operator hands labels of its object on to what it makes.
#[test]
fn who_made_a_workload_is_told_from_what_it_carries() {
    let made = |labels: Value, owner: Value| -> Maker {
        let found = json!({"metadata": {"name": "datadog-agent", "labels": labels, "ownerReferences": [owner]}});
        Nodes::of(&serde_json::from_value(found).expect("a DaemonSet")).maker
    };
    let owner = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "name": "x", "uid": "u"});
    let stack = owner("otelgate.dev/v1alpha1", "TelemetryStack");
    let internal = owner("datadoghq.com/v1alpha1", "DatadogAgentInternal");
    assert_eq!(made(json!({"otelgate.dev/part": "agent"}), stack.clone()), Maker::Controller);
    assert_eq!(made(json!({"otelgate.dev/part": "operator"}), internal.clone()), Maker::Operator);
    assert_eq!(made(json!({}), internal), Maker::Operator);
    assert_eq!(made(json!({}), stack.clone()), Maker::OwnedAlone);
    let written = |by: &str| {
        let fields = json!([{"manager": by, "operation": "Apply"}]);
        let found = json!({"metadata": {"name": "datadog-agent", "managedFields": fields}});
        Nodes::of(&serde_json::from_value(found).expect("a DaemonSet")).maker
    };
    assert_eq!(written("otelgate-controller"), Maker::WrittenAlone);
    assert_eq!(written("kubectl"), Maker::SomebodyElse);
    assert_eq!(made(json!({"otelgate.dev/part": "collector"}), stack), Maker::SomebodyElse);
}
