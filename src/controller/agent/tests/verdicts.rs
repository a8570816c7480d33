//! A table of causes: what is seen, and what is said of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::mode::{Allowed, Present, Served};
use super::super::observe::{DatadogAgent, Maker, Nodes, Pod, Replicas};
use super::super::verdict::{PATIENCE, Said, Sight};
use crate::api::condition::{Holds, Reason};
use crate::api::stack::{AgentMode, AgentWay};
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
        (Sight { fault: Some("no".to_owned()), ..well() }, Progress::HandedOver, Some(Reason::AgentUnusable)),
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
    let contested =
        Outcome::Contested { generation: 1, object: "Service datadog-agent".to_owned(), by: "tug".to_owned() };
    let unseen = Outcome::Unseen { generation: 1, kind: "Role", why: "not allowed".to_owned() };
    check(vec![
        (Sight { fault: Some("spec.agent: no".to_owned()), ..well() }, Reason::AgentUnusable, "spec.agent: no"),
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
            Sight { outcomes: vec![contested], ..well() },
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
fn on_a_node_that_has_just_joined_an_agent_may_take_its_time() {
    let joining = || Arc::new(["node-3".to_owned()].into());
    let summary = Reason::AgentReady.summary();
    let starting = || {
        let mut sight = Sight { joining: joining(), nodes: Some(nodes(3, 2)), ..well() };
        sight.pods[2] = pod(3, waiting("ContainerCreating", ""));
        sight
    };
    let detail = format!("{summary}; 1 node has just joined, without one that is ready yet, such as node-3");
    assert_eq!(told(&starting()), (Reason::AgentReady, detail));
    assert_eq!(starting().count().as_deref(), Some("2/2"));
    let mut no_pod = Sight { joining: joining(), ..well() };
    no_pod.nodes = Some(Nodes { current: 2, updated: 2, ..nodes(3, 2) });
    no_pod.pods.truncate(2);
    let detail = format!("{summary}; 1 node has just joined, without one that is ready yet");
    assert_eq!((told(&no_pod), no_pod.count().as_deref()), ((Reason::AgentReady, detail), Some("2/2")));
    assert_eq!(told(&Sight { joining: joining(), ..well() }), (Reason::AgentReady, String::new()));
    let mut another = starting();
    another.pods[1] = pod(2, waiting("ContainerCreating", ""));
    another.nodes = Some(nodes(3, 1));
    check(vec![
        (another, Reason::AgentRollingOut, "1 of 3 nodes: node-2: starting"),
        (Sight { joining: Arc::default(), ..starting() }, Reason::AgentRollingOut, "1 of 3 nodes: node-3: starting"),
        (
            Sight {
                joining: joining(),
                nodes: Some(Nodes { current: 1, updated: 1, ..nodes(3, 1) }),
                pods: vec![pod(1, json!({"ready": true, "started": true, "state": {"running": {}}}))],
                ..well()
            },
            Reason::AgentPodsRefused,
            "DaemonSet datadog-agent has 1 pods of 3",
        ),
        // It isn't the new one that is late.
        (
            Sight { nodes: Some(nodes(1, 0)), pods: vec![pod(3, waiting("ContainerCreating", ""))], ..starting() },
            Reason::AgentRollingOut,
            "1 of 1 nodes: node-3: starting",
        ),
    ]);
}

fn of_operator_without_object() -> Sight {
    Sight { datadog_agent: None, ..of_operator() }
}

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

#[test]
fn what_becomes_of_pods() {
    check(vec![
        (
            with_pods(&[crashed("OOMKilled", 137)]),
            Reason::AgentOutOfMemory,
            "1 of 3 nodes: node-1: agent: OOMKilled, exit code 137, 4 restarts: no such key",
        ),
        (
            with_pods(&[crashed("Error", 1), crashed("Error", 1)]),
            Reason::AgentCrashing,
            "2 of 3 nodes: node-1: agent: Error, exit code 1, 4 restarts: no such key; \
             node-2: agent: Error, exit code 1, 4 restarts: no such key",
        ),
        (
            with_pods(&[json!({"ready": true, "started": true, "restartCount": 5, "state": {"running": {}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 2, "finishedAt": "2026-01-01T11:58:00Z"}}})]),
            Reason::AgentCrashing,
            "1 of 3 nodes: node-1: agent: Error, exit code 2, 5 restarts",
        ),
        (
            with_pods(&[waiting("ImagePullBackOff", "not\nfound")]),
            Reason::AgentImageMissing,
            "1 of 3 nodes: node-1: agent: ImagePullBackOff: not found",
        ),
        (
            with_pods(&[waiting("CreateContainerConfigError", "secret \"datadog-secret\" not found")]),
            Reason::AgentNotStarted,
            "1 of 3 nodes: node-1: agent: CreateContainerConfigError: secret \"datadog-secret\" not found",
        ),
        (
            with_pods(&[json!({"started": true, "state": {"running": {}}})]),
            Reason::AgentNotDelivering,
            "1 of 3 nodes: node-1: agent runs and isn't ready",
        ),
        // Its probes may not have been asked yet, and the intake may not have answered.
        (
            with_pods(&[
                json!({"started": true, "state": {"running": {"startedAt": "2026-01-01T11:58:00Z"}}}),
                json!({"started": true, "state": {"running": {"startedAt": "2026-01-01T11:58:01Z"}}}),
            ]),
            Reason::AgentNotDelivering,
            "1 of 3 nodes: node-1: agent runs and isn't ready",
        ),
        (
            with_pods(&[json!({"started": true, "state": {"running": {"startedAt": "2026-01-01T11:58:01Z"}}})]),
            Reason::AgentRollingOut,
            "1 of 3 nodes: node-1: starting",
        ),
        (with_pods(&[waiting("ContainerCreating", "")]), Reason::AgentRollingOut, "1 of 3 nodes: node-1: starting"),
    ]);
}

/// A rollout, a drain, or a node that goes: what ends by a signal tells its number, 128 added.
#[test]
fn what_is_about_to_end_is_no_trouble() {
    let of = |at: usize, leaving: bool, status: Value| {
        let mut pod = json!({"metadata": {"name": format!("agent-{at}-old")}, "spec": {"nodeName": format!("node-{at}")}, "status": status});
        if leaving {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:00:30Z");
        }
        Arc::new(Pod::of(serde_json::from_value(pod).expect("a pod")))
    };
    let killed = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [
        {"name": "agent", "state": {"terminated": {"reason": "Error", "exitCode": 137, "finishedAt": "2026-01-01T11:59:59Z"}}}]});
    let unscheduled =
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "no room"}]});
    let lost = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "agent", "ready": true, "started": true, "state": {"running": {}}}]});
    for (status, stays, leaves) in [
        (killed, Reason::AgentCrashing, None),
        (unscheduled, Reason::AgentNotScheduled, None),
        (lost, Reason::AgentNodeNotReady, Some(Reason::AgentNodeNotReady)),
    ] {
        for (leaving, expected) in [(false, stays), (true, leaves.unwrap_or(Reason::AgentRollingOut))] {
            let mut sight = Sight { nodes: Some(nodes(3, 2)), ..well() };
            sight.pods[0] = of(1, leaving, status.clone());
            sight.pods.retain(|pod| pod.counts());
            assert_eq!(told(&sight).0, expected, "{status}");
        }
    }
}

#[test]
fn the_next_step_names_the_pod_and_its_container() {
    let sight =
        with_pods(&[json!({"started": true, "state": {"running": {}}}), crashed("Error", 1), crashed("Error", 2)]);
    assert_eq!(sight.place(Reason::AgentCrashing, now()), Some(("agent-2", "agent")));
    assert_eq!(sight.place(Reason::AgentNotDelivering, now()), Some(("agent-1", "agent")));
    assert_eq!(sight.place(Reason::AgentReady, now()), None);
}

/// Its kubelet is the only one that tells of containers: they stay ready for ever.
#[test]
fn a_pod_whose_node_is_lost_isnt_on_its_way_up() {
    let mut sight = well();
    Arc::make_mut(&mut sight.pods[0]).ready = false;
    sight.nodes = Some(nodes(3, 2));
    let lost = || "1 of 3 nodes: node-1: the node itself isn't ready";
    assert_eq!(told(&sight), (Reason::AgentNodeNotReady, lost().to_owned()));
    sight.pods[1] = pod(2, waiting("ContainerCreating", ""));
    assert_eq!(told(&sight), (Reason::AgentNodeNotReady, lost().to_owned()), "which is the better news");
}

#[test]
fn what_becomes_of_pods_that_find_no_place() {
    let of = |pod: Value| Arc::new(Pod::of(serde_json::from_value(pod).expect("a pod")));
    let pinned = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-9"]}]}]}}});
    let unscheduled = of(json!({
        "metadata": {"name": "agent-9"}, "spec": {"affinity": pinned},
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "message": "1 node(s) didn't have free ports for the requested pod ports."}]},
    }));
    let refused = of(json!({
        "metadata": {"name": "agent-2"}, "spec": {"nodeName": "node-2"},
        "status": {"phase": "Failed", "reason": "NodePorts", "message": "Pod was rejected"},
    }));
    check(vec![
        (
            Sight { pods: vec![unscheduled], nodes: Some(nodes(3, 2)), ..well() },
            Reason::AgentNotScheduled,
            "1 of 3 nodes: node-9: 1 node(s) didn't have free ports for the requested pod ports.",
        ),
        (
            Sight { pods: vec![refused], nodes: Some(nodes(3, 2)), ..well() },
            Reason::AgentNotScheduled,
            "1 of 3 nodes: node-2: NodePorts: Pod was rejected",
        ),
        (
            Sight { pods: Vec::new(), nodes: Some(Nodes { current: 1, ..nodes(3, 1) }), ..well() },
            Reason::AgentPodsRefused,
            "DaemonSet datadog-agent has 1 pods of 3",
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
            Reason::NoNodeForAgent,
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
        (with_pods(&[crashed("Error", 1)]), None),
        (Sight { cluster_agent: None, ..well() }, None),
    ] {
        let (reason, _) = told(&sight);
        assert_eq!(sight.waiting(reason), expected, "{sight:?}");
    }
}

/// What the operator calls running.
#[test]
fn one_of_a_hundred_and_none_of_none_are_not_well() {
    let few = Sight { nodes: Some(nodes(100, 1)), pods: Vec::new(), ..of_operator() };
    assert_eq!(told(&few).0, Reason::AgentRollingOut);
    assert_eq!(few.count().as_deref(), Some("1/100"));
    let none = Sight { nodes: Some(nodes(0, 0)), pods: Vec::new(), ..of_operator() };
    assert_eq!(told(&none).0, Reason::NoNodeForAgent);
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

#[test]
fn what_ended_as_it_should_or_long_ago_is_no_trouble() {
    let mut sight = well();
    for (at, container) in [
        json!({"ready": true, "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}),
        json!({"ready": true, "started": true, "restartCount": 9, "state": {"running": {}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": "2025-12-31T00:00:00Z"}}}),
        json!({"ready": true, "started": true, "restartCount": 1, "state": {"running": {}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": "2026-01-01T11:59:00Z"}}}),
    ]
    .into_iter()
    .enumerate()
    {
        sight.pods[at] = pod(at + 1, container);
    }
    assert_eq!(told(&sight).0, Reason::AgentReady);
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
