//! Missed pods are evicted once each, whoever leads meanwhile: the first leader is killed in the middle, the next asked to
//! end.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::super::OTELGATE;
use super::super::installed::wait_until_in_force;
use super::super::missed::{is_called_in, keep_out};
use crate::control_plane::plane::Parts;
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::{NAMESPACE, Release};
use crate::control_plane::{ControlPlane, Version, wait_for};

const PODS: usize = 4;

#[test]
fn no_pod_is_evicted_twice_when_leaders_change() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let release = Release::install(&nodes, Helm::Four, &values(&json!({})));
    wait_until_in_force(&nodes);
    let cluster = Cluster { plane: &plane, nodes: &nodes };
    let missed = cluster.miss();
    release.upgrade(&values(&json!({"missed": true})));
    cluster.wait_for_evictions(1);
    let leader = cluster.leader();
    nodes.replica(NAMESPACE, &leader).unwrap_or_else(|| panic!("{leader} runs")).kill();
    cluster.wait_for_evictions(2);
    let leader = cluster.leader();
    plane.kubectl(&["delete", "pod", "-n", NAMESPACE, "--wait=false", &leader]).expect("kubectl delete");
    cluster.wait("nothing to be missed any more", || {
        let injection =
            plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("it")["status"]["injection"]
                .clone();
        (injection["missed"].as_i64().unwrap_or(0) == 0 && injection["repair"]["phase"] == "Idle").then_some(())
    });
    let evicted = cluster.evicted();
    assert_eq!(evicted.len(), PODS, "{evicted:?}");
    assert_eq!(evicted.iter().cloned().collect::<BTreeSet<_>>(), missed);
    assert_ne!(cluster.leader(), leader);
}

struct Cluster<'p> {
    plane: &'p ControlPlane,
    nodes: &'p ProcessNodes<'p>,
}

fn values(repair: &Value) -> Value {
    json!({"webhook": {"replicas": 1}, "controller": {"replicas": 2}, "injection": {"clusterName": "test"}, "repair": repair})
}

impl Cluster<'_> {
    #[track_caller]
    fn wait<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        let stack = || self.plane.kubectl(&["get", "telemetrystack", "default", "-o", "yaml"]).stdout;
        wait_for(what, ask).unwrap_or_else(|error| panic!("{error}: {}{}", stack(), self.nodes.last_words()))
    }

    /// Has pods be missed, and tells their names.
    #[track_caller]
    fn miss(&self) -> BTreeSet<String> {
        self.plane.make_namespace("shop", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
        keep_out(self.plane, &["shop"]);
        let made = self.plane.get("", "namespace/shop")["metadata"]["creationTimestamp"].clone();
        // Only what is younger than the label counts as missed, and times are told in seconds.
        self.wait("the next second", || {
            let made: jiff::Timestamp = made.as_str()?.parse().ok()?;
            (jiff::Timestamp::now().as_second() > made.as_second()).then_some(())
        });
        self.plane.apply(&[json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": PODS, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": "shop/app:1"}], "terminationGracePeriodSeconds": 0}}},
        })]);
        let missed = self.wait("pods to be Ready", || {
            let list = self.plane.kubectl(&["get", "pods", "-n", "shop", "-o", "json"]).json("pods");
            let is_ready = |pod: &&Value| {
                let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
                conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
            };
            let ready = list["items"].as_array()?.iter().filter(is_ready);
            let names: BTreeSet<_> =
                ready.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect();
            (names.len() == PODS).then_some(names)
        });
        keep_out(self.plane, &[]);
        self.wait("the webhook to be called there", || is_called_in(self.plane, "shop").then_some(()));
        missed
    }

    /// Names of the pods, as often as they were evicted.
    fn evicted(&self) -> Vec<String> {
        let audit = self.plane.audit();
        let evictions = audit.into_iter().filter(|entry| {
            entry.is_by(NAMESPACE, "otelgate-controller") && entry.subresource == "eviction" && entry.code < 300
        });
        evictions.map(|entry| entry.name).collect()
    }

    #[track_caller]
    fn wait_for_evictions(&self, count: usize) {
        self.wait("evictions", || (self.evicted().len() >= count).then_some(()));
    }

    #[track_caller]
    fn leader(&self) -> String {
        self.wait("one to lead", || {
            let lease = self.plane.get(NAMESPACE, "lease/otelgate-controller");
            let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?.to_owned();
            self.nodes.replica(NAMESPACE, &holder).map(|_| holder)
        })
    }
}
