//! Health, as the controller measures it through a real API server: the way to the webhook, the API key, what Collectors
//! say of themselves, and the Events that come of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::OTELGATE;
use super::installed::condition;
use crate::control_plane::metrics::Metrics;
use crate::control_plane::network::ADDRESS;
use crate::control_plane::plane::{Parts, sum_of};
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::{NAMESPACE, Release};
use crate::control_plane::{ControlPlane, Version, wait_for};

const ADMIN: u16 = 8080;
/// Where the Collectors of this test tell their metrics.
const METRICS: u16 = 9888;
const KEY: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn what_is_wrong_is_found_and_told_once() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    plane.make_namespace("datadog", &json!({}), &json!({}));
    let release = Release::install(&nodes, Helm::Four, &json!({"injection": {"clusterName": "test"}}));
    let cluster = Cluster { plane: &plane, nodes: &nodes, release: &release };
    // Not with the release: Helm would wait for it to be well.
    cluster.patch(&json!({
        "collector": {"mode": "adopt", "adopt": {"metricsPort": METRICS}},
        "agent": {"mode": "daemonset"},
    }));
    cluster.the_way_to_the_webhook();
    cluster.the_api_key();
    cluster.what_collectors_say();
    cluster.events_tell_each_change_once();
    cluster.nothing_is_done_where_no_key_is_needed();
    cluster.nobody_asked_for_what_they_may_not();
}

struct Cluster<'p> {
    plane: &'p ControlPlane,
    nodes: &'p ProcessNodes<'p>,
    release: &'p Release<'p>,
}

impl Cluster<'_> {
    fn stack(&self) -> Value {
        self.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("the TelemetryStack")
    }

    /// Changes the spec, which is also what has everything looked at anew.
    #[track_caller]
    fn patch(&self, spec: &Value) {
        let patch = json!({"spec": spec}).to_string();
        self.plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch]).expect("a patch");
    }

    /// Until the condition has that reason, for the spec as it is now. Tells its message.
    #[track_caller]
    fn wait(&self, kind: &str, reason: &str) -> String {
        let mut last = Value::Null;
        wait_for(reason, || {
            let stack = self.stack();
            last = condition(&stack, kind).unwrap_or_default();
            let current = last["observedGeneration"] == stack["metadata"]["generation"];
            (current && last["reason"] == reason).then(|| last["message"].as_str().unwrap_or_default().to_owned())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}{}", self.nodes.last_words()))
    }

    /// Until the message begins like that, too: what is told may be of one Collector for a moment.
    #[track_caller]
    fn wait_for_message(&self, kind: &str, reason: &str, begins: &str) {
        let mut last = Value::Null;
        wait_for(begins, || {
            last = condition(&self.stack(), kind).unwrap_or_default();
            let begins_so = last["message"].as_str().is_some_and(|message| message.starts_with(begins));
            (last["reason"] == reason && begins_so).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}{}", self.nodes.last_words()));
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.plane.kubectl(arguments).expect("kubectl")
    }

    fn controllers(&self, name: &str, labels: &[&str]) -> u64 {
        let text = self.release.controller().http_get(ADMIN, "/metrics").expect("metrics");
        sum_of(&text, name, labels)
    }

    fn the_way_to_the_webhook(&self) {
        // The namespace has the strictest pod security, and the probe's pod passes.
        let message = self.wait("WebhookReachable", "Reachable");
        assert_eq!(message, "a pod came back with the webhook's mark, and each of 2 endpoints is trusted");
        self.the_switch_doesnt_look_like_a_broken_firewall();
        self.what_admission_refuses_says_nothing_of_the_webhook();
        self.a_port_that_leads_nowhere_is_found();
        self.an_authority_that_isnt_the_webhooks_is_found();
        self.names_that_lead_nowhere_are_found();
        self.kubectl(&["scale", "-n", NAMESPACE, "deployment/otelgate-webhook", "--replicas=0"]);
        let message = self.wait("WebhookReachable", "NoReplica");
        assert!(message.starts_with("no replica of the webhook is ready, so that pods pass without it"), "{message}");
        self.kubectl(&["scale", "-n", NAMESPACE, "deployment/otelgate-webhook", "--replicas=2"]);
        self.wait("WebhookReachable", "Reachable");
    }

    fn the_switch_doesnt_look_like_a_broken_firewall(&self) {
        let marked = |labels: &[&str]| self.controllers("otelgate_controller_probes_total", labels);
        self.patch(&json!({"injection": {"mode": "disabled"}}));
        self.wait("ConfigurationAccepted", "InForce");
        let (before, unmarked) = (marked(&["outcome=\"marked\""]), marked(&["outcome=\"unmarked\""]));
        self.patch(&json!({"injection": {"environment": "another"}}));
        wait_for("a pod that is tried while nothing is injected", || {
            (marked(&["outcome=\"marked\""]) > before).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}{}", self.nodes.last_words()));
        self.wait("WebhookReachable", "Reachable");
        assert_eq!(marked(&["outcome=\"unmarked\""]), unmarked);
        self.patch(&json!({"injection": {"mode": "enabled"}}));
        let pods = self.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", "otelgate.dev/probe", "-o", "name"]);
        assert_eq!(pods, "", "a dry run leaves nothing");
    }

    fn what_admission_refuses_says_nothing_of_the_webhook(&self) {
        self.plane.apply(&[json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": NAMESPACE},
            "spec": {"hard": {"pods": "0"}},
        })]);
        // A quota counts once its controller has told what is used.
        wait_for("the quota", || {
            let quota = self.plane.get(NAMESPACE, "resourcequota/none");
            quota["status"]["hard"]["pods"].is_string().then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
        self.patch(&json!({"injection": {"environment": "full"}}));
        let message = self.wait("WebhookReachable", "ProbeRefused");
        assert!(message.contains("exceeded quota: none") && message.contains("next step: "), "{message}");
        self.kubectl(&["delete", "resourcequota", "-n", NAMESPACE, "none"]);
        self.wait("WebhookReachable", "Reachable");
    }

    fn a_port_that_leads_nowhere_is_found(&self) {
        let port = |port: u16| {
            let patch = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": port}]).to_string();
            self.kubectl(&["patch", "-n", NAMESPACE, "service/otelgate-webhook", "--type=json", "-p", &patch]);
        };
        port(444);
        self.patch(&json!({"injection": {"environment": "cut-off"}}));
        let message = self.wait("WebhookReachable", "NotReached");
        assert!(message.contains("private GKE") && message.contains("EKS"), "{message}");
        port(443);
        self.wait("WebhookReachable", "Reachable");
    }

    fn an_authority_that_isnt_the_webhooks_is_found(&self) {
        // As long as it may write it, the controller repairs it at once.
        let role = self.plane.kubectl(&["get", "clusterrole/otelgate-controller", "-o", "json"]).json("the role");
        let mut rules = role["rules"].clone();
        for rule in rules.as_array_mut().expect("rules") {
            if rule["resources"] == json!(["mutatingwebhookconfigurations"]) {
                rule["verbs"] = json!(["list", "watch"]);
            }
        }
        let grant = |rules: &Value| {
            let patch = json!({"rules": rules}).to_string();
            self.kubectl(&["patch", "clusterrole/otelgate-controller", "--type=merge", "-p", &patch]);
        };
        grant(&rules);
        let mut registration = self
            .plane
            .kubectl(&["get", "mutatingwebhookconfiguration/otelgate", "-o", "json"])
            .json("the registration");
        let foreign = self.plane.authority().pem();
        for webhook in registration["webhooks"].as_array_mut().expect("entries") {
            webhook["clientConfig"]["caBundle"] = json!(STANDARD.encode(&foreign));
        }
        self.plane.kubectl_with(&["replace", "-f", "-"], &registration.to_string()).expect("kubectl replace");
        let message = self.wait("WebhookReachable", "EndpointNotTrusted");
        assert!(message.starts_with("caBundle doesn't verify the certificate of otelgate-webhook-"), "{message}");
        grant(&role["rules"]);
        self.wait("WebhookReachable", "Reachable");
    }

    fn names_that_lead_nowhere_are_found(&self) {
        self.patch(&json!({"injection": {"clusterDomain": "example.org"}}));
        let message = self.wait("ConfigurationAccepted", "OtherClusterDomain");
        let told = "pods are told a name of example.org, and this cluster's domain is cluster.local; next step: ";
        assert!(message.starts_with(told), "{message}");
        self.patch(&json!({"injection": {"clusterDomain": null}}));
        self.wait("ConfigurationAccepted", "InForce");
        self.wait("WebhookReachable", "Reachable");
    }

    fn the_api_key(&self) {
        let message = self.wait("CredentialsReady", "SecretMissing");
        assert!(message.starts_with("there is no Secret datadog-secret in namespace datadog"), "{message}");
        let secret = |data: &Value| {
            let object = json!({"apiVersion": "v1", "kind": "Secret", "stringData": data,
                                "metadata": {"name": "datadog-secret", "namespace": "datadog"}});
            self.plane
                .kubectl(&["delete", "secret", "-n", "datadog", "datadog-secret", "--ignore-not-found"])
                .expect("kubectl");
            self.plane.kubectl_with(&["create", "-f", "-"], &object.to_string()).expect("kubectl create");
        };
        secret(&json!({"api_key": KEY}));
        let message = self.wait("CredentialsReady", "KeyMissing");
        assert!(message.contains("its keys are: api_key"), "{message}");
        secret(&json!({"api-key": format!("{KEY}\n")}));
        let message = self.wait("CredentialsReady", "KeyMalformed");
        assert!(message.contains("has a newline or another blank"), "{message}");
        self.the_next_step_writes_it_anew(&message);
        self.wait("CredentialsReady", "KeyInPlace");
        // Nobody is there to be asked, which is no fault of the key's.
        self.patch(&json!({"datadog": {"validateKey": true}, "egress": {"proxy": format!("http://{ADDRESS}:1")}}));
        let message = self.wait("CredentialsReady", "KeyNotChecked");
        let says = format!("api.datadoghq.com: the proxy http://{ADDRESS}:1: nothing listens on port 1");
        assert!(message.starts_with(&says), "{message}");
        self.patch(&json!({"datadog": {"validateKey": false}}));
        self.wait("CredentialsReady", "KeyInPlace");
        self.patch(&json!({"agent": {"mode": "disabled"}}));
        wait_for("no condition where nobody needs a key", || {
            condition(&self.stack(), "CredentialsReady").is_none().then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
        assert!(!self.release.controller().log().contains(KEY), "no part of the key is logged");
        assert!(!self.stack().to_string().contains(KEY));
    }

    /// As it is told, with a file that has the key.
    fn the_next_step_writes_it_anew(&self, message: &str) {
        let (_, step) = message.split_once("; next step: write it anew: ").expect("a next step");
        let (command, _) = step.split_once(", where FILE has ").expect("a command");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        std::fs::write(&file, KEY).expect("a file");
        let command = command.replace("FILE", file.to_str().expect("UTF-8"));
        self.plane.tool(Path::new("sh"), &[], &["-ec", &command], "").expect(&command);
    }

    fn what_collectors_say(&self) {
        self.wait("CollectorDelivering", "NoCollector");
        let counters = Arc::new(Mutex::new(BTreeMap::from([
            ("otelcol_receiver_accepted_spans_total", 1000),
            ("otelcol_exporter_sent_spans_total", 1000),
        ])));
        let metrics = Metrics::serve(self.plane.network(), METRICS, {
            let counters = Arc::clone(&counters);
            move || {
                let counters = counters.lock().expect("whole");
                let line = |(name, value): (&&str, &u64)| format!("{name}{{receiver=\"otlp\"}} {value}\n");
                counters.iter().map(line).collect::<Vec<_>>().concat()
            }
        });
        for name in ["collector-a", "collector-b"] {
            self.make_collector(name);
        }
        self.wait("CollectorDelivering", "NothingArrives");
        let mut last = Value::Null;
        wait_for("both to be measured", || {
            last = self.stack()["status"]["delivery"].clone();
            (last == json!({"delivering": "2/2", "measured": 2})).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {last}{}", self.nodes.last_words()));
        let add = |name: &'static str, amount: u64| *counters.lock().expect("whole").entry(name).or_default() += amount;
        add("otelcol_receiver_accepted_spans_total", 500);
        add("otelcol_exporter_sent_spans_total", 500);
        let message = self.wait("CollectorDelivering", "Delivering");
        assert_eq!(message, "what arrives is sent; 2 Collectors measured");
        add("otelcol_receiver_accepted_spans_total", 500);
        add("otelcol_exporter_send_failed_spans_total", 500);
        let told = "2 of 2 Collectors lost data that couldn't be sent: collector-a (traces), collector-b (traces)";
        self.wait_for_message("CollectorDelivering", "SendFailed", told);
        let failed =
            self.controllers("otelgate_controller_collector_items_total", &["signal=\"traces\"", "outcome=\"failed\""]);
        assert_eq!(failed, 1000, "of both");
        self.a_fault_that_lasts_is_told_once_whoever_leads(|| {
            add("otelcol_receiver_accepted_spans_total", 500);
            add("otelcol_exporter_send_failed_spans_total", 500);
        });
        drop(metrics);
        let message = self.wait("CollectorDelivering", "NotScraped");
        assert!(message.contains(&format!("nothing listens on port {METRICS}")), "{message}");
        self.kubectl(&["delete", "pods", "-n", "datadog", "-l", "app=otel-collector", "--force"]);
        self.wait("CollectorDelivering", "NoCollector");
        self.patch(&json!({"collector": {"mode": "disabled"}}));
        wait_for("no condition where there is to be no Collector", || {
            condition(&self.stack(), "CollectorDelivering").is_none().then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }

    /// It goes on all the while.
    fn a_fault_that_lasts_is_told_once_whoever_leads(&self, goes_on: impl Fn()) {
        let said = |kind: &str| condition(&self.stack(), kind).unwrap_or_default();
        let kinds = ["CollectorDelivering", "Ready"];
        let told = || self.events().iter().filter(|event| event["reason"] == "SendFailed").count();
        wait_for("its Event", || (told() > 0).then_some(())).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(told(), 1);
        let before = kinds.map(said);
        let measured = || self.controllers("otelgate_controller_collectors", &["state=\"send_failed\""]);
        self.have_another_lead();
        let mut last = Value::Null;
        wait_for("the new leader to have measured it", || {
            goes_on();
            for (kind, before) in kinds.iter().zip(&before) {
                last = said(kind);
                assert_eq!(last["lastTransitionTime"], before["lastTransitionTime"], "{last:#}");
            }
            (measured() == 2).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}{}", self.nodes.last_words()));
        assert_eq!((said("CollectorDelivering")["reason"].as_str(), told()), (Some("SendFailed"), 1));
    }

    /// Tells which.
    fn have_another_lead(&self) -> Value {
        let leader = || self.plane.get(NAMESPACE, "lease/otelgate-controller")["spec"]["holderIdentity"].clone();
        let first = leader();
        self.kubectl(&["delete", "pod", "-n", NAMESPACE, first.as_str().expect("a name")]);
        wait_for("another leader", || {
            let now = leader();
            (now != first && now != "" && !now.is_null()).then_some(now)
        })
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// One that no node has, at the address where this test serves.
    fn make_collector(&self, name: &str) {
        self.plane.apply(&[json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "datadog", "labels": {"app": "otel-collector"}},
            "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "none"}]},
        })]);
        let status = json!({"status": {"phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}}).to_string();
        let target = ["patch", "pod", "-n", "datadog", name, "--subresource=status", "--type=merge", "-p", &status];
        self.kubectl(&target);
    }

    fn events(&self) -> Vec<Value> {
        let selector = "--field-selector=involvedObject.kind=TelemetryStack,involvedObject.name=default";
        let list = self.plane.kubectl(&["get", "events", "-n", "default", selector, "-o", "json"]).json("events");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    fn events_tell_each_change_once(&self) {
        // What each leader told: what comes back under another one is told again.
        let told =
            |event: &Value| (event["reason"].clone(), event["message"].clone(), event["reportingInstance"].clone());
        let wanted = ["NotReached", "EndpointNotTrusted", "SecretMissing", "KeyMalformed", "SendFailed", "NotScraped"];
        wait_for("the events", || {
            let events = self.events();
            let is_told = |reason: &&str| events.iter().any(|event| event["reason"] == **reason);
            wanted.iter().all(is_told).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {:#?}", self.events().iter().map(told).collect::<Vec<_>>()));
        let of = |reason: &str| self.events().into_iter().find(|event| event["reason"] == reason).expect("it is there");
        assert_eq!((&of("NotReached")["type"], &of("Delivering")["type"]), (&json!("Warning"), &json!("Normal")));
        assert_eq!(of("SendFailed")["reportingComponent"], "otelgate.dev/controller");
        // Another controller takes over, and tells nothing anew of what lasts. What changed and changed back has another time.
        let before = self.standing();
        let leader = self.have_another_lead();
        self.patch(&json!({"injection": {"environment": "afterwards"}}));
        self.wait("WebhookReachable", "Reachable");
        self.wait("Ready", "AsConfigured");
        let after = self.standing();
        let lasted: Vec<_> = before.iter().filter(|one| after.contains(one)).collect();
        for kind in ["CertificateReady", "InjectionComplete"] {
            assert!(lasted.iter().any(|one| one[0] == kind), "{kind}: {before:#?} {after:#?}");
        }
        let events = self.events();
        for [kind, _, reason, _] in lasted {
            let is_told = |event: &&Value| event["action"] == *kind && event["reason"] == *reason;
            let again = events.iter().filter(is_told).find(|event| event["reportingInstance"] == leader);
            assert_eq!(again, None, "it lasts");
        }
        let all: Vec<_> = events.iter().map(told).collect();
        for one in &all {
            assert_eq!(all.iter().filter(|other| *other == one).count(), 1, "{one:?}");
        }
    }

    /// Each condition with its status, its reason, and since when.
    fn standing(&self) -> Vec<[Value; 4]> {
        let stack = self.stack();
        let conditions = stack["status"]["conditions"].as_array().expect("conditions");
        let fields = ["type", "status", "reason", "lastTransitionTime"];
        conditions.iter().map(|one| fields.map(|field| one[field].clone())).collect()
    }

    fn nothing_is_done_where_no_key_is_needed(&self) {
        self.patch(&json!({"agent": {"mode": "disabled"}}));
        self.wait("Ready", "AsConfigured");
        let id = self.release.controller().id().expect("it runs");
        wait_for("a second in which the controller rests", || {
            let (before, second) = (cpu(id), Duration::from_secs(1));
            std::thread::sleep(second);
            (cpu(id).saturating_sub(before) < second / 10).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }

    fn nobody_asked_for_what_they_may_not(&self) {
        let asked = self.plane.audit();
        let own: Vec<_> = asked.iter().filter(|entry| entry.is_by(NAMESPACE, "otelgate-controller")).collect();
        let refused =
            |resource: &str| own.iter().filter(|one| one.resource == resource && one.decision != "allow").count();
        for resource in ["secrets", "pods", "events"] {
            assert_eq!(refused(resource), 0, "{resource}");
        }
        let tried: Vec<_> = own.iter().filter(|one| one.resource == "pods" && one.verb == "create").collect();
        assert!(!tried.is_empty() && tried.iter().all(|one| one.uri.contains("dryRun=All")), "never a real one");
    }
}

/// Time that a process' threads have spent on a processor.
fn cpu(id: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let statistics = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        statistics.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}
