//! A large cluster, as far as the controller asks for it: an API server that lists page by page, watches from a version
//! on, applies and creates. Pods and nodes are told from their number, so that a hundred thousand take no memory.
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
    pub fn new(nodes: usize, pods: usize, namespaces: usize, hash: &str) -> Arc<Self> {
        let (events, _) = broadcast::channel(4096);
        let cluster = Self {
            nodes,
            pods,
            namespaces,
            hash: hash.to_owned(),
            state: Mutex::new(State { version: 1_000_000, ..State::default() }),
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

    /// A node's pod is replaced by one of another version, as in a rollout.
    pub fn roll(&self, of: OfNode, node: usize) {
        for (kind, revision) in [("DELETED", 1), ("ADDED", 2)] {
            let mut state = self.lock();
            state.version += 1;
            let text = format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", pod_of_node(of, node, revision)).into();
            let (version, collection) = (state.version, PODS.to_owned());
            let happening = Happening { version, collection, namespace: TELEMETRY.to_owned(), of: Some(of), text };
            state.history.push(happening.clone());
            drop(state);
            let _ = self.events.send(happening);
        }
    }

    fn tell_of_pod(&self, kind: &str, index: usize) {
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        let pod = self.pod(index, version, false);
        let text = format!("{{\"type\":\"{kind}\",\"object\":{pod}}}\n").into();
        let happening =
            Happening { version, collection: PODS.to_owned(), namespace: self.namespace_of(index), of: None, text };
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
                self.watch(&target, OfNode::chosen_by(parameter("labelSelector")), from, seconds)
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
            (&Method::PATCH, Some(name)) => self.patch(&target, name, body),
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
                    object["metadata"]["managedFields"] = json!([{"manager": "otelgate-controller", "operation": "Apply",
                        "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {}}}]);
                }
                if let Some(known) = known {
                    object["metadata"]["uid"] = known["metadata"]["uid"].clone();
                }
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
        let happening = Happening {
            version,
            collection: collection.to_owned(),
            namespace: namespace.to_owned(),
            of: None,
            text: format!("{}\n", json!({"type": kind, "object": object})).into(),
        };
        state.history.push(happening.clone());
        drop(state);
        let _ = self.events.send(happening);
        object
    }

    fn list<'q>(&self, target: &Target, parameter: &dyn Fn(&str) -> Option<&'q str>, metadata_only: bool) -> Response {
        let number = |name: &str| parameter(name).and_then(|value| value.parse::<usize>().ok());
        let (from, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
        let version = self.lock().version;
        let of_node = OfNode::chosen_by(parameter("labelSelector")).filter(|_| target.namespace == TELEMETRY);
        let chosen: Vec<usize> = match target.collection.as_str() {
            NODES => (0..self.nodes).collect(),
            NAMESPACES => (0..self.namespaces).collect(),
            PODS if of_node.is_some() => (0..self.nodes).collect(),
            PODS => self.chosen(target, parameter("labelSelector"), parameter("fieldSelector")),
            _ => Vec::new(),
        };
        let until = from.saturating_add(limit).min(chosen.len());
        let items = chosen[from.min(until)..until].iter().map(|&index| match target.collection.as_str() {
            NODES => node(index).to_string(),
            NAMESPACES => namespace(index).to_string(),
            _ => match of_node {
                Some(of) => pod_of_node(of, index, 1).to_string(),
                None => self.pod(index, 1, !metadata_only),
            },
        });
        let mut items: Vec<String> = items.collect();
        let state = self.lock();
        let of_it = |key: &(String, String, String)| {
            key.0 == target.collection && (target.namespace.is_empty() || key.1 == target.namespace)
        };
        items.extend(state.objects.iter().filter(|(key, _)| of_it(key)).map(|(_, object)| object.to_string()));
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
        let name = fields.and_then(|fields| fields.strip_prefix("metadata.name="));
        // A selector of somebody else's chooses none of these pods.
        let others = labels.is_some() && !unmarked;
        all.filter(|&index| {
            !others && (!unmarked || index >= self.pods) && name.is_none_or(|name| pod_name(index) == name)
        })
        .collect()
    }

    fn watch(&self, target: &Target, chosen: Option<OfNode>, from: u64, seconds: u64) -> Response {
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
                && (chosen.is_none() || one.of == chosen);
            std::future::ready(matches.then_some(Ok::<_, Infallible>(one.text)))
        };
        let over = tokio::time::sleep(Duration::from_secs(seconds));
        json_body(StatusCode::OK, Body::from_stream(all.filter_map(of_it).take_until(over)))
    }

    fn namespace_of(&self, index: usize) -> String {
        namespace_name(index % self.namespaces)
    }

    /// A Deployment's pod with three containers and thirty variables, as long as such a pod is.
    fn pod(&self, index: usize, version: u64, whole: bool) -> String {
        let missed = index >= self.pods;
        let mut labels = json!({"app": "web", "pod-template-hash": "5d9f7c6b8"});
        let mut annotations = json!({"cni.projectcalico.org/podIP": "10.128.12.34/32"});
        if !missed {
            labels["otelgate.dev/config"] = json!(self.hash);
            annotations["otelgate.dev/status"] = json!(status(&self.hash));
        }
        let metadata = json!({
            "name": pod_name(index), "generateName": "web-5d9f7c6b8-", "namespace": self.namespace_of(index),
            "uid": format!("6f0c2b7e-0000-4000-8000-{index:012}"), "resourceVersion": version.to_string(),
            "creationTimestamp": if missed { "2026-11-01T10:00:00Z" } else { "2026-03-01T10:00:00Z" },
            "labels": labels, "annotations": annotations,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9f7c6b8",
                "uid": "6f0c2b7e-0000-4000-a000-000000000001", "controller": true, "blockOwnerDeletion": true}],
            "managedFields": managed(),
        });
        let mut pod = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
        if whole {
            pod["kind"] = json!("Pod");
            pod["apiVersion"] = json!("v1");
            let env: Vec<Value> = (0..30)
                .map(|number| json!({"name": format!("VARIABLE_{number}"), "value": "a value of some length"}))
                .collect();
            let container =
                |name: &str| json!({"name": name, "image": "registry.example.com/shop/web:1.2.3", "env": env});
            pod["spec"] = json!({"containers": [container("app"), container("proxy"), container("cache")]});
            pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        }
        pod.to_string()
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

fn pod_name(index: usize) -> String {
    format!("web-5d9f7c6b8-{index:06}")
}

fn namespace_name(index: usize) -> String {
    format!("team-{index:04}")
}

fn namespace(index: usize) -> Value {
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {
        "name": namespace_name(index), "uid": format!("6f0c2b7e-0000-4000-b000-{index:012}"), "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T10:00:00Z", "labels": {"otelgate.dev/inject": "enabled"},
        "managedFields": [{"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T10:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {"f:otelgate.dev/inject": {}}}}}],
    }})
}

fn node(index: usize) -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {
        "name": format!("node-{index:04}"), "uid": format!("6f0c2b7e-0000-4000-c000-{index:012}"), "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T10:00:00Z", "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
        "managedFields": managed(),
    }, "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

/// A pod of a `DaemonSet`, as long as such a pod is, its metrics on this machine.
fn pod_of_node(of: OfNode, node: usize, revision: usize) -> Value {
    let (key, value) = of.label();
    let env: Vec<Value> = (0..20)
        .map(|number| json!({"name": format!("VARIABLE_{number}"), "value": "a value of some length"}))
        .collect();
    let volumes: Vec<Value> = (0..8)
        .map(|number| json!({"name": format!("volume-{number}"), "hostPath": {"path": format!("/var/lib/{number}")}}))
        .collect();
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": format!("{value}-{node:04}-{revision}"), "namespace": TELEMETRY, "resourceVersion": "1",
            "uid": format!("6f0c2b7e-0000-400{revision}-d000-{node:012}"), "creationTimestamp": "2026-03-01T10:00:00Z",
            "labels": {key: value, "app.kubernetes.io/name": value, "controller-revision-hash": format!("5d9f7c6b{revision}"),
                "pod-template-generation": revision.to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": value,
                "uid": "6f0c2b7e-0000-4000-a000-000000000002", "controller": true, "blockOwnerDeletion": true}],
            "managedFields": managed(),
        },
        "spec": {
            "nodeName": format!("node-{node:04}"), "volumes": volumes,
            "containers": [{"name": value, "image": "registry.example.com/telemetry/of-a-node:1.2.3", "env": env}],
        },
        "status": {
            "phase": "Running", "podIP": "127.0.0.1",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"},
            ],
            "containerStatuses": [{"name": value, "image": "registry.example.com/telemetry/of-a-node:1.2.3", "imageID": "",
                "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-03-01T10:00:00Z"}}}],
        },
    })
}

/// What an injected pod's status annotation is like.
fn status(hash: &str) -> String {
    let names = [
        "OTEL_SERVICE_NAME",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTELGATE_POD_NAME",
        "OTELGATE_POD_UID",
        "OTELGATE_NODE_NAME",
    ];
    let set: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!("0a1b2c3d"))).collect();
    let container = json!({"was": "filled", "set": set});
    json!({"version": "0.1.0", "decision": "inject", "config": hash,
        "containers": {"app": container, "proxy": container, "cache": container}})
    .to_string()
}

/// What the controllers and the kubelet leave on a pod of that size.
fn managed() -> Value {
    let env: serde_json::Map<String, Value> = (0..30)
        .map(|number| (format!("k:{{\"name\":\"VARIABLE_{number}\"}}"), json!({".": {}, "f:name": {}, "f:value": {}})))
        .collect();
    let container =
        json!({".": {}, "f:env": env, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {}});
    json!([
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-03-01T10:00:00Z",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": container, "k:{\"name\":\"proxy\"}": container, "k:{\"name\":\"cache\"}": container}}}},
        {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-03-01T10:00:05Z", "subresource": "status",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {"f:conditions": {"k:{\"type\":\"Ready\"}": {".": {}, "f:status": {}}}}}},
    ])
}
