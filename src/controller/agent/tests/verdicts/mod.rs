//! A table of causes: what is seen, and what is said of it.

mod operator;
mod pods;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::mode::{Allowed, Present, Served};
use super::super::observe::{DatadogAgent, Maker, Nodes, Pod, Replicas};
use super::super::verdict::{Said, Sight};
use crate::api::condition::{Holds, Reason};
use crate::api::stack::{AgentMode, AgentWay};
use crate::controller::contest::Undoing;
use crate::controller::left::Left;
use crate::controller::objects::{Outcome, Progress};

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

fn nodes(desired: i32, ready: i32) -> Nodes {
    Nodes {
        name: "datadog-agent".to_owned(),
        generation: 2,
        observed_generation: 2,
        desired,
        current: desired,
        ready,
        updated: desired,
        ..Nodes::default()
    }
}

fn well() -> Sight {
    Sight {
        asked: AgentMode::Daemonset,
        way: Some(AgentWay::Daemonset),
        served: Some(Served::No),
        allowed: Some(Allowed::Way(AgentWay::Daemonset)),
        looked: true,
        nodes: Some(nodes(3, 3)),
        wants_cluster_agent: true,
        cluster_agent: Some(Replicas {
            name: "datadog-cluster-agent".to_owned(),
            desired: 1,
            ready: 1,
            updated: 1,
            ..Replicas::default()
        }),
        outcomes: vec![Outcome::Kept { generation: 1 }],
        pods: (1..=3).map(|at| pod(at, json!({"ready": true, "started": true, "state": {"running": {}}}))).collect(),
        ..Sight::default()
    }
}

/// Two of a host are told before whatever else, and in every mode.
#[test]
fn an_agent_that_was_left_behind_is_told() {
    let left = Left { namespace: "old".to_owned(), pods: 3, why: Some("DaemonSet: no".to_owned()) };
    for way in [AgentWay::Daemonset, AgentWay::Operator, AgentWay::Adopt, AgentWay::Disabled] {
        let sight = Sight { way: Some(way), left: Some(left.clone()), ..well() };
        let detail = "3 pods in namespace old, which can't be taken away: DaemonSet: no".to_owned();
        assert_eq!(sight.verdict(now()), Said::Verdict(Reason::AgentLeftBehind, detail), "{way:?}");
    }
}

/// The Agent's pod on a node, with the state of its container.
fn pod(at: usize, mut container: Value) -> Arc<Pod> {
    container["name"] = json!("agent");
    let ready = if container["ready"] == true { "True" } else { "False" };
    let pod = json!({
        "metadata": {"name": format!("agent-{at}")},
        "spec": {"nodeName": format!("node-{at}")},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}], "containerStatuses": [container]},
    });
    Arc::new(Pod::of(serde_json::from_value(pod).expect("a pod")))
}

/// With pods in these states, the rest being well.
fn with_pods(containers: &[Value]) -> Sight {
    let mut sight = well();
    for (at, container) in containers.iter().enumerate() {
        sight.pods[at] = pod(at + 1, container.clone());
    }
    let ready = 3 - i32::try_from(containers.len()).expect("few");
    sight.nodes = Some(nodes(3, ready));
    sight
}

/// What isn't ready hasn't been for so many minutes.
fn since(minutes: i64, mut sight: Sight) -> Sight {
    for pod in sight.pods.iter_mut().filter(|pod| !pod.ready) {
        Arc::make_mut(pod).since = Some(now() - SignedDuration::from_mins(minutes));
    }
    sight
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason, "message": message}}})
}

fn crashed(reason: &str, code: i32) -> Value {
    json!({"restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"reason": reason, "exitCode": code, "message": "no such key"}}})
}

fn of_operator() -> Sight {
    let agent = DatadogAgent {
        name: "datadog".to_owned(),
        maker: Maker::Controller,
        has_status: true,
        ..DatadogAgent::default()
    };
    Sight {
        asked: AgentMode::Operator,
        way: Some(AgentWay::Operator),
        served: Some(Served::Yes),
        allowed: Some(Allowed::Way(AgentWay::Operator)),
        datadog_agent: Some(agent),
        ..well()
    }
}

fn of_operator_without_object() -> Sight {
    Sight { datadog_agent: None, ..of_operator() }
}

fn told(sight: &Sight) -> (Reason, String) {
    match sight.verdict(now()) {
        Said::Verdict(reason, detail) => (reason, detail),
        Said::Off | Said::NotYet => panic!("nothing is said"),
    }
}

#[test]
fn all_is_well() {
    assert_eq!(told(&well()), (Reason::AgentReady, String::new()));
    assert_eq!(told(&of_operator()), (Reason::AgentReady, String::new()));
    assert_eq!(well().count().as_deref(), Some("3/3"));
    let adopted = Sight { way: Some(AgentWay::Adopt), wants_cluster_agent: false, cluster_agent: None, ..well() };
    assert_eq!(told(&adopted).0, Reason::AgentReady);
}

#[test]
fn an_agent_that_is_switched_off_has_nothing_said_of_it_once_it_is_gone() {
    let off = Sight { way: Some(AgentWay::Disabled), nodes: None, cluster_agent: None, pods: Vec::new(), ..well() };
    assert_eq!(off.verdict(now()), Said::Off);
    assert_eq!(off.count().as_deref(), Some("off"));
    let own = Sight { present: Present { own: true, ..Present::default() }, ..off.clone() };
    assert_eq!(told(&own).0, Reason::AgentLeftOver);
    let agent = DatadogAgent {
        name: "datadog".to_owned(),
        maker: Maker::Controller,
        deleting: true,
        ..DatadogAgent::default()
    };
    let (reason, detail) = told(&Sight { datadog_agent: Some(agent), ..off });
    assert_eq!(reason, Reason::AgentLeftOver);
    assert_eq!(detail, "DatadogAgent datadog is being deleted, and its finalizer isn't taken out yet");
}

/// What was said of the spec before stands until it is known what became of this one; what is wrong whatever that is, is
/// told.
#[test]
fn nothing_is_said_of_a_spec_that_isnt_written_yet() {
    let crashing = || with_pods(&[crashed("Error", 1)]);
    for (sight, progress, expected) in [
        (well(), Progress::Known, Some(Reason::AgentReady)),
        (well(), Progress::HandedOver, None),
        (well(), Progress::Waiting, None),
        (crashing(), Progress::HandedOver, None),
        (crashing(), Progress::Waiting, Some(Reason::AgentCrashing)),
        (Sight { nodes: None, ..well() }, Progress::HandedOver, None),
        (Sight { nodes: None, ..well() }, Progress::Waiting, Some(Reason::AgentMissing)),
        (of_operator(), Progress::HandedOver, None),
        (Sight { served: Some(Served::No), ..of_operator() }, Progress::HandedOver, Some(Reason::OperatorMissing)),
        (Sight { fault: Some("no".to_owned()), ..well() }, Progress::HandedOver, Some(Reason::AgentSpecInvalid)),
        (
            Sight { allowed: Some(Allowed::Foreign("DaemonSet x".to_owned())), ..well() },
            Progress::Waiting,
            Some(Reason::AgentForeign),
        ),
    ] {
        let sight = Sight { progress, ..sight };
        let reason = match sight.verdict(now()) {
            Said::Verdict(reason, _) => Some(reason),
            Said::NotYet => None,
            Said::Off => panic!("nothing is off"),
        };
        assert_eq!(reason, expected, "{sight:?}");
    }
}

/// By what was seen before, all would be well.
#[test]
fn a_right_that_is_missing_is_told_in_every_way() {
    for way in [AgentWay::Daemonset, AgentWay::Operator, AgentWay::Adopt] {
        let missing = "Pod of the Datadog Agent: not allowed to watch pods in namespace datadog";
        let sight = Sight { way: Some(way), missing: Some(missing.to_owned()), ..of_operator() };
        assert_eq!(told(&sight), (Reason::AgentNotReadable, missing.to_owned()), "{way:?}");
    }
}

type Table = Vec<(Sight, Reason, &'static str)>;

#[track_caller]
fn check(table: Table) {
    for (sight, reason, detail) in table {
        assert_eq!(told(&sight), (reason, detail.to_owned()));
        assert_ne!(reason.holds(), Holds::True);
    }
}

#[test]
fn what_keeps_one_from_being_made() {
    let refused = Outcome::Refused {
        generation: 1,
        object: "DaemonSet datadog-agent".to_owned(),
        why: "quota".to_owned(),
        answered: true,
    };
    let foreign = Outcome::Foreign { generation: 1, object: "Service datadog-agent".to_owned() };
    let contested = |how, object: &str, by: &str| Outcome::Contested {
        generation: 1,
        object: object.to_owned(),
        how,
        by: by.to_owned(),
    };
    let changed_back = contested(Undoing::ChangedBack, "Service datadog-agent", "tug");
    let unseen = Outcome::Unseen { generation: 1, kind: "Role", why: "not allowed".to_owned() };
    let of_datadog_agent = |why: fn(String) -> Outcome| vec![why("DatadogAgent datadog".to_owned())];
    let kept_by_policy = |object| Outcome::Refused { generation: 1, object, why: "policy".to_owned(), answered: true };
    let put_back = vec![contested(Undoing::PutBack, "DatadogAgent datadog", "argocd")];
    check(vec![
        (
            Sight {
                allowed: Some(Allowed::LeftOver),
                outcomes: of_datadog_agent(kept_by_policy),
                datadog_agent: of_operator().datadog_agent,
                ..well()
            },
            Reason::AgentNotWritten,
            "DatadogAgent datadog: policy",
        ),
        (
            Sight { way: Some(AgentWay::Disabled), outcomes: of_datadog_agent(kept_by_policy), ..of_operator() },
            Reason::AgentNotWritten,
            "DatadogAgent datadog: policy",
        ),
        (
            Sight { way: Some(AgentWay::Adopt), outcomes: put_back, ..of_operator() },
            Reason::AgentContested,
            "DatadogAgent datadog is put back each time by argocd",
        ),
        (Sight { fault: Some("spec.agent: no".to_owned()), ..well() }, Reason::AgentSpecInvalid, "spec.agent: no"),
        (Sight { way: None, ..well() }, Reason::AgentUndecided, ""),
        (Sight { outcomes: vec![unseen], ..well() }, Reason::AgentNotReadable, "Role: not allowed"),
        (Sight { outcomes: vec![foreign], ..well() }, Reason::AgentForeign, "Service datadog-agent isn't otelgate's"),
        (
            Sight { allowed: Some(Allowed::Foreign("DaemonSet datadog".to_owned())), ..well() },
            Reason::AgentForeign,
            "DaemonSet datadog isn't otelgate's",
        ),
        (
            Sight { allowed: Some(Allowed::LeftOver), datadog_agent: of_operator().datadog_agent, ..well() },
            Reason::AgentLeftOver,
            "DatadogAgent datadog is still there",
        ),
        (
            Sight { allowed: Some(Allowed::LeftOver), ..well() },
            Reason::AgentLeftOver,
            "the Datadog Operator hasn't taken away DaemonSet datadog-agent yet",
        ),
        (
            Sight {
                allowed: Some(Allowed::LeftOver),
                present: Present { own: true, ..Present::default() },
                ..of_operator_without_object()
            },
            Reason::AgentLeftOver,
            "DaemonSet datadog-agent or Deployment datadog-cluster-agent is still there",
        ),
        (Sight { outcomes: vec![refused], ..well() }, Reason::AgentNotWritten, "DaemonSet datadog-agent: quota"),
        (
            Sight { outcomes: vec![changed_back], ..well() },
            Reason::AgentContested,
            "Service datadog-agent is changed back each time by tug",
        ),
        (Sight { nodes: None, looked: false, ..well() }, Reason::NotLookedAt, ""),
        (Sight { nodes: None, ..well() }, Reason::AgentMissing, ""),
    ]);
}

#[test]
fn nothing_is_counted_that_wasnt_looked_at() {
    assert_eq!(Sight { nodes: None, looked: false, ..well() }.count(), None);
    assert_eq!(Sight { nodes: None, ..well() }.count().as_deref(), Some("0/0"));
}

#[test]
fn what_workloads_say_of_themselves() {
    let replicas = |desired: i32, ready: i32| Some(Replicas { desired, ready, ..well().cluster_agent.expect("one") });
    check(vec![
        (
            Sight { nodes: Some(Nodes { generation: 3, ..nodes(3, 3) }), ..well() },
            Reason::AgentRollingOut,
            "DaemonSet datadog-agent was changed and hasn't been looked at since",
        ),
        (
            Sight { nodes: Some(nodes(0, 0)), pods: Vec::new(), ..well() },
            Reason::AgentWithoutNode,
            "DaemonSet datadog-agent is to run on 0 nodes",
        ),
        (
            Sight { nodes: Some(Nodes { updated: 1, ..nodes(3, 3) }), ..well() },
            Reason::AgentRollingOut,
            "DaemonSet datadog-agent: 3 of 3 nodes are ready, 1 have the newest version",
        ),
        (Sight { cluster_agent: None, ..well() }, Reason::ClusterAgentNotReady, "its Deployment isn't there"),
        (
            Sight { cluster_agent: replicas(2, 1), ..well() },
            Reason::ClusterAgentNotReady,
            "Deployment datadog-cluster-agent: 1 of 2 replicas are ready, 1 have the newest version",
        ),
        (
            Sight { cluster_agent: replicas(0, 0), ..well() },
            Reason::ClusterAgentNotReady,
            "Deployment datadog-cluster-agent: 0 of 0 replicas are ready, 1 have the newest version",
        ),
    ]);
}

#[test]
fn another_that_runs_beside_ours_is_told_where_ours_is_well() {
    let beside = || Some("DaemonSet datadog in namespace monitoring".to_owned());
    check(vec![
        (
            Sight { beside: beside(), ..well() },
            Reason::AgentForeign,
            "DaemonSet datadog in namespace monitoring isn't otelgate's, and runs beside otelgate's own",
        ),
        (
            Sight { beside: beside(), ..of_operator() },
            Reason::AgentForeign,
            "DaemonSet datadog in namespace monitoring isn't otelgate's, and runs beside otelgate's own",
        ),
        (
            Sight { beside: beside(), cluster_agent: None, ..well() },
            Reason::ClusterAgentNotReady,
            "its Deployment isn't there",
        ),
    ]);
}

/// By which an alert tells a rollout that gets on from one that doesn't.
#[test]
fn nodes_that_wait_for_a_rollout_are_counted_while_nothing_else_is_wrong() {
    let rolling = |updated: i32, ready: i32| Sight { nodes: Some(Nodes { updated, ..nodes(9, ready) }), ..well() };
    for (sight, expected) in [
        (well(), None),
        (rolling(2, 8), Some(7)),
        (rolling(9, 8), Some(1)),
        (rolling(9, 0), Some(9)),
        (with_pods(&[waiting("ContainerCreating", "")]), Some(1)),
        (since(5, with_pods(&[waiting("ContainerCreating", "")])), None),
        (with_pods(&[crashed("Error", 1)]), None),
        (Sight { cluster_agent: None, ..well() }, None),
    ] {
        let (reason, _) = told(&sight);
        assert_eq!(sight.waiting(reason), expected, "{sight:?}");
    }
}

#[test]
fn the_worst_is_told_first_and_few_nodes_are_named() {
    let (reason, _) = told(&with_pods(&[waiting("ErrImagePull", ""), crashed("OOMKilled", 137)]));
    assert_eq!(reason, Reason::AgentOutOfMemory);
    let many = Sight {
        nodes: Some(nodes(9, 0)),
        pods: (1..=9).map(|at| pod(at, waiting("ErrImagePull", "x"))).collect(),
        ..well()
    };
    let (_, detail) = told(&many);
    assert!(detail.starts_with("9 of 9 nodes: node-1: ") && detail.ends_with("; and 6 more"), "{detail}");
}
