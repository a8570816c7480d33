//! A cluster in which all is well, and one fault at a time planted into it.

mod certificates;
mod conditions;
mod faults;
mod steps;

use std::time::Duration;

use jiff::{Span, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::api::object;
use crate::k8s::MutatingWebhookConfiguration;

const NOW: &str = "2026-11-24T12:00:00Z";
const NAMESPACE: &str = "otelgate";
const HOST: &str = "otelgate-webhook.otelgate.svc";

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

/// An authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        set_validity(&mut params, -10, 300);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate that is valid from one day to another, counted from now.
    fn leaf(&self, host: &str, from: i64, until: i64) -> String {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        set_validity(&mut params, from, until);
        params.signed_by(&KeyPair::generate().expect("a key"), &self.0).expect("a certificate").pem()
    }
}

/// In days from now.
fn set_validity(params: &mut CertificateParams, from: i64, until: i64) {
    let at = |days: i64| {
        let noon = rcgen::date_time_ymd(2026, 11, 24) + Duration::from_hours(12);
        let distance = Duration::from_hours(days.unsigned_abs() * 24);
        if days < 0 { noon - distance } else { noon + distance }
    };
    (params.not_before, params.not_after) = (at(from), at(until));
}

/// All is well.
pub(crate) fn healthy(stage: Stage) -> Snapshot {
    let authority = Authority::new();
    let document = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "InjectionConfiguration", "clusterName": "east",
                          "collector": {"address": "10.0.0.99"}});
    Snapshot {
        stage,
        namespace: NAMESPACE.to_owned(),
        version: "0.1.0".to_owned(),
        now: now(),
        server: Ok(Server {
            major: "1".to_owned(),
            minor: "33+".to_owned(),
            git_version: "v1.33.1-eks-1".to_owned(),
            date: Some(now()),
        }),
        admission: Ok(AdmissionApi { webhooks: true, policies: false }),
        crd: Ok(Some(crate::api::crd::definition())),
        stacks: Ok(vec![stack()]),
        config_map: Ok(Some(read(json!({"data": {"config.yaml": document.to_string()}})))),
        registrations: Ok(vec![registration(&authority.pem()), istio()]),
        namespaces: Ok(vec![
            namespace("otelgate", json!({"pod-security.kubernetes.io/enforce": "restricted"})),
            namespace("datadog", json!({"pod-security.kubernetes.io/enforce": "privileged"})),
            namespace("kube-system", json!({})),
            namespace("shop", json!({"otelgate.dev/inject": "enabled"})),
            namespace("bank", json!({"otelgate.dev/inject": "observe"})),
            namespace("quiet", json!({"otelgate.dev/inject": "disabled"})),
        ]),
        deployments: Ok(vec![read(deployment(object::WEBHOOK, 2)), read(deployment(object::CONTROLLER, 1))]),
        pods: Ok(vec![
            read(pod("otelgate-webhook-a", "webhook", "node-1")),
            read(pod("otelgate-webhook-b", "webhook", "node-2")),
            read(pod("otelgate-controller-a", "controller", "node-1")),
        ]),
        service: Ok(Some(read(json!({"spec": {
            "selector": {"app.kubernetes.io/name": "otelgate", "app.kubernetes.io/component": "webhook"},
            "ports": [{"name": "webhook", "port": 443, "targetPort": "webhook"}],
        }})))),
        endpoints: Ok(vec![read(json!({
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": true}}, {"addresses": ["10.1.0.2"]}],
        }))]),
        lease: Ok(Some(read(json!({"spec": {
            "holderIdentity": "otelgate-controller-a", "leaseDurationSeconds": 15, "renewTime": "2026-11-24T11:59:55.000000Z",
        }})))),
        nodes: Ok(2),
        serving: Ok(Some(Serving { chain: authority.leaf(HOST, -1, 10).into_bytes() })),
        credentials: Ok(Some(Credentials { keys: vec!["api-key".to_owned()], shape: Some(Shape::Good) })),
        collector: Ok(Some(read(json!({"spec": {
            "clusterIPs": ["10.0.0.99"], "selector": {"app": "otel-collector"}, "ports": [{"port": 4317}, {"port": 4318}],
        }})))),
        policies: Ok(Vec::new()),
        quotas: Ok(vec![read(json!({
            "metadata": {"name": "small"}, "spec": {"hard": {"pods": "10"}},
            "status": {"hard": {"pods": "10", "requests.cpu": "1"}, "used": {"pods": "3", "requests.cpu": "150m"}},
        }))]),
        other_agents: Ok(Vec::new()),
        rights: rights::wanted(stage).into_iter().map(|(who, right)| Asked { who, right, allowed: Ok(true) }).collect(),
        probe: (stage == Stage::After).then_some(Ok(Probe { marked: true, warnings: Vec::new() })),
    }
}

/// A few things are wrong, and one may not be looked at.
pub(crate) fn several_faults() -> Snapshot {
    let mut snapshot = healthy(Stage::After);
    for webhook in snapshot.registrations.as_mut().expect("registrations")[0].webhooks.iter_mut().flatten() {
        webhook.failure_policy = Some("Fail".to_owned());
    }
    snapshot.endpoints = Ok(Vec::new());
    snapshot.probe = Some(Ok(Probe { marked: false, warnings: Vec::new() }));
    snapshot.credentials = Err(Unavailable::Forbidden {
        verb: "get".to_owned(),
        resource: "secrets".to_owned(),
        namespace: Some("datadog".to_owned()),
    });
    snapshot
}

fn namespace(name: &str, labels: Value) -> crate::k8s::ObjectMeta {
    let mut labels = labels;
    labels["kubernetes.io/metadata.name"] = json!(name);
    read(json!({"name": name, "labels": labels}))
}

/// As the manifests have it.
fn registration(authority: &str) -> MutatingWebhookConfiguration {
    let text = include_str!("../../../webhook-config/registration.yaml");
    let mut registration: MutatingWebhookConfiguration = serde_saphyr::from_str(text).expect("a registration");
    for webhook in registration.webhooks.iter_mut().flatten() {
        webhook.client_config.ca_bundle = Some(k8s_openapi::ByteString(authority.as_bytes().to_vec()));
    }
    registration
}

/// Somebody else's webhook for pods that is in nobody's way.
fn istio() -> MutatingWebhookConfiguration {
    read(other("istio-sidecar-injector", "namespace.sidecar-injector.istio.io", "/inject"))
}

fn other(configuration: &str, name: &str, path: &str) -> Value {
    json!({"metadata": {"name": configuration}, "webhooks": [{
        "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "clientConfig": {"service": {"namespace": "x", "name": "y", "path": path}},
    }]})
}

fn stack() -> Value {
    json!({
        "metadata": {"name": "default", "generation": 3},
        "spec": {"injection": {"clusterName": "east"}},
        "status": {"observedGeneration": 3, "conditions": [
            {"type": "ConfigurationAccepted", "status": "True"}, {"type": "CertificateReady", "status": "True"},
            {"type": "CollectorAvailable", "status": "True"}, {"type": "CollectorDelivering", "status": "True"},
            {"type": "AgentAvailable", "status": "True"}, {"type": "InjectionComplete", "status": "True"},
            {"type": "CredentialsReady", "status": "True"}, {"type": "WebhookReachable", "status": "True"},
        ]},
    })
}

fn deployment(name: &str, replicas: i32) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/version": "0.1.0"}},
        "spec": {"replicas": replicas, "selector": {}, "template": {"spec": {"containers": [{"name": "a"}]}}},
        "status": {"readyReplicas": replicas},
    })
}

fn pod(name: &str, component: &str, node: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "otelgate", "app.kubernetes.io/component": component}},
        "spec": {"nodeName": node, "containers": [{"name": component, "ports": [{"name": "webhook", "containerPort": 8443}]}]},
    })
}

/// The checks that fail, with what they found, and those that can't tell.
fn faults(snapshot: &Snapshot) -> (Vec<(&'static str, String)>, Vec<&'static str>) {
    let checked = run(snapshot);
    let failed = checked.iter().filter(|one| one.result == Outcome::Fail);
    let unknown = checked.iter().filter(|one| one.result == Outcome::Unknown);
    (failed.map(|one| (one.check, one.found.clone())).collect(), unknown.map(|one| one.check).collect())
}

#[test]
fn where_all_is_well_every_check_passes() {
    for stage in [Stage::Before, Stage::After] {
        let not_passed: Vec<Checked> =
            run(&healthy(stage)).into_iter().filter(|one| one.result != Outcome::Pass).collect();
        assert!(not_passed.is_empty(), "{not_passed:#?}");
    }
}

/// A missing right is never taken for an answer.
#[test]
fn nothing_passes_that_could_not_be_looked_at() {
    fn no<T>() -> Fetched<T> {
        Err(Unavailable::Forbidden { verb: "list".to_owned(), resource: "things".to_owned(), namespace: None })
    }
    for stage in [Stage::Before, Stage::After] {
        let Snapshot { namespace, version, now, rights, .. } = healthy(stage);
        let rights = rights.into_iter().map(|asked| Asked { allowed: no(), ..asked }).collect();
        let snapshot = Snapshot {
            stage,
            namespace,
            version,
            now,
            rights,
            server: no(),
            admission: no(),
            crd: no(),
            stacks: no(),
            config_map: no(),
            registrations: no(),
            namespaces: no(),
            deployments: no(),
            pods: no(),
            service: no(),
            endpoints: no(),
            lease: no(),
            nodes: no(),
            serving: no(),
            credentials: no(),
            collector: no(),
            policies: no(),
            quotas: no(),
            other_agents: no(),
            probe: Some(no()),
        };
        for checked in run(&snapshot) {
            assert_eq!(checked.result, Outcome::Unknown, "{checked:?}");
            assert!(!checked.found.is_empty() && !checked.next.is_empty(), "{checked:?}");
        }
    }
}

#[test]
fn names_are_unique_and_causes_are_checks() {
    for (index, check) in CHECKS.iter().enumerate() {
        assert!(!CHECKS[..index].iter().any(|other| other.name == check.name), "{} stands twice", check.name);
        for cause in check.explained_by {
            assert!(CHECKS.iter().any(|other| other.name == *cause), "{cause} is no check");
        }
    }
}

/// Of a missing right, its line says which.
#[test]
fn a_missing_right_is_named() {
    let mut snapshot = healthy(Stage::After);
    snapshot.registrations = Err(Unavailable::Forbidden {
        verb: "list".to_owned(),
        resource: "mutatingwebhookconfigurations.admissionregistration.k8s.io".to_owned(),
        namespace: None,
    });
    let checked = run(&snapshot);
    let line = checked.iter().find(|one| one.check == "failure-policy").expect("a line");
    assert_eq!(
        line.found,
        "not allowed to list mutatingwebhookconfigurations.admissionregistration.k8s.io in the whole cluster"
    );
    assert!(faults(&snapshot).0.is_empty());
}
