//! The Collector's pod, as the spec has it: pure.
//!
//! What is in it is what a revision is made of, beside the configuration; what tells rollouts apart is added when a
//! `DaemonSet` is made of it.

use serde_json::{Value, json};

use super::node;
use super::pod::CONTAINER;
use super::revision::CONFIGURATION;
use crate::api::stack::Collector;
use crate::api::{annotation, label, object};
use crate::collector::{Files, Port, Rendered, Source, Variable, path, port};
use crate::config::Reach;

/// What the pod is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub collector: &'a Collector,
    pub rendered: &'a Rendered,
    /// Whether containers send to their node's address.
    pub reach: Reach,
    /// `resourceVersion` of the Secret with the key; nothing that is derived from the key itself.
    pub secret_version: Option<&'a str>,
}

const CONFIGURATION_FOLDER: &str = "/etc/otel-collector";
/// Names of volumes.
pub const CONFIGURATION_VOLUME: &str = "configuration";
const POD_LOGS_VOLUME: &str = "pod-logs";
const CONTAINER_LOGS_VOLUME: &str = "container-logs";
const CHECKPOINTS_VOLUME: &str = "checkpoints";
const AUTHORITIES_VOLUME: &str = "authorities";
/// Of the node, where Docker has what the files of pods are links to. Elsewhere it stays empty.
const CONTAINER_LOGS: &str = "/var/lib/docker/containers";
/// Of the node, where one Collector after the other finds how far the one before has read.
const CHECKPOINTS_OF_NODE: &str = "/var/lib/otelgate/collector";

/// The template of the pod.
#[must_use]
pub fn pod(input: &Input<'_>) -> Value {
    let Input { collector, rendered, reach, secret_version } = input;
    let placement = &collector.placement;
    let mut labels = json!(placement.pod_labels);
    labels["app"] = object::COLLECTOR.into();
    let mut annotations = json!(placement.pod_annotations);
    if let Some(version) = secret_version {
        annotations[annotation::SECRET_VERSION] = (*version).into();
    }
    let image = &collector.image;
    let mut spec = json!({
        "serviceAccountName": object::COLLECTOR,
        "automountServiceAccountToken": true,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 30,
        "nodeSelector": placement.node_selector,
        "tolerations": placement.tolerations,
        "affinity": affinity(None),
        "containers": [{
            "name": CONTAINER,
            "image": image.reference(&Collector::default().image),
            "imagePullPolicy": image.pull_policy,
            "args": [format!("--config={CONFIGURATION_FOLDER}/{CONFIGURATION}")],
            "env": rendered.environment.iter().map(variable).collect::<Vec<_>>(),
            "ports": rendered.ports.iter().map(|port| container_port(*port, *reach)).collect::<Vec<_>>(),
            "resources": collector.resources,
            // Started when pipelines run, which may have to wait for the metadata of pods.
            "startupProbe": probe(2, 60),
            "readinessProbe": probe(5, 3),
            "livenessProbe": probe(10, 6),
            // The last lines of its log, where nothing else says why it ended.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": mounts(&rendered.files),
            // Files of other users' containers are root's.
            "securityContext": {
                "runAsUser": 0,
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }],
        "volumes": volumes(&rendered.files),
    });
    if !placement.priority_class_name.is_empty() {
        spec["priorityClassName"] = placement.priority_class_name.as_str().into();
    }
    if !image.pull_secrets.is_empty() {
        spec["imagePullSecrets"] = image.pull_secrets.iter().map(|name| json!({"name": name})).collect();
    }
    json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
}

/// Which nodes it may run on: none with Windows, no virtual one, and all but one, or only one. It is there even where it
/// says nothing else, so that what is taken back leaves the template of before.
#[must_use]
pub fn affinity(one: Option<(&str, &str)>) -> Value {
    let mut term = json!({"matchExpressions": node::real_ones()});
    if let Some((operator, name)) = one {
        term["matchFields"] = json!([{"key": "metadata.name", "operator": operator, "values": [name]}]);
    }
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}})
}

/// What an affinity says of one node: the operator, and its name.
#[must_use]
pub fn node_in(template: &Value) -> Option<(&str, &str)> {
    let terms = &template["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let field = &terms["nodeSelectorTerms"][0]["matchFields"][0];
    Some((field["operator"].as_str()?, field["values"][0].as_str()?))
}

fn variable(variable: &Variable) -> Value {
    let name = &variable.name;
    match &variable.source {
        Source::Value(value) => json!({"name": name, "value": value}),
        Source::Field(path) => {
            json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
        }
        Source::Secret(key) => json!({"name": name, "valueFrom": {"secretKeyRef": {"name": key.name, "key": key.key}}}),
    }
}

/// On the node too, where containers send to its address.
fn container_port(Port { name, number }: Port, reach: Reach) -> Value {
    let mut port = json!({"name": name, "containerPort": number, "protocol": "TCP"});
    if reach == Reach::Node && [port::GRPC.number, port::HTTP.number].contains(&number) {
        port["hostPort"] = number.into();
    }
    port
}

fn probe(period: u32, failures: u32) -> Value {
    json!({"httpGet": {"path": "/", "port": port::HEALTH.name}, "periodSeconds": period, "failureThreshold": failures,
           "timeoutSeconds": 3})
}

fn mounts(files: &Files) -> Vec<Value> {
    let mut mounts = vec![json!({"name": CONFIGURATION_VOLUME, "mountPath": CONFIGURATION_FOLDER, "readOnly": true})];
    if files.pod_logs {
        mounts.push(json!({"name": POD_LOGS_VOLUME, "mountPath": path::POD_LOGS, "readOnly": true}));
        mounts.push(json!({"name": CONTAINER_LOGS_VOLUME, "mountPath": CONTAINER_LOGS, "readOnly": true}));
        mounts.push(json!({"name": CHECKPOINTS_VOLUME, "mountPath": path::CHECKPOINTS}));
    }
    if files.authorities.is_some() {
        mounts.push(json!({"name": AUTHORITIES_VOLUME, "mountPath": path::AUTHORITIES, "readOnly": true}));
    }
    mounts
}

/// The first is the configuration's, whose `ConfigMap` is named with the revision.
fn volumes(files: &Files) -> Vec<Value> {
    let mut volumes = vec![json!({
        "name": CONFIGURATION_VOLUME,
        "configMap": {"items": [{"key": CONFIGURATION, "path": CONFIGURATION}], "defaultMode": 0o444},
    })];
    if files.pod_logs {
        let of_node = [
            (POD_LOGS_VOLUME, path::POD_LOGS),
            (CONTAINER_LOGS_VOLUME, CONTAINER_LOGS),
            (CHECKPOINTS_VOLUME, CHECKPOINTS_OF_NODE),
        ];
        volumes.extend(
            of_node.map(|(name, path)| json!({"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}})),
        );
    }
    if let Some(authorities) = &files.authorities {
        volumes.push(json!({
            "name": AUTHORITIES_VOLUME,
            "configMap": {"name": authorities.config_map, "items": [{"key": authorities.key, "path": authorities.key}]},
        }));
    }
    volumes
}

/// The template for one rollout: with its labels, its configuration, and the node that it spares or is bound to.
#[must_use]
pub fn of_rollout(pod: &Value, labels: &Value, config_map: &str, node: Option<(&str, &str)>) -> Value {
    let mut pod = pod.clone();
    for (key, value) in labels.as_object().into_iter().flatten() {
        pod["metadata"]["labels"][key] = value.clone();
    }
    pod["spec"]["affinity"] = affinity(node);
    pod["spec"]["volumes"][0]["configMap"]["name"] = config_map.into();
    pod
}

/// The Secret's version that a template was made with.
#[must_use]
pub fn secret_version(template: &Value) -> Option<&str> {
    template["metadata"]["annotations"][annotation::SECRET_VERSION].as_str()
}

/// The hash of what a template runs.
#[must_use]
pub fn revision(template: &Value) -> Option<&str> {
    template["metadata"]["labels"][label::REVISION].as_str()
}
