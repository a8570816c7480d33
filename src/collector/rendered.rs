//! What a spec becomes: the configuration, and what the Collector's pod has to have for it.

use thiserror::Error;

use crate::api::stack::KeyReference;

/// The Collector's configuration, and what its pod has to have for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// YAML, byte by byte the same for the same input.
    pub text: String,
    /// What it listens on.
    pub ports: Vec<Port>,
    /// Every variable of its container, in the order in which they have to stand.
    pub environment: Vec<Variable>,
    pub files: Files,
    /// With `metrics.cluster`: the Lease that says which Collector reads the cluster's objects.
    pub lease: Option<Lease>,
}

/// A port that it listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: &'static str,
    pub number: u16,
}

/// A variable of its container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub source: Source,
}

/// Where a variable's value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// As it stands in a container's `env`: Kubernetes reads `$$` as `$`, and `$(NAME)` as another variable.
    Value(String),
    /// `valueFrom.fieldRef.fieldPath`.
    Field(&'static str),
    /// `valueFrom.secretKeyRef`.
    Secret(KeyReference),
}

/// What has to be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The node's [`path::POD_LOGS`], read-only, and [`path::CHECKPOINTS`], where it remembers how far it has read.
    pub pod_logs: bool,
    /// Further authorities, at [`path::AUTHORITIES`].
    pub authorities: Option<Authorities>,
}

/// A `ConfigMap` in the Collector's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    pub config_map: String,
    pub key: &'static str,
}

/// The Lease by which Collectors agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub namespace: String,
    pub name: String,
}

/// Why no configuration can be made from the spec.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {fault}")]
pub struct Fault {
    /// From `spec` on, such as `spec.collector.config.service.pipelines.logs.processors`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub fault: String,
}

/// Ports, by what speaks on them.
pub mod port {
    use super::Port;
    use crate::config::Protocol;

    pub const GRPC: Port = Port { name: "otlp-grpc", number: Protocol::Grpc.port() };
    pub const HTTP: Port = Port { name: "otlp-http", number: Protocol::HttpProtobuf.port() };
    /// Its own metrics, as Prometheus reads them.
    pub const METRICS: Port = Port { name: "metrics", number: 8888 };
    /// `GET /`: 200 once its pipelines run.
    pub const HEALTH: Port = Port { name: "health", number: 13133 };
}

/// Paths in its container.
pub mod path {
    /// Of the node: what containers wrote.
    pub const POD_LOGS: &str = "/var/log/pods";
    /// Written by it, and kept across its restarts.
    pub const CHECKPOINTS: &str = "/var/lib/otelcol";
    pub const AUTHORITIES: &str = "/etc/otelgate/authorities";
}

// === impl Fault ===

impl Fault {
    pub(super) fn new(field: impl Into<String>, fault: impl Into<String>) -> Self {
        Self { field: field.into(), fault: fault.into() }
    }
}
