//! OpenTelemetry's names: variables, attributes, and the values that the specification lists.
//!
//! Source: the specification's "Environment Variable Specification" and "OTLP Exporter Configuration", and the
//! semantic conventions for `service`, `deployment` and `k8s`.

/// Environment variables.
pub mod var {
    pub const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
    pub const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    pub const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    pub const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    pub const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    pub const PROPAGATORS: &str = "OTEL_PROPAGATORS";
    pub const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
    pub const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
    pub const LOGS_EXPORTER: &str = "OTEL_LOGS_EXPORTER";
    pub const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
    /// Prefixes of what makes the logs signal the container's own business.
    pub const LOGS_PREFIXES: [&str; 2] = ["OTEL_LOGS_", "OTEL_EXPORTER_OTLP_LOGS_"];

    /// Datadog's own, which the Agent tags from beside OpenTelemetry's.
    pub const DD_SERVICE: &str = "DD_SERVICE";
    pub const DD_ENV: &str = "DD_ENV";
    pub const DD_VERSION: &str = "DD_VERSION";

    /// Downward-API variables of otelgate's own, which others refer to.
    pub const POD_NAME: &str = "OTELGATE_POD_NAME";
    pub const POD_UID: &str = "OTELGATE_POD_UID";
    pub const NODE_NAME: &str = "OTELGATE_NODE_NAME";
    pub const NODE_IP: &str = "OTELGATE_NODE_IP";
}

/// Resource attributes.
pub mod attr {
    pub const SERVICE_NAME: &str = "service.name";
    pub const SERVICE_NAMESPACE: &str = "service.namespace";
    pub const SERVICE_VERSION: &str = "service.version";
    pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
    pub const ENVIRONMENT: &str = "deployment.environment.name";
    /// The name before semantic conventions 1.27; a user's counts as the environment being there.
    pub const ENVIRONMENT_OLD: &str = "deployment.environment";
    pub const CLUSTER_NAME: &str = "k8s.cluster.name";
    pub const NAMESPACE_NAME: &str = "k8s.namespace.name";
    pub const POD_NAME: &str = "k8s.pod.name";
    pub const POD_UID: &str = "k8s.pod.uid";
    pub const NODE_NAME: &str = "k8s.node.name";
    pub const CONTAINER_NAME: &str = "k8s.container.name";
    pub const DEPLOYMENT_NAME: &str = "k8s.deployment.name";
    pub const REPLICASET_NAME: &str = "k8s.replicaset.name";
    pub const STATEFULSET_NAME: &str = "k8s.statefulset.name";
    pub const DAEMONSET_NAME: &str = "k8s.daemonset.name";
    pub const JOB_NAME: &str = "k8s.job.name";
    pub const CRONJOB_NAME: &str = "k8s.cronjob.name";
    /// Not a resource attribute for SDKs: the Collector reads it from the pod's annotation.
    pub const LOG_SOURCE: &str = "datadog.log.source";
}

/// Values of `OTEL_TRACES_SAMPLER`.
pub const SAMPLERS: [&str; 9] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
    "parentbased_jaeger_remote",
    "jaeger_remote",
    "xray",
];

/// Values of `OTEL_PROPAGATORS`, which takes a comma-separated list of them.
pub const PROPAGATORS: [&str; 8] = ["tracecontext", "baggage", "b3", "b3multi", "jaeger", "xray", "ottrace", "none"];

/// Whether a sampler and its argument go together.
///
/// A ratio sampler's argument is a probability; what other samplers take is theirs to say.
#[must_use]
pub fn is_sampler(name: &str, arg: Option<&str>) -> bool {
    if !SAMPLERS.contains(&name) {
        return false;
    }
    match arg {
        Some(arg) if name.ends_with("traceidratio") => arg.parse::<f64>().is_ok_and(|p| (0.0..=1.0).contains(&p)),
        _ => true,
    }
}

/// Whether every name of a comma-separated list is a propagator of the specification's.
#[must_use]
pub fn are_propagators(list: &str) -> bool {
    list.split(',').all(|name| PROPAGATORS.contains(&name.trim()))
}

/// Whether otelgate may set this variable or attribute on its own account.
#[must_use]
pub fn is_settable(key: &str) -> bool {
    const VARIABLES: [&str; 13] = [
        var::SERVICE_NAME,
        var::RESOURCE_ATTRIBUTES,
        var::ENDPOINT,
        var::PROTOCOL,
        var::TEMPORALITY,
        var::PROPAGATORS,
        var::SAMPLER,
        var::SAMPLER_ARG,
        var::LOGS_EXPORTER,
        var::POD_NAME,
        var::POD_UID,
        var::NODE_NAME,
        var::NODE_IP,
    ];
    const ATTRIBUTES: [&str; 18] = [
        attr::SERVICE_NAME,
        attr::SERVICE_NAMESPACE,
        attr::SERVICE_VERSION,
        attr::SERVICE_INSTANCE_ID,
        attr::ENVIRONMENT,
        attr::CLUSTER_NAME,
        attr::NAMESPACE_NAME,
        attr::POD_NAME,
        attr::POD_UID,
        attr::NODE_NAME,
        attr::CONTAINER_NAME,
        attr::DEPLOYMENT_NAME,
        attr::REPLICASET_NAME,
        attr::STATEFULSET_NAME,
        attr::DAEMONSET_NAME,
        attr::JOB_NAME,
        attr::CRONJOB_NAME,
        attr::LOG_SOURCE,
    ];
    let of_signal = || {
        key.strip_prefix("OTEL_EXPORTER_OTLP_").and_then(|rest| rest.split_once('_')).is_some_and(|(signal, what)| {
            matches!(signal, "TRACES" | "METRICS" | "LOGS") && matches!(what, "ENDPOINT" | "PROTOCOL")
        })
    };
    VARIABLES.contains(&key) || ATTRIBUTES.contains(&key) || of_signal()
}
