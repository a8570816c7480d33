//! Nodes whose pods are processes of this machine.
//!
//! Deployments, scheduler, endpoints and Helm's waiting are the real ones: a thread does what kubelet would. A pod of
//! otelgate's image runs in a [`super::sandbox`] with its `ServiceAccount`'s token, its mounted files and an address
//! of its own, is ready when its readiness probe says so, is started again when it ends, and gets its time to end when
//! it's deleted. Every other pod counts as running, or as done where it belongs to a Job.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, Config, ResourceExt as _};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::network::{ADDRESS, Network, Process};
use super::plane::ControlPlane;
use super::webhook::{http_get_from, http_get_within};
use super::{audit, pod, wait_for};

/// Their names, and the zones that they are in.
const NODES: [(&str, &str); 2] = [("node-a", "zone-a"), ("node-b", "zone-b")];
const ROUND: Duration = Duration::from_millis(100);
/// As long as kubelet waits for a probe's answer, by default.
const PROBE: Duration = Duration::from_secs(1);
/// So many probes in a row fail before a pod that was ready isn't any more, as kubelet has it by default.
const FAILURES: u32 = 3;
/// Before what ended is started again.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Two of them. They are gone when this is dropped, and all of their processes with them.
pub struct ProcessNodes<'p> {
    pub plane: &'p ControlPlane,
    pods: Pods,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// By namespace and name.
type Pods = Arc<Mutex<BTreeMap<Key, Running>>>;
type Key = (String, String);

/// A pod on one of the nodes.
struct Running {
    uid: String,
    address: Ipv4Addr,
    process: Option<Process>,
    /// Why it couldn't be started.
    waits_for: Option<String>,
    restarts: i32,
    ended: Option<Instant>,
    told_to_end: Option<Instant>,
    ready: bool,
    /// Of its probes, in a row.
    failures: u32,
    since: Timestamp,
    /// As it was told last.
    status: Value,
}

/// A pod of otelgate's that runs.
pub struct Replica<'n> {
    pub plane: &'n ControlPlane,
    pub namespace: String,
    pub name: String,
    pub address: Ipv4Addr,
    pods: Pods,
}

/// What kubelet would be.
struct Kubelet {
    client: Client,
    network: Arc<Network>,
    program: PathBuf,
    pods: Pods,
}

// === impl ProcessNodes ===

impl<'p> ProcessNodes<'p> {
    /// Adds them to a cluster with a scheduler. `program` stands for otelgate's image.
    #[track_caller]
    pub fn join(plane: &'p ControlPlane, program: &Path) -> Self {
        let kubeconfig = plane.kubeconfig_for("nodes", audit::NODES, Some("system:masters"));
        let kubeconfig = kubeconfig.unwrap_or_else(|error| panic!("{error}"));
        for (name, zone) in NODES {
            add(plane, name, zone);
        }
        let (pods, stop) = (Pods::default(), Arc::new(AtomicBool::new(false)));
        let (network, program) = (Arc::clone(plane.network()), program.to_owned());
        let thread = plane.network().spawn({
            let (pods, stop) = (Arc::clone(&pods), Arc::clone(&stop));
            move || run(&kubeconfig, network, program, pods, &stop)
        });
        Self { plane, pods, stop, thread: Some(thread) }
    }

    /// The ready pods with these labels (`app=x,tier=y`) that aren't about to end, oldest first; waits until there are
    /// as many as asked for.
    #[track_caller]
    pub fn replicas(&self, namespace: &str, labels: &str, count: usize) -> Vec<Replica<'p>> {
        wait_for("pods to be ready", || {
            let sort = "--sort-by=.metadata.creationTimestamp";
            let list =
                self.plane.kubectl(&["get", "pods", "-n", namespace, "-l", labels, sort, "-o", "json"]).json("pods");
            let alive = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
            let pods = list["items"].as_array().expect("a list").iter().filter(alive);
            let ready: Vec<_> =
                pods.filter_map(|pod| self.replica(namespace, pod["metadata"]["name"].as_str()?)).collect();
            (ready.len() >= count).then_some(ready)
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.last_words()))
    }

    /// A pod that is ready.
    pub fn replica(&self, namespace: &str, name: &str) -> Option<Replica<'p>> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let address = {
            let pods = lock(&self.pods);
            pods.get(&(namespace.clone(), name.clone())).filter(|running| running.ready)?.address
        };
        Some(Replica { plane: self.plane, namespace, name, address, pods: Arc::clone(&self.pods) })
    }

    /// Why pods wait, and the ends of the logs of all.
    pub fn last_words(&self) -> String {
        let words = |((_, name), running): (&Key, &Running)| {
            let log = running.process.as_ref().map(Process::last_words).unwrap_or_default();
            format!("\n{name}: {} {log}", running.waits_for.as_deref().unwrap_or_default())
        };
        lock(&self.pods).iter().map(words).collect()
    }
}

impl Drop for ProcessNodes<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A node with more of everything than tests ask for.
#[track_caller]
fn add(plane: &ControlPlane, name: &str, zone: &str) {
    let labels = json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                        "topology.kubernetes.io/zone": zone});
    plane.apply(&[json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})]);
    let resources = json!({"cpu": "64", "memory": "256Gi", "ephemeral-storage": "256Gi", "pods": "5000"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady",
                       "lastHeartbeatTime": Timestamp::now().strftime("%FT%TZ").to_string()});
    let status = json!({"status": {"capacity": resources, "allocatable": resources, "conditions": [ready],
                                   "addresses": [{"type": "InternalIP", "address": ADDRESS}]}});
    plane
        .kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &status.to_string()])
        .expect("a node's status");
}

fn lock(pods: &Pods) -> MutexGuard<'_, BTreeMap<Key, Running>> {
    pods.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(pod: &Pod) -> Key {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

/// Beside the network's own address. There are more than tests have pods at a time.
fn free_address(pods: &BTreeMap<Key, Running>) -> Ipv4Addr {
    let mut addresses = (11..=250).map(|last| Ipv4Addr::new(10, 88, 0, last));
    let is_free = |address: &Ipv4Addr| pods.values().all(|running| running.address != *address);
    addresses.find(is_free).expect("fewer than 240 pods at a time")
}

// === impl Replica ===

impl Replica<'_> {
    pub fn log(&self) -> String {
        self.of_process(Process::log).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        self.of_process(|process| process.signal(signal));
    }

    /// Ends it at once, connections and all; it is started again as kubelet would.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// The id of its process, as long as that runs.
    pub fn id(&self) -> Option<u32> {
        let mut pods = lock(&self.pods);
        let process = pods.get_mut(&(self.namespace.clone(), self.name.clone()))?.process.as_mut()?;
        (!process.has_ended()).then(|| process.id())
    }

    /// The body of an answer with status 200 of its plain HTTP server.
    pub fn http_get(&self, port: u16, path: &str) -> Option<String> {
        self.plane.network().inside(|| http_get_from(self.address, port, path))
    }

    fn of_process<T>(&self, of: impl FnOnce(&Process) -> T) -> Option<T> {
        lock(&self.pods).get(&(self.namespace.clone(), self.name.clone()))?.process.as_ref().map(of)
    }
}

// === impl Kubelet ===

fn run(kubeconfig: &Path, network: Arc<Network>, program: PathBuf, pods: Pods, stop: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a kubeconfig");
        let client = Client::try_from(config).expect("a client");
        let (store, writer) = reflector::store();
        let watch = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default());
        // What goes wrong in a watch is tried again; tests see it as pods that don't get ready.
        let watch = reflector(writer, watch.default_backoff()).for_each(|_| std::future::ready(()));
        let kubelet = Kubelet { client, network, program, pods };
        let rounds = async {
            while !stop.load(Ordering::Relaxed) {
                kubelet.round(&store.state()).await;
                tokio::time::sleep(ROUND).await;
            }
        };
        tokio::select! { () = watch => {}, () = rounds => {} }
        lock(&kubelet.pods).clear();
    });
}

impl Kubelet {
    async fn round(&self, pods: &[Arc<Pod>]) {
        let is_here = |pod: &&Arc<Pod>| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            NODES.iter().any(|(name, _)| node == Some(name))
        };
        let here: Vec<_> = pods.iter().filter(is_here).collect();
        let known = |running: &Running| here.iter().any(|pod| pod.uid().as_ref() == Some(&running.uid));
        lock(&self.pods).retain(|_, running| known(running));
        for pod in here {
            if let Err(error) = self.keep(pod).await
                && let Some(running) = lock(&self.pods).get_mut(&key(pod))
            {
                running.waits_for = Some(error);
            }
        }
    }

    async fn keep(&self, pod: &Pod) -> Result<(), String> {
        let key = key(pod);
        {
            let mut pods = lock(&self.pods);
            if !pods.contains_key(&key) {
                let address = free_address(&pods);
                pods.insert(key.clone(), Running::new(pod, address));
            }
        }
        let container = pod::container(pod);
        if pod.metadata.deletion_timestamp.is_some() {
            return self.end(pod, &key).await;
        }
        if let Some(container) = container {
            self.start(pod, container, &key).await?;
        }
        let ready = match container {
            None => true,
            Some(container) => self.is_ready(container, &key),
        };
        let status = {
            let mut pods = lock(&self.pods);
            let Some(running) = pods.get_mut(&key) else { return Ok(()) };
            if running.ready != ready {
                (running.ready, running.since) = (ready, Timestamp::now());
            }
            let status = status(pod, running);
            if status == running.status {
                return Ok(());
            }
            status
        };
        self.api(pod)
            .patch_status(&key.1, &PatchParams::default(), &Patch::Strategic(json!({ "status": &status })))
            .await
            .map_err(|error| format!("its status: {error}"))?;
        if let Some(running) = lock(&self.pods).get_mut(&key) {
            running.status = status;
        }
        Ok(())
    }

    /// Starts what doesn't run.
    async fn start(&self, pod: &Pod, container: &Container, key: &Key) -> Result<(), String> {
        let address = {
            let mut pods = lock(&self.pods);
            let Some(running) = pods.get_mut(key) else { return Ok(()) };
            if running.process.as_mut().is_some_and(Process::has_ended) && running.ended.is_none() {
                running.ended = Some(Instant::now());
            }
            match (&running.process, running.ended) {
                (Some(_), None) => return Ok(()),
                (_, Some(ended)) if ended.elapsed() < BACK_OFF => return Ok(()),
                _ => running.address,
            }
        };
        let started = pod::resolve(&self.client, pod, container, address, &self.program).await?.start(&self.network)?;
        if let Some(running) = lock(&self.pods).get_mut(key) {
            running.restarts += i32::from(running.process.is_some());
            running.process = Some(started);
            (running.ended, running.waits_for) = (None, None);
        }
        Ok(())
    }

    /// Asks it to end, and lets the pod go when it has, or when its time is over.
    async fn end(&self, pod: &Pod, key: &Key) -> Result<(), String> {
        let grace = pod.metadata.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let grace = Duration::from_secs(grace.unwrap_or_default());
        {
            let mut pods = lock(&self.pods);
            let Some(running) = pods.get_mut(key) else { return Ok(()) };
            if let Some(process) = &mut running.process
                && !process.has_ended()
            {
                let told = *running.told_to_end.get_or_insert_with(|| {
                    process.signal(Signal::TERM);
                    Instant::now()
                });
                if told.elapsed() < grace {
                    return Ok(());
                }
                process.kill();
            }
        }
        let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
        let now = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default().grace_period(0) };
        self.api(pod).delete(&key.1, &now).await.map_err(|error| format!("its deletion: {error}"))?;
        Ok(())
    }

    /// What has ended isn't from then on; what runs may miss a probe.
    fn is_ready(&self, container: &Container, key: &Key) -> bool {
        let address = lock(&self.pods).get_mut(key).and_then(|running| {
            let runs = running.process.as_mut().is_some_and(|process| !process.has_ended());
            runs.then_some(running.address)
        });
        let Some(address) = address else { return false };
        let Some((port, path)) = pod::readiness(container) else { return true };
        let answers = http_get_within(PROBE, address, port, &path).is_some();
        lock(&self.pods).get_mut(key).is_some_and(|running| {
            running.failures = if answers { 0 } else { running.failures.saturating_add(1) };
            answers || (running.ready && running.failures < FAILURES)
        })
    }

    fn api(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default())
    }
}

impl Running {
    fn new(pod: &Pod, address: Ipv4Addr) -> Self {
        Self {
            uid: pod.uid().unwrap_or_default(),
            address,
            process: None,
            waits_for: None,
            restarts: 0,
            ended: None,
            told_to_end: None,
            ready: false,
            failures: 0,
            since: Timestamp::now(),
            status: Value::Null,
        }
    }
}

fn status(pod: &Pod, running: &Running) -> Value {
    let spec = pod.spec.as_ref();
    let is_job = pod.owner_references().iter().any(|owner| owner.kind == "Job");
    let since = running.since.strftime("%FT%TZ").to_string();
    let condition = |name: &str, status: bool| {
        let status = if status { "True" } else { "False" };
        json!({"type": name, "status": status, "lastTransitionTime": &since})
    };
    let state = if is_job {
        json!({"terminated": {"exitCode": 0, "reason": "Completed"}})
    } else {
        json!({"running": {"startedAt": &since}})
    };
    let container = |container: &Container| {
        json!({"name": container.name, "image": container.image, "imageID": "", "ready": running.ready && !is_job,
               "started": !is_job, "restartCount": running.restarts, "state": state})
    };
    let containers: Vec<_> = spec.map(|spec| spec.containers.iter().map(container).collect()).unwrap_or_default();
    let ready = running.ready && !is_job;
    json!({
        "phase": if is_job { "Succeeded" } else { "Running" },
        "hostIP": ADDRESS, "podIP": running.address, "podIPs": [{"ip": running.address}],
        "startTime": pod.creation_timestamp(),
        "conditions": [condition("Initialized", true), condition("ContainersReady", ready), condition("Ready", ready)],
        "containerStatuses": containers,
    })
}
