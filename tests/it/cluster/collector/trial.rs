//! Another revision is tried on one node before the others get it.

use serde_json::json;

use super::{COLLECTOR, Cluster, objects};
use crate::control_plane::release::NAMESPACE;

const WORDS: &str = "Error: invalid configuration: processors::resourcedetection: no such detector";

impl Cluster<'_> {
    /// Tells the node of the trial, once its pod is ready.
    fn trial(&self, but_not: &str) -> (String, String) {
        self.wait("the trial's pod", || {
            let pods = self.pods();
            // Before it is scheduled, it has no node, and its DaemonSet may be ready a moment later.
            let is_it =
                |(node, pod): &(&String, &[String; 3])| !node.is_empty() && pod[2] == "trial" && pod[1] != but_not;
            let (node, [_, revision, _]) = pods.iter().find(is_it)?;
            let set = self.plane.get(COLLECTOR, "daemonset/otel-collector-trial");
            (set["status"]["numberReady"] == 1).then(|| (node.clone(), revision.clone()))
        })
    }

    pub(super) fn a_change_is_tried_on_one_node_first(&self) {
        let (before, pods) = (self.revision(), self.pods());
        self.patch(&json!({"collector": {"resources": {"requests": {"cpu": "100m"}}}}));
        let (node, revision) = self.trial(&before);
        self.wait_for_reason("CollectorRollingOut");
        let trial = json!({"revision": revision, "node": node});
        self.wait("the trial in the status", || (self.stack()["status"]["collector"]["trial"] == trial).then_some(()));
        // Meanwhile a pod of another node is deleted: it comes back with what is good.
        let (other, [uid, _, _]) = pods.iter().find(|(name, _)| **name != node).expect("another node");
        let uid = uid.clone();
        let list = self.kubectl(&["get", "pods", "-l", "otelgate.dev/rollout=stable", "-o", "name"]).expect("pods");
        self.kubectl(&["delete", list.trim(), "--wait=false"]).expect("kubectl delete");
        let again = self.wait("another pod in its place", || self.pods().remove(other).filter(|pod| pod[0] != uid));
        assert_eq!(again[1..], [before.clone(), "stable".to_owned()], "{}", self.words());
        self.a_trial_without_its_daemon_set_goes_on(&node);
        let message = self.wait_for_reason("CollectorOnEveryNode");
        // Nothing listens where these Collectors would.
        assert!(message.starts_with("on 2 nodes; its metrics couldn't be read in its trial: "), "{message}");
        assert_eq!(self.revision(), revision);
        assert!(
            self.pods().values().all(|pod| pod[1..] == [revision.clone(), "stable".to_owned()]),
            "{}",
            self.words()
        );
        assert!(!self.kubectl(&["get", "daemonset/otel-collector-trial"]).success);
        self.kubectl(&["get", "configmap", &format!("otel-collector-config-{before}")])
            .expect("the last good one is kept");
    }

    /// Another one adopts the pod.
    fn a_trial_without_its_daemon_set_goes_on(&self, node: &str) {
        const SET: &str = "daemonset/otel-collector-trial";
        let tried = self.pods().remove(node);
        let set = self.plane.get(COLLECTOR, SET)["metadata"]["uid"].clone();
        self.kubectl(&["delete", SET, "--cascade=orphan"]).expect("kubectl delete");
        self.wait("another DaemonSet with the trial's pod", || {
            let list = self.kubectl(&["get", "pods", "-l", "otelgate.dev/rollout=trial", "-o", "json"]).json("pods");
            let owner = &list["items"][0]["metadata"]["ownerReferences"][0];
            (owner["controller"] == true && owner["uid"] != set).then_some(())
        });
        assert_eq!(self.pods().remove(node), tried, "{}", self.words());
    }

    pub(super) fn one_that_ends_in_its_trial_is_gone_back_from(&self) {
        let (before, pods) = (self.revision(), self.pods());
        self.patch(&json!({"collector": {"resources": {"requests": {"cpu": "101m"}}}}));
        let (node, revision) = self.trial(&before);
        self.ends(&node);
        let message = self.wait_for_reason("CollectorRolledBack");
        let told = format!("revision {revision} failed on node {node}, by processors.resourcedetection: {WORDS}");
        assert!(message.starts_with(&told), "{message}");
        self.wait("the last good one on the trial's node", || {
            let now = self.pods();
            (now.len() == 2 && now.values().all(|pod| pod[1..] == [before.clone(), "stable".to_owned()])).then_some(())
        });
        for (name, pod) in self.pods() {
            assert_eq!(pod == pods[&name], name != node, "no other node's Collector was replaced");
        }
        assert_eq!(self.revision(), before);
        // It stays so, whoever leads: the record stands in the cluster.
        let leader = self.plane.get(NAMESPACE, "lease/otelgate-controller")["spec"]["holderIdentity"].clone();
        let leader = leader.as_str().expect("a name");
        self.plane.kubectl(&["delete", "pod", "-n", NAMESPACE, leader]).expect("kubectl delete");
        self.wait("another to lead", || {
            let now = self.plane.get(NAMESPACE, "lease/otelgate-controller")["spec"]["holderIdentity"].clone();
            now.as_str().filter(|now| !now.is_empty() && *now != leader).map(drop)
        });
        assert!(self.wait_for_reason("CollectorRolledBack").starts_with(&told));
        assert!(self.pods().values().all(|pod| pod[1] == before));
        self.a_record_that_somebody_else_wrote_is_not_believed(&before, &revision);
        self.patch(&json!({"collector": {"resources": {"requests": {"cpu": "100m"}}}}));
        self.wait_for_reason("CollectorOnEveryNode");
    }

    /// While no controller runs. What it's of is tried again, and goes nowhere untried.
    fn a_record_that_somebody_else_wrote_is_not_believed(&self, before: &str, revision: &str) {
        let record = format!("configmap/otel-collector-config-{revision}");
        let pods = self.pods();
        self.controllers(0);
        self.kubectl(&["annotate", "--overwrite", &record, "otelgate.dev/trial=\"passed\""]).expect("kubectl annotate");
        self.controllers(1);
        let (node, tried) = self.trial(before);
        assert_eq!(tried, revision);
        self.ends(&node);
        self.wait("the record to be its own again", || {
            let record = self.plane.get(COLLECTOR, &record);
            record["metadata"]["annotations"]["otelgate.dev/trial"].as_str()?.contains("failed").then_some(())
        });
        self.wait("the last good one on the trial's node", || {
            let now = self.pods();
            (now.len() == 2 && now.values().all(|pod| pod[1..] == [before.to_owned(), "stable".to_owned()]))
                .then_some(())
        });
        for (name, pod) in self.pods() {
            assert_eq!(pod == pods[&name], name != node, "no other node's Collector was replaced");
        }
        self.wait_for_reason("CollectorRolledBack");
    }

    /// As kubelet tells of a container that ended.
    fn ends(&self, node: &str) {
        let pods = self.kubectl(&["get", "pods", "-l", "otelgate.dev/rollout=trial", "-o", "json"]).json("pods");
        let pod = pods["items"].as_array().expect("a list").iter().find(|pod| pod["spec"]["nodeName"] == node);
        let pod = pod.unwrap_or_else(|| panic!("no trial's pod on {node}{}", self.words()));
        let mut container = pod["status"]["containerStatuses"][0].clone();
        container["ready"] = json!(false);
        container["restartCount"] = json!(1);
        container["lastState"] = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": WORDS}});
        container["state"] = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
        let mut conditions = pod["status"]["conditions"].clone();
        for condition in conditions.as_array_mut().expect("conditions") {
            if condition["type"] == "Ready" {
                condition["status"] = json!("False");
            }
        }
        let patch = json!({"status": {"containerStatuses": [container], "conditions": conditions}}).to_string();
        let name = pod["metadata"]["name"].as_str().expect("a name");
        self.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "-p", &patch])
            .expect("kubectl patch");
    }

    pub(super) fn a_changed_secret_is_tried_and_rolled_out(&self) {
        let before = self.revision();
        self.plane.apply(&[json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "datadog-secret", "namespace": COLLECTOR},
            "stringData": {"api-key": "ffffffffffffffffffffffffffffffff"},
        })]);
        self.trial(&before);
        self.wait("the trial to be over", || {
            (!self.kubectl(&["get", "daemonset/otel-collector-trial"]).success).then_some(())
        });
        self.wait("the new one everywhere", || {
            let now = self.pods();
            (now.len() == 2 && now.values().all(|pod| pod[1] != before && pod[2] == "stable")).then_some(())
        });
        self.wait_for_reason("CollectorOnEveryNode");
        let all = serde_json::to_string(&objects(self.plane)).expect("JSON");
        assert!(!all.contains("ffffffff") && !all.contains("ZmZmZmZm"), "nothing of the key is stored");
    }
}
