use std::collections::BTreeMap;

use serde_json::json;
use snapbox::{assert_data_eq, file};

use super::observe::{Gap, Observed, Owner, Tally};
use super::report::Report;
use crate::api::OptIn;
use crate::cli::output::BAD;
use crate::config::Configuration;
use crate::coverage::Coverage;
use crate::unavailable::Unavailable;

fn tally(counts: &[(Coverage, usize)]) -> Tally {
    let mut tally = Tally::default();
    for (coverage, count) in counts {
        (0..*count).for_each(|_| tally.count(*coverage));
    }
    tally
}

fn owner(namespace: &str, kind: &str, name: &str) -> Owner {
    Owner { namespace: namespace.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

fn deployment(name: &str, ready: u32, desired: u32, version: &str) -> serde_json::Value {
    json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/version": version}},
        "spec": {"replicas": desired, "selector": {}, "template": {}}, "status": {"readyReplicas": ready},
    })
}

fn observed() -> Observed {
    Observed {
        namespace: "otelgate".to_owned(),
        stacks: Ok(vec![json!({
            "metadata": {"name": "default"},
            "status": {
                "conditions": [
                    {"type": "ConfigurationAccepted", "status": "True", "reason": "InForce"},
                    {"type": "CollectorAvailable", "status": "False", "reason": "CollectorOutOfMemory",
                     "message": "on node-3; next step: raise spec.collector.resources.limits.memory"},
                    {"type": "AgentAvailable", "status": "Unknown", "reason": "AgentUndecided", "message": "wait a moment"},
                    {"type": "InjectionComplete", "status": "False", "reason": "Missed", "message": "shop/Deployment/web"},
                    {"type": "Ready", "status": "False", "reason": "CollectorOutOfMemory"},
                ],
                "collector": {"ready": "2/3", "trial": {"revision": "5d2c8f0a", "node": "node-2"},
                              "without": ["node-3 (killed for using more memory than its limit)"]},
                "injection": {"injected": "12/18", "missed": 1, "restartPending": 3, "outdated": 2, "repair": {
                    "phase": "Stopped", "message": "three workloads in a row came back no better", "evicted": 3,
                    "left": ["shop/Deployment/web: its pods came back without the mark"]}},
                "delivery": {"delivering": "2/2", "measured": 2},
                "agent": {"mode": "daemonset", "nodes": "3/3", "clusterAgent": "1/1"},
                "owners": {"containerLogs": "collector", "otlp": "collector", "prometheus": "collector",
                           "clusterState": "agent", "hostMetrics": "agent", "hostMetadata": "agent"},
                "certificates": {"provider": "otelgate", "leafNotAfter": "2026-12-08T12:00:00Z",
                                 "authorityNotAfter": "2027-11-24T12:00:00Z"},
            },
        })]),
        deployments: Ok(vec![
            deployment("otelgate-webhook", 1, 2, env!("CARGO_PKG_VERSION")),
            deployment("otelgate-controller", 1, 1, env!("CARGO_PKG_VERSION")),
        ]),
        lease: Ok(Some(json!({"spec": {"holderIdentity": "otelgate-controller-7d4b9c-x2x9v"}}))),
        configuration: Ok(Configuration::default()),
        namespaces: BTreeMap::from([
            ("bank".to_owned(), OptIn::Observe),
            ("empty".to_owned(), OptIn::Enabled),
            ("quiet".to_owned(), OptIn::Disabled),
            ("shop".to_owned(), OptIn::Enabled),
        ]),
        tallies: BTreeMap::from([
            (owner("shop", "Deployment", "web"), tally(&[(Coverage::Injected, 10), (Coverage::Outdated, 2)])),
            (owner("shop", "StatefulSet", "orders"), tally(&[(Coverage::RestartPending, 3)])),
            (
                owner("shop", "Deployment", "a-service-whose-name-is-as-long-as-names-of-services-tend-to-be-in-time"),
                tally(&[(Coverage::Missed, 1), (Coverage::Injected, 1)]),
            ),
            (owner("tools", "Pod", "debug"), tally(&[(Coverage::Injected, 1)])),
        ]),
        gaps: Vec::new(),
    }
}

fn plain(report: &Report, width: Option<usize>) -> String {
    anstream::adapter::strip_str(&report.text(width)).to_string()
}

#[test]
fn people_get_tables_that_fit() {
    let report = Report::of(&observed());
    for (width, data) in [
        (Some(80), file!["../../../tests/data/status/80-columns.txt"]),
        (Some(200), file!["../../../tests/data/status/200-columns.txt"]),
        (None, file!["../../../tests/data/status/pipe.txt"]),
    ] {
        let text = plain(&report, width);
        assert!(text.lines().all(|line| line.chars().count() <= width.unwrap_or(usize::MAX)), "{text}");
        assert_data_eq!(text, data.raw());
    }
    assert_data_eq!(report.text(Some(80)), file!["../../../tests/data/status/colours.txt"].raw());
}

#[test]
fn programs_get_all_of_it() {
    let json = serde_json::to_value(Report::of(&observed())).expect("JSON");
    assert_data_eq!(format!("{json:#}\n"), file!["../../../tests/data/status/report.json"].raw());
}

#[test]
fn the_switch_comes_first() {
    let text = plain(&Report::of(&observed()), None);
    assert!(text.starts_with("mode           enabled\n"), "{text}");
}

/// What may not be looked at is named with its right, and nothing is made up for it.
#[test]
fn what_may_not_be_looked_at_is_said() {
    let forbidden = |resource: &str| Unavailable::Forbidden {
        verb: "list".to_owned(),
        resource: resource.to_owned(),
        namespace: None,
    };
    let gap = Gap { what: "pods: not allowed".to_owned(), next_step: "ask".to_owned() };
    let report = Report::of(&Observed {
        stacks: Err(forbidden("telemetrystacks.otelgate.dev")),
        deployments: Err(forbidden("deployments.apps")),
        lease: Err(forbidden("leases.coordination.k8s.io")),
        configuration: Err(gap.clone()),
        namespaces: BTreeMap::new(),
        tallies: BTreeMap::new(),
        gaps: vec![gap],
        ..observed()
    });
    let text = plain(&report, None);
    assert!(text.starts_with("mode           unknown\n"), "{text}");
    for right in ["telemetrystacks.otelgate.dev", "deployments.apps", "leases.coordination.k8s.io", "pods: not allowed"]
    {
        assert!(text.contains(right), "{right} is missing in {text}");
    }
    assert!(!text.contains("no namespace is opted in"), "{text}");
}

#[test]
fn versions_that_are_too_far_apart_are_said() {
    let far = vec![deployment("otelgate-webhook", 2, 2, "0.9.0")];
    let text = plain(&Report::of(&Observed { deployments: Ok(far), ..observed() }), None);
    assert!(text.contains("more than one minor version apart") && text.contains("otelgate-webhook 0.9.0"), "{text}");
    let near = vec![deployment("otelgate-webhook", 2, 2, "0.2.0")];
    let text = plain(&Report::of(&Observed { deployments: Ok(near), ..observed() }), None);
    assert!(!text.contains("apart"), "{text}");
}

/// What the status has of the Agent, and who has which data.
#[test]
fn the_agents_way_and_the_owners_of_data_are_said() {
    let of = |agent: &serde_json::Value, owners: &serde_json::Value| {
        let stack = json!({"metadata": {"name": "default"}, "status": {"agent": agent, "owners": owners}});
        Report::of(&Observed { stacks: Ok(vec![stack]), ..observed() })
    };
    // As the API server has them: by the alphabet.
    let owners = json!({"clusterState": "agent", "containerLogs": "nobody", "hostMetadata": "agent",
                        "hostMetrics": "agent", "otlp": "collector", "prometheus": "collector"});
    let report = of(&json!({"mode": "operator", "nodes": "3/3", "clusterAgent": "0/1"}), &owners);
    let text = plain(&report, None);
    assert!(text.contains("\nagent          3/3 ready, mode operator, Cluster Agent 0/1 ready\n"), "{text}");
    let said = "\nowners         collector: otlp, prometheus; agent: clusterState, hostMetrics, hostMetadata; \
                nobody: containerLogs\n";
    assert!(text.contains(said), "{text}");
    let red = format!("{BAD}3/3 ready, mode operator");
    assert!(report.text(None).contains(&red), "the Cluster Agent isn't ready");
    let json = serde_json::to_value(&report).expect("JSON");
    let said = |name: &str| json["stack"][name].clone();
    assert_eq!((said("agentMode"), said("clusterAgent"), said("owners")), (json!("operator"), json!("0/1"), owners));

    let text = plain(&of(&json!({"mode": "disabled", "nodes": "off"}), &json!({"lines": "collector"})), None);
    assert!(text.contains("\nagent          off, mode disabled\n"), "{text}");
    assert!(!text.contains("owners"), "of another version nothing is guessed: {text}");
}
