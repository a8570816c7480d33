//! Labels, on pods and namespaces.

/// Opts a namespace or a pod in: see [`crate::api::OptIn`] for its values.
pub const INJECT: &str = "otelgate.dev/inject";
/// On an injected pod: the hash of what the configuration put into it.
pub const CONFIG: &str = "otelgate.dev/config";
/// On the pod with which the controller probes the way through the API server.
pub const PROBE: &str = "otelgate.dev/probe";

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

/// A key on injected pods that otelgate writes, for the reference.
#[derive(Clone, Copy, Debug)]
pub struct WrittenKey {
    pub key: &'static str,
    pub summary: &'static str,
}

/// Every label that otelgate writes.
pub const WRITTEN: [WrittenKey; 4] = [
    WrittenKey { key: DATADOG_ENV, summary: "The environment, for unified service tagging." },
    WrittenKey { key: DATADOG_SERVICE, summary: "The service's name, likewise." },
    WrittenKey { key: DATADOG_VERSION, summary: "The service's version, likewise." },
    WrittenKey { key: CONFIG, summary: "The hash of what the configuration put into the pod." },
];
