//! Nodes as objects, and a thread that does for the pods of `datadog` what scheduler and kubelet would: each is bound to
//! its node, is Ready, tells as its metrics that it is a Collector which has nothing to do, and goes when it's deleted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::operator;
use super::state::PODS;
use crate::control_plane::api_proxy::{ApiProxy, call};
use crate::control_plane::metrics::Metrics;
use crate::control_plane::network::{ADDRESS, Network};

/// Its thread ends when this is dropped.
pub struct Nodes {
    work: Arc<Work>,
    thread: Option<JoinHandle<()>>,
    _metrics: Metrics,
}

struct Work {
    port: u16,
    stop: AtomicBool,
    /// Whether pods are Ready since they are, and not since long ago: then a trial takes its time.
    takes_time: AtomicBool,
    /// Whether there is a Datadog Operator.
    has_operator: AtomicBool,
    /// Every pod that ever was, by its uid.
    seen: Mutex<BTreeMap<String, Seen>>,
}

/// What was seen of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub node: String,
    pub rollout: String,
    pub revision: String,
}

/// Annotation of pods whose containers end as soon as they start: in these words.
pub const ENDS: &str = "ends";
/// Port of a Collector's metrics.
const METRICS: u16 = 8888;
const ROUND: Duration = Duration::from_millis(50);
const LONG_AGO: &str = "2026-01-01T00:00:00Z";
const NODE: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";

/// Ready, and with room.
pub fn add(door: &ApiProxy, names: &[&str]) {
    for name in names {
        let labels = json!({"kubernetes.io/os": "linux", "kubernetes.io/hostname": name});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        let (status, answer) = door.call("POST", "/api/v1/nodes", &node);
        assert_eq!(status, 201, "{answer:#}");
        let room = json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
        let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                           "lastHeartbeatTime": LONG_AGO, "lastTransitionTime": LONG_AGO});
        let status = json!({"status": {"conditions": [ready], "allocatable": room, "capacity": room}});
        let (code, answer) = door.call("PATCH", &format!("/api/v1/nodes/{name}/status"), &status);
        assert_eq!(code, 200, "{answer:#}");
    }
}

// === impl Nodes ===

impl Nodes {
    pub fn start(network: &Arc<Network>, port: u16) -> Self {
        let work = Arc::new(Work {
            port,
            stop: AtomicBool::new(false),
            takes_time: AtomicBool::new(false),
            has_operator: AtomicBool::new(false),
            seen: Mutex::default(),
        });
        let thread = network.spawn({
            let work = Arc::clone(&work);
            move || {
                while !work.stop.load(Ordering::Relaxed) {
                    work.round();
                    std::thread::sleep(ROUND);
                }
            }
        });
        let metrics = Metrics::serve(network, METRICS, || "otelcol_process_uptime 1\n".to_owned());
        Self { work, thread: Some(thread), _metrics: metrics }
    }

    pub fn take_time(&self) {
        self.work.takes_time.store(true, Ordering::Relaxed);
    }

    pub fn play_operator(&self) {
        self.work.has_operator.store(true, Ordering::Relaxed);
    }

    /// Every pod of the Collector's that ever ran that revision.
    pub fn ran(&self, revision: &str) -> Vec<Seen> {
        let seen = self.work.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ran: Vec<_> = seen.values().filter(|one| one.revision == revision).cloned().collect();
        ran.sort();
        ran
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.work.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Work {
    /// What fails is tried again in the next one.
    fn round(&self) {
        if self.has_operator.load(Ordering::Relaxed) {
            let _ = operator::round(self.port);
        }
        let Ok((200, list)) = call(self.port, "GET", PODS, &Value::Null) else { return };
        for pod in list["items"].as_array().into_iter().flatten() {
            let _ = self.keep(pod);
        }
    }

    fn keep(&self, pod: &Value) -> std::io::Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, metadata) = (text(&pod["metadata"]["name"]), &pod["metadata"]);
        let path = format!("{PODS}/{name}");
        if metadata["deletionTimestamp"].is_string() {
            let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                             "preconditions": {"uid": metadata["uid"]}});
            call(self.port, "DELETE", &path, &now)?;
            return Ok(());
        }
        let node = pod.pointer(NODE).and_then(Value::as_str).unwrap_or("node-1");
        if pod["spec"]["nodeName"].is_null() {
            let labels = &metadata["labels"];
            let seen = Seen {
                node: node.to_owned(),
                rollout: text(&labels["otelgate.dev/rollout"]),
                revision: text(&labels["otelgate.dev/revision"]),
            };
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(text(&metadata["uid"]), seen);
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                                 "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
            call(self.port, "POST", &format!("{path}/binding"), &binding)?;
        }
        let ends = metadata["annotations"][ENDS].as_str();
        let ready = if ends.is_some() { "False" } else { "True" };
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        if conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == ready) {
            return Ok(());
        }
        let now = jiff::Timestamp::now().strftime("%FT%TZ").to_string();
        let since = if self.takes_time.load(Ordering::Relaxed) { now.as_str() } else { LONG_AGO };
        let container = |container: &Value| {
            let mut told = json!({"name": container["name"], "image": container["image"], "imageID": "", "ready": true,
                   "started": true, "restartCount": 0, "state": {"running": {"startedAt": since}}});
            if let Some(words) = ends {
                let ended = json!({"exitCode": 1, "reason": "Error", "message": words});
                (told["ready"], told["started"], told["restartCount"]) = (json!(false), json!(false), json!(1));
                told["state"] = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
                told["lastState"] = json!({"terminated": ended});
            }
            told
        };
        let containers: Vec<_> = pod["spec"]["containers"].as_array().into_iter().flatten().map(container).collect();
        let condition = |name: &str, status: &str| json!({"type": name, "status": status, "lastTransitionTime": since});
        let conditions =
            [("PodScheduled", "True"), ("Initialized", "True"), ("ContainersReady", ready), ("Ready", ready)];
        let conditions: Vec<_> = conditions.iter().map(|(name, status)| condition(name, status)).collect();
        let status = json!({"status": {"phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}],
                                       "containerStatuses": containers, "conditions": conditions}});
        call(self.port, "PATCH", &format!("{path}/status"), &status)?;
        Ok(())
    }
}
