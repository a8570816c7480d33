//! What people do by hand to what the controller keeps: of two objects, one is deleted, and the other loses its labels or
//! its owner, and has a field of its kind edited; in the next life, the other way round.
//!
//! What lost all of that, and has nothing else of the controller's, could be anybody's.

use otelgate::api::object::CLUSTER_AGENT_NOTES;
use serde_json::{Value, json};

use super::super::state::{DATADOG_AGENTS, LISTS, PODS};
use super::super::{REGISTRATION, REGISTRATIONS, STACK, World};

/// By which it is known for the controller's, and by which it goes with the stack.
const TRACES: [&str; 2] = ["labels", "ownerReferences"];

impl World<'_> {
    #[track_caller]
    pub fn undo_by_hand(&self, life: usize) {
        self.undo_all(life, &TRACES);
    }

    /// What has no owner can't go with it.
    #[track_caller]
    pub fn undo_all_but_owners(&self, life: usize) {
        self.undo_all(life, &TRACES[..1]);
    }

    #[track_caller]
    fn undo_all(&self, life: usize, traces: &[&str]) {
        let kept = LISTS.iter().filter(|list| ![PODS, STACK, REGISTRATIONS].contains(list));
        self.undo_each(kept.flat_map(|list| self.ours(list)), life, traces);
        self.distrust();
    }

    #[track_caller]
    pub fn undo_datadog_agent_by_hand(&self, life: usize) {
        self.undo_each(self.ours(DATADOG_AGENTS).into_iter(), life, &TRACES);
    }

    #[track_caller]
    fn undo_each(&self, objects: impl Iterator<Item = (&'static str, Value)>, life: usize, traces: &[&str]) {
        for (number, (list, object)) in objects.enumerate() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("{list}/{name}");
            // A new authority is trusted for a while before the old one goes: that is shown elsewhere.
            if (number + life).is_multiple_of(2) && name != "otelgate-ca" {
                self.delete(&path);
                continue;
            }
            let mut edit = edit(list, name, &object);
            edit["metadata"] = json!({traces[number / 2 % traces.len()]: null});
            let (status, answer) = self.door.call("PATCH", &path, &edit);
            // What depends on what was deleted before may have gone already.
            assert!([200, 404].contains(&status), "{path}: {answer:#}");
        }
    }

    fn ours(&self, list: &'static str) -> Vec<(&'static str, Value)> {
        let kind = list.rsplit('/').next().unwrap_or_default();
        let is_ours = |object: &Value| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            !self.foreign.contains(&format!("{kind}/{name}"))
        };
        self.list(list).into_iter().filter(is_ours).map(|object| (list, object)).collect()
    }

    /// The one field of the registration that is the controller's.
    #[track_caller]
    fn distrust(&self) {
        let path = format!("{REGISTRATIONS}/{REGISTRATION}");
        let mut webhooks = self.get(&path)["webhooks"].take();
        for webhook in webhooks.as_array_mut().into_iter().flatten() {
            webhook["clientConfig"]["caBundle"] = json!("b3RoZXJz");
        }
        self.patch(&path, &json!({"webhooks": webhooks}));
    }
}

fn edit(list: &str, name: &str, object: &Value) -> Value {
    match list.rsplit('/').next().unwrap_or_default() {
        "secrets" if object["type"] == "kubernetes.io/tls" && name != "otelgate-ca" => {
            json!({"data": {"tls.crt": "eA=="}})
        }
        "configmaps" if CLUSTER_AGENT_NOTES.contains(&name) => json!({"data": {"made-by": "another"}}),
        "configmaps" if object["immutable"] != true => json!({"data": {"config.yaml": "another"}}),
        "services" => json!({"spec": {"selector": null, "internalTrafficPolicy": "Cluster"}}),
        "serviceaccounts" if name == "otel-collector" => json!({"automountServiceAccountToken": true}),
        "daemonsets" | "deployments" => {
            let mut template = json!({"spec": {"serviceAccountName": "another"}});
            // Elsewhere it would be a label that somebody added.
            if name == "otel-collector" {
                template["metadata"] = json!({"labels": {"otelgate.dev/revision": "another"}});
            }
            json!({"spec": {"template": template}})
        }
        "networkpolicies" => json!({"spec": {"ingress": null}}),
        "rolebindings" | "clusterrolebindings" => json!({"subjects": null}),
        "datadogagents" => json!({"spec": {"features": null, "override": null}}),
        _ => json!({}),
    }
}
