//! What tests of commands share: a cluster in which otelgate is installed under its own names, and ways to run it there.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{OTELGATE, configuration};
use crate::control_plane::kubectl::Outcome;
use crate::control_plane::kubelet::Kubelet;
use crate::control_plane::plane::{Parts, base64};
use crate::control_plane::webhook::{endpoints, manifests};
use crate::control_plane::{ControlPlane, Version, Webhook, wait_for};

/// In Datadog's Secret, in an environment, and wherever else people put it.
pub const API_KEY: &str = "0123456789abcdef0123456789abcdef";

/// In the clear: in the Collector's environment, its configuration, its log, and what the controller keeps of them.
pub const WRITTEN: &str = "fedcba9876543210fedcba9876543210";

pub struct Installed {
    pub plane: &'static ControlPlane,
    pub webhook: Webhook<'static>,
    pub kubelet: Kubelet,
}

/// The one that all tests of commands share.
pub fn installed() -> &'static Installed {
    static INSTALLED: OnceLock<Installed> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let installed = Installed::new();
        plant(&installed);
        installed
    })
}

impl Installed {
    fn new() -> Self {
        static PLANE: OnceLock<ControlPlane> = OnceLock::new();
        let plane = PLANE.get_or_init(|| {
            ControlPlane::start(Version::Newest, Parts::WithControllers).unwrap_or_else(|error| panic!("{error}"))
        });
        let kubelet = Kubelet::start(plane);
        for node in ["node-1", "node-2"] {
            kubelet.add_node(plane, node);
        }
        let webhook = Webhook::prepare(plane, "otelgate-webhook", Path::new(OTELGATE), &configuration());
        webhook.run();
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "otelgate-webhook", "namespace": "otelgate"},
            "spec": {"ports": [{"name": "webhook", "port": 443}]},
        });
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "otelgate-injection", "namespace": "otelgate"},
            "data": {"config.yaml": configuration().to_string()},
        });
        let mut registration = manifests("registration.yaml").remove(0);
        for entry in registration["webhooks"].as_array_mut().expect("entries") {
            entry["clientConfig"]["caBundle"] = json!(base64(&plane.authority().pem()));
        }
        plane.apply(&[vec![service, map], endpoints("otelgate-webhook", webhook.port()), vec![registration]].concat());
        Self { plane, webhook, kubelet }
    }

    /// `otelgate`, as its user's shell runs it.
    pub fn otelgate(&self, arguments: &[&str]) -> Outcome {
        self.plane.tool(Path::new(OTELGATE), &[], arguments, "")
    }

    /// `otelgate` with a `ServiceAccount`'s rights.
    pub fn otelgate_as(&self, namespace: &str, account: &str, arguments: &[&str]) -> Outcome {
        let kubeconfig = self.plane.kubeconfig_of(namespace, account).display().to_string();
        self.otelgate(&[arguments, &["--kubeconfig", &kubeconfig]].concat())
    }

    /// `otelgate` on a terminal of that width, without its colours.
    pub fn on_terminal(&self, columns: usize, arguments: &[&str]) -> String {
        let line = format!("stty rows 50 cols {columns}; NO_COLOR=1 exec {OTELGATE} {}", arguments.join(" "));
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.env("KUBECONFIG", self.plane.kubectl_environment().1);
        let said = self.plane.network().inside(|| Outcome::of(&mut command, "")).expect("otelgate on a terminal");
        said.replace('\r', "")
    }

    /// The names of the pods with that label, once there are so many.
    #[track_caller]
    pub fn pods(&self, namespace: &str, label: &str, count: usize) -> Vec<String> {
        wait_for("pods", || {
            let list = self.plane.kubectl(&["get", "pods", "-n", namespace, "-l", label, "-o", "json"]).json("pods");
            let items = list["items"].as_array().expect("a list");
            let names: Vec<_> =
                items.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).map(str::to_owned).collect();
            (names.len() == count).then_some(names)
        })
        .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Objects of an installation, with a secret wherever people put one.
fn plant(installed: &Installed) {
    let plane = installed.plane;
    plane.make_namespace("datadog", &json!({}), &json!({"example.com/key": API_KEY}));
    let crds =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/crds/telemetrystacks.yaml"));
    plane.kubectl_with(&["apply", "--server-side", "-f", "-"], &crds.expect("the definition")).expect("kubectl apply");
    plane.wait_until_served("telemetrystacks.otelgate.dev");
    let mut workload = deployment("otelgate", "otelgate-webhook", 1);
    let labels = json!({"app.kubernetes.io/name": "otelgate", "app.kubernetes.io/component": "webhook"});
    workload["metadata"]["labels"] = labels.clone();
    workload["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": API_KEY});
    workload["spec"]["selector"] = json!({"matchLabels": labels});
    workload["spec"]["template"]["metadata"] = json!({"labels": labels, "annotations": {"key": API_KEY}});
    workload["spec"]["template"]["spec"]["containers"] = json!([{
        "name": "webhook", "image": "otelgate:1",
        "args": ["webhook", "--log-format=json", format!("--key={API_KEY}"), API_KEY],
        "env": [{"name": "DD_API_KEY", "value": API_KEY}],
        // The namespace admits no other.
        "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false,
                            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}},
    }]);
    plane.apply(&[
        // Where the stack says.
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "datadog"},
               "data": {"of-datadog": base64(API_KEY)}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "otelgate-webhook-tls", "namespace": "otelgate",
               "annotations": {"key": API_KEY}},
               "stringData": {"tls.crt": plane.authority().pem(), "tls.key": "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n"}}),
        json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "default"},
               "spec": {"datadog": {"secret": {"name": "keys", "key": "of-datadog"}},
                        "collector": {"env": {"INTAKE_KEY": WRITTEN}, "podAnnotations": {"example.com/key": WRITTEN},
                                      "config": {"exporters": {"otlp_http/more": {"headers": {"key": WRITTEN}}}}},
                        "injection": {"clusterName": "east", "env": [{"name": "KEY", "value": API_KEY}],
                                      "otlp": {"endpoint": format!("https://user:{API_KEY}@example.com:4318")}}}}),
        workload,
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "otelgate.1", "namespace": "otelgate"},
               "involvedObject": {"kind": "Pod", "name": "otelgate-webhook-x", "namespace": "otelgate"},
               "reason": "Failed", "message": format!("it printed {API_KEY}"), "type": "Warning"}),
    ]);
    plane.apply(&telemetry());
    installed.kubelet.log("otel-collector-x1", "2026-11-02T09:00:02.5Z", &format!("09:00\tinfo\tready {WRITTEN}"));
    installed.kubelet.log("datadog-agent-y1", "2026-11-02T09:00:03.5Z", "2026-11-02 09:00:03 UTC | CORE | INFO | up");
    let pod = &installed.pods("otelgate", "app.kubernetes.io/component=webhook", 1)[0];
    installed.kubelet.log(pod, "2026-11-02T09:00:01Z", &format!("{{\"message\":\"listening\",\"key\":\"{API_KEY}\"}}"));
}

/// A Collector and an Agent, and what the controller keeps of the Collector.
fn telemetry() -> Vec<Value> {
    let env = json!([{"name": "INTAKE_KEY", "value": WRITTEN}]);
    let pod = |name: &str, node: &str, labels: Value, containers: &[&str]| {
        let containers: Vec<_> =
            containers.iter().map(|name| json!({"name": name, "image": "i:1", "env": env})).collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "datadog", "labels": labels, "annotations": {"key": WRITTEN}},
            // Whatever the cluster thinks of a node on which nothing runs.
            "spec": {"nodeName": node, "containers": containers, "tolerations": [{"operator": "Exists"}]},
        })
    };
    let trial = json!({"app": "otel-collector", "otelgate.dev/rollout": "trial"});
    let (name, kept) =
        ("otel-collector-config-0123456789", json!({"app": "otel-collector", "otelgate.dev/part": "collector"}));
    let failed =
        json!({"failed": {"node": "node-2", "cause": "collector", "words": format!("no {WRITTEN}")}}).to_string();
    vec![
        pod("otel-collector-x1", "node-1", json!({"app": "otel-collector"}), &["otel-collector"]),
        pod("datadog-agent-y1", "node-2", json!({"agent.datadoghq.com/component": "agent"}), &["agent", "trace-agent"]),
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "otel-collector-trial", "namespace": "datadog"},
            "spec": {"selector": {"matchLabels": trial}, "template": {
                "metadata": {"labels": trial, "annotations": {"key": WRITTEN}},
                "spec": {"nodeSelector": {"no": "node"}, "containers": [{"name": "otel-collector", "image": "i:1", "env": env}]},
            }},
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "datadog", "labels": kept, "annotations": {"otelgate.dev/trial": failed}},
            "data": {"config.yaml": format!("key: {WRITTEN}"), "pod.json": json!({"env": env}).to_string()},
        }),
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "otel-collector.1", "namespace": "datadog"},
               "involvedObject": {"kind": "DaemonSet", "name": "otel-collector-trial", "namespace": "datadog"},
               "reason": "FailedCreate", "message": format!("{API_KEY} and {WRITTEN}"), "type": "Warning"}),
    ]
}

pub fn deployment(namespace: &str, name: &str, replicas: u32) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "shop/app:1.2.3"}]},
            },
        },
    })
}

/// Each random part of a name, each time and each digest, replaced by as many characters that are always the same.
pub fn settled(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | ':' | '.' | 'Z')) {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let (word, rest) = part.split_at(word.len());
        let is_time = word.len() >= 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
        if is_time {
            out.push_str("2026-01-02T03:04:05Z");
        } else {
            out.push_str(&without_suffix(word));
        }
        out.push_str(rest);
    }
    out
}

/// `web-7d9c8f6b5-x2k4p`
fn without_suffix(word: &str) -> String {
    const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";
    let is_random = |part: &str| part.len() >= 5 && part.chars().all(|c| RANDOM.contains(c));
    let mut parts: Vec<_> = word.split('-').map(str::to_owned).collect();
    let (last, before) = (parts.len() - 1, parts.len().checked_sub(2));
    if parts.len() < 3
        || parts[last].len() != 5
        || !is_random(&parts[last])
        || !before.is_some_and(|i| is_random(&parts[i]))
    {
        return word.to_owned();
    }
    for part in &mut parts[last - 1..] {
        *part = "x".repeat(part.len());
    }
    parts.join("-")
}
