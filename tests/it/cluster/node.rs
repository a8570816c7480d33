//! Real nodes.

use serde_json::{Value, json};

use crate::control_plane::node::{Node, Place};
use crate::control_plane::plane::Parts;
use crate::control_plane::{ControlPlane, Version, image, wait_for};

const IMAGE: &str = "docker.io/local/busybox:1";

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
