//! What is said of a few nodes, in every way in which one can lack its Collector.

mod causes;
mod joined;

use super::super::pod::{Ended, Rollout, State, pod};
use super::super::trial::{Stable, Trial};
use super::*;
use crate::api::condition::Reason as R;
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

/// On node b, so many minutes ago.
fn made(minutes: i64, state: State) -> Pod {
    Pod { created: now() - SignedDuration::from_mins(minutes), ..in_state("b", state) }
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
    let cases: [Case; 9] = [
        (|_| {}, None),
        (
            |w| {
                w.phase = held();
                w.pods[1] = ready("b", "old");
            },
            Some(1),
        ),
        (|w| w.pods[1] = ready("b", "old"), Some(1)),
        (|w| w.pods = vec![ready("a", "old"), made(4, State::Starting)], Some(2)),
        (|w| w.pods = vec![ready("a", "old"), made(5, State::Creating)], None),
        (|w| w.pods[1] = in_state("b", State::Starting), None),
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

/// Nor that it's on its way.
#[test]
fn one_that_is_not_ready_is_looked_at_again_once_it_has_had_its_time() {
    for (minutes, expected) in [(0, Some(300)), (4, Some(60)), (5, None)] {
        for adopt in [false, true] {
            let again = said(&world(|w| w.pods[1] = made(minutes, State::Creating)), adopt).again;
            assert_eq!(again.map(|again| again.as_secs()), expected, "made {minutes} minutes ago");
        }
    }
}

type Case = (fn(&mut World), Reason, &'static str, &'static str);

fn held() -> Phase {
    let why = "exporter datadog fails to send logs, as on other nodes".to_owned();
    Phase::Held { node: "a".to_owned(), why }
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
        "5000 of 5002 nodes: n0000 (it has none yet), n0001 (it has none yet), n0002 (it has none yet) and 4997 more"
    );
}
