//! The objects of a cluster that otelgate brings or makes, by name. There is one otelgate in a cluster, so that the
//! names are the same whatever a Helm release is called.

/// Where webhook and controller run, unless somebody chose otherwise.
pub const NAMESPACE: &str = "otelgate";
/// `app.kubernetes.io/name` of everything.
pub const APP: &str = "otelgate";
/// Deployment, Service, `ServiceAccount`, `PodDisruptionBudget` and rights of the webhook.
pub const WEBHOOK: &str = "otelgate-webhook";
/// Deployment, `ServiceAccount`, Lease and rights of the controller.
pub const CONTROLLER: &str = "otelgate-controller";
/// The `MutatingWebhookConfiguration`.
pub const REGISTRATION: &str = "otelgate";
/// `ConfigMap` with the configuration that is in force, under [`crate::config::CONFIG_MAP_KEY`].
pub const INJECTION: &str = "otelgate-injection";
/// Secret with what the webhook serves: `tls.crt`, `tls.key`, and in `ca.crt` every authority to be trusted for it.
pub const SERVING: &str = "otelgate-webhook-tls";
/// Secret with otelgate's own authority; nobody but the controller reads it.
pub const AUTHORITY: &str = "otelgate-ca";
/// The one `TelemetryStack` that counts.
pub const STACK: &str = "default";
/// Secret with Datadog's API key, in the Collector's namespace.
pub const CREDENTIALS: &str = "datadog-secret";
pub const CREDENTIALS_KEY: &str = "api-key";

/// The `CustomResourceDefinition` of the `TelemetryStack`.
pub const DEFINITION: &str = "telemetrystacks.otelgate.dev";

/// Label on what `otelgate deploy` made beside the chart, and `otelgate cleanup` takes away again; its value.
pub const CREATED_BY: &str = "otelgate.dev/created-by";
pub const DEPLOY: &str = "deploy";

/// Field manager of what the command line applies.
pub const COMMAND_LINE: &str = "otelgate-cli";
/// Field manager of everything that the controller applies.
pub const FIELD_MANAGER: &str = "otelgate-controller";
