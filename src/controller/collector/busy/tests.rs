use std::sync::{Mutex, PoisonError};

use axum::http::{Request, Response};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::config;
use crate::k8s::{Body, Client};

/// What the API server was asked for, and when.
type Asked = Arc<Mutex<Vec<(Instant, String)>>>;

fn pod(namespace: &str, metadata: &Value, spec: &Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "a", "namespace": namespace, "uid": "u", "creationTimestamp": "2026-11-02T12:00:00Z"},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    });
    for (part, fields) in [("metadata", metadata), ("spec", spec)] {
        for (field, value) in fields.as_object().expect("fields") {
            pod[part][field] = value.clone();
        }
    }
    pod
}

/// An API server whose namespace `shop` is opted in, with such a pod on `n003`, and one with the mark on `n005`.
fn server(asked: &Asked) -> Client {
    let asked = Arc::clone(asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let uri = request.uri().to_string();
        asked.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), uri.clone()));
        let items = match uri.as_str() {
            uri if uri.starts_with("/api/v1/namespaces?") => {
                json!([{"metadata": {"name": "shop", "uid": "u", "labels": {"otelgate.dev/inject": "enabled"}}}])
            }
            uri if uri.contains("n003") => json!([pod("shop", &json!({}), &json!({}))]),
            uri if uri.contains("n005") => {
                json!([pod("shop", &json!({"labels": {"otelgate.dev/config": "0123456789abcdef"}}), &json!({}))])
            }
            _ => json!([pod("plain", &json!({}), &json!({}))]),
        };
        let body = json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string();
        async move { Ok::<_, tower::BoxError>(Response::new(Body::from(body.into_bytes()))) }
    });
    Client::new(service, "default")
}

fn all(count: usize) -> BTreeSet<String> {
    (0..count).map(|n| format!("n{n:03}")).collect()
}

/// What is found in that time, and what the API server was asked for.
async fn look(nodes: usize, within: Duration) -> (BTreeSet<String>, Vec<(Instant, String)>) {
    let asked = Asked::default();
    let context = Context::of_nothing(server(&asked));
    let busy = Busy::default();
    busy.ask(all(nodes), &Configuration::default());
    let found = busy.found();
    tokio::select! {
        () = busy.look(&context) => {}
        () = sleep(within) => {}
    }
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (found.borrow().clone(), asked)
}

/// 5,000 nodes that `nodeSelector` leaves out, say.
#[tokio::test(start_paused = true)]
async fn however_many_nodes_there_are_one_call_a_second_is_made() {
    let (found, asked) = look(1000, Duration::from_mins(2)).await;
    assert_eq!(found, ["n003".to_owned(), "n005".to_owned()].into());
    assert!((100..=121).contains(&asked.len()), "{}", asked.len());
    for two in asked.windows(2) {
        assert!(two[1].0 - two[0].0 >= BETWEEN, "{two:?}");
    }
    for (_, uri) in asked.iter().filter(|(_, uri)| uri.starts_with("/api/v1/pods?")) {
        assert!(uri.contains("resourceVersion=0&") && !uri.contains("limit="), "not from its memory: {uri}");
    }
    let namespaces = asked.iter().filter(|(_, uri)| uri.starts_with("/api/v1/namespaces?")).count();
    assert!(namespaces <= 3, "{namespaces}");
}

#[tokio::test(start_paused = true)]
async fn a_few_nodes_are_looked_at_again_in_their_time() {
    let (found, asked) = look(4, Duration::from_mins(2)).await;
    assert_eq!(found, ["n003".to_owned()].into());
    let of_one: Vec<_> = asked.iter().filter(|(_, uri)| uri.contains("n001")).map(|(at, _)| *at).collect();
    assert!((3..=4).contains(&of_one.len()), "{asked:?}");
    assert!(of_one.windows(2).all(|two| two[1] - two[0] >= LOOK_EVERY), "{asked:?}");
}

#[test]
fn every_node_has_its_turn() {
    let start = Instant::now();
    let nodes = all(120);
    let mut looks = Looks::default();
    let mut times = BTreeMap::<String, usize>::new();
    for second in 0..480 {
        let now = start + Duration::from_secs(second);
        let Turn::Node(node) = looks.next(Some(&nodes), now) else { panic!("there is always one that is due") };
        *times.entry(node.clone()).or_default() += 1;
        looks.note(node, Some(false), now);
    }
    assert!(nodes.iter().all(|node| times[node] == 4), "{times:?}");
    let now = start + Duration::from_mins(8);
    assert_eq!(looks.next(Some(&all(1)), now), Turn::Node("n000".to_owned()));
    looks.note("n000".to_owned(), None, now);
    assert_eq!(looks.next(Some(&all(1)), now), Turn::At(now + LOOK_EVERY));
    assert_eq!(looks.next(None, now), Turn::Never);
}

#[test]
fn one_that_cannot_be_looked_at_is_as_it_was() {
    let now = Instant::now();
    let mut looks = Looks::default();
    for (busy, expected) in [(None, false), (Some(true), true), (None, true), (Some(false), false)] {
        looks.note("a".to_owned(), busy, now);
        assert_eq!(looks.0["a"].1, expected, "{busy:?}");
    }
    looks.keep_only(Some(&BTreeSet::new()));
    assert!(looks.0.is_empty());
}

/// Of a namespace without a label, and of one that is opted in.
#[test]
fn a_pod_that_was_missed_needs_a_collector_as_one_with_the_mark_does() {
    type Case = (&'static str, Value, Value, [bool; 2]);
    let own = |value: &str| json!({"labels": {"otelgate.dev/inject": value}});
    let cases: [Case; 7] = [
        ("no label of its own", json!({}), json!({}), [false, true]),
        ("opted in itself", own("enabled"), json!({}), [true, true]),
        ("opted out itself", own("disabled"), json!({}), [false, false]),
        ("watched only", own("observe"), json!({}), [false, false]),
        ("a word that is none", own("yes"), json!({}), [false, true]),
        ("Windows", json!({}), json!({"os": {"name": "windows"}}), [false, false]),
        ("on its way out", json!({"deletionTimestamp": "2026-11-02T13:00:00Z"}), json!({}), [false, false]),
    ];
    let opted_in = Around { own: OwnLabel::Says(OptIn::Enabled), ..Around::default() };
    let namespaces = Namespaces::from([("shop".into(), opted_in)]);
    let configuration = Configuration::default();
    for (what, metadata, spec, expected) in cases {
        let found = ["plain", "shop"].map(|namespace| {
            let pod = pod(namespace, &metadata, &spec).to_string();
            let asks = match Labels::of(&pod, &configuration) {
                Some((Labels::Marked | Labels::Ask, _)) => true,
                Some((Labels::AskIf, namespace)) => namespaces.get(&namespace).is_some_and(opts_in),
                None => false,
            };
            let is_opted_in = is_opted_in(&pod, &configuration, &namespaces);
            assert!(asks || !is_opted_in, "{what}: its spec is asked for");
            is_opted_in
        });
        assert_eq!(found, expected, "{what}");
    }
    let marked = pod("plain", &json!({"labels": {"otelgate.dev/config": "0123456789abcdef"}}), &json!({})).to_string();
    assert_eq!(Labels::of(&marked, &configuration), Some((Labels::Marked, "plain".into())));
}

/// What is found of a node with one pod.
async fn is_busy(pod: Value, namespace: Value, configuration: &Configuration) -> bool {
    let is_opted_in = namespace["metadata"]["labels"]["otelgate.dev/inject"] == "enabled";
    let service = tower::service_fn(move |request: Request<Body>| {
        let uri = request.uri().to_string();
        let items = if uri.starts_with("/api/v1/pods?") {
            json!([pod])
        } else if is_opted_in || !uri.contains("labelSelector") {
            json!([namespace])
        } else {
            json!([])
        };
        let body = json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string();
        async move { Ok::<_, tower::BoxError>(Response::new(Body::from(body.into_bytes()))) }
    });
    let context = Context::of_nothing(Client::new(service, "default"));
    let mut calls = Calls { context: &context, next: Instant::now(), namespaces: None };
    calls.is_busy("a", configuration).await.expect("an answer")
}

fn told(endpoint: &str) -> Configuration {
    let document = json!({
        "apiVersion": "otelgate.dev/v1alpha1", "kind": "InjectionConfiguration", "otlp": {"endpoint": endpoint},
    });
    config::parse(&document.to_string()).expect("a configuration")
}

/// Its own annotation's, its namespace's, or that of the configuration.
#[tokio::test(start_paused = true)]
async fn a_pod_that_is_told_another_endpoint_needs_no_collector() {
    const ELSEWHERE: &str = "https://gateway.example:4318";
    const COLLECTOR: &str = "http://otel-collector.datadog:4317";
    let endpoint = |url: &str| json!({"otelgate.dev/endpoint": url});
    let (none, elsewhere, collector, unusable) =
        (json!({}), endpoint(ELSEWHERE), endpoint(COLLECTOR), endpoint("gateway.example"));
    let (default, gateway) = (Configuration::default(), told(ELSEWHERE));
    let opted_in = json!({"otelgate.dev/inject": "enabled"});
    let marked = json!({"otelgate.dev/config": "0123456789abcdef"});
    for (own, of_namespace, configuration, expected) in [
        (&none, &none, &default, true),
        (&elsewhere, &none, &default, false),
        (&none, &elsewhere, &default, false),
        (&none, &none, &gateway, false),
        (&collector, &elsewhere, &gateway, true),
        (&none, &collector, &gateway, true),
        (&none, &none, &told(COLLECTOR), true),
        (&unusable, &none, &default, true),
        (&unusable, &elsewhere, &default, false),
    ] {
        // With the mark, opted in itself, and by its namespace.
        for (labels, namespace_labels) in
            [(&marked, &opted_in), (&marked, &none), (&opted_in, &none), (&none, &opted_in)]
        {
            let pod = pod("shop", &json!({"labels": labels, "annotations": own}), &json!({}));
            let metadata = json!({"name": "shop", "uid": "u", "labels": namespace_labels, "annotations": of_namespace});
            let found = is_busy(pod, json!({"metadata": metadata}), configuration).await;
            assert_eq!(found, expected, "{labels} {own}, {namespace_labels} {of_namespace}");
        }
    }
}
