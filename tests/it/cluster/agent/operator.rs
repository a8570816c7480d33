//! Mode `operator` with the real Datadog Operator, and `auto` with a definition that comes and goes.

mod features;

use std::fs;

use serde_json::{Value, json};

use super::own::MADE;
use super::{
    NAMESPACE, OURS, add_nodes, ask, ask_for, cluster, exists, labelled, run_until, says, says_so, start_controller,
    status, wait_until_labelled, write,
};
use crate::control_plane::network::Process;
use crate::control_plane::{ControlPlane, datadog_operator, wait_for};

/// On what the operator makes from a `DatadogAgent`.
const OF_OPERATOR: &str = "app.kubernetes.io/managed-by=datadog-operator";
/// A note of the Cluster Agent that the operator runs: the controller's own has another one.
const NOTE_OF_OPERATOR: &str = "configmap/datadog-token";

#[track_caller]
fn start_operator(plane: &ControlPlane) -> Process {
    datadog_operator::start(plane, NAMESPACE).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn define(plane: &ControlPlane) {
    datadog_operator::define(plane).unwrap_or_else(|error| panic!("{error}"));
}

#[track_caller]
fn daemon_set(plane: &ControlPlane, operator: &Process) -> Value {
    wait_for("the operator's DaemonSet", || {
        exists(plane, "daemonset/datadog-agent").then(|| plane.get(NAMESPACE, "daemonset/datadog-agent"))
    })
    .unwrap_or_else(|error| panic!("{error}; {}", operator.log()))
}

#[test]
fn the_operator_makes_what_is_asked_for_and_its_word_is_not_enough() {
    let plane = cluster();
    define(&plane);
    add_nodes(&plane, &["node-1", "node-2", "node-3"]);
    let operator = start_operator(&plane);
    let controller = start_controller(&plane, "controller");
    let limits = json!({"memory": "512Mi"});
    ask_for(
        &plane,
        &json!({"mode": "operator", "podAnnotations": {"note": "x"}, "maxUnavailable": 2, "kubelet": {"tlsVerify": false},
            "nodeSelector": {"kubernetes.io/os": "linux"}, "priorityClassName": "system-node-critical",
            "resources": {"agent": {"limits": limits}}}),
    );
    let made = daemon_set(&plane, &operator);
    let pod = &made["spec"]["template"]["spec"];
    let names: Vec<_> =
        pod["containers"].as_array().expect("containers").iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["agent", "trace-agent"], "process checks run in the first, and nothing needs a system-probe");
    for container in pod["containers"].as_array().expect("containers") {
        assert_eq!(container["image"], "datadog/agent:7.84.1");
        assert!(!container["ports"].to_string().contains("hostPort"), "{}", container["ports"]);
        let env = container["env"].to_string();
        assert!(env.contains(r#"{"name":"DD_CLUSTER_NAME","value":"prod-eu1"}"#), "{env}");
        assert!(!env.contains(r#"{"name":"DD_LOGS_ENABLED","value":"true"}"#), "{env}");
        assert!(!env.contains("DD_OTLP_CONFIG_RECEIVER"), "{env}");
        assert!(!env.contains(r#"{"name":"DD_PROMETHEUS_SCRAPE_ENABLED","value":"true"}"#), "{env}");
    }
    assert!(!made.to_string().contains("/var/log/pods"));
    assert_eq!(features::variable(&made, "agent", "DD_PROCESS_CONFIG_PROCESS_COLLECTION_ENABLED"), Some("true"));
    assert_eq!(features::variable(&made, "agent", "DD_KUBELET_TLS_VERIFY"), Some("false"));
    assert_eq!(pod["containers"][0]["resources"]["limits"], limits);
    assert_eq!(pod["nodeSelector"]["kubernetes.io/os"], "linux");
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!(made["spec"]["template"]["metadata"]["labels"]["agent.datadoghq.com/component"], "agent");
    assert_eq!(made["spec"]["template"]["metadata"]["annotations"]["note"], "x");
    assert_eq!(made["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 2);
    let cluster_agent = plane.get(NAMESPACE, "deployment/datadog-cluster-agent").to_string();
    assert!(!cluster_agent.contains(r#"{"name":"DD_ADMISSION_CONTROLLER_ENABLED","value":"true"}"#), "{cluster_agent}");

    // None, some, all: the operator calls the second running.
    says(&plane, &controller, "AgentRollingOut");
    run_until(&plane, &controller, 1, 3);
    wait_for("the operator to call that running", || {
        let agent = plane.get(NAMESPACE, "datadogagent/datadog")["status"]["agent"].clone();
        (agent["state"] == "Running" && agent["ready"] == 1 && agent["desired"] == 3).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", operator.log()));
    says(&plane, &controller, "AgentRollingOut");
    run_until(&plane, &controller, 3, 3);
    says(&plane, &controller, "AgentReady");
    status(
        &plane,
        &controller,
        "/agent",
        &json!({"mode": "operator", "nodes": "3/3", "clusterAgent": "1/1", "operatorVersions": ["v2alpha1"]}),
    );

    // Exactly the fields that were written are otelgate's.
    let owned = plane
        .kubectl(&["get", "-n", NAMESPACE, "datadogagent/datadog", "--show-managed-fields", "-o", "json"])
        .json("it");
    let ours = owned["metadata"]["managedFields"]
        .as_array()
        .expect("managers")
        .iter()
        .find(|one| one["manager"] == "otelgate-controller")
        .expect("otelgate's");
    let features = ours["fieldsV1"]["f:spec"]["f:features"].to_string();
    assert!(features.contains("f:admissionController") && !features.contains("f:orchestratorExplorer"), "{features}");

    let operator = without_the_operator(&plane, &controller, operator);
    features::each_is_made_as_it_is_asked_for(&plane, &operator);
    its_cluster_agent_writes_notes(&plane);
    let operator = the_controllers_own_takes_its_place(&plane, &controller, operator);
    it_takes_the_place_of_the_controllers_own(&plane, &controller, &operator);
    the_stack_takes_all_of_it_away(&plane, controller, &operator);
}

/// It goes in the middle of things, and comes back.
#[must_use]
fn without_the_operator(plane: &ControlPlane, controller: &Process, operator: Process) -> Process {
    drop(operator);
    ask_for(plane, &json!({"mode": "operator", "features": {"networkMonitoring": true}}));
    says_so(plane, controller, "OperatorSilent", "DatadogAgent datadog was changed, and its DaemonSet wasn't");
    let operator = start_operator(plane);
    says(plane, controller, "AgentRollingOut");
    wait_for("system-probe", || daemon_set(plane, &operator).to_string().contains("\"system-probe\"").then_some(()))
        .unwrap_or_else(|error| panic!("{error}; {}", operator.log()));
    operator
}

/// In its place, as none runs here. They belong to nobody.
fn its_cluster_agent_writes_notes(plane: &ControlPlane) {
    let note = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE},
               "data": {"note": name}})
    };
    plane.apply(&["datadog-cluster-id", "datadog-leader-election", "datadog-token"].map(note));
}

/// Its finalizer is nobody's at first: nothing of the next is there before the former has gone.
#[must_use]
fn the_controllers_own_takes_its_place(plane: &ControlPlane, controller: &Process, operator: Process) -> Process {
    let of_operator = labelled(plane, OF_OPERATOR);
    for kind in ["service/", "serviceaccount/", "configmap/", "secret/", "role/", "clusterrole/", "clusterrolebinding/"]
    {
        assert!(of_operator.iter().any(|name| name.starts_with(kind)), "{kind}: {of_operator:?}");
    }
    assert!(!internals(plane).is_empty());
    drop(operator);
    ask_for(plane, &json!({"mode": "daemonset"}));
    says_so(plane, controller, "AgentLeftOver", "DatadogAgent datadog is being deleted, and its finalizer");
    assert!(!exists(plane, "secret/datadog-cluster-agent") && !exists(plane, "rolebinding/otelgate-cluster-agent-own"));
    let operator = start_operator(plane);
    wait_for("the former to go", || (!exists(plane, "datadogagent/datadog")).then_some(()))
        .unwrap_or_else(|error| panic!("{error}; {}", operator.log()));
    wait_until_labelled(plane, controller, OURS, &MADE);
    nothing_is_left_of_the_operators(plane, &operator);
    let note = plane.get(NAMESPACE, "configmap/datadog-cluster-id");
    assert_eq!(note["data"]["note"], "datadog-cluster-id", "taken over");
    operator
}

fn internals(plane: &ControlPlane) -> String {
    plane.kubectl(&["get", "datadogagents,datadogagentinternals", "-A", "-o", "name"]).expect("kubectl get")
}

/// But for what belongs to nobody.
fn nothing_is_left_of_the_operators(plane: &ControlPlane, operator: &Process) {
    wait_until_labelled(plane, operator, OF_OPERATOR, &[]);
    wait_for("what it makes them from to go", || internals(plane).is_empty().then_some(()))
        .unwrap_or_else(|error| panic!("{error}: {}; {}", internals(plane), operator.log()));
    assert!(exists(plane, NOTE_OF_OPERATOR));
}

/// Without a Collector, the Service that pods are told is the controller's in either mode.
fn it_takes_the_place_of_the_controllers_own(plane: &ControlPlane, controller: &Process, operator: &Process) {
    ask(plane, "disabled", &json!({"mode": "operator"}));
    wait_until_labelled(plane, controller, OURS, &["service/otel-collector"]);
    wait_for("the operator's", || exists(plane, "datadogagent/datadog").then_some(()))
        .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    daemon_set(plane, operator);
    // In this order: the operator is at it.
    let there = labelled(plane, "");
    let of_operator = labelled(plane, OF_OPERATOR);
    let left: Vec<_> = MADE.iter().filter(|name| there.contains(**name) && !of_operator.contains(**name)).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Without the controller: by whose each object is, and by the operator's finalizer.
fn the_stack_takes_all_of_it_away(plane: &ControlPlane, controller: Process, operator: &Process) {
    drop(controller);
    plane.kubectl(&["delete", "telemetrystack", "default"]).expect("kubectl delete");
    wait_until_labelled(plane, operator, OURS, &[]);
    nothing_is_left_of_the_operators(plane, operator);
}

#[test]
fn auto_is_decided_once_whatever_comes_and_goes() {
    let plane = cluster();
    add_nodes(&plane, &["node-1"]);
    let controller = start_controller(&plane, "one");
    ask_for(&plane, &json!({"mode": "auto"}));
    status(&plane, &controller, "/agent/mode", &json!("daemonset"));
    run_until(&plane, &controller, 1, 1);
    says(&plane, &controller, "AgentReady");

    // A definition that comes later is only reported, to whoever leads then as well.
    define(&plane);
    status(&plane, &controller, "/agent/operatorVersions", &json!(["v2alpha1"]));
    wait_for("a word of it", || {
        let conditions = super::stack(&plane)["status"]["conditions"].to_string();
        conditions.contains("the API server serves DatadogAgent now").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    drop(controller);
    let controller = start_controller(&plane, "two");
    wait_for("another leader", || {
        let lease = plane.get("otelgate", "lease/otelgate-controller");
        (lease["spec"]["holderIdentity"] == "two").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    ask_for(&plane, &json!({"mode": "auto", "podAnnotations": {"a": "b"}}));
    run_until(&plane, &controller, 1, 1);
    status(&plane, &controller, "/agent/mode", &json!("daemonset"));
    assert!(!exists(&plane, "datadogagent/datadog"));

    // One that goes is a condition, and no switch.
    ask_for(&plane, &json!({"mode": "operator"}));
    wait_for("a DatadogAgent", || exists(&plane, "datadogagent/datadog").then_some(()))
        .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    let message = says(&plane, &controller, "OperatorSilent");
    assert!(message.starts_with("DatadogAgent datadog has no status"), "{message}");
    ask_for(&plane, &json!({"mode": "auto"}));
    status(&plane, &controller, "/agent/mode", &json!("operator"));
    plane.kubectl(&["delete", "crd", "datadogagents.datadoghq.com"]).expect("kubectl delete");
    says(&plane, &controller, "OperatorMissing");
    status(&plane, &controller, "/agent/mode", &json!("operator"));
    assert!(!exists(&plane, "daemonset/datadog-agent"));
    let definition = datadog_operator::definition("datadogagents").expect("it is there");
    let another = fs::read_to_string(definition).expect("a file").replace("name: v2alpha1", "name: v3");
    let file = write(&plane, "another.yaml", &another);
    plane.kubectl(&["apply", "--server-side", "-f", &file]).expect("a definition");
    let message = says(&plane, &controller, "OperatorOutdated");
    assert!(message.starts_with("DatadogAgent is served as v3 only, not as v2alpha1"), "{message}");
    plane.kubectl(&["delete", "crd", "datadogagents.datadoghq.com"]).expect("kubectl delete");
    define(&plane);
    wait_for("a DatadogAgent", || exists(&plane, "datadogagent/datadog").then_some(()))
        .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
}
