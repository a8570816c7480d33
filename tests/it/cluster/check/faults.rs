//! Faults that people, other products and time make, in the real objects.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::{admin, failed, report, settles};
use crate::control_plane::network::{ADDRESS, Process};
use crate::control_plane::plane::base64;
use crate::control_plane::{ControlPlane, wait_for};

/// A change of the cluster, by which exactly one check fails.
struct Fault {
    check: &'static str,
    /// What it says.
    words: &'static str,
    change: Change,
}

enum Change {
    /// An object, by namespace and name.
    Edit(&'static str, &'static str, fn(&mut Value)),
    Delete(&'static str, &'static str),
    Add(fn() -> Value),
}

use Change::{Add, Delete, Edit};

const REGISTRATION: &str = "mutatingwebhookconfiguration/otelgate";

const fn fault(check: &'static str, words: &'static str, change: Change) -> Fault {
    Fault { check, words, change }
}

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    fault("failure-policy", "Fail for enabled.otelgate.dev", Edit("", REGISTRATION, |o| o["webhooks"][0]["failurePolicy"] = json!("Fail"))),
    fault("webhook-timeout", "pod.otelgate.dev (30 s)", Edit("", REGISTRATION, |o| o["webhooks"][2]["timeoutSeconds"] = json!(30))),
    fault("registration-fields", "reinvocationPolicy of enabled.otelgate.dev", Edit("", REGISTRATION, |o| o["webhooks"][0]["reinvocationPolicy"] = json!("Never"))),
    fault("selectors", "shop (namespaceSelector", Edit("", REGISTRATION, |o| o["webhooks"][0]["namespaceSelector"]["matchLabels"] = json!({"team": "nobodys"}))),
    fault("registration", "observe.otelgate.dev is missing", Edit("", REGISTRATION, |o| drop(o["webhooks"].as_array_mut().expect("entries").remove(1)))),
    fault("service", "selects no pod of the webhook", Edit("otelgate", "service/otelgate-webhook", |o| o["spec"]["selector"] = json!({"app": "renamed"}))),
    fault("webhook-replicas", "scaled to 0", Edit("otelgate", "deployment/otelgate-webhook", |o| o["spec"]["replicas"] = json!(0))),
    fault("versions", "otelgate-webhook 0.9.0", Edit("otelgate", "deployment/otelgate-webhook", |o| o["metadata"]["labels"]["app.kubernetes.io/version"] = json!("0.9.0"))),
    fault("program-rights", "otelgate-webhook may not list namespaces", Delete("", "clusterrolebinding/otelgate-webhook")),
    fault("crd", "older version: it lacks .spec.certificates", Edit("", "crd/telemetrystacks.otelgate.dev", |o| {
        let properties = &mut o["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        assert!(properties.as_object_mut().expect("properties").remove("certificates").is_some());
    })),
    fault("mode", "mode is disabled", Edit("", "telemetrystack/default", |o| o["spec"]["injection"]["mode"] = json!("disabled"))),
    fault("other-stacks", "also second", Add(|| json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "second"}, "spec": {}}))),
    fault("collector-pod-security", "restricted pods only", Edit("", "namespace/datadog", |o| o["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = json!("restricted"))),
    fault("collector", "no Service otel-collector", Delete("datadog", "service/otel-collector")),
    fault("egress", "shop/locked", Add(|| json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "locked", "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]},
    }))),
    fault("quota", "tight (pods: 3 of 3)", Add(|| json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight", "namespace": "otelgate"}, "spec": {"hard": {"pods": "3"}},
    }))),
    fault("other-injectors", "OpenTelemetry Operator (operator-mutation)", Add(|| other_injector("operator-mutation", "mpod.kb.io", "/mutate-opentelemetry-io-v1beta1-opentelemetrycollector"))),
    fault("other-injectors", "Datadog Cluster Agent (datadog-webhook)", Add(|| other_injector("datadog-webhook", "datadog.webhook.lib.injection", "/injectlib"))),
    fault("opt-in-labels", "typo (\"on\")", Add(|| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "typo", "labels": {"otelgate.dev/inject": "on"}}}))),
    fault("opt-in-annotations", "an annotation on noted", Add(|| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "noted", "annotations": {"otelgate.dev/inject": "enabled"}}}))),
    fault("excluded-namespaces", "never looked at: kube-public", Edit("", "namespace/kube-public", |o| o["metadata"]["labels"]["otelgate.dev/inject"] = json!("enabled"))),
];

/// What the controller would put right at once.
#[rustfmt::skip]
const WITHOUT_CONTROLLER: &[Fault] = &[
    fault("ca-bundle", "empty for pod.otelgate.dev", Edit("", REGISTRATION, |o| drop(o["webhooks"][2]["clientConfig"].as_object_mut().expect("an object").remove("caBundle")))),
    fault("certificate-trusted", "no authority in caBundle", Edit("", REGISTRATION, |o| trust(o, &authority().pem()))),
    fault("configuration", "mod: unknown key", Edit("otelgate", "configmap/otelgate-injection", |o| o["data"]["config.yaml"] = json!("apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\nmod: x\n"))),
    fault("configuration-current", "in clusterName", Edit("otelgate", "configmap/otelgate-injection", |o| o["data"]["config.yaml"] = json!("apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\n"))),
];

pub fn each_is_found_alone(plane: &ControlPlane) {
    const STOPPED: (&str, &str) = ("controller-replicas", "scaled to 0");
    for Fault { check, words, change } in FAULTS {
        let undo = plant(plane, change);
        settles(plane, &[(check, words)]);
        undo.take_back(plane);
        settles(plane, &[]);
    }
    a_clock_that_is_wrong(plane);

    let controller =
        plant(plane, &Edit("otelgate", "deployment/otelgate-controller", |o| o["spec"]["replicas"] = json!(0)));
    settles(plane, &[STOPPED]);
    wait_for("the controller to be gone", || {
        let pods = ["get", "pods", "-n", "otelgate", "-l", "app.kubernetes.io/component=controller", "-o", "name"];
        plane.kubectl(&pods).expect("pods").is_empty().then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    for Fault { check, words, change } in WITHOUT_CONTROLLER {
        let undo = plant(plane, change);
        settles(plane, &in_order([STOPPED, (check, words)]));
        undo.take_back(plane);
        settles(plane, &[STOPPED]);
    }
    certificates(plane, STOPPED);
    a_service_without_endpoints(plane, STOPPED);
    controller.take_back(plane);
    settles(plane, &[]);
}

/// As the report has them.
fn in_order<const N: usize>(mut faults: [(&'static str, &'static str); N]) -> [(&'static str, &'static str); N] {
    let place = |name: &str| otelgate::check::CHECKS.iter().position(|check| check.name == name);
    faults.sort_by_key(|(name, _)| place(name));
    faults
}

/// What makes a change undone.
enum Undo {
    Restore(Value),
    Remove(Value),
}

#[track_caller]
fn plant(plane: &ControlPlane, change: &Change) -> Undo {
    match change {
        Edit(namespace, object, edit) => {
            let before = plain(plane.get(namespace, object));
            let mut after = before.clone();
            edit(&mut after);
            replace(plane, &after);
            Undo::Restore(before)
        }
        Delete(namespace, object) => {
            let before = plain(plane.get(namespace, object));
            plane.kubectl(&["delete", "-n", namespace, object]).expect("kubectl delete");
            Undo::Restore(before)
        }
        Add(object) => {
            let object = object();
            plane.kubectl_with(&["create", "-f", "-"], &object.to_string()).expect("kubectl create");
            Undo::Remove(object)
        }
    }
}

/// Without what the API server fills in.
fn plain(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().expect("an object has metadata");
    for field in ["resourceVersion", "uid", "managedFields", "generation", "creationTimestamp"] {
        metadata.remove(field);
    }
    object
}

#[track_caller]
fn replace(plane: &ControlPlane, object: &Value) {
    plane.kubectl_with(&["replace", "-f", "-"], &object.to_string()).expect("kubectl replace");
}

impl Undo {
    #[track_caller]
    fn take_back(self, plane: &ControlPlane) {
        match self {
            Self::Restore(object) => {
                let text = object.to_string();
                if !plane.kubectl_with(&["replace", "-f", "-"], &text).success {
                    plane.kubectl_with(&["create", "-f", "-"], &text).expect("kubectl create");
                }
            }
            Self::Remove(object) => {
                let text = object.to_string();
                plane.kubectl_with(&["delete", "--wait=false", "-f", "-"], &text).expect("kubectl delete");
            }
        }
    }
}

fn other_injector(configuration: &str, name: &str, path: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": configuration},
        "webhooks": [{
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore",
            "namespaceSelector": {"matchLabels": {"nobody": "has"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "clientConfig": {"service": {"namespace": "otelgate", "name": "elsewhere", "path": path}},
        }],
    })
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2049, 1, 1));
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn trust(registration: &mut Value, authority: &str) {
    for entry in registration["webhooks"].as_array_mut().expect("entries") {
        entry["clientConfig"]["caBundle"] = json!(base64(authority));
    }
}

/// What somebody provides: a certificate of a trusted authority, with a fault of its own.
fn certificates(plane: &ControlPlane, stopped: (&'static str, &'static str)) {
    let authority = authority();
    let registration = plain(plane.get("", REGISTRATION));
    let secret = plain(plane.get("otelgate", "secret/otelgate-webhook-tls"));
    let mut trusting = registration.clone();
    trust(&mut trusting, &authority.pem());
    replace(plane, &trusting);
    for (host, from, until, check, words) in [
        ("otelgate-webhook.otelgate.svc", 2020, 2021, "certificate-valid", "expired at 2021-01-01"),
        ("otelgate-webhook.otelgate.svc", 2047, 2048, "certificate-valid", "isn't valid before 2047-01-01"),
        ("otelgate.example.com", 2020, 2048, "certificate-name", "otelgate-webhook.otelgate.svc"),
    ] {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &authority).expect("a certificate");
        let mut provided = secret.clone();
        provided["data"]["tls.crt"] = json!(base64(&leaf.pem()));
        provided["data"]["tls.key"] = json!(base64(&key.serialize_pem()));
        replace(plane, &provided);
        settles(plane, &in_order([stopped, (check, words)]));
    }
    plane.kubectl(&["delete", "-n", "otelgate", "secret", "otelgate-webhook-tls"]).expect("kubectl delete");
    settles(plane, &in_order([stopped, ("certificate-valid", "no Secret otelgate-webhook-tls")]));
    plane.kubectl_with(&["create", "-f", "-"], &secret.to_string()).expect("kubectl create");
    replace(plane, &registration);
    settles(plane, &[stopped]);
}

/// Nobody behind the Service; and then somebody whom the API server has no way to.
fn a_service_without_endpoints(plane: &ControlPlane, stopped: (&'static str, &'static str)) {
    let service = plain(plane.get("otelgate", "service/otelgate-webhook"));
    let mut without = service.clone();
    without["spec"].as_object_mut().expect("an object").remove("selector");
    replace(plane, &without);
    let delete = |kind: &str| {
        let label = "kubernetes.io/service-name=otelgate-webhook";
        match kind {
            "endpoints" => plane.kubectl(&["delete", "--ignore-not-found", "-n", "otelgate", kind, "otelgate-webhook"]),
            slices => plane.kubectl(&["delete", "-n", "otelgate", slices, "-l", label]),
        }
        .expect("kubectl delete");
    };
    delete("endpoints");
    delete("endpointslices");
    settles(plane, &in_order([stopped, ("endpoints", "no ready endpoint")]));

    let nowhere = ADDRESS.rsplit_once('.').map(|(network, _)| format!("{network}.250")).expect("an address");
    plane.apply(&[json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "by-hand", "namespace": "otelgate",
                     "labels": {"kubernetes.io/service-name": "otelgate-webhook"}},
        "endpoints": [{"addresses": [nowhere], "conditions": {"ready": true}}],
        "ports": [{"name": "webhook", "port": 8443, "protocol": "TCP"}],
    })]);
    settles(plane, &in_order([stopped, ("probe", "without the webhook's mark")]));
    delete("endpointslices");
    replace(plane, &service);
    settles(plane, &[stopped]);
}

/// The API server's answers come with the time of its clock: a relay that sets it back stands for one that is late.
fn a_clock_that_is_wrong(plane: &ControlPlane) {
    let (kubeconfig, _proxy) = with_a_late_clock(plane);
    let found = wait_for("kubectl proxy", || {
        let connected = plane.network().inside(|| TcpStream::connect(("127.0.0.1", PROXY)).is_ok());
        connected.then(|| failed(&report(plane, &kubeconfig, &[])))
    });
    let found = found.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == "clock" && found[0].1.contains("ahead of the API server's"), "{found:?}");
}

const PROXY: u16 = 8001;

fn with_a_late_clock(plane: &ControlPlane) -> (PathBuf, Process) {
    let (folder, config) = plane.kubectl_environment();
    let arguments = ["proxy".to_owned(), format!("--kubeconfig={}", config.display()), format!("--port={PROXY}")];
    let proxy = plane.network().start("proxy", &folder.join("kubectl"), arguments).expect("kubectl proxy");
    let listener = plane.network().inside(|| TcpListener::bind(("127.0.0.1", 0))).expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    plane.network().spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Threads that are started here are in the network, too.
            let Ok(onward) = TcpStream::connect(("127.0.0.1", PROXY)) else { continue };
            let (Ok(from), Ok(to)) = (stream.try_clone(), onward.try_clone()) else { continue };
            thread::spawn(move || copy(from, onward, |bytes| bytes));
            thread::spawn(move || copy(to, stream, set_back));
        }
    });
    let path = plane.network().folder().join("late.conf");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "late",
        "clusters": [{"name": "late", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "contexts": [{"name": "late", "context": {"cluster": "late", "user": ""}}],
    });
    std::fs::write(&path, kubeconfig.to_string()).expect("a kubeconfig");
    assert!(admin(plane).exists());
    (path, proxy)
}

fn copy(mut from: TcpStream, mut to: TcpStream, change: fn(Vec<u8>) -> Vec<u8>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 || to.write_all(&change(buffer[..length].to_vec())).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// Two minutes earlier, in as many bytes.
fn set_back(mut bytes: Vec<u8>) -> Vec<u8> {
    const NAME: &[u8] = b"\r\nDate: ";
    const LENGTH: usize = 29;
    let Some(found) = bytes.windows(NAME.len()).position(|window| window == NAME) else { return bytes };
    let place = found + NAME.len()..found + NAME.len() + LENGTH;
    let Some(text) = bytes.get(place.clone()).and_then(|text| std::str::from_utf8(text).ok()) else { return bytes };
    let Ok(date) = jiff::fmt::rfc2822::parse(text) else { return bytes };
    let earlier: Timestamp = date.timestamp() - SignedDuration::try_from(Duration::from_mins(2)).expect("two minutes");
    let told = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&earlier);
    bytes[place].copy_from_slice(told.expect("a date").as_bytes());
    bytes
}
