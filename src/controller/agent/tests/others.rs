//! Agents of somebody else's: none of ours is made beside one, and none of ours is taken away for one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::mode::{self, Allowed};
use super::super::observe::{DatadogAgent, Maker, Nodes};
use super::super::others::{self, Found, Other, Search};
use super::super::present::{fill, fill_others, search};
use super::super::verdict::Sight;
use super::super::watches::Seen;
use super::steady::{Agent, answer};
use super::{client, watches};
use crate::api::annotation;
use crate::api::stack::AgentWay;
use crate::k8s;

const OF_RELEASE: &str = "DaemonSet datadog in namespace monitoring";

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

/// A pod of an Agent, with its maker's kind and name.
fn pod(namespace: &str, kind: &str, name: &str, annotations: &Value) -> Value {
    let maker = json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true});
    json!({"metadata": {"name": format!("{name}-x7k2p"), "namespace": namespace, "annotations": annotations,
                        "ownerReferences": [maker]}})
}

fn of_release() -> Value {
    pod("monitoring", "DaemonSet", "datadog", &json!({"checksum/api_key": "x"}))
}

fn of_ours(namespace: &str) -> Value {
    pod(namespace, "DaemonSet", "datadog-agent", &json!({annotation::CREDENTIALS: "1.2"}))
}

fn of_our_datadog_agent() -> Value {
    pod("datadog", "DaemonSet", "datadog-agent", &json!({annotation::AGENT_REVISION: "ab"}))
}

fn list(pods: &[Value]) -> String {
    json!({"metadata": {"resourceVersion": "1"}, "items": pods}).to_string()
}

#[test]
fn another_is_known_by_pods_of_a_daemon_set_without_a_mark_of_ours() {
    let with = |field: &str, value: Value| {
        let mut pod = of_release();
        pod["metadata"][field] = value;
        pod
    };
    let home = || Search::Beside("datadog".to_owned());
    let not_controlled = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "datadog", "uid": "u"}]);
    for (what, pod, search, expected) in [
        ("a release's", of_release(), Search::Everywhere, Some(OF_RELEASE)),
        ("a release's, beside ours", of_release(), home(), Some(OF_RELEASE)),
        (
            "of Datadog's own kind",
            pod("dd", "ExtendedDaemonSetReplicaSet", "agent-x", &json!({})),
            Search::Everywhere,
            Some("ExtendedDaemonSetReplicaSet agent-x in namespace dd"),
        ),
        (
            "a release's in the namespace of ours",
            pod("datadog", "DaemonSet", "theirs", &json!({})),
            home(),
            Some("DaemonSet theirs in namespace datadog"),
        ),
        ("of our name, where ours is", pod("datadog", "DaemonSet", "datadog-agent", &json!({})), home(), None),
        ("ours", of_ours("datadog"), Search::Everywhere, None),
        ("ours, left behind", of_ours("old"), Search::Everywhere, None),
        ("of our DatadogAgent", of_our_datadog_agent(), Search::Everywhere, None),
        ("a Deployment's", pod("monitoring", "ReplicaSet", "datadog", &json!({})), Search::Everywhere, None),
        ("nobody's", with("ownerReferences", json!([])), Search::Everywhere, None),
        ("not controlled", with("ownerReferences", not_controlled), Search::Everywhere, None),
        ("ending", with("deletionTimestamp", json!("2026-01-01T11:59:00Z")), Search::Everywhere, Some(OF_RELEASE)),
        ("overdue", with("deletionTimestamp", json!("2026-01-01T11:58:00Z")), Search::Everywhere, None),
    ] {
        let found = others::read(&list(&[pod]), &search, now()).expect("a list");
        assert_eq!(found.keys().next().map(Other::told).as_deref(), expected, "{what}");
    }
}

/// What is there by our names.
fn seen(nodes: Option<Maker>, datadog_agent: bool) -> Seen {
    let nodes = nodes.map(|maker| Nodes { name: "datadog-agent".to_owned(), maker, ..Nodes::default() });
    let ours = DatadogAgent { name: "datadog".to_owned(), maker: Maker::Controller, ..DatadogAgent::default() };
    Seen {
        nodes: Some(nodes),
        cluster_agent: Some(None),
        key_version: Some(None),
        token: Some(None),
        datadog_agents: Some(datadog_agent.then_some(ours).into_iter().collect()),
        ..Seen::default()
    }
}

fn sight(way: AgentWay, seen: &Seen) -> Sight {
    let mut sight = Sight { way: Some(way), ..Sight::default() };
    fill(&mut sight, seen, way);
    sight
}

#[test]
fn none_is_made_beside_anothers_and_one_that_runs_stays() {
    let beside = || Some(Search::Beside("datadog".to_owned()));
    let foreign = |object: &str| Allowed::Foreign(object.to_owned());
    let (ours, theirs) = (seen(Some(Maker::Controller), false), seen(Some(Maker::SomebodyElse), false));
    let (nothing, of_operator) = (seen(None, false), seen(Some(Maker::Operator), true));
    let (daemon_set, operator) = (AgentWay::Daemonset, AgentWay::Operator);
    for (way, seen, pods, searched, allowed, told) in [
        (daemon_set, &nothing, vec![], Some(Search::Everywhere), Allowed::Way(daemon_set), None),
        (daemon_set, &nothing, vec![of_release()], Some(Search::Everywhere), foreign(OF_RELEASE), None),
        (operator, &nothing, vec![of_release()], Some(Search::Everywhere), foreign(OF_RELEASE), None),
        (daemon_set, &nothing, vec![of_ours("old")], Some(Search::Everywhere), Allowed::Way(daemon_set), None),
        (daemon_set, &nothing, vec![of_ours("old"), of_release()], Some(Search::Everywhere), foreign(OF_RELEASE), None),
        (operator, &nothing, vec![of_our_datadog_agent()], Some(Search::Everywhere), Allowed::Way(operator), None),
        (daemon_set, &ours, vec![of_ours("datadog")], beside(), Allowed::Way(daemon_set), None),
        (daemon_set, &ours, vec![of_release()], beside(), Allowed::Way(daemon_set), Some(OF_RELEASE)),
        (operator, &of_operator, vec![of_our_datadog_agent()], beside(), Allowed::Way(operator), None),
        (operator, &of_operator, vec![of_release()], beside(), Allowed::Way(operator), Some(OF_RELEASE)),
        (daemon_set, &of_operator, vec![of_release()], beside(), Allowed::LeftOver, Some(OF_RELEASE)),
        (daemon_set, &theirs, vec![of_release()], None, foreign("DaemonSet datadog-agent"), None),
        (AgentWay::Adopt, &theirs, vec![of_release()], None, Allowed::Way(AgentWay::Adopt), None),
        (AgentWay::Disabled, &nothing, vec![of_release()], None, Allowed::Way(AgentWay::Disabled), None),
    ] {
        let mut sight = sight(way, seen);
        let search = search(&sight, "datadog");
        if let Some(search) = &search {
            let others = others::read(&list(&pods), search, now()).expect("a list").into_keys().collect();
            fill_others(&mut sight, search, Some(&Found { search: search.clone(), others }));
        }
        assert!(sight.looked, "{way:?} {seen:?} {pods:?}");
        assert_eq!(search, searched, "{way:?} {seen:?} {pods:?}");
        assert_eq!(mode::allowed(way, &sight.present), allowed, "{way:?} {seen:?} {pods:?}");
        assert_eq!(sight.beside.as_deref(), told, "{way:?} {seen:?} {pods:?}");
    }
}

#[test]
fn what_was_found_elsewhere_is_no_answer() {
    let beside = || Search::Beside("datadog".to_owned());
    let found = |search: Search| Some(Found { search, others: BTreeSet::new() });
    let nothing = seen(None, false);
    for (search, found, looked, searched) in [
        (Search::Everywhere, None, false, true),
        (Search::Everywhere, found(beside()), false, true),
        (Search::Everywhere, found(Search::Everywhere), true, true),
        (beside(), None, true, false),
        (beside(), found(Search::Everywhere), true, false),
        (beside(), found(beside()), true, true),
    ] {
        let mut sight = sight(AgentWay::Daemonset, &nothing);
        fill_others(&mut sight, &search, found.as_ref());
        assert_eq!((sight.looked, !sight.unsearched), (looked, searched), "{search:?} {found:?}");
    }
    assert_eq!(search(&sight(AgentWay::Daemonset, &Seen::default()), "datadog"), None, "not before names are known");
}

#[tokio::test]
async fn they_are_chosen_by_label_and_asked_for_by_metadata_out_of_memory() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&asked);
    let client = client(move |request: &Request<k8s::Body>| {
        // One of them, to see which nodes they are for.
        if request.uri().to_string().contains("fieldSelector=metadata.name%3Ddatadog-x7k2p") {
            return (200, Body::from(list(&[of_release()])));
        }
        let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert!(accept.contains("PartialObjectMetadataList"), "{accept}");
        tell.lock().expect("a lock").push(request.uri().to_string());
        (200, Body::from(list(&[of_release()])))
    });
    for (search, fields) in [
        (Search::Everywhere, vec![("/api/v1/pods?", None)]),
        (
            Search::Beside("datadog".to_owned()),
            vec![
                ("/api/v1/pods?", Some("fieldSelector=metadata.namespace%21%3Ddatadog&")),
                ("/api/v1/namespaces/datadog/pods?", Some("fieldSelector=spec.serviceAccountName%21%3Ddatadog-agent&")),
            ],
        ),
    ] {
        asked.lock().expect("a lock").clear();
        let found = others::find(&client, &search, now()).await.expect("an answer");
        assert_eq!(found.iter().map(Other::told).collect::<Vec<_>>(), [OF_RELEASE], "{search:?}");
        let asked = asked.lock().expect("a lock");
        assert_eq!(asked.len(), fields.len(), "{asked:?}");
        for (uri, (path, fields)) in asked.iter().zip(fields) {
            assert!(uri.contains(path) && fields.is_none_or(|fields| uri.contains(fields)), "{uri}");
            assert_eq!(uri.contains("fieldSelector="), fields.is_some(), "{uri}");
            assert!(uri.contains("labelSelector=agent.datadoghq.com%2Fcomponent%3Dagent"), "{uri}");
            assert!(uri.contains("resourceVersion=0") && uri.contains("NotOlderThan"), "{uri}");
            assert!(!uri.contains("limit="), "with one, the API server would be asked for the newest: {uri}");
        }
    }
}

/// Those in the cluster, where they may be seen.
type Pods = Arc<Mutex<Option<Vec<Value>>>>;
/// What was written.
type Changes = Arc<Mutex<Vec<String>>>;

/// Nothing of ours is there, and what is written is refused.
fn start(pods: &Pods) -> (Agent, Changes) {
    let changes = Changes::default();
    let (pods, seen) = (Arc::clone(pods), Arc::clone(&changes));
    let refused = |message: &str| {
        let refused = json!({"status": "Failure", "message": message, "reason": "Forbidden", "code": 403});
        (403, Body::from(refused.to_string()))
    };
    let spec = json!({"agent": {"mode": "daemonset"}});
    let agent = Agent::of(&spec, Value::Null, move |request: &Request<k8s::Body>| {
        let path = request.uri().path();
        if *request.method() != Method::GET {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(format!("{} {path}", request.method()));
            return refused("exceeded quota: secrets");
        }
        match path {
            _ if watches(request) => answer(path, true),
            "/api/v1/pods" => match &*pods.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(pods) => (200, Body::from(list(pods))),
                None => refused(
                    r#"pods is forbidden: User "u" cannot list resource "pods" in API group "" at the cluster scope"#,
                ),
            },
            _ if path.ends_with("/daemonsets") || path.ends_with("/pods") => (200, Body::from(list(&[]))),
            _ => answer(path, false),
        }
    });
    (agent, changes)
}

fn written(changes: &Changes) -> Vec<String> {
    changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What is made first, and refused here.
const FIRST: &str = "Secret datadog-cluster-agent: ";

#[tokio::test(start_paused = true)]
async fn nothing_is_written_beside_anothers_until_it_has_gone() {
    let pods = Pods::new(Mutex::new(Some(vec![of_release()])));
    let (mut agent, changes) = start(&pods);
    let told = format!("{:?}", agent.until("AgentForeign").await.last());
    assert!(told.contains(&format!("{OF_RELEASE} isn't otelgate's")), "{told}");
    sleep(Duration::from_mins(2)).await;
    assert_eq!(written(&changes), [] as [String; 0]);
    *pods.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    agent.until(FIRST).await;
    assert_ne!(written(&changes), [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_others_may_be_looked_for() {
    let pods = Pods::default();
    let (mut agent, changes) = start(&pods);
    let told = agent.until("Pod of another Datadog Agent: not allowed to list pods in the whole cluster").await;
    assert!(format!("{:?}", told.last()).contains("AgentNotReadable"), "{told:?}");
    sleep(Duration::from_mins(2)).await;
    assert_eq!(written(&changes), [] as [String; 0]);
    *pods.lock().unwrap_or_else(PoisonError::into_inner) = Some(vec![of_ours("old")]);
    agent.until(FIRST).await;
}

#[tokio::test]
async fn one_for_windows_is_none_beside_ours() {
    for (spec, is_another) in [
        (json!({"nodeSelector": {"kubernetes.io/os": "windows"}, "containers": []}), false),
        (json!({"os": {"name": "windows"}, "containers": []}), false),
        (json!({"nodeSelector": {"kubernetes.io/os": "linux"}, "containers": []}), true),
        (json!({"containers": []}), true),
    ] {
        let mut whole = of_release();
        whole["spec"] = spec.clone();
        let client = client(move |_: &Request<k8s::Body>| (200, Body::from(list(std::slice::from_ref(&whole)))));
        let found = others::find(&client, &Search::Everywhere, now()).await.expect("an answer");
        assert_eq!(!found.is_empty(), is_another, "{spec}");
    }
}
