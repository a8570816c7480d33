//! A large cluster, as far as the controller asks for it: an API server that lists page by page, watches from a version
//! on, applies, creates and deletes. Pods and nodes are told from their number, so that a hundred thousand take no memory.
//!
//! Beside the applications' pods, each node has a Collector's and an Agent's, in a namespace of their own.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::daemon_sets::{DAEMON_SETS, Runs};
use super::objects::{namespace, namespace_name, node, pod, pod_name, pod_of_node};
use super::{Certificate, free_port, serve};

/// What is asked for, and what it is answered from.
pub struct Cluster {
    nodes: usize,
    pods: usize,
    namespaces: usize,
    /// What pods that were injected carry.
    hash: String,
    state: Mutex<State>,
    events: broadcast::Sender<Happening>,
    requests: AtomicUsize,
    watches: AtomicUsize,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By collection, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    /// Pods that were created since, by number.
    created: Vec<usize>,
    /// What runs on each node.
    collectors: Vec<Option<Runs>>,
    agents: Vec<Option<Runs>>,
    history: Vec<Happening>,
}

/// A change of an object in a collection such as `/api/v1/pods`.
#[derive(Clone)]
struct Happening {
    version: u64,
    collection: String,
    namespace: String,
    /// Whose pod it is; nobody's, of an application or of no pod at all.
    of: Option<OfNode>,
    /// Of what isn't a pod.
    labels: Option<Arc<Value>>,
    text: Bytes,
}

/// What a path names.
struct Target {
    collection: String,
    namespace: String,
    name: Option<String>,
    subresource: Option<String>,
}

const PODS: &str = "/api/v1/pods";
const NODES: &str = "/api/v1/nodes";
const NAMESPACES: &str = "/api/v1/namespaces";
/// Of Collectors and Agents.
pub const TELEMETRY: &str = "datadog";

/// What runs on every node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OfNode {
    Collector,
    Agent,
}

impl OfNode {
    /// Label and value by which its pods are chosen.
    pub const fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::Collector => ("app", "otel-collector"),
            Self::Agent => ("agent.datadoghq.com/component", "agent"),
        }
    }

    fn chosen_by(selector: Option<&str>) -> Option<Self> {
        let chosen = |one: &Self| {
            let (key, value) = one.label();
            selector.and_then(|selector| selector.split_once('=')) == Some((key, value))
        };
        [Self::Collector, Self::Agent].into_iter().find(chosen)
    }
}

impl Cluster {
    /// With or without somebody's Collector on each node, and with an Agent.
    pub fn new(nodes: usize, pods: usize, namespaces: usize, hash: &str, collectors: bool) -> Arc<Self> {
        let (events, _) = broadcast::channel(1 << 14);
        let agents = vec![Some(Runs::first()); nodes];
        let collectors = if collectors { agents.clone() } else { vec![None; nodes] };
        let cluster = Self {
            nodes,
            pods,
            namespaces,
            hash: hash.to_owned(),
            state: Mutex::new(State { version: 1_000_000, collectors, agents, ..State::default() }),
            events,
            requests: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
        };
        Arc::new(cluster)
    }

    /// Serves it until the process ends; the kubeconfig for it.
    pub fn serve(self: &Arc<Self>, folder: &Path, certificate: &Certificate) -> PathBuf {
        let port = free_port();
        let cluster = Arc::clone(self);
        let router = Router::new().fallback(move |request: Request<Body>| {
            let cluster = Arc::clone(&cluster);
            async move { cluster.answer(request).await }
        });
        let (chain, key) = (certificate.chain.clone(), certificate.key.clone());
        thread::spawn(move || serve::serve(("127.0.0.1", port), &chain, &key, &router));
        let authority = fs::read(&certificate.chain).expect("a certificate");
        let authority = base64::engine::general_purpose::STANDARD.encode(authority);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{ "name": "bench", "cluster": {
                "server": format!("https://localhost:{port}"), "certificate-authority-data": authority } }],
            "users": [{ "name": "bench", "user": { "token": "bench" } }],
            "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
        });
        let path = folder.join("kubeconfig.json");
        fs::write(&path, kubeconfig.to_string()).expect("a kubeconfig");
        path
    }

    /// Requests so far, and how many of them were watches.
    pub fn requests(&self) -> (usize, usize) {
        (self.requests.load(Relaxed), self.watches.load(Relaxed))
    }

    /// Puts an object there, as somebody else would.
    pub fn put(&self, collection: &str, namespace: &str, name: &str, object: Value) {
        self.store(collection, namespace, name, object);
    }

    pub fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lock().objects.get(&key(collection, namespace, name)).cloned()
    }

    /// Creates as many pods without a mark, spread over the namespaces.
    pub fn miss(&self, count: usize) {
        for index in self.pods..self.pods + count {
            self.lock().created.push(index);
            self.tell_of_pod("ADDED", index);
        }
    }

    /// A kubelet writes something into a pod's status.
    pub fn touch(&self, index: usize) {
        self.tell_of_pod("MODIFIED", index % self.pods);
    }

    /// A node's Collector is replaced by another one, as in a rollout.
    pub fn roll(&self, node: usize) {
        let generation = self.runs(OfNode::Collector)[node].as_ref().map_or(1, |runs| runs.generation);
        self.run(OfNode::Collector, node, None);
        self.run(OfNode::Collector, node, Some(Runs { generation: generation + 1, ..Runs::first() }));
    }

    pub fn runs(&self, of: OfNode) -> Vec<Option<Runs>> {
        let state = self.lock();
        match of {
            OfNode::Collector => state.collectors.clone(),
            OfNode::Agent => state.agents.clone(),
        }
    }

    /// A node's pod comes, or the one that is there goes.
    pub fn run(&self, of: OfNode, node: usize, runs: Option<Runs>) {
        let mut state = self.lock();
        let there = match of {
            OfNode::Collector => &mut state.collectors[node],
            OfNode::Agent => &mut state.agents[node],
        };
        let before = std::mem::replace(there, runs.clone());
        let (kind, Some(told)) = (if runs.is_some() { "ADDED" } else { "DELETED" }, runs.or(before)) else { return };
        state.version += 1;
        let pod = pod_of_node(of, node, &told, state.version);
        let happening = Happening {
            version: state.version,
            collection: PODS.to_owned(),
            namespace: TELEMETRY.to_owned(),
            of: Some(of),
            labels: None,
            text: format!("{{\"type\":\"{kind}\",\"object\":{pod}}}\n").into(),
        };
        state.history.push(happening.clone());
        drop(state);
        let _ = self.events.send(happening);
    }

    /// Its controller has seen it as it is.
    pub fn observe_daemon_set(&self, mut set: Value) {
        let generation = set["metadata"]["generation"].clone();
        if set["status"]["observedGeneration"] != generation {
            let name = set["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            set["status"] = json!({"observedGeneration": generation, "currentNumberScheduled": 0,
                                   "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0});
            self.store(DAEMON_SETS, TELEMETRY, &name, set);
        }
    }

    fn tell_of_pod(&self, kind: &str, index: usize) {
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        let pod = self.pod(index, version, false);
        let text = format!("{{\"type\":\"{kind}\",\"object\":{pod}}}\n").into();
        let happening = Happening {
            version,
            collection: PODS.to_owned(),
            namespace: self.namespace_of(index),
            of: None,
            labels: None,
            text,
        };
        // Between two watches, nothing new gets lost.
        if kind == "ADDED" {
            state.history.push(happening.clone());
        }
        drop(state);
        let _ = self.events.send(happening);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Body>) -> Response {
        self.requests.fetch_add(1, Relaxed);
        let (head, body) = request.into_parts();
        let query: Vec<(String, String)> = parameters(head.uri.query().unwrap_or_default());
        let parameter = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let target = Target::of(head.uri.path());
        let body = to_bytes(body, 1 << 22).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let metadata_only = head
            .headers
            .get(ACCEPT)
            .is_some_and(|accept| accept.to_str().is_ok_and(|text| text.contains("PartialObjectMetadata")));
        // There is no Datadog Operator, nor anything else that is asked for by its group.
        if head.uri.path() == "/apis" {
            let none = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []});
            return json_response(StatusCode::OK, none.to_string());
        }
        if head.uri.path().starts_with("/apis/datadoghq.com") {
            return missing();
        }
        match (&head.method, &target.name) {
            (&Method::GET, None) if parameter("watch").is_some_and(|watch| watch != "0" && watch != "false") => {
                self.watches.fetch_add(1, Relaxed);
                let from = parameter("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
                let seconds = parameter("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(30);
                self.watch(&target, parameter("labelSelector").map(str::to_owned), from, seconds)
            }
            (&Method::GET, None) => self.list(&target, &parameter, metadata_only),
            (&Method::GET, Some(name)) => match self.get(&target.collection, &target.namespace, name) {
                Some(object) => json_response(StatusCode::OK, object.to_string()),
                None => missing(),
            },
            (&Method::POST, _) => {
                let name = target.name.clone().or_else(|| Some(body["metadata"]["name"].as_str()?.to_owned()));
                let object = self.store(&target.collection, &target.namespace, &name.unwrap_or_default(), body);
                json_response(StatusCode::CREATED, object.to_string())
            }
            (&Method::PUT, Some(name)) => {
                json_response(StatusCode::OK, self.store(&target.collection, &target.namespace, name, body).to_string())
            }
            (&Method::PATCH, Some(_)) if parameter("dryRun").is_some() => {
                json_response(StatusCode::OK, body.to_string())
            }
            (&Method::PATCH, Some(name)) => self.patch(&target, name, body),
            (&Method::DELETE, Some(name)) => self.delete(&target.collection, &target.namespace, name),
            _ => missing(),
        }
    }

    fn patch(&self, target: &Target, name: &str, body: Value) -> Response {
        let known = self.get(&target.collection, &target.namespace, name);
        let object = match (&target.subresource, known) {
            (Some(_), None) => return missing(),
            (Some(part), Some(mut known)) => {
                known[part.as_str()] = body[part.as_str()].clone();
                known
            }
            (None, known) => {
                let mut object = body;
                if object["kind"] == "ConfigMap" {
                    let annotations = object["metadata"]["annotations"].as_object();
                    let annotated: serde_json::Map<_, _> =
                        annotations.into_iter().flatten().map(|(key, _)| (format!("f:{key}"), json!({}))).collect();
                    let fields = json!({"f:data": {}, "f:metadata": {"f:annotations": annotated}});
                    object["metadata"]["managedFields"] = json!([{"manager": "otelgate-controller", "operation": "Apply",
                        "time": "2026-01-01T00:00:00Z", "fieldsV1": fields}]);
                }
                object["metadata"]["creationTimestamp"] = json!("2026-03-01T10:00:00Z");
                let known = known.unwrap_or_default();
                let generation = known["metadata"]["generation"].as_u64().unwrap_or_default();
                let changed = u64::from(known["spec"] != object["spec"]);
                object["metadata"]["generation"] = json!(generation + changed);
                object["metadata"]["uid"] = known["metadata"]["uid"].clone();
                object["status"] = known["status"].clone();
                object
            }
        };
        json_response(StatusCode::OK, self.store(&target.collection, &target.namespace, name, object).to_string())
    }

    fn store(&self, collection: &str, namespace: &str, name: &str, mut object: Value) -> Value {
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("6f0c2b7e-0000-4000-9000-{version:012}"));
        }
        let before = state.objects.insert(key(collection, namespace, name), object.clone());
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.happened(state, kind, collection, namespace, &object);
        object
    }

    fn delete(&self, collection: &str, namespace: &str, name: &str) -> Response {
        let mut state = self.lock();
        state.version += 1;
        let Some(object) = state.objects.remove(&key(collection, namespace, name)) else { return missing() };
        self.happened(state, "DELETED", collection, namespace, &object);
        json_response(StatusCode::OK, object.to_string())
    }

    fn happened(
        &self,
        mut state: MutexGuard<'_, State>,
        kind: &str,
        collection: &str,
        namespace: &str,
        object: &Value,
    ) {
        let happening = Happening {
            version: state.version,
            collection: collection.to_owned(),
            namespace: namespace.to_owned(),
            of: None,
            labels: Some(Arc::new(object["metadata"]["labels"].clone())),
            text: format!("{}\n", json!({"type": kind, "object": object})).into(),
        };
        state.history.push(happening.clone());
        drop(state);
        let _ = self.events.send(happening);
    }

    fn list<'q>(&self, target: &Target, parameter: &dyn Fn(&str) -> Option<&'q str>, metadata_only: bool) -> Response {
        let number = |name: &str| parameter(name).and_then(|value| value.parse::<usize>().ok());
        let (from, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
        let version = self.lock().version;
        let of_node = OfNode::chosen_by(parameter("labelSelector")).filter(|_| target.namespace == TELEMETRY);
        let runs = of_node.map(|of| self.runs(of)).unwrap_or_default();
        let chosen: Vec<usize> = match target.collection.as_str() {
            NODES => (0..self.nodes).collect(),
            NAMESPACES => (0..self.namespaces).collect(),
            PODS if of_node.is_some() => (0..self.nodes).filter(|&node| runs[node].is_some()).collect(),
            PODS => self.chosen(target, parameter("labelSelector"), parameter("fieldSelector")),
            _ => Vec::new(),
        };
        let until = from.saturating_add(limit).min(chosen.len());
        let items = chosen[from.min(until)..until].iter().map(|&index| match target.collection.as_str() {
            NODES => node(index),
            NAMESPACES => namespace(index).to_string(),
            _ => match of_node {
                Some(of) => pod_of_node(of, index, runs[index].as_ref().expect("those alone are chosen"), 1),
                None => self.pod(index, 1, !metadata_only),
            },
        });
        let mut items: Vec<String> = items.collect();
        let state = self.lock();
        let of_it = |key: &(String, String, String)| {
            key.0 == target.collection && (target.namespace.is_empty() || key.1 == target.namespace)
        };
        let named = parameter("fieldSelector").and_then(|fields| fields.strip_prefix("metadata.name="));
        let is_chosen = |key: &(String, String, String), object: &Value| {
            named.is_none_or(|name| key.2 == name)
                && parameter("labelSelector").is_none_or(|labels| selects(labels, &object["metadata"]["labels"]))
        };
        let objects = state.objects.iter().filter(|(key, object)| of_it(key) && is_chosen(key, object));
        items.extend(objects.map(|(_, object)| object.to_string()));
        let next = if until < chosen.len() { until.to_string() } else { String::new() };
        let text = format!(
            "{{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"{version}\",\"continue\":\"{next}\"}},\"items\":[{}]}}",
            items.join(",")
        );
        json_response(StatusCode::OK, text)
    }

    /// The pods that selectors choose: those of which the controller makes use.
    fn chosen(&self, target: &Target, labels: Option<&str>, fields: Option<&str>) -> Vec<usize> {
        let created = self.lock().created.clone();
        let all = (0..self.pods).chain(created);
        let all = all.filter(|&index| target.namespace.is_empty() || self.namespace_of(index) == target.namespace);
        let unmarked = labels == Some("!otelgate.dev/config");
        let asked = |field: &str| fields.and_then(|fields| fields.split(',').find_map(|one| one.strip_prefix(field)));
        let (name, node) = (asked("metadata.name="), asked("spec.nodeName=node-"));
        let node: Option<usize> = node.and_then(|node| node.parse().ok());
        // A selector of somebody else's chooses none of these pods.
        let others = labels.is_some() && !unmarked;
        all.filter(|&index| {
            !others
                && (!unmarked || index >= self.pods)
                && name.is_none_or(|name| pod_name(index) == name)
                && node.is_none_or(|node| index % self.nodes == node)
        })
        .collect()
    }

    fn watch(&self, target: &Target, labels: Option<String>, from: u64, seconds: u64) -> Response {
        let chosen = OfNode::chosen_by(labels.as_deref());
        let receiver = self.events.subscribe();
        let past: Vec<Happening> = self.lock().history.iter().filter(|one| one.version > from).cloned().collect();
        let last = past.last().map_or(from, |one| one.version);
        let (collection, of) = (target.collection.clone(), target.namespace.clone());
        let coming = futures::stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(happening) => return Some((happening, receiver)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        let is_new = move |one: &Happening| one.version > last;
        let all = futures::stream::iter(past).chain(coming.filter(move |one| std::future::ready(is_new(one))));
        let of_it = move |one: Happening| {
            let matches = one.collection == collection
                && (of.is_empty() || one.namespace == of)
                && (chosen.is_none() || one.of == chosen)
                && one.labels.as_deref().is_none_or(|of| labels.as_ref().is_none_or(|labels| selects(labels, of)));
            std::future::ready(matches.then_some(Ok::<_, Infallible>(one.text)))
        };
        let over = tokio::time::sleep(Duration::from_secs(seconds));
        json_body(StatusCode::OK, Body::from_stream(all.filter_map(of_it).take_until(over)))
    }

    fn namespace_of(&self, index: usize) -> String {
        namespace_name(index % self.namespaces)
    }

    fn pod(&self, index: usize, version: u64, whole: bool) -> String {
        let hash = (index < self.pods).then_some(self.hash.as_str());
        pod(index, &self.namespace_of(index), hash, version, whole)
    }
}

impl Target {
    fn of(path: &str) -> Self {
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = words.split_at(words.len().min(if words.first() == Some(&"api") { 2 } else { 3 }));
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let plural = rest.first().copied().unwrap_or_default();
        let word = |index: usize| rest.get(index).map(|word| (*word).to_owned());
        Self {
            collection: format!("/{}/{plural}", group.join("/")),
            namespace: namespace.to_owned(),
            name: word(1),
            subresource: word(2),
        }
    }
}

/// Whether labels are as a selector of `name=value` asks; of no other kind, an object here is ever chosen.
fn selects(selector: &str, labels: &Value) -> bool {
    selector.split(',').all(|one| one.split_once('=').is_some_and(|(name, value)| labels[name] == value))
}

fn key(collection: &str, namespace: &str, name: &str) -> (String, String, String) {
    (collection.to_owned(), namespace.to_owned(), name.to_owned())
}

/// Of a query, as far as its values are escaped here.
fn parameters(query: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        [("%2F", "/"), ("%21", "!"), ("%3D", "="), ("%2C", ","), ("%28", "("), ("%29", ")"), ("+", " ")]
            .iter()
            .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
    };
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (plain(key), plain(value))).collect()
}

fn json_response(code: StatusCode, text: String) -> Response {
    json_body(code, Body::from(text))
}

fn json_body(code: StatusCode, body: Body) -> Response {
    Response::builder().status(code).header(CONTENT_TYPE, "application/json").body(body).expect("a response")
}

fn missing() -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"});
    json_response(StatusCode::NOT_FOUND, status.to_string())
}
