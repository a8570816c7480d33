//! The harness that runs pods as processes, with what is installed by plain manifests.

use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use crate::control_plane::cert_manager;
use crate::control_plane::credentials::Subject;
use crate::control_plane::plane::{Parts, base64};
use crate::control_plane::process_nodes::{ProcessNodes, Replica};
use crate::control_plane::programs::Helm;
use crate::control_plane::webhook::manifests;
use crate::control_plane::{ControlPlane, Version, wait_for};

const LABELS: &str = "app.kubernetes.io/name=otelgate,app.kubernetes.io/component=webhook";

#[test]
fn a_deployments_pods_are_processes_with_the_rights_of_their_account() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    install(&plane);
    let replicas = nodes.replicas("otelgate", LABELS, 2);
    assert_ne!(replicas[0].address, replicas[1].address);
    plane.make_namespace("shop", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    wait_for_injection(&plane);
    they_ask_only_for_what_they_may(&plane);
    a_container_that_ends_is_started_again(&plane, &replicas[0]);
    a_deleted_pod_ends_in_its_time_and_is_replaced(&plane, &nodes, &replicas[1]);
    pods_of_others_count_as_running(&plane);
    helm_finds_the_cluster(&plane);
}

/// Everything in `webhook-config/`, with a certificate of the cluster's authority.
fn install(plane: &ControlPlane) {
    let host = "otelgate-webhook.otelgate.svc";
    let credentials = plane.authority().issue(&Subject::Server { names: &[host] }).expect("a certificate");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "otelgate-webhook-tls", "namespace": "otelgate"},
        "stringData": {"tls.crt": credentials.certificate, "tls.key": credentials.key, "ca.crt": plane.authority().pem()},
    });
    let mut registration = manifests("registration.yaml").remove(0);
    for entry in registration["webhooks"].as_array_mut().expect("entries") {
        entry["clientConfig"]["caBundle"] = json!(base64(&plane.authority().pem()));
    }
    for file in ["namespace.yaml", "rbac.yaml", "configuration.yaml", "service.yaml"] {
        plane.apply(&manifests(file));
    }
    plane.apply(&[secret]);
    plane.apply(&manifests("deployment.yaml"));
    plane.apply(&[registration]);
}

/// The API server finds the pods by the Service's selector.
fn wait_for_injection(plane: &ControlPlane) {
    let pod = pod("seen").to_string();
    wait_for("a pod to be injected", || {
        let created = plane.kubectl_with(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &pod).json("a pod");
        created["metadata"]["annotations"]["otelgate.dev/status"].is_string().then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"},
           "spec": {"containers": [{"name": "app", "image": "app:1"}]}})
}

fn they_ask_only_for_what_they_may(plane: &ControlPlane) {
    let asked = plane.audit();
    let own: Vec<_> = asked.iter().filter(|entry| entry.is_by("otelgate", "otelgate-webhook")).collect();
    assert!(own.iter().any(|entry| entry.verb == "watch" && entry.resource == "namespaces"), "{own:#?}");
    assert!(own.iter().all(|entry| entry.decision == "allow" && entry.code == 200), "{own:#?}");
    assert!(
        asked.iter().any(|entry| entry.user == "admin" && entry.verb == "patch" && entry.name == "otelgate-webhook")
    );
}

fn a_container_that_ends_is_started_again(plane: &ControlPlane, replica: &Replica<'_>) {
    let first = replica.id();
    replica.kill();
    wait_for("another process of the same pod", || {
        let pod = plane.get("otelgate", &format!("pod/{}", replica.name));
        let restarted = pod["status"]["containerStatuses"][0]["restartCount"] == 1;
        (restarted && replica.id() != first && replica.http_get(8080, "/readyz").is_some()).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", replica.log()));
    let pod = plane.get("otelgate", &format!("pod/{}", replica.name));
    assert_eq!(pod["status"]["podIP"], json!(replica.address));
}

fn a_deleted_pod_ends_in_its_time_and_is_replaced(
    plane: &ControlPlane,
    nodes: &ProcessNodes<'_>,
    replica: &Replica<'_>,
) {
    plane.kubectl(&["delete", "pod", "-n", "otelgate", &replica.name]).expect("kubectl delete");
    assert_eq!(replica.id(), None, "its process goes with it");
    let now = nodes.replicas("otelgate", LABELS, 2);
    assert!(now.iter().all(|other| other.name != replica.name));
}

fn pods_of_others_count_as_running(plane: &ControlPlane) {
    plane.kubectl_with(&["create", "-f", "-"], &pod("web").to_string()).expect("kubectl create");
    plane.kubectl(&["wait", "-n", "shop", "pod/web", "--for=condition=Ready", "--timeout=1m"]).expect("kubectl wait");
    plane.kubectl(&["delete", "pod", "-n", "shop", "web"]).expect("kubectl delete");
}

fn helm_finds_the_cluster(plane: &ControlPlane) {
    for helm in [Helm::Four, Helm::Three] {
        let version = plane.helm(helm, &["version", "--template={{.Version}}"]).expect("helm version");
        assert_eq!(version, format!("v{}", helm.number()));
        assert_eq!(plane.helm(helm, &["list", "--all-namespaces", "-o", "json"]).json("helm list"), json!([]));
    }
}

/// An authority from nothing, a certificate of it, and its bundle in a registration.
#[test]
fn cert_manager_issues_and_injects() {
    let plane = ControlPlane::start(Version::Newest, Parts::WithControllers).unwrap_or_else(|error| panic!("{error}"));
    let process = cert_manager::start(&plane).unwrap_or_else(|error| panic!("{error}"));
    for file in ["namespace.yaml", "registration.yaml"] {
        plane.apply(&manifests(file));
    }
    let object = |kind: &str, name: &str, spec: Value| {
        json!({"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": {"name": name, "namespace": "otelgate"},
               "spec": spec})
    };
    let authority = json!({"isCA": true, "commonName": "authority", "secretName": "authority",
                           "issuerRef": {"name": "nothing"}});
    let leaf = json!({"dnsNames": ["otelgate-webhook.otelgate.svc"], "secretName": "leaf",
                      "issuerRef": {"name": "authority"}});
    plane.apply(&[
        object("Issuer", "nothing", json!({"selfSigned": {}})),
        object("Certificate", "authority", authority),
        object("Issuer", "authority", json!({"ca": {"secretName": "authority"}})),
        object("Certificate", "leaf", leaf),
    ]);
    let from = "cert-manager.io/inject-ca-from=otelgate/leaf";
    plane.kubectl(&["annotate", "mutatingwebhookconfiguration", "otelgate", from]).expect("kubectl annotate");
    wait_for("the certificate's authority in the registration", || {
        let secret = plane.kubectl(&["get", "secret", "-n", "otelgate", "leaf", "-o", "jsonpath={.data.ca\\.crt}"]);
        let registration = plane.get("otelgate", "mutatingwebhookconfiguration/otelgate");
        let bundle = &registration["webhooks"][0]["clientConfig"]["caBundle"];
        (secret.success && !secret.stdout.is_empty() && *bundle == json!(secret.stdout)).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", process.last_words()));
}
