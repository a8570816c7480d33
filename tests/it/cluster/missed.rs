//! Pods that were created while the webhook was away: found, counted, named, and restarted where that is asked for. However
//! a repair goes, it ends by itself.

use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use super::installed::{condition, wait_until_in_force};
use crate::control_plane::audit::Entry;
use crate::control_plane::plane::Parts;
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::{NAMESPACE, Release};
use crate::control_plane::{ControlPlane, Version, wait_for};

const REGISTRATION: &str = "mutatingwebhookconfiguration/otelgate";
/// How long a pod has to be Ready where there has to be time for something else in between, in seconds. Longer than tests
/// wait, and shorter than a Deployment's ten minutes, which the API server insists on.
const SLOW: i64 = 500;

/// The chart, installed without Collector and Agent.
pub(super) struct Cluster<'p> {
    pub plane: &'p ControlPlane,
    nodes: &'p ProcessNodes<'p>,
    release: Release<'p>,
}

#[test]
fn missed_pods_are_found_and_a_repair_ends_by_itself() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let cluster = Cluster::install(&plane, &nodes);
    cluster.what_is_created_without_the_webhook_is_found_and_named();
    cluster.what_a_restarted_controller_tells_is_the_same();
    cluster.each_owner_was_told_once();
    cluster.a_dry_run_tells_and_evicts_nothing();
    cluster.without_the_webhook_nothing_is_evicted();
    cluster.when_the_webhook_goes_in_the_middle_nothing_more_is_evicted();
    cluster.what_a_budget_refuses_is_told_and_asked_for_seldom();
    cluster.missed_pods_are_evicted_one_by_one_and_come_back_injected();
    cluster.what_comes_back_unmarked_or_crashing_is_evicted_once();
    cluster.the_rest_is_left_and_nothing_more_is_evicted();
}

fn values(repair: &Value) -> Value {
    json!({
        "webhook": {"replicas": 1}, "injection": {"clusterName": "test"}, "repair": repair,
        "collector": {"mode": "disabled"}, "agent": {"mode": "disabled"},
    })
}

fn deployment(namespace: &str, name: &str, replicas: usize, annotations: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": {"containers": [{"name": "app", "image": "shop/app:1"}], "terminationGracePeriodSeconds": 0},
            },
        },
    })
}

/// What is missed: workloads to be repaired, one of them with a budget that lets nothing go, and what is left as it is.
fn missed() -> Vec<Value> {
    let slow = |name: &str, replicas: usize| {
        let mut slow = deployment("shop", name, replicas, &json!({}));
        slow["spec"]["minReadySeconds"] = json!(SLOW);
        slow
    };
    let template = json!({"spec": {"containers": [{"name": "app", "image": "app:1"}], "restartPolicy": "Never",
        // One that has ended is nobody's concern, and here each that runs has ended.
        "nodeSelector": {"kubernetes.io/hostname": "none"}}});
    vec![
        slow("web", 3),
        slow("api", 2),
        deployment("shop", "single", 1, &json!({})),
        deployment("shop", "skipped", 2, &json!({"otelgate.dev/containers": "none-of-them"})),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "guarded", "namespace": "shop"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "guarded"}}}}),
        deployment("shop", "guarded", 2, &json!({})),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "batch", "namespace": "shop"},
            "spec": {"template": template}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "shop"},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]}}),
    ]
}

impl<'p> Cluster<'p> {
    /// Until the webhook serves what the `TelemetryStack` asks for.
    #[track_caller]
    pub(super) fn install(plane: &'p ControlPlane, nodes: &'p ProcessNodes<'p>) -> Self {
        let release = Release::install(nodes, Helm::Four, &values(&json!({})));
        wait_until_in_force(nodes);
        Self { plane, nodes, release }
    }

    fn stack(&self) -> Value {
        self.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("the TelemetryStack")
    }

    /// Until the numbers of the status are such. Tells the whole stack.
    #[track_caller]
    pub(super) fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        wait_for(what, || {
            last = self.stack();
            holds(&last["status"]["injection"]).then(|| last.clone())
        })
        .unwrap_or_else(|error| panic!("{error}: {:#}{}", last["status"], self.nodes.last_words()))
    }

    #[track_caller]
    pub(super) fn scale_webhook(&self, replicas: usize) {
        let scale = format!("--replicas={replicas}");
        self.plane
            .kubectl(&["scale", "-n", NAMESPACE, "deployment", "otelgate-webhook", &scale])
            .expect("kubectl scale");
        wait_for("the webhook to come or go", || (is_called_in(self.plane, "shop") == (replicas > 0)).then_some(()))
            .unwrap_or_else(|error| panic!("{error}{}", self.nodes.last_words()));
    }

    #[track_caller]
    fn webhook_ready_since(&self) -> jiff::Timestamp {
        let pod = self.plane.get(NAMESPACE, &format!("pod/{}", self.release.replica(0).name));
        let ready = condition(&pod, "Ready").unwrap_or_default();
        ready["lastTransitionTime"].as_str().and_then(|since| since.parse().ok()).expect("a time")
    }

    /// Asks for what was missed, and waits until nothing keeps the controller from it.
    #[track_caller]
    pub(super) fn ask_for_repair(&self) {
        self.release.upgrade(&values(&json!({"missed": true})));
        wait_for("the webhook to be reachable", || {
            (condition(&self.stack(), "WebhookReachable")?["status"] == "True").then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {:#}", self.stack()["status"]));
    }

    /// Makes an opted-in namespace, and waits until what is created in it is younger than its label.
    #[track_caller]
    pub(super) fn make_namespace(&self, name: &str) {
        let labels = json!({"otelgate.dev/inject": "enabled"});
        self.plane.make_namespace(name, &labels, &json!({}));
        let written = self.plane.get("", &format!("namespace/{name}"))["metadata"]["creationTimestamp"].clone();
        wait_for("the next second", || {
            let now = jiff::Timestamp::now();
            let written: jiff::Timestamp = written.as_str()?.parse().ok()?;
            (now.as_second() > written.as_second()).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }

    pub(super) fn pods(&self, namespace: &str, app: &str) -> Vec<Value> {
        let list = self.plane.kubectl(&["get", "pods", "-n", namespace, "-l", &format!("app={app}"), "-o", "json"]);
        let list = list.json("pods")["items"].as_array().cloned().unwrap_or_default();
        list.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    #[track_caller]
    pub(super) fn wait_for_pods(&self, namespace: &str, app: &str, count: usize) {
        wait_for("pods to be Ready", || {
            let pods = self.pods(namespace, app);
            (pods.iter().all(is_ready) && pods.len() == count).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {app}"));
    }

    /// What became of each eviction that the controller asked for, in their order.
    fn evictions(&self) -> Vec<Entry> {
        let is_one = |entry: &Entry| entry.is_by(NAMESPACE, "otelgate-controller") && entry.subresource == "eviction";
        let mut evictions: Vec<_> = self.plane.audit().into_iter().filter(is_one).collect();
        evictions.sort_by_key(|entry| entry.at);
        evictions
    }

    /// Names of the pods that the controller evicted.
    pub(super) fn evicted(&self) -> Vec<String> {
        self.evictions().into_iter().filter(|entry| entry.code < 300).map(|entry| entry.name).collect()
    }

    pub(super) fn of(&self, app: &str) -> usize {
        self.evicted().iter().filter(|pod| pod.starts_with(&format!("{app}-"))).count()
    }

    fn what_is_created_without_the_webhook_is_found_and_named(&self) {
        self.make_namespace("shop");
        self.make_namespace("lost");
        keep_out(self.plane, &["lost"]);
        self.scale_webhook(0);
        self.plane.apply(&missed());
        for (app, count) in [("web", 3), ("api", 2), ("guarded", 2)] {
            self.wait_for_pods("shop", app, count);
        }
        self.plane.kubectl(&["label", "namespace", "default", "otelgate.dev/inject=on"]).expect("kubectl label");
        let stack = self.until("missed pods", |injection| injection["missed"] == 10);
        let injection = &stack["status"]["injection"];
        assert_eq!(injection["injected"], "0/10", "{injection:#}");
        let of = [
            "shop/Deployment/api (2)",
            "shop/Deployment/guarded (2)",
            "shop/Deployment/single (1)",
            "shop/Deployment/web (3)",
            "shop/Job/batch (1)",
            "shop/Pod/bare",
        ];
        assert_eq!(injection["missedOf"], json!(of));
        let stack = self.until("the invalid label", |injection| injection["invalidOptIns"].is_array());
        assert_eq!(stack["status"]["injection"]["invalidOptIns"], json!(["namespace default (InvalidOptIn)"]));
        let complete = condition(&stack, "InjectionComplete").expect("a condition");
        assert_eq!((&complete["status"], &complete["reason"]), (&json!("False"), &json!("Missed")));
        let message = complete["message"].as_str().expect("a message");
        assert!(
            message.starts_with("10 of 10 pods were missed: shop/Deployment/api (2), shop/Deployment/guarded (2)"),
            "{message}"
        );
        let shown = self.plane.kubectl(&["get", "telemetrystack"]).expect("kubectl get");
        assert!(shown.contains("INJECTED") && shown.contains("0/10"), "{shown}");
        self.scale_webhook(1);
        wait_until_in_force(self.nodes);
        assert_ne!(condition(&self.stack(), "Ready").expect("it is there")["reason"], "Missed", "it doesn't count");
        // What is created now is no reason for anything.
        self.plane.apply(&[deployment("shop", "fine", 1, &json!({}))]);
        self.until("one that is injected", |injection| injection["injected"] == "1/11");
    }

    fn what_a_restarted_controller_tells_is_the_same(&self) {
        let before = self.stack()["status"]["injection"].clone();
        let controller = self.release.controller();
        self.plane.kubectl(&["delete", "pod", "-n", NAMESPACE, &controller.name]).expect("kubectl delete");
        wait_for("another controller", || (self.release.controller().name != controller.name).then_some(()))
            .unwrap_or_else(|error| panic!("{error}"));
        wait_until_in_force(self.nodes);
        let lease = || self.plane.get(NAMESPACE, "lease/otelgate-controller")["spec"]["holderIdentity"].clone();
        wait_for("it to lead", || (lease() == self.release.controller().name.as_str()).then_some(()))
            .unwrap_or_else(|error| panic!("{error}"));
        let metrics = || self.release.controller().http_get(8080, "/metrics").unwrap_or_default();
        wait_for("it to have counted", || {
            metrics().contains("otelgate_controller_pods{coverage=\"Missed\"} 10").then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", metrics()));
        assert_eq!(self.stack()["status"]["injection"], before);
    }

    /// By one controller or by the other.
    fn each_owner_was_told_once(&self) {
        let events = || {
            let list = ["get", "events", "-n", "shop", "--field-selector=reason=Missed", "-o", "json"];
            let list = self.plane.kubectl(&list).json("events")["items"].as_array().cloned().unwrap_or_default();
            let told = list.into_iter().map(|event| (event["involvedObject"].clone(), event["message"].clone()));
            told.collect::<Vec<_>>()
        };
        let owners = [
            ("ReplicaSet", "api"),
            ("ReplicaSet", "guarded"),
            ("ReplicaSet", "single"),
            ("ReplicaSet", "web"),
            ("Job", "batch"),
            ("Pod", "bare"),
        ];
        wait_for("as many Events as owners", || (events().len() >= owners.len()).then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {:#?}", events()));
        let mut events = events();
        assert_eq!(events.len(), owners.len(), "{events:#?}");
        for (kind, app) in owners {
            let is_its = |object: &Value| {
                object["kind"] == kind && object["name"].as_str().is_some_and(|name| name.starts_with(app))
            };
            let at = events.iter().position(|(object, _)| is_its(object));
            let (object, message) = events.remove(at.unwrap_or_else(|| panic!("{kind} {app}: {events:#?}")));
            let owner = self.plane.get("shop", &format!("{kind}/{}", object["name"].as_str().unwrap_or_default()));
            assert_eq!(object["uid"], owner["metadata"]["uid"], "{object:#}");
            let message = message.as_str().unwrap_or_default();
            assert!(message.starts_with(&format!("pod {app}")) && message.contains("next step: "), "{message}");
        }
    }

    fn a_dry_run_tells_and_evicts_nothing(&self) {
        self.release.upgrade(&values(&json!({"missed": true, "dryRun": true})));
        let stack = self.until("what would be evicted", |injection| {
            injection["repair"]["wouldEvict"].as_array().is_some_and(|would| would.len() == 3)
                && injection["repair"]["left"].as_array().is_some_and(|left| left.len() == 3)
        });
        let repair = &stack["status"]["injection"]["repair"];
        assert_eq!((&repair["phase"], &repair["evicted"]), (&json!("DryRun"), &json!(0)));
        let would = ["shop/Deployment/api (2)", "shop/Deployment/guarded (2)", "shop/Deployment/web (3)"];
        assert_eq!(repair["wouldEvict"], json!(would));
        let left = [
            "shop/Deployment/single: fewer than two replicas are Ready",
            "shop/Job/batch: of a Job, which starts over",
            "shop/Pod/bare: a pod that nobody would make again",
        ];
        assert_eq!(repair["left"], json!(left));
        assert!(!self.plane.kubectl(&["get", "-n", NAMESPACE, "configmap", "otelgate-repair"]).success);
    }

    fn without_the_webhook_nothing_is_evicted(&self) {
        self.scale_webhook(0);
        let patch = json!({"spec": {"repair": {"dryRun": false}}}).to_string();
        self.plane
            .kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch])
            .expect("kubectl patch");
        let stack = self.until("the repair to wait", |injection| injection["repair"]["phase"] == "Waiting");
        let message = stack["status"]["injection"]["repair"]["message"].as_str().expect("a message").to_owned();
        assert!(message.contains("isn't true, so that evicted pods might be missed again"), "{message}");
        assert!(self.evicted().is_empty());
    }

    /// One of each workload has come back by then, and the next ones would be due soon after.
    fn when_the_webhook_goes_in_the_middle_nothing_more_is_evicted(&self) {
        self.scale_webhook(1);
        self.ask_for_repair();
        self.until("the first of two workloads to be back", |injection| injection["injected"] == "3/11");
        self.scale_webhook(0);
        self.until("the repair to wait", |injection| injection["repair"]["phase"] == "Waiting");
        let before = self.evicted();
        assert_eq!((before.len(), self.of("web"), self.of("api")), (2, 1, 1), "{before:?}");
        for name in ["web", "api"] {
            let patch = json!({"spec": {"minReadySeconds": 0}}).to_string();
            self.plane.kubectl(&["patch", "-n", "shop", "deployment", name, "-p", &patch]).expect("kubectl patch");
        }
        self.scale_webhook(1);
        // Once it is there, the next ones are due at any time.
        let again = self.webhook_ready_since();
        let meanwhile = self.evictions().into_iter().filter(|entry| entry.code < 300 && entry.at < again);
        assert_eq!(meanwhile.map(|entry| entry.name).collect::<Vec<_>>(), before);
    }

    fn what_a_budget_refuses_is_told_and_asked_for_seldom(&self) {
        let budget = self.plane.get("shop", "poddisruptionbudget/guarded")["status"].clone();
        assert_eq!((&budget["currentHealthy"], &budget["disruptionsAllowed"]), (&json!(2), &json!(0)), "{budget:#}");
        self.until("the refusal", |injection| left(injection, "guarded").contains("the pod's disruption budget"));
        // By then, it would have been asked for again and again.
        wait_for("another one of web to be evicted", || (self.of("web") > 1).then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {:#}", self.stack()["status"]));
        let told = self.stack()["status"]["injection"]["repair"]["evicted"].as_u64();
        let evicted = self.evicted();
        assert!(told.is_some_and(|told| told <= evicted.len() as u64), "{told:?}, and not {evicted:?}");
        assert_eq!(self.of("guarded"), 0);
        let refused: Vec<_> = self.evictions().into_iter().filter(|entry| entry.code >= 300).collect();
        assert!(refused.iter().all(|entry| entry.code == 429 && entry.name.starts_with("guarded-")), "{refused:#?}");
        assert!(apart(&refused, 25) && !refused.is_empty(), "{refused:#?}");
        self.plane.kubectl(&["delete", "-n", "shop", "poddisruptionbudget", "guarded"]).expect("kubectl delete");
    }

    fn missed_pods_are_evicted_one_by_one_and_come_back_injected(&self) {
        let stack = self.until("the repair to be over", |injection| {
            injection["missed"] == 3 && injection["repair"]["phase"] == "Idle"
        });
        let injection = &stack["status"]["injection"];
        assert_eq!(injection["injected"], "8/11", "{injection:#}");
        assert_eq!(injection["repair"]["evicted"], 7);
        for pod in ["web", "api", "guarded"].iter().flat_map(|app| self.pods("shop", app)) {
            assert!(pod["metadata"]["annotations"]["otelgate.dev/status"].is_string(), "{pod:#}");
        }
        assert_eq!((self.evicted().len(), self.of("web"), self.of("api"), self.of("guarded")), (7, 3, 2, 2));
        let evicted: Vec<_> = self.evictions().into_iter().filter(|entry| entry.code < 300).collect();
        assert!(apart(&evicted, 2), "one of the cluster at a time: {evicted:#?}");
    }

    /// Three that come to nothing, each for a reason of its own; the last one ends it all.
    fn what_comes_back_unmarked_or_crashing_is_evicted_once(&self) {
        self.release.upgrade(&values(&json!({"missed": true, "outdated": true})));
        wait_until_in_force(self.nodes);
        self.plane.apply(&[deployment("lost", "unmarked", 3, &json!({}))]);
        self.until("what comes back unmarked", |injection| {
            left(injection, "unmarked").contains("came back without the mark")
        });
        assert_eq!(self.of("unmarked"), 1);

        let status = json!({"version": "0.1.0", "config": "0123456789abcdef", "containers": {}}).to_string();
        self.plane.apply(&[deployment("lost", "committed", 3, &json!({"otelgate.dev/status": status}))]);
        self.until("what comes back with an old mark", |injection| {
            left(injection, "committed").contains("came back without the mark")
        });
        assert_eq!(self.of("committed"), 1);

        // One that was missed among three, as a single one is left.
        self.make_namespace("crashing");
        keep_out(self.plane, &["lost", "crashing"]);
        let apply = |replicas: usize, paused: bool| {
            let mut one = deployment("crashing", "loop", replicas, &json!({}));
            one["spec"]["paused"] = json!(paused);
            one["spec"]["minReadySeconds"] = json!(SLOW);
            self.plane.apply(&[one]);
        };
        apply(1, false);
        self.wait_for_pods("crashing", "loop", 1);
        keep_out(self.plane, &["lost"]);
        wait_for("the webhook to be called there", || is_called_in(self.plane, "crashing").then_some(()))
            .unwrap_or_else(|error| panic!("{error}"));
        let missed = self.pods("crashing", "loop")[0]["metadata"]["uid"].clone();
        // Nothing is evicted of what is paused.
        apply(3, true);
        self.wait_for_pods("crashing", "loop", 3);
        let before: Vec<_> = self.pods("crashing", "loop").iter().map(|pod| pod["metadata"]["uid"].clone()).collect();
        assert!(before.contains(&missed), "it is left until there are others");
        apply(3, false);
        // What stands for kubelet writes the status of one that isn't Ready yet.
        let new = wait_for("the first to be evicted and replaced", || {
            let is_new = |pod: &Value| !before.contains(&pod["metadata"]["uid"]);
            self.pods("crashing", "loop").into_iter().find(|pod| is_new(pod) && is_ready(pod))
        })
        .unwrap_or_else(|error| panic!("{error}: {:#}", self.stack()["status"]));
        let waiting = json!({"status": {"containerStatuses": [{"name": "app", "image": "shop/app:1", "imageID": "",
            "ready": false, "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
        let name = new["metadata"]["name"].as_str().expect("a name");
        wait_for("its status to be written", || {
            let arguments =
                ["patch", "pod", "-n", "crashing", name, "--subresource=status", "-p", &waiting.to_string()];
            self.plane.kubectl(&arguments).expect("kubectl patch");
            let pod = self.plane.get("crashing", &format!("pod/{name}"));
            (pod["status"]["containerStatuses"][0]["restartCount"] == 1).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
        self.until("what comes back crashing", |injection| injection["repair"]["phase"] == "Stopped");
        assert_eq!(self.of("loop"), 1);
        let complete = condition(&self.stack(), "InjectionComplete").expect("a condition");
        let message = complete["message"].as_str().expect("a message").to_owned();
        assert!(
            message.contains("the repair has stopped: ") && message.contains("kubectl delete configmap"),
            "{message}"
        );
    }

    fn the_rest_is_left_and_nothing_more_is_evicted(&self) {
        let before = self.evicted();
        let controller = self.release.controller();
        self.plane.kubectl(&["delete", "pod", "-n", NAMESPACE, &controller.name]).expect("kubectl delete");
        self.plane.apply(&[deployment("lost", "later", 3, &json!({}))]);
        self.until("the next controller to have found it", |injection| {
            injection["missedOf"].to_string().contains("lost/Deployment/later")
                && injection["repair"]["phase"] == "Stopped"
        });
        assert_eq!(self.evicted(), before);
    }
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Whether each came so many seconds after the one before.
fn apart(entries: &[Entry], seconds: i64) -> bool {
    let seconds = jiff::SignedDuration::from_secs(seconds);
    entries.windows(2).all(|pair| pair[1].at.duration_since(pair[0].at) >= seconds)
}

/// Has the API server call the webhook for pods of no namespace of these, as a condition of somebody else's may.
#[track_caller]
pub(super) fn keep_out(plane: &ControlPlane, namespaces: &[&str]) {
    const CONDITION: &str = "kept-out";
    let mut entries = plane.get("", REGISTRATION)["webhooks"].as_array().cloned().expect("entries");
    for entry in &mut entries {
        let conditions = entry["matchConditions"].as_array_mut().expect("conditions");
        conditions.retain(|condition| condition["name"] != CONDITION);
        let others = format!("!(request.namespace in {})", json!(namespaces));
        conditions.extend((!namespaces.is_empty()).then(|| json!({"name": CONDITION, "expression": others})));
    }
    let patch = json!([{"op": "replace", "path": "/webhooks", "value": entries}]).to_string();
    plane.kubectl(&["patch", REGISTRATION, "--type=json", "-p", &patch]).expect("kubectl patch");
    let is_called = || namespaces.iter().any(|namespace| is_called_in(plane, namespace));
    wait_for("the webhook to be called no more", || (!is_called()).then_some(()))
        .unwrap_or_else(|error| panic!("{error}"));
}

pub(super) fn is_called_in(plane: &ControlPlane, namespace: &str) -> bool {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks", "namespace": namespace},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]}})
    .to_string();
    let created = plane.kubectl_with(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &pod).json("a pod");
    created["metadata"]["annotations"]["otelgate.dev/status"].is_string()
}

/// What is said of a workload that is left.
pub(super) fn left(injection: &Value, app: &str) -> String {
    let left = injection["repair"]["left"].as_array().cloned().unwrap_or_default();
    let of_it = left.iter().filter_map(Value::as_str).find(|line| line.contains(&format!("/{app}: ")));
    of_it.unwrap_or_default().to_owned()
}
