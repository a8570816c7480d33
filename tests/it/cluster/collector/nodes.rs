//! A real Collector on two real nodes: started from the stack, one node first, with the lines of opted-in pods alone, and
//! each pod answered by its own node's.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

use super::intake::Intake;
use super::places;
use crate::cluster::OTELGATE;
use crate::cluster::installed::rendered;
use crate::control_plane::network::{ADDRESS, Process};
use crate::control_plane::node::{Node, Place};
use crate::control_plane::plane::{Parts, sum_of};
use crate::control_plane::programs::built;
use crate::control_plane::webhook::http_get_from;
use crate::control_plane::{ControlPlane, Version, image, wait_for};

mod arrivals;
mod faults;
mod outage;
mod scope;

const NAMESPACE: &str = "datadog";
const OTELCOL: &str = "docker.io/local/otelcol:0.149.0";
const BUSYBOX: &str = "docker.io/local/busybox:1";
/// Of the Collector's own metrics.
const ACCEPTED: &str = "otelcol_receiver_accepted_log_records";

#[test]
fn a_collector_runs_on_every_node() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let folder = plane.network().folder();
    let program = built("otelcol", "0.149.0").unwrap_or_else(|error| panic!("{error}"));
    let otelcol = image::archive(folder, OTELCOL, &program, &["/bin/otelcol"]);
    let otelcol = otelcol.unwrap_or_else(|error| panic!("{error}"));
    let busybox = image::busybox(folder, BUSYBOX, &["/bin/busybox"]).unwrap_or_else(|error| panic!("{error}"));
    let nodes = [Place::First, Place::Second]
        .map(|place| Node::join(&plane, place, &[&otelcol, &busybox]).unwrap_or_else(|error| panic!("{error}")));
    let intake = Intake::start(&plane);
    let controller = prepare(&plane);
    let cluster = Cluster { plane: &plane, nodes: &nodes, intake: &intake, controller: &controller };
    cluster.pods_write_lines();
    cluster.pods_offer_metrics();
    plane.apply(&[cluster.stack(&json!({}))]);
    cluster.wait_for_reason("CollectorOnEveryNode");
    assert_eq!(cluster.status()["collector"]["ready"], "2/2");
    cluster.only_lines_of_opted_in_pods_are_sent();
    cluster.that_lines_are_sent_is_measured();
    cluster.each_pod_is_answered_by_its_own_nodes();
    cluster.lines_arrive_by_grpc();
    cluster.annotated_pods_are_read_by_their_own_nodes();
    cluster.the_clusters_objects_are_read_by_one();
    cluster.a_node_without_a_collector_is_told_as_long_as_it_has_none();
    cluster.a_bad_configuration_is_stopped_at_the_first_node();
    cluster.lines_are_read_on_where_reading_stopped();
    cluster.lines_of_all_but_those_who_switched_them_off_are_sent();
    cluster.what_is_lost_counts_by_whose_fault_it_is();
    cluster.that_lines_are_refused_is_measured();
    cluster.nothing_is_left_of_a_stack_that_is_deleted();
}

/// What the chart brings beside the programs, and the controller as a program of this machine.
fn prepare(plane: &ControlPlane) -> Process {
    let privileged = json!({"pod-security.kubernetes.io/enforce": "privileged"});
    plane.make_namespace("otelgate", &json!({}), &json!({}));
    plane.make_namespace(NAMESPACE, &privileged, &json!({}));
    plane.make_namespace("shop", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    plane.make_namespace("other", &json!({}), &json!({}));
    let (definitions, objects) = rendered(plane, &json!({}));
    plane.apply(&definitions);
    plane.wait_until_served("telemetrystacks.otelgate.dev");
    let roles: Vec<Value> =
        objects.into_iter().filter(|object| object["metadata"]["name"] == "otelgate-collector").collect();
    assert_eq!(roles.len(), 2, "a ClusterRole and a Role");
    plane.apply(&roles);
    places::start(plane)
}

struct Cluster<'p> {
    plane: &'p ControlPlane,
    nodes: &'p [Node<'p>; 2],
    intake: &'p Intake,
    controller: &'p Process,
}

/// A Collector's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    uid: String,
    revision: String,
    restarts: i64,
    address: Ipv4Addr,
}

impl Cluster<'_> {
    /// The `agent` exporter takes no connector, which this Collector doesn't have; the `datadog` exporter beside it sends
    /// to the server here.
    fn stack(&self, datadog: &Value) -> Value {
        let intake = format!("http://{ADDRESS}:{}", self.intake.port);
        let mut exporter = json!({
            "api": {"key": "${env:INTAKE_KEY}", "site": "datadoghq.com"},
            "metrics": {"endpoint": intake},
            "traces": {"endpoint": intake},
            "logs": {"endpoint": intake, "use_compression": false},
        });
        for (key, value) in datadog.as_object().into_iter().flatten() {
            exporter[key] = value.clone();
        }
        let sends = json!({"exporters": ["datadog"]});
        json!({
            "apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "default"},
            "spec": {
                "injection": {"clusterName": "test"},
                "agent": {"mode": "adopt"},
                "collector": {
                    "image": {"repository": "docker.io/local/otelcol", "tag": "0.149.0", "pullPolicy": "Never"},
                    "exporter": "agent",
                    "env": {"INTAKE_KEY": "0123456789abcdef0123456789abcdef"},
                    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                    "batch": {"timeoutSeconds": 1},
                    "tolerations": [],
                    "config": {
                        "exporters": {"datadog": exporter},
                        "service": {"pipelines": {"logs": sends, "logs/files": sends}},
                    },
                },
            },
        })
    }

    fn status(&self) -> Value {
        self.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("the TelemetryStack")["status"]
            .take()
    }

    #[track_caller]
    fn wait_for_reason(&self, reason: &str) -> String {
        self.wait_for_reason_of("CollectorAvailable", reason)
    }

    #[track_caller]
    fn wait_for_reason_of(&self, condition: &str, reason: &str) -> String {
        let mut last = Value::Null;
        wait_for(reason, || {
            let stack = self.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("a stack");
            let conditions = stack["status"]["conditions"].as_array().cloned().unwrap_or_default();
            last = conditions.into_iter().find(|one| one["type"] == condition).unwrap_or_default();
            let current = last["observedGeneration"] == stack["metadata"]["generation"];
            (current && last["reason"] == reason).then(|| last["message"].as_str().unwrap_or_default().to_owned())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}{}", self.words()))
    }

    /// For a test that fails.
    fn words(&self) -> String {
        let pods = self.plane.kubectl(&["describe", "pods", "-n", NAMESPACE]).stdout;
        let logs = ["logs", "-n", NAMESPACE, "-l", "app=otel-collector", "--tail=15", "--prefix"];
        let logs = self.plane.kubectl(&logs).stdout;
        let nodes = self.nodes.each_ref().map(Node::last_words).join("\n");
        format!("\n{pods}\n{logs}\n{nodes}\n{}", self.controller.last_words())
    }

    /// By node.
    fn collectors(&self) -> BTreeMap<String, Running> {
        let list = ["get", "pods", "-n", NAMESPACE, "-l", "app=otel-collector", "-o", "json"];
        let list = self.plane.kubectl(&list).json("pods");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alive = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let pods = list["items"].as_array().expect("a list").iter().filter(alive);
        pods.filter_map(|pod| {
            let running = Running {
                uid: text(&pod["metadata"]["uid"]),
                revision: text(&pod["metadata"]["labels"]["otelgate.dev/revision"]),
                restarts: pod["status"]["containerStatuses"][0]["restartCount"].as_i64()?,
                address: pod["status"]["podIP"].as_str()?.parse().ok()?,
            };
            Some((text(&pod["spec"]["nodeName"]), running))
        })
        .collect()
    }

    /// On each node one that is opted in and one that isn't.
    fn pods_write_lines(&self) {
        for node in self.nodes {
            for namespace in ["shop", "other"] {
                let words = format!("line of {namespace} on {}", node.name);
                let line = json!({"message": words}).to_string();
                self.plane.apply(&[Self::writer(namespace, "writer", node, &line)]);
            }
        }
        for node in self.nodes {
            for namespace in ["shop", "other"] {
                let name = format!("writer-{}", node.name);
                let seen = wait_for("a pod to write", || {
                    self.plane.kubectl(&["logs", "-n", namespace, &name]).stdout.contains("line of").then_some(())
                });
                seen.unwrap_or_else(|error| panic!("{error}{}", self.words()));
            }
        }
    }

    /// A line a second.
    fn writer(namespace: &str, name: &str, node: &Node<'_>, line: &str) -> Value {
        let script = format!("while true; do echo '{line}'; /bin/busybox sleep 1; done");
        Self::pod(namespace, name, node, &script)
    }

    fn pod(namespace: &str, name: &str, node: &Node<'_>, script: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{name}-{}", node.name), "namespace": namespace},
            "spec": {
                "nodeName": node.name, "terminationGracePeriodSeconds": 0, "restartPolicy": "Never",
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never",
                                "args": ["sh", "-c", script]}],
            },
        })
    }

    fn only_lines_of_opted_in_pods_are_sent(&self) {
        for node in self.nodes {
            let words = format!("line of shop on {}", node.name);
            self.intake.wait_for(&words, 5).unwrap_or_else(|error| panic!("{error}{}", self.words()));
        }
        // Both kinds are read from the same folder, by the same receiver.
        assert!(self.intake.with("line of other").is_empty(), "{:#?}", self.intake.with("line of other"));
        let line = self.intake.with("line of shop").swap_remove(0);
        let tags = line["ddtags"].as_str().unwrap_or_default();
        assert!(tags.contains("kube_namespace:shop") && tags.contains("pod_name:writer-node-"), "{line:#}");
        assert!(!line.to_string().contains("otelgate.switch"), "{line:#}");
    }

    /// By the controller, of the Collectors' own metrics.
    fn that_lines_are_sent_is_measured(&self) {
        self.wait_for_reason_of("CollectorDelivering", "Delivering");
        let mut last = Value::Null;
        wait_for("both Collectors to be measured", || {
            last = self.status();
            let conditions = last["conditions"].as_array()?;
            let delivering = conditions.iter().find(|one| one["type"] == "CollectorDelivering")?;
            let told = delivering["message"].as_str()?.starts_with("what arrives is sent; 2 Collectors measured");
            let counted = last["delivery"] == json!({"delivering": "2/2", "measured": 2});
            (delivering["reason"] == "Delivering" && told && counted).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}{}", self.words()));
        // Whoever asks is told the same.
        let shown = self.plane.tool(Path::new(OTELGATE), &[], &["status", "-o", "json"], "").json("otelgate status");
        let shown = &shown["stack"];
        assert_eq!((&shown["collector"], &shown["delivering"]), (&json!("2/2"), &json!("2/2")), "{shown:#}");
        assert!(last["owners"].is_object() && shown["owners"] == last["owners"], "{shown:#}");
        assert_eq!((&shown["agent"], &shown["agentMode"]), (&last["agent"]["nodes"], &json!("adopt")), "{shown:#}");
    }

    /// At last, since what is refused is gone.
    fn that_lines_are_refused_is_measured(&self) {
        self.intake.refuse();
        let message = self.wait_for_reason_of("CollectorDelivering", "SendFailed");
        assert!(message.contains("of 2 Collectors lost data that couldn't be sent: node-"), "{message}");
        assert!(message.contains("(logs"), "{message}");
    }

    fn each_pod_is_answered_by_its_own_nodes(&self) {
        let address = self.service_address();
        for (at, node) in self.nodes.iter().enumerate() {
            let count = at + 3;
            let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
                {"body": {"stringValue": format!("sent from {}", node.name)}}]}]}]});
            let script = format!(
                "for n in $(/bin/busybox seq {count}); do /bin/busybox wget -qO- --header='Content-Type: application/json' \
                 --post-data='{body}' http://{address}:4318/v1/logs || exit 1; done"
            );
            self.plane.apply(&[Self::pod("shop", "sender", node, &script)]);
            let name = format!("pod/sender-{}", node.name);
            let done = ["wait", "-n", "shop", &name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s"];
            assert!(
                self.plane.kubectl(&done).success,
                "{}{}",
                self.plane.kubectl(&["logs", "-n", "shop", &name]).stdout,
                self.words()
            );
        }
        for (at, node) in self.nodes.iter().enumerate() {
            let metrics = self.metrics_of(node);
            assert_eq!(sum_of(&metrics, ACCEPTED, &["receiver=\"otlp\""]), at as u64 + 3, "{}: {metrics}", node.name);
            let words = format!("sent from {}", node.name);
            self.intake.wait_for(&words, at + 3).unwrap_or_else(|error| panic!("{error}{}", self.words()));
        }
    }

    fn service_address(&self) -> String {
        let service = self.plane.get(NAMESPACE, "service/otel-collector");
        service["spec"]["clusterIP"].as_str().expect("an address").to_owned()
    }

    /// Of a node's Collector itself.
    fn metrics_of(&self, node: &Node<'_>) -> String {
        let address = self.collectors()[node.name].address;
        self.plane.network().inside(|| http_get_from(address, 8888, "/metrics")).expect("metrics")
    }

    /// Collectors run on for a moment after the Lease has gone, and can't make it anew.
    fn nothing_is_left_of_a_stack_that_is_deleted(&self) {
        let held = self.plane.get(NAMESPACE, "lease/otel-collector-k8s-cluster");
        let holder = held["spec"]["holderIdentity"].as_str().unwrap_or_default();
        assert!(!holder.is_empty(), "one of the Collectors has it: {held:#}");
        self.plane.kubectl(&["delete", "telemetrystack", "default"]).expect("kubectl delete");
        let gone = |of: &[&str]| {
            let left = self.plane.kubectl(&[&["get", "-n", NAMESPACE, "-o", "name"], of].concat());
            left.expect("kubectl get").is_empty().then_some(())
        };
        for of in [&["pods", "-l", "app=otel-collector"][..], &["leases"]] {
            wait_for("it to go", || gone(of)).unwrap_or_else(|error| panic!("{of:?}: {error}{}", self.words()));
        }
    }

    /// The Collector of the trials' node was replaced twice for each.
    fn lines_are_read_on_where_reading_stopped(&self) {
        self.plane.apply(&[self.stack(&json!({}))]);
        self.wait_for_reason("CollectorOnEveryNode");
        for node in self.nodes {
            let name = format!("writer-{}", node.name);
            let written = self.plane.kubectl(&["logs", "-n", "shop", &name]).stdout.lines().count();
            let words = format!("line of shop on {}", node.name);
            self.intake.wait_for(&words, written).unwrap_or_else(|error| panic!("{error}{}", self.words()));
            let sent = self.intake.with(&words).len();
            let now = self.plane.kubectl(&["logs", "-n", "shop", &name]).stdout.lines().count();
            // What wasn't acknowledged may come twice; all of it doesn't.
            assert!(sent < now + written / 2, "{sent} lines were sent, and {now} written");
        }
        assert!(self.intake.with("line of other").is_empty());
    }
}
