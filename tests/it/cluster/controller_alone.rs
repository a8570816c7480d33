//! A controller that comes before what it needs: it waits, says what for, and goes on by itself.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use crate::control_plane::network::{ADDRESS, Process};
use crate::control_plane::plane::Parts;
use crate::control_plane::{ControlPlane, Version, wait_for};

/// The plain port of the controller, and of the webhook.
const PORT: u16 = 18_080;
const WEBHOOK: u16 = 18_090;

#[test]
fn a_controller_waits_for_what_it_needs_and_says_so() {
    let plane = ControlPlane::start(Version::Newest, Parts::ApiServer).unwrap_or_else(|error| panic!("{error}"));
    let admin = plane.network().folder().join("admin.conf");
    let nowhere = plane.network().folder().join("nowhere.conf");
    let kubeconfig = fs::read_to_string(&admin).expect("a kubeconfig").replace(":6443", ":9");
    fs::write(&nowhere, kubeconfig).expect("a kubeconfig");

    let webhook = start_webhook(&plane, &nowhere);
    let unreachable = "the API server can't be reached: nothing listens there\n";
    says(&plane, WEBHOOK, &webhook, &format!("certificate: {unreachable}configuration: {unreachable}"));
    drop(webhook);
    let dead = start(&plane, "dead", &nowhere);
    says(&plane, PORT, &dead, "controller: Lease: the API server can't be reached: nothing listens there\n");
    drop(dead);

    let controller = start(&plane, "controller", &admin);
    says(&plane, PORT, &controller, "controller: Lease: namespaces otelgate: the API server has no such thing\n");
    plane.make_namespace("otelgate", &json!({}), &json!({}));
    let webhook = start_webhook(&plane, &admin);
    says(
        &plane,
        WEBHOOK,
        &webhook,
        "certificate: Secret otelgate-webhook-tls isn't there; the controller makes it\n\
         configuration: ConfigMap otelgate-injection isn't there; the controller makes it\n",
    );
    says(
        &plane,
        PORT,
        &controller,
        "controller: TelemetryStack: the API server doesn't know TelemetryStack; apply the CRD",
    );

    plane.apply(&[loose()]);
    let malformed = json!({
        "apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "default"},
        "spec": {"injection": [7], "certificates": {"provider": "nobody"}, "unknown": true},
    })
    .to_string();
    // The API server tells of a new kind in its own time.
    wait_for("the API server to know the kind", || {
        plane.kubectl_with(&["apply", "--server-side", "-f", "-"], &malformed).success.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    says(&plane, PORT, &controller, "ok\n");
    reason(&plane, &controller, "InvalidSpec");
    assert!(!plane.kubectl(&["get", "-n", "otelgate", "configmap", "otelgate-injection"]).success);

    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/crds/telemetrystacks.yaml");
    let definition = fs::read_to_string(definition).expect("the CRD");
    plane.kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &definition).expect("the CRD");
    reason(&plane, &controller, "InvalidSpec");
    let right = json!({"spec": {"injection": {"mode": "observe"}, "certificates": null, "unknown": null}}).to_string();
    plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &right]).expect("a patch");
    reason(&plane, &controller, "NoReplica");
    let text = plane.get("otelgate", "configmap/otelgate-injection")["data"]["config.yaml"].clone();
    assert!(text.as_str().is_some_and(|text| text.contains("mode: observe")), "{text}");
    says(&plane, WEBHOOK, &webhook, "ok\n");
    let serving = plane.network().inside(|| answer(WEBHOOK, "/status")).expect("/status");
    let serving: Value = serde_json::from_str(&serving).expect("JSON");
    assert_eq!(serving["configuration"]["mode"], "observe");
}

/// One that watches, on further ports.
fn start_webhook(plane: &ControlPlane, kubeconfig: &Path) -> Process {
    let arguments = [
        "webhook".to_owned(),
        format!("--listen={ADDRESS}:{}", WEBHOOK + 1),
        format!("--admin-listen={ADDRESS}:{WEBHOOK}"),
        format!("--kubeconfig={}", kubeconfig.display()),
        "--config-map=otelgate-injection".to_owned(),
        "--tls-secret=otelgate-webhook-tls".to_owned(),
    ];
    plane.network().start("webhook", Path::new(OTELGATE), arguments).expect("otelgate webhook")
}

/// The definition is accepted as it is, and says what is wrong with an object in its words.
#[test]
fn the_oldest_api_server_takes_the_definition() {
    let plane = ControlPlane::shared(Version::Oldest);
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/crds/telemetrystacks.yaml");
    let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f"];
    let file = definition.display().to_string();
    plane.kubectl(&[&arguments[..], &[&file]].concat()).expect("the CRD");
}

/// A definition that lets everything through.
fn loose() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "telemetrystacks.otelgate.dev"},
        "spec": {
            "group": "otelgate.dev", "scope": "Cluster",
            "names": {"kind": "TelemetryStack", "plural": "telemetrystacks", "singular": "telemetrystack",
                      "listKind": "TelemetryStackList"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

fn start(plane: &ControlPlane, name: &str, kubeconfig: &Path) -> Process {
    let arguments = [
        "controller".to_owned(),
        format!("--admin-listen={ADDRESS}:{PORT}"),
        format!("--kubeconfig={}", kubeconfig.display()),
        "--identity=alone".to_owned(),
    ];
    plane.network().start(name, Path::new(OTELGATE), arguments).expect("otelgate controller")
}

/// Until its readiness says that.
#[track_caller]
fn says(plane: &ControlPlane, port: u16, server: &Process, expected: &str) {
    let mut last = String::new();
    wait_for("its readiness", || {
        last = plane.network().inside(|| answer(port, "/readyz")).unwrap_or_default();
        last.starts_with(expected).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: it says {last:?}; {}", server.log()));
}

/// The body of an answer, whatever its status.
fn answer(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((ADDRESS, port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

#[track_caller]
fn reason(plane: &ControlPlane, controller: &Process, expected: &str) {
    let mut last = Value::Null;
    wait_for(expected, || {
        let stack = plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("the TelemetryStack");
        let conditions = stack["status"]["conditions"].as_array().cloned().unwrap_or_default();
        last = conditions.into_iter().find(|one| one["type"] == "ConfigurationAccepted").unwrap_or_default();
        let current = last["observedGeneration"] == stack["metadata"]["generation"];
        (current && last["reason"] == expected).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {last:#}; {}", controller.log()));
}
