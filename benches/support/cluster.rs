//! A large cluster, as far as the controller asks for it: an API server that lists page by page, watches from a version
//! on, applies, creates and deletes. Pods and nodes are told from their number, so that a hundred thousand take no memory.
//!
//! Beside the applications' pods, each node has a Collector's and an Agent's, in a namespace of their own.

mod answers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::daemon_sets::{DAEMON_SETS, Runs};
use super::objects::{namespace_name, pod, pod_of_node};
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

    fn namespace_of(&self, index: usize) -> String {
        namespace_name(index % self.namespaces)
    }

    fn pod(&self, index: usize, version: u64, whole: bool) -> String {
        let hash = (index < self.pods).then_some(self.hash.as_str());
        pod(index, &self.namespace_of(index), hash, version, whole)
    }
}

fn key(collection: &str, namespace: &str, name: &str) -> (String, String, String) {
    (collection.to_owned(), namespace.to_owned(), name.to_owned())
}
