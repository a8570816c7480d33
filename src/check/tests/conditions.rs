//! What the controller says, and where it says nothing.

use super::faults::{configure, says, stack_of, unmarked};
use super::*;
use crate::api::condition::ConditionType;

fn set_modes(snapshot: &mut Snapshot, collector: &str, agent: &str) {
    let spec = &mut stack_of(snapshot)["spec"];
    (spec["collector"], spec["agent"]) = (json!({"mode": collector}), json!({"mode": agent}));
}

/// What the controller has nothing to say of.
fn forget(snapshot: &mut Snapshot, conditions: &[&str]) {
    let all = stack_of(snapshot)["status"]["conditions"].as_array_mut().expect("conditions");
    all.retain(|one| !conditions.iter().any(|condition| one["type"] == *condition));
}

fn failed(snapshot: &Snapshot) -> Vec<&'static str> {
    faults(snapshot).0.into_iter().map(|(check, _)| check).collect()
}

const OF_PARTS: [&str; 4] = ["CredentialsReady", "CollectorAvailable", "CollectorDelivering", "AgentAvailable"];

/// `Ready` is False then.
#[test]
fn each_condition_that_counts_has_a_check() {
    for condition in ConditionType::ALL.into_iter().filter(|condition| condition.counts()) {
        for mode in ["managed", "disabled"] {
            let mut snapshot = healthy(Stage::After);
            set_modes(&mut snapshot, mode, mode.replace("managed", "daemonset").as_str());
            says(&mut snapshot, condition.as_str(), "OfAnotherVersion", "something is wrong");
            let failed = faults(&snapshot).0;
            assert!(
                matches!(&failed[..], [(_, found)] if found.contains("something is wrong")),
                "{condition}: {failed:?}"
            );
        }
    }
}

#[test]
fn a_part_that_is_switched_off_and_not_gone_is_no_success() {
    for (condition, reason, check) in [
        ("CollectorAvailable", "CollectorLeftBehind", "collectors"),
        ("AgentAvailable", "AgentLeftOver", "agent"),
        ("AgentAvailable", "AgentNotWritten", "agent"),
    ] {
        let mut snapshot = healthy(Stage::After);
        set_modes(&mut snapshot, "disabled", "disabled");
        says(&mut snapshot, condition, reason, "something is left");
        assert_eq!(failed(&snapshot), [check], "{reason}");
    }
}

#[test]
fn where_nothing_is_said_it_counts_whether_anything_is_asked_for() {
    let mut snapshot = healthy(Stage::After);
    forget(&mut snapshot, &OF_PARTS);
    assert_eq!(faults(&snapshot), (Vec::new(), vec!["key", "collectors", "delivery", "agent"]));
    set_modes(&mut snapshot, "disabled", "disabled");
    assert_eq!(faults(&snapshot), (Vec::new(), Vec::new()));
    let found = |check: &str| run(&snapshot).into_iter().find(|one| one.check == check).expect("a line").found;
    assert_eq!((found("collectors").as_str(), found("agent").as_str()), ("switched off", "switched off"));
    assert_eq!(found("key"), "not needed: no Collector or Agent of otelgate's sends with it");
    // That is never switched off.
    forget(&mut snapshot, &["WebhookReachable"]);
    assert_eq!(faults(&snapshot), (Vec::new(), vec!["webhook-reachable"]));
}

#[test]
fn what_a_check_has_found_is_no_further_fault_of_the_condition() {
    let mut snapshot = healthy(Stage::After);
    unmarked(&mut snapshot);
    says(&mut snapshot, "WebhookReachable", "NotReached", "no mark");
    snapshot.credentials = Ok(None);
    says(&mut snapshot, "CredentialsReady", "SecretMissing", "there is none");
    says(&mut snapshot, "CollectorAvailable", "CollectorNotConfigured", "there is no Secret");
    snapshot.collector = Ok(None);
    let (failed, unknown) = faults(&snapshot);
    assert_eq!(failed.into_iter().map(|(check, _)| check).collect::<Vec<_>>(), ["credentials", "probe", "collectors"]);
    assert_eq!(unknown, ["webhook-reachable", "collector", "key"]);
}

/// Whatever pods send to.
#[test]
fn the_key_has_to_be_there_where_somebody_sends_with_it() {
    for (collector, agent, endpoint, is_needed) in [
        ("managed", "disabled", None, true),
        ("managed", "disabled", Some("https://otlp.example.com"), true),
        ("disabled", "auto", Some("https://otlp.example.com"), true),
        ("adopt", "disabled", None, false),
        ("disabled", "disabled", None, false),
        ("disabled", "adopt", None, false),
        ("disabled", "disabled", Some("https://otlp.example.com"), false),
    ] {
        let mut snapshot = healthy(Stage::After);
        set_modes(&mut snapshot, collector, agent);
        if let Some(endpoint) = endpoint {
            let otlp = json!({"endpoint": endpoint});
            configure(&mut snapshot, &json!({"clusterName": "east", "otlp": otlp}));
            stack_of(&mut snapshot)["spec"]["injection"]["otlp"] = otlp;
        }
        snapshot.credentials = Ok(None);
        let expected: &[&str] = if is_needed { &["credentials"] } else { &[] };
        assert_eq!(failed(&snapshot), expected, "{collector} {agent} {endpoint:?}");
    }
}

/// Of a spec that can't be read nobody knows whether it needs the key.
#[test]
fn the_key_of_a_spec_with_a_fault_is_unknown() {
    let mut snapshot = healthy(Stage::After);
    set_modes(&mut snapshot, "mine", "disabled");
    snapshot.credentials = Ok(None);
    assert_eq!(faults(&snapshot), (Vec::new(), vec!["credentials"]));
    let line = run(&snapshot).into_iter().find(|one| one.check == "credentials").expect("a line");
    assert!(line.found.starts_with("spec.collector: unknown variant `mine`"), "{line:?}");
}
