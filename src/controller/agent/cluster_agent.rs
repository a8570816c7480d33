//! The Cluster Agent and everything else of the controller's own Agent that isn't on a node: Services, accounts, and the
//! bindings of the `ClusterRoles` that the chart renders. Pure.

use serde_json::{Map, Value, json};

use super::pod::{self, Container, field, read, variable, write};
use super::settings::{Otlp, Settings};
use super::{node, seccomp};
use crate::api::{label, object};
use crate::collector::Port;
use crate::controller::objects::{lease, notes};

const PORT: u16 = 5005;
const HEALTH_PORT: u16 = 5556;

/// What the Cluster Agent reads of the cluster's objects where the Collector doesn't: neither Secrets nor `ConfigMaps`.
const CLUSTER_STATE: &str = "cluster_check: false
init_config:
instances:
  - skip_leader_election: false
    collectors:
      - pods
      - replicationcontrollers
      - statefulsets
      - nodes
      - cronjobs
      - jobs
      - replicasets
      - deployments
      - services
      - endpointslices
      - daemonsets
      - horizontalpodautoscalers
      - poddisruptionbudgets
      - limitranges
      - resourcequotas
      - namespaces
      - persistentvolumeclaims
      - persistentvolumes
      - ingresses
      - storageclasses
      - volumeattachments
";

/// Everything of an Agent that the controller makes by itself, with the version of the Secret that has the Cluster
/// Agent's token.
#[must_use]
pub fn objects(settings: &Settings, token_version: Option<&str>) -> Vec<Value> {
    let mut all = vec![
        account(object::AGENT),
        account(object::CLUSTER_AGENT),
        cluster_binding(object::AGENT_ROLE, object::AGENT, settings),
        cluster_binding(object::CLUSTER_AGENT_ROLE, object::CLUSTER_AGENT, settings),
        own_binding(settings),
        lease(object::CLUSTER_AGENT_LEASE),
    ];
    all.extend(object::CLUSTER_AGENT_NOTES.map(notes));
    if settings.agent.features.cspm {
        all.push(cluster_binding(object::COMPLIANCE_ROLE, object::CLUSTER_AGENT, settings));
    }
    if has_cluster_state(settings) {
        all.push(cluster_binding(object::CLUSTER_STATE_ROLE, object::CLUSTER_AGENT, settings));
        all.push(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": object::CLUSTER_STATE},
            "data": {"kubernetes_state_core.yaml.default": CLUSTER_STATE},
        }));
    }
    if settings.has_system_probe() {
        all.push(seccomp::config_map());
    }
    all.extend([service(), local_service(settings)]);
    all.extend(otlp_service(settings));
    all.extend([deployment(settings, token_version), node::daemon_set(settings, token_version)]);
    all
}

/// In the Collector's place, where pods are told to send to a Collector that isn't there. It is the same object, whichever
/// of the two has it: whoever takes it over relabels it, since others may have been given its address. What one sets and the
/// other doesn't goes with that.
#[must_use]
pub fn otlp_service(settings: &Settings) -> Option<Value> {
    let Otlp::Pods { .. } = settings.otlp else { return None };
    Some(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": settings.collector_service},
        "spec": {
            "selector": pod::selector("agent"),
            "internalTrafficPolicy": "Local",
            "ipFamilyPolicy": "PreferDualStack",
            "ports": otlp_ports(),
        },
    }))
}

fn otlp_ports() -> [Value; 2] {
    let [grpc, http] = pod::OTLP;
    [(grpc, "grpc"), (http, "http")].map(|(Port { name, number }, protocol)| {
        json!({"name": name, "port": number, "targetPort": number, "protocol": "TCP", "appProtocol": protocol})
    })
}

fn has_cluster_state(settings: &Settings) -> bool {
    settings.agent_has(|owners| owners.cluster_state)
}

fn account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
}

fn cluster_binding(role: &str, account: &str, settings: &Settings) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": settings.namespace}],
    })
}

fn own_binding(settings: &Settings) -> Value {
    let mut binding = cluster_binding(object::CLUSTER_AGENT_OWN_ROLE, object::CLUSTER_AGENT, settings);
    binding["kind"] = "RoleBinding".into();
    binding
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": object::CLUSTER_AGENT},
        "spec": {
            "selector": pod::selector("cluster-agent"),
            "ports": [{"name": "agentport", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        },
    })
}

/// The Agent of the own node.
fn local_service(settings: &Settings) -> Value {
    let mut ports = vec![json!({"name": "dogstatsdport", "port": 8125, "targetPort": 8125, "protocol": "UDP"})];
    if settings.agent.features.apm {
        ports.push(json!({"name": "traceport", "port": 8126, "targetPort": 8126, "protocol": "TCP"}));
    }
    if settings.otlp != Otlp::Nobody {
        ports.extend(otlp_ports());
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": object::AGENT},
        "spec": {"selector": pod::selector("agent"), "internalTrafficPolicy": "Local", "ports": ports},
    })
}

fn deployment(settings: &Settings, token_version: Option<&str>) -> Value {
    let agent = &settings.agent;
    let container = container(settings);
    let value = container.value(&settings.cluster_image(), &agent.cluster_image, agent.resources.get(container.name));
    let apart = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 50,
        "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": pod::selector("cluster-agent")},
        },
    }]}});
    let mut spec = json!({
        "serviceAccountName": object::CLUSTER_AGENT,
        "containers": [value],
        "volumes": pod::volumes(std::slice::from_ref(&container), settings),
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "affinity": apart,
    });
    if !agent.cluster_image.pull_secrets.is_empty() {
        spec["imagePullSecrets"] = pod::pull_secrets(&agent.cluster_image).into();
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": object::CLUSTER_AGENT},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": pod::selector("cluster-agent")},
            "template": {
                "metadata": {
                    "labels": pod::selector("cluster-agent"),
                    "annotations": pod::versions(settings, token_version),
                },
                "spec": spec,
            },
        },
    })
}

fn container(settings: &Settings) -> Container {
    let mut env = pod::common(settings);
    env.extend([
        field("DD_POD_NAME", "metadata.name"),
        variable("DD_HEALTH_PORT", &HEALTH_PORT.to_string()),
        variable("DD_KUBE_RESOURCES_NAMESPACE", &settings.namespace),
        variable("DD_LEADER_ELECTION", "true"),
        variable("DD_LEADER_LEASE_NAME", object::CLUSTER_AGENT_LEASE),
        // Untold, by a ConfigMap.
        variable("DD_LEADER_ELECTION_DEFAULT_RESOURCE", "lease"),
        variable("DD_COLLECT_KUBERNETES_EVENTS", "true"),
        variable("DD_CLUSTER_CHECKS_ENABLED", "true"),
        variable("DD_EXTRA_CONFIG_PROVIDERS", "kube_endpoints kube_services"),
        variable("DD_EXTRA_LISTENERS", "kube_endpoints kube_services"),
        // Pods are otelgate's to change.
        variable("DD_ADMISSION_CONTROLLER_ENABLED", "false"),
        variable("DD_ORCHESTRATOR_EXPLORER_ENABLED", "false"),
    ]);
    let mut mounts = vec![
        write("auth", "/etc/datadog-agent/auth"),
        write("certificates", "/etc/datadog-agent/certificates"),
        write("logdatadog", "/var/log/datadog"),
        write("tmpdir", "/tmp"),
    ];
    if settings.agent_has(|owners| owners.prometheus) {
        env.push(variable("DD_PROMETHEUS_SCRAPE_ENABLED", "true"));
    }
    if settings.agent.features.cspm {
        env.push(variable("DD_COMPLIANCE_CONFIG_ENABLED", "true"));
    }
    if has_cluster_state(settings) {
        env.push(variable("DD_KUBE_STATE_METRICS_CORE_ENABLED", "true"));
        env.push(variable("DD_KUBE_STATE_METRICS_CORE_CONFIGMAP_NAME", object::CLUSTER_STATE));
        mounts.push(read("cluster-state", "/etc/datadog-agent/conf.d/kubernetes_state_core.d"));
    }
    mounts.extend(pod::authorities(settings));
    let mut further: Map<String, Value> = pod::probes(HEALTH_PORT).into_iter().collect();
    let context = json!({"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false});
    further.insert("securityContext".to_owned(), context);
    let ports = vec![json!({"name": "agentport", "containerPort": PORT, "protocol": "TCP"})];
    Container { name: "cluster-agent", command: Vec::new(), env, mounts, ports, further }
}

/// The Secret with the Cluster Agent's token, made of random bytes.
#[must_use]
pub fn token_secret(random: &[u8; 32], owner: &Value, namespace: &str) -> Value {
    let token = pod::hex(random);
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": object::CLUSTER_AGENT,
            "namespace": namespace,
            "labels": {label::PART: super::PART.name},
            "ownerReferences": [owner],
        },
        "type": "Opaque",
        "stringData": {object::CLUSTER_AGENT_TOKEN: token},
    })
}
