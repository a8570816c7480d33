//! The Collector as the controller keeps it: from an empty cluster to all of its objects, back to them whatever is done
//! by hand, one node first, and to nothing again.

mod admission;
mod foreign;
mod intake;
mod nodes;
mod objects;
mod places;
mod trial;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use super::edited::Hand;
use crate::control_plane::kubectl::Outcome;
use crate::control_plane::plane::Parts;
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::{NAMESPACE, Release};
use crate::control_plane::{ControlPlane, SOON, Version, wait_for, wait_within};

const COLLECTOR: &str = "datadog";
/// Of what the controller makes for it.
const PART: &str = "otelgate.dev/part=collector";
const KINDS: &str = "serviceaccount,configmap,service,daemonset,networkpolicy,rolebinding,clusterrolebinding,lease";

#[test]
fn a_collector_is_on_every_node_and_stays_there() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    plane.make_namespace(COLLECTOR, &json!({"pod-security.kubernetes.io/enforce": "privileged"}), &json!({}));
    plane.apply(&[json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "datadog-secret", "namespace": COLLECTOR},
        "stringData": {"api-key": "0123456789abcdef0123456789abcdef"},
    })]);
    let before = objects(&plane).len();
    let _release = Release::install(&nodes, Helm::Four, &json!({}));
    let cluster = Cluster { plane: &plane, nodes: &nodes };
    cluster.patch(&json!({"collector": {"mode": "managed"}}));
    cluster.wait_for_reason("CollectorOnEveryNode");
    cluster.one_stack_gives_the_whole_set();
    cluster.what_is_deleted_is_made_again();
    cluster.what_is_edited_is_as_before();
    cluster.an_edited_daemon_set_is_as_before();
    cluster.a_change_is_tried_on_one_node_first();
    cluster.one_that_ends_in_its_trial_is_gone_back_from();
    cluster.one_that_the_api_server_refuses_changes_nothing();
    cluster.a_fault_of_the_spec_changes_nothing();
    cluster.a_changed_secret_is_tried_and_rolled_out();
    cluster.somebody_who_fights_is_named();
    cluster.nobody_asked_for_what_they_may_not();
    cluster.switched_off_it_is_gone();
    cluster.the_stack_takes_all_of_it_away(before);
}

struct Cluster<'p> {
    plane: &'p ControlPlane,
    nodes: &'p ProcessNodes<'p>,
}

/// By kind and name.
fn objects(plane: &ControlPlane) -> BTreeMap<String, Value> {
    let list = plane.kubectl(&["get", KINDS, "-n", COLLECTOR, "-l", PART, "-o", "json"]).json("objects");
    let named = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"])), object.clone())
    };
    list["items"].as_array().expect("a list").iter().map(named).collect()
}

impl Cluster<'_> {
    fn stack(&self) -> Value {
        self.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("the TelemetryStack")
    }

    #[track_caller]
    fn patch(&self, spec: &Value) {
        let patch = json!({"spec": spec}).to_string();
        self.plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch]).expect("a patch");
    }

    #[track_caller]
    fn kubectl(&self, arguments: &[&str]) -> Outcome {
        self.plane.kubectl(&[&["-n", COLLECTOR], arguments].concat())
    }

    /// Until the condition is about the spec as it is now, and has that reason. Tells its message.
    #[track_caller]
    fn wait_for_reason(&self, reason: &str) -> String {
        let mut last = Value::Null;
        wait_for(reason, || {
            let stack = self.stack();
            let conditions = stack["status"]["conditions"].as_array().cloned().unwrap_or_default();
            last = conditions.into_iter().find(|one| one["type"] == "CollectorAvailable").unwrap_or_default();
            let current = last["observedGeneration"] == stack["metadata"]["generation"];
            (current && last["reason"] == reason).then(|| last["message"].as_str().unwrap_or_default().to_owned())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}{}", self.words()))
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        wait_for(what, ask).unwrap_or_else(|error| panic!("{error}{}", self.words()))
    }

    /// For a test that fails.
    fn words(&self) -> String {
        let pods = self.kubectl(&["get", "pods", "-o", "wide", "--show-labels"]).stdout;
        let sets = self.kubectl(&["get", "daemonsets,configmaps", "-o", "yaml"]).stdout;
        format!("\n{pods}\n{sets}\n{}", self.nodes.last_words())
    }

    /// The Collectors' pods by node: uid, revision and rollout.
    fn pods(&self) -> BTreeMap<String, [String; 3]> {
        let list = self.kubectl(&["get", "pods", "-l", "app=otel-collector", "-o", "json"]).json("pods");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alive = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let pods = list["items"].as_array().expect("a list").iter().filter(alive);
        pods.map(|pod| {
            let labels = &pod["metadata"]["labels"];
            let told =
                [&pod["metadata"]["uid"], &labels["otelgate.dev/revision"], &labels["otelgate.dev/rollout"]].map(text);
            (text(&pod["spec"]["nodeName"]), told)
        })
        .collect()
    }

    fn revision(&self) -> String {
        self.stack()["status"]["collector"]["revision"].as_str().unwrap_or_default().to_owned()
    }

    fn one_stack_gives_the_whole_set(&self) {
        let stack = self.stack();
        assert_eq!(stack["status"]["collector"]["ready"], "2/2", "{:#}{}", stack["status"], self.words());
        let shown = self.plane.kubectl(&["get", "telemetrystack"]).expect("kubectl get");
        let lines: Vec<Vec<_>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        let column = lines[0].iter().position(|name| *name == "COLLECTOR").expect("a column");
        assert_eq!(lines[1][column], "2/2", "{shown}");
        let all = objects(self.plane);
        let names: Vec<_> = all.keys().filter(|name| !name.starts_with("ConfigMap/")).map(String::as_str).collect();
        let expected = [
            "ClusterRoleBinding/otelgate-collector",
            "DaemonSet/otel-collector",
            "Lease/otel-collector-k8s-cluster",
            "NetworkPolicy/otel-collector",
            "RoleBinding/otelgate-collector",
            "Service/otel-collector",
            "ServiceAccount/otel-collector",
        ];
        assert_eq!(names, expected);
        let revision = self.revision();
        let copy = &all["ConfigMap/otel-collector-config"];
        let mounted = &all[&format!("ConfigMap/otel-collector-config-{revision}")];
        assert_eq!(copy["data"], mounted["data"]);
        assert_eq!(mounted["immutable"], true);
        for (name, object) in &all {
            assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], stack["metadata"]["uid"], "{name}");
        }
        // As the webhook tells pods.
        let address = &all["Service/otel-collector"]["spec"]["clusterIP"];
        self.wait("the Service's address in the configuration", || {
            let map = self.plane.get(NAMESPACE, "configmap/otelgate-injection");
            map["data"]["config.yaml"].as_str()?.contains(address.as_str()?).then_some(())
        });
    }

    fn what_is_deleted_is_made_again(&self) {
        for (name, object) in objects(self.plane) {
            let uid = &object["metadata"]["uid"];
            self.kubectl(&["delete", &name, "--wait=false"]).expect("kubectl delete");
            wait_within(SOON, &format!("{name} to be back"), || {
                let now = objects(self.plane).remove(&name)?;
                (now["metadata"]["uid"] != *uid && now["metadata"]["deletionTimestamp"].is_null()).then_some(())
            })
            .unwrap_or_else(|error| panic!("{error}{}", self.words()));
        }
        self.settled();
    }

    /// Until each node has one that is ready, and none is about to end.
    fn settled(&self) {
        self.wait("a Collector on each node", || {
            let set = self.kubectl(&["get", "daemonset/otel-collector", "-o", "json"]);
            let set: Value = serde_json::from_str(&set.stdout).ok()?;
            let status = &set["status"];
            let seen = status["observedGeneration"] == set["metadata"]["generation"];
            let pods = self.kubectl(&["get", "pods", "-l", "app=otel-collector", "-o", "name"]).stdout;
            (seen && status["numberReady"] == 2 && pods.lines().count() == 2).then_some(())
        });
        self.wait_for_reason("CollectorOnEveryNode");
    }

    /// Each field that was applied, whatever becomes of it.
    fn what_is_edited_is_as_before(&self) {
        let revision = self.revision();
        let pods = self.pods();
        for (name, object) in objects(self.plane).iter().filter(|(name, _)| !name.starts_with("DaemonSet/")) {
            assert!(self.edit(object) > 0, "{name}");
        }
        // One that can't be changed was deleted, and made with something else in it, while nobody looked.
        let name = format!("otel-collector-config-{revision}");
        let before = self.plane.get(COLLECTOR, &format!("configmap/{name}"));
        let mut other = json!({"apiVersion": "v1", "kind": "ConfigMap", "immutable": true, "data": {"config.yaml": "x"},
                               "metadata": {"name": name, "namespace": COLLECTOR, "labels": {"otelgate.dev/part": "collector"}}});
        other["metadata"]["annotations"] = before["metadata"]["annotations"].clone();
        self.controllers(0);
        self.plane.kubectl_with(&["replace", "--force", "-f", "-"], &other.to_string()).expect("kubectl replace");
        self.controllers(1);
        self.wait("the revision to be what its name says", || {
            let now = self.kubectl(&["get", "configmap", &name, "-o", "json", "--ignore-not-found"]).stdout;
            let now: Value = serde_json::from_str(&now).ok()?;
            (now["data"] == before["data"]).then_some(())
        });
        self.wait_for_reason("CollectorOnEveryNode");
        assert_eq!(self.revision(), revision);
        assert_eq!(self.pods(), pods, "no pod was replaced for any of it");
    }

    /// Its pods are replaced for it, and may be for each.
    fn an_edited_daemon_set_is_as_before(&self) {
        const NAME: &str = "DaemonSet/otel-collector";
        let set = objects(self.plane).remove(NAME).expect("it is there");
        assert!(self.edit(&set) > 50);
        self.settled();
    }

    /// So many fields.
    fn edit(&self, object: &Value) -> usize {
        let hand = Hand::on(self.plane, object);
        let before = hand.object();
        let edits = hand.edits(&before);
        hand.make(&before, &edits, || self.words());
        edits.count()
    }

    /// So many, and no more.
    fn controllers(&self, count: usize) {
        let scale = ["scale", "-n", NAMESPACE, "deployment/otelgate-controller", &format!("--replicas={count}")];
        self.plane.kubectl(&scale).expect("kubectl scale");
        self.wait("the controllers to be as many", || {
            let pods = ["get", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=controller", "-o", "name"];
            (self.plane.kubectl(&pods).expect("pods").lines().count() == count).then_some(())
        });
    }

    /// No node is without a Collector for it, not even for a moment.
    fn one_that_the_api_server_refuses_changes_nothing(&self) {
        let (revision, pods) = (self.revision(), self.pods());
        self.patch(&json!({"collector": {"resources": {"limits": {"gpu": 1}}}}));
        let message = self.wait_for_reason("CollectorRolledBack");
        assert!(message.contains("failed before its trial: DaemonSet otel-collector-trial: "), "{message}");
        assert!(message.contains("gpu"), "{message}");
        assert_eq!((self.revision(), self.pods()), (revision.clone(), pods.clone()), "{}", self.words());
        self.patch(&json!({"collector": {"resources": {"limits": {"gpu": null}}}}));
        self.wait_for_reason("CollectorOnEveryNode");
        assert_eq!((self.revision(), self.pods()), (revision, pods));
        let more = json!({"spec": {"collector": {"resources": {"requests": {"cpu": "1"}}}}}).to_string();
        let refused = self.plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &more]);
        assert!(!refused.success);
        assert!(refused.stderr.contains("asks for more cpu or memory than resources.limits allows"), "{refused:?}");
    }

    fn a_fault_of_the_spec_changes_nothing(&self) {
        let (revision, pods) = (self.revision(), self.pods());
        self.patch(&json!({"collector": {"config": {"processors": {"batch": {"timeout": "1s"}}}}}));
        let message = self.wait_for_reason("CollectorSpecInvalid");
        assert!(message.starts_with("spec.collector.config.processors.batch"), "{message}");
        assert_eq!((self.revision(), self.pods()), (revision, pods));
        self.patch(&json!({"collector": {"config": null}}));
        self.wait_for_reason("CollectorOnEveryNode");
    }

    fn somebody_who_fights_is_named(&self) {
        let mut fought = 0;
        self.wait("the fight to be told", || {
            let edit = json!({"spec": {"internalTrafficPolicy": "Cluster"}}).to_string();
            let now = self.plane.get(COLLECTOR, "service/otel-collector");
            if now["spec"]["internalTrafficPolicy"] == "Local" {
                let arguments =
                    ["patch", "service/otel-collector", "--field-manager=argo", "--type=merge", "-p", &edit];
                self.kubectl(&arguments).expect("kubectl patch");
                fought += 1;
            }
            let conditions = self.stack()["status"]["conditions"].clone();
            let told = conditions.as_array()?.iter().find(|one| one["reason"] == "CollectorContested")?.clone();
            told["message"].as_str()?.contains("Service otel-collector is changed back each time by argo").then_some(())
        });
        assert!(fought < 12, "{fought} times");
        self.wait_for_reason("CollectorOnEveryNode");
    }

    fn switched_off_it_is_gone(&self) {
        // While nobody looks, somebody takes away what it is found by.
        self.controllers(0);
        self.kubectl(&["label", "daemonset/otel-collector", "otelgate.dev/part-"]).expect("kubectl label");
        self.patch(&json!({"collector": {"mode": "disabled"}}));
        self.controllers(1);
        self.wait("all of it to be gone", || objects(self.plane).is_empty().then_some(()));
        self.wait("its pods to be gone", || self.pods().is_empty().then_some(()));
        self.wait("the status to say so", || {
            let status = self.stack()["status"].clone();
            let conditions = status["conditions"].as_array()?;
            let none = conditions.iter().all(|one| one["type"] != "CollectorAvailable");
            (none && status["collector"] == json!({"ready": "off"})).then_some(())
        });
        self.patch(&json!({"collector": {"mode": "managed"}}));
        self.wait_for_reason("CollectorOnEveryNode");
    }

    fn the_stack_takes_all_of_it_away(&self, before: usize) {
        self.plane.kubectl(&["delete", "telemetrystack", "default"]).expect("kubectl delete");
        self.wait("nothing to be left", || (objects(self.plane).len() == before).then_some(()));
        self.wait("no pod to be left", || self.pods().is_empty().then_some(()));
    }

    fn nobody_asked_for_what_they_may_not(&self) {
        let asked = self.plane.audit();
        let own: Vec<_> = asked.iter().filter(|entry| entry.is_by(NAMESPACE, "otelgate-controller")).collect();
        let refused: Vec<_> = own.iter().filter(|entry| entry.decision != "allow").collect();
        assert!(!own.is_empty() && refused.is_empty(), "{refused:#?}");
    }
}
