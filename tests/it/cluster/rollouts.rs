//! Argo Rollouts with their real controller: whose its pods are, and the repair of those that were missed.

use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use super::missed::{Cluster, left};
use super::offline::variable;
use crate::control_plane::network::Process;
use crate::control_plane::plane::Parts;
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::{ControlPlane, Version, argo_rollouts, wait_for};

const REPLICAS: usize = 2;

struct Rollouts<'p> {
    cluster: Cluster<'p>,
    controller: Process,
}

#[test]
fn rollouts_have_their_pods_named_found_and_repaired() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let controller = argo_rollouts::start(&plane).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let rollouts = Rollouts { cluster: Cluster::install(&plane, &nodes), controller };
    rollouts.cluster.make_namespace("shop");
    rollouts.pods_have_the_name_of_the_rollout();
    rollouts.what_is_missed_is_the_rollouts();
    rollouts.its_pods_are_evicted_one_by_one_unless_it_is_paused();
    rollouts.what_is_promoted_is_repaired();
}

fn rollout(name: &str, canary: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "replicas": REPLICAS, "selector": {"matchLabels": {"app": name}}, "strategy": {"canary": canary},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "shop/app:1"}], "terminationGracePeriodSeconds": 0},
            },
        },
    })
}

impl Rollouts<'_> {
    /// Until its controller has seen it, and says that. Tells the whole Rollout.
    #[track_caller]
    fn until(&self, name: &str, phase: &str) -> Value {
        let mut last = Value::Null;
        wait_for(&format!("Rollout {name} to be {phase}"), || {
            last = self.get(name);
            // A text there, unlike elsewhere.
            let generation = last["metadata"]["generation"].to_string();
            let seen = last["status"]["observedGeneration"].as_str() == Some(&generation);
            (seen && last["status"]["phase"] == phase).then(|| last.clone())
        })
        .unwrap_or_else(|error| panic!("{error}: {:#} {}", last["status"], self.controller.last_words()))
    }

    fn get(&self, name: &str) -> Value {
        self.cluster.plane.get("shop", &format!("rollout.argoproj.io/{name}"))
    }

    fn patch(&self, name: &str, further: &[&str], patch: &Value) {
        let (rollout, patch) = (format!("rollout.argoproj.io/{name}"), patch.to_string());
        let arguments = ["patch", "-n", "shop", &rollout, "--type=merge", "-p", &patch];
        self.cluster.plane.kubectl(&[&arguments, further].concat()).expect("kubectl patch");
    }

    /// Its pods, the oldest first, which have to be of the `ReplicaSet` of that hash, and to say whose they are.
    #[track_caller]
    fn marked_pods(&self, name: &str, hash: &Value) -> Vec<Value> {
        let mut pods = self.cluster.pods("shop", name);
        assert_eq!(pods.len(), REPLICAS, "{pods:#?}");
        let replica_set = format!("{name}-{}", hash.as_str().expect("a hash"));
        for pod in &pods {
            let (labels, owner) = (&pod["metadata"]["labels"], &pod["metadata"]["ownerReferences"][0]);
            assert_eq!((&owner["kind"], &owner["name"]), (&json!("ReplicaSet"), &json!(replica_set)));
            assert_eq!(&labels["rollouts-pod-template-hash"], hash, "{labels:#}");
            assert_eq!(labels["pod-template-hash"], Value::Null, "{labels:#}");
            assert_eq!(variable(pod, 0, "OTEL_SERVICE_NAME"), Some(name), "{pod:#}");
            let attributes = variable(pod, 0, "OTEL_RESOURCE_ATTRIBUTES").expect("attributes");
            assert!(attributes.contains(&format!("k8s.replicaset.name={replica_set}")), "{attributes}");
            assert!(!attributes.contains("k8s.deployment.name"), "{attributes}");
        }
        pods.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].to_string());
        pods
    }

    fn pods_have_the_name_of_the_rollout(&self) {
        self.cluster.plane.apply(&[rollout("marked", &json!({}))]);
        let marked = self.until("marked", "Healthy");
        self.marked_pods("marked", &marked["status"]["stableRS"]);
    }

    fn what_is_missed_is_the_rollouts(&self) {
        self.cluster.scale_webhook(0);
        let steps = json!({"steps": [{"setWeight": 50}, {"pause": {}}]});
        self.cluster.plane.apply(&[rollout("web", &json!({})), rollout("canary", &steps)]);
        self.until("web", "Healthy");
        self.until("canary", "Healthy");
        // One pod of the new template beside one of the old, until somebody promotes it.
        let image = json!([{"name": "app", "image": "shop/app:2"}]);
        self.patch("canary", &[], &json!({"spec": {"template": {"spec": {"containers": image}}}}));
        let paused = self.until("canary", "Paused");
        assert_ne!(paused["status"]["stableRS"], paused["status"]["currentPodHash"]);
        let stack = self.cluster.until("missed pods", |injection| injection["injected"] == "2/6");
        let injection = &stack["status"]["injection"];
        assert_eq!(injection["missed"], 4, "{injection:#}");
        assert_eq!(injection["missedOf"], json!(["shop/Rollout/canary (2)", "shop/Rollout/web (2)"]));
    }

    fn its_pods_are_evicted_one_by_one_unless_it_is_paused(&self) {
        self.cluster.scale_webhook(1);
        let before = self.get("web");
        self.cluster.ask_for_repair();
        let stack = self.cluster.until("web to be repaired", |injection| {
            injection["missed"] == 2 && injection["repair"]["phase"] == "Idle" && !left(injection, "canary").is_empty()
        });
        let injection = &stack["status"]["injection"];
        assert_eq!((&injection["injected"], &injection["repair"]["evicted"]), (&json!("4/6"), &json!(2)));
        assert_eq!(left(injection, "canary"), "shop/Rollout/canary: it is paused");
        assert_eq!((self.cluster.of("web"), self.cluster.evicted().len()), (2, 2));
        let after = self.until("web", "Healthy");
        assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"], "its template is what it was");
        let pods = self.marked_pods("web", &before["status"]["stableRS"]);
        let (first, second) = (&pods[0], &pods[1]);
        let conditions = first["status"]["conditions"].as_array().expect("conditions");
        let ready = conditions.iter().find(|one| one["type"] == "Ready").expect("it is Ready");
        let (ready, made) = (&ready["lastTransitionTime"], &second["metadata"]["creationTimestamp"]);
        assert!(ready.as_str() <= made.as_str(), "Ready at {ready}, the next one made at {made}");
    }

    fn what_is_promoted_is_repaired(&self) {
        let pods = self.cluster.pods("shop", "canary");
        let hash = self.get("canary")["status"]["currentPodHash"].clone();
        let is_new = |pod: &&Value| pod["metadata"]["labels"]["rollouts-pod-template-hash"] == hash;
        let missed = pods.iter().find(is_new).expect("one of the new template")["metadata"]["name"].clone();
        // As `kubectl argo rollouts promote` does.
        self.patch("canary", &["--subresource=status"], &json!({"status": {"pauseConditions": null}}));
        let stack = self.cluster.until("the canary to be repaired", |injection| {
            injection["injected"] == "6/6" && injection["repair"]["phase"] == "Idle"
        });
        let injection = &stack["status"]["injection"];
        assert_eq!((&injection["missed"], &injection["repair"]["evicted"]), (&json!(0), &json!(3)), "{injection:#}");
        assert_eq!(json!(self.cluster.evicted().last()), missed, "the one that was made with the webhook there stays");
        let canary = self.until("canary", "Healthy");
        assert_eq!((&canary["status"]["stableRS"], &canary["status"]["currentPodHash"]), (&hash, &hash));
        self.marked_pods("canary", &hash);
        for name in ["marked", "web"] {
            self.until(name, "Healthy");
        }
    }
}
