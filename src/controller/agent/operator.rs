//! The `DatadogAgent` from which the Datadog Operator makes an Agent: the fields that otelgate has an opinion on, and no
//! others, so that everything else stays the operator's defaults or whoever's writes it. Pure.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::mode::VERSION;
use super::pod;
use super::settings::{Otlp, Settings};
use crate::api::stack::Image;
use crate::api::{annotation, object};

/// What stands on the pods that are made from this very object: without it nobody could tell whether the operator has
/// seen the newest, as its status doesn't say.
#[must_use]
pub fn revision(datadog_agent: &Value) -> Option<&str> {
    let annotations = &datadog_agent["spec"]["override"]["nodeAgent"]["annotations"];
    annotations[annotation::AGENT_REVISION].as_str()
}

/// The versions of what its pods read.
#[must_use]
pub fn credentials(datadog_agent: &Value) -> Option<&str> {
    datadog_agent["spec"]["override"]["nodeAgent"]["annotations"][annotation::CREDENTIALS].as_str()
}

#[must_use]
pub fn datadog_agent(settings: &Settings) -> Value {
    let mut spec = json!({
        "global": global(settings),
        "features": features(settings),
        "override": {"nodeAgent": node_agent(settings), "clusterAgent": cluster_agent(settings)},
    });
    let revision = revision_of(&spec);
    spec["override"]["nodeAgent"]["annotations"][annotation::AGENT_REVISION] = revision.into();
    json!({
        "apiVersion": format!("datadoghq.com/{VERSION}"),
        "kind": "DatadogAgent",
        "metadata": {"name": object::DATADOG_AGENT},
        "spec": spec,
    })
}

fn revision_of(spec: &Value) -> String {
    pod::hex(&Sha256::digest(spec.to_string().as_bytes())[..8])
}

fn global(settings: &Settings) -> Value {
    let key = &settings.key;
    let mut global = json!({
        "site": settings.site,
        "credentials": {"apiSecret": {"secretName": key.name, "keyName": key.key}},
    });
    if let Some(name) = &settings.cluster_name {
        global["clusterName"] = name.as_str().into();
    }
    if !settings.agent.kubelet.tls_verify {
        global["kubelet"] = json!({"tlsVerify": false});
    }
    let way_out = pod::way_out(settings);
    if !way_out.is_empty() {
        global["env"] = way_out.into();
    }
    global
}

fn features(settings: &Settings) -> Value {
    let features = &settings.agent.features;
    let owns = |data| settings.agent_has(data);
    let enabled = |is: bool| json!({"enabled": is});
    let [grpc, http] = pod::OTLP.map(|port| port.number);
    json!({
        // Pods are otelgate's to change.
        "admissionController": enabled(false),
        "apm": {"enabled": features.apm, "hostPortConfig": {"enabled": false}},
        "otlp": {"receiver": {"protocols": {"grpc": otlp(settings, grpc), "http": otlp(settings, http)}}},
        // A Collector within the Agent would be a third owner.
        "otelCollector": enabled(false),
        "logCollection": {"enabled": owns(|owners| owners.container_logs), "containerCollectAll": false},
        "prometheusScrape": enabled(owns(|owners| owners.prometheus)),
        "kubeStateMetricsCore": enabled(owns(|owners| owners.cluster_state)),
        "npm": enabled(features.network_monitoring),
        "cspm": enabled(features.cspm),
        "cws": {"enabled": features.cws, "enforcement": enabled(false)},
        "liveProcessCollection": enabled(features.processes),
        "processDiscovery": enabled(features.processes),
        // By default the operator has it, and a system-probe for it.
        "serviceDiscovery": enabled(false),
    })
}

fn otlp(settings: &Settings, port: u16) -> Value {
    let host_port = settings.otlp == (Otlp::Pods { host_ports: true });
    json!({
        "enabled": settings.otlp != Otlp::Nobody,
        "endpoint": format!("0.0.0.0:{port}"),
        "hostPortConfig": {"enabled": host_port},
    })
}

fn node_agent(settings: &Settings) -> Value {
    let placement = &settings.agent.placement;
    let mut annotations = pod::versions(settings, None);
    annotations.extend(placement.pod_annotations.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    let mut agent = json!({
        "image": image(&settings.image(), &settings.agent.image),
        "annotations": annotations,
        "tolerations": placement.tolerations,
        "affinity": pod::on_real_nodes(),
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": placement.max_unavailable},
        },
    });
    if !placement.pod_labels.is_empty() {
        agent["labels"] = json!(placement.pod_labels);
    }
    if !placement.node_selector.is_empty() {
        agent["nodeSelector"] = json!(placement.node_selector);
    }
    if !placement.priority_class_name.is_empty() {
        agent["priorityClassName"] = placement.priority_class_name.as_str().into();
    }
    let env = variables(settings);
    if !env.is_empty() {
        agent["env"] = env.into();
    }
    let mut names = vec!["agent"];
    names.extend(settings.agent.features.apm.then_some("trace-agent"));
    names.extend(settings.has_process_agent().then_some("process-agent"));
    names.extend(settings.has_system_probe().then_some("system-probe"));
    names.extend(settings.has_security_agent().then_some("security-agent"));
    with_containers(&mut agent, settings, &names);
    agent
}

/// What no field of its own says.
fn variables(settings: &Settings) -> Vec<Value> {
    let mut env = Vec::new();
    if settings.otlp != Otlp::Nobody {
        env.push(pod::variable("DD_OTLP_CONFIG_LOGS_ENABLED", "true"));
        if !settings.agent_has(|owners| owners.container_logs) {
            env.push(pod::variable("DD_LOGS_ENABLED", "true"));
        }
    }
    env.extend(pod::without_host_metadata(settings));
    env
}

fn cluster_agent(settings: &Settings) -> Value {
    let mut agent = json!({
        "image": image(&settings.cluster_image(), &settings.agent.cluster_image),
        "annotations": pod::versions(settings, None),
    });
    with_containers(&mut agent, settings, &["cluster-agent"]);
    agent
}

/// By its whole name: the operator puts its own registry before a name without a tag.
fn image(reference: &str, image: &Image) -> Value {
    let mut value = json!({"name": reference, "pullPolicy": image.pull_policy});
    if !image.pull_secrets.is_empty() {
        value["pullSecrets"] = pod::pull_secrets(image).into();
    }
    value
}

/// Resources, and the authorities' volume with its mounts.
fn with_containers(agent: &mut Value, settings: &Settings, names: &[&str]) {
    let mut containers = Map::new();
    for name in names {
        let mut container = Map::new();
        if let Some(resources) = settings.agent.resources.get(*name) {
            container.insert("resources".to_owned(), json!(resources));
        }
        if let Some(mount) = pod::authorities(settings) {
            let mount = json!({"name": mount.volume, "mountPath": mount.path, "readOnly": true});
            container.insert("volumeMounts".to_owned(), json!([mount]));
        }
        if !container.is_empty() {
            containers.insert((*name).to_owned(), Value::Object(container));
        }
    }
    if !containers.is_empty() {
        agent["containers"] = Value::Object(containers);
    }
    if pod::authorities(settings).is_some() {
        let volume = json!({"name": pod::AUTHORITIES_VOLUME, "configMap": {"name": settings.egress.ca_config_map}});
        agent["volumes"] = json!([volume]);
    }
}
