//! What the pods of Agent and Cluster Agent share: volumes by name, variables, the labels by which pods are found.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::settings::Settings;
use crate::api::stack::{Image, KeyReference, Resources};
use crate::api::{annotation, label, object};
use crate::collector::{Port, port};
use crate::controller::collector;

/// A container that mounts a volume somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount {
    pub volume: &'static str,
    pub path: &'static str,
    pub read_only: bool,
}

/// Where a volume comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Empty,
    /// A path of the node that is there.
    Host(&'static str),
    /// A folder of the node that is made if it isn't there.
    HostFolder(&'static str),
    ConfigMap(&'static str),
}

/// Folder of the authorities that `spec.egress.caConfigMap` adds.
pub const AUTHORITIES: &str = "/etc/otelgate/ca";
pub const AUTHORITIES_VOLUME: &str = "authorities";

/// Every volume that a pod may have; it has those that its containers mount.
pub const VOLUMES: [(&str, Source); 24] = [
    ("config", Source::Empty),
    ("logdatadog", Source::Empty),
    ("auth", Source::Empty),
    ("tmpdir", Source::Empty),
    ("certificates", Source::Empty),
    ("run", Source::Empty),
    ("sysprobe-socket", Source::Empty),
    ("sockets", Source::HostFolder("/var/run/datadog")),
    ("runtime", Source::Host("/var/run")),
    ("proc", Source::Host("/proc")),
    ("cgroups", Source::Host("/sys/fs/cgroup")),
    ("pointers", Source::HostFolder("/var/lib/datadog-agent/logs")),
    ("pod-logs", Source::Host("/var/log/pods")),
    ("container-logs", Source::Host("/var/lib/docker/containers")),
    ("log-links", Source::Host("/var/log/containers")),
    ("passwd", Source::Host("/etc/passwd")),
    ("group", Source::Host("/etc/group")),
    ("os-release", Source::Host("/etc/os-release")),
    ("root", Source::Host("/")),
    ("debugfs", Source::Host("/sys/kernel/debug")),
    ("seccomp-profile", Source::ConfigMap(object::AGENT_SECCOMP)),
    ("seccomp-root", Source::HostFolder("/var/lib/kubelet/seccomp")),
    ("cluster-state", Source::ConfigMap(object::CLUSTER_STATE)),
    (AUTHORITIES_VOLUME, Source::Empty),
];

/// For the file's owner.
#[must_use]
pub const fn read(volume: &'static str, path: &'static str) -> Mount {
    Mount { volume, path, read_only: true }
}

#[must_use]
pub const fn write(volume: &'static str, path: &'static str) -> Mount {
    Mount { volume, path, read_only: false }
}

/// A container before it is written down.
#[derive(Clone, Debug, Default)]
pub struct Container {
    pub name: &'static str,
    pub command: Vec<&'static str>,
    pub env: Vec<Value>,
    pub mounts: Vec<Mount>,
    pub ports: Vec<Value>,
    /// Fields of the container as they are: probes, the security context.
    pub further: Map<String, Value>,
}

// === impl Container ===

impl Container {
    #[must_use]
    pub fn value(&self, image: &str, of: &Image, resources: Option<&Resources>) -> Value {
        let mounts: Vec<_> = self.mounts.iter().map(Mount::value).collect();
        let mut container = json!({
            "name": self.name,
            "image": image,
            "imagePullPolicy": of.pull_policy,
            "volumeMounts": mounts,
        });
        if !self.command.is_empty() {
            container["command"] = json!(self.command);
        }
        if !self.env.is_empty() {
            container["env"] = json!(self.env);
        }
        if !self.ports.is_empty() {
            container["ports"] = json!(self.ports);
        }
        if let Some(resources) = resources {
            container["resources"] = json!(resources);
        }
        for (name, value) in &self.further {
            container[name] = value.clone();
        }
        container
    }
}

impl Mount {
    fn value(&self) -> Value {
        let mut value = json!({"name": self.volume, "mountPath": self.path});
        if self.read_only {
            value["readOnly"] = true.into();
        }
        value
    }
}

/// The volumes that these containers mount, in the order of [`VOLUMES`].
#[must_use]
pub fn volumes(containers: &[Container], settings: &Settings) -> Vec<Value> {
    let is_mounted = |name: &str| containers.iter().any(|one| one.mounts.iter().any(|mount| mount.volume == name));
    let mounted = VOLUMES.iter().filter(|(name, _)| is_mounted(name));
    mounted
        .map(|(name, source)| {
            let mut volume = match source {
                Source::Empty => json!({"emptyDir": {}}),
                Source::Host(path) => json!({"hostPath": {"path": path}}),
                Source::HostFolder(path) => json!({"hostPath": {"path": path, "type": "DirectoryOrCreate"}}),
                Source::ConfigMap(name) => json!({"configMap": {"name": name}}),
            };
            if *name == AUTHORITIES_VOLUME {
                volume = json!({"configMap": {"name": settings.egress.ca_config_map}});
            }
            volume["name"] = (*name).into();
            volume
        })
        .collect()
}

/// With the value as it is written: Kubernetes would put another variable's in the place of `$(NAME)`.
#[must_use]
pub fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value.replace('$', "$$")})
}

#[must_use]
pub fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

#[must_use]
pub fn secret(name: &str, of: &KeyReference) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": of.name, "key": of.key}}})
}

/// What every container of both has: key, site, cluster, and the way out.
#[must_use]
pub fn common(settings: &Settings) -> Vec<Value> {
    let mut env = vec![
        variable("KUBERNETES", "yes"),
        secret("DD_API_KEY", &settings.key),
        variable("DD_SITE", &settings.site),
        variable("DD_AUTH_TOKEN_FILE_PATH", "/etc/datadog-agent/auth/token"),
        variable("DD_KUBERNETES_USE_ENDPOINT_SLICES", "true"),
        variable("DD_CLUSTER_AGENT_KUBERNETES_SERVICE_NAME", object::CLUSTER_AGENT),
        secret("DD_CLUSTER_AGENT_AUTH_TOKEN", &token()),
    ];
    if let Some(name) = &settings.cluster_name {
        env.push(variable("DD_CLUSTER_NAME", name));
    }
    env.extend(way_out(settings));
    env
}

/// Proxy and authorities of `spec.egress`.
#[must_use]
pub fn way_out(settings: &Settings) -> Vec<Value> {
    let egress = &settings.egress;
    let mut env = Vec::new();
    if !egress.proxy.is_empty() {
        env.push(variable("DD_PROXY_HTTP", &egress.proxy));
        env.push(variable("DD_PROXY_HTTPS", &egress.proxy));
        if !egress.no_proxy.is_empty() {
            env.push(variable("DD_PROXY_NO_PROXY", &egress.no_proxy.join(" ")));
            // Without it, only whole host names count.
            env.push(variable("DD_NO_PROXY_NONEXACT_MATCH", "true"));
        }
    }
    if !egress.ca_config_map.is_empty() {
        env.push(variable("SSL_CERT_DIR", &format!("/etc/ssl/certs:{AUTHORITIES}")));
    }
    env
}

/// The authorities that are mounted, where there are further ones.
#[must_use]
pub fn authorities(settings: &Settings) -> Option<Mount> {
    (!settings.egress.ca_config_map.is_empty()).then_some(read(AUTHORITIES_VOLUME, AUTHORITIES))
}

/// Where the Cluster Agent's token is.
#[must_use]
pub fn token() -> KeyReference {
    KeyReference { name: object::CLUSTER_AGENT.to_owned(), key: object::CLUSTER_AGENT_TOKEN.to_owned() }
}

/// Where virtual nodes would leave an Agent pending for ever. Those with Windows are left out too.
#[must_use]
pub fn on_real_nodes() -> Value {
    let term = json!({"matchExpressions": collector::real_ones()});
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}})
}

/// `GET` of a path of a port, as often as Datadog's own installers ask.
#[must_use]
pub fn probe(path: &str, port: u16) -> Value {
    json!({
        "httpGet": {"path": path, "port": port},
        "initialDelaySeconds": 15,
        "periodSeconds": 15,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    })
}

/// The three probes of an Agent.
#[must_use]
pub fn probes(port: u16) -> [(String, Value); 3] {
    [("livenessProbe", "/live"), ("readinessProbe", "/ready"), ("startupProbe", "/startup")]
        .map(|(name, path)| (name.to_owned(), probe(path, port)))
}

/// The list of hosts is told by one alone, and for now by Collectors that run.
#[must_use]
pub fn without_host_metadata(settings: &Settings) -> Option<Value> {
    let other = !settings.agent_has(|owners| owners.host_metadata);
    other.then(|| variable("DD_ENABLE_METADATA_COLLECTION", "false"))
}

/// Where it takes OTLP, under the names that the Datadog Operator has for them.
pub const OTLP: [Port; 2] = [
    Port { name: "otlpgrpcport", number: port::GRPC.number },
    Port { name: "otlphttpport", number: port::HTTP.number },
];

/// By which pods are found, of `agent` or `cluster-agent`. The default `exclude` of the injection knows them by it.
#[must_use]
pub fn selector(component: &str) -> Value {
    json!({label::AGENT_COMPONENT: component})
}

/// Annotations that roll the pods when a key changes; the token's version for those that have it from the controller.
#[must_use]
pub fn versions(settings: &Settings, token_version: Option<&str>) -> Map<String, Value> {
    let versions: Vec<_> = [settings.key_version.as_deref(), token_version].into_iter().flatten().collect();
    let mut annotations = Map::new();
    if !versions.is_empty() {
        annotations.insert(annotation::CREDENTIALS.to_owned(), versions.join(".").into());
    }
    annotations
}

/// The key's version out of what [`versions`] has written, with the token's or without.
#[must_use]
pub fn key_version(written: &str, with_token: bool) -> Option<String> {
    let key = if with_token { written.rsplit_once('.')?.0 } else { written };
    Some(key.to_owned())
}

#[must_use]
pub fn pull_secrets(image: &Image) -> Vec<Value> {
    image.pull_secrets.iter().map(|name| json!({"name": name})).collect()
}

/// Two hexadecimal digits a byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}
