//! What is said of a few nodes, in every way in which one can lack its Collector.

mod joined;

use super::super::pod::{Ended, Rollout, State, pod};
use super::super::trial::{Stable, Trial};
use super::*;
use crate::api::condition::Reason as R;
use crate::controller::contest::Undoing;
use crate::monitoring::NOT_AS_ASKED;
use serde_json::{Value, json};

const READY: &str = r#"{"conditions": [{"type": "Ready", "status": "True"}]}"#;

fn node(spec: &Value, ready: bool) -> Node {
    let ready = if ready { "True" } else { "False" };
    let node = json!({"spec": spec, "metadata": {"labels": {"pool": "a"}},
                      "status": {"conditions": [{"type": "Ready", "status": ready}]}});
    Node::of(serde_json::from_value(node).expect("a node"), &["pool".to_owned()].into())
}

fn ready(node: &str, revision: &str) -> Pod {
    pod(node, Rollout::Stable, revision, &serde_json::from_str(READY).expect("JSON"))
}

fn in_state(node: &str, state: State) -> Pod {
    Pod { state, ..ready(node, "new") }
}

fn down(reason: &str, words: &str) -> State {
    State::Down(Ended { code: 1, reason: reason.to_owned(), words: words.to_owned(), at: None }.into())
}

/// Ready, after so many restarts of which the last was so many minutes ago.
fn restarted(node: &str, revision: &str, restarts: i32, minutes: i64) -> Pod {
    let at = Some(now() - SignedDuration::from_mins(minutes));
    let ended = Ended { code: 137, reason: "OOMKilled".to_owned(), words: String::new(), at };
    Pod { restarts, ended: Some(ended.into()), ..ready(node, revision) }
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

struct World {
    nodes: BTreeMap<String, Node>,
    pods: Vec<Pod>,
    placement: Placement,
    busy: BTreeSet<String>,
    fault: Option<&'static str>,
    phase: Phase,
    outcome: Outcome,
    no_pod: Option<&'static str>,
    unmeasured: Option<&'static str>,
    left: Option<Left>,
    joining: BTreeSet<String>,
}

/// Two nodes, all well.
fn world(change: impl FnOnce(&mut World)) -> World {
    let mut world = World {
        nodes: ["a", "b"].map(|name| (name.to_owned(), node(&json!({}), true))).into(),
        pods: vec![ready("a", "new"), ready("b", "new")],
        placement: Placement::default(),
        busy: ["a".to_owned()].into(),
        fault: None,
        phase: Phase::RolledOut,
        outcome: Outcome::Kept { generation: 1 },
        no_pod: None,
        unmeasured: None,
        left: None,
        joining: BTreeSet::new(),
    };
    change(&mut world);
    world
}

fn refused(object: &str) -> Outcome {
    Outcome::Refused { generation: 1, object: object.to_owned(), why: "no".to_owned(), answered: true }
}

fn said(world: &World, adopt: bool) -> Said {
    seeing(world, |seen, managing| if adopt { adopted(seen) } else { managed(seen, managing) })
}

fn seeing<T>(world: &World, of: impl FnOnce(&Seen<'_>, &Managed<'_>) -> T) -> T {
    let seen = Seen {
        generation: 1,
        placement: &world.placement,
        nodes: &world.nodes,
        pods: by_node(&world.pods),
        busy: &world.busy,
        left: world.left.as_ref(),
        joining: &world.joining,
        now: now(),
    };
    let plan = Plan {
        stable: Some(Stable { revision: "old".to_owned(), spares: None }),
        trial: Some(Trial { revision: "new".to_owned(), node: "a".to_owned() }),
        mark: None,
        unfit: None,
        phase: world.phase.clone(),
        again: None,
    };
    let managing = Managed {
        fault: world.fault,
        candidate: world.fault.is_none().then_some("new"),
        plan: &plan,
        outcome: Some(&world.outcome),
        no_pod: world.no_pod,
        unmeasured: world.unmeasured,
    };
    of(&seen, &managing)
}

fn look(world: &World, adopt: bool) -> (Reason, String, String) {
    let Said { verdict, status, .. } = said(world, adopt);
    (verdict.reason, verdict.detail, status.ready)
}

#[test]
fn a_rollout_whose_trial_was_not_measured_says_so() {
    let (reason, detail, _) = look(&world(|w| (w.busy, w.unmeasured) = (BTreeSet::new(), Some("no answer"))), false);
    assert_eq!(reason, R::CollectorOnEveryNode);
    assert_eq!(detail, "on 2 nodes; its metrics couldn't be read in its trial: no answer");
}

/// Each node may have what the spec asked for before, whose refusal says nothing of this one.
#[test]
fn nothing_but_that_is_said_of_a_spec_that_isnt_written_yet() {
    type Case = (fn(&mut World), Option<R>);
    let cases: [Case; 6] = [
        (|w| w.outcome = Outcome::Kept { generation: 0 }, None),
        (|w| w.outcome = of_another_spec(refused("Service x")), None),
        (|w| (w.outcome, w.nodes) = (Outcome::Kept { generation: 0 }, BTreeMap::new()), None),
        (|w| w.outcome = refused("Service x"), Some(R::CollectorNotWritten)),
        (|w| (w.outcome, w.fault) = (Outcome::Kept { generation: 0 }, Some("no")), Some(R::CollectorSpecInvalid)),
        (|_| {}, Some(R::CollectorOnEveryNode)),
    ];
    for (change, expected) in cases {
        let world = world(|world| {
            world.busy.clear();
            change(world);
        });
        let Said { verdict, unwritten, .. } = said(&world, false);
        assert_eq!(unwritten, expected.is_none(), "{verdict:?}");
        assert_eq!(verdict.reason, expected.unwrap_or(R::CollectorRollingOut), "{verdict:?}");
    }
}

fn of_another_spec(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Refused { object, why, answered, .. } => Outcome::Refused { generation: 0, object, why, answered },
        other => other,
    }
}

#[test]
fn nodes_that_wait_for_a_rollout_are_counted_while_nothing_else_is_wrong() {
    type Case = (fn(&mut World), Option<u64>);
    let cases: [Case; 7] = [
        (|_| {}, None),
        (
            |w| {
                w.phase = held();
                w.pods[1] = ready("b", "old");
            },
            Some(1),
        ),
        (|w| w.pods[1] = ready("b", "old"), Some(1)),
        (|w| w.pods = vec![ready("a", "old"), in_state("b", State::Starting)], Some(2)),
        (|w| w.pods = vec![ready("a", "old"), in_state("b", down("Error", "Error: no"))], None),
        (
            |w| {
                w.nodes.insert("b".to_owned(), node(&json!({}), false));
                w.pods = vec![ready("a", "old")];
            },
            None,
        ),
        (
            |w| {
                w.pods[1] = ready("b", "old");
                w.outcome = refused("Service x");
            },
            None,
        ),
    ];
    for (change, expected) in cases {
        let world = world(change);
        let said = said(&world, false);
        assert_eq!(said.nodes.waiting, expected, "{said:?}");
    }
}

/// Whatever is said of the whole.
#[test]
fn nodes_without_a_collector_that_is_ready_are_counted() {
    for (change, expected) in [
        ((|_| {}) as fn(&mut World), 0),
        (|w| w.pods[1] = ready("b", "old"), 0),
        (|w| w.pods[1] = in_state("b", down("Error", "Error: no")), 1),
        (|w| w.pods = Vec::new(), 2),
    ] {
        for of_the_whole in [false, true] {
            let mut world = world(change);
            if of_the_whole {
                world.outcome = refused("Service x");
            }
            let said = said(&world, false);
            assert_eq!(said.nodes.missing, expected, "{said:?}");
        }
    }
}

/// That it crashes isn't said for ever.
#[test]
fn one_that_crashed_is_looked_at_again_once_it_has_run_for_long_enough() {
    for (restarts, minutes, expected) in [(3, 9, Some(60)), (3, 10, None), (2, 0, None)] {
        let world = world(|w| w.pods[1] = restarted("b", "new", restarts, minutes));
        for adopt in [false, true] {
            let again = said(&world, adopt).again;
            assert_eq!(again.map(|again| again.as_secs()), expected, "{restarts}, {minutes} minutes ago");
        }
    }
}

type Case = (fn(&mut World), Reason, &'static str, &'static str);

fn held() -> Phase {
    let why = "exporter datadog fails to send logs, as on other nodes".to_owned();
    Phase::Held { node: "a".to_owned(), why }
}

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

#[test]
fn a_next_step_names_what_is_known() {
    let message = |change: fn(&mut World)| said(&world(change), false).verdict.message();
    let left = message(|w| w.left = Some(Left { namespace: "old".to_owned(), pods: 2, why: None }));
    assert!(left.contains(" -n old -l "), "{left}");
    let back = message(|w| {
        w.phase = Phase::RolledBack(Fault {
            node: "a".to_owned(),
            cause: Cause::Collector,
            words: "Error: no".to_owned(),
            key: None,
        });
    });
    assert!(back.ends_with("delete ConfigMap otel-collector-config-new"), "{back}");
}

#[test]
fn of_many_nodes_a_few_are_named() {
    let many = world(|world| {
        for index in 0..5000 {
            world.nodes.insert(format!("n{index:04}"), node(&json!({}), true));
        }
    });
    let (reason, detail, numbers) = look(&many, false);
    assert_eq!((reason, numbers.as_str()), (Reason::CollectorRollingOut, "2/5002"));
    assert_eq!(
        detail,
        "5000 of 5002 nodes: n0000 (it has none yet), n0001 (it has none yet), n0002 (it has none yet) and others"
    );
}
