//! Annotations, on pod templates and namespaces.

use super::DOMAIN;
use super::label::PodKey;
use crate::nearest::nearest;

/// What was decided and written; enough to undo it. See [`crate::inject::status`].
pub const STATUS: &str = "otelgate.dev/status";
/// Written by the floor, the policy inside the API server.
pub const FLOOR: &str = "otelgate.dev/floor";
/// On what is made of a revision of the Collector: its hash.
pub const REVISION: &str = "otelgate.dev/revision";
/// On a revision of the Collector: how its trial ended.
pub const TRIAL: &str = "otelgate.dev/trial";
/// On the Collector's pods: the `resourceVersion` of the Secret that they were started with.
pub const SECRET_VERSION: &str = "otelgate.dev/secret-version";

pub const CONTAINERS: &str = "otelgate.dev/containers";
pub const ENDPOINT: &str = "otelgate.dev/endpoint";
pub const PROTOCOL: &str = "otelgate.dev/protocol";
pub const SAMPLER: &str = "otelgate.dev/sampler";
pub const SAMPLER_ARG: &str = "otelgate.dev/sampler-arg";
pub const PROPAGATORS: &str = "otelgate.dev/propagators";
pub const LOG_SOURCE: &str = "otelgate.dev/log-source";
pub const LOGS: &str = "otelgate.dev/logs";
pub const SKIP: &str = "otelgate.dev/skip";
/// Ends `otelgate.dev/<container>.log-source`.
pub const LOG_SOURCE_SUFFIX: &str = ".log-source";

/// Prefix of `resource.opentelemetry.io/<attribute>`, OpenTelemetry's convention.
pub const RESOURCE: &str = "resource.opentelemetry.io/";
pub const RESOURCE_SERVICE_NAME: &str = "resource.opentelemetry.io/service.name";
pub const RESOURCE_SERVICE_VERSION: &str = "resource.opentelemetry.io/service.version";
pub const RESOURCE_ENVIRONMENT: &str = "resource.opentelemetry.io/deployment.environment.name";
pub const RESOURCE_LOG_SOURCE: &str = "resource.opentelemetry.io/datadog.log.source";

/// Read by the Collector's `receiver_creator`.
pub const DISCOVERY_LOGS: &str = "io.opentelemetry.discovery.logs/enabled";
/// Prefix and suffix of `ad.datadoghq.com/<container>.logs`.
pub const DATADOG_AUTODISCOVERY: &str = "ad.datadoghq.com/";
pub const DATADOG_LOGS_SUFFIX: &str = ".logs";
/// What keeps the Agent from reading logs, of a pod or behind `<container>.` of one container.
pub const DATADOG_EXCLUDE: [&str; 2] = ["logs_exclude", "exclude"];

/// On what the controller makes pods from: the version of the Secret with the API key, so that a new key rolls them.
pub const CREDENTIALS: &str = "otelgate.dev/credentials";
/// On the Agent's pods that the Datadog Operator makes: which `DatadogAgent` they were made from.
pub const AGENT_REVISION: &str = "otelgate.dev/agent-revision";

/// On pods that the kubelet made from a file: admission can't change them.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// An option that application teams may write, for the reference and for "did you mean".
#[derive(Clone, Copy, Debug)]
pub struct OptionKey {
    pub key: &'static str,
    /// What it means and which values it takes, in one sentence.
    pub summary: &'static str,
    /// What holds without it.
    pub default: &'static str,
}

/// Every option of otelgate's own, in the order of the reference page.
pub const OPTIONS: [OptionKey; 9] = [
    OptionKey {
        key: CONTAINERS,
        summary: "Comma-separated container names; may name init containers and native sidecars.",
        default: "every regular container but known sidecars",
    },
    OptionKey { key: ENDPOINT, summary: "An http or https URL to send to.", default: "from the configuration" },
    OptionKey {
        key: PROTOCOL,
        summary: "`grpc`, `http/protobuf` or `http/json`.",
        default: "of the endpoint's port, else from the configuration",
    },
    OptionKey { key: SAMPLER, summary: "As `OTEL_TRACES_SAMPLER`.", default: "from the configuration, else not set" },
    OptionKey {
        key: SAMPLER_ARG,
        summary: "As `OTEL_TRACES_SAMPLER_ARG`; one that the sampler beside it can't use takes that with it.",
        default: "from the configuration, else not set",
    },
    OptionKey { key: PROPAGATORS, summary: "As `OTEL_PROPAGATORS`.", default: "from the configuration, else not set" },
    OptionKey {
        key: LOG_SOURCE,
        summary: "Datadog log source; `otelgate.dev/<container>.log-source` for one container, where the Agent owns the logs.",
        default: "from the image, else none",
    },
    OptionKey {
        key: LOGS,
        summary: "`enabled` or `disabled`: whether this pod's logs are collected from its files.",
        default: "from the configuration",
    },
    OptionKey {
        key: SKIP,
        summary: "Comma-separated variable names or attribute keys that must not be set.",
        default: "none",
    },
];

/// Every annotation that otelgate writes.
pub const WRITTEN: [PodKey; 7] = [
    PodKey { key: RESOURCE_SERVICE_NAME, summary: "The service's name, so that logs carry the same as traces." },
    PodKey { key: RESOURCE_SERVICE_VERSION, summary: "The service's version, likewise." },
    PodKey { key: RESOURCE_ENVIRONMENT, summary: "The environment, likewise." },
    PodKey { key: RESOURCE_LOG_SOURCE, summary: "The Datadog log source, where the Collector owns the logs." },
    PodKey { key: DISCOVERY_LOGS, summary: "`true`, where the Collector owns the logs." },
    PodKey {
        key: "ad.datadoghq.com/<container>.logs",
        summary: "Source and service, where the Datadog Agent owns the logs.",
    },
    PodKey { key: STATUS, summary: "What was decided and written, by digest: never a value." },
];

/// The option that a misspelt one most likely meant, of which `name` is what stands behind `otelgate.dev/`.
#[must_use]
pub fn nearest_option(name: &str) -> Option<&'static str> {
    let meant = nearest(name, OPTIONS.iter().filter_map(|option| own_name(option.key)))?;
    OPTIONS.iter().map(|option| option.key).find(|key| own_name(key) == Some(meant))
}

/// The name behind `otelgate.dev/`, if the key is of that domain.
#[must_use]
pub fn own_name(key: &str) -> Option<&str> {
    key.strip_prefix(DOMAIN)?.strip_prefix('/')
}
