use std::collections::BTreeMap;

use axum::http::{Request, Response};
use serde_json::{Value, json};
use snapbox::{assert_data_eq, file};

use super::observe::{self, Gap, Observed, Owner, Tally};
use super::report::Report;
use crate::api::OptIn;
use crate::cli::fetch;
use crate::cli::output::BAD;
use crate::config::Configuration;
use crate::coverage::Coverage;
use crate::k8s::{Body, Client};
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

fn deployment(name: &str, ready: u32, desired: u32, version: &str) -> Value {
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
    let of = |agent: &Value, owners: &Value| {
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

/// An API server with these namespaces and pods, none with the mark; pods of `shop` were left alone until one o'clock.
fn server(namespaces: Vec<Value>, pods: Vec<Value>) -> Client {
    let stack = json!({"metadata": {"name": "default"}, "status": {"injection": {
        "enabledSince": "2026-11-02T09:00:00Z", "leftAloneUntil": {"shop": "2026-11-02T13:00:00Z"}}}});
    let configuration = "apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\n";
    let map = json!({"data": {"config.yaml": configuration}});
    let answer = move |uri: &str| {
        let path = uri.split('?').next().unwrap_or_default();
        let items = |items: Vec<&Value>| json!({"metadata": {}, "items": items});
        let metadata = |pod: &Value| pod["metadata"].clone();
        let is_there = |pod: &&Value| path == fetch::pods(metadata(pod)["namespace"].as_str().unwrap_or_default());
        let is_own = |pod: &&Value| !metadata(pod)["labels"]["otelgate.dev/inject"].is_null();
        match path {
            fetch::STACKS => items(vec![&stack]),
            "/api/v1/namespaces/otelgate/configmaps/otelgate-injection" => map.clone(),
            "/api/v1/namespaces" => items(namespaces.iter().collect()),
            "/api/v1/pods" if uri.contains("inject") => items(pods.iter().filter(is_own).collect()),
            path if path.ends_with("/pods") => items(pods.iter().filter(is_there).collect()),
            _ => items(Vec::new()),
        }
    };
    let service = tower::service_fn(move |request: Request<Body>| {
        let body = Body::from(answer(&request.uri().to_string()).to_string().into_bytes());
        async move { Ok::<_, tower::BoxError>(Response::new(body)) }
    });
    Client::new(service, "default")
}

/// As the controller judges them: by what has kept pods from being injected, and by what their namespaces say.
#[tokio::test]
async fn pods_are_judged_by_all_that_the_controller_judges_them_by() {
    let (none, enabled) = (json!({}), json!({"otelgate.dev/inject": "enabled"}));
    let others = json!({"otelgate.dev/containers": "sidecar"});
    let namespaces = [
        ("bank", &enabled, &none),
        ("shop", &enabled, &none),
        ("some", &enabled, &others),
        ("tools", &none, &others),
        ("plain", &none, &none),
    ];
    let namespaces = namespaces.map(
        |(name, labels, annotations)| json!({"metadata": {"name": name, "labels": labels, "annotations": annotations}}),
    );
    let pods = [
        ("shop", "before", &none, "12:00", Coverage::RestartPending),
        ("shop", "until", &none, "13:00", Coverage::RestartPending),
        ("shop", "own", &enabled, "12:00", Coverage::RestartPending),
        ("shop", "later", &none, "13:01", Coverage::Missed),
        ("bank", "before", &none, "12:00", Coverage::Missed),
        ("some", "web", &none, "12:00", Coverage::NotExpected),
        ("tools", "own", &enabled, "12:00", Coverage::NotExpected),
        ("plain", "own", &enabled, "12:00", Coverage::Missed),
    ];
    let objects = pods.map(|(namespace, name, labels, time, _)| {
        let created = format!("2026-11-02T{time}:00Z");
        json!({
            "metadata": {"name": name, "namespace": namespace, "labels": labels, "creationTimestamp": created},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        })
    });
    let client = server(namespaces.to_vec(), objects.to_vec());
    let observed = observe::observe(&client, "otelgate", None).await.expect("it is reached");
    assert!(observed.gaps.is_empty(), "{:?}", observed.gaps);
    assert_eq!(observed.tallies.len(), pods.len(), "each is counted once");
    for (namespace, name, .., expected) in pods {
        let tally = observed.tallies[&owner(namespace, "Pod", name)];
        assert_eq!((tally.get(expected), tally.total()), (1, 1), "{namespace}/{name}: {expected:?}");
    }
    let opted_in: Vec<_> = observed.namespaces.keys().map(String::as_str).collect();
    assert_eq!(opted_in, ["bank", "shop", "some"]);
}
