//! Labels, on pods and namespaces.

/// Opts a namespace or a pod in: see [`crate::api::OptIn`] for its values.
pub const INJECT: &str = "otelgate.dev/inject";
/// On an injected pod: the hash of what the configuration put into it.
pub const CONFIG: &str = "otelgate.dev/config";
/// On the pod with which the controller probes the way through the API server.
pub const PROBE: &str = "otelgate.dev/probe";
/// On what the controller makes: the part of it that does, such as `collector`.
pub const PART: &str = "otelgate.dev/part";
/// On the Collector's pods: whether they are of what has proved good (`stable`), or of its `trial`.
pub const ROLLOUT: &str = "otelgate.dev/rollout";
/// On the Collector's pods: the hash of what they run.
pub const REVISION: &str = "otelgate.dev/revision";

/// On the Agent's pods, whoever makes them: `agent` or `cluster-agent`.
pub const AGENT_COMPONENT: &str = "agent.datadoghq.com/component";

/// Unified service tagging: the pod-wide labels.
pub const DATADOG_ENV: &str = "tags.datadoghq.com/env";
pub const DATADOG_SERVICE: &str = "tags.datadoghq.com/service";
pub const DATADOG_VERSION: &str = "tags.datadoghq.com/version";
/// Prefix of `tags.datadoghq.com/<container>.service`.
pub const DATADOG_TAGS: &str = "tags.datadoghq.com/";

pub const APP_INSTANCE: &str = "app.kubernetes.io/instance";
pub const APP_NAME: &str = "app.kubernetes.io/name";
pub const APP_VERSION: &str = "app.kubernetes.io/version";
/// Tells otelgate's own pods apart: `webhook` or `controller`.
pub const APP_COMPONENT: &str = "app.kubernetes.io/component";

/// Set by the Deployment controller on its `ReplicaSets` and their pods.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// Argo Rollouts' counterpart of [`POD_TEMPLATE_HASH`].
pub const ROLLOUTS_POD_TEMPLATE_HASH: &str = "rollouts-pod-template-hash";

/// A key that otelgate reads or writes on pods, for the reference.
#[derive(Clone, Copy, Debug)]
pub struct PodKey {
    pub key: &'static str,
    pub summary: &'static str,
}

/// Every label that says what a pod is; of those that say the same, the first counts.
pub const READ: [PodKey; 9] = [
    PodKey { key: "tags.datadoghq.com/<container>.service", summary: "The service's name, of one container." },
    PodKey { key: DATADOG_SERVICE, summary: "The service's name." },
    PodKey { key: APP_INSTANCE, summary: "The service's name, with `identity.fromWellKnownLabels: true`." },
    PodKey { key: APP_NAME, summary: "The service's name, with `identity.fromWellKnownLabels: true`." },
    PodKey { key: "tags.datadoghq.com/<container>.version", summary: "The service's version, of one container." },
    PodKey { key: DATADOG_VERSION, summary: "The service's version." },
    PodKey { key: APP_VERSION, summary: "The service's version, with `identity.fromWellKnownLabels: true`." },
    PodKey { key: "tags.datadoghq.com/<container>.env", summary: "The environment, of one container." },
    PodKey { key: DATADOG_ENV, summary: "The environment." },
];

/// Every label that otelgate writes.
pub const WRITTEN: [PodKey; 4] = [
    PodKey { key: DATADOG_ENV, summary: "The environment, for unified service tagging." },
    PodKey { key: DATADOG_SERVICE, summary: "The service's name, likewise." },
    PodKey { key: DATADOG_VERSION, summary: "The service's version, likewise." },
    PodKey { key: CONFIG, summary: "The hash of what the configuration put into the pod." },
];
