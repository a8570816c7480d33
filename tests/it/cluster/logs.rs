//! `otelgate logs`, of pods whose lines a test writes. The installation that is shared has a Collector and an Agent.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::OTELGATE;
use super::command::{Installed, WRITTEN, installed};
use crate::control_plane::network::Process;
use crate::control_plane::wait_for;

/// A pod of otelgate's on a node, which runs nowhere.
fn pod(installed: &Installed, namespace: &str, name: &str, node: &str, component: &str) {
    installed.plane.apply(&[json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {
            "app.kubernetes.io/name": "otelgate", "app.kubernetes.io/component": component,
        }},
        "spec": {"nodeName": node, "containers": [{"name": "sidecar", "image": "s:1"}, {"name": component, "image": "o:1"}]},
    })]);
}

fn line(message: &str) -> String {
    json!({"timestamp": "x", "level": "INFO", "message": message, "target": "otelgate::x", "n": 1}).to_string()
}

#[test]
fn logs_of_all_pods_are_one_in_the_order_of_time() {
    let installed = installed();
    installed.plane.make_namespace("logs", &json!({}), &json!({}));
    for (name, node, component) in [
        ("logs-webhook-a", "node-1", "webhook"),
        ("logs-webhook-b", "node-2", "webhook"),
        ("logs-controller", "node-1", "controller"),
    ] {
        pod(installed, "logs", name, node, component);
    }
    for (pod, second, text) in [
        ("logs-webhook-a", 1, line("one")),
        ("logs-webhook-b", 2, line("two")),
        ("logs-controller", 3, "not JSON".to_owned()),
        ("logs-webhook-b", 4, line("four")),
        ("logs-webhook-a", 5, line("five")),
    ] {
        installed.kubelet.log(pod, &format!("2026-11-02T09:00:0{second}.25Z"), &text);
    }
    let logs = |further: &[&str]| {
        let arguments = [&["logs", "--otelgate-namespace", "logs"], further].concat();
        installed.otelgate(&arguments).expect("otelgate logs")
    };
    let expected = [
        ("logs-webhook-a node-1", "01.250Z INFO  one n=1"),
        ("logs-webhook-b node-2", "02.250Z INFO  two n=1"),
        // Those that every test of commands finds.
        ("otel-collector-x1 node-1", &format!("02.500Z 09:00 info ready {WRITTEN}")),
        ("logs-controller node-1", "03.250Z not JSON"),
        ("datadog-agent-y1/agent node-2", "03.500Z 2026-11-02 09:00:03 UTC | CORE | INFO | up"),
        ("datadog-agent-y1/trace-agent node-2", "03.500Z 2026-11-02 09:00:03 UTC | CORE | INFO | up"),
        ("logs-webhook-b node-2", "04.250Z INFO  four n=1"),
        ("logs-webhook-a node-1", "05.250Z INFO  five n=1"),
    ];
    let expected = expected.map(|(place, line)| format!("{place:<35} 2026-11-02T09:00:{line}\n"));
    assert_eq!(logs(&[]), expected.concat());
    let json = logs(&["-o", "json", "--component", "webhook"]);
    let records: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let messages: Vec<_> = records.iter().map(|record| &record["log"]["message"]).collect();
    assert_eq!(messages, ["one", "two", "four", "five"]);
    assert_eq!(
        records[1],
        json!({"time": "2026-11-02T09:00:02.25Z", "pod": "logs-webhook-b", "node": "node-2", "component": "webhook",
               "container": "webhook", "log": {"timestamp": "x", "level": "INFO", "message": "two", "target": "otelgate::x", "n": 1}})
    );
    let last: Vec<String> = logs(&["--tail", "1", "--component", "webhook"]).lines().map(str::to_owned).collect();
    assert!(last.len() == 2 && last[0].ends_with("four n=1") && last[1].ends_with("five n=1"), "{last:?}");
    assert_eq!(logs(&["--since", "10m"]), "", "all of it is older");
}

#[test]
fn collectors_and_agents_are_found_where_the_stack_says() {
    let installed = installed();
    let logs = |further: &[&str]| installed.otelgate(&[&["logs", "-o", "json"], further].concat());
    let places = |further: &[&str]| {
        let said = logs(further).expect("otelgate logs");
        let records = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let place = |record: Value| ["component", "pod", "container", "node"].map(|field| record[field].clone());
        records.map(place).collect::<Vec<_>>()
    };
    let collector = ["collector", "otel-collector-x1", "otel-collector", "node-1"].map(Value::from);
    let agent = |container: &str| ["agent", "datadog-agent-y1", container, "node-2"].map(Value::from);
    assert_eq!(places(&["--component", "collector"]), [collector]);
    assert_eq!(places(&["--component", "agent"]), [agent("agent"), agent("trace-agent")]);
    assert_eq!(places(&["--node", "node-2"]), [agent("agent"), agent("trace-agent")]);
    let outcome = logs(&["--component", "collector", "--node", "node-2"]);
    let missed = "namespace datadog: no pod of the Collector is there on node node-2";
    assert!(!outcome.success && outcome.stderr.contains(missed), "{}", outcome.stderr);
}

/// Whoever may see otelgate's own namespace alone sees its logs, and is told of what is missing.
#[test]
fn what_may_not_be_seen_is_named_and_the_others_are_shown() {
    let installed = installed();
    installed.plane.make_namespace("narrow-logs", &json!({}), &json!({}));
    pod(installed, "narrow-logs", "narrow-a", "node-1", "webhook");
    installed.kubelet.log("narrow-a", "2026-11-02T09:00:01Z", &line("here"));
    let rules = json!([{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]);
    let metadata = json!({"name": "logs", "namespace": "narrow-logs"});
    installed.plane.apply(&[
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "logs"},
               "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "narrow-logs"}]}),
    ]);
    let outcome = installed.otelgate_as("narrow-logs", "default", &["logs", "--otelgate-namespace", "narrow-logs"]);
    assert!(!outcome.success && outcome.stdout.contains("narrow-a node-1 "), "{}{}", outcome.stdout, outcome.stderr);
    let missing = "not allowed to list telemetrystacks.otelgate.dev in the whole cluster";
    assert!(outcome.stderr.contains(missing), "{}", outcome.stderr);
    let own = ["logs", "--otelgate-namespace", "narrow-logs", "--component", "webhook"];
    assert!(installed.otelgate_as("narrow-logs", "default", &own).expect("otelgate logs").contains("here"));
}

#[test]
fn a_log_that_cannot_be_read_is_named_and_the_others_are_told() {
    let installed = installed();
    installed.plane.make_namespace("half", &json!({}), &json!({}));
    pod(installed, "half", "half-a", "no-such-node", "webhook");
    pod(installed, "half", "half-b", "node-1", "webhook");
    installed.kubelet.log("half-b", "2026-11-02T09:00:01Z", &line("here"));
    let outcome = installed.otelgate(&["logs", "--otelgate-namespace", "half"]);
    assert!(!outcome.success);
    assert!(outcome.stdout.contains("here"), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("log of pod half-a: "), "{}", outcome.stderr);
    let outcome = installed.otelgate(&["logs", "--otelgate-namespace", "nowhere"]);
    assert!(!outcome.success && outcome.stderr.contains("no pod of otelgate is there"), "{}", outcome.stderr);
}

fn wait_for_line(follower: &Process, part: &str) {
    wait_for(part, || follower.log().contains(part).then_some(()))
        .unwrap_or_else(|error| panic!("{error}: {}", follower.log()));
}

fn start(installed: &Installed, name: &str, arguments: &[&str]) -> Process {
    let kubeconfig = installed.plane.kubectl_environment().1.display().to_string();
    let arguments = [&["logs", "--kubeconfig", &kubeconfig, "--otelgate-namespace", name], arguments].concat();
    installed.plane.network().start(name, Path::new(OTELGATE), arguments).expect("otelgate logs")
}

#[test]
fn following_goes_on_over_restarts_and_new_pods() {
    let installed = installed();
    installed.plane.make_namespace("follow", &json!({}), &json!({}));
    pod(installed, "follow", "follow-a", "node-1", "webhook");
    installed.kubelet.log("follow-a", "2026-11-02T09:00:01.1Z", &line("before"));
    let follower = start(installed, "follow", &["--follow"]);
    wait_for_line(&follower, "before");
    installed.kubelet.log("follow-a", "2026-11-02T09:00:01.9Z", &line("while it follows"));
    wait_for_line(&follower, "while it follows");
    installed.kubelet.restart("follow-a");
    installed.kubelet.log("follow-a", "2026-11-02T09:00:01.95Z", &line("after a restart"));
    wait_for_line(&follower, "after a restart");
    pod(installed, "follow", "follow-b", "node-2", "controller");
    installed.kubelet.log("follow-b", "2026-11-02T09:00:02Z", &line("of a new pod"));
    wait_for_line(&follower, "of a new pod");
    installed.plane.kubectl(&["delete", "pod", "-n", "follow", "follow-a", "--force"]).expect("kubectl delete");
    // The kubelet here knows pods by name: the new one must not find the old one's log.
    installed.kubelet.restart("follow-a");
    pod(installed, "follow", "follow-a", "node-2", "webhook");
    installed.kubelet.log("follow-a", "2026-11-02T09:00:03Z", &line("of another pod of that name"));
    wait_for_line(&follower, "follow-a node-2");
    let log = follower.log();
    for once in ["before", "while it follows", "after a restart"] {
        assert_eq!(log.matches(once).count(), 1, "{log}");
    }
    assert!(log.contains("of another pod of that name"), "{log}");
}

/// As much again is read as the program may hold.
#[test]
fn a_long_log_takes_no_more_memory_than_a_short_one() {
    let installed = installed();
    installed.plane.make_namespace("long", &json!({}), &json!({}));
    pod(installed, "long", "long-a", "node-1", "webhook");
    let text = line(&"x".repeat(4000));
    for second in 0..20_000 {
        let time = jiff::Timestamp::from_second(1_790_000_000 + second).expect("a time").to_string();
        installed.kubelet.log("long-a", &time, &text);
    }
    // It follows, so that it's there when all is read.
    let follower = start(installed, "long", &["--follow"]);
    let log = installed.plane.network().folder().join("long.log");
    wait_for("all of it", || {
        let length = fs::metadata(&log).map(|file| file.len()).unwrap_or_default();
        (length > 20_000 * 4000).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let status = fs::read_to_string(format!("/proc/{}/status", follower.id())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 64 * 1024, "{peak} kB for a log of 80 MB");
    installed.plane.kubectl(&["delete", "namespace", "long", "--wait=false"]).expect("kubectl delete");
}
