//! Mode `daemonset`: what is made, what is said of it, and that nothing is left of it.

use serde_json::{Value, json};

use super::super::edited::Hand;
use super::{
    OURS, add_nodes, ask, ask_for, be, cluster, exists, found, is_made_again, is_ready, key, pods, run, says, says_so,
    start_controller, status, wait_until_gone, wait_until_labelled,
};
use crate::control_plane::network::Process;
use crate::control_plane::{ControlPlane, wait_for};

/// With the features that are on untold.
pub(super) const MADE: [&str; 14] = [
    "daemonset/datadog-agent",
    "deployment/datadog-cluster-agent",
    "service/datadog-agent",
    "service/datadog-cluster-agent",
    "serviceaccount/datadog-agent",
    "serviceaccount/datadog-cluster-agent",
    "secret/datadog-cluster-agent",
    "clusterrolebinding/otelgate-agent",
    "clusterrolebinding/otelgate-cluster-agent",
    "rolebinding/otelgate-cluster-agent-own",
    "configmap/datadogtoken",
    "configmap/datadog-leader-election",
    "configmap/datadog-cluster-id",
    LEASE,
];

/// Of an Agent that isn't otelgate's, as of a Helm release.
const ELSEWHERE: &str = "monitoring";
/// What stands in it is the Cluster Agent's.
const LEASE: &str = "lease/datadog-leader-election";

fn version_of(plane: &ControlPlane) -> Value {
    let set = plane.get(super::NAMESPACE, "daemonset/datadog-agent");
    set["spec"]["template"]["metadata"]["annotations"]["otelgate.dev/credentials"].clone()
}

/// One that ran before has made it, and what stands in it stays.
fn of_a_cluster_agent_before() -> Value {
    let metadata = json!({"name": "datadog-cluster-id", "namespace": super::NAMESPACE});
    let id = json!({"id": "3c1f0a52-6d0e-4a57-9f0b-0c3c9d9b8f11"});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": id})
}

#[test]
fn the_controllers_own_agent_is_made_watched_and_taken_away() {
    let plane = cluster();
    let metadata = json!({"name": "datadog-agent", "namespace": super::NAMESPACE});
    plane.apply(&[json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
                         "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 8126}]}})]);
    plane.apply(&[of_a_cluster_agent_before()]);
    let controller = start_controller(&plane, "controller");
    ask_for(&plane, &json!({"mode": "daemonset"}));
    let message = says(&plane, &controller, "AgentForeign");
    assert!(message.starts_with("Service datadog-agent isn't otelgate's"), "{message}");
    assert!(!exists(&plane, "daemonset/datadog-agent"));
    assert_eq!(plane.get(super::NAMESPACE, "service/datadog-agent")["spec"]["selector"]["app"], "theirs");
    plane.kubectl(&["delete", "-n", super::NAMESPACE, "service/datadog-agent"]).expect("kubectl delete");
    says(&plane, &controller, "AgentWithoutNode");
    all_is_made(&plane, &controller);
    let token = plane.get(super::NAMESPACE, "secret/datadog-cluster-agent")["data"]["token"].clone();
    assert_eq!(token.as_str().map(str::len), Some(88), "64 characters in base64");
    assert!(!controller.log().contains(token.as_str().expect("a token")));

    what_is_deleted_or_edited_is_as_before(&plane, &controller);
    let token = plane.get(super::NAMESPACE, "secret/datadog-cluster-agent")["data"]["token"].clone();

    add_nodes(&plane, &["node-1", "node-2", "node-3"]);
    says(&plane, &controller, "AgentRollingOut");
    let three = pods(&plane, "agent", 3);
    status(&plane, &controller, "/agent/nodes", &json!("0/3"));
    for (state, reason, words) in [
        (
            json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}),
            "AgentImageNotPulled",
            "ImagePullBackOff: not found",
        ),
        (
            json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}}}),
            "AgentNotStarted",
            "no secret",
        ),
        (
            json!({"restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 7}}}),
            "AgentCrashing",
            "exit code 7",
        ),
        (
            json!({"restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}),
            "AgentOutOfMemory",
            "OOMKilled",
        ),
        (json!({"started": true, "state": {"running": {}}}), "AgentNotDelivering", "runs and isn't ready"),
    ] {
        assert!(be(&plane, &three[0], false, &state), "the pod is there");
        let message = says(&plane, &controller, reason);
        assert!(message.starts_with("1 of 3 nodes: node-") && message.contains(words), "{message}");
    }
    for pod in &three {
        assert!(run(&plane, pod), "the pod is there");
    }
    says(&plane, &controller, "ClusterAgentNotReady");
    // Of the template that was edited, one goes as soon as its successor is well.
    wait_for("one Cluster Agent", || {
        let all = found(&plane, "cluster-agent");
        for pod in &all {
            run(&plane, pod);
        }
        (all.len() == 1 && is_ready(&all[0])).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    says(&plane, &controller, "AgentReady");
    status(&plane, &controller, "/agent", &json!({"mode": "daemonset", "nodes": "3/3", "clusterAgent": "1/1"}));
    status(
        &plane,
        &controller,
        "/owners",
        &json!({"containerLogs": "collector", "otlp": "collector",
        "prometheus": "collector", "clusterState": "collector", "hostMetrics": "agent", "hostMetadata": "agent"}),
    );

    // A new key rolls the pods, and so does a new token. Without one, there is nothing to roll to.
    the_key_goes(&plane, &controller);
    let before = version_of(&plane);
    plane.apply(&[key("4567")]);
    wait_for("another version of the key", || (version_of(&plane) != before).then_some(()))
        .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    let before = version_of(&plane);
    plane.kubectl(&["delete", "-n", super::NAMESPACE, "secret", "datadog-cluster-agent"]).expect("kubectl delete");
    wait_for("another token", || (version_of(&plane) != before).then_some(()))
        .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    let other = plane.get(super::NAMESPACE, "secret/datadog-cluster-agent")["data"]["token"].clone();
    assert_ne!(other, token, "it is made anew, and not worked out");
    a_token_that_was_changed_is_made_anew(&plane, &controller);

    let controller = switched_off_while_nobody_looks(&plane, controller);
    for object in MADE {
        wait_until_gone(&plane, &controller, object);
    }
    status(&plane, &controller, "/agent", &json!({"mode": "disabled", "nodes": "off"}));
    wait_for("the condition to go", || {
        let conditions = super::stack(&plane)["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().all(|one| one["type"] != "AgentAvailable").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
}

fn all_is_made(plane: &ControlPlane, controller: &Process) {
    wait_until_labelled(plane, controller, OURS, &MADE);
    let taken = plane.get(super::NAMESPACE, "configmap/datadog-cluster-id");
    assert_eq!(taken["metadata"]["ownerReferences"][0]["kind"], "TelemetryStack", "{taken:#}");
    assert_eq!(taken["data"]["id"], of_a_cluster_agent_before()["data"]["id"]);
}

/// The verdict on what is asked for next comes after the key was missed.
fn the_key_goes(plane: &ControlPlane, controller: &Process) {
    let generations = || {
        ["daemonset/datadog-agent", "deployment/datadog-cluster-agent"]
            .map(|name| plane.get(super::NAMESPACE, name)["metadata"]["generation"].clone())
    };
    let before = (version_of(plane), generations());
    plane.kubectl(&["delete", "-n", super::NAMESPACE, "secret", "datadog-secret"]).expect("kubectl delete");
    wait_for("it to be missed", || {
        let conditions = super::stack(plane)["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["reason"] == "SecretMissing").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    ask_for(plane, &json!({"mode": "daemonset", "adopt": {"clusterAgent": "other"}}));
    says(plane, controller, "AgentReady");
    assert_eq!((version_of(plane), generations()), before);
    ask_for(plane, &json!({"mode": "daemonset"}));
}

/// And somebody takes away what an Agent is found by. Tells the controller that comes after that.
fn switched_off_while_nobody_looks(plane: &ControlPlane, controller: Process) -> Process {
    drop(controller);
    for object in ["daemonset/datadog-agent", "deployment/datadog-cluster-agent"] {
        let label = ["label", "-n", super::NAMESPACE, object, "otelgate.dev/part-"];
        plane.kubectl(&label).expect("kubectl label");
    }
    ask_for(plane, &json!({"mode": "disabled"}));
    start_controller(plane, "another")
}

/// Each object, and each field that was applied.
fn what_is_deleted_or_edited_is_as_before(plane: &ControlPlane, controller: &Process) {
    for name in MADE {
        is_made_again(plane, controller, name);
    }
    // A token that is made anew changes what mounts it, once.
    says(plane, controller, "AgentWithoutNode");
    // The token isn't applied: it is made, and kept by nobody else.
    for name in MADE.iter().filter(|name| !name.starts_with("secret/")) {
        let hand = Hand::on(plane, &plane.get(super::NAMESPACE, name));
        let before = hand.object();
        let edits = hand.edits(&before);
        hand.make(&before, &edits, || format!("; {}", controller.log()));
        let least = if name.starts_with("daemonset/") { 100 } else { 1 };
        assert!(edits.count() > least, "{name}: {edits:?}");
    }
}

/// Nobody knows any more what was in it: there is another one, and pods are made for that.
fn a_token_that_was_changed_is_made_anew(plane: &ControlPlane, controller: &Process) {
    let name = "secret/datadog-cluster-agent";
    for edit in [json!({"data": {"token": null}}), json!({"data": {"token": "c2hvcnQ="}})] {
        let (before, version) = (plane.get(super::NAMESPACE, name), version_of(plane));
        plane
            .kubectl(&["patch", "-n", super::NAMESPACE, name, "--type=merge", "-p", &edit.to_string()])
            .expect("kubectl patch");
        let now = wait_for("another token", || {
            let now = plane.kubectl(&["get", "-n", super::NAMESPACE, name, "-o", "json", "--ignore-not-found"]).stdout;
            let now = serde_json::from_str::<Value>(&now).ok()?;
            let is_whole = now["data"]["token"].as_str().is_some_and(|token| token.len() == 88);
            (is_whole && now["metadata"]["uid"] != before["metadata"]["uid"]).then_some(now)
        })
        .unwrap_or_else(|error| panic!("{edit}: {error}; {}", controller.log()));
        assert_ne!(now["data"]["token"], before["data"]["token"], "{edit}");
        wait_for("pods to be made for it", || (version_of(plane) != version).then_some(()))
            .unwrap_or_else(|error| panic!("{edit}: {error}; {}", controller.log()));
    }
}

#[test]
fn somebody_elses_agent_is_left_alone_and_watched_when_adopted() {
    let plane = cluster();
    add_nodes(&plane, &["node-1"]);
    let label = json!({"app": "theirs"});
    let controller = none_is_made_beside_one_elsewhere(&plane);
    plane.apply(&[theirs("datadog-agent")]);
    says_so(&plane, &controller, "AgentForeign", "DaemonSet datadog-agent isn't otelgate's");
    assert!(!exists(&plane, "deployment/datadog-cluster-agent"));
    let image =
        plane.get(super::NAMESPACE, "daemonset/datadog-agent")["spec"]["template"]["spec"]["containers"][0]["image"]
            .clone();
    assert_eq!(image, "theirs");

    ask_for(&plane, &json!({"mode": "adopt", "adopt": {"daemonSet": "datadog-agent", "clusterAgent": ""}}));
    says(&plane, &controller, "AgentRollingOut");
    let mut pods = Vec::new();
    wait_for("their pod", || {
        let list =
            plane.kubectl(&["get", "pods", "-n", super::NAMESPACE, "-l", "app=theirs", "-o", "json"]).json("pods");
        pods = list["items"].as_array().cloned().unwrap_or_default();
        (pods.len() == 1).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(run(&plane, &pods[0]), "the pod is there");
    says(&plane, &controller, "AgentReady");
    wait_for("its pods to be left out of injection", || {
        let map = plane.get("otelgate", "configmap/otelgate-injection");
        map["data"]["config.yaml"].as_str()?.contains("app: theirs").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    // Nobody else leads to it, where there is no Collector.
    let adopted = json!({"mode": "adopt", "adopt": {"daemonSet": "datadog-agent", "clusterAgent": ""}});
    ask(&plane, "disabled", &adopted);
    let message = says(&plane, &controller, "AgentServiceMissing");
    assert!(message.starts_with("pods are told to send to Service otel-collector"), "{message}");
    let metadata = json!({"name": "otel-collector", "namespace": super::NAMESPACE});
    plane.apply(&[json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
                         "spec": {"selector": label, "ports": [{"port": 4318}]}})]);
    says(&plane, &controller, "AgentReady");
    ask_for(&plane, &json!({"mode": "adopt", "adopt": {"daemonSet": "another", "clusterAgent": ""}}));
    says(&plane, &controller, "AgentMissing");
    assert!(exists(&plane, "daemonset/datadog-agent"), "nobody takes away what is theirs");
    plane.kubectl(&["delete", "-n", ELSEWHERE, "daemonset/datadog"]).expect("kubectl delete");
    our_own_goes_for_somebody_elses(&plane, &controller);
}

/// It is there before the stack, where nothing has our names.
fn none_is_made_beside_one_elsewhere(plane: &ControlPlane) -> Process {
    plane.make_namespace(ELSEWHERE, &json!({}), &json!({}));
    let mut set = theirs("datadog");
    set["metadata"]["namespace"] = json!(ELSEWHERE);
    set["spec"]["template"]["metadata"]["labels"]["agent.datadoghq.com/component"] = json!("agent");
    plane.apply(&[set]);
    wait_for("its pod", || {
        let pods = plane.kubectl(&["get", "pods", "-n", ELSEWHERE, "-o", "name"]);
        (!pods.expect("kubectl get").trim().is_empty()).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let controller = start_controller(plane, "controller");
    ask_for(plane, &json!({"mode": "daemonset"}));
    let message = says(plane, &controller, "AgentForeign");
    assert!(message.starts_with("DaemonSet datadog in namespace monitoring isn't otelgate's"), "{message}");
    wait_until_labelled(plane, &controller, OURS, &[]);
    controller
}

fn theirs(name: &str) -> Value {
    let label = json!({"app": "theirs"});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": super::NAMESPACE},
        "spec": {"selector": {"matchLabels": label}, "template": {"metadata": {"labels": label},
            "spec": {"tolerations": [{"operator": "Exists"}], "containers": [{"name": "agent", "image": "theirs"}]}}},
    })
}

fn our_own_goes_for_somebody_elses(plane: &ControlPlane, controller: &Process) {
    plane.kubectl(&["delete", "-n", super::NAMESPACE, "daemonset/datadog-agent"]).expect("kubectl delete");
    plane.apply(&[theirs("theirs")]);
    ask_for(plane, &json!({"mode": "daemonset"}));
    wait_until_labelled(plane, controller, OURS, &MADE);
    let uids = || {
        ["daemonset/theirs", "service/otel-collector"]
            .map(|name| plane.get(super::NAMESPACE, name)["metadata"]["uid"].clone())
    };
    let before = uids();
    ask_for(plane, &json!({"mode": "adopt", "adopt": {"daemonSet": "theirs", "clusterAgent": ""}}));
    says(plane, controller, "AgentRollingOut");
    wait_until_labelled(plane, controller, OURS, &[]);
    assert_eq!(uids(), before);
}
