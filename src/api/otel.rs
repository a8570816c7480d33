//! OpenTelemetry's names: variables, attributes, and the values that the specification lists.
//!
//! Source: the specification's "Environment Variable Specification" and "OTLP Exporter Configuration", and the
//! semantic conventions for `service`, `deployment` and `k8s`.

use std::borrow::Cow;

/// Environment variables.
pub mod var {
    pub const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
    pub const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    pub const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    pub const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    pub const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    pub const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
    pub const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    pub const METRICS_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL";
    pub const LOGS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
    pub const LOGS_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL";
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

/// Stands alone: with others beside it, a Java application doesn't start.
pub const NO_PROPAGATOR: &str = "none";

/// Whether a sampler and its argument go together.
///
/// A ratio sampler's argument is a probability, a remote one's are pairs; what other samplers take is theirs to say.
#[must_use]
pub fn is_sampler(name: &str, arg: Option<&str>) -> bool {
    if !SAMPLERS.contains(&name) {
        return false;
    }
    match arg {
        Some(arg) if name.ends_with("traceidratio") => is_probability(arg),
        Some(arg) if name.ends_with("jaeger_remote") || name == "xray" => arg.split(',').all(is_pair_of_remote),
        _ => true,
    }
}

fn is_probability(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|p| (0.0..=1.0).contains(&p))
}

/// Whether it is `key=value`, with a number where one is known to be: with anything else a Java application doesn't start.
/// Java's SDK calls the interval otherwise than the specification does.
fn is_pair_of_remote(pair: &str) -> bool {
    let Some((key, value)) = pair.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else { return false };
    !key.is_empty()
        && match key {
            "initialSamplingRate" => is_probability(value),
            "pollingIntervalMs" | "pollingInterval" => value.parse::<i32>().is_ok_and(|interval| interval > 0),
            _ => !value.is_empty(),
        }
}

/// Whether every name of a comma-separated list is a propagator of the specification's.
#[must_use]
pub fn are_propagators(list: &str) -> bool {
    list == NO_PROPAGATOR
        || list.split(',').map(str::trim).all(|name| name != NO_PROPAGATOR && PROPAGATORS.contains(&name))
}

/// A list of propagators without blanks, which not every SDK takes away.
#[must_use]
pub fn propagators(list: &str) -> Cow<'_, str> {
    if list.contains(char::is_whitespace) {
        return Cow::Owned(list.split_whitespace().collect());
    }
    Cow::Borrowed(list)
}

/// A variable or attribute that otelgate sets, for the reference and for `otelgate.dev/skip`.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub name: &'static str,
    /// What it carries, and when.
    pub summary: &'static str,
}

const fn known(name: &'static str, summary: &'static str) -> Known {
    Known { name, summary }
}

/// Every variable that otelgate sets on its own account, in the order in which they stand.
pub const VARIABLES: [Known; 19] = [
    known(var::POD_NAME, "The pod's name, by the downward API; set where something refers to it."),
    known(var::POD_UID, "The pod's UID, likewise."),
    known(var::NODE_NAME, "The node's name, likewise."),
    known(var::NODE_IP, "The node's address, where the endpoint is the node's."),
    known(var::SERVICE_NAME, "The service's name; not where the container has `service.name` already."),
    known(var::ENDPOINT, "Where to send, together with the protocol; not where the container says so for any signal."),
    known(var::PROTOCOL, "How to send, together with the endpoint."),
    known(
        var::TRACES_ENDPOINT,
        "Where the container has an endpoint or a protocol for some signal, instead of the general pair.",
    ),
    known(var::TRACES_PROTOCOL, "Likewise."),
    known(var::METRICS_ENDPOINT, "Likewise."),
    known(var::METRICS_PROTOCOL, "Likewise."),
    known(var::LOGS_ENDPOINT, "Likewise."),
    known(var::LOGS_PROTOCOL, "Likewise."),
    known(var::PROPAGATORS, "Where an option or the configuration says so."),
    known(var::SAMPLER, "Where an option or the configuration says so; with its argument, or not at all."),
    known(var::SAMPLER_ARG, "The sampler's argument."),
    known(
        var::TEMPORALITY,
        "`delta`, which Datadog wants, or what the configuration says; not where the container \
         sends metrics to another backend.",
    ),
    known(
        var::LOGS_EXPORTER,
        "`none`, where this container's logs are read from files, and it has no settings of its own for logs, nor sends to \
         another backend.",
    ),
    known(var::RESOURCE_ATTRIBUTES, "The resource attributes; appended to a literal that the container has."),
];

/// Every resource attribute that otelgate sets on its own account, in the order in which they stand.
pub const ATTRIBUTES: [Known; 18] = [
    known(attr::SERVICE_NAME, "The service's name."),
    known(attr::SERVICE_NAMESPACE, "The namespace."),
    known(attr::SERVICE_VERSION, "The service's version."),
    known(attr::SERVICE_INSTANCE_ID, "`<namespace>.<pod>.<container>`."),
    known(attr::ENVIRONMENT, "The environment, where one is known."),
    known(attr::CLUSTER_NAME, "The cluster, where the configuration names it."),
    known(attr::NAMESPACE_NAME, "The namespace."),
    known(attr::POD_NAME, "The pod."),
    known(attr::POD_UID, "The pod's UID."),
    known(attr::NODE_NAME, "The node."),
    known(attr::CONTAINER_NAME, "The container."),
    known(attr::DEPLOYMENT_NAME, "The Deployment, where one owns the pod."),
    known(attr::CRONJOB_NAME, "The CronJob, likewise."),
    known(attr::STATEFULSET_NAME, "The StatefulSet, likewise."),
    known(attr::DAEMONSET_NAME, "The DaemonSet, likewise."),
    known(attr::REPLICASET_NAME, "The ReplicaSet, likewise; the webhook knows it, a template doesn't."),
    known(attr::JOB_NAME, "The Job, likewise."),
    known(attr::LOG_SOURCE, "On the pod's annotation only: the Datadog log source, where the Collector owns the logs."),
];

/// Whether otelgate may set this variable or attribute on its own account.
#[must_use]
pub fn is_settable(key: &str) -> bool {
    VARIABLES.iter().chain(&ATTRIBUTES).any(|known| known.name == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_and_its_argument_go_together() {
        const ENDPOINT: &str = "endpoint=http://localhost:14250";
        let all = "endpoint=http://h:14250?a=b, pollingIntervalMs=5000,initialSamplingRate=0.25";
        for (sampler, arg, legal) in [
            ("always_on", None, true),
            ("always_on", Some("foo"), true),
            ("traceidratio", Some("0.5"), true),
            ("traceidratio", Some("2"), false),
            ("parentbased_traceidratio", Some("a=1"), false),
            ("jaeger_remote", None, true),
            ("jaeger_remote", Some(ENDPOINT), true),
            ("parentbased_jaeger_remote", Some(all), true),
            ("jaeger_remote", Some("pollingInterval=5000"), true),
            ("xray", Some("endpoint=http://collector:2000"), true),
            ("jaeger_remote", Some("foo"), false),
            ("parentbased_jaeger_remote", Some("0.5"), false),
            ("xray", Some("http://collector:2000"), false),
            ("jaeger_remote", Some("endpoint="), false),
            ("jaeger_remote", Some("=x"), false),
            ("jaeger_remote", Some("endpoint=x,"), false),
            ("jaeger_remote", Some("pollingIntervalMs=5s"), false),
            ("jaeger_remote", Some("initialSamplingRate=25"), false),
            ("sometimes", None, false),
        ] {
            assert_eq!(is_sampler(sampler, arg), legal, "{sampler} {arg:?}");
        }
    }
}
