//! Real nodes, and on them the image as `image/archive` writes it, installed by the chart.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use super::certificates::load::{Load, SHOP};
use super::deploy::person::listing;
use crate::control_plane::kubectl::Outcome;
use crate::control_plane::node::{Node, Place};
use crate::control_plane::plane::Parts;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::{NAMESPACE, chart};
use crate::control_plane::{ControlPlane, Version, image, wait_for};

const IMAGE: &str = "docker.io/local/busybox:1";
const WEBHOOK: &str = "deployment/otelgate-webhook";
/// Of each process of otelgate's on a node, what the kernel lets it do.
const PRIVILEGES: &str = "for process in /proc/[0-9]*; do
  [ \"$(cat $process/comm 2>/dev/null)\" != otelgate ] || grep -E '^(Uid|Gid|CapEff|NoNewPrivs|Seccomp):' $process/status
done";
/// A user and group that is nobody's, no capability, nothing to be gained by setuid, and the runtime's filter.
const FEWEST: [&str; 5] = [
    "Uid: 65532 65532 65532 65532",
    "Gid: 65532 65532 65532 65532",
    "CapEff: 0000000000000000",
    "NoNewPrivs: 1",
    "Seccomp: 2",
];

/// A server on one node answers a client on the other through a Service.
#[test]
fn a_pod_runs() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let archive = image::busybox(plane.network().folder(), IMAGE, &["/bin/busybox"]);
    let archive = archive.unwrap_or_else(|error| panic!("{error}"));
    let first = Node::join(&plane, Place::First, &[&archive]).unwrap_or_else(|error| panic!("{error}"));
    let second = Node::join(&plane, Place::Second, &[]).unwrap_or_else(|error| panic!("{error}"));
    second.import(&archive);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"},
                         "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    let serve = "mkdir /www && echo hello > /www/index.html && exec busybox httpd -f -p 8080 -h /www";
    plane.make_namespace("default", &json!({}), &json!({}));
    plane.apply(&[service, pod("server", first.name, serve)]);
    is_ready(&plane, "server", &first);
    let address = plane.get("default", "service/server")["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    plane.apply(&[pod(
        "client",
        second.name,
        &format!("until busybox wget -qO- http://{address}/; do busybox sleep 1; done; exec busybox sleep 1000"),
    )]);
    is_ready(&plane, "client", &second);
    wait_for("the server's words in the client's log", || {
        let log = plane.kubectl(&["logs", "client"]);
        (log.success && log.stdout.contains("hello")).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", second.last_words()));
}

fn pod(name: &str, node: &str, script: &str) -> Value {
    let script = format!("export PATH=/bin; busybox mkdir -p /bin; busybox --install -s /bin; {script}");
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": IMAGE, "imagePullPolicy": "Never", "args": ["sh", "-c", script]}],
        },
    })
}

#[track_caller]
fn is_ready(plane: &ControlPlane, pod: &str, node: &Node<'_>) {
    let wait = ["wait", &format!("pod/{pod}"), "--for=condition=Ready", "--timeout=90s"];
    let outcome = plane.kubectl(&wait);
    assert!(
        outcome.success,
        "{}{}{}",
        outcome.stderr,
        plane.kubectl(&["describe", "pod", pod]).stdout,
        node.last_words()
    );
}

/// From nothing to nothing: one cluster for all of it, since installing takes longest.
#[test]
fn the_image_runs_as_the_chart_installs_it() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let folder = plane.network().folder();
    let archive = image::otelgate(folder, Path::new(OTELGATE)).unwrap_or_else(|error| panic!("{error}"));
    let busybox = image::busybox(folder, IMAGE, &["/bin/busybox"]).unwrap_or_else(|error| panic!("{error}"));
    let nodes = [Place::First, Place::Second].map(|place| {
        let node = Node::join(&plane, place, &[&busybox]).unwrap_or_else(|error| panic!("{error}"));
        node.import(&archive);
        node
    });
    let cluster = Cluster { plane: &plane, nodes };
    cluster.the_image_is_complete();
    plane.make_namespace(NAMESPACE, &json!({"pod-security.kubernetes.io/enforce": "restricted"}), &json!({}));
    plane.make_namespace("datadog", &json!({"pod-security.kubernetes.io/enforce": "privileged"}), &json!({}));
    let before = listing::settled(&plane);
    cluster.install();
    cluster.its_programs_may_do_the_fewest_things();
    plane.make_namespace(SHOP, &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    cluster.injected_pods_run_with_their_variables();
    cluster.commands_see_it_as_it_is();
    cluster.no_pod_is_missed_while_nodes_are_drained_and_replicas_replaced();
    plane.kubectl(&["delete", "namespace", SHOP]).expect("kubectl delete");
    cluster.nothing_of_it_stays(before);
}

struct Cluster<'p> {
    plane: &'p ControlPlane,
    nodes: [Node<'p>; 2],
}

impl Cluster<'_> {
    fn the_image_is_complete(&self) {
        let name = format!("docker.io/library/otelgate:{} ", env!("CARGO_PKG_VERSION"));
        for node in &self.nodes {
            let images = node.images();
            let line = images.lines().find(|line| line.starts_with(&name)).unwrap_or_else(|| panic!("{images}"));
            assert!(line.contains("complete (2/2)") && line.trim_end().ends_with("true"), "{line}");
        }
    }

    #[track_caller]
    fn install(&self) {
        let chart = chart();
        let install = ["install", "otelgate", chart.to_str().expect("UTF-8"), "--namespace", NAMESPACE];
        let values =
            "--set=image.pullPolicy=Never,injection.clusterName=test,collector.mode=disabled,agent.mode=disabled";
        let values = [values, "--wait", "--timeout=3m"];
        let outcome = self.plane.helm(Helm::Four, &[&install[..], &values].concat());
        assert!(outcome.success, "{}{}", outcome.stderr, self.words());
        let ready = ["wait", "telemetrystack/default", "--for=condition=Ready", "--timeout=1m"];
        assert!(self.plane.kubectl(&ready).success, "{}", self.words());
        let mut at: Vec<_> = self.pods(NAMESPACE, "webhook").iter().map(|pod| text(&pod["spec"]["nodeName"])).collect();
        at.sort();
        assert_eq!(at, self.nodes.each_ref().map(|node| node.name), "spread over nodes");
    }

    fn its_programs_may_do_the_fewest_things(&self) {
        let mut programs = 0;
        for node in &self.nodes {
            let mut look = node.inside("sh");
            let told = Outcome::of(look.args(["-c", PRIVILEGES]), "").expect("the processes of a node");
            let lines: Vec<_> =
                told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            for program in lines.chunks(FEWEST.len()) {
                assert_eq!(program, FEWEST);
                programs += 1;
            }
        }
        assert_eq!(programs, 3, "two webhooks and a controller");
    }

    /// Their own output says so.
    fn injected_pods_run_with_their_variables(&self) {
        let labels = json!({"app": "web"});
        self.plane.apply(&[json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": SHOP},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": labels}}],
                    "containers": [{
                        "name": "main", "image": IMAGE, "imagePullPolicy": "Never",
                        "args": ["sh", "-c", "/bin/busybox env; exec /bin/busybox sleep 1000000"],
                        "env": [{"name": "GREETING", "value": "p$$w"},
                                {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=cashiers"}],
                    }],
                },
            }},
        })]);
        let rollout = self.plane.kubectl(&["rollout", "status", "-n", SHOP, "deployment/web", "--timeout=2m"]);
        assert!(rollout.success, "{}{}", rollout.stderr, self.words());
        let pods = self.pods_with(SHOP, "app=web");
        assert_eq!(pods.len(), 2);
        for pod in &pods {
            assert!(pod["metadata"]["annotations"]["otelgate.dev/status"].is_string(), "{pod:#}");
            let (name, uid) = (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]));
            let node = text(&pod["spec"]["nodeName"]);
            let output = wait_for("its output", || {
                let output = self.plane.kubectl(&["logs", "-n", SHOP, &name]).stdout;
                output.contains("OTEL_RESOURCE_ATTRIBUTES").then_some(output)
            });
            let output = output.unwrap_or_else(|error| panic!("{error}{}", self.words()));
            let variables = pairs(output.lines());
            for (variable, value) in [
                ("GREETING", "p$w"),
                ("OTELGATE_POD_NAME", &*name),
                ("OTELGATE_POD_UID", &uid),
                ("OTELGATE_NODE_NAME", &node),
                ("OTEL_SERVICE_NAME", "web"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector.datadog.svc.cluster.local:4318"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ] {
                assert_eq!(variables.get(variable), Some(&value), "{variable} in {output}");
            }
            let attributes = pairs(variables["OTEL_RESOURCE_ATTRIBUTES"].split(','));
            for (attribute, value) in [
                ("team", "cashiers"),
                ("service.version", "1"),
                ("k8s.cluster.name", "test"),
                ("k8s.namespace.name", SHOP),
                ("k8s.deployment.name", "web"),
                ("k8s.container.name", "main"),
                ("k8s.pod.name", &*name),
                ("k8s.pod.uid", &uid),
                ("k8s.node.name", &node),
            ] {
                assert_eq!(attributes.get(attribute), Some(&value), "{attribute} in {output}");
            }
        }
    }

    /// Nothing but the one thing that nobody has made here.
    fn commands_see_it_as_it_is(&self) {
        let otelgate = |arguments: &[&str]| self.plane.tool(Path::new(OTELGATE), &[], arguments, "");
        let lines = otelgate(&["logs", "--tail=5", "-o", "json"]).expect("otelgate logs");
        for pod in self.pods(NAMESPACE, "webhook").iter().chain(&self.pods(NAMESPACE, "controller")) {
            let (name, node) = (text(&pod["metadata"]["name"]), text(&pod["spec"]["nodeName"]));
            let own = |line: &&str| line.contains(&name) && line.contains(&node);
            assert!(lines.lines().any(|line| own(&line)), "{name} on {node} in {lines}");
        }

        let status = otelgate(&["status", "-o", "json"]).json("otelgate status");
        assert_eq!((&status["mode"], &status["stack"]["accepted"]), (&json!("enabled"), &json!(true)), "{status:#}");
        assert_eq!(status["webhook"], json!({"ready": 2, "desired": 2}));
        assert_eq!(status["controller"], json!({"ready": 1, "desired": 1}));
        assert_eq!(
            (&status["namespaces"][0]["namespace"], &status["namespaces"][0]["pods"]),
            (&json!(SHOP), &json!(2))
        );
        assert_eq!(status["namespaces"][0]["coverage"], json!({"Injected": 2}));

        let report = otelgate(&["check", "-o", "json"]);
        let report: Value = serde_json::from_str(&report.stdout).unwrap_or_else(|error| panic!("{error}: {report:?}"));
        let checks = report["checks"].as_array().expect("checks");
        let objections: Vec<_> = checks.iter().filter(|one| one["result"] != "pass").collect();
        let found: Vec<_> = objections.iter().map(|one| (text(&one["check"]), text(&one["found"]))).collect();
        let expected = "there is no Service otel-collector in namespace datadog: what pods send goes nowhere";
        assert_eq!(found, [("collector".to_owned(), expected.to_owned())], "{objections:#?}");
    }

    /// Both nodes one after the other, so that the second has both replicas: the budget lets only one go at a time.
    fn no_pod_is_missed_while_nodes_are_drained_and_replicas_replaced(&self) {
        self.plane.kubectl(&["delete", "-n", SHOP, "deployment", "web"]).expect("kubectl delete");
        let load = Load::start(self.plane);
        load.wait_for(20);
        let [first, second] = &self.nodes;
        self.drain(second, first, &load);
        let told = self.drain(first, second, &load);
        assert!(told.contains("would violate the pod's disruption budget"), "{told}");

        self.plane.kubectl(&["rollout", "restart", "-n", NAMESPACE, WEBHOOK]).expect("kubectl rollout restart");
        self.rolled_out();
        load.wait_for(20);
    }

    /// Until all of otelgate runs on the other node.
    #[track_caller]
    fn drain(&self, node: &Node<'_>, other: &Node<'_>, load: &Load<'_>) -> String {
        let drain = self.plane.kubectl(&["drain", node.name, "--timeout=3m"]);
        assert!(drain.success, "{}{}", drain.stderr, self.words());
        self.rolled_out();
        for pod in self.pods(NAMESPACE, "webhook").iter().chain(&self.pods(NAMESPACE, "controller")) {
            assert_eq!(pod["spec"]["nodeName"], other.name);
        }
        load.wait_for(20);
        self.plane.kubectl(&["uncordon", node.name]).expect("kubectl uncordon");
        drain.stdout + &drain.stderr
    }

    #[track_caller]
    fn rolled_out(&self) {
        for deployment in [WEBHOOK, "deployment/otelgate-controller"] {
            let status = self.plane.kubectl(&["rollout", "status", "-n", NAMESPACE, deployment, "--timeout=2m"]);
            assert!(status.success, "{}{}", status.stderr, self.words());
        }
    }

    /// But the definition, which Helm never deletes, and the Lease, which belongs to nobody and goes with the namespace.
    fn nothing_of_it_stays(&self, mut before: listing::Listing) {
        let uninstall = ["uninstall", "otelgate", "--namespace", NAMESPACE, "--wait", "--timeout=2m"];
        self.plane.helm(Helm::Four, &uninstall).expect("helm uninstall");
        before.extend(
            [
                "apiextensions.k8s.io/v1 CustomResourceDefinition <no value>/telemetrystacks.otelgate.dev",
                "apiregistration.k8s.io/v1 APIService <no value>/v1alpha1.otelgate.dev",
                "coordination.k8s.io/v1 Lease otelgate/otelgate-controller",
            ]
            .map(str::to_owned),
        );
        listing::wait_for_same(&before, self.plane, "after helm uninstall");
        for node in &self.nodes {
            let mut look = node.inside("sh");
            assert_eq!(Outcome::of(look.args(["-c", PRIVILEGES]), "").expect("the processes of a node"), "");
        }
    }

    fn pods(&self, namespace: &str, component: &str) -> Vec<Value> {
        self.pods_with(namespace, &format!("app.kubernetes.io/component={component}"))
    }

    /// Those that aren't about to end.
    #[track_caller]
    fn pods_with(&self, namespace: &str, labels: &str) -> Vec<Value> {
        let mut list = self.plane.kubectl(&["get", "pods", "-n", namespace, "-l", labels, "-o", "json"]).json("pods");
        let Value::Array(mut pods) = list["items"].take() else { panic!("no list: {list}") };
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        pods
    }

    /// For a test that fails.
    fn words(&self) -> String {
        let describe = self.plane.kubectl(&["describe", "pods", "-n", NAMESPACE]).stdout;
        let logs = ["logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=otelgate", "--tail=8", "--prefix"];
        let logs = self.plane.kubectl(&logs).stdout;
        let nodes = self.nodes.each_ref().map(Node::last_words).join("\n");
        format!("\n{describe}\n{logs}\n{nodes}")
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `name=value`
fn pairs<'t>(texts: impl Iterator<Item = &'t str>) -> BTreeMap<&'t str, &'t str> {
    texts.filter_map(|text| text.split_once('=')).collect()
}
