//! The watch of namespaces against a server that speaks the list and watch protocol, and breaks it.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use otelgate::admission::{Admission, Entry};
use otelgate::config::Document;
use otelgate::k8s::Client;
use otelgate::metrics::Metrics;
use otelgate::namespaces::{Namespaces, watch};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::task::JoinHandle;

use super::authority::Authority;
use super::client::{metric, tls, wait_ready, wait_until};
use super::process::Process;
use super::stack::{Stack, admission, recorded_with};

const UNKNOWN: &str = "otelgate_notes_total{reason=\"NamespaceUnknown\"}";
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata";

#[derive(Default)]
struct Cluster {
    /// Annotations by name.
    namespaces: BTreeMap<String, Value>,
    version: u64,
    watches: Vec<UnboundedSender<Result<Bytes, Infallible>>>,
    /// Pages that were listed, and how often anything else than metadata was asked for.
    pages: usize,
    whole_objects: usize,
    failures_to_come: usize,
    /// Before each answer.
    delay: Duration,
}

type Shared = Arc<Mutex<Cluster>>;

impl Cluster {
    fn object(&self, name: &str) -> Value {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {
                "name": name, "uid": format!("uid-{name}"), "resourceVersion": self.version.to_string(),
                "labels": {"kubernetes.io/metadata.name": name}, "annotations": self.namespaces.get(name),
                "managedFields": [{"manager": "kubectl", "operation": "Update", "apiVersion": "v1",
                    "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {}}}}],
            },
        })
    }

    fn tell(&mut self, kind: &str, name: &str) {
        let event = json!({"type": kind, "object": self.object(name)});
        self.watches.retain(|watch| watch.unbounded_send(Ok(Bytes::from(format!("{event}\n")))).is_ok());
    }

    fn set(&mut self, name: &str, annotations: Value) {
        self.version += 1;
        let kind = if self.namespaces.insert(name.to_owned(), annotations).is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(kind, name);
    }

    fn delete(&mut self, name: &str) {
        self.version += 1;
        self.tell("DELETED", name);
        self.namespaces.remove(name);
    }

    /// The server forgets its history: every watch has to begin with a list again.
    fn forget(&mut self) {
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": "too old resource version", "reason": "Expired", "code": 410}});
        for watch in self.watches.drain(..) {
            // The client may be gone.
            let _ = watch.unbounded_send(Ok(Bytes::from(format!("{gone}\n"))));
        }
    }
}

async fn namespaces(
    State(cluster): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let delay = cluster.lock().expect("no panic").delay;
    tokio::time::sleep(delay).await;
    let mut cluster = cluster.lock().expect("no panic");
    if cluster.failures_to_come > 0 {
        cluster.failures_to_come -= 1;
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "namespaces is forbidden", "reason": "Forbidden", "code": 403});
        return (StatusCode::FORBIDDEN, Bytes::from(status.to_string())).into_response();
    }
    let accept = headers.get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accept.starts_with(METADATA_ONLY) {
        cluster.whole_objects += 1;
    }
    if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
        let (sender, receiver) = unbounded();
        cluster.watches.push(sender);
        return Response::new(Body::from_stream(receiver));
    }
    cluster.pages += 1;
    let limit: usize = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let from: usize = query.get("continue").and_then(|token| token.parse().ok()).unwrap_or_default();
    let items: Vec<Value> = cluster.namespaces.keys().skip(from).take(limit).map(|name| cluster.object(name)).collect();
    let mut metadata = json!({"resourceVersion": cluster.version.to_string()});
    if from + items.len() < cluster.namespaces.len() {
        metadata["continue"] = json!((from + items.len()).to_string());
    }
    let list = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": metadata,
        "items": items});
    Response::new(Body::from(list.to_string()))
}

struct Server {
    cluster: Shared,
    address: SocketAddr,
    served: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Server {
    async fn start(cluster: Cluster) -> Self {
        let cluster = Arc::new(Mutex::new(cluster));
        let router = Router::new().route("/api/v1/namespaces", get(namespaces)).with_state(Arc::clone(&cluster));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { cluster, address, served }
    }

    fn change(&self, change: impl FnOnce(&mut Cluster)) {
        change(&mut self.cluster.lock().expect("no panic"));
    }

    fn watched(&self) -> Watched {
        // The client is built with TLS in mind, though this server speaks none.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let uri = format!("http://{}", self.address).parse().expect("an address");
        let client = Client::try_from(kube::Config::new(uri)).expect("a client");
        let (store, metrics) = (Arc::new(Namespaces::default()), Arc::new(Metrics::default()));
        let task = tokio::spawn(watch(client, Arc::clone(&store), Arc::clone(&metrics)));
        Watched { store, metrics, task }
    }
}

struct Watched {
    store: Arc<Namespaces>,
    metrics: Arc<Metrics>,
    task: JoinHandle<()>,
}

impl Watched {
    fn annotations(&self, name: &str) -> Option<Vec<(String, String)>> {
        let known = self.store.get(name)?;
        Some(known.annotations().iter().map(|(key, value)| (key.to_string(), value.to_string())).collect())
    }

    async fn synced(&self) {
        wait_until(|| async { self.metrics.namespaces_synced.get() == 1 }).await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn cluster_of(count: usize) -> Cluster {
    let namespaces = (0..count).map(|index| (format!("team-{index:05}"), Value::Null)).collect();
    Cluster { namespaces, version: 1, ..Cluster::default() }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn of_every_namespace_only_the_engines_annotations_are_kept() {
    let server = Server::start(cluster_of(1200)).await;
    server.change(|cluster| {
        cluster.set(
            "shop",
            json!({"otelgate.dev/protocol": "grpc", "resource.opentelemetry.io/team": "a",
                "otelgate.dev.example.com/x": "1", "kubectl.kubernetes.io/last-applied-configuration": "{}"}),
        );
    });
    let watched = server.watched();
    watched.synced().await;
    assert_eq!((watched.store.len(), watched.metrics.namespaces.get()), (1201, 1201));
    assert_eq!(
        watched.annotations("shop"),
        Some(pairs(&[("otelgate.dev/protocol", "grpc"), ("resource.opentelemetry.io/team", "a")]))
    );
    assert_eq!(watched.annotations("team-00007"), Some(pairs(&[])));
    assert_eq!(watched.annotations("elsewhere"), None);
    server.change(|cluster| {
        assert!(cluster.pages > 1, "a list comes in pages");
        assert_eq!(cluster.whole_objects, 0, "metadata only");
    });
}

#[tokio::test]
async fn changes_arrive_also_after_errors_and_lost_history() {
    let server = Server::start(cluster_of(3)).await;
    let watched = server.watched();
    watched.synced().await;
    wait_until(|| async { !server.cluster.lock().expect("no panic").watches.is_empty() }).await;

    server.change(|cluster| cluster.set("shop", json!({"otelgate.dev/logs": "disabled"})));
    wait_until(|| async { watched.annotations("shop") == Some(pairs(&[("otelgate.dev/logs", "disabled")])) }).await;
    server.change(|cluster| cluster.set("shop", json!({"otelgate.dev/logs": "enabled"})));
    wait_until(|| async { watched.annotations("shop") == Some(pairs(&[("otelgate.dev/logs", "enabled")])) }).await;
    server.change(|cluster| cluster.delete("team-00001"));
    wait_until(|| async { watched.store.get("team-00001").is_none() }).await;

    // What happens while nobody watches is found by the next list.
    server.change(|cluster| {
        cluster.forget();
        cluster.failures_to_come = 2;
        cluster.namespaces.remove("team-00002");
        cluster.namespaces.insert("late".to_owned(), json!({"resource.opentelemetry.io/x": "y"}));
        cluster.version += 1;
    });
    wait_until(|| async { watched.annotations("late") == Some(pairs(&[("resource.opentelemetry.io/x", "y")])) }).await;
    wait_until(|| async { watched.store.get("team-00002").is_none() }).await;
    assert_eq!(watched.annotations("shop"), Some(pairs(&[("otelgate.dev/logs", "enabled")])));
    assert!(watched.metrics.namespace_watch_errors.get() >= 3);
    assert!(!watched.task.is_finished());
}

#[tokio::test]
async fn a_namespace_that_is_not_known_yet_costs_only_its_defaults() {
    let admission = admission(Document::default());
    let store = admission.namespaces.clone().expect("watched");
    let stack = Stack::of(admission);
    let review = || recorded_with("cronjob-pod", |_| {});
    let patch_of = |response: Value| {
        use base64::Engine as _;
        let patch = response["patch"].as_str().expect("injected all the same").to_owned();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(patch).expect("base64")).expect("text")
    };
    assert!(!patch_of(stack.review(Entry::Enabled, review()).await).contains("b3multi"));
    assert!(stack.sample(UNKNOWN) > 0.0);
    store.insert(
        serde_json::from_value(json!({"name": "shop", "annotations": {"otelgate.dev/propagators": "b3multi"}}))
            .expect("metadata"),
    );
    assert!(patch_of(stack.review(Entry::Enabled, review()).await).contains("b3multi"));
}

/// Nothing is missing where nobody asked for it.
#[tokio::test]
async fn namespaces_that_nobody_watches_are_not_unknown() {
    let stack = Stack::of(Admission { namespaces: None, ..admission(Document::default()) });
    let response = stack.review(Entry::Enabled, recorded_with("cronjob-pod", |_| {})).await;
    assert!(response["patch"].is_string(), "{response}");
    let metrics = stack.metrics();
    assert!(stack.counted() > 0.0 && !metrics.contains(UNKNOWN), "{metrics}");
}

/// The real binary, which asks that server.
async fn process(folder: &Path, server: &Server) -> Process {
    let kubeconfig = folder.join("kubeconfig");
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", server.address)}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}]});
    std::fs::write(&kubeconfig, config.to_string()).expect("written");
    let arguments = ["--shutdown-delay", "0s", "--kubeconfig", kubeconfig.to_str().expect("text")];
    Process::start(folder, &arguments).await
}

#[tokio::test]
async fn readiness_waits_for_the_first_list() {
    let server = Server::start(Cluster { delay: Duration::from_millis(300), ..cluster_of(2) }).await;
    let folder = tempdir().expect("a folder");
    Authority::new("one").issue().write(folder.path());
    let process = process(folder.path(), &server).await;
    wait_ready(process.admin, "ok").await;
    assert_eq!(metric(process.admin, "otelgate_namespaces_synced").await, 1.0);
}

#[tokio::test]
async fn readiness_does_not_wait_for_ever() {
    let server = Server::start(Cluster { failures_to_come: usize::MAX, ..cluster_of(2) }).await;
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let process = process(folder.path(), &server).await;
    wait_ready(process.admin, "ok").await;
    assert_eq!(metric(process.admin, "otelgate_namespaces_synced").await, 0.0);
    let mut connection = tls(process.address, authority.client(None)).await.expect("a handshake");
    let review = super::stack::recorded("deployment-pod");
    assert!(connection.review(Entry::Pod.path(), &review).await.expect("an answer").response().get("patch").is_some());
    server.change(|cluster| cluster.failures_to_come = 0);
    wait_until(|| async { metric(process.admin, "otelgate_namespaces").await > 1.0 }).await;
    assert!(metric(process.admin, "otelgate_namespace_watch_errors_total").await >= 1.0);
    let told = process.logged("no answer from the API server; trying again");
    assert_eq!(told.len(), 1, "the same is told once: {told:?}");
    assert_eq!(told[0]["otelgate.object"], "Namespace");
}
