//! Each program has the rights that it uses, and uses those that it has: the API server's audit log against the rules.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use super::installed::{rendered, wait_until_in_force};
use crate::control_plane::audit::Entry;
use crate::control_plane::plane::Parts;
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::{NAMESPACE, Release};
use crate::control_plane::{ControlPlane, SOON, Version, datadog_operator, wait_for, wait_within};

const ACCOUNTS: [&str; 2] = ["otelgate-webhook", "otelgate-controller"];

/// One verb on one resource, by name where the rule names some.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    account: &'static str,
    group: String,
    /// With the subresource, as in a rule.
    resource: String,
    name: Option<String>,
    verb: String,
}

#[test]
fn what_is_granted_is_used_and_nothing_else_is_asked_for() {
    let plane = ControlPlane::start(Version::Newest, Parts::Whole).unwrap_or_else(|error| panic!("{error}"));
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    plane.make_namespace("datadog", &json!({"pod-security.kubernetes.io/enforce": "privileged"}), &json!({}));
    // One that is to have no Collector, so that it is looked at whether a pod there needs one.
    let labels = json!({"kubernetes.io/os": "windows"});
    plane.apply(&[json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-w", "labels": labels}})]);
    // Lives short enough for an authority to be followed by another while the test runs.
    let lives = json!({"authorityLifetime": "2m", "leafLifetime": "40s"});
    let values = |name: &str| {
        let (collector, agent) = (json!({"mode": "disabled"}), json!({"mode": "disabled"}));
        json!({"injection": {"clusterName": name}, "certificates": lives, "collector": collector, "agent": agent})
    };
    let release = Release::install(&nodes, Helm::Four, &values("first"));
    wait_until_in_force(&nodes);
    // What it does now and then.
    for (resource, name) in
        [("secret", "otelgate-webhook-tls"), ("secret", "otelgate-ca"), ("configmap", "otelgate-injection")]
    {
        take_away(&plane, resource, name);
    }
    the_collector_comes_and_goes(&plane);
    release.upgrade(&values("second"));
    wait_until_in_force(&nodes);
    an_agent_comes_and_goes(&plane);
    every_right_is_used(&plane, &rights(&plane, &values("first")));
    nothing_else_is_asked_for(&plane.audit());
    what_is_used_inside_of_a_patch_is_missed(&plane);
    the_right_to_bind_is_missed(&plane);
    what_cant_be_kept_is_told_with_the_right_that_is_missing(&plane);
    what_cant_be_seen_of_pods_is_told_with_the_right_that_is_missing(&plane);
}

/// Each way of making one, with everything that can be asked for.
fn an_agent_comes_and_goes(plane: &ControlPlane) {
    let ask_for = |mode: &str| {
        let features = json!({"networkMonitoring": true, "cspm": true});
        let patch = json!({"spec": {"agent": {"mode": mode, "features": features}}}).to_string();
        plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch]).expect("kubectl patch");
    };
    let there = |object: &str, there: bool| {
        wait_for("the Agent's objects", || {
            (plane.kubectl(&["get", "-n", "datadog", object]).success == there).then_some(())
        })
        .unwrap_or_else(|error| panic!("{object}: {error}"));
    };
    ask_for("daemonset");
    there("daemonset/datadog-agent", true);
    datadog_operator::define(plane).unwrap_or_else(|error| panic!("{error}"));
    ask_for("operator");
    there("datadogagent/datadog", true);
    there("secret/datadog-cluster-agent", false);
    ask_for("disabled");
    there("datadogagent/datadog", false);
}

/// Its pods are refused at first, so that the controller asks for the reason; in its trial it ends, as kubelet tells it, so
/// that the controller asks for its log.
fn the_collector_comes_and_goes(plane: &ControlPlane) {
    let switch = |mode: &str| {
        let patch = json!({"spec": {"collector": {"mode": mode}}}).to_string();
        plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch]).expect("kubectl patch");
    };
    let insist_on = |level: &str| {
        let label = format!("pod-security.kubernetes.io/enforce={level}");
        plane.kubectl(&["label", "namespace", "datadog", "--overwrite", &label]).expect("kubectl label");
    };
    insist_on("restricted");
    switch("managed");
    wait_for("the controller to ask why there is no pod", || {
        let asks = |entry: &Entry| {
            entry.is_by(NAMESPACE, "otelgate-controller") && entry.resource == "events" && entry.verb == "list"
        };
        plane.audit().iter().any(asks).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    insist_on("privileged");
    let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "Error: no"}});
    wait_for("the Collector's trial", || {
        let trial = ["get", "pods", "-n", "datadog", "-l", "otelgate.dev/rollout=trial", "-o", "json"];
        let pods = plane.kubectl(&trial).json("pods");
        let pod = pods["items"].as_array()?.first()?.clone();
        let mut container = pod["status"]["containerStatuses"][0].as_object()?.clone();
        container.insert("lastState".to_owned(), ended.clone());
        let patch = json!({"status": {"containerStatuses": [container]}}).to_string();
        let name = pod["metadata"]["name"].as_str()?;
        let patch = ["patch", "pod", "-n", "datadog", name, "--subresource=status", "--type=merge", "-p", &patch];
        plane.kubectl(&patch).success.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let sets = ["get", "-n", "datadog", "daemonset/otel-collector"];
    wait_for("the Collector on every node", || plane.kubectl(&sets).success.then_some(()))
        .unwrap_or_else(|error| panic!("{error}"));
    switch("disabled");
    let account = ["get", "-n", "datadog", "serviceaccount/otel-collector"];
    wait_for("the Collector to be gone", || (!plane.kubectl(&account).success).then_some(()))
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Deletes it, and waits until it's back.
fn take_away(plane: &ControlPlane, resource: &str, name: &str) {
    plane.kubectl(&["delete", "-n", NAMESPACE, resource, name]).expect("kubectl delete");
    wait_for("the controller to make it again", || {
        plane.kubectl(&["get", "-n", NAMESPACE, resource, name]).success.then_some(())
    })
    .unwrap_or_else(|error| panic!("{resource} {name}: {error}"));
}

/// What the rendered rules grant.
fn rights(plane: &ControlPlane, values: &Value) -> BTreeSet<Right> {
    let (_, objects) = rendered(plane, values);
    let words = |rule: &Value, field: &str| -> Vec<String> {
        let list = rule[field].as_array().cloned().unwrap_or_default();
        list.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for account in ACCOUNTS {
        let roles = objects.iter().filter(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            ["Role", "ClusterRole"].contains(&kind) && name.starts_with(account)
        });
        for rule in roles.flat_map(|role| role["rules"].as_array().expect("rules").clone()) {
            let names = words(&rule, "resourceNames");
            let names: Vec<_> = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
            for group in words(&rule, "apiGroups") {
                for resource in words(&rule, "resources") {
                    for verb in words(&rule, "verbs") {
                        for name in &names {
                            rights.insert(Right {
                                account,
                                group: group.clone(),
                                resource: resource.clone(),
                                name: name.clone(),
                                verb: verb.clone(),
                            });
                        }
                    }
                }
            }
        }
    }
    assert!(!rights.is_empty(), "the chart has rules");
    rights
}

impl Right {
    /// Server-side apply of what isn't there takes the right to create it, and of a binding that to bind its role, of
    /// which no request of its own tells. What is posted has no name.
    fn is_asked_for_by_a_patch(&self) -> bool {
        const APPLIED: [&str; 3] = ["configmaps", "daemonsets", "networkpolicies"];
        let is_applied = self.name.is_some() || APPLIED.contains(&self.resource.as_str());
        self.verb == "bind" || (self.verb == "create" && is_applied)
    }

    fn covers(&self, entry: &Entry) -> bool {
        let resource = match entry.subresource.as_str() {
            "" => entry.resource.clone(),
            subresource => format!("{}/{subresource}", entry.resource),
        };
        entry.is_by(NAMESPACE, self.account)
            && entry.group == self.group
            && resource == self.resource
            && entry.verb == self.verb
            && self.name.as_ref().is_none_or(|name| *name == entry.name)
    }
}

/// Renewing and the like need their time.
fn every_right_is_used(plane: &ControlPlane, rights: &BTreeSet<Right>) {
    let mut unused = Vec::new();
    wait_for("every right to be used", || {
        let asked = plane.audit();
        let is_unused =
            |right: &&Right| !right.is_asked_for_by_a_patch() && !asked.iter().any(|entry| right.covers(entry));
        unused = rights.iter().filter(is_unused).cloned().collect();
        unused.is_empty().then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {unused:#?}"));
}

/// Until the API server acts on a right of the controller's being taken away: it learns of it by watching itself.
#[track_caller]
fn wait_until_gone(plane: &ControlPlane, right: &[&str]) {
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:otelgate-controller");
    let ask = [&["auth", "can-i"][..], right, &[account.as_str()]].concat();
    wait_for("the right to be gone", || (!plane.kubectl(&ask).success).then_some(()))
        .unwrap_or_else(|error| panic!("{right:?}: {error}"));
}

/// Without the right to create it, the ConfigMap stays away; with it, it comes back.
fn what_is_used_inside_of_a_patch_is_missed(plane: &ControlPlane) {
    const ROLE: &str = "role/otelgate-controller";
    let role = plane.get(NAMESPACE, ROLE);
    let mut rules = role["rules"].clone();
    for rule in rules.as_array_mut().expect("rules") {
        if rule["resources"].as_array().expect("resources").contains(&json!("configmaps")) {
            rule["verbs"].as_array_mut().expect("verbs").retain(|verb| verb != "create");
        }
    }
    // A rule without a verb isn't valid.
    rules.as_array_mut().expect("rules").retain(|rule| rule["verbs"] != json!([]));
    let change = |rules: &Value| {
        let patch = json!({"rules": rules}).to_string();
        plane.kubectl(&["patch", "-n", NAMESPACE, ROLE, "--type=merge", "-p", &patch]).expect("kubectl patch");
    };
    change(&rules);
    wait_until_gone(plane, &["create", "configmaps/otelgate-injection", "-n", NAMESPACE]);
    plane.kubectl(&["delete", "-n", NAMESPACE, "configmap", "otelgate-injection"]).expect("kubectl delete");
    wait_for("the controller to be refused", || {
        let refused = |entry: &Entry| {
            entry.is_by(NAMESPACE, "otelgate-controller") && entry.resource == "configmaps" && entry.code == 403
        };
        plane.audit().iter().any(refused).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    change(&role["rules"]);
    wait_for("the ConfigMap to be back", || {
        plane.kubectl(&["get", "-n", NAMESPACE, "configmap", "otelgate-injection"]).success.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Without the right to bind the Collector's role, its accounts don't get it; with it, they do.
fn the_right_to_bind_is_missed(plane: &ControlPlane) {
    const ROLE: &str = "clusterrole/otelgate-controller";
    const BINDING: [&str; 2] = ["get", "clusterrolebinding/otelgate-collector"];
    let rules = plane.get("", ROLE)["rules"].clone();
    let mut without = rules.clone();
    let may_bind = |rule: &Value| rule["verbs"].as_array().is_some_and(|verbs| verbs.contains(&json!("bind")));
    without.as_array_mut().expect("rules").retain(|rule| !may_bind(rule));
    assert_ne!(without, rules);
    let change = |rules: &Value| {
        let patch = json!({"rules": rules}).to_string();
        plane.kubectl(&["patch", ROLE, "--type=merge", "-p", &patch]).expect("kubectl patch");
    };
    change(&without);
    wait_until_gone(plane, &["bind", "clusterroles.rbac.authorization.k8s.io/otelgate-collector"]);
    let patch = json!({"spec": {"collector": {"mode": "managed"}}}).to_string();
    plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch]).expect("kubectl patch");
    wait_for("the controller to be refused", || {
        let refused = |entry: &Entry| {
            entry.is_by(NAMESPACE, "otelgate-controller")
                && entry.resource == "clusterrolebindings"
                && entry.code == 403
        };
        plane.audit().iter().any(refused).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(!plane.kubectl(&BINDING).success);
    change(&rules);
    wait_for("the binding", || plane.kubectl(&BINDING).success.then_some(())).unwrap_or_else(|error| panic!("{error}"));
}

/// Of the Collector's kinds one at a time can't be read, and then one can't be written, while all others can.
fn what_cant_be_kept_is_told_with_the_right_that_is_missing(plane: &ControlPlane) {
    /// The Agent's grants some of the same.
    const ROLES: [&str; 2] = ["role/otelgate-controller-collector", "role/otelgate-controller-agent"];
    let rules = ROLES.map(|role| plane.get("datadog", role)["rules"].clone());
    let change = |rules: &[Value; 2]| {
        for (role, rules) in ROLES.iter().zip(rules) {
            let patch = json!({"rules": rules}).to_string();
            plane.kubectl(&["patch", "-n", "datadog", role, "--type=merge", "-p", &patch]).expect("kubectl patch");
        }
    };
    let without = |resource: &str, verbs: &[&str]| {
        let mut without = rules.clone();
        for rules in &mut without {
            let rules = rules.as_array_mut().expect("rules");
            for rule in rules.iter_mut() {
                if rule["resources"].as_array().expect("resources").contains(&json!(resource)) {
                    let stays = |verb: &Value| !verbs.contains(&verb.as_str().expect("a verb"));
                    rule["verbs"].as_array_mut().expect("verbs").retain(stays);
                }
            }
            rules.retain(|rule| rule["verbs"] != json!([]));
        }
        assert_ne!(without, rules, "{resource}");
        without
    };
    let told =
        |what: &str, holds: &dyn Fn(&str, &str) -> bool| wait_for_condition(plane, "CollectorAvailable", what, holds);
    for (resource, named) in [
        ("networkpolicies", "networkpolicies.networking.k8s.io in namespace datadog"),
        ("daemonsets", "daemonsets.apps in namespace datadog"),
    ] {
        change(&without(resource, &["list", "watch"]));
        told(&format!("the right to read {resource} to be missed"), &|reason, message| {
            let names = message.contains("not allowed to ") && message.contains(named);
            reason == "CollectorNotReadable" && names && message.contains("next step: give the controller the right")
        });
        change(&rules);
        told(&format!("{resource} to be read again"), &|reason, _| reason != "CollectorNotReadable");
    }
    change(&without("networkpolicies", &["create", "patch"]));
    wait_until_gone(plane, &["patch", "networkpolicies.networking.k8s.io/otel-collector", "-n", "datadog"]);
    plane.kubectl(&["delete", "-n", "datadog", "networkpolicy", "otel-collector"]).expect("kubectl delete");
    told("the right to write network policies to be missed", &|reason, message| {
        let named = "not allowed to patch networkpolicies.networking.k8s.io in namespace datadog";
        reason == "CollectorNotWritten" && message.contains(named)
    });
    what_may_be_written_is(plane);
    told("the NetworkPolicy to be missed all the while", &|reason, _| reason == "CollectorNotWritten");
    change(&rules);
    told("the NetworkPolicy to be written", &|reason, _| reason != "CollectorNotWritten");
    change(&without("secrets", &["list", "watch"]));
    wait_for_condition(plane, "CredentialsReady", "the right to read the key to be missed", &|reason, message| {
        let names = message.contains("not allowed to ") && message.contains("secrets in namespace datadog");
        reason == "SecretNotReadable" && names
    });
    change(&rules);
    wait_for_condition(plane, "CredentialsReady", "the key to be read again", &|reason, _| {
        reason != "SecretNotReadable"
    });
}

/// While something of the Collector can't be: the rest of it, and the Agent, are kept as ever.
fn what_may_be_written_is(plane: &ControlPlane) {
    let agent = |mode: &str| {
        let patch = json!({"spec": {"agent": {"mode": mode}}}).to_string();
        plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "-p", &patch]).expect("kubectl patch");
    };
    let uid = |object: &str| {
        let found =
            plane.kubectl(&["get", "-n", "datadog", object, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"]);
        Some(found.expect("kubectl get")).filter(|uid| !uid.is_empty())
    };
    agent("daemonset");
    for object in ["service/otel-collector", "serviceaccount/datadog-agent"] {
        let before = wait_for("it to be there", || uid(object)).unwrap_or_else(|error| panic!("{object}: {error}"));
        plane.kubectl(&["delete", "-n", "datadog", object]).expect("kubectl delete");
        wait_within(SOON, "it to be back", || uid(object).filter(|uid| *uid != before))
            .unwrap_or_else(|error| panic!("{object}: {error}"));
    }
    agent("disabled");
}

/// The watch goes on where it was, once it may.
fn what_cant_be_seen_of_pods_is_told_with_the_right_that_is_missing(plane: &ControlPlane) {
    const ROLE: &str = "clusterrole/otelgate-controller";
    let rules = plane.kubectl(&["get", ROLE, "-o", "json"]).json("the ClusterRole")["rules"].clone();
    let mut without = rules.clone();
    without.as_array_mut().expect("rules").retain(|rule| rule["resources"] != json!(["namespaces", "pods"]));
    assert_ne!(without, rules);
    let change = |rules: &Value| {
        let patch = json!({"rules": rules}).to_string();
        plane.kubectl(&["patch", ROLE, "--type=merge", "-p", &patch]).expect("kubectl patch");
    };
    change(&without);
    wait_for_condition(plane, "InjectionComplete", "the right to see pods to be missed", &|reason, message| {
        reason == "PodsUnseen" && message.contains("not allowed to ") && message.contains(" in the whole cluster")
    });
    change(&rules);
    wait_for_condition(plane, "InjectionComplete", "pods to be seen again", &|reason, _| reason != "PodsUnseen");
}

/// By its reason and its message.
#[track_caller]
fn wait_for_condition(plane: &ControlPlane, kind: &str, what: &str, holds: &dyn Fn(&str, &str) -> bool) {
    let mut last = Value::Null;
    wait_for(what, || {
        let stack = plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("a stack");
        let conditions = stack["status"]["conditions"].as_array()?.clone();
        last = conditions.into_iter().find(|one| one["type"] == kind)?;
        holds(last["reason"].as_str()?, last["message"].as_str()?).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {last:#}"));
}

fn nothing_else_is_asked_for(asked: &[Entry]) {
    for account in ACCOUNTS {
        let mut own = asked.iter().filter(|entry| entry.is_by(NAMESPACE, account)).peekable();
        assert!(own.peek().is_some(), "{account} asked for something");
        for entry in own {
            assert_eq!(entry.decision, "allow", "{entry:#?}");
        }
    }
}
