//! Each cause, and what is said of it.

use super::*;
use crate::controller::contest::Undoing;
use crate::monitoring::NOT_AS_ASKED;

fn rolled_back() -> Phase {
    Phase::RolledBack(Fault { node: "a".to_owned(), cause: Cause::Collector, words: "Error: no".to_owned(), key: None })
}

const HELD: &str = "revision new is tried on node a, where its exporter datadog fails to send logs, as on other nodes";

const CASES: [Case; 42] = [
    (|_| {}, R::CollectorOnEveryNode, "on 2 nodes", "2/2"),
    (
        |w| w.pods[1] = restarted("b", "new", 3, 9),
        R::CollectorOutOfMemory,
        "1 of 2 nodes: b (OOMKilled with exit code 137, again and again)",
        "1/2",
    ),
    (|w| w.pods[1] = restarted("b", "new", 3, 10), R::CollectorOnEveryNode, "on 2 nodes", "2/2"),
    (|w| w.pods[1] = restarted("b", "new", 2, 0), R::CollectorOnEveryNode, "on 2 nodes", "2/2"),
    // In between, it is told the same.
    (
        |w| {
            let pod = restarted("b", "new", 4, 0);
            let state = State::Down(pod.ended.clone().expect("it has ended"));
            w.pods[1] = Pod { state, ..pod };
        },
        R::CollectorOutOfMemory,
        "1 of 2 nodes: b (OOMKilled with exit code 137, again and again)",
        "1/2",
    ),
    (
        |w| w.pods[1] = restarted("b", "old", 3, 1),
        R::CollectorOutOfMemory,
        "1 of 2 nodes: b (OOMKilled with exit code 137, again and again)",
        "1/2",
    ),
    // The only node's, say.
    (
        |w| w.phase = Phase::Trying { node: "a".to_owned() },
        R::CollectorRollingOut,
        "revision new is tried on node a first",
        "2/2",
    ),
    (
        |w| w.phase = Phase::Clearing,
        R::CollectorRollingOut,
        "the trial is over, and its Collector gives way to that of the rollout",
        "2/2",
    ),
    (|w| w.fault = Some("spec.collector.x: no"), R::CollectorSpecInvalid, "spec.collector.x: no", "2/2"),
    (
        |w| w.outcome = Outcome::Foreign { generation: 1, object: "Service x".to_owned() },
        R::CollectorForeign,
        "Service x isn't otelgate's",
        "2/2",
    ),
    (
        |w| {
            let words = "the API server refused: no".to_owned();
            w.phase = Phase::RolledBack(Fault { node: String::new(), cause: Cause::Refused, words, key: None });
            w.pods = vec![ready("a", "old"), ready("b", "old")];
        },
        R::CollectorRolledBack,
        "revision new failed before its trial: the API server refused: no",
        "2/2",
    ),
    // The last good one is kept, and doesn't run everywhere for that.
    (
        |w| {
            w.phase = rolled_back();
            w.pods = vec![ready("a", "old"), Pod { revision: "old".into(), ..in_state("b", down("Error", "no room")) }];
        },
        R::CollectorRolledBack,
        "revision new failed on node a: Error: no; nor is all well on 1 of 2 nodes: b (no room)",
        "1/2",
    ),
    (
        |w| {
            w.phase = rolled_back();
            w.pods = vec![ready("a", "old")];
        },
        R::CollectorRolledBack,
        "revision new failed on node a: Error: no; nor is all well on 1 of 2 nodes: b (it has none yet)",
        "1/2",
    ),
    (|w| w.outcome = refused("Service x"), R::CollectorNotWritten, "Service x: no", "2/2"),
    (
        |w| w.outcome = Outcome::Unseen { generation: 1, kind: "NetworkPolicy", why: "not allowed".to_owned() },
        R::CollectorNotReadable,
        "NetworkPolicy: not allowed",
        "2/2",
    ),
    (
        |w| w.left = Some(Left { namespace: "old".to_owned(), pods: 2, why: None }),
        R::CollectorLeftBehind,
        "2 pods in namespace old, on the way out",
        "2/2",
    ),
    (
        |w| {
            let (how, by) = (Undoing::ChangedBack, "argocd".to_owned());
            w.outcome = Outcome::Contested { generation: 1, object: "DaemonSet x".to_owned(), how, by };
        },
        R::CollectorContested,
        "DaemonSet x is changed back each time by argocd",
        "2/2",
    ),
    (
        |w| {
            let key = Some("processors.batch".to_owned());
            w.phase = Phase::RolledBack(Fault {
                node: "a".to_owned(),
                cause: Cause::Collector,
                words: "Error: no".to_owned(),
                key,
            });
            w.pods = vec![ready("a", "old"), ready("b", "old")];
        },
        R::CollectorRolledBack,
        "revision new failed on node a, by processors.batch: Error: no",
        "2/2",
    ),
    (
        |w| {
            w.phase = Phase::Failing(Fault {
                node: "a".to_owned(),
                cause: Cause::Collector,
                words: "Error: no".to_owned(),
                key: None,
            });
            w.pods.clear();
        },
        R::CollectorCrashing,
        "its first trial fails on node a: Error: no",
        "0/2",
    ),
    (
        |w| {
            w.phase = Phase::Failing(Fault {
                node: "a".to_owned(),
                cause: Cause::Collector,
                words: "OOMKilled with exit code 137".to_owned(),
                key: None,
            });
        },
        R::CollectorOutOfMemory,
        "its first trial fails on node a: OOMKilled with exit code 137",
        "2/2",
    ),
    (
        |w| {
            w.phase = Phase::Failing(Fault {
                node: "a".to_owned(),
                cause: Cause::Unschedulable,
                words: "not ready in 5 minutes: no".to_owned(),
                key: None,
            });
        },
        R::CollectorUnschedulable,
        "its first trial fails on node a: not ready in 5 minutes: no",
        "2/2",
    ),
    (
        |w| {
            w.phase = held();
            w.pods[1] = ready("b", "old");
        },
        R::CollectorTrialHeld,
        HELD,
        "2/2",
    ),
    // It is the only node.
    (|w| w.phase = held(), R::CollectorTrialHeld, HELD, "2/2"),
    (
        |w| {
            w.phase = held();
            w.pods[1] = in_state("b", down("Error", "Error: no"));
        },
        R::CollectorCrashing,
        "1 of 2 nodes: b (Error: no)",
        "1/2",
    ),
    (|w| w.nodes.clear(), R::CollectorWithoutNode, "", "0/0"),
    (|w| w.placement.node_selector = [("pool".to_owned(), "b".to_owned())].into(), R::CollectorWithoutNode, "", "0/0"),
    (
        |w| w.pods[1] = in_state("b", State::ImageNotPulled("ErrImagePull x".into())),
        R::CollectorImageNotPulled,
        "1 of 2 nodes: b (ErrImagePull x)",
        "1/2",
    ),
    (
        |w| w.pods[1] = in_state("b", State::Unconfigured("secret \"datadog-secret\" not found".into())),
        R::CollectorNotConfigured,
        "1 of 2 nodes: b (secret \"datadog-secret\" not found)",
        "1/2",
    ),
    (
        |w| w.pods[1] = in_state("b", down("OOMKilled", "a line")),
        R::CollectorOutOfMemory,
        "1 of 2 nodes: b (OOMKilled with exit code 1)",
        "1/2",
    ),
    (
        |w| w.pods[1] = in_state("b", down("Error", "Error: no")),
        R::CollectorCrashing,
        "1 of 2 nodes: b (Error: no)",
        "1/2",
    ),
    (
        |w| w.pods[1] = in_state("b", down("Error", "listen tcp :4317: bind: address already in use")),
        R::CollectorPortTaken,
        "1 of 2 nodes: b (listen tcp :4317: bind: address already in use)",
        "1/2",
    ),
    (
        |w| w.pods[1] = in_state("b", State::Unschedulable("1 node(s) didn't have free ports".into())),
        R::CollectorPortTaken,
        "1 of 2 nodes: b (1 node(s) didn't have free ports)",
        "1/2",
    ),
    (
        |w| w.pods[1] = in_state("b", State::Unschedulable("Insufficient memory".into())),
        R::CollectorUnschedulable,
        "1 of 2 nodes: b (Insufficient memory)",
        "1/2",
    ),
    (
        |w| w.pods[1] = in_state("b", State::Starting),
        R::CollectorNotReady,
        "1 of 2 nodes: b (it runs, and isn't ready)",
        "1/2",
    ),
    (
        |w| {
            w.pods.clear();
            w.no_pod = Some("violates PodSecurity");
        },
        R::CollectorPodRefused,
        "2 of 2 nodes: a (violates PodSecurity), b (violates PodSecurity)",
        "0/2",
    ),
    (
        |w| {
            w.nodes.insert("b".to_owned(), node(&json!({}), false));
            w.pods[1] = in_state("b", State::Starting);
        },
        R::NodeNotReady,
        "1 of 2 nodes: b (the node itself isn't ready)",
        "1/2",
    ),
    (|w| w.pods[1] = ready("b", "old"), R::CollectorRollingOut, "1 of 2 nodes: b (it runs revision old)", "2/2"),
    (
        |w| {
            w.phase = Phase::Trying { node: "a".to_owned() };
            w.pods[1] = ready("b", "old");
        },
        R::CollectorRollingOut,
        "revision new is tried on node a first; 1 of 2 nodes: b (it runs revision old)",
        "2/2",
    ),
    (|w| w.pods[1].leaving = true, R::CollectorRollingOut, "1 of 2 nodes: b (it has none yet)", "1/2"),
    (
        |w| {
            w.pods = vec![in_state("a", State::Starting), in_state("b", down("Error", "Error: no"))];
        },
        R::CollectorCrashing,
        "1 of 2 nodes: b (Error: no)",
        "0/2",
    ),
    (
        |w| {
            let taint = json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]});
            w.nodes.insert("c".to_owned(), node(&taint, true));
            w.placement.tolerations.clear();
            w.busy.insert("c".to_owned());
        },
        R::NodeWithoutCollector,
        "1 of 1 node: c (spec.collector.tolerations has none for its taint gpu:NoSchedule)",
        "2/2",
    ),
    (
        |w| {
            let taint = json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]});
            w.nodes.insert("c".to_owned(), node(&taint, true));
            w.placement.tolerations.clear();
        },
        R::CollectorOnEveryNode,
        "on 2 nodes",
        "2/2",
    ),
];

#[test]
fn every_cause_is_told_with_the_nodes() {
    for (change, reason, detail, numbers) in CASES {
        let world = world(change);
        assert_eq!(look(&world, false), (reason, detail.to_owned(), numbers.to_owned()));
    }
}

/// Nobody is woken for it where no node lacks a Collector. What fails in the first trial of all is lacking everywhere.
#[test]
fn alerts_know_all_that_is_said_whatever_nodes_have() {
    let worlds = CASES.into_iter().map(|(change, ..)| world(change));
    let others = worlds.filter(|world| !matches!(world.phase, Phase::Failing(_)));
    let whole = |world: &World| seeing(world, |seen, managing| of_the_whole(seen, managing, managing.outcome, None));
    let said: BTreeSet<Reason> = others.filter_map(|world| whole(&world)).map(|(reason, _)| reason).collect();
    assert_eq!(said, NOT_AS_ASKED.into());
}

#[test]
fn somebody_elses_are_judged_by_their_pods() {
    let cases: [Case; 4] = [
        (|_| {}, Reason::CollectorOnEveryNode, "on 2 nodes", "2/2"),
        (|w| w.pods.clear(), Reason::NoCollectorToAdopt, "", "0/0"),
        (
            |w| w.pods[1] = in_state("b", down("Error", "Error: no")),
            Reason::CollectorCrashing,
            "1 of 2 nodes: b (Error: no)",
            "1/2",
        ),
        (
            |w| {
                w.pods.remove(0);
            },
            Reason::NodeWithoutCollector,
            "1 of 1 node: a (no adopted Collector runs there)",
            "1/1",
        ),
    ];
    for (change, reason, detail, numbers) in cases {
        let world = world(change);
        assert_eq!(look(&world, true), (reason, detail.to_owned(), numbers.to_owned()));
    }
}
