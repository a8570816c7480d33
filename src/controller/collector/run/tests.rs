//! A DaemonSet of ours that lost its label while nobody looked, and that is to go: it is by that label that it is found.

use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::{Method, Request, Response};
use futures::stream;
use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::api::label;
use crate::api::stack::Collector;
use crate::collector::Carries;
use crate::controller::collector_pods::{self, CollectorPods};
use crate::controller::status::Sink;
use crate::k8s::{self, Client};
use crate::watch::Objects;

/// What is changed within a minute, where there is one with that metadata and no label.
async fn changes(metadata: &Value) -> Vec<String> {
    let changes = Arc::<Mutex<Vec<String>>>::default();
    let (seen, metadata) = (Arc::clone(&changes), metadata.clone());
    let service = tower::service_fn(move |request: Request<k8s::Body>| {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let of = path.rsplit('/').next().unwrap_or_default();
        let body = if *request.method() != Method::GET {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{} {of}", request.method()));
            let patched =
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": of}});
            Body::from(patched.to_string())
        } else if query.contains("watch=true") {
            Body::from_stream(stream::pending::<Result<String, tower::BoxError>>())
        } else {
            let mut set = json!({"metadata": metadata, "spec": {"selector": {}, "template": {}}});
            set["metadata"]["name"] = json!("otel-collector");
            let is_seen = of == "daemonsets" && !query.contains("labelSelector");
            let items = if is_seen { json!([set]) } else { json!([]) };
            Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string())
        };
        async move { Ok::<_, tower::BoxError>(Response::builder().status(200).body(body).expect("a response")) }
    });
    let stack = Stack::new("u".to_owned(), 1, &json!({"collector": {"mode": "disabled"}}));
    let known = Known::of(stack);
    let context = Context { known: known.subscribe(), ..Context::of_nothing(Client::new(service, "default")) };
    let runs = Box::pin(run(context, watch::channel(Arc::default()).0, watch::channel(None).0));
    timeout(Duration::from_mins(1), runs).await.expect_err("it never returns");
    let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // The same again, as long as it doesn't show.
    changes.dedup();
    changes
}

#[tokio::test(start_paused = true)]
async fn what_is_to_go_gets_its_label_back() {
    let owner = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default", "uid": "u"});
    assert_eq!(changes(&json!({"ownerReferences": [owner]})).await, ["PATCH otel-collector"]);
    // Nothing but a trace in its history says that it was ours.
    let written = json!([{"manager": "otelgate-controller", "operation": "Apply"}]);
    assert_eq!(changes(&json!({"managedFields": written})).await, [] as [String; 0]);
}

fn disabled() -> Value {
    json!({"collector": {"mode": "disabled"}})
}

/// What Collectors are known to have.
fn lines() -> Carried {
    let lines = Some(Carries { container_logs: true, ..Carries::default() });
    Carried { settled: lines, anywhere: lines }
}

/// Within a minute.
struct Told {
    reports: Vec<String>,
    deletes: Vec<String>,
    carried: Option<Carried>,
}

/// Where these `DaemonSet`s are there and may not be deleted.
async fn told_of(spec: &Value, sets: Value) -> Told {
    told_beside(spec, sets, json!([]), Some(lines())).await
}

/// And these pods, of which that is known. There is no node.
async fn told_beside(spec: &Value, sets: Value, pods: Value, known: Option<Carried>) -> Told {
    let deletes = Arc::<Mutex<Vec<String>>>::default();
    let asked = Arc::clone(&deletes);
    let cut = |pod: &Value| Arc::new(Pod::of(&serde_json::from_value(pod.clone()).expect("a pod")));
    let listed = pods.as_array().expect("a list").iter().map(cut);
    let listed: Objects<_> = listed.map(|pod| (pod.name.to_string(), pod)).collect();
    let service = tower::service_fn(move |request: Request<k8s::Body>| {
        let query = request.uri().query().unwrap_or_default();
        let of = request.uri().path().rsplit('/').next().unwrap_or_default();
        let (status, body) = if *request.method() == Method::DELETE {
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(of.to_owned());
            let denied =
                json!({"status": "Failure", "message": "denied by policy keep", "reason": "Forbidden", "code": 403});
            (403, Body::from(denied.to_string()))
        } else if query.contains("watch=true") {
            (200, Body::from_stream(stream::pending::<Result<String, tower::BoxError>>()))
        } else {
            let items = match of {
                "daemonsets" => sets.clone(),
                "pods" => pods.clone(),
                _ => json!([]),
            };
            (200, Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string()))
        };
        async move { Ok::<_, tower::BoxError>(Response::builder().status(status).body(body).expect("a response")) }
    });
    let stack = Stack::new("u".to_owned(), 3, spec);
    let (sink, mut reports) = Sink::new();
    let client = Client::new(service, "default");
    let specs = Known::of(stack);
    let place = collector_pods::Place::at(&Collector::default(), "datadog");
    let (_pods, pods) = watch::channel(CollectorPods::listed(place, listed));
    let context =
        Context { known: specs.subscribe(), status: sink, collector_pods: pods, ..Context::of_nothing(client) };
    let (carried, left) = watch::channel(known);
    let mut all = Vec::new();
    let told = async {
        loop {
            reports.changed().await.expect("the context has the sender");
            all.push(format!("{:?}", *reports.borrow_and_update()));
        }
    };
    let runs = run(context.clone(), watch::channel(Arc::default()).0, carried);
    let both = Box::pin(async { tokio::join!(runs, told) });
    timeout(Duration::from_mins(1), both).await.expect_err("it never returns");
    let deletes = deletes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let carried = *left.borrow();
    Told { reports: all, deletes, carried }
}

fn ours(metadata: &Value) -> Value {
    let owner = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default", "uid": "u"});
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": {"selector": {}, "template": {}},
    });
    for (field, value) in [
        ("name", json!("otel-collector")),
        ("namespace", json!("datadog")),
        ("uid", json!("s")),
        ("resourceVersion", json!("1")),
        ("labels", json!({label::PART: "collector"})),
        ("ownerReferences", json!([owner])),
    ] {
        set["metadata"][field] = value;
    }
    set
}

/// It is there, and isn't ours to hide: whoever reads the condition alone would take the node for one without a Collector.
#[tokio::test(start_paused = true)]
async fn what_may_not_be_deleted_is_told() {
    let Told { reports, deletes, carried } = told_of(&disabled(), json!([ours(&json!({}))])).await;
    assert!(deletes.iter().any(|name| name == "otel-collector"), "{deletes:?}");
    let is_told = |said: &String| said.contains("CollectorNotWritten") && said.contains("denied by policy keep");
    assert!(reports.iter().any(is_told), "{reports:?}");
    assert_eq!(carried, Some(lines()), "what it has is still its own");
}

/// What the leader before said of it would go, and come back as news.
#[tokio::test(start_paused = true)]
async fn nothing_is_off_before_it_is_known_to_be_gone() {
    const OFF: &str = "CollectorAvailable: Off";
    let stuck = ours(&json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/keep"]}));
    let told = told_of(&disabled(), json!([stuck])).await.reports;
    assert!(told.iter().all(|said| !said.contains(OFF)), "{told:?}");
    assert!(told.iter().any(|said| said.contains(r#"ready: "off""#)), "its number is known at once: {told:?}");
    let told = told_of(&disabled(), json!([])).await;
    assert!(told.reports.last().is_some_and(|said| said.contains(OFF)), "{:?}", told.reports);
    assert_eq!(told.carried, Some(Carried::default()), "it has gone");
}

/// Of the controller's own.
fn pod(metadata: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "gone", "containers": []},
    });
    pod["metadata"]["name"] = json!("otel-collector-1");
    pod["metadata"]["uid"] = json!("p");
    pod["metadata"]["labels"] = json!({label::ROLLOUT: "stable"});
    pod
}

/// Nobody takes them away, and the Agent waits for them.
#[tokio::test(start_paused = true)]
async fn nothing_is_off_while_pods_stay() {
    let orphan = pod(&json!({}));
    let told = told_beside(&disabled(), json!([]), json!([orphan]), Some(lines())).await;
    assert!(told.reports.iter().all(|said| !said.contains("CollectorAvailable: Off")), "{:?}", told.reports);
    assert_eq!(told.carried, Some(lines()));
}

/// Nobody could tell that it has ended.
#[tokio::test(start_paused = true)]
async fn a_pod_that_is_to_end_on_a_node_that_has_gone_isnt_waited_for() {
    let ends = pod(&json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
    for known in [None, Some(lines())] {
        let told = told_beside(&disabled(), json!([]), json!([ends]), known).await;
        assert_eq!(told.carried, Some(Carried::default()), "{known:?}");
    }
}

/// They still read the same lines.
#[tokio::test(start_paused = true)]
async fn what_ours_have_is_theirs_while_they_make_way_for_somebody_elses() {
    let adopt = json!({"collector": {"mode": "adopt"}});
    let told = told_of(&adopt, json!([ours(&json!({}))])).await;
    assert!(told.deletes.iter().any(|name| name == "otel-collector"), "{:?}", told.deletes);
    assert_eq!(told.carried, Some(lines()));
    for known in [None, Some(lines())] {
        let told = told_beside(&adopt, json!([]), json!([]), known).await;
        assert_eq!(told.carried, Some(Carried::default()), "{known:?}: they have gone");
    }
}

/// The leader before may have had another, that could be read.
#[tokio::test(start_paused = true)]
async fn a_spec_with_a_fault_takes_nothing_away() {
    let of = |mode: &str| json!({"collector": {"mode": mode}, "egress": {"caConfigMap": 1}});
    let told = told_of(&of("disabled"), json!([ours(&json!({}))])).await;
    assert!(told.reports.last().is_some_and(|said| said.contains("CollectorSpecInvalid")), "{:?}", told.reports);
    assert_eq!(told.deletes, [] as [String; 0]);
    assert_eq!(told_of(&of("adopt"), json!([ours(&json!({}))])).await.deletes, [] as [String; 0]);
}
