//! Each fault is found by its check, and by no other.

use std::collections::BTreeSet;

use super::*;
use crate::controller::agent::others::Other;

pub(super) type Plant = fn(&mut Snapshot);

/// Which check finds it, what it says, and what is done to the cluster.
#[rustfmt::skip]
const AFTER: &[(&str, &str, Plant)] = &[
    ("server-version", "v1.29.9", |s| { let server = s.server.as_mut().unwrap(); server.minor = "29".into(); server.git_version = "v1.29.9".into(); }),
    ("admission-api", "aren't served", |s| s.admission.as_mut().unwrap().webhooks = false),
    ("clock", "120 s ahead of", |s| s.now = now().checked_add(Span::new().seconds(120)).unwrap()),
    ("clock", "61 s behind", |s| s.now = now().checked_sub(Span::new().seconds(61)).unwrap()),
    ("crd", "no CustomResourceDefinition", |s| s.crd = Ok(None)),
    ("crd", ".spec.certificates", |s| drop_property(s, "spec", "certificates")),
    ("crd", "isn't served", |s| crd(s)["status"] = json!({"conditions": [{"type": "Established", "status": "False"}]})),
    ("crd", "no version v1alpha1", |s| crd(s)["spec"]["versions"][0]["served"] = json!(false)),
    ("pod-security", "restricted pods only", |s| host_network(s)),
    ("collector-pod-security", "baseline pods only", |s| relabel(s, "datadog", "pod-security.kubernetes.io/enforce", "baseline")),
    ("quota", "small (pods: 10 of 10)", |s| quota(s, "pods", "10")),
    ("quota", "small (requests.cpu: 1000m of 1)", |s| quota(s, "requests.cpu", "1000m")),
    ("credentials", "no Secret datadog-secret", |s| s.credentials = Ok(None)),
    ("credentials", "its keys are: api_key", |s| s.credentials = Ok(Some(Credentials { keys: vec!["api_key".into()], shape: None }))),
    ("credentials", "no Secret keys in namespace datadog", |s| { elsewhere(s); s.credentials = Ok(None); }),
    ("credentials", "api of Secret keys in namespace datadog is missing; its keys are: api-key", |s| { elsewhere(s); s.credentials = Ok(Some(Credentials { keys: vec!["api-key".into()], shape: None })); }),
    ("credentials", "a newline", |s| shaped(s, b"0123456789abcdef0123456789abcdef\n")),
    ("credentials", "is empty", |s| shaped(s, b"")),
    ("credentials", "32 hexadecimal digits", |s| shaped(s, b"<your-key>")),
    ("other-injectors", "OpenTelemetry Operator (operator-mutation)", |s| operator(s)),
    ("other-injectors", "Datadog Cluster Agent (datadog-webhook)", |s| s.registrations.as_mut().unwrap().push(read(other("datadog-webhook", "datadog.webhook.lib.injection", "/injectlib")))),
    ("program-rights", "otelgate-webhook may not list namespaces", |s| s.rights[0].allowed = Ok(false)),
    ("program-rights", "otelgate-controller may not watch nodes", |s| forbid(s, "watch", "nodes")),
    ("program-rights", "otelgate-controller may not get leases.coordination.k8s.io otelgate-controller in namespace otelgate", |s| forbid(s, "get", "leases")),
    ("program-rights", "otelgate-controller may not patch configmaps otelgate-injection in namespace otelgate", |s| forbid(s, "patch", "configmaps")),
    ("stack", "there is no TelemetryStack default", |s| s.stacks = Ok(Vec::new())),
    ("stack", "no controller has looked at TelemetryStack", |s| drop(stack_of(s).as_object_mut().unwrap().remove("status"))),
    ("stack", "the last change", |s| stack_of(s)["metadata"]["generation"] = json!(4)),
    ("stack", "InvalidSpec: spec.injection: nonsense", |s| stack_of(s)["status"]["conditions"][0] = json!({"type": "ConfigurationAccepted", "status": "False", "reason": "InvalidSpec", "message": "spec.injection: nonsense"})),
    ("other-stacks", "also second", |s| s.stacks.as_mut().unwrap().push(json!({"metadata": {"name": "second"}}))),
    ("configuration", "there is no ConfigMap", |s| s.config_map = Ok(None)),
    ("configuration", "has no key", |s| s.config_map = Ok(Some(read(json!({"data": {}}))))),
    ("configuration", "mod: unknown key; did you mean mode?", |s| configure(s, &json!({"mod": "observe"}))),
    ("configuration-current", "differs from TelemetryStack default in clusterName, environment", |s| configure(s, &json!({"environment": "x"}))),
    ("mode", "mode is disabled", |s| { configure(s, &json!({"clusterName": "east", "mode": "disabled"})); stack_of(s)["spec"]["injection"]["mode"] = json!("disabled"); }),
    ("webhook-replicas", "1 of 2 replicas", |s| ready(s, 0, 1)),
    ("webhook-replicas", "otelgate-webhook-a (ImagePullBackOff)", |s| { ready(s, 0, 0); waiting(s, "ImagePullBackOff"); }),
    ("webhook-replicas", "scaled to 0", |s| s.deployments.as_mut().unwrap()[0].spec.as_mut().unwrap().replicas = Some(0)),
    ("controller-replicas", "0 of 1", |s| ready(s, 1, 0)),
    ("controller-replicas", "no Deployment otelgate-controller", |s| drop(s.deployments.as_mut().unwrap().pop())),
    ("pod-creation", "otelgate-webhook: pods is forbidden: exceeded quota", |s| replica_failure(s)),
    ("spread", "on node node-1", |s| s.pods.as_mut().unwrap()[1].spec.as_mut().unwrap().node_name = Some("node-1".into())),
    ("controller-active", "no controller has ever", |s| s.lease = Ok(None)),
    ("controller-active", "600 s old", |s| renewed(s, "2026-11-24T11:50:00.000000Z")),
    ("controller-active", "no controller holds", |s| lease(s).holder_identity = Some(String::new())),
    ("versions", "otelgate-webhook 0.3.0", |s| s.deployments.as_mut().unwrap()[0].metadata.labels = Some(read(json!({"app.kubernetes.io/version": "0.3.0"})))),
    ("registration", "no MutatingWebhookConfiguration otelgate", |s| drop(s.registrations.as_mut().unwrap().remove(0))),
    ("registration", "observe.otelgate.dev is missing", |s| { own(s).remove(1); relabel(s, "bank", "otelgate.dev/inject", "disabled"); }),
    ("registration", "leads to /mutate, and not to /mutate/enabled", |s| own(s)[0].client_config.service.as_mut().unwrap().path = Some("/mutate".into())),
    ("registration", "leads to Service otelgate/old", |s| own(s)[2].client_config.service.as_mut().unwrap().name = "old".into()),
    ("failure-policy", "Fail for pod.otelgate.dev", |s| own(s)[2].failure_policy = Some("Fail".into())),
    ("failure-policy", "Fail for enabled.otelgate.dev", |s| own(s)[0].failure_policy = None),
    ("webhook-timeout", "enabled.otelgate.dev (30 s)", |s| own(s)[0].timeout_seconds = Some(30)),
    ("webhook-timeout", "enabled.otelgate.dev (10 s)", |s| own(s)[0].timeout_seconds = None),
    ("registration-fields", "reinvocationPolicy of pod.otelgate.dev", |s| own(s)[2].reinvocation_policy = None),
    ("registration-fields", "sideEffects", |s| own(s)[0].side_effects = "NoneOnDryRun".into()),
    ("registration-fields", "rules of pod.otelgate.dev", |s| own(s)[2].rules = Some(Vec::new())),
    ("registration-fields", "mirror pods", |s| own(s)[2].match_conditions = None),
    ("selectors", "shop (namespaceSelector of enabled.otelgate.dev: team must be a, and is absent)", |s| own(s)[0].namespace_selector = Some(read(json!({"matchLabels": {"team": "a"}})))),
    ("selectors", "any namespace that would be opted in", |s| { nobody(s); own(s)[0].object_selector = Some(read(json!({"matchLabels": {"team": "a"}}))); }),
    ("service", "no Service otelgate-webhook", |s| s.service = Ok(None)),
    ("service", "selects no pod of the webhook", |s| service(s).selector = Some(read(json!({"app": "gone"})))),
    ("service", "called at port 443, which Service otelgate-webhook lacks", |s| service(s).ports.as_mut().unwrap()[0].port = 8443),
    ("service", "leads to port https", |s| service(s).ports.as_mut().unwrap()[0].target_port = Some(crate::k8s::IntOrString::String("https".into()))),
    ("endpoints", "no ready endpoint", |s| s.endpoints = Ok(Vec::new())),
    ("endpoints", "no ready endpoint", |s| s.endpoints = Ok(vec![read(json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": false}}]}))])),
    ("probe", "without the webhook's mark", unmarked),
    ("probe", "for pods of namespace otelgate (label control-plane=true)", |s| { unmarked(s); relabel(s, "otelgate", "control-plane", "true"); }),
    ("probe", "otelgate: Overloaded: x", |s| s.probe = Some(Ok(Probe { marked: false, warnings: vec!["otelgate: Overloaded: x".into()] }))),
    ("certificate-served", "a: another certificate", |s| stack_of(s)["status"]["conditions"][1] = json!({"type": "CertificateReady", "status": "False", "reason": "NotServed", "message": "a: another certificate"})),
    ("webhook-reachable", "EndpointNotReached: no TLS handshake with otelgate-webhook-b", |s| says(s, "WebhookReachable", "EndpointNotReached", "no TLS handshake with otelgate-webhook-b")),
    ("opt-in-labels", "shop (\"true\")", |s| relabel(s, "shop", "otelgate.dev/inject", "true")),
    ("opt-in-annotations", "an annotation on quiet", |s| meta(s, "quiet").annotations = Some(read(json!({"otelgate.dev/inject": "enabled"})))),
    ("excluded-namespaces", "never looked at: kube-system (Kubernetes' own)", |s| relabel(s, "kube-system", "otelgate.dev/inject", "enabled")),
    ("excluded-namespaces", "never looked at: shop (label control-plane=true)", |s| relabel(s, "shop", "control-plane", "true")),
    ("collector", "no Service otel-collector in namespace datadog", |s| s.collector = Ok(None)),
    ("collector", "has no port 4318", |s| s.collector = Ok(Some(read(json!({"spec": {"ports": [{"port": 4317}]}}))))),
    ("key", "KeyRefused: it is refused by api.datadoghq.com", |s| says(s, "CredentialsReady", "KeyRefused", "it is refused by api.datadoghq.com")),
    ("collectors", "CollectorOutOfMemory: on node-3", |s| says(s, "CollectorAvailable", "CollectorOutOfMemory", "on node-3")),
    ("delivery", "SendFailed: 40 of 100 spans", |s| says(s, "CollectorDelivering", "SendFailed", "40 of 100 spans")),
    ("agent", "AgentCrashing: on node-3", |s| says(s, "AgentAvailable", "AgentCrashing", "on node-3")),
    ("injection", "Missed: shop/Deployment/web (2)", |s| says(s, "InjectionComplete", "Missed", "shop/Deployment/web (2)")),
    ("egress", "shop/locked", |s| policy(s, &json!({"podSelector": {}, "policyTypes": ["Egress"]}))),
    ("egress", "shop/locked (it blocks DNS)", |s| policy(s, &json!({"podSelector": {}, "egress": [{"ports": [{"port": 4318}]}]}))),
    ("egress", "shop/locked", |s| policy(s, &json!({"podSelector": {}, "egress": [
        {"ports": [{"port": 53, "protocol": "UDP"}]},
        {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}]},
    ]}))),
];

#[rustfmt::skip]
const BEFORE: &[(&str, &str, Plant)] = &[
    ("install-rights", "you may not create clusterroles.rbac.authorization.k8s.io", |s| forbid(s, "create", "clusterroles")),
    ("install-rights", "you may not patch telemetrystacks.otelgate.dev/status", |s| { forbid(s, "patch", "telemetrystacks/status"); forbid(s, "escalate", "clusterroles"); }),
    ("crd", "older version", |s| drop_property(s, "spec", "injection")),
    ("collector-pod-security", "restricted pods only", |s| relabel(s, "datadog", "pod-security.kubernetes.io/enforce", "restricted")),
    ("credentials", "a newline", |s| shaped(s, b"0123456789abcdef0123456789abcdef\r\n")),
    ("other-injectors", "OpenTelemetry Operator", operator),
    ("other-agents", "already there: DaemonSet datadog in namespace monitoring", other_agent),
    ("other-agents", "DaemonSet datadog in namespace monitoring", |s| { other_agent(s); stack_of(s)["spec"]["agent"] = json!({"mode": "daemonset"}); }),
    ("server-version", "v1.28", |s| { let server = s.server.as_mut().unwrap(); server.minor = "28".into(); server.git_version = "v1.28".into(); }),
];

fn crd(s: &mut Snapshot) -> &mut Value {
    s.crd.as_mut().unwrap().as_mut().unwrap()
}

fn drop_property(s: &mut Snapshot, of: &str, name: &str) {
    let schema = &mut crd(s)["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let below = schema["properties"][of]["properties"].as_object_mut().unwrap();
    assert!(below.remove(name).is_some());
}

fn host_network(s: &mut Snapshot) {
    s.deployments.as_mut().unwrap()[0].spec.as_mut().unwrap().template.spec.as_mut().unwrap().host_network = Some(true);
}

fn meta<'s>(s: &'s mut Snapshot, namespace: &str) -> &'s mut crate::k8s::ObjectMeta {
    s.namespaces.as_mut().unwrap().iter_mut().find(|one| one.name.as_deref() == Some(namespace)).unwrap()
}

pub(super) fn relabel(s: &mut Snapshot, namespace: &str, key: &str, value: &str) {
    meta(s, namespace).labels.as_mut().unwrap().insert(key.to_owned(), value.to_owned());
}

fn nobody(s: &mut Snapshot) {
    for namespace in ["shop", "bank"] {
        relabel(s, namespace, "otelgate.dev/inject", "disabled");
    }
}

fn quota(s: &mut Snapshot, resource: &str, used: &str) {
    let status = s.quotas.as_mut().unwrap()[0].status.as_mut().unwrap();
    status.used.as_mut().unwrap().insert(resource.to_owned(), read(json!(used)));
}

pub(super) fn shaped(s: &mut Snapshot, key: &[u8]) {
    s.credentials.as_mut().unwrap().as_mut().unwrap().shape = Some(Shape::of(key));
}

/// The key has another place than the default.
fn elsewhere(s: &mut Snapshot) {
    stack_of(s)["spec"]["datadog"] = json!({"secret": {"name": "keys", "key": "api"}});
}

fn operator(s: &mut Snapshot) {
    let mut registration = other("operator-mutation", "mpod.kb.io", "/mutate-v1-pod");
    let mut own = registration["webhooks"][0].clone();
    own["clientConfig"]["service"]["path"] = json!("/mutate-opentelemetry-io-v1beta1-opentelemetrycollector");
    registration["webhooks"].as_array_mut().unwrap().push(own);
    s.registrations.as_mut().unwrap().push(read(registration));
}

fn other_agent(s: &mut Snapshot) {
    let (namespace, kind, name) = ("monitoring".to_owned(), "DaemonSet".to_owned(), "datadog".to_owned());
    s.other_agents = Ok(vec![Other { namespace, kind, name }]);
}

fn forbid(s: &mut Snapshot, verb: &str, resource: &str) {
    let asked = s.rights.iter_mut().find(|asked| (asked.right.verb, asked.right.resource) == (verb, resource));
    asked.unwrap().allowed = Ok(false);
}

pub(super) fn stack_of(s: &mut Snapshot) -> &mut Value {
    &mut s.stacks.as_mut().unwrap()[0]
}

pub(super) fn unmarked(s: &mut Snapshot) {
    s.probe = Some(Ok(Probe { marked: false, warnings: Vec::new() }));
}

pub(super) fn says(s: &mut Snapshot, condition: &str, reason: &str, seen: &str) {
    let conditions = stack_of(s)["status"]["conditions"].as_array_mut().unwrap();
    let one = conditions.iter_mut().find(|one| one["type"] == condition).unwrap();
    let message = format!("{seen}; next step: look there");
    *one = json!({"type": condition, "status": "False", "reason": reason, "message": message});
}

pub(super) fn configure(s: &mut Snapshot, fields: &Value) {
    let mut document = fields.clone();
    document["apiVersion"] = json!("otelgate.dev/v1alpha1");
    document["kind"] = json!("InjectionConfiguration");
    s.config_map = Ok(Some(read(json!({"data": {"config.yaml": document.to_string()}}))));
}

fn ready(s: &mut Snapshot, deployment: usize, replicas: i32) {
    s.deployments.as_mut().unwrap()[deployment].status.as_mut().unwrap().ready_replicas = Some(replicas);
}

fn waiting(s: &mut Snapshot, reason: &str) {
    s.pods.as_mut().unwrap()[0].status = Some(read(json!({"containerStatuses": [{
        "name": "webhook", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason}},
    }]})));
    s.endpoints = Ok(Vec::new());
}

fn replica_failure(s: &mut Snapshot) {
    ready(s, 0, 0);
    let status = s.deployments.as_mut().unwrap()[0].status.as_mut().unwrap();
    status.conditions = Some(read(json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                                          "message": "pods is forbidden: exceeded quota: small"}])));
}

fn lease(s: &mut Snapshot) -> &mut k8s_openapi::api::coordination::v1::LeaseSpec {
    s.lease.as_mut().unwrap().as_mut().unwrap().spec.as_mut().unwrap()
}

fn renewed(s: &mut Snapshot, at: &str) {
    lease(s).renew_time = Some(read(json!(at)));
}

fn own(s: &mut Snapshot) -> &mut Vec<crate::k8s::MutatingWebhook> {
    s.registrations.as_mut().unwrap()[0].webhooks.as_mut().unwrap()
}

fn service(s: &mut Snapshot) -> &mut k8s_openapi::api::core::v1::ServiceSpec {
    s.service.as_mut().unwrap().as_mut().unwrap().spec.as_mut().unwrap()
}

fn policy(s: &mut Snapshot, spec: &Value) {
    let mut policy = json!({"metadata": {"name": "locked", "namespace": "shop"}, "spec": spec});
    policy["spec"]["policyTypes"] = json!(["Egress"]);
    s.policies.as_mut().unwrap().push(read(policy));
}

#[test]
fn each_planted_fault_is_found_by_its_check_alone() {
    let mut wrong = Vec::new();
    for (stage, table) in [(Stage::After, AFTER), (Stage::Before, BEFORE)] {
        for (check, words, plant) in table {
            let mut snapshot = healthy(stage);
            plant(&mut snapshot);
            match &faults(&snapshot).0[..] {
                [(name, found)] if name == check && found.contains(words) => {}
                other => wrong.push(format!("{check} ({words}): {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_check_has_a_fault_that_it_finds() {
    let found: BTreeSet<&str> = AFTER.iter().chain(BEFORE).map(|(check, _, _)| *check).collect();
    let of_certificates = ["ca-bundle", "certificate-valid", "certificate-trusted", "certificate-name"];
    // Information only.
    let rest = CHECKS.iter().map(|check| check.name).filter(|name| *name != "admission-policies");
    let missing: Vec<&str> = rest.filter(|name| !found.contains(name) && !of_certificates.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn policies_that_let_pods_through_are_no_fault() {
    let dns = json!({"ports": [{"port": 53, "protocol": "UDP"}]});
    for way in [
        json!({"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "datadog"}}}]}),
        json!({"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "otel-collector"}}}],
               "ports": [{"port": 4317, "endPort": 4318}]}),
        json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}], "ports": [{"port": 4318, "protocol": "TCP"}]}),
        json!({"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]}),
    ] {
        let mut snapshot = healthy(Stage::After);
        policy(&mut snapshot, &json!({"podSelector": {}, "egress": [dns, way]}));
        assert_eq!(faults(&snapshot).0, [], "{way}");
    }
    // Policies add up.
    let mut snapshot = healthy(Stage::After);
    policy(&mut snapshot, &json!({"podSelector": {"matchLabels": {"app": "web"}}}));
    policy(&mut snapshot, &json!({"podSelector": {}, "egress": [{}]}));
    assert_eq!(faults(&snapshot).0, []);
    // And another's namespace is another's matter.
    let mut snapshot = healthy(Stage::After);
    policy(&mut snapshot, &json!({"podSelector": {}}));
    snapshot.policies.as_mut().unwrap()[0].metadata.namespace = Some("quiet".to_owned());
    assert_eq!(faults(&snapshot).0, []);
}

/// Whoever has it made by somebody else, or by nobody, knows of it.
#[test]
fn an_agent_beside_which_none_is_to_be_made_is_no_fault() {
    for mode in ["adopt", "disabled"] {
        let mut snapshot = healthy(Stage::Before);
        other_agent(&mut snapshot);
        stack_of(&mut snapshot)["spec"]["agent"] = json!({"mode": mode});
        assert_eq!(faults(&snapshot), (Vec::new(), Vec::new()), "{mode}");
        let told = run(&snapshot).into_iter().find(|one| one.check == "other-agents").expect("a line").found;
        assert_eq!(told, "already there: DaemonSet datadog in namespace monitoring", "{mode}");
    }
    let mut snapshot = healthy(Stage::Before);
    other_agent(&mut snapshot);
    snapshot.stacks = Ok(Vec::new());
    assert_eq!(faults(&snapshot), (Vec::new(), Vec::new()), "nobody knows yet what will be asked for");
}

/// Where pods send elsewhere, nothing of the Collector's is asked for.
#[test]
fn an_endpoint_elsewhere_needs_no_collector() {
    let mut snapshot = healthy(Stage::After);
    configure(&mut snapshot, &json!({"clusterName": "east", "otlp": {"endpoint": "https://otlp.example.com"}}));
    stack_of(&mut snapshot)["spec"]["injection"]["otlp"] = json!({"endpoint": "https://otlp.example.com"});
    snapshot.collector = Ok(None);
    assert_eq!(faults(&snapshot), (Vec::new(), Vec::new()));
}

/// What follows from a cause is told as such, and never passes.
#[test]
fn what_follows_from_another_fault_says_so() {
    let mut snapshot = healthy(Stage::After);
    own(&mut snapshot)[0].client_config.ca_bundle = None;
    snapshot.probe = Some(Ok(Probe { marked: false, warnings: Vec::new() }));
    let (failed, unknown) = faults(&snapshot);
    assert_eq!(failed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["ca-bundle"]);
    assert_eq!(unknown, ["probe"]);
    let probe = run(&snapshot).into_iter().find(|one| one.check == "probe").expect("a line");
    assert_eq!(probe.next, "see ca-bundle");
}

/// `observe` is a mode that somebody chose.
#[test]
fn observing_is_told_and_no_fault() {
    let mut snapshot = healthy(Stage::After);
    configure(&mut snapshot, &json!({"clusterName": "east", "mode": "observe"}));
    stack_of(&mut snapshot)["spec"]["injection"]["mode"] = json!("observe");
    let mode = run(&snapshot).into_iter().find(|one| one.check == "mode").expect("a line");
    assert_eq!((mode.result, mode.found.split(':').next()), (Outcome::Pass, Some("observe")));
}

/// The plain manifests bring no controller, and somebody else writes what it would.
#[test]
fn the_webhook_alone_is_no_fault() {
    let mut snapshot = healthy(Stage::After);
    (snapshot.stacks, snapshot.lease, snapshot.credentials) = (Ok(Vec::new()), Ok(None), Ok(None));
    snapshot.deployments.as_mut().unwrap().pop();
    for asked in snapshot.rights.iter_mut().filter(|asked| asked.who == Who::Controller) {
        asked.allowed = Ok(false);
    }
    assert_eq!(faults(&snapshot), (Vec::new(), Vec::new()));
}

/// Nothing is there before the first installation, and that is no fault.
#[test]
fn an_empty_cluster_is_ready_for_it() {
    let mut snapshot = healthy(Stage::Before);
    (snapshot.crd, snapshot.stacks, snapshot.config_map) = (Ok(None), Ok(Vec::new()), Ok(None));
    snapshot.registrations = Ok(Vec::new());
    snapshot.namespaces = Ok(vec![namespace("kube-system", json!({}))]);
    (snapshot.deployments, snapshot.pods, snapshot.quotas) = (Ok(Vec::new()), Ok(Vec::new()), Ok(Vec::new()));
    (snapshot.credentials, snapshot.collector) = (Ok(None), Ok(None));
    assert_eq!(faults(&snapshot), (Vec::new(), Vec::new()));
}
