//! The Collectors' pods, cut to what is looked at of them: thousands fit where one whole pod would be too much.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::stack::Stack;
use super::{Context, injection};
use crate::api::stack::{AdoptedCollector, CollectorMode};
use crate::k8s::{Api, ContainerStatus, Pod, ResourceExt as _, watcher};
use crate::watch::{self as watching, Objects};

/// By name. `None` before they were listed, and where there is nothing to be listed.
pub type CollectorPods = Option<Objects<CollectorPod>>;

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectorPod {
    pub uid: String,
    /// `None` until it is scheduled.
    pub node: Option<String>,
    pub address: Option<IpAddr>,
    /// Such as those by which a `DaemonSet` tells its revisions apart.
    pub labels: BTreeMap<String, String>,
    /// Name of the mounted `ConfigMaps`.
    pub config_maps: Vec<String>,
    pub ready: bool,
    /// It has been told to end.
    pub leaving: bool,
    /// It has ended, and stays as a record: one that was evicted, say.
    pub ended: bool,
    /// Why it isn't running, where the pod as a whole says so: evicted, or refused by its node.
    pub why: Option<Words>,
    /// Why it isn't scheduled.
    pub unschedulable: Option<String>,
    pub containers: Vec<Container>,
}

/// A container, as kubelet tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub restarts: u32,
    /// Why it doesn't run now.
    pub waiting: Option<Words>,
    /// How it ended the last time.
    pub last_end: Option<Ending>,
}

/// A reason's code, and what is said with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    pub exit_code: i32,
    pub words: Words,
}

/// Where the Collectors' pods are, and by what they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub namespace: String,
    /// As in a query.
    pub selector: String,
}

// === impl Place ===

impl Place {
    /// Nowhere, where there is to be no Collector, or the spec doesn't say.
    #[must_use]
    pub fn of(stack: &Stack, namespace: &str) -> Option<Self> {
        let collector = stack.collector.as_ref().ok()?;
        let selector = match collector.mode {
            CollectorMode::Managed => AdoptedCollector::default().selector.query(),
            CollectorMode::Adopt => collector.adopt.selector.query(),
            CollectorMode::Disabled => return None,
        };
        let document = injection::document(&stack.injection, namespace).ok()?;
        Some(Self { namespace: document.collector.namespace, selector })
    }
}

// === impl CollectorPod ===

impl CollectorPod {
    fn of(pod: Pod) -> Self {
        let labels = pod.labels().clone();
        let uid = pod.uid().unwrap_or_default();
        let leaving = pod.metadata.deletion_timestamp.is_some();
        let spec = pod.spec.unwrap_or_default();
        let volumes = spec.volumes.unwrap_or_default();
        let config_maps = volumes.into_iter().filter_map(|volume| Some(volume.config_map?.name)).collect();
        let status = pod.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let condition = |name: &str| conditions.iter().find(|one| one.type_ == name);
        let unscheduled = condition("PodScheduled").filter(|one| one.status == "False");
        Self {
            uid,
            node: spec.node_name,
            address: status.pod_ip.and_then(|address| address.parse().ok()),
            labels,
            config_maps,
            ready: condition("Ready").is_some_and(|one| one.status == "True"),
            leaving,
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            why: Words::of(status.reason, status.message),
            unschedulable: unscheduled.map(|one| one.message.clone().unwrap_or_default()),
            containers: status.container_statuses.into_iter().flatten().map(Container::of).collect(),
        }
    }

    /// Whether it is, or is about to be, a Collector at work.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.leaving && !self.ended
    }
}

// === impl Container ===

impl Container {
    fn of(status: ContainerStatus) -> Self {
        let state = status.state.unwrap_or_default();
        // While it waits for its next start, or between two, the end stands in one or the other.
        let ended = state.terminated.or_else(|| status.last_state.and_then(|last| last.terminated));
        Self {
            name: status.name,
            restarts: u32::try_from(status.restart_count).unwrap_or_default(),
            waiting: state.waiting.and_then(|waiting| Words::of(waiting.reason, waiting.message)),
            last_end: ended.map(|ended| Ending {
                exit_code: ended.exit_code,
                words: Words::of(ended.reason, ended.message).unwrap_or_default(),
            }),
        }
    }
}

impl Words {
    fn of(reason: Option<String>, message: Option<String>) -> Option<Self> {
        (reason.is_some() || message.is_some())
            .then(|| Self { reason: reason.unwrap_or_default(), message: message.unwrap_or_default() })
    }
}

/// Publishes the pods of the place that the spec names, whichever that is just now. Never returns.
pub async fn watch(context: Context, pods: watch::Sender<CollectorPods>) {
    let Context { client, namespace, mut stack, state, .. } = context;
    let place_of = |stack: &Option<Arc<Stack>>| Place::of(stack.as_ref()?, &namespace);
    loop {
        let place = place_of(&stack.borrow_and_update());
        pods.send_if_modified(|pods| pods.take().is_some());
        state.collector_pods.forget();
        let another = async {
            // The sender lives as long as the leader's tasks do.
            if stack.wait_for(|stack| place_of(stack) != place).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let Some(at) = place.clone() else {
            another.await;
            continue;
        };
        let api = Api::<Pod>::namespaced(client.clone(), &at.namespace);
        let config = watcher::Config::default().labels(&at.selector);
        tokio::select! {
            () = watching::reflect(api, config, &state.collector_pods, CollectorPod::of, &pods) => {}
            () = another => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn place(spec: &Value) -> Option<Place> {
        Place::of(&Stack::new("u".to_owned(), 1, spec), "otelgate")
    }

    #[test]
    fn they_are_known_by_their_labels() {
        let at = |namespace: &str, selector: &str| {
            Some(Place { namespace: namespace.to_owned(), selector: selector.to_owned() })
        };
        assert_eq!(place(&json!({})), at("datadog", "app=otel-collector"));
        let elsewhere = json!({"injection": {"collector": {"namespace": "observability"}}});
        assert_eq!(place(&elsewhere), at("observability", "app=otel-collector"));
        let adopted = json!({"collector": {"mode": "adopt", "adopt": {"selector": {
            "matchLabels": {"app": "collector"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]},
                                 {"key": "old", "operator": "DoesNotExist"}],
        }}}});
        assert_eq!(place(&adopted), at("datadog", "app=collector,tier in (a,b),!old"));
        assert_eq!(place(&json!({"collector": {"mode": "disabled"}})), None);
        assert_eq!(
            place(&json!({"collector": {"mode": "managed", "adopt": {"selector": {"matchLabels": {"a": "b"}}}}})),
            at("datadog", "app=otel-collector")
        );
    }

    #[test]
    fn a_pod_is_cut_to_what_counts() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "c", "uid": "1", "labels": {"controller-revision-hash": "x"}},
            "spec": {"nodeName": "n", "containers": [],
                     "volumes": [{"name": "config", "configMap": {"name": "otel-collector-config-12"}}, {"name": "logs"}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.9",
                "conditions": [{"type": "Ready", "status": "False"}, {"type": "PodScheduled", "status": "True"}],
                "containerStatuses": [{
                    "name": "collector", "restartCount": 3, "ready": false, "image": "", "imageID": "",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                }],
            },
        }))
        .expect("a pod");
        let pod = CollectorPod::of(pod);
        assert_eq!((pod.uid.as_str(), pod.node.as_deref(), pod.ready, pod.counts()), ("1", Some("n"), false, true));
        assert_eq!(pod.address, Some([10, 0, 0, 9].into()));
        assert_eq!((pod.config_maps, pod.unschedulable), (vec!["otel-collector-config-12".to_owned()], None));
        let [container] = &pod.containers[..] else { panic!("there is one") };
        assert_eq!(container.waiting.as_ref().map(|words| words.reason.as_str()), Some("CrashLoopBackOff"));
        let end = container.last_end.as_ref().expect("it ended");
        assert_eq!((end.exit_code, end.words.reason.as_str(), container.restarts), (137, "OOMKilled", 3));
    }

    #[test]
    fn what_is_evicted_or_waits_for_a_node_says_why() {
        let pod = |status: Value| {
            CollectorPod::of(serde_json::from_value(json!({"metadata": {}, "status": status})).expect("a pod"))
        };
        let evicted = pod(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}));
        assert!(!evicted.counts());
        assert_eq!(evicted.why, Some(Words { reason: "Evicted".to_owned(), message: "low on memory".to_owned() }));
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"});
        assert_eq!(
            pod(json!({"phase": "Pending", "conditions": [condition]})).unschedulable.as_deref(),
            Some("no node")
        );
    }
}
