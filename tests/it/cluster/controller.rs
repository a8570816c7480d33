//! The controller and its webhooks, installed by the chart: what the `TelemetryStack` says is in force in every replica,
//! and its status says so only then.

use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use crate::control_plane::credentials::Subject;
use crate::control_plane::plane::{Parts, sum_of};
use crate::control_plane::process_nodes::{ProcessNodes, Replica};
use crate::control_plane::programs::Helm;
use crate::control_plane::release::{NAMESPACE, Release};
use crate::control_plane::{ControlPlane, Version, wait_for};

mod schema;

const REPLICAS: usize = 2;
const ADMIN: u16 = 8080;

#[test]
fn what_the_stack_says_is_in_force_in_every_replica() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    give_a_certificate(&plane);
    let values = json!({"controller": {"replicas": 2}, "injection": {"clusterName": "test"}});
    let _release = Release::install(&nodes, Helm::Four, &values);
    let cluster = Installed { plane: &plane, nodes: &nodes };
    cluster.wait_for_reason("InForce");
    cluster.a_change_counts_in_every_replica_when_the_status_says_so();
    cluster.a_fault_leaves_the_last_good_one_in_force();
    cluster.what_the_schema_excludes_never_gets_that_far();
    cluster.every_field_is_explained();
    cluster.what_is_edited_or_deleted_by_hand_is_repaired();
    cluster.who_changes_the_configuration_back_is_named_and_not_fought();
    cluster.the_collectors_address_follows_its_service();
    cluster.only_one_named_default_counts();
    cluster.a_new_replica_begins_with_what_is_in_force_and_nothing_is_written();
    cluster.an_older_definition_is_told();
    cluster.the_other_controller_takes_over();
    cluster.nobody_asked_for_what_they_may_not();
}

struct Installed<'p> {
    plane: &'p ControlPlane,
    nodes: &'p ProcessNodes<'p>,
}

/// So that the webhook is ready before anybody made one for it.
fn give_a_certificate(plane: &ControlPlane) {
    let host = "otelgate-webhook.otelgate.svc";
    let credentials = plane.authority().issue(&Subject::Server { names: &[host] }).expect("a certificate");
    plane.make_namespace(NAMESPACE, &json!({}), &json!({}));
    plane.apply(&[json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "otelgate-webhook-tls", "namespace": NAMESPACE},
        "stringData": {"tls.crt": credentials.certificate, "tls.key": credentials.key, "ca.crt": plane.authority().pem()},
    })]);
}

impl<'p> Installed<'p> {
    fn webhooks(&self) -> Vec<Replica<'p>> {
        self.nodes.replicas(NAMESPACE, "app.kubernetes.io/component=webhook", REPLICAS)
    }

    fn controllers(&self) -> Vec<Replica<'p>> {
        self.nodes.replicas(NAMESPACE, "app.kubernetes.io/component=controller", 2)
    }

    fn stack(&self, name: &str) -> Value {
        self.plane.kubectl(&["get", "telemetrystack", name, "-o", "json"]).json("the TelemetryStack")
    }

    fn config_map(&self) -> Value {
        self.plane.get(NAMESPACE, "configmap/otelgate-injection")
    }

    #[track_caller]
    fn patch(&self, injection: &Value) {
        let patch = json!({"spec": {"injection": injection}}).to_string();
        self.plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch]).expect("a patch");
    }

    /// Until the condition is about the spec as it is now, and has that reason; `InForce` for what the `ConfigMap` says, too,
    /// which isn't of the spec alone. Tells its message.
    #[track_caller]
    fn wait_for_reason(&self, reason: &str) -> String {
        let mut last = Value::Null;
        wait_for(reason, || {
            let stack = self.stack("default");
            last = condition(&stack, "ConfigurationAccepted");
            let current = last["observedGeneration"] == stack["metadata"]["generation"];
            let stands =
                || reason != "InForce" || stack["status"]["webhook"]["revision"] == revision(&self.config_map());
            (current && last["reason"] == reason && stands())
                .then(|| last["message"].as_str().unwrap_or_default().to_owned())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}{}", self.nodes.last_words()))
    }

    fn a_change_counts_in_every_replica_when_the_status_says_so(&self) {
        for mode in ["observe", "disabled", "enabled"] {
            self.patch(&json!({"mode": mode}));
            self.wait_for_reason("InForce");
            let served: Vec<Value> = self.webhooks().iter().map(served).collect();
            assert_eq!(served.len(), REPLICAS);
            let revision = &self.stack("default")["status"]["webhook"]["revision"];
            for one in &served {
                assert_eq!(
                    (&one["configuration"]["mode"], &one["configuration"]["revision"]),
                    (&json!(mode), revision)
                );
            }
            let shown = self.plane.kubectl(&["get", "telemetrystack"]).expect("kubectl get");
            let row = shown.lines().nth(1).expect("a row").split_whitespace().collect::<Vec<_>>();
            assert_eq!(row[..4], ["default", "True", "off", "off"], "{shown}");
        }
        let ids: Vec<_> = self.webhooks().iter().map(Replica::id).collect();
        assert!(ids.iter().all(Option::is_some), "without a restart");
    }

    fn a_fault_leaves_the_last_good_one_in_force(&self) {
        let before = self.config_map();
        // The definition knows the samplers, and not what each of them takes.
        self.patch(&json!({"sampler": {"name": "traceidratio", "arg": "2"}, "mode": "disabled"}));
        let message = self.wait_for_reason("InvalidSpec");
        let says = "spec.injection.sampler: \"traceidratio\" with its argument isn't legal";
        assert!(message.starts_with(says), "{message}");
        assert!(message.contains("next step: correct the field"), "{message}");
        let stack = self.stack("default");
        assert_eq!(condition(&stack, "Ready")["status"], "False");
        assert_eq!(condition(&stack, "Ready")["reason"], "InvalidSpec");
        assert_eq!(stack["status"]["webhook"]["serving"], "2/2", "the last good one");
        assert_eq!(self.config_map()["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
        for replica in self.webhooks() {
            assert_eq!(served(&replica)["configuration"]["mode"], "enabled");
        }
        self.patch(&json!({"sampler": null, "mode": "enabled"}));
        self.wait_for_reason("InForce");
    }

    fn what_is_edited_or_deleted_by_hand_is_repaired(&self) {
        let right = self.config_map()["data"].clone();
        let edit = json!({"data": {"config.yaml": "mode: disabled", "note": "mine"}}).to_string();
        let target = ["-n", NAMESPACE, "configmap", "otelgate-injection"];
        self.plane.kubectl(&[&["patch"], &target[..], &["--type=merge", "-p", &edit]].concat()).expect("a patch");
        self.wait_for_config_map(|map| map["data"]["config.yaml"] == right["config.yaml"]);
        assert_eq!(self.config_map()["data"]["note"], "mine", "what others add is theirs");
        self.plane.kubectl(&[&["delete"], &target[..]].concat()).expect("kubectl delete");
        self.wait_for_config_map(|map| map["data"] == right);
        let owner = &self.config_map()["metadata"]["ownerReferences"][0];
        assert_eq!(owner["uid"], self.stack("default")["metadata"]["uid"]);
        // The replicas may have seen it go: they serve on, and are ready.
        for replica in self.webhooks() {
            assert_eq!(served(&replica)["configuration"]["mode"], "enabled");
            assert!(replica.http_get(ADMIN, "/readyz").is_some());
        }
        self.wait_for_reason("InForce");
    }

    fn who_changes_the_configuration_back_is_named_and_not_fought(&self) {
        let edit = |round: u32| {
            let patch = json!({"data": {"config.yaml": format!("mode: disabled # {round}")}}).to_string();
            let target = ["-n", NAMESPACE, "configmap", "otelgate-injection", "--field-manager=tug"];
            self.plane.kubectl(&[&["patch"], &target[..], &["--type=merge", "-p", &patch]].concat()).expect("a patch");
        };
        let right = text(&self.config_map()).to_owned();
        // Whoever it is doesn't give up either.
        let mut round = 0;
        let told = wait_for("ConfigurationContested", || {
            let stands = text(&self.config_map()) == right;
            if stands {
                round += 1;
                edit(round);
            }
            let told = condition(&self.stack("default"), "ConfigurationAccepted");
            (told["reason"] == "ConfigurationContested").then_some(told)
        });
        let told = told.unwrap_or_else(|error| panic!("{error} in {round} rounds{}", self.nodes.last_words()));
        let message = told["message"].as_str().expect("a message");
        assert!(message.starts_with("ConfigMap otelgate-injection is changed back each time by tug"), "{message}");
        assert!(round > 2, "{round}");
        // What the spec says anew is tried at once.
        edit(round + 1);
        self.patch(&json!({"environment": "contested"}));
        self.wait_for_config_map(|map| text(map).contains("environment: contested"));
        self.wait_for_reason("InForce");
        self.patch(&json!({"environment": null}));
        self.wait_for_reason("InForce");
    }

    fn the_collectors_address_follows_its_service(&self) {
        let hash = self.stack("default")["status"]["webhook"]["hash"].clone();
        self.plane.make_namespace("datadog", &json!({}), &json!({}));
        self.plane.apply(&[json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "otel-collector", "namespace": "datadog"},
            "spec": {"clusterIP": "10.0.0.77", "ports": [{"name": "otlp", "port": 4317}]},
        })]);
        self.wait_for_config_map(|map| text(map).contains("10.0.0.77"));
        self.wait_for_reason("InForce");
        assert_eq!(self.stack("default")["status"]["webhook"]["hash"], hash, "no part of what is put into pods");
        self.plane.kubectl(&["delete", "service", "-n", "datadog", "otel-collector"]).expect("kubectl delete");
        self.wait_for_config_map(|map| !text(map).contains("address:"));
    }

    fn only_one_named_default_counts(&self) {
        let before = self.config_map();
        self.plane.apply(&[json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack",
                                  "metadata": {"name": "second"}, "spec": {"injection": {"mode": "disabled"}}})]);
        wait_for("NotDefault", || {
            let stack = self.stack("second");
            let reasons =
                ["ConfigurationAccepted", "Ready"].map(|name| condition(&stack, name)["reason"] == "NotDefault");
            (reasons == [true, true]).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {:#}", self.stack("second")));
        assert_eq!(self.config_map()["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
        self.plane.kubectl(&["delete", "telemetrystack", "second"]).expect("kubectl delete");
    }

    fn a_new_replica_begins_with_what_is_in_force_and_nothing_is_written(&self) {
        self.wait_for_reason("InForce");
        let (map, stack) = (self.config_map(), self.stack("default"));
        let leaving = self.webhooks().swap_remove(0);
        self.plane.kubectl(&["delete", "pod", "-n", NAMESPACE, &leaving.name]).expect("kubectl delete");
        let now = self.webhooks();
        assert!(now.iter().all(|one| one.name != leaving.name));
        self.wait_for_reason("InForce");
        let revision = &stack["status"]["webhook"]["revision"];
        // What the status says may be of the others, until the new one is ready.
        wait_for("the new replica to serve it", || {
            now.iter().all(|one| served(one)["configuration"]["revision"] == *revision).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}{}", self.nodes.last_words()));
        assert_eq!(self.config_map(), map, "not a byte");
        assert_eq!(self.stack("default")["metadata"]["generation"], stack["metadata"]["generation"]);
    }

    fn an_older_definition_is_told(&self) {
        let crd = self.plane.kubectl(&["get", "crd", "telemetrystacks.otelgate.dev", "-o", "json"]).json("the CRD");
        let mut older = json!({"apiVersion": crd["apiVersion"], "kind": crd["kind"],
                               "metadata": {"name": crd["metadata"]["name"]}, "spec": crd["spec"]});
        let newest = older.clone();
        let properties = &mut older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        let injection = &mut properties["spec"]["properties"]["injection"]["properties"];
        injection.as_object_mut().expect("properties").remove("propagators");
        properties["status"]["properties"].as_object_mut().expect("properties").remove("webhook");
        let replace = |definition: &Value| {
            self.plane.kubectl_with(&["replace", "-f", "-"], &definition.to_string()).expect("kubectl replace");
        };
        replace(&older);
        let message = self.wait_for_reason("SchemaOutdated");
        assert!(message.contains(".spec.injection.propagators, .status.webhook"), "{message}");
        replace(&newest);
        self.wait_for_reason("InForce");
    }

    fn the_other_controller_takes_over(&self) {
        let leader = |lease: &Value| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        let lease = || self.plane.get(NAMESPACE, "lease/otelgate-controller");
        let first = leader(&lease());
        // Somebody writes to the Lease at the same time: a conflict is no reason to let go.
        for round in 0..20 {
            let label = format!("test/round=r{round}");
            let arguments = ["label", "-n", NAMESPACE, "--overwrite", "lease/otelgate-controller", &label];
            self.plane.kubectl(&arguments).expect("kubectl label");
        }
        let before = lease();
        wait_for("the leader to renew", || (lease()["spec"]["renewTime"] != before["spec"]["renewTime"]).then_some(()))
            .unwrap_or_else(|error| panic!("{error}{}", self.nodes.last_words()));
        assert_eq!(leader(&lease()), first);
        assert_eq!(lease()["spec"]["leaseTransitions"], before["spec"]["leaseTransitions"]);

        let controllers = self.controllers();
        let leading = |replica: &Replica<'_>| {
            replica.http_get(ADMIN, "/metrics").map(|text| sum_of(&text, "otelgate_controller_leader", &[]))
        };
        let mut leads: Vec<_> = controllers.iter().filter_map(leading).collect();
        leads.sort_unstable();
        assert_eq!(leads, [0, 1], "one of the two");
        assert!(controllers.iter().any(|one| one.name == first), "{first} is one of the two");
        self.wait_for_reason("InForce");
        let before = condition(&self.stack("default"), "ConfigurationAccepted");
        let held = lease();
        // Not a signal: a container that starts again has its pod's name, and may well be the first to take the Lease.
        self.plane.kubectl(&["delete", "pod", "-n", NAMESPACE, "--wait=false", &first]).expect("kubectl delete");
        let taken = wait_for("the other to lead", || {
            Some(lease()).filter(|lease| !leader(lease).is_empty() && leader(lease) != first)
        })
        .unwrap_or_else(|error| panic!("{error}{}", self.nodes.last_words()));
        is_handed_over(&held, &taken);
        self.plane.kubectl(&["delete", "configmap", "-n", NAMESPACE, "otelgate-injection"]).expect("kubectl delete");
        self.wait_for_config_map(|map| text(map).contains("clusterName: test"));
        let after = condition(&self.stack("default"), "ConfigurationAccepted");
        assert_eq!(after, before, "a change of leaders is none of the condition");
        self.patch(&json!({"environment": "after"}));
        self.wait_for_reason("InForce");
        for replica in self.webhooks() {
            let revision = &self.stack("default")["status"]["webhook"]["revision"];
            assert_eq!(served(&replica)["configuration"]["revision"], *revision);
        }
    }

    fn nobody_asked_for_what_they_may_not(&self) {
        let asked = self.plane.audit();
        for account in ["otelgate-controller", "otelgate-webhook"] {
            let own: Vec<_> = asked.iter().filter(|entry| entry.is_by(NAMESPACE, account)).collect();
            assert!(!own.is_empty());
            let refused: Vec<_> = own.iter().filter(|entry| entry.decision != "allow").collect();
            assert!(refused.is_empty(), "{refused:#?}");
        }
    }

    #[track_caller]
    fn wait_for_config_map(&self, is: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        wait_for("the ConfigMap", || {
            let arguments =
                ["get", "-n", NAMESPACE, "configmap/otelgate-injection", "-o", "json", "--ignore-not-found"];
            let found = self.plane.kubectl(&arguments).expect("kubectl get");
            last = serde_json::from_str(&found).unwrap_or_default();
            is(&last).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}{}", self.nodes.last_words()));
    }
}

fn condition(stack: &Value, name: &str) -> Value {
    let conditions = stack["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|one| one["type"] == name).cloned().unwrap_or_default()
}

fn text(config_map: &Value) -> &str {
    config_map["data"]["config.yaml"].as_str().unwrap_or_default()
}

fn revision(config_map: &Value) -> String {
    otelgate::config::parse(text(config_map)).expect("a configuration").revision().to_owned()
}

/// Nobody had to wait until the Lease ran out, which counts from its last renewal.
fn is_handed_over(held: &Value, taken: &Value) {
    let at = |lease: &Value, field: &str| -> jiff::Timestamp {
        lease["spec"][field].as_str().expect("a time").parse().expect("a time")
    };
    let lasts = held["spec"]["leaseDurationSeconds"].as_i64().expect("a number");
    let waited = at(taken, "acquireTime").duration_since(at(held, "renewTime"));
    assert!(waited < jiff::SignedDuration::from_secs(lasts), "{waited:#} after {held:#}: {taken:#}");
}

/// What a replica says of itself.
fn served(replica: &Replica<'_>) -> Value {
    let status = replica.http_get(ADMIN, "/status").expect("/status");
    serde_json::from_str(&status).expect("JSON")
}
