//! What the real operator makes of each feature: that the fields of the `DatadogAgent` say what they are written for. The
//! controller's own Agent has the same.

use std::collections::BTreeSet;

use otelgate::controller::agent::node::{self, COMPLIANCE_CAPABILITIES, SYSTEM_PROBE_CAPABILITIES};
use serde_json::{Value, json};

use super::super::objects::settings;
use super::super::{NAMESPACE, apply_stack};
use super::daemon_set;
use crate::control_plane::network::Process;
use crate::control_plane::{ControlPlane, wait_for};

/// Of which container, where there is no Collector, and the Agent has container logs.
const VARIABLES: [(&str, &str, &str); 24] = [
    ("agent", "DD_CLUSTER_NAME", "prod-eu1"),
    ("agent", "DD_COMPLIANCE_CONFIG_ENABLED", "true"),
    ("agent", "DD_LOGS_CONFIG_CONTAINER_COLLECT_ALL", "false"),
    ("agent", "DD_LOGS_CONFIG_K8S_CONTAINER_USE_FILE", "true"),
    ("agent", "DD_LOGS_ENABLED", "true"),
    ("agent", "DD_NETWORK_CONFIG_DIRECT_SEND", "true"),
    ("agent", "DD_OTLP_CONFIG_LOGS_ENABLED", "true"),
    ("agent", "DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT", "0.0.0.0:4317"),
    ("agent", "DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT", "0.0.0.0:4318"),
    ("agent", "DD_PROMETHEUS_SCRAPE_ENABLED", "true"),
    ("agent", "DD_RUNTIME_SECURITY_CONFIG_ENABLED", "true"),
    ("agent", "DD_SYSTEM_PROBE_NETWORK_ENABLED", "true"),
    ("security-agent", "DD_COMPLIANCE_CONFIG_ENABLED", "true"),
    ("security-agent", "DD_COMPLIANCE_CONFIG_HOST_BENCHMARKS_ENABLED", "true"),
    ("security-agent", "DD_COMPLIANCE_CONFIG_RUN_IN_SYSTEM_PROBE", "false"),
    ("security-agent", "DD_RUNTIME_SECURITY_CONFIG_ENABLED", "true"),
    ("security-agent", "HOST_ROOT", "/host/root"),
    ("system-probe", "DD_RUNTIME_SECURITY_CONFIG_ENABLED", "true"),
    ("system-probe", "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED", "true"),
    ("system-probe", "DD_RUNTIME_SECURITY_CONFIG_SOCKET", "/var/run/sysprobe/runtime-security.sock"),
    ("system-probe", "DD_SYSPROBE_SOCKET", "/var/run/sysprobe/sysprobe.sock"),
    ("system-probe", "DD_SYSTEM_PROBE_NETWORK_ENABLED", "true"),
    ("trace-agent", "DD_APM_ENABLED", "true"),
    ("trace-agent", "DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT", "0.0.0.0:4317"),
];

pub fn each_is_made_as_it_is_asked_for(plane: &ControlPlane, operator: &Process) {
    apply_stack(plane, &spec(true));
    let made = made_with(plane, operator, &["agent", "security-agent", "system-probe", "trace-agent"]);
    let own = node::daemon_set(&settings(&spec(true)), None);
    for one in [&made, &own] {
        has_all(one);
    }
    let of_cluster =
        ["DD_COMPLIANCE_CONFIG_ENABLED", "DD_KUBE_STATE_METRICS_CORE_ENABLED", "DD_PROMETHEUS_SCRAPE_ENABLED"];
    wait_for("the Cluster Agent's", || {
        let made = plane.get(NAMESPACE, "deployment/datadog-cluster-agent");
        of_cluster.iter().all(|name| variable(&made, "cluster-agent", name) == Some("true")).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", operator.log()));

    // Nobody takes OTLP.
    apply_stack(plane, &spec(false));
    let made = made_with(plane, operator, &["agent", "security-agent", "system-probe"]);
    assert_eq!(host_ports(&made), BTreeSet::new());
    assert!(!made.to_string().contains("DD_OTLP_CONFIG_RECEIVER"), "{made:#}");
}

fn spec(apm: bool) -> Value {
    let features = json!({"apm": apm, "processes": false, "networkMonitoring": true, "cspm": true, "cws": true});
    json!({
        "injection": {"logs": {"owner": "agent"}, "otlp": {"reach": "node"}},
        "collector": {"mode": "disabled"},
        "agent": {"mode": "operator", "features": features},
    })
}

/// Once it has these containers.
fn made_with(plane: &ControlPlane, operator: &Process, names: &[&str]) -> Value {
    let mut last = BTreeSet::new();
    let made = wait_for("its containers", || {
        let made = daemon_set(plane, operator);
        last = containers(&made).map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect();
        last.iter().map(String::as_str).eq(names.iter().copied()).then_some(made)
    });
    made.unwrap_or_else(|error| panic!("{error}: {names:?}, not {last:?}; {}", operator.log()))
}

fn has_all(made: &Value) {
    for (container, name, value) in VARIABLES {
        assert_eq!(variable(made, container, name), Some(value), "{container} {name}: {made:#}");
    }
    assert_ne!(variable(made, "agent", "DD_PROCESS_CONFIG_PROCESS_COLLECTION_ENABLED"), Some("true"));
    assert_eq!(host_ports(made), BTreeSet::from([("agent".to_owned(), 4317), ("agent".to_owned(), 4318)]));
    for (container, expected) in [
        ("agent", BTreeSet::new()),
        ("security-agent", BTreeSet::from(COMPLIANCE_CAPABILITIES)),
        ("system-probe", BTreeSet::from(SYSTEM_PROBE_CAPABILITIES)),
        ("trace-agent", BTreeSet::new()),
    ] {
        let added = &find(made, container)["securityContext"]["capabilities"]["add"];
        let added: BTreeSet<_> = added.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!(added, expected, "{container}");
    }
    assert_eq!(find(made, "system-probe")["securityContext"]["seccompProfile"]["localhostProfile"], "system-probe");
    assert_eq!(made["spec"]["template"]["spec"]["hostPID"], true);
    let mounts = find(made, "agent")["volumeMounts"].as_array().expect("mounts");
    let lines = mounts.iter().find(|mount| mount["mountPath"] == "/var/log/pods").expect("the lines of containers");
    assert_eq!(lines["readOnly"], true);
}

fn containers(made: &Value) -> impl Iterator<Item = &Value> {
    made["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten()
}

#[track_caller]
fn find<'m>(made: &'m Value, name: &str) -> &'m Value {
    containers(made).find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {made:#}"))
}

pub fn variable<'m>(made: &'m Value, container: &str, name: &str) -> Option<&'m str> {
    let all = find(made, container)["env"].as_array()?;
    all.iter().find(|one| one["name"] == name)?["value"].as_str()
}

/// With the container that has each.
fn host_ports(made: &Value) -> BTreeSet<(String, u64)> {
    let of = |one: &Value| {
        let ports = one["ports"].as_array().cloned().unwrap_or_default();
        let name = one["name"].as_str().unwrap_or_default().to_owned();
        ports.into_iter().filter_map(move |port| Some((name.clone(), port["hostPort"].as_u64()?))).collect::<Vec<_>>()
    };
    containers(made).flat_map(of).collect()
}
