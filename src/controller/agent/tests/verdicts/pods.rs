//! What is said of pods that are not well.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::super::observe::{Nodes, Pod};
use super::super::super::verdict::Sight;
use super::{check, crashed, nodes, now, pod, since, told, waiting, well, with_pods};
use crate::api::condition::Reason;

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
            Reason::AgentPodRefused,
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
            Reason::AgentImageNotPulled,
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
        (
            since(4, with_pods(&[waiting("ContainerCreating", "")])),
            Reason::AgentRollingOut,
            "1 of 3 nodes: node-1: starting",
        ),
        (
            since(5, with_pods(&[waiting("ContainerCreating", "")])),
            Reason::AgentNotStarted,
            "1 of 3 nodes: node-1: not started in 5 minutes: agent: ContainerCreating",
        ),
        (
            since(
                9,
                with_pods(&[json!({"started": true, "state": {"running": {"startedAt": "2026-01-01T11:59:00Z"}}})]),
            ),
            Reason::AgentRollingOut,
            "1 of 3 nodes: node-1: starting",
        ),
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
        (unscheduled, Reason::AgentUnschedulable, None),
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
            Reason::AgentUnschedulable,
            "1 of 3 nodes: node-9: 1 node(s) didn't have free ports for the requested pod ports.",
        ),
        (
            Sight { pods: vec![refused], nodes: Some(nodes(3, 2)), ..well() },
            Reason::AgentUnschedulable,
            "1 of 3 nodes: node-2: NodePorts: Pod was rejected",
        ),
        (
            Sight { pods: Vec::new(), nodes: Some(Nodes { current: 1, ..nodes(3, 1) }), ..well() },
            Reason::AgentPodRefused,
            "DaemonSet datadog-agent has 1 pods of 3",
        ),
    ]);
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
fn since_when_a_pod_is_not_ready_is_read_of_its_condition_or_of_the_pod() {
    let transition = json!([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T11:00:00Z"}]);
    for (conditions, expected) in [(transition, "2026-01-01T11:00:00Z"), (json!([]), "2026-01-01T10:00:00Z")] {
        let pod = json!({
            "metadata": {"name": "agent", "creationTimestamp": "2026-01-01T10:00:00Z"},
            "spec": {"nodeName": "a"}, "status": {"conditions": conditions},
        });
        let pod = Pod::of(serde_json::from_value(pod).expect("a pod"));
        assert_eq!(pod.since, expected.parse().ok());
    }
}
